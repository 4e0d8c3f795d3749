# SPDX-License-Identifier: BSD-2-Clause
"""Exchanges that every engine and path has to bring through whole: a client in front, a server behind."""
from . import peer


def in_turns(bench, family):
    """Many small turns: the shape in which a missed wake-up hangs."""
    client = ",".join(f"data:{n % 700 + 1},rx:{8 * (n + 1)}" for n in range(300))
    sums = 0
    server = []
    for n in range(300):
        sums += n % 700 + 1
        server.append(f"rx:{sums},data:8")
    bench.exact(family, (f"v1,{client},fin", "data:2400,eof"), (",".join(server) + ",fin", f"data:{sums},eof"), count=8)


def server_speaks_first(bench, family):
    bench.exact(family, ("v2,rx:300000,data:200000,fin", "data:300050,eof"), ("data:300000,rx:200000,data:50,fin", "data:200000,eof"), count=8)


def upload_after_download_eof(bench, family):
    bench.exact(family, ("v1,rxeof,data:3000000,fin", "data:100000,eof"), ("data:100000,fin", "data:3000000,eof"), count=4)


def download_after_upload_eof(bench, family):
    bench.exact(family, ("v1,data:100000,fin", "data:3000000,eof"), ("rxeof,data:3000000,fin", "data:100000,eof"), count=4)


def fin_right_behind_the_header(bench, family):
    """No byte but the header, then FIN: the server's answer still arrives."""
    bench.exact(family, ("v1:1,data:0,fin", "data:2000000,eof"), ("rxeof,data:2000000,fin", "eof"))


def simultaneous_fin(bench, family):
    """Both ends hold their FIN until both have all the bytes, then send it at once."""
    bench.exact(family, ("v1,data:300000,rx:300000,fin", "data:300000,eof"),
                ("data:300000,rx:300000,fin", "data:300000,eof"), count=50)


def fin_while_megabytes_are_queued(bench, family):
    """The reader stands still until the sender has closed behind its last byte."""
    s = bench.server(family, tx="go:1,fin", rx="go:1,data:12000000,eof", rcvbuf=65536)
    c = bench.client(family, tx="v1,data:12000000,fin", rx="eof")
    held = bench.stalled(c)
    s.go(1)
    peer.assert_exact(c.finish(), s.finish(), 1)
    assert held > 100000, "the sender could not even fill a socket buffer"


def close_behind_the_last_byte(bench, family):
    """The server closes (not only its half) with data in flight; the client reads late."""
    bench.exact(family, ("v1,data:100", "ms:50,data:5000000,eof"), ("rx:100,data:5000000,close", "data:100"), count=8)


def one_byte_segments(bench, family):
    bench.exact(family, ("v1,data:20000/1,fin", "data:20000,eof"), ("data:20000/1,fin", "data:20000,eof"), count=4)


def both_directions_congested(bench, family, size):
    """Nobody reads until both senders are stuck, then both read at a trickle, then at once."""
    rx = f"go:1,rate:200000/1000000,data:{size - 200000},eof"
    s = bench.server(family, tx=f"data:{size},fin", rx=rx, rcvbuf=32768)
    c = bench.client(family, tx=f"v1,data:{size},fin", rx=rx, rcvbuf=32768)
    bench.stalled(c)
    bench.stalled(s)
    s.go(1)
    c.go(1)
    peer.assert_exact(c.finish(), s.finish(), 1)


def many_parallel(bench, family, count):
    """Each stream has content of its own: bytes of one connection in another are found."""
    bench.exact(family, ("v2,data:100000-600000,fin", "rest,eof"), ("data:100000-600000,fin", "rest,eof"), count=count, parallel=50)
