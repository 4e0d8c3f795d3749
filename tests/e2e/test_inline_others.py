# SPDX-License-Identifier: BSD-2-Clause
"""The inline engine's programs among others' on the same interfaces, and on interfaces that come and go."""
import signal

import pytest

from conftest import STAND_IN
from harness import inline, tcx
from harness.apps import Recorder, echo
from harness.inline import BOTH, detach, filters, has_clsact, listener, ours, tc_do
from harness.netns import HOST4
from harness.wait import until

pytestmark = pytest.mark.skipif(bool(STAND_IN), reason="SKIP: a stand-in has no such engine")
needs_tcx = pytest.mark.skipif(not tcx.supported(), reason="SKIP: no tcx before Linux 6.6")
CLSACT = "tcx = no\n"


@pytest.fixture
def start_clsact(start_inline):
    return lambda *sections, **options: start_inline(*sections, general=CLSACT, **options)


def foreign(ns, way, priority, protocol=17):
    """A filter that takes all packets of a protocol."""
    tc_do(ns, "filter", "add", "dev", "wire", way, "prio", str(priority), "protocol", "ip",
       "u32", "match", "ip", "protocol", str(protocol), "0xff", "flowid", "1:1")


def kinds(ns, device):
    """How our programs stand there."""
    by_tcx = [way for way, name, _id in tcx.programs(ns, device) if name.startswith("up_")]
    by_filter = [way for way, rows in filters(ns, device).items() for row in rows if row[2] == inline.HANDLE]
    return by_tcx, by_filter


# ---- tcx ----

@needs_tcx
def test_a_reload_puts_the_programs_in_place_of_themselves(bench, start_inline, host):
    Recorder(host, inline.PORT, HOST4)
    daemon = start_inline()
    for n in range(1, 4):
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for("reload.done", count=n)
    assert not daemon.events("reload.refused") and kinds(host, "wire") == (["ingress", "egress"], [])
    assert echo(bench.net.client, HOST4, inline.PORT)


@needs_tcx
@pytest.mark.parametrize("first,second", [(CLSACT, ""), ("", CLSACT)], ids=["from clsact", "from tcx"])
def test_the_next_daemon_keeps_the_kind(bench, start_inline, host, first, second):
    """Both kinds at once would take each header's length off twice."""
    Recorder(host, inline.PORT, HOST4)
    start_inline(general=first).end()
    before = kinds(host, "wire")
    ids = inline.program_ids(host, "wire")
    start_inline(general=second)
    assert kinds(host, "wire") == before and not set(inline.program_ids(host, "wire")) & set(ids), "replaced, in its place"
    assert echo(bench.net.client, HOST4, inline.PORT)


@needs_tcx
def test_a_foreign_program_stays_behind_ours(bench, start_inline, host):
    """It lets nobody behind it see a packet: before ours it would break connections."""
    Recorder(host, inline.PORT, HOST4)
    for way in inline.WAYS:
        tcx.attach_foreign(host, "wire", way)
    daemon = start_inline()
    order = [row[:2] for row in tcx.programs(host, "wire")]
    assert order == [("ingress", "up_in_eth"), ("ingress", "theirs"), ("egress", "up_out_eth"), ("egress", "theirs")]
    assert echo(bench.net.client, HOST4, inline.PORT)
    daemon.end()
    assert detach(host).returncode == 0
    assert [row[1] for row in tcx.programs(host, "wire")] == ["theirs", "theirs"]


@needs_tcx
def test_filters_of_others_see_what_ours_pass(bench, start_inline, host):
    tc_do(host, "qdisc", "add", "dev", "wire", "clsact")
    foreign(host, "ingress", 1, protocol=6)
    before = filters(host, "wire")
    Recorder(host, inline.PORT, HOST4)
    daemon = start_inline()
    assert not daemon.events("inline.behind"), "nobody stands before tcx"
    assert echo(bench.net.client, HOST4, inline.PORT)
    daemon.end()
    assert detach(host).stdout == "detached: 4 programs, 0 qdiscs, all pins\n"
    assert filters(host, "wire") == before and has_clsact(host, "wire")


# ---- clsact ----

def test_a_foreign_filter_and_its_qdisc_stay(bench, start_clsact, host):
    tc_do(host, "qdisc", "add", "dev", "wire", "clsact")
    foreign(host, "ingress", 7)
    before = filters(host, "wire")
    Recorder(host, inline.PORT, HOST4)
    daemon = start_clsact()
    assert not daemon.events("inline.behind")
    assert echo(bench.net.client, HOST4, inline.PORT)
    daemon.end()
    assert detach(host).returncode == 0
    assert filters(host, "wire") == before and has_clsact(host, "wire")
    assert not has_clsact(host, "lo")


def test_a_foreign_qdisc_without_filters_stays(start_clsact, host):
    tc_do(host, "qdisc", "add", "dev", "wire", "clsact")
    start_clsact().end()
    assert detach(host).returncode == 0
    assert has_clsact(host, "wire") and not ours(host, "wire")


def test_a_filter_that_came_later_keeps_our_qdisc(start_clsact, host):
    start_clsact().end()
    foreign(host, "egress", 5)
    assert detach(host).returncode == 0
    assert {row[1] for row in filters(host, "wire")["egress"]} == {"u32"} and not ours(host, "wire")
    assert not has_clsact(host, "lo")


def test_a_filter_at_the_first_priority(bench, start_clsact, host):
    """Another kind of filter has it: ours stands behind, found again there, and says so."""
    tc_do(host, "qdisc", "add", "dev", "wire", "clsact")
    foreign(host, "ingress", 1)
    before = filters(host, "wire")
    Recorder(host, inline.PORT, HOST4)
    first = start_clsact()
    assert first.wait_for("inline.behind")["interface"] == "wire"
    assert echo(bench.net.client, HOST4, inline.PORT)
    first.end()
    second = start_clsact()
    assert len(ours(host, "wire")) == 2, "replaced, not added"
    second.end()
    assert detach(host).stdout == "detached: 4 programs, 1 qdiscs, all pins\n"
    assert filters(host, "wire") == before


def test_an_ingress_qdisc_is_not_clsact(start_clsact, host):
    """It takes filters for the way out, and runs them on the way in."""
    tc_do(host, "qdisc", "add", "dev", "lo", "ingress")
    daemon = start_clsact(start=False)
    daemon.spawn()
    assert daemon.exit_code() == 1
    assert "there is an ingress qdisc where clsact is needed" in daemon.log()
    inline.assert_nothing_left(host)


# ---- interfaces that change ----

def test_what_others_remove_is_put_back(bench, start_clsact, host):
    Recorder(host, inline.PORT, HOST4)
    daemon = start_clsact()
    tc_do(host, "qdisc", "del", "dev", "wire", "clsact")
    assert not ours(host, "wire")
    assert daemon.wait_for("inline.attach") == {"interface": "wire", "reason": "somebody has removed our programs"}
    until(lambda: ours(host, "wire") == BOTH, "attached again")
    assert echo(bench.net.client, HOST4, inline.PORT)


def test_an_interface_that_comes_back(start_inline, host):
    host.batch("tuntap add name tun9 mode tun", "link set tun9 up")
    daemon = start_inline(listener(interfaces="tun9, lo"))
    host.batch("tuntap del name tun9 mode tun")
    assert daemon.wait_for("inline.gone")["interface"] == "tun9"
    assert len(inline.dump("attachments")) == 1
    host.batch("tuntap add name tun9 mode tun", "link set tun9 up")
    assert daemon.wait_for("inline.attach") == {"interface": "tun9", "reason": "it is new"}
    until(lambda: len(ours(host, "tun9")) == 2, "attached again")


def test_an_interface_that_cannot_be_attached_later(start_clsact, host):
    """Said once; and tried again, for when somebody mends it."""
    daemon = start_clsact(listener(interfaces=None))
    host.batch("link add late type veth peer name far")
    tc_do(host, "qdisc", "add", "dev", "late", "ingress")
    host.batch("addr add 192.0.2.1/24 dev late", "link set late up")
    assert daemon.wait_for("inline.failed")["interface"] == "late"
    tc_do(host, "qdisc", "del", "dev", "late", "ingress")
    until(lambda: ours(host, "late") == BOTH, "attached")
    assert len(daemon.events("inline.failed")) == 1
