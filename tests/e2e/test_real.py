# SPDX-License-Identifier: BSD-2-Clause
"""Real balancers in front (HAProxy, nginx), real WebSocket apps behind, real clients: one line of the
client log has the real address."""
import os
import shutil
import subprocess
import threading

import pytest

from conftest import STAND_IN
from harness import daemon as d
from harness import tools
from harness.netns import CLIENT4, EXTRA4, HOST4
from harness.wait import until

pytestmark = pytest.mark.skipif(bool(STAND_IN), reason="SKIP: a balancer before a balancer proves nothing")
HERE = os.path.join(tools.ROOT, "tests/e2e")
LANGUAGES = {"python": ["/usr/bin/python3", f"{HERE}/websocket_echo.py"], "node": ["node", f"{HERE}/websocket_echo.js"]}
BALANCER_PORT, PERSON = 9000, EXTRA4[3]

HAPROXY = """
global
  nbthread 1
defaults
  mode tcp
  timeout client 60s
  timeout server 60s
  timeout connect 5s
frontend front
  bind {client}:9000
  {front}
  default_backend back
backend back
  server unproxy {host}:8080 {send} check inter 200ms
"""
NGINX = """
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log;
events {{ worker_connections 256; }}
stream {{ server {{ listen {client}:9000; proxy_pass {host}:8080; proxy_protocol on; }} }}
"""
BALANCERS = {
    "haproxy-v1": (HAPROXY, {"send": "send-proxy", "front": ""}),
    "haproxy-v2": (HAPROXY, {"front": "unique-id-format %[uuid()]",
                             "send": "send-proxy-v2 proxy-v2-options unique-id,crc32c set-proxy-v2-tlv-fmt(0x02) app.example.org"}),
    "nginx": (NGINX, {}),
}


def module_of_nginx():
    module = "/usr/lib/nginx/modules/ngx_stream_module.so"
    return f"load_module {module};\n" if os.path.exists(module) else ""


def start_balancer(bench, kind, directory):
    program = kind.split("-")[0]
    if not shutil.which(program):
        pytest.skip(f"SKIP: no {program} on this machine")
    template, values = BALANCERS[kind]
    values = dict(values)
    if "set-proxy-v2-tlv-fmt" in values.get("send", ""):
        values["send"] = values["send"].split(" set-proxy")[0]  # from HAProxy 2.9 on; Debian's is 2.6
    file = directory / (kind + ".conf")
    file.write_text((module_of_nginx() if program == "nginx" else "") +
                    template.format(client=CLIENT4, host=HOST4, directory=directory, **values))
    argv = ["nginx", "-c", str(file)] if program == "nginx" else ["haproxy", "-db", "-f", str(file)]
    process = bench.net.client.popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def listening():
        assert process.poll() is None, f"{program} does not start"
        try:
            bench.net.client.connect(CLIENT4, BALANCER_PORT).close()
            return True
        except OSError:
            return False
    until(listening, f"{program} listens", 10)
    return process


@pytest.fixture
def app(bench):
    """Start the WebSocket server of a language on the host."""
    started = []

    def start(language):
        if language == "node" and not (shutil.which("node") and os.path.isdir(f"{tools.ROOT}/tests/node_modules/ws")):
            pytest.skip("SKIP: no node or no npm package ws")
        process = bench.net.host.popen([*LANGUAGES[language], "serve", d.BACKEND_PORT], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process
    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("kind, language, path", [
    ("haproxy-v1", "python", "always"), ("haproxy-v2", "node", "always"), ("nginx", "python", "auto"),
    ("haproxy-v2", "python", "splice"), ("nginx", "node", "copy"), ("haproxy-v1", "node", "auto"),
])
def test_websocket_through_a_balancer(bench, app, tmp_path, kind, language, path):
    app(language)
    daemon = bench.daemon(d.listener(path=path) + d.backend())
    balancer = start_balancer(bench, kind, tmp_path)
    try:
        talk = [*LANGUAGES[language], "talk", f"ws://{CLIENT4}:{BALANCER_PORT}/", PERSON, "200", "8000000"]
        outputs = []

        def one():
            process = bench.net.client.popen(talk, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            outputs.append(process.communicate(timeout=60)[0])
        threads = [threading.Thread(target=one) for _ in range(3)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert outputs == ["ok\n"] * 3, outputs
        records = daemon.records(3, event="end", client_ip=PERSON)
        assert all(r["balancer_ip"] == CLIENT4 and r["bytes_up"] > 8000000 < r["bytes_down"] for r in records), records
        assert {r["version"] for r in records} == {2 if kind.endswith("v2") else 1}
        if kind == "haproxy-v2":
            assert all(len(r["tlv"]["unique_id"]) == 36 for r in records), records
        # HAProxy's health checks went on all the time; nobody was paged.
        assert not daemon.records(event="refused") and not daemon.records(event="probe")
        assert not [line for line in daemon.lines if line.startswith(("warn", "error"))]
    finally:
        balancer.terminate()
        balancer.wait(10)
