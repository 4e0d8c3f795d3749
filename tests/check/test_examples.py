# SPDX-License-Identifier: BSD-2-Clause
"""The examples for containers, as far as they can be judged without a cluster."""
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
UNPROXY = ROOT / os.environ.get("BUILD", "build") / "unproxy"
DAEMONSET = ROOT / "examples/kubernetes/daemonset.yaml"
VERSION = (ROOT / "user/base/version.h").read_text().split('"')[1]


@pytest.fixture(scope="module")
def kinds():
    return {document["kind"]: document for document in yaml.safe_load_all(DAEMONSET.read_text())}


def test_daemonset_holds_together(kinds):
    assert list(kinds) == ["Namespace", "ConfigMap", "DaemonSet"]
    namespace = kinds["Namespace"]["metadata"]["name"]
    assert all(kinds[kind]["metadata"]["namespace"] == namespace for kind in ("ConfigMap", "DaemonSet"))
    spec = kinds["DaemonSet"]["spec"]
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
    pod = spec["template"]["spec"]
    [container] = pod["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert container["image"] == f"unproxy:{VERSION}"
    [configuration] = [volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume]
    assert configuration == kinds["ConfigMap"]["metadata"]["name"]


def test_configuration_is_valid(kinds, tmp_path):
    [(name, text)] = kinds["ConfigMap"]["data"].items()
    assert name == "unproxy.conf", "what `unproxy run` reads where it is mounted"
    (tmp_path / name).write_text(text)
    done = subprocess.run([UNPROXY, "check", "-c", tmp_path / name], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "listener ingress: inline, port 30080" in done.stdout, done


def test_probes_ask_the_endpoint_of_the_configuration(kinds):
    """Readiness follows the servers, liveness the daemon alone; both are pages that there are."""
    [text] = kinds["ConfigMap"]["data"].values()
    host, port = re.search(r"^metrics\s*=\s*(\S+):(\d+)", text, re.M).groups()
    [container] = kinds["DaemonSet"]["spec"]["template"]["spec"]["containers"]
    server = (ROOT / "user/obs/metrics_server.c").read_text()
    for name, page in (("readinessProbe", "/readyz"), ("livenessProbe", "/healthz")):
        probe = container[name]
        assert probe["httpGet"] == {"host": host, "port": int(port), "path": page} and f'"{page}"' in server
        assert probe["periodSeconds"] >= probe["timeoutSeconds"] > 2, "the daemon may take two seconds to say that it cannot"


def test_the_pod_may_take_as_long_as_the_daemon(kinds):
    default = re.search(r"drain_timeout.*\| `(\d+)s` \|", (ROOT / "docs/configuration.md").read_text())[1]
    assert kinds["DaemonSet"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > int(default)


def test_containerfile():
    """Each stage has a name or is the last; what is copied out of one is of one that is there; nothing floats."""
    text = (ROOT / "examples/container/Containerfile").read_text().replace("\\\n", " ")
    rows = [line.split(None, 1) for line in text.splitlines() if line and not line.startswith("#")]
    assert {row[0] for row in rows} <= {"FROM", "WORKDIR", "COPY", "RUN", "STOPSIGNAL", "ENTRYPOINT", "CMD"}
    stages = [re.fullmatch(r"docker\.io/library/debian:(bookworm|bookworm-slim)(?: AS (\w+))?", row[1]) for row in rows if row[0] == "FROM"]
    assert all(stages) and all(stage[2] for stage in stages[:-1])
    for source in re.findall(r"--from=(\w+)", text):
        assert source in {stage[2] for stage in stages}
    for path in re.findall(r"(?<=cp -r )\S+", text):
        assert (ROOT / path).exists()
