# SPDX-License-Identifier: BSD-2-Clause
"""Readers that are slow or stand still, and what that costs the host. Nothing is lost, memory is bounded."""
import os
import signal
import time

import pytest

from conftest import STAND_IN
from harness import daemon as d
from harness import leaks, peer
from harness.wait import until

STOPPED_SECONDS = 30
PORTS = {path: 8081 + i for i, path in enumerate(d.PATHS)}
MIB = 1024


def all_paths():
    """One daemon, a listener per path; the backend differs by family (ports 3004, 3006)."""
    if STAND_IN:
        pytest.skip("SKIP: one daemon with a listener per path: not for a stand-in")
    text = "".join(d.listener(f"{path}{family}", path, f"{'0.0.0.0' if family == 4 else '[fd77::fe]'}:{PORTS[path]}", f"b{family}")
                   for path in d.PATHS for family in (4, 6))
    return text + d.backend("b4", "127.0.0.1:3004") + d.backend("b6", "[::1]:3006")


def test_stopped_and_slow_readers(bench):
    """30 s: on every path and family a download whose reader stands still, an upload whose reader
    does, and one reader at 300 KB/s; all at once. Then they go on, and every byte is there."""
    bench.daemon(all_paths())
    ends = []
    for family in (4, 6):
        count = 2 * len(d.PATHS)
        s = bench.server(family, 3000 + family, tx="data:60000000,fin", rx="go:1,data:40000000,eof", count=count, parallel=count,
                         timeout=110, rcvbuf=131072)
        clients = []
        for path in d.PATHS:
            stopped = bench.client(family, PORTS[path], tx="v2,data:40000000,fin", rx="go:1,data:60000000,eof", timeout=110, rcvbuf=131072)
            slow = bench.client(family, PORTS[path], tx="v2,data:40000000,fin", timeout=110, rcvbuf=131072,
                                rx=f"rate:{300000 * STOPPED_SECONDS}/300000,data:{60000000 - 300000 * STOPPED_SECONDS},eof")
            clients += [stopped, slow]
        ends.append((s, clients))
    daemon = bench.daemons[0]
    for s, _ in ends:
        bench.stalled(s)
    cpu, began, peak = daemon.cpu_seconds(), time.monotonic(), 0

    def over():
        nonlocal peak
        peak = max(peak, daemon.rss_kib())
        return time.monotonic() - began > STOPPED_SECONDS
    until(over, "", STOPPED_SECONDS + 10, pause=0.1)
    assert daemon.cpu_seconds() - cpu < STOPPED_SECONDS / 2, "the daemon spins on readers that stand still"
    assert peak < 64 * MIB, f"RSS {peak} KiB"
    for s, clients in ends:
        s.go(1)
        for c in clients:
            c.go(1)
    for s, clients in ends:
        results = [r for c in clients for r in c.finish(70)]
        peer.assert_exact(results, s.finish(), 2 * len(d.PATHS))


def bursts(bench, family, port, turns, burst=5_000_000):
    """A server that sends in bursts, a client that stands still at first, then reads all and asks for more."""
    server = ",".join(f"data:{burst},rx:{8 * (n + 2)}" for n in range(turns))
    client = ",".join(f"rx:{burst * (n + 1)},data:8" for n in range(turns))
    s = bench.server(family, 3000 + family, tx=f"rx:8,{server},fin", rx="rest", timeout=50)
    c = bench.client(family, port, tx=f"v1,data:8,{client},rxeof,fin", rx=",".join([f"ms:2,data:{burst}"] * turns) + ",eof",
                     rcvbuf=262144, timeout=50)
    return c, s


def test_a_thousand_flips(bench):
    """Bursts into a reader that stands still, each followed by peace: a direction goes from the kernel to
    user space and back, a thousand times in all, on `auto` over IPv4 and `always` over IPv6 at once."""
    if STAND_IN:
        pytest.skip("SKIP: a stand-in has no kernel path")
    bench.daemon(d.listener("auto", "auto", "0.0.0.0:8081", "b4") + d.listener("always", "always", "[fd77::fe]:8082", "b6")
                 + d.backend("b4", "127.0.0.1:3004") + d.backend("b6", "[::1]:3006"))
    for _ in range(8):
        pairs = [bursts(bench, 4, 8081, 300), bursts(bench, 6, 8082, 300)]
        for c, s in pairs:
            peer.assert_exact(c.finish(55), s.finish(), 1)
        if leaks.counter("congested") >= 1000:
            break
    bench.finish()
    handbacks = int(bench.daemons[0].events("stopped")[0]["handbacks"])
    assert handbacks >= 1000, f"only {handbacks} flips"


def test_flips(path_bench):
    """The same, shorter, on every path."""
    bench, family = path_bench
    s = bench.server(family, tx="rx:8,data:200000000,fin", rx="rest")
    c = bench.client(family, tx="v1,data:8,rxeof,fin", rx="flip:800000/2*200,rest", rcvbuf=262144)
    peer.assert_exact(c.finish(85), s.finish(), 1)


def test_flips_in_both_directions(path_bench):
    bench, family = path_bench
    script = "flip:400000/2*150,rest"
    s = bench.server(family, tx="data:90000000,fin", rx=script, rcvbuf=131072)
    c = bench.client(family, tx="v1,data:90000000,fin", rx=script, rcvbuf=131072)
    peer.assert_exact(c.finish(85), s.finish(), 1)


@pytest.mark.parametrize("path", ["splice", "epoll"])
def test_everybody_speaks_at_once(bench, path):
    """More connections with something to read than a worker's io_uring has buffers: all send while the daemon
    stands still, then it meets them together, first with a little each, then with a lot."""
    count = 1500
    bench.path_daemon(path, 4)
    process = bench.daemons[0].process
    s = bench.server(4, tx="rx:100,data:100,rx:300,data:3000,rx:20300,data:100000,fin", rx="data:20300,eof", count=count, parallel=count)
    c = bench.client(4, tx="v1,data:100,rx:100,go:1,data:200,rx:3100,go:2,data:20000,fin", rx="data:103100,eof", count=count, parallel=count)
    for level, sent, answered in ((1, 300, 100), (2, 20300, 3100)):
        until(lambda: c.stat()["rx"] == answered * count, "an answer to each", 20)
        process.send_signal(signal.SIGSTOP)
        c.go(level)
        until(lambda: c.stat()["tx"] == sent * count, "a question of each", 20)
        process.send_signal(signal.SIGCONT)
    peer.assert_exact(c.finish(), s.finish(), count)


def host_memory(bench):
    """KiB that sockets, slab and the daemon hold; the test's own peers hold none of it to speak of."""
    with bench.net.host, open("/proc/thread-self/net/sockstat") as f:
        pages = [line.split() for line in f if line.startswith("TCP:")][0]
    return {"slab": leaks.meminfo("Slab"), "rss": bench.daemons[0].rss_kib(),
            "sockets": int(pages[pages.index("mem") + 1]) * os.sysconf("SC_PAGE_SIZE") // 1024,
            "used": leaks.meminfo("MemTotal") - leaks.meminfo("MemAvailable")}


ASK, ANSWER = peer.turns(2, 2, 200)


def turns(bench):
    """Milliseconds of 200 questions and answers on a connection of their own, by the second listener."""
    result = bench.client(4, 8090, tx=f"v1,{ASK},fin", rx="data:400,eof").finish(30)[0]
    assert "why" not in result, result
    return result["ms"]


@pytest.mark.parametrize("path", list(d.PATHS))
def test_a_hundred_stopped_clients(bench, path):
    """100 clients that do not read, a backend that would send 1 GiB to each: at most 6 MiB each in all,
    another connection still works meanwhile, and what is read on resuming is right."""
    if STAND_IN:
        pytest.skip("SKIP: two listeners: not for a stand-in")
    count = 100
    bench.daemon(d.listener(path=path) + d.backend() + d.listener("other", path, "0.0.0.0:8090", "127.0.0.1:3001"))
    s = bench.server(4, tx="rx:8,data:1073741824", rx="rest", count=count, parallel=count, timeout=80, sndbuf=65536)
    echo = bench.server(4, 3001, tx=f"{ANSWER},fin", rx="data:400,eof", count=2, parallel=2)
    alone = turns(bench)
    before = host_memory(bench)
    c = bench.client(4, tx="v1,data:8,rx:16000000,rst", rx="go:1,data:16000000", count=count, parallel=count, timeout=80, rcvbuf=65536)
    until(lambda: s.stat()["started"] == count, "100 connections")
    held = bench.stalled(s)

    def growth():
        now = host_memory(bench)
        return {k: (now[k] - before[k]) / count for k in before}

    # The rest of the machine breathes, too: the least of a few looks counts.
    until(lambda: max(growth().values()) <= 6 * MIB, lambda: f"KiB per connection: {growth()}, {held} bytes sent", 10)
    assert turns(bench) < 20 * alone + 1000, "a connection beside 100 stopped ones does not get on"
    assert len(echo.finish()) == 2
    cpu = bench.daemons[0].cpu_seconds()
    c.go(1)
    clients = c.finish(85)
    assert len(clients) == count and all(r["rx"] == 16000000 and r["bad"] < 0 for r in clients), clients[:3]
    peer.assert_prefix(clients, s.finish())
    assert bench.daemons[0].cpu_seconds() - cpu < 60
