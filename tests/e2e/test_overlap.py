# SPDX-License-Identifier: BSD-2-Clause
"""Segments that repeat a part of what has been delivered: a sender that has lost track of what arrived."""
import random

import pytest

from conftest import STAND_IN
from harness import daemon as d
from harness import headers
from harness.segments import Segments, long_segments

STEP = 60_000  # by so much the host's window is opened

pytestmark = pytest.mark.skipif(bool(STAND_IN), reason="SKIP: it is the kernel that repeats")


@pytest.fixture(params=d.PATHS)
def crafted(bench, net, request):
    """A connection made by hand, its server's side, and what it has to say."""
    for ns in (net.client, net.host):
        if not long_segments(ns, "wire", 500_000):
            pytest.skip("SKIP: this kernel has no IPv4 segments beyond 64 KiB (Linux 6.3)")
    net.host.sysctl(ipv4__tcp_rmem="4096 4000000 8000000")  # a window that opens soon
    bench.path_daemon(request.param, 4)
    listening = net.host.listen("127.0.0.1", d.BACKEND_PORT)
    said, data = headers.v1(), random.Random(request.param).randbytes(8_000_000)
    s = Segments(net, d.PORT)
    s.send(0, said)
    s.begun = len(said)
    s.until_acked(s.begun)
    server = listening.accept()[0]
    server.settimeout(20)
    yield s, server, data
    s.close()
    server.close()
    listening.close()


def receive(server, n):
    got = bytearray()
    while len(got) < n:
        data = server.recv(n - len(got))
        assert data, f"{len(got)} of {n}, and an end"
        got += data
    return bytes(got)


def test_a_segment_repeats_what_was_delivered(crafted):
    """It came before what was missing; and that came with more behind it."""
    s, server, data = crafted
    at = 0

    def send(start, end):
        s.send(s.begun + start, data[start:end])

    def arrived(end):
        nonlocal at
        s.until_acked(s.begun + end)
        assert receive(server, end - at) == data[at:end]
        at = end

    for filled, far in ((299_999, 300_000), (150_000, 190_000), (98_282, 110_000), (60_000, 60_001), (4096, 9000), (4095, 4097),
                        (1400, 1500), (2, 3)):
        while s.window < 2 * far:
            send(at, at + STEP)
            arrived(at + STEP)
        send(at + 1, at + far)
        send(at, at + filled)
        arrived(at + far)
    send(at - 3000, at)  # all of it
    send(at - 3000, at + 1)
    arrived(at + 1)
