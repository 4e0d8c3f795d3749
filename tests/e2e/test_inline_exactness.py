# SPDX-License-Identifier: BSD-2-Clause
"""The inline engine: every byte, once, in order, both ways, over a veth pair and over lo, both families.

There is one connection only: client and app are its two ends, the header is all that goes missing.
"""
import pytest

from conftest import BARE
from harness import headers, streams
from harness import daemon as d
from harness.wait import until

MB = 1 << 20
V1 = headers.v1().hex()
V2 = headers.v2(tlvs=headers.tlv(2, b"example.org"), crc=True).hex()
V2_TCP6 = headers.v2("2001:db8::7", 40000, "2001:db8::1", 443).hex()
V2_LONG = headers.v2(tlvs=headers.tlv(0xE5, b"x" * 1400), crc=True).hex()


def snmp(ns, *names):
    """Counters of nstat, of a namespace, both families."""
    with ns, open("/proc/thread-self/net/snmp") as f, open("/proc/thread-self/net/netstat") as g:
        lines = f.read().splitlines() + g.read().splitlines()
    values = {}
    for keys, numbers in zip(lines[::2], lines[1::2]):
        prefix = keys.split(":")[0]
        values.update(zip([prefix + k for k in keys.split()[1:]], map(int, numbers.split()[1:])))
    return {name: values[name] for name in names}


def test_bulk_both_ways(wire):
    bench, family = wire
    bench.exact(family, ("v2,data:16000000,fin", "data:24000000,eof"), ("data:24000000,fin", "data:16000000,eof"))
    for record in bench.records(1, event="end"):
        assert record["engine"] == "inline" and record["listener"] == "main", record
        assert (record["bytes_up"], record["bytes_down"]) == (16000000, 24000000), record
        assert record["client_ip"] == "198.51.0.0" and record["version"] == 2 and record["header_len"] == 28, record


def test_bulk_one_way(wire):
    bench, family = wire
    bench.exact(family, ("v1,data:30000000,fin", "data:10,eof"), ("rxeof,data:10,fin", "data:30000000,eof"))
    bench.exact(family, ("v1,data:10", "data:30000000,eof"), ("rx:10,data:30000000,fin", "data:10,eof"))


def test_early_data_behind_the_header(wire):
    """1 B to 1 MB in the header's own segment and behind it, with a FIN at once."""
    bench, family = wire
    for size in (1, 2, 7, 1447, 1448, 1449, 65535, MB):
        bench.exact(family, (f"hexmore:{V1},data:{size},fin", "data:5000,eof"), ("data:5000,fin", f"data:{size},eof"))
    for header in (V2, V2_TCP6, V2_LONG):
        bench.exact(family, (f"hexmore:{header},data:{MB}", "data:5000,eof"), (f"rx:{MB},data:5000,fin", f"data:{MB},eof"))


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
def test_header_split_at_every_byte(wire, header):
    """Connection n sends n + 1 bytes and the rest: once they are acknowledged, at once, 50 ms later; by
    a sender with and one without Nagle's algorithm; one more byte by byte, each of them acknowledged."""
    bench, family = wire
    n = len(header) // 2
    server = ("rx:3000,data:20000,fin", "data:3000,eof")
    for word, options in (("split", {}), ("cut", {}), ("cut", {"nagle": 1}), ("cut", {"gap": 50}), ("cut", {"gap": 50, "nagle": 1})):
        bench.exact(family, (f"{word}:{header},data:3000", "data:20000,eof"), server, count=n, parallel=n, client_options=options)
    bench.exact(family, (f"trickle:{header},data:3000", "data:20000,eof"), server, count=4)


def test_header_alone_then_silence_then_data(wire):
    """Nothing but the header, then silence: the sender is answered, or it would send it again and again."""
    bench, family = wire
    sender = bench.net.host if bench.wire == "lo" else bench.net.client
    bench.exact(family, ("v1,data:8,fin", "data:8,eof"), ("data:8,fin", "data:8,eof"))  # neighbours know each other now
    before = snmp(sender, "TcpRetransSegs", "TcpExtTCPTimeouts", "TcpExtTCPLossProbes")
    bench.exact(family, ("v1,ms:1500,data:20000,acked,ms:100,data:100,fin", "data:15000,eof"),
                ("rx:20000,data:15000,fin", "data:20100,eof"), count=8)
    assert snmp(sender, "TcpRetransSegs", "TcpExtTCPTimeouts", "TcpExtTCPLossProbes") == before


def test_silence_before_the_header(wire):
    """Longer than the app's host waits before it says its SYN-ACK again; the app accepts behind the header."""
    bench, family = wire
    bench.exact(family, (f"ms:1500,split:{V2},data:20000,fin", "data:15000,eof"), ("data:15000,fin", "data:20000,eof"), count=16)


def test_no_accept_before_the_header(wire):
    """What TCP_DEFER_ACCEPT does, for every app: nothing is there to accept until the client is known."""
    if BARE:
        pytest.skip("SKIP: the bare kernel accepts at the handshake")
    bench, family = wire
    address = d.LISTEN[family]
    app = bench.net.host.listen(address, d.PORT)
    app.setblocking(False)
    clients = [(bench.net.host if bench.wire == "lo" else bench.net.client).connect(address, d.PORT) for _ in range(8)]
    for part in (V2[:2], V2[2:20], V2[20:-2]):
        for c in clients:
            c.sendall(bytes.fromhex(part))
        with pytest.raises(BlockingIOError):
            app.accept()
    for c in clients:
        c.sendall(bytes.fromhex(V2[-2:]))
    accepted = []

    def all_there():
        try:
            accepted.append(app.accept()[0])
        except BlockingIOError:
            pass
        return len(accepted) == len(clients)
    until(all_there, "8 connections to accept")
    for s in accepted + clients + [app]:
        s.close()


def test_server_speaks_first(wire):
    streams.server_speaks_first(*wire)


def test_request_and_answer_in_turns(wire):
    streams.in_turns(*wire)


def test_half_closes(wire):
    """Each side first, with data after it; right behind the header, with and without waiting; both at once."""
    bench, family = wire
    streams.upload_after_download_eof(bench, family)
    streams.download_after_upload_eof(bench, family)
    streams.fin_right_behind_the_header(bench, family)
    bench.exact(family, ("v1,acked,fin", "data:2000,eof"), ("rxeof,data:2000,fin", "eof"))
    streams.simultaneous_fin(bench, family)


def test_fin_while_megabytes_are_queued(wire):
    streams.fin_while_megabytes_are_queued(*wire)


def test_close_behind_the_last_byte(wire):
    streams.close_behind_the_last_byte(*wire)


def test_one_byte_segments(wire):
    streams.one_byte_segments(*wire)


def test_upload_all_before_reading(wire):
    bench, family = wire
    bench.exact(family, ("v1,data:3000000,acked,fin", "txdone,data:15000000,eof"), ("data:15000000,fin", "data:3000000,eof"), count=2)


def test_both_directions_congested(wire):
    streams.both_directions_congested(*wire, 10000000)


def test_small_windows(wire):
    """Senders that wait for each other's window all the time, and some that stand before a closed one."""
    bench, family = wire
    small = {"rcvbuf": 2304}
    bench.exact(family, ("v2,data:100000,fin", "data:100000,eof"), ("data:100000,fin", "data:100000,eof"), count=4,
                client_options=small, server_options=small)
    bench.exact(family, ("v2,data:300000,fin", "ms:700,data:300000,eof"), ("data:300000,fin", "ms:700,data:300000,eof"), count=4,
                client_options=small, server_options=small)


def test_many_parallel_streams(wire):
    streams.many_parallel(*wire, 50)


@pytest.mark.parametrize("mss", [88, 536, 1000, 9000, 64000])
def test_mss(inline, mss):
    """Down to 88 bytes, up to segments of nearly 64 KiB: the line lets all of them pass."""
    for ns in (inline.net.client, inline.net.host):
        ns.batch("link set wire mtu 65535")
    inline.start()
    size = 1000000 if mss < 1000 else 6000000
    for family in (4, 6):
        for header in (V2, V2_LONG):
            inline.exact(family, (f"hexmore:{header},data:{size},fin", f"data:{size},eof"), (f"data:{size},fin", f"data:{size},eof"),
                         client_options={"mss": mss}, server_options={"mss": mss})
        inline.exact(family, (f"split:{V2},data:3000", "data:20000,eof"), ("rx:3000,data:20000,fin", "data:3000,eof"),
                     count=len(V2) // 2, client_options={"mss": mss}, server_options={"mss": mss})


OFFLOADS = {
    "all-on": ["tx on rx on tso on gso on gro on", "tx on rx on tso on gso on gro on"],
    "all-off": ["tx off rx off tso off gso off gro off", "tx off rx off tso off gso off gro off"],
    "client-sums": ["tx off tso off gso on gro on", "rx on gro on gso on"],
    "client-sums-host-gro-off": ["tx off tso off gso off gro off", "rx off gro off gso off tso off"],
    "host-checks-with-gro": ["tx off tso off gso off gro off", "rx off gro on gso on tso on"],
    "tso-only": ["tx on tso on gso off gro off", "tx on tso on gso off gro off"],
    "gso-only": ["tx on tso off gso on gro off", "tx on tso off gso on gro on"],
}


@pytest.mark.parametrize("offloads", OFFLOADS)
def test_offloads(inline, offloads):
    """Who computes checksums and who cuts segments: the four states a packet's checksum can be in, whole and in parts."""
    for ns, settings in zip((inline.net.client, inline.net.host), OFFLOADS[offloads]):
        ns.run("ethtool", "-K", "wire", *settings.split())
    inline.start()
    names = "TcpInCsumErrors", "IpInHdrErrors"
    before = [snmp(ns, *names) for ns in (inline.net.client, inline.net.host)]
    for family in (4, 6):
        for header in (V1, V2_LONG):
            inline.exact(family, (f"hexmore:{header},data:3000000,fin", "data:3000000,eof"), ("data:3000000,fin", "data:3000000,eof"))
        inline.exact(family, (f"split:{V1},data:3000", "data:20000,eof"), ("rx:3000,data:20000,fin", "data:3000,eof"), count=len(V1) // 2, parallel=16)
    after = [snmp(ns, *names) for ns in (inline.net.client, inline.net.host)]
    assert after == before, "packets with wrong checksums"


@pytest.mark.parametrize("loss, duplicate, reorder", [(10, 10, 30), (50, 20, 100), (200, 50, 100)], ids=["1", "5", "20"])
def test_loss_duplication_and_reordering(request, loss, duplicate, reorder):
    """1, 5 and 20 % of all packets lost, both ways, others doubled, others late; the devices have no Ethernet header."""
    request.node.add_marker(pytest.mark.lossy(loss=loss, duplicate=duplicate, reorder=reorder))
    inline = request.getfixturevalue("inline")
    for ns in (inline.net.client, inline.net.host):
        ns.quick_repeats()
    inline.start(interfaces="wire", header_timeout="60s")  # a sender that loses its SYN waits for seconds at a time
    size = {10: 600000, 50: 200000, 200: 8000}[loss]
    for family in (4, 6):
        inline.exact(family, (f"v2:1,data:{size},fin", "rest,eof"), (f"data:{size},fin", "rest,eof"), count=12)
        inline.exact(family, (f"cut:{V2_LONG},data:{size // 10},fin", "rest,eof"), (f"rxeof,data:{size // 10},fin", "rest,eof"), count=16)
        if loss < 200:
            inline.exact(family, (f"trickle:{V1},data:5000,fin", "rest,eof"), ("rxeof,data:9000,fin", "rest,eof"), count=6)


def test_keepalives_and_window_probes(wire):
    """Both ends ask whether the other is still there, right behind the header, too; nobody is reset."""
    bench, family = wire
    alive = {"keepalive": 1}
    bench.exact(family, ("v1,ms:1700,data:2000,ms:100,fin", "data:3000,eof"), ("rx:2000,data:3000,fin", "data:2000,eof"), count=4,
                client_options=alive, server_options=alive)
    sender = bench.net.host if bench.wire == "lo" else bench.net.client
    sent = snmp(sender, "TcpExtTCPKeepAlive")["TcpExtTCPKeepAlive"]
    assert sent >= 4, "no keepalive was sent"
