# SPDX-License-Identifier: BSD-2-Clause
"""What a start says: five lines by design, whatever the number of listeners."""
import os

from harness import daemon as d
from harness import inline

RELAY = ["start", "kernel_path.on", "hook.on", "listeners.open", "ready"]


def said(daemon):
    return [d.words(line)[0] for line in daemon.lines]


def test_five_lines(bench):
    daemon = bench.daemon(d.listener(path="always") + d.backend())
    assert said(daemon) == RELAY, daemon.log()
    assert daemon.events("start")[0]["engines"] == "relay"
    assert daemon.events("start")[0]["config"] == daemon.file
    assert daemon.events("listeners.open")[0]["list"] == f"main=[::]:{d.PORT}"
    ready = daemon.events("ready")[0]
    assert ready["workers"] == str(os.cpu_count()) and ready["io_uring"] in ("on", "off")


def test_five_lines_for_two_hundred_listeners(bench):
    """Those that the line has no room for are counted."""
    text = "".join(d.listener(f"listener-{i}", path="always", bind=[f"*:{10000 + i}", f"*:{20000 + i}"]) for i in range(200))
    daemon = bench.daemon(text + d.backend())
    assert said(daemon) == RELAY, daemon.log()
    line = daemon.events("listeners.open")[0]
    names = line["list"].partition(",")[0].split()
    assert line["listeners"] == "200" and names[1] == "listener-1=[::]:10001+1", line
    assert line["list"].endswith(f", and {200 - len(names)} more")


def test_what_is_not_wanted_has_its_line_too(bench):
    daemon = bench.daemon(d.listener(path="copy") + d.backend(client_address="none"))
    assert said(daemon) == ["start", "kernel_path.off", "hook.off", "listeners.open", "ready"], daemon.log()
    assert daemon.events("hook.off")[0]["reason"] == "not configured"


def test_inline(bench):
    """One line more with both engines."""
    text = inline.listener("app", 80) + inline.listener("moved", "81 -> 3000")
    daemon = bench.daemon(text, cls=inline.InlineDaemon)
    assert said(daemon) == ["start", "inline.on", "hook.on", "listeners.open", "ready"], daemon.log()
    assert daemon.events("listeners.open")[0]["list"] == "app=:80 moved=:81->3000"
    daemon.end()
    both = bench.daemon(text + d.listener(path="always") + d.backend(), cls=inline.InlineDaemon)
    assert sorted(said(both)) == sorted([*RELAY, "inline.on"]), both.log()
    assert both.events("start")[0]["engines"] == "relay,inline"
    both.end()
    assert both.detach().returncode == 0
