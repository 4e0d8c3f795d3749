# SPDX-License-Identifier: BSD-2-Clause
"""The daemon under a service manager that the test plays: what it is told, and when."""
import ctypes
import os
import select
import shutil
import signal
import socket
import time

import pytest

from harness import daemon as d
from harness import inline, tools
from harness.apps import Recorder, echo
from harness.headers import v1
from harness.netns import HOST4
from harness.wait import until

PTRACE_ATTACH, PTRACE_DETACH = 16, 17


class Manager:
    """Listens where NOTIFY_SOCKET points to."""

    def __init__(self, directory):
        self.path = str(directory / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.setblocking(False)
        self.heard = []

    def env(self, **more):
        return {**os.environ, "NOTIFY_SOCKET": self.path, **more}

    def listen(self, seconds=0.0):
        """What came by now, or within so long."""
        deadline = time.monotonic() + seconds
        while select.select([self.socket], [], [], max(0.0, deadline - time.monotonic()))[0]:
            self.heard.append(self.socket.recv(4096).decode())
        return self.heard

    def wait_for(self, word, after=0):
        until(lambda: [text for text in self.listen()[after:] if word in text.splitlines()],
              lambda: f"{word} after {self.heard}", 10)


@pytest.fixture
def manager(tmp_path):
    manager = Manager(tmp_path)
    yield manager
    manager.socket.close()


def test_ready_and_stopping(bench, manager):
    """Ready when connections are served, not before; stopping when the drain begins."""
    daemon = bench.daemon(d.listener(path="copy") + d.backend(), start=False, env=manager.env())
    server = bench.server(4, tx="eof", rx="rest", count=1)
    daemon.spawn()
    manager.wait_for("READY=1")
    client = bench.net.client.connect(d.LISTEN[4], d.PORT)
    client.sendall(v1())
    until(lambda: server.stat()["started"] == 1, "the connection is served", 10)
    daemon.process.send_signal(signal.SIGTERM)
    manager.wait_for("STOPPING=1")
    manager.wait_for("STATUS=draining")
    client.close()
    assert daemon.exit_code() == 0
    assert [text.splitlines()[0] for text in manager.listen()] == ["READY=1", "STOPPING=1", "STATUS=draining"]


# ---- socket activation ----

STREAM = ("v1,data:3000,fin", "data:3000,eof"), ("data:3000,fin", "data:3000,eof")


def test_systemd_socket_activate(bench):
    """By systemd's own tool: the first connection starts the daemon, and is served by it."""
    wrap = ("systemd-socket-activate", f"--listen={d.LISTEN[4]}:{d.PORT}", "--fdname=main")
    daemon = bench.daemon(d.listener(path="copy", bind=f"{d.LISTEN[4]}:{d.PORT}") + d.backend(), start=False, wrap=wrap)
    daemon.spawn()
    daemon.wait_text("Listening on")
    bench.exact(4, *STREAM, count=20)
    assert daemon.wait_for("ready")


def reuseport(ns, address, port):
    with ns:
        s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind((address, port))
    s.listen(1024)
    return s


@pytest.mark.parametrize("n_sockets", [1, 2, 3])
def test_inherited_sockets(bench, n_sockets):
    """One socket is shared by both workers, two are one each, of three one worker has two: every connection is served.
    Those that wait while no daemon runs are the next one's."""
    address = d.LISTEN[4]
    sockets = [(reuseport(bench.net.host, address, d.PORT), "main") for _ in range(n_sockets)]
    text = d.section("unproxy", workers=2) + d.listener(path="copy", bind=[f"{address}:{d.PORT}", "127.0.0.1:8081"]) + d.backend()
    first = bench.daemon(text, sockets=sockets)
    bench.exact(4, *STREAM, count=40)
    first.process.send_signal(signal.SIGTERM)
    assert first.exit_code() == 0, first.log()
    waiting = [bench.net.client.connect(address, d.PORT) for _ in range(12)]
    bench.daemon(text, sockets=sockets)
    bench.exact(4, *STREAM, count=40)
    recorder = Recorder(bench.net.host, d.BACKEND_PORT)
    for s in waiting:
        s.sendall(v1() + b"p")
    assert [s.recv(1) for s in waiting] == [b"p"] * len(waiting)
    for s in waiting + [s for s, _ in sockets]:
        s.close()
    recorder.close()


@pytest.mark.parametrize("address, port, kind, name, says", [
    (HOST4, 8099, socket.SOCK_STREAM, "web.socket", f'name="web.socket" address={HOST4}:8099 error="no listener binds it"'),
    (HOST4, 8080, socket.SOCK_STREAM, "other", 'error="[listener other], whose name it has, does not bind it"'),
    (HOST4, 8080, socket.SOCK_DGRAM, "main", 'socket=3 name="main" error="no TCP socket"'),
])
def test_an_inherited_socket_that_nobody_serves(bench, address, port, kind, name, says):
    with bench.net.host:
        s = socket.socket(type=kind)
    s.bind((address, port))
    if kind == socket.SOCK_STREAM:
        s.listen()
    text = d.listener(path="copy", bind=f"{HOST4}:8080") + d.listener("other", path="copy", bind=f"{HOST4}:8081") + d.backend()
    daemon = bench.daemon(text, start=False, sockets=[(s, name)]).spawn()
    assert daemon.exit_code() == 1 and says in daemon.log(), daemon.log()
    bench.daemons.remove(daemon)
    s.close()


# ---- the unit's limits ----

def test_within_the_limits_of_the_unit(bench, tmp_path):
    """dist/unproxy.service's capabilities, system calls and writable paths are enough for both engines,
    a rotation, and a second daemon that adopts what inline left."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("SKIP: no systemd-analyze on this machine")
    here = os.path.join(tools.ROOT, "tests/e2e/under_unit.py")
    wrap = ("/usr/bin/python3", here, os.path.join(tools.ROOT, "dist/unproxy.service"), str(tmp_path))
    text = inline.listener("app", 80) + d.listener(path="always") + d.backend()
    daemon = bench.daemon(text, cls=inline.InlineDaemon, wrap=wrap)
    assert daemon.events("kernel_path.on") and daemon.events("hook.on")[0]["engine"] == "relay,inline", daemon.log()
    assert daemon.events("ready")[0]["capabilities"] == "net_bind_service,net_admin,perfmon,bpf"
    bench.exact(4, *STREAM, count=20)
    app = Recorder(bench.net.host, 80, HOST4)
    assert echo(bench.net.client, HOST4, 80)
    os.rename(daemon.client_log, daemon.client_log + ".1")
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for("client_log.reopened")
    daemon.end()
    second = bench.daemon(text, cls=inline.InlineDaemon, wrap=wrap)
    assert second.wait_for("inline.on")["adopted"] == "0"
    assert echo(bench.net.client, HOST4, 80)
    app.close()
    assert not [line for line in daemon.lines + second.lines if d.LEVEL.sub("", line) != line and line.startswith(("warn", "error"))]


# ---- the watchdog ----

def ptrace(request, tid):
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.ptrace(request, tid, None, None) == 0, os.strerror(ctypes.get_errno())


def thread(pid, name):
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/comm") as f:
            if f.read() == name + "\n":
                return int(tid)
    raise AssertionError(f"no thread {name}")


def test_watchdog(bench, manager):
    """Fed while all workers turn; one that hangs starves it, though the main loop goes on."""
    daemon = bench.daemon(d.section("unproxy", workers=2) + d.listener(path="copy") + d.backend(),
                          env=manager.env(WATCHDOG_USEC="400000"))
    manager.wait_for("WATCHDOG=1")
    hanging = thread(daemon.pid, "relay-1")
    ptrace(PTRACE_ATTACH, hanging)
    os.waitpid(hanging, 0x40000000)  # __WALL
    before = len(manager.listen())
    manager.listen(1.0)
    said = len(manager.heard) - before
    ptrace(PTRACE_DETACH, hanging)
    assert said <= 1, "one answer may have been on its way"
    manager.wait_for("WATCHDOG=1", after=len(manager.heard))
