# SPDX-License-Identifier: BSD-2-Clause
"""A start that fails leaves the host as it was: no pin, program, filter, qdisc, rule or socket; and what an earlier
daemon left goes on."""
import os
import subprocess

import pytest

from conftest import STAND_IN
from harness import daemon as d
from harness import faults, inline, leaks
from harness.apps import Recorder, echo
from harness.netns import HOST4
from harness.wait import until

pytestmark = pytest.mark.skipif(bool(STAND_IN), reason="SKIP: a stand-in has another configuration")
BOTH = inline.listener("app", 8100) + d.listener(path="always") + d.backend()


def section(**keys):
    return d.section("unproxy", **keys)


def fail(bench, text, says, **options):
    """The log of a start that must not succeed."""
    daemon = bench.daemon(text, start=False, cls=inline.InlineDaemon, **options).spawn()
    code = daemon.exit_code()
    bench.daemons.remove(daemon)
    assert code == 1 and says in daemon.log(), f"exit code {code}:\n{daemon.log()}"
    return daemon


def assert_as_before(bench, daemon):
    left = [path for path, _, _ in os.walk(leaks.PINS)]
    assert not left, f"pins left: {left}\n{daemon.log()}"
    inline.assert_nothing_left(bench.net.host)
    files = set(os.listdir(daemon.directory)) - {"unproxy.conf", "clients.log", "faults"}
    assert not files, f"files left: {files}\n{daemon.log()}"


def without(*caps):
    return ("setpriv", "--bounding-set=" + ",".join(f"-{cap}" for cap in caps), "--inh-caps=-all")


WAYS = {
    "no such user": (section(user="nobody-of-that-name") + d.listener() + d.backend(), "there is no such user", {}),
    "a user, and inline": (section(user="nobody") + BOTH, "user: is not for engine = inline", {}),
    "a user, and no right to": (section(user="nobody") + d.listener(path="always") + d.backend(), "privileges.failed", {"wrap": without("setuid")}),
    "a deny file that is none": (section(deny_file="/etc/passwd") + BOTH, "/etc/passwd:1", {}),
    "no such interface": (BOTH.replace("wire, lo", "lo, nowhere"), "there is no such interface", {}),
    "too few privileges": (BOTH, ".failed error=", {"wrap": without("sys_admin", "perfmon")}),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_start_that_fails(bench, way):
    text, says, options = WAYS[way]
    assert_as_before(bench, fail(bench, text, says, **options))


def test_what_others_have(bench):
    """Ports, and a place on an interface: found when the first interface has its programs already."""
    host = bench.net.host
    for port, more in ((d.PORT, ""), (9180, section(metrics="127.0.0.1:9180"))):
        holder = host.listen("127.0.0.1", port)
        assert_as_before(bench, fail(bench, more + BOTH, "Address already in use"))
        holder.close()
    subprocess.run(host.argv(["tc", "qdisc", "add", "dev", "lo", "ingress"]), check=True)
    daemon = fail(bench, section(tcx="no") + BOTH, "there is an ingress qdisc where clsact is needed")
    subprocess.run(host.argv(["tc", "qdisc", "del", "dev", "lo", "ingress"]), check=True)
    assert_as_before(bench, daemon)


def test_what_an_earlier_daemon_left_goes_on(bench):
    """The failed one takes nothing of it away."""
    Recorder(bench.net.host, 8100, HOST4)
    first = bench.daemon(BOTH, cls=inline.InlineDaemon)
    first.ask("deny", "add", "192.0.2.7")
    first.end()
    before = inline.ours(bench.net.host, "wire"), leaks.pins()
    daemon = bench.daemon(BOTH, start=False, cls=inline.InlineDaemon)
    fault = faults.Faults(daemon.directory)
    daemon.env = fault.env
    fault.arm("pthread_create", "EAGAIN")
    assert daemon.spawn().exit_code() == 1 and daemon.events("inline.on")[0]["adopted"] == "0", daemon.log()
    assert (inline.ours(bench.net.host, "wire"), leaks.pins()) == before
    assert echo(bench.net.client, HOST4, 8100), "headers are cut without a daemon"
    bench.daemons.remove(daemon)
    assert inline.detach(bench.net.host).returncode == 0
    assert_as_before(bench, daemon)


# enum bpf_cmd; and which of them fails: each kind of step of a start, the first and one in its midst
MAP_UPDATE_ELEM, OBJ_PIN, PROG_ATTACH, MAP_LOOKUP_BATCH = 2, 6, 8, 24
STEPS = [("epoll_ctl", faults.ANY, 5), ("epoll_ctl", faults.ANY, 12), ("socket", faults.ANY, 5), ("pthread_create", faults.ANY, 0),
         ("pthread_create", faults.ANY, 1), ("bpf", MAP_LOOKUP_BATCH, 0), ("bpf", PROG_ATTACH, 1), ("bpf", PROG_ATTACH, 4), ("bpf", OBJ_PIN, 9),
         ("bpf", OBJ_PIN, 15), ("bpf", OBJ_PIN, 20), ("bpf", OBJ_PIN, 28), ("bpf", OBJ_PIN, 33), ("bpf", OBJ_PIN, 39), ("bpf", MAP_UPDATE_ELEM, 9)]


def test_each_step_in_turn(bench):
    """Either the start fails, says why, and leaves nothing; or it goes without, says so, and its end and detach leave nothing."""
    daemon = bench.daemon(BOTH, start=False, cls=inline.InlineDaemon)
    fault = faults.Faults(daemon.directory)
    daemon.env, failed = fault.env, 0
    for call, only, skip in STEPS:
        daemon.lines.clear()
        fault.arm(call, "ENOMEM", skip=skip, only=only)
        daemon.spawn()
        until(lambda: not daemon.alive() or daemon.events("ready"), daemon.log)
        assert fault.failed(call), f"{call} {only} was not called {skip + 1} times:\n{daemon.log()}"
        if daemon.alive():
            daemon.stop()
        else:
            assert daemon.exit_code() == 1, daemon.log()
            failed += 1
        assert "Cannot allocate memory" in daemon.log()
        assert_as_before(bench, daemon)
    assert 0 < failed < len(STEPS), "both happen"
