# SPDX-License-Identifier: BSD-2-Clause
"""Every byte, once, in order, in both directions, on every path, over both families.

The header is the balancer's; `v1`, `v2` in a script send one whose client tells the connection.
"""
import pytest

from conftest import STAND_IN
from harness import headers, leaks, peer, streams

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
    streams.server_speaks_first(*path_bench)


def test_request_and_answer_in_turns(path_bench):
    streams.in_turns(*path_bench)


def test_half_close_upload_after_download_eof(path_bench):
    streams.upload_after_download_eof(*path_bench)


def test_half_close_download_after_upload_eof(path_bench):
    streams.download_after_upload_eof(*path_bench)


def test_half_close_right_behind_the_header(path_bench):
    streams.fin_right_behind_the_header(*path_bench)


def test_simultaneous_fin(path_bench):
    streams.simultaneous_fin(*path_bench)


def test_fin_while_megabytes_are_queued(path_bench):
    streams.fin_while_megabytes_are_queued(*path_bench)


def test_close_behind_the_last_byte(path_bench):
    streams.close_behind_the_last_byte(*path_bench)


def test_one_byte_segments(path_bench):
    streams.one_byte_segments(*path_bench)


def test_mss_88(path_bench):
    bench, family = path_bench
    bench.exact(family, (f"hexmore:{V2},data:2000000,fin", "data:2000000,eof"), ("data:2000000,fin", "data:2000000,eof"),
                client_options={"mss": 88}, server_options={"mss": 88})


def test_upload_all_before_reading(path_bench):
    """The client reads nothing before its last byte is sent and acknowledged; both ways are full."""
    bench, family = path_bench
    bench.exact(family, ("v1,data:6000000,acked,fin", "txdone,data:30000000,eof"), ("data:30000000,fin", "data:6000000,eof"), count=2)


def test_both_directions_congested(path_bench):
    streams.both_directions_congested(*path_bench, 40000000)


def test_many_parallel_streams(path_bench):
    streams.many_parallel(*path_bench, 100)
