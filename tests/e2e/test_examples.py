# SPDX-License-Identifier: BSD-2-Clause
"""What a pod of examples/kubernetes is allowed is enough for what its configuration asks for."""
import pytest
import yaml

from conftest import STAND_IN
from harness import inline, tools
from harness.apps import Recorder, echo
from harness.inline import InlineDaemon
from harness.netns import HOST4

pytestmark = pytest.mark.skipif(bool(STAND_IN), reason="SKIP: a stand-in is no pod")


def pod():
    with open(f"{tools.ROOT}/examples/kubernetes/daemonset.yaml") as f:
        documents = {document["kind"]: document for document in yaml.safe_load_all(f)}
    [container] = documents["DaemonSet"]["spec"]["template"]["spec"]["containers"]
    return documents["ConfigMap"]["data"]["unproxy.conf"], container["securityContext"]


def test_capabilities_of_the_pod(bench):
    conf, context = pod()
    assert context["capabilities"]["drop"] == ["ALL"] and not context["allowPrivilegeEscalation"]
    allowed = ",".join(["-all", *(f"+{name.lower()}" for name in context["capabilities"]["add"])])
    # The folders that the pod has from its host stay writable: they are mounts of their own.
    read_only = ["unshare", "-m", "sh", "-c", 'mount -o remount,bind,ro / && exec "$@"', "sh"]
    wrap = [*read_only, "setpriv", "--no-new-privs", f"--bounding-set={allowed}", "--inh-caps=-all"]
    host, client = bench.net.host, bench.net.client
    Recorder(host, 30080, HOST4)
    Recorder(host, 3000, "127.0.0.1")
    daemon = bench.daemon(conf.replace("client_log = -\n", ""), client_log=False, cls=InlineDaemon, wrap=wrap)
    assert daemon.events("inline.on") and daemon.events("hook.on") and daemon.events("kernel_path.on")
    assert echo(client, HOST4, 30080) and echo(client, HOST4, 8080)
    assert inline.ours(host, "wire")
