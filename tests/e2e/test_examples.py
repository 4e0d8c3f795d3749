# SPDX-License-Identifier: BSD-2-Clause
"""What a pod of examples/kubernetes is allowed is enough for what its configuration asks for."""
import pytest
import yaml

from conftest import STAND_IN
from harness import inline, tools
from harness.apps import Recorder, ask, echo
from harness.inline import InlineDaemon
from harness.netns import HOST4
from harness.wait import until

pytestmark = pytest.mark.skipif(bool(STAND_IN), reason="SKIP: a stand-in is no pod")


def pod():
    with open(f"{tools.ROOT}/examples/kubernetes/daemonset.yaml") as f:
        documents = {document["kind"]: document for document in yaml.safe_load_all(f)}
    [container] = documents["DaemonSet"]["spec"]["template"]["spec"]["containers"]
    return documents["ConfigMap"]["data"]["unproxy.conf"], container


def answers(ns, probe):
    """The status that the kubelet would see."""
    get = probe["httpGet"]
    said, _ = ask(ns, get["host"], get["port"], f"GET {get['path']} HTTP/1.0\r\n\r\n".encode())
    return int(said.split()[1])


def test_capabilities_and_probes_of_the_pod(bench):
    conf, container = pod()
    context = container["securityContext"]
    assert context["capabilities"]["drop"] == ["ALL"] and not context["allowPrivilegeEscalation"]
    allowed = ",".join(["-all", *(f"+{name.lower()}" for name in context["capabilities"]["add"])])
    # The folders that the pod has from its host stay writable: they are mounts of their own.
    run = bench.tmp_path
    read_only = ["unshare", "-m", "sh", "-c", f'mount --bind {run} {run} && mount -o remount,bind,ro / && exec "$@"', "sh"]
    wrap = [*read_only, "setpriv", "--no-new-privs", f"--bounding-set={allowed}", "--inh-caps=-all"]
    host, client = bench.net.host, bench.net.client
    Recorder(host, 30080, HOST4)
    Recorder(host, 3000, "127.0.0.1")
    daemon = bench.daemon(conf.replace("client_log = -\n", ""), client_log=False, cls=InlineDaemon, wrap=wrap)
    assert daemon.events("inline.on") and daemon.events("hook.on") and daemon.events("kernel_path.on")
    assert echo(client, HOST4, 30080) and echo(client, HOST4, 8080)
    assert inline.ours(host, "wire")
    ready, alive = container["readinessProbe"], container["livenessProbe"]
    assert answers(host, ready) == answers(host, alive) == 200
    daemon.ask("drain")
    until(lambda: answers(host, ready) == 503, "not ready any more")
    assert answers(host, alive) == 200
    daemon.ask("ready")
    until(lambda: answers(host, ready) == 200, "ready again")
