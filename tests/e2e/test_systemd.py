# SPDX-License-Identifier: BSD-2-Clause
"""The daemon under a service manager that the test plays: what it is told, and when."""
import ctypes
import os
import select
import signal
import socket
import time

import pytest

from harness import daemon as d
from harness.headers import v1
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
