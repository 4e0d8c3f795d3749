# SPDX-License-Identifier: BSD-2-Clause
"""unproxy top in a real terminal: tmux, 80 columns and 24 lines, as over ssh."""
import os
import re
import subprocess

import pytest

from harness import daemon as d
from harness import tools
from harness.apps import echo
from harness.netns import HOST4
from harness.wait import until
from test_control import CLIENTS, connect, open_connections, start


class Screen:
    """A tmux server of its own, with one program in it."""

    def __init__(self, directory, ns, *argv):
        self.tmux = ["tmux", "-S", os.path.join(directory, "tmux.sock"), "-f", "/dev/null"]
        command = " ".join(ns.argv(argv)) + "; echo exit code $?; read line"
        self.run("new-session", "-d", "-x", "80", "-y", "24", command)

    def run(self, *words):
        return subprocess.run([*self.tmux, *words], check=True, capture_output=True, text=True, timeout=20,
                              env={**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8"}).stdout

    def lines(self):
        return self.run("capture-pane", "-p").split("\n")[:24]

    def keys(self, *keys):
        self.run("send-keys", *keys)

    def wait(self, condition, what):
        return until(lambda: condition(self.lines()), lambda: f"{what} on the screen:\n" + "\n".join(self.lines()))

    def close(self):
        subprocess.run([*self.tmux, "kill-server"], capture_output=True)


def test_a_daemon_that_refuses(bench, tmp_path):
    """What it says stays on the screen."""
    daemon = start(bench, "relay")
    screen = Screen(str(tmp_path), bench.net.host, tools.UNPROXY, "top", "client=10.0.0.1/8", "--control", daemon.control)
    try:
        lines = screen.wait(lambda lines: any("exit code 1" in line for line in lines) and lines, "the end")
        assert any("(bad_request)" in line for line in lines) and not any("any more" in line for line in lines), lines
    finally:
        screen.close()


@pytest.fixture
def screen(bench, tmp_path):
    daemon = start(bench, "relay")
    socks = open_connections(bench)
    socks += [connect(bench, f"198.51.100.{n}", 50000 + n) for n in range(1, 41)]
    screen = Screen(str(tmp_path), bench.net.host, tools.UNPROXY, "top", "--control", daemon.control)
    yield screen, daemon, socks
    screen.close()
    for s in socks:
        s.close()


HEAD = re.compile(r"unproxy  uptime \d+\w+  (?P<n>\d+) connections  (?P<new>[\d.]+) new/s  up (?P<up>\d[\d.]*k?)B/s  down (?P<down>\d[\d.]*k?)B/s")


def test_top(bench, screen):
    screen, daemon, socks = screen
    rows = screen.wait(lambda lines: "43 connections" in lines[0] and lines, "all connections")
    assert rows[1].startswith("connections by rate") and rows[2].startswith("CLIENT") and rows[2].endswith("DOWN")
    assert all(len(line) <= 80 for line in rows) and rows[22] and not rows[23], "the screen is filled, and does not scroll"

    assert HEAD.fullmatch(rows[0].strip()), rows[0]
    for _ in range(3):
        assert echo(bench.net.client, HOST4, d.PORT)
    head = screen.wait(lambda lines: (found := HEAD.fullmatch(lines[0].strip())) and float(found["new"]) > 0 and found, "they have come and gone")
    assert head["n"] == "43", "and are connections no more"

    screen.keys("b")
    screen.wait(lambda lines: lines[1].startswith("connections by bytes"), "by bytes")
    socks[0].sendall(b"x" * 1000)  # 5 + 1000 each way: the most of all
    screen.wait(lambda lines: (found := HEAD.fullmatch(lines[0].strip())) and found["up"] == found["down"] != "0", "bytes per second")
    screen.wait(lambda lines: lines[3].startswith(CLIENTS[0]) and "1.0k  1.0k" in lines[3], "the busiest first")
    screen.keys("c")
    screen.wait(lambda lines: lines[1].startswith("clients by bytes") and "CONNS" in lines[2] and lines[3].startswith(CLIENTS[0]), "by client")
    screen.keys("k")
    screen.wait(lambda lines: lines[3].startswith("main ") and lines[3].split()[1] == "43" and not lines[4], "one backend")
    screen.keys("p")
    screen.wait(lambda lines: lines[0].startswith("paused   uptime "), "it says that it stands still")
    screen.keys("p")
    screen.keys("l", "a")
    screen.wait(lambda lines: lines[1].startswith("connections by age") and lines[3].startswith(CLIENTS[0]), "the oldest first")
    screen.run("resize-window", "-x", "120", "-y", "10")
    screen.wait(lambda lines: any(len(line) == 120 for line in lines) and len([x for x in lines if x]) == 9, "a wide, low screen")
    screen.run("resize-window", "-x", "80", "-y", "24")
    socks.pop().close()
    screen.wait(lambda lines: "42 connections" in lines[0], "one less")
    screen.keys("q")
    screen.wait(lambda lines: lines[0] == "exit code 0", "the terminal as it was")

    once = daemon.ask("top", "once", "client=203.0.113.0/24").splitlines()
    assert "2 connections  0.0 new/s" in once[0] and len(once) == 5
    assert subprocess.run([tools.UNPROXY, "top", "--control", daemon.control], stdin=subprocess.DEVNULL, capture_output=True).returncode == 2


def test_a_daemon_that_dies(screen):
    screen, daemon, _ = screen
    screen.wait(lambda lines: "43 connections" in lines[0], "all connections")
    daemon.kill()
    screen.wait(lambda lines: any("does not answer any more" in line for line in lines) and any("exit code 1" in line for line in lines),
                "the end")
