# SPDX-License-Identifier: BSD-2-Clause
"""Every byte, once, in order, in both directions, on every path, over both families.

The header is the balancer's; `v1`, `v2` in a script send one whose client tells the connection.
"""
import pytest

from conftest import STAND_IN
from harness import headers, leaks, peer

MB = 1 << 20
V1 = headers.v1().hex()
V1_TCP6 = headers.v1("2001:db8::7", 40000, "2001:db8::1", 443).hex()
V2 = headers.v2(tlvs=headers.tlv(2, b"example.org"), crc=True).hex()
V2_TCP6 = headers.v2("2001:db8::7", 40000, "2001:db8::1", 443).hex()


def assert_path(bench, bulk):
    """The bulk went, as far as the receiver kept up, the way it was meant to go."""
    if bench.path == "haproxy":
        return
    records = bench.daemons[0].records(event="end")
    paths = {r[f"path_{way}"] for r in records for way in ("up", "down") if r[f"bytes_{way}"] > bulk}
    if bench.path in ("copy", "splice"):
        assert paths == {bench.path}, records
    else:
        redirected = leaks.counter("redirected_bytes")
        assert paths <= {"kernel", "copy", "splice"} and redirected > bulk / 100, (paths, redirected)


def test_bulk_both_ways(path_bench):
    bench, family = path_bench
    bench.exact(family, ("v2,data:32000000,fin", "data:48000000,eof"), ("data:48000000,fin", "data:32000000,eof"))
    bench.daemons[0].records(1, event="end")
    assert_path(bench, 1000000)


def test_bulk_one_way(path_bench):
    bench, family = path_bench
    bench.exact(family, ("v1,data:60000000,fin", "data:10,eof"), ("rxeof,data:10,fin", "data:60000000,eof"))
    bench.exact(family, ("v1,data:10", "data:60000000,eof"), ("rx:10,data:60000000,fin", "data:10,eof"))
    bench.daemons[0].records(2, event="end")
    assert_path(bench, 1000000)


@pytest.mark.parametrize("path, family", [("auto", 4), ("always", 6)])
def test_the_kernel_moves_what_fits(bench, path, family):
    """Large answers to a reader that keeps up: the kernel moves most of the bytes, and the log says so."""
    if STAND_IN:
        pytest.skip("SKIP: a stand-in has no kernel path")
    bench.path_daemon(path, family)
    size, turns = 400000, 200
    client, server = peer.turns(8, size, turns)
    bench.exact(family, (f"v1,{client},fin", f"data:{size * turns},eof"), (f"{server},fin", f"data:{8 * turns},eof"))
    record = bench.daemons[0].records(1, event="end")[0]
    assert record["path_down"] == "kernel" and leaks.counter("redirected_bytes") > size * turns / 2, record


def test_early_data_behind_the_header(path_bench):
    """1 B to 1 MB in the header's own segment and behind it, with and without a FIN at once."""
    bench, family = path_bench
    for size in (1, 2, 7, 100, 1447, 1448, 1449, 8192, 65535, 65536, 262144, MB):
        bench.exact(family, (f"hexmore:{V1},data:{size},fin", "data:5000,eof"), ("data:5000,fin", f"data:{size},eof"))
    for header in (V1_TCP6, V2, V2_TCP6):
        bench.exact(family, (f"hexmore:{header},data:{MB}", "data:5000,eof"),
                    (f"rx:{MB},data:5000,fin", f"data:{MB},eof"))


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
def test_header_split_at_every_byte(path_bench, header):
    """Connection n sends n + 1 bytes, waits for their ACK, sends the rest; one more byte by byte."""
    bench, family = path_bench
    n = len(header) // 2
    bench.exact(family, (f"split:{header},data:3000", "data:100000,eof"), ("rx:3000,data:100000,fin", "data:3000,eof"), count=n, parallel=4)
    bench.exact(family, (f"trickle:{header},data:3000", "data:100000,eof"), ("rx:3000,data:100000,fin", "data:3000,eof"))


def test_header_alone_then_silence_then_data(path_bench):
    bench, family = path_bench
    bench.exact(family, ("v1,acked,ms:300,data:200000,acked,ms:100,data:100,fin", "data:150000,eof"),
                ("rx:200000,data:150000,fin", "data:200100,eof"), count=8)


def test_server_speaks_first(path_bench):
    bench, family = path_bench
    bench.exact(family, ("v2,rx:300000,data:200000,fin", "data:300050,eof"), ("data:300000,rx:200000,data:50,fin", "data:200000,eof"), count=8)


def test_request_and_answer_in_turns(path_bench):
    """Many small turns: the shape in which a missed wake-up hangs."""
    bench, family = path_bench
    client = ",".join(f"data:{n % 700 + 1},rx:{8 * (n + 1)}" for n in range(300))
    sums = 0
    server = []
    for n in range(300):
        sums += n % 700 + 1
        server.append(f"rx:{sums},data:8")
    bench.exact(family, (f"v1,{client},fin", "data:2400,eof"), (",".join(server) + ",fin", f"data:{sums},eof"), count=8)


def test_half_close_upload_after_download_eof(path_bench):
    bench, family = path_bench
    bench.exact(family, ("v1,rxeof,data:3000000,fin", "data:100000,eof"), ("data:100000,fin", "data:3000000,eof"), count=4)


def test_half_close_download_after_upload_eof(path_bench):
    bench, family = path_bench
    bench.exact(family, ("v1,data:100000,fin", "data:3000000,eof"), ("rxeof,data:3000000,fin", "data:100000,eof"), count=4)


def test_half_close_right_behind_the_header(path_bench):
    """No byte but the header, then FIN: the server's answer still arrives."""
    bench, family = path_bench
    bench.exact(family, ("v1:1,data:0,fin", "data:2000000,eof"), ("rxeof,data:2000000,fin", "eof"))


def test_simultaneous_fin(path_bench):
    """Both ends hold their FIN until both have all the bytes, then send it at once."""
    bench, family = path_bench
    bench.exact(family, ("v1,data:300000,rx:300000,fin", "data:300000,eof"),
                ("data:300000,rx:300000,fin", "data:300000,eof"), count=50)


def test_fin_while_megabytes_are_queued(path_bench):
    """The reader stands still until the sender has closed behind its last byte."""
    bench, family = path_bench
    s = bench.server(family, tx="go:1,fin", rx="go:1,data:12000000,eof", rcvbuf=65536)
    c = bench.client(family, tx="v1,data:12000000,fin", rx="eof")
    held = bench.stalled(c)
    s.go(1)
    peer.assert_exact(c.finish(), s.finish(), 1)
    assert held > 100000, "the sender could not even fill a socket buffer"


def test_close_behind_the_last_byte(path_bench):
    """The server closes (not only its half) with data in flight; the client reads late."""
    bench, family = path_bench
    bench.exact(family, ("v1,data:100", "ms:50,data:5000000,eof"), ("rx:100,data:5000000,close", "data:100"), count=8)


def test_one_byte_segments(path_bench):
    bench, family = path_bench
    bench.exact(family, ("v1,data:20000/1,fin", "data:20000,eof"), ("data:20000/1,fin", "data:20000,eof"), count=4)


def test_mss_88(path_bench):
    bench, family = path_bench
    bench.exact(family, (f"hexmore:{V2},data:2000000,fin", "data:2000000,eof"), ("data:2000000,fin", "data:2000000,eof"),
                client_options={"mss": 88}, server_options={"mss": 88})


def test_upload_all_before_reading(path_bench):
    """The client reads nothing before its last byte is sent and acknowledged; both ways are full."""
    bench, family = path_bench
    bench.exact(family, ("v1,data:6000000,acked,fin", "txdone,data:30000000,eof"), ("data:30000000,fin", "data:6000000,eof"), count=2)


def test_both_directions_congested(path_bench):
    """Nobody reads until both senders are stuck, then both read at a trickle, then at once."""
    bench, family = path_bench
    rx = "go:1,rate:200000/1000000,data:39800000,eof"
    s = bench.server(family, tx="data:40000000,fin", rx=rx, rcvbuf=32768)
    c = bench.client(family, tx="v1,data:40000000,fin", rx=rx, rcvbuf=32768)
    bench.stalled(c)
    bench.stalled(s)
    s.go(1)
    c.go(1)
    peer.assert_exact(c.finish(), s.finish(), 1)


def test_many_parallel_streams(path_bench):
    """Each stream has content of its own: bytes of one connection in another are found."""
    bench, family = path_bench
    bench.exact(family, ("v2,data:100000-600000,fin", "rest,eof"), ("data:100000-600000,fin", "rest,eof"), count=100, parallel=50)
