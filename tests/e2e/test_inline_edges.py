# SPDX-License-Identifier: BSD-2-Clause
"""The inline engine where a connection begins, ends, or must not come to be: refusals, probes, timeouts,
strangers, ports that are used again, floods, and others who look at the same packets."""
import errno
import json
import socket
import struct
import threading
import time

import pytest

from conftest import BARE
from harness import daemon as d
from harness import headers, peer, vectors
from harness import inline as i
from harness.apps import Recorder, read_all
from harness.netns import CLIENT4, EXTRA4, HOST4, HOST6
from harness.segments import checksum
from harness.wait import until

pytestmark = pytest.mark.skipif(BARE, reason="SKIP: nothing to see without unproxy")
V1, V2 = headers.v1(), headers.v2(tlvs=headers.tlv(2, b"example.org"), crc=True)
RESET = struct.pack("ii", 1, 0)  # SO_LINGER


class App(Recorder):
    """Echoes; counts what it accepts."""

    def __init__(self, ns, port=d.PORT, address=HOST4):
        super().__init__(ns, port, address)

    @property
    def accepted(self):
        return len(self.seen)


def refused(daemon, count):
    """Wait until that many connections are in the log as refused; returns their reasons."""
    return [r["reason"] for r in daemon.records(count, 15, event="refused")]


def end_of(s):
    try:
        return read_all(s)
    except BrokenPipeError:
        return b"", "rst"


def test_vectors(inline):
    """Every conformance vector; what is refused never reaches the app, not even as an accept()."""
    inline.start(header_max="4095")
    app, wrong, names = App(inline.net.host), [], {}
    for vector in vectors.load(4095):
        port, fault = vectors.send(inline.net, vector)
        names[port] = vector
        wrong += [fault] if fault else []
    assert not wrong, wrong
    accepted = [v for v in names.values() if v["expect"] == "accept"]
    assert app.accepted == len(accepted), f"{app.accepted} accepts, {len(accepted)} valid headers"
    for record in inline.records(len(accepted), event="end"):
        assert names[record["balancer_port"]]["expect"] == "accept", record
        vectors.assert_logged(names[record["balancer_port"]], record)
    for record in [r for r in inline.daemons[0].records() if r["event"] == "refused"]:
        assert names[record["balancer_port"]]["expect"] != "accept" and record["hint"], record
    wanted = {p for p, v in names.items() if v["expect"] == "reject"}
    inline.daemons[0].wait_for("ready")
    until(lambda: wanted <= {r["balancer_port"] for r in inline.daemons[0].records(event="refused")}, "a line for each refusal")


def test_refused_byte_by_byte(inline):
    """A wrong header in as many segments as it has bytes, and behind it what the app must never see."""
    inline.start()
    app = App(inline.net.host)
    for bad in (b"GET / HTTP/1.1\r\n\r\n", b"PROXY TCP4 1.1.1.1 1.1.1.1 1 99999\r\n", headers.v2(crc=True)[:-4] + b"\0\1\2\3"):
        s = inline.net.client.connect(HOST4, d.PORT)
        try:
            for byte in bad + b"and more":
                s.sendall(bytes([byte]))
            end = end_of(s)
        except OSError:
            end = b"", "rst"
        assert end == (b"", "rst")
        s.close()
    assert refused(inline.daemons[0], 3) == ["no_header", "v1_port", "crc32c_mismatch"] and app.accepted == 0


@pytest.mark.parametrize("family", [4, 6])
def test_ends_before_the_header_is_whole(inline, family):
    """A bare TCP check, a FIN or an RST in each place of the header: the app has no part in it, and nobody is paged."""
    inline.start()
    address = d.LISTEN[family]
    app = App(inline.net.host, address=address)
    places = (0, 1, 5, 12, 16, len(V2) - 1)
    for reset in (False, True):
        for n in places:
            s = inline.net.client.connect(address, d.PORT)
            if reset:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            s.sendall(V2[:n])
            if reset:
                s.close()
                continue
            s.shutdown(socket.SHUT_WR)
            answer, _ = end_of(s)
            s.close()
            assert answer == b""
    reasons = refused(inline.daemons[0], 2 * len(places) - 2)
    assert app.accepted == 0 and sorted(reasons) == ["reset"] * 5 + ["truncated"] * 5
    s = inline.net.client.connect(address, d.PORT)
    s.sendall(V1 + b"still here")
    s.shutdown(socket.SHUT_WR)
    assert end_of(s) == (b"still here", "eof")
    s.close()
    inline.finish()
    assert inline.daemons[0].events("inline.listener")[0]["probes"] == "2"


def test_ends_right_behind_the_header(inline):
    """The header is whole: the app sees the connection and its end, FIN or RST, in the header's segment or behind it."""
    inline.start()
    for family in (4, 6):
        inline.exact(family, ("v1:1,data:0,fin", "eof"), ("rxeof,fin", "eof"), server_options={"timeout": 20})
        inline.exact(family, ("v1,acked,fin", "eof"), ("rxeof,fin", "eof"), server_options={"timeout": 20})
        for tx in ("v1,rst", "v1,acked,rst", "v2:1,data:10,rst"):
            s = inline.server(family, tx="", rx="aborted", count=10, parallel=10)
            inline.client(family, tx=tx, rx="rest", count=10, parallel=10).finish()
            peer.assert_scripts(s.finish(20), 10)


@pytest.mark.parametrize("part", [b"", V1[:20], V2[:-1]], ids=["nothing", "v1-part", "v2-part"])
def test_header_timeout(inline, part):
    """No header in time: RST, the app never knew."""
    inline.start(header_timeout="3s")
    app = App(inline.net.host)
    sockets = [inline.net.client.connect(HOST4, d.PORT) for _ in range(60)]
    for s in sockets:
        s.sendall(part)
    assert [end_of(s) for s in sockets] == [(b"", "rst")] * len(sockets)
    for s in sockets:
        s.close()
    assert set(refused(inline.daemons[0], len(sockets))) == {"timeout"} and app.accepted == 0


def test_optional_header(inline):
    """header = optional: with a header, without one, and with nothing said at all for a while."""
    inline.start(header="optional", header_timeout="3s")
    app = App(inline.net.host)
    for data in (V1 + b"with", V2 + b"with", b"GET / without", b"PROMISES", b"\r\n\r\n\0\r\nQUIET"):
        s = inline.net.client.connect(HOST4, d.PORT)
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        assert end_of(s) == (b"with" if data.endswith(b"with") else data, "eof"), data
        s.close()
    s = inline.net.client.connect(HOST4, d.PORT)
    until(lambda: app.accepted == 6, "the silent connection is the app's after header_timeout", 12)
    s.sendall(b"late")
    s.shutdown(socket.SHUT_WR)
    assert end_of(s) == (b"late", "eof")
    s.close()


def test_strangers(inline):
    """A source that is not in trust is refused at its SYN, and said so in the log; its neighbours are served."""
    inline.start(trust=f"{CLIENT4}/32")
    app = App(inline.net.host)
    for _ in range(5):
        s = inline.net.client.socket(HOST4, EXTRA4[0])
        with pytest.raises(ConnectionRefusedError):
            s.connect((HOST4, d.PORT))
        s.close()
    assert set(refused(inline.daemons[0], 1)) == {"untrusted"} and app.accepted == 0
    s = inline.net.client.connect(HOST4, d.PORT, CLIENT4)
    s.sendall(V1 + b"trusted")
    s.shutdown(socket.SHUT_WR)
    assert end_of(s) == (b"trusted", "eof")
    s.close()


def test_strangers_left_alone(inline):
    """untrusted = pass: they talk to the app as if there were no unproxy, header and all."""
    inline.start(trust=f"{CLIENT4}/32", untrusted="pass")
    App(inline.net.host)
    for source, rest in ((EXTRA4[0], V1), (CLIENT4, b"")):
        s = inline.net.client.connect(HOST4, d.PORT, source)
        s.sendall(V1 + b"said")
        s.shutdown(socket.SHUT_WR)
        assert end_of(s) == (rest + b"said", "eof"), source
        s.close()


def test_another_port(wire):
    """port = 8080 -> 3000: the app's own port is moved in both directions; whoever comes to 3000 is no business of ours."""
    bench, family = wire
    bench.daemons[0].stop()
    bench.start(port=f"{d.PORT} -> 3000")
    options = {"port": 3000}
    exchange = dict(server_options=options)
    bench.exact(family, ("v2,data:3000000,fin", "data:2000000,eof"), ("data:2000000,fin", "data:3000000,eof"), count=4, **exchange)
    bench.exact(family, (f"split:{V1.hex()},data:3000", "data:20000,eof"), ("rx:3000,data:20000,fin", "data:3000,eof"), count=len(V1), **exchange)
    bench.exact(family, ("data:30000,fin", "data:20000,eof"), ("data:20000,fin", "data:30000,eof"), client_options=options, server_options=options)
    clients, servers = bench.exchange(family, ("v2,data:2000000", "aborted"), ("rx:8,data:1-30000,rst", "rest"), 20, **exchange)
    peer.assert_prefix(clients, servers)
    assert all(r["end"] == "rst" for r in clients)
    record = bench.daemons[1].records(1, event="end")[0]
    assert (record["backend_port"], record["listener"]) == (3000, "main"), record


def again(net, header, n, close_first):
    """One connection from a port of ours that is never let rest."""
    s = net.client.socket(HOST4)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((CLIENT4, 7777))
    s.connect((HOST4, d.PORT))
    text = b"%d " % n * (n % 50 + 1)
    s.sendall(header + text)
    got = b""
    while len(got) < len(text):
        got += s.recv(65536)
    assert got == text
    if close_first:  # an RST: no TIME_WAIT here, and the app's socket is gone
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    else:
        s.sendall(b"bye")
        assert read_all(s) == (b"", "eof"), "the app closes first: it has the TIME_WAIT"
    s.close()


class ByeApp:
    """Echoes; closes when it is told bye."""

    def __init__(self, ns):
        self.listener = ns.listen(HOST4, d.PORT)
        self.listener.settimeout(None)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            try:
                while (data := s.recv(65536)) and data != b"bye":
                    s.sendall(data)
            except OSError:
                pass
            s.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.mark.parametrize("timestamps", [0, 1])
def test_a_port_used_again_at_once(inline, timestamps):
    """Connections from one port, one after the other, with headers of all lengths: behind an RST of the client's,
    and into the TIME_WAIT of the app's host."""
    for ns in (inline.net.client, inline.net.host):
        ns.sysctl(ipv4__tcp_timestamps=timestamps)
    inline.start()
    app = ByeApp(inline.net.host)
    for n in range(40):
        header = headers.v1(port=n) if n % 3 else headers.v2(tlvs=headers.tlv(4, b"x" * 7 * n))
        again(inline.net, header, n, close_first=n % 2)
    app.close()
    assert len(inline.records(40, event="end")) == 40


def test_syncookies(inline):
    """A host that keeps nothing of a SYN: the connections are whole, and none gets past the header."""
    inline.net.host.sysctl(ipv4__tcp_syncookies=2)
    inline.start()
    for family in (4, 6):
        inline.exact(family, ("v2,data:300000,fin", "data:200000,eof"), ("data:200000,fin", "data:300000,eof"), count=50)
        inline.exact(family, (f"split:{V1.hex()},data:3000", "data:2000,eof"), ("rx:3000,data:2000,fin", "data:3000,eof"), count=len(V1))
    app = App(inline.net.host)
    s = inline.net.client.connect(HOST4, d.PORT)
    s.sendall(b"no header")
    assert end_of(s) == (b"", "rst") and app.accepted == 0
    s.close()


def flood(ns, count, first=0):
    """SYNs from addresses that never answer."""
    packets = []
    for n in range(first, first + count):
        source = struct.pack(">BBH", 10, 77, 256 + n % 60000)
        tcp = struct.pack(">HHIIBBHHH", 1024 + n % 60000, d.PORT, n * 7919, 0, 0x50, 2, 65535, 0, 0)
        ends = source + socket.inet_aton(HOST4)
        tcp = tcp[:16] + struct.pack(">H", checksum(ends + struct.pack(">HH", 6, len(tcp)) + tcp)) + tcp[18:]
        packets.append(struct.pack(">BBHHHBBH", 0x45, 0, 40, 0, 0, 64, 6, 0) + ends + tcp)
    with ns:
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    for p in packets:
        raw.sendto(p, (HOST4, 0))
    raw.close()


def test_syn_flood(inline):
    """20,000 SYNs of nobody: the host falls back to cookies, and those who mean it are served."""
    inline.net.host.batch("route add 10.77.0.0/16 dev wire")  # the answers go nowhere
    inline.start(trust="10.77.0.0/16, fd77::/64", header_timeout="3s")
    flood(inline.net.client, 10000)
    inline.exact(4, ("v2,data:30000,fin", "data:20000,eof"), ("data:20000,fin", "data:30000,eof"), count=50)
    flood(inline.net.client, 10000, 10000)
    inline.exact(4, ("v1,data:30000,fin", "data:20000,eof"), ("data:20000,fin", "data:30000,eof"), count=50)


def test_syns_that_nobody_answers_leave_again(inline):
    inline.net.host.batch("route add 10.77.0.0/16 dev wire")
    inline.start(trust="10.77.0.0/16, fd77::/64", header_timeout="3s")
    flood(inline.net.client, 300)
    until(lambda: len(i.flows()) == 300, "300 flows")
    until(lambda: not i.flows(), lambda: f"{len(i.flows())} flows are left", 60)


def test_flow_table_full(inline):
    """No room: the SYN is dropped and counted, what is there goes on, and there is room again when the dead are gone."""
    text = d.section("unproxy", inline_flows=1024) + i.listener(trust="10.77.0.0/16", header_timeout="3s")
    inline.net.host.batch("route add 10.77.0.0/16 dev wire")
    inline.start(text)
    App(inline.net.host)
    old = inline.net.client.connect(HOST4, d.PORT)
    old.sendall(V1)
    flood(inline.net.client, 3000)
    old.sendall(b"still")
    assert old.recv(10) == b"still"
    assert i.counter("table_full") > 1000
    deadline = time.monotonic() + 60
    while True:  # refused flows give their places back after the linger, if not before
        s = inline.net.client.socket(HOST4)
        s.settimeout(3)
        try:
            s.connect((HOST4, d.PORT))
            break
        except OSError as e:
            assert e.errno in (None, errno.ETIMEDOUT) and time.monotonic() < deadline, e
            s.close()
    s.sendall(V1 + b"new")
    assert s.recv(10) == b"new"
    s.close()
    old.close()


def test_short_connections(wire):
    """A question, an answer, an immediate close; none broken. (20,000 in all over the rows.)"""
    bench, family = wire
    bench.exact(family, ("v1:1,data:300", "data:4000,eof"), ("rx:300,data:4000,close", "data:300"), count=4000, parallel=64)
    bench.exact(family, ("v2:1,data:300,fin", "data:7000,eof"), ("rx:300,data:7000,fin", "data:300,eof"), count=1000, parallel=64)
    assert len(bench.records(5000, event="end")) == 5000


RULES = """
table inet guard {
  counter invalid {}
  counter fresh {}
  counter known {}
  chain input {
    type filter hook input priority 0; policy drop;
    iif lo accept
    meta l4proto { icmp, icmpv6 } accept
    ct state invalid counter name invalid drop
    ip saddr %s tcp dport 8080 reject with tcp reset
    tcp dport 8080 ct state new counter name fresh accept
    ct state established,related counter name known accept
  }
  chain output {
    type filter hook output priority 0; policy drop;
    oif lo accept
    meta l4proto { icmp, icmpv6 } accept
    ct state invalid counter name invalid drop
    ct state established,related accept
  }
}
""" % EXTRA4[1]


def test_connection_tracking_and_rules(inline):
    """conntrack sees the app's side of the numbers in both directions: no packet is invalid to it, and rules
    for the port work as they did."""
    inline.net.host.run("nft", "-f", "-", input=RULES)
    inline.start()
    for family in (4, 6):
        inline.exact(family, ("v2,data:3000000,fin", "data:2000000,eof"), ("data:2000000,fin", "data:3000000,eof"), count=4)
        inline.exact(family, (f"split:{V1.hex()},data:3000", "data:20000,eof"), ("rx:3000,data:20000,fin", "data:3000,eof"), count=len(V1))
        inline.exact(family, ("v1,ms:300,data:20000,fin", "data:20000,eof"), ("data:20000,fin", "data:20000,eof"), count=4)
    listed = json.loads(inline.net.host.run("nft", "-j", "list", "counters"))["nftables"]
    packets = {c["counter"]["name"]: c["counter"]["packets"] for c in listed if "counter" in c}
    assert packets["invalid"] == 0 and packets["known"] > 100 and packets["fresh"] >= 2 * (8 + len(V1)), packets
    s = inline.net.client.socket(HOST4, EXTRA4[1])
    with pytest.raises(ConnectionRefusedError):
        s.connect((HOST4, d.PORT))
    s.close()


@pytest.mark.parametrize("family", [4, 6])
def test_resets_at_random_offsets(inline, family):
    """An RST arrives as an RST on the other side, whoever sends it and when; never as a clean end."""
    inline.start()
    count = 60
    s = inline.server(family, tx="data:20000000", rx="aborted", count=count, parallel=count)
    c = inline.client(family, tx="v1,data:8-3000000,rst", rx="rest", count=count, parallel=8)
    clients = c.finish()
    servers = s.finish(20)
    seen = {r["rx_seed"] for r in servers if r["rx"] >= 8}
    peer.assert_prefix([c for c in clients if c["seed"] in seen], [r for r in servers if r["rx"] >= 8])
    peer.assert_scripts(servers, count)
    clients, servers = inline.exchange(family, ("v2,data:20000000", "aborted"), ("rx:8,data:1-3000000,rst", "rest"), count, parallel=8)
    peer.assert_prefix(clients, servers)
    peer.assert_scripts(clients, count)
    for scripts in ((("v1,data:100,rx:100,ms:50,rst", "rest"), ("rx:100,data:100", "aborted")),
                    (("v1,data:100", "aborted"), ("rx:100,data:100,ms:50,rst", "rest")),
                    (("v1,data:1000,fin", "aborted"), ("rxeof,data:500000,rst", "data:1000,eof")),
                    (("v1,data:8,rxeof,data:500000,rst", "data:1000,eof"), ("rx:8,data:1000,fin", "aborted"))):
        clients, servers = inline.exchange(family, *scripts, 20)
        peer.assert_prefix(clients, servers)


def test_an_app_that_dies(inline):
    """kill -9 of the app, then of the client, in the midst of everything: the other side gets an RST."""
    inline.start()
    for family in (4, 6):
        for victim in ("server", "client"):
            s = inline.server(family, tx="data:4000000000", rx="rest", count=20, parallel=20)
            c = inline.client(family, tx="v1,data:4000000000", rx="rest", count=20, parallel=20)
            until(lambda: s.stat()["rx"] > 2000000 and s.stats[-1]["started"] == 20, "traffic")
            (s if victim == "server" else c).process.kill()
            results = (c if victim == "server" else s).finish()
            assert len(results) == 20 and all(r["bad"] < 0 and r["end"] == "rst" for r in results), results[:3]


def test_nobody_listens(inline):
    """No app at the port: the client is refused by the host, as ever."""
    inline.start()
    for address in (HOST4, HOST6):
        with pytest.raises(ConnectionRefusedError):
            inline.net.client.connect(address, d.PORT)
