# SPDX-License-Identifier: BSD-2-Clause
"""The control socket: who may ask, what is answered, and what a bad client can do (nothing)."""
import json
import os
import socket
import stat

import pytest

from harness import daemon as d
from harness.wait import until

CLIENTS_MAX = 64


class Control:
    """A client of the socket, by hand."""

    def __init__(self, daemon):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(daemon.control)  # waits while the backlog is full
        self.socket.settimeout(20)
        self.stream = self.socket.makefile("r")

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def line(self):
        text = self.stream.readline()
        return json.loads(text) if text else None

    def ask(self, **request):
        self.send(json.dumps({"v": 1, **request}) + "\n")
        return self.line()

    def close(self):
        self.stream.close()
        self.socket.close()


@pytest.fixture
def daemon(bench):
    return bench.daemon(d.listener() + d.backend())


def test_protocol(daemon):
    """One daemon, many askers: lines, pieces of lines, several at once, nonsense."""
    c = Control(daemon)
    answer = c.ask(id="x", cmd="status")
    assert (answer["v"], answer["id"], answer["ok"]) == (1, "x", True)
    assert answer["data"]["pid"] == daemon.pid

    c.send('{"v":1,"cmd":"help"}\n{"v":1,"cmd":"sta')
    names = []
    while "item" in (line := c.line()):
        names.append(line["item"]["cmd"])
    assert line["count"] == len(names) and {"help", "status"} <= set(names)
    c.send('tus"}\n')
    assert c.line()["ok"] is True
    for sent, error in [(b"\xff\n", "bad_json"), (b"\0\n", "bad_json"), (b"{}\n", "unsupported_version"), (b"\n", "bad_json"),
                        (b'{"v":1,"cmd":"nope"}\n', "unknown_command"), (b'{"v":1,"cmd":"status","x":1}\n', "bad_request")]:
        c.send(sent)
        assert c.line()["error"] == error
    for n in range(20):
        c.send(f'{{"v":1,"id":{n},"cmd":"help"}}\n' * 10)
    c.socket.shutdown(socket.SHUT_WR)
    ids = [line["id"] for line in iter(c.line, None) if "ok" in line]
    assert ids == [n for n in range(20) for _ in range(10)]

    c = Control(daemon)
    c.send(b"x" * 65536)
    assert c.line()["error"] == "too_long"
    assert c.line() is None

    c = Control(daemon)
    c.send(b'{"v":1,"cmd":"status"}')  # the last line's newline may be missing
    c.socket.shutdown(socket.SHUT_WR)
    assert c.line()["ok"] is True
    assert json.loads(daemon.ask("status", "--json"))["pid"] == daemon.pid


def test_clients_are_bounded(daemon):
    """A flood of idle clients takes nobody's place: the newest is always served."""
    crowd = [Control(daemon) for _ in range(3 * CLIENTS_MAX)]
    assert Control(daemon).ask(cmd="status")["ok"] is True
    assert crowd[0].line() is None, "the one that was silent longest had to go"
    assert crowd[-1].ask(cmd="status")["ok"] is True
    for c in crowd:
        c.close()


def test_the_socket(bench, daemon):
    """root alone; what a dead daemon left is replaced, a live one's place is respected."""
    info = os.stat(daemon.control)
    assert stat.S_ISSOCK(info.st_mode) and stat.S_IMODE(info.st_mode) == 0o600

    text = d.section("unproxy", control=daemon.control) + d.listener(bind="*:8081") + d.backend()
    second = bench.daemon(text)
    assert "another daemon answers" in second.wait_for("control.off")["reason"]
    second.process.terminate()
    assert second.exit_code() == 0
    assert json.loads(daemon.ask("status", "--json"))["pid"] == daemon.pid
    daemon.kill()
    assert "no daemon answers there" in run_status(daemon, 2)

    text = d.section("unproxy", control=daemon.control, control_group="daemon") + d.listener() + d.backend()
    third = bench.daemon(text)
    info = os.stat(daemon.control)
    assert (stat.S_IMODE(info.st_mode), info.st_gid) == (0o660, 1)
    third.control = daemon.control
    assert json.loads(third.ask("status", "--json"))["pid"] == third.pid
    third.stop()
    assert not os.path.exists(daemon.control)


def run_status(daemon, code):
    import subprocess
    from harness import tools
    done = subprocess.run([tools.UNPROXY, "status", "--control", daemon.control], capture_output=True, text=True, timeout=20)
    assert done.returncode == code, done.stderr
    return done.stderr
