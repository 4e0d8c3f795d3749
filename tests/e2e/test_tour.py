# SPDX-License-Identifier: BSD-2-Clause
"""The tour of the README: each of its commands, in its order, in a root and network of its own."""
import os
import re
import subprocess

import pytest

from conftest import STAND_IN
from harness import headers, leaks, tools
from harness.apps import Recorder, ask, echo
from harness.netns import HOST4
from harness.wait import until

UNIT = f"{tools.ROOT}/dist/unproxy.service"
pytestmark = [pytest.mark.skipif(bool(STAND_IN), reason="SKIP: a stand-in has no tour"),
              pytest.mark.skipif(not os.path.exists(UNIT), reason=f"SKIP: no {UNIT}")]

# systemd is not process 1 of the place where tests run. This does what the unit says, and waits as it would for Type=notify.
SYSTEMCTL = r"""#!/bin/bash
unit=/usr/local/lib/systemd/system/unproxy.service pid=/run/unproxy.pid
value() { sed -n "s/^$1=//p" $unit; }
start() {
	[ -e "$(value ConditionPathExists)" ] || exit 0
	mkdir -p /run/unproxy /var/log/unproxy
	: >/run/journal
	setsid $(value ExecStart) </dev/null >/run/journal 2>&1 & echo $! >$pid
	until grep -q 'ready ' /run/journal; do kill -0 $(cat $pid) || exit 1; sleep 0.02; done
}
stop() { kill $(cat $pid); while kill -0 $(cat $pid) 2>/dev/null; do sleep 0.02; done; }
case "$1 $2" in
"enable --now" | "start unproxy") start ;;
"disable --now" | "stop unproxy") stop ;;
"restart unproxy") stop; start ;;
"reload unproxy")
	MAINPID=$(cat $pid); eval "$(value ExecReload)"
	until grep -q ' reload\.done ' /run/journal; do ! grep -q ' reload\.refused ' /run/journal || exit 1; sleep 0.02; done
	;;
*) echo "systemctl: not in the stand-in: $*" >&2; exit 1 ;;
esac
"""


def blocks():
    """The fenced shell blocks of the tour."""
    with open(f"{tools.ROOT}/README.md") as f:
        tour = re.search(r"^## A tour\n(.*?)^## ", f.read(), re.S | re.M)[1]
    return re.findall(r"^```sh\n(.*?)^```", tour, re.S | re.M)


@pytest.fixture
def root(root):
    """... with a systemctl that does what the tour asks of it."""
    stand_in = root.path / "usr/local/sbin/systemctl"
    stand_in.write_text(SYSTEMCTL)
    stand_in.chmod(0o755)
    yield root
    pid = root.path / "run/unproxy.pid"
    if pid.exists():
        subprocess.run(["kill", "-9", pid.read_text().strip()], stderr=subprocess.DEVNULL, check=False)


def test_every_command_of_the_tour(bench, root):
    host, client = bench.net.host, bench.net.client
    for port in (3000, 3001):
        Recorder(host, port, "127.0.0.1")
    # The tour's load balancer is in 10.0.0.0/8, and so is the client of this net.
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL")} | {"TERM": "xterm", "PAGER": "cat"}

    def run(text):
        script = root.path / "run/block"
        script.write_text(f"set -euo pipefail\ncd {tools.ROOT}\n{text}")
        # A terminal, as the reader has one.
        done = subprocess.run(host.argv(root.argv("script", "-qec", "bash /run/block", "/dev/null")), env=env, input="q", text=True,
                              capture_output=True, timeout=120)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}\n{journal(root)}"
        return done.stdout

    install, look, change, upgrade, leave = blocks()
    assert "listener cable: [::]:8080, trusts 1 network" in run(install).replace("*:8080", "[::]:8080")
    assert echo(client, HOST4, 8080, header=headers.v1("198.51.100.9"))
    until((root.path / "var/log/unproxy/clients.log").read_text, "a line in the client log")
    live = client.connect(HOST4, 8080)
    live.sendall(headers.v1("198.51.100.7", 40001) + b"a client")
    assert live.recv(100) == b"a client"
    said = run(look)
    assert all(word in said for word in ("active 1", "unproxy_connections_accepted_total", "198.51.100.9")), said

    run(change)
    assert ask(client, HOST4, 8080, headers.v1("198.51.100.66") + b"x")[1] == "rst", "denied"
    assert echo(client, HOST4, 8080), "served by the other server"
    live.sendall(b"it goes on")
    assert live.recv(100) == b"it goes on"
    live.close()

    run(upgrade)
    assert echo(client, HOST4, 8080)
    run(leave)
    assert not leaks.pins()
    left = {path for path in root.written() if "unproxy" in path and not os.path.isdir(f"{root.upper}{path}")}
    assert left == {"/etc/unproxy/unproxy.conf", "/var/log/unproxy/clients.log"}


def journal(root):
    try:
        return (root.path / "run/journal").read_text()
    except FileNotFoundError:
        return "(never started)"
