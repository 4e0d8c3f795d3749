# SPDX-License-Identifier: BSD-2-Clause
"""Connections that do not end well: an RST arrives as an RST, and never as a clean end."""
import signal

import pytest

from conftest import STAND_IN
from harness import peer
from harness.wait import until

COUNT = 60


def assert_aborted(results):
    """Each of them saw an RST."""
    assert results and all(r["end"] == "rst" for r in results), [r for r in results if r["end"] != "rst"][:3]


def test_client_resets_at_a_random_offset(path_bench):
    """While both directions are busy. Some resets are faster than the connection to the server."""
    bench, family = path_bench
    s = bench.server(family, tx="data:20000000", rx="aborted", count=COUNT, parallel=COUNT)
    c = bench.client(family, tx="v1,data:8-3000000,rst", rx="rest", count=COUNT, parallel=8)
    clients = c.finish()
    if bench.path != "haproxy":
        bench.daemons[0].records(COUNT)
    servers = s.settle()
    # An RST overtakes data: of some connections the server sees nothing but that, of how many is a matter of speed.
    seen = {r["rx_seed"] for r in servers if r["rx"] >= 8}
    assert seen
    peer.assert_prefix([c for c in clients if c["seed"] in seen], [r for r in servers if r["rx"] >= 8])
    peer.assert_scripts(servers)
    assert_aborted(servers)


def test_client_resets_where_a_flow_is_promoted(path_bench):
    """The RST is there already when the path changes: whoever meets it first must not forget it."""
    bench, family = path_bench
    s = bench.server(family, rx="aborted", count=10 * COUNT, parallel=10 * COUNT)
    c = bench.client(family, tx="v1,data:60000-140000,rst", count=10 * COUNT, parallel=2)
    c.finish()
    if bench.path != "haproxy":
        bench.daemons[0].records(10 * COUNT)
    servers = s.settle()
    assert len(servers) > COUNT
    peer.assert_scripts(servers)
    assert_aborted(servers)


def test_server_resets_at_a_random_offset(path_bench):
    bench, family = path_bench
    clients, servers = bench.exchange(family, ("v2,data:20000000", "aborted"), ("rx:8,data:1-3000000,rst", "rest"), COUNT, parallel=8)
    peer.assert_prefix(clients, servers)
    peer.assert_scripts(clients, COUNT)
    assert_aborted(clients)


def test_reset_of_an_idle_connection(path_bench):
    bench, family = path_bench
    clients, servers = bench.exchange(family, ("v1,data:100,rx:100,ms:50,rst", "rest"), ("rx:100,data:100", "aborted"), 20)
    peer.assert_prefix(clients, servers)
    assert_aborted(servers)
    clients, servers = bench.exchange(family, ("v1,data:100", "aborted"), ("rx:100,data:100,ms:50,rst", "rest"), 20)
    peer.assert_prefix(clients, servers)
    assert_aborted(clients)


def test_reset_after_half_close(path_bench):
    """The half that is still open carries the RST."""
    bench, family = path_bench
    clients, servers = bench.exchange(family, ("v1,data:1000,fin", "aborted"), ("rxeof,data:500000,rst", "data:1000,eof"), 20)
    peer.assert_prefix(clients, servers)
    assert_aborted(clients)
    clients, servers = bench.exchange(family, ("v1,data:8,rxeof,data:500000,rst", "data:1000,eof"), ("rx:8,data:1000,fin", "aborted"), 20)
    peer.assert_prefix(clients, servers)
    assert_aborted(servers)


def test_reset_while_the_reader_stands_still(path_bench):
    """The client is full and paused when the server resets: never a clean EOF on what it reads later."""
    bench, family = path_bench
    s = bench.server(family, tx="rx:8,data:30000000", rx="data:8,go:1,rst", count=4, parallel=4)
    c = bench.client(family, tx="v1,data:8", rx="go:2,aborted", count=4, parallel=4, rcvbuf=65536)
    bench.stalled(s)
    s.go(1)
    servers = s.finish()
    c.go(2)
    clients = c.finish()
    peer.assert_prefix(clients, servers)
    peer.assert_scripts(clients, 4)


def test_backend_that_dies(path_bench):
    """kill -9 of the server in the midst of everything: every client gets an RST."""
    bench, family = path_bench
    s = bench.server(family, tx="data:4000000000", rx="rest", count=20, parallel=20)
    c = bench.client(family, tx="v1,data:4000000000", rx="rest", count=20, parallel=20)
    until(lambda: s.stat()["rx"] > 5000000 and s.stats[-1]["started"] == 20, "traffic")
    s.process.send_signal(signal.SIGKILL)
    clients = c.finish()
    assert len(clients) == 20 and all(r["bad"] < 0 for r in clients)
    assert_aborted(clients)


def test_client_that_dies(path_bench):
    bench, family = path_bench
    s = bench.server(family, tx="data:4000000000", rx="rest", count=20, parallel=20)
    c = bench.client(family, tx="v1,data:4000000000", rx="rest", count=20, parallel=20)
    until(lambda: s.stat()["rx"] > 5000000 and s.stats[-1]["started"] == 20, "traffic")
    c.process.send_signal(signal.SIGKILL)
    servers = s.finish()
    assert len(servers) == 20 and all(r["bad"] < 0 for r in servers)
    assert_aborted(servers)


@pytest.mark.skipif(bool(STAND_IN), reason="SKIP: a stand-in ends otherwise")
def test_daemon_that_dies(path_bench):
    """kill -9 of it while nothing is on its way: whoever thinks there was more to come must not take it for the end."""
    bench, family = path_bench
    s = bench.server(family, tx="rx:1000,data:200000", rx="aborted", count=20, parallel=20)
    c = bench.client(family, tx="v1,data:1000", rx="aborted", count=20, parallel=20)
    until(lambda: c.stat()["rx"] == 20 * 200000, "all that was sent")
    bench.daemons[0].kill()
    clients, servers = c.finish(), s.finish()
    peer.assert_prefix(clients, servers)
    assert len(clients) == len(servers) == 20
    assert_aborted(clients)
    assert_aborted(servers)


def test_short_connections(path_bench):
    """A question, an answer, an immediate close; none broken. (20,000 in all over the matrix' rows.)"""
    bench, family = path_bench
    before = bench.daemons[0].cpu_seconds()
    bench.exact(family, ("v1:1,data:300", "data:4000,eof"), ("rx:300,data:4000,close", "data:300"), count=2500, parallel=32)
    bench.exact(family, ("v2:1,data:300,fin", "data:70000,eof"), ("rx:300,data:70000,fin", "data:300,eof"), count=500, parallel=32)
    if bench.path != "haproxy":
        assert len(bench.daemons[0].records(3000, event="end")) == 3000
    assert bench.daemons[0].cpu_seconds() - before < 30
