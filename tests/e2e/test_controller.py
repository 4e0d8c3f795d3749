# SPDX-License-Identifier: BSD-2-Clause
"""What the controller promises: listeners, backends, trust, limits, timeouts, signals, exit codes."""
import collections
import json
import os
import resource
import select
import signal
import socket
import subprocess
import time

import pytest

from conftest import STAND_IN
from harness import daemon as d
from harness import headers, tools
from harness.apps import Recorder, ask, echo, read_all, send_and_read
from harness.netns import EXTRA4, HOST4, HOST6
from harness.wait import until

pytestmark = pytest.mark.skipif(bool(STAND_IN), reason="SKIP: a stand-in has another configuration")
PATHS = pytest.mark.parametrize("path", list(d.PATHS))


@pytest.fixture
def through(bench):
    """Connect to the relay from the client's namespace."""
    def connect(port=d.PORT, address=HOST4, source=None):
        return bench.net.client.connect(address, port, source)
    return connect


# ---- listeners ----

def test_ranges_listeners_and_dual_stack(bench):
    """Two listeners, one of them a range and dual-stack, the other for one IPv4 address alone."""
    bench.daemon(d.listener("wide", bind="*:8100-8104", backend="a") + d.listener("one", bind=f"{HOST4}:8200, [{HOST6}]:8201", backend="b")
                 + d.backend("a", "127.0.0.1:3001") + d.backend("b", "[::1]:3002"))
    a, b = Recorder(bench.net.host, 3001), Recorder(bench.net.host, 3002, "::1")
    ns = bench.net.client
    for port in range(8100, 8105):
        assert echo(ns, HOST4, port) and echo(ns, HOST6, port)
    assert echo(ns, HOST4, 8200) and echo(ns, HOST6, 8201)
    for address, port in ((HOST4, 8105), (HOST6, 8200), (HOST4, 8099)):
        with pytest.raises(ConnectionRefusedError):
            ns.connect(address, port)
    assert len(a.seen) == 10 and len(b.seen) == 2
    records = bench.daemons[0].records(12)
    assert collections.Counter(r["listener"] for r in records) == {"wide": 10, "one": 2}
    assert {r["balancer_ip"] for r in records} == {"10.77.0.1", "fd77::1"}, "an IPv4 balancer on a dual-stack socket is IPv4"


def test_flags_in_place_of_a_file(bench):
    bench.daemon(flags=["--listen", f"{HOST4}:8080", "--backend", "127.0.0.1:3000", "--trust", "10.77.0.0/24", "--workers", "1", "--client-log", "-"])
    Recorder(bench.net.host, 3000)
    assert echo(bench.net.client, HOST4, 8080, header=headers.v2(tlvs=headers.tlv(2, b"example.org")))
    record = json.loads(bench.daemons[0].process.stdout.readline())
    assert record["client_ip"] == "198.51.100.7" and record["tlv"]["authority"] == "example.org"
    assert record["bytes_up"] == record["bytes_down"] == 5 and record["header_len"] == 42


# ---- backends ----

def served(bench, recorders, count):
    """How many of count connections each recorder got."""
    before = [len(r.seen) for r in recorders]
    for _ in range(count):
        assert echo(bench.net.client, HOST4, d.PORT)
    return [len(r.seen) - b for r, b in zip(recorders, before)]


def test_round_robin_with_weights(bench):
    bench.daemon(section_workers(1) + d.listener() + d.backend(server=["127.0.0.1:3001 weight=3", "127.0.0.1:3002"]))
    recorders = [Recorder(bench.net.host, 3001), Recorder(bench.net.host, 3002)]
    assert served(bench, recorders, 40) == [30, 10]


def section_workers(n):
    return d.section("unproxy", workers=n)


def test_least_connections(bench, through):
    """Connections that stay count: the next one goes where fewer are."""
    bench.daemon(d.listener() + d.backend(server=["127.0.0.1:3001", "127.0.0.1:3002 weight=2"], balance="leastconn"))
    recorders = [Recorder(bench.net.host, 3001), Recorder(bench.net.host, 3002)]
    held = []
    for n in range(30):
        s = through()
        s.sendall(headers.v1() + b"x")
        assert s.recv(10) == b"x"
        held.append(s)
    assert [len(r.seen) for r in recorders] == [10, 20]
    for s in held:
        s.close()


def test_refusing_server_is_skipped_and_retried(bench):
    """Refused: another one serves at once; rests; when it is back, it serves again."""
    bench.daemon(d.listener() + d.backend(server=["127.0.0.1:3001", "127.0.0.1:3002"], retry="200ms", retry_max="400ms"))
    well, daemon = Recorder(bench.net.host, 3002), bench.daemons[0]
    assert served(bench, [well], 20) == [20]
    assert len(daemon.events("backend.down")) >= 1
    assert daemon.events("backend.down")[0]["server"] == "127.0.0.1:3001"
    back = Recorder(bench.net.host, 3001)
    until(lambda: served(bench, [back], 2) != [0], "the server that is back serves", 10, pause=0.1)
    assert daemon.wait_for("backend.up")["server"] == "127.0.0.1:3001"
    assert sum(served(bench, [back, well], 20)) == 20


def test_server_that_goes_away_and_backoff(bench):
    """While it rests it is not asked each time: attempts are few, and their pauses grow."""
    bench.daemon(d.listener() + d.backend(server=["127.0.0.1:3001", "127.0.0.1:3002"], retry="300ms", retry_max="5s"))
    recorders = [Recorder(bench.net.host, 3001), Recorder(bench.net.host, 3002)]
    assert min(served(bench, recorders, 10)) > 0
    recorders[0].close()
    assert served(bench, recorders, 200) == [0, 200]
    ports = collections.Counter(r["backend_port"] for r in bench.daemons[0].records(210))
    assert ports[3001] < 10 and ports[3001] + ports[3002] == 210
    assert len(bench.daemons[0].events("backend.down")) == 1, "a server goes down once, not with every connection"


@PATHS
def test_no_server_left(bench, path):
    """All refuse: the client gets an RST and the log says so."""
    bench.daemon(d.listener(path=path) + d.backend(server=["127.0.0.1:3001", "127.0.0.1:3002"]))
    assert ask(bench.net.client, HOST4, d.PORT, headers.v1() + b"hello", finish=False) == (b"", "rst")
    record = bench.daemons[0].records(1, event="refused")[0]
    assert record["reason"] == "no_backend" and record["hint"] and record["client_ip"] == "198.51.100.7"
    assert bench.daemons[0].wait_for("backend.none")["backend"] == "main"


def test_the_only_server_comes_back(bench):
    """However long it was to rest: the very next client is served. One that is drained is left alone, well or not."""
    daemon = bench.daemon(d.listener() + d.backend(retry="1h", retry_max="1h"))
    lost = (b"", "rst")
    for _ in range(3):
        server = Recorder(bench.net.host, d.BACKEND_PORT)
        assert served(bench, [server], 5) == [5]
        server.close()
        assert all(ask(bench.net.client, HOST4, d.PORT, headers.v1() + b"x") == lost for _ in range(5))
    assert len(daemon.events("backend.down")) == 3 and len(daemon.events("backend.up")) == 2
    server = Recorder(bench.net.host, d.BACKEND_PORT)
    daemon.ask("backend", "main", "server", f"127.0.0.1:{d.BACKEND_PORT}", "drain")
    assert ask(bench.net.client, HOST4, d.PORT, headers.v1() + b"x") == lost and not server.seen
    daemon.ask("backend", "main", "server", f"127.0.0.1:{d.BACKEND_PORT}", "ready")
    assert served(bench, [server], 50) == [50]


def test_server_that_does_not_answer(bench):
    """Neither accepts nor refuses (backlog full): connect_timeout, then the next one."""
    bench.daemon(d.listener() + d.backend(server=["127.0.0.1:3001", "127.0.0.1:3002"], connect_timeout="300ms"))
    deaf = bench.net.host.listen("127.0.0.1", 3001, backlog=0)
    fill = []
    for _ in range(2):  # one in the queue, one beyond it
        s = bench.net.host.socket("127.0.0.1")
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", 3001))
        fill.append(s)
    well = Recorder(bench.net.host, 3002)
    assert served(bench, [well], 4) == [4]
    for s in [deaf, *fill]:
        s.close()


@PATHS
@pytest.mark.parametrize("version", ["1", "2"])
def test_header_towards_the_backend(bench, path, version):
    """client_address = proxy-v1, proxy-v2: a header of the other version goes in, TLVs go through in v2."""
    bench.daemon(d.listener(path=path) + d.backend(client_address=f"proxy-v{version}"))
    backend = Recorder(bench.net.host, 3000)
    tlvs = headers.tlv(2, b"example.org") + headers.tlv(0xEA, b"\x01vpce-0123")
    cases = [(headers.v1(), "198.51.100.7", 40000), (headers.v2(tlvs=tlvs, crc=True), "198.51.100.7", 40000),
             (headers.v2("2001:db8::7", 9, "2001:db8::1", 443, crc=True), "2001:db8::7", 9)]
    for header, client, port in cases:
        data = os.urandom(100000)
        answer, end = ask(bench.net.client, HOST4, d.PORT, header + data)
        got = bytes(backend.seen[-1])
        assert end == "eof" and answer == got
        ip, got_port, length, got_tlvs = headers.parse(got)
        assert (ip, got_port) == (client, port) and got[length:] == data
        assert got.startswith(b"PROXY " if version == "1" else headers.SIGNATURE)
        if version == "2" and header.endswith(b"\n") is False and b"example.org" in header:
            assert headers.tlv(2, b"example.org") in got_tlvs and b"vpce-0123" in got_tlvs
    for header in (headers.LOCAL, b"PROXY UNKNOWN\r\n"):
        answer, end = ask(bench.net.client, HOST4, d.PORT, header + b"data")
        got = bytes(backend.seen[-1])
        assert end == "eof" and got[headers.parse(got)[2]:] == b"data"


# ---- trust, headers, limits ----

@PATHS
def test_untrusted_source(bench, path):
    bench.daemon(d.listener(path=path, trust="10.77.0.1, fd77::/64") + d.backend())
    backend, stranger = Recorder(bench.net.host, 3000), EXTRA4[0]
    assert ask(bench.net.client, HOST4, d.PORT, headers.v1() + b"hello", source=stranger) == (b"", "rst")
    record = bench.daemons[0].records(1, event="refused")[0]
    assert record["reason"] == "untrusted" and record["balancer_ip"] == stranger and "trust" in record["hint"]
    assert record["client_ip"] == stranger, "what an untrusted header says is not believed"
    assert echo(bench.net.client, HOST4, d.PORT) and echo(bench.net.client, HOST6, d.PORT)
    assert len(backend.seen) == 2


@PATHS
def test_header_timeout(bench, path, through):
    """3 s: nothing sent, a part sent, a byte now and then: RST, and a reason; others live on."""
    bench.daemon(d.listener(path=path, header_timeout="3s") + d.backend())
    Recorder(bench.net.host, 3000)
    cpu = bench.daemons[0].cpu_seconds()
    silent, part, slow, good = through(), through(), through(), through()
    part.sendall(b"PROXY TCP4 ")
    good.sendall(headers.v1() + b"x")
    assert good.recv(1) == b"x"
    began = time.monotonic()
    for byte in b"PROXY TCP4 198.51.100.7 203.":
        if time.monotonic() - began > 2.9:
            break
        slow.sendall(bytes([byte]))
        time.sleep(0.15)  # the trickle is the stimulus
    for s in (silent, part, slow):
        assert read_all(s)[1] == "rst"
    assert time.monotonic() - began < 10
    records = bench.daemons[0].records(3, event="refused")
    assert {r["reason"] for r in records} == {"timeout"} and all(r["hint"] for r in records)
    good.sendall(b"y")
    assert good.recv(1) == b"y"
    good.close()
    assert bench.daemons[0].cpu_seconds() - cpu < 1, "waiting costs no CPU"


@PATHS
def test_header_max(bench, path):
    """At the limit accepted, a byte beyond it refused, by a reason of its own."""
    bench.daemon(d.listener(path=path, header_max="1000") + d.backend())
    Recorder(bench.net.host, 3000)
    fits, long = (headers.v2(tlvs=headers.tlv(4, bytes(n - 28 - 3))) for n in (1000, 1001))
    assert echo(bench.net.client, HOST4, d.PORT, header=fits)
    assert ask(bench.net.client, HOST4, d.PORT, long + b"hello", finish=False)[1] == "rst"
    assert bench.daemons[0].records(1, event="refused")[0]["reason"] == "too_long"


@PATHS
def test_optional_header(bench, path, through):
    """Balancers and plain clients on one port; a plain client that waits for the server is served, too."""
    bench.daemon(d.listener(path=path, header="optional", header_timeout="3s") + d.backend())
    backend = Recorder(bench.net.host, 3000, greeting=b"220 ready\r\n")
    ns = bench.net.client

    def turn(data):
        return ask(ns, HOST4, d.PORT, data)
    assert turn(headers.v1() + b"one") == (b"220 ready\r\none", "eof")
    for plain in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02", b"PROXIMITY", b"P", b"\r\n\r\n\x00\r\nQUIT?", os.urandom(300000)):
        if plain == b"P":
            continue  # could still become a header: see below
        assert turn(plain) == (b"220 ready\r\n" + plain, "eof"), plain[:20]
    assert turn(b"PROXY TCP4 999.1.1.1 1.1.1.1 1 1\r\n")[1] == "rst", "a header that is wrong is not payload"
    silent = through()
    assert silent.recv(100) == b"220 ready\r\n"
    silent.sendall(b"EHLO x")
    assert silent.recv(100) == b"EHLO x"
    silent.close()
    record = [r for r in bench.daemons[0].records(1, event="end") if "version" not in r][0]
    assert record["client_ip"] == record["balancer_ip"] == "10.77.0.1"
    assert not any(b"PROXY TCP4 198" in seen for seen in backend.seen)


@PATHS
def test_strangers_without_a_header(bench, path):
    """header = optional is about balancers; untrusted = pass is about everybody else, and theirs is no header."""
    text = d.listener(path=path, header="optional", trust="10.77.0.1") + d.backend()
    text += d.listener("both", bind=f"*:{d.PORT + 1}", path=path, trust="10.77.0.1", untrusted="pass", backend="main")
    bench.daemon(text)
    Recorder(bench.net.host, 3000)
    ns, stranger, forged = bench.net.client, EXTRA4[0], headers.v1() + b"x"
    assert ask(ns, HOST4, d.PORT, b"hello", source=stranger)[1] == "rst"
    assert ask(ns, HOST4, d.PORT, forged, source=stranger)[1] == "rst"
    assert ask(ns, HOST4, d.PORT, b"hello") == (b"hello", "eof")
    assert ask(ns, HOST4, d.PORT + 1, forged, source=stranger) == (forged, "eof")
    assert ask(ns, HOST4, d.PORT + 1, forged) == (b"x", "eof")
    assert ask(ns, HOST4, d.PORT + 1, b"hello")[1] == "rst", "a balancer has to send one"
    assert sorted(r["reason"] for r in bench.daemons[0].records(3, event="refused")) == ["no_header", "untrusted", "untrusted"]
    assert {r["client_ip"] for r in bench.daemons[0].records(3, event="end")} == {"10.77.0.1", stranger, "198.51.100.7"}


@PATHS
def test_limits(bench, path, through):
    """Per source and per listener: beyond it RST and a reason; when one goes, the next one comes in."""
    bench.daemon(d.listener(path=path, max_connections=6, max_per_source=3) + d.backend())
    Recorder(bench.net.host, 3000)

    def hold(source):
        try:
            s = through(source=source)
            s.sendall(headers.v1() + b"x")
            return s if s.recv(1) == b"x" else None
        except (ConnectionResetError, BrokenPipeError):
            return None
    first = [hold(EXTRA4[0]) for _ in range(3)]
    assert all(first) and hold(EXTRA4[0]) is None
    second = [hold(EXTRA4[1]) for _ in range(3)]
    assert all(second) and hold(EXTRA4[2]) is None
    records = bench.daemons[0].records(2, event="refused")
    assert {r["reason"] for r in records} == {"source_limit", "connection_limit"}
    first.pop().close()
    until(lambda: (s := hold(EXTRA4[2])) and not s.close(), "room after a close", 5, pause=0.05)
    for s in first + second:
        s.close()
    until(lambda: (s := hold(EXTRA4[0])) and not s.close(), "room after all closed", 5, pause=0.05)


@pytest.mark.parametrize("backlog", [2, 4096])
def test_total_limit(bench, through, backlog):
    """While there is room for a backlog io_uring accepts, then accept4(): the limit is met by either."""
    bench.daemon(d.section("unproxy", max_connections=5) + d.listener(backlog=backlog) + d.backend())
    Recorder(bench.net.host, 3000)
    held = []
    for _ in range(5):
        s = through()
        s.sendall(headers.v1() + b"x")
        assert s.recv(1) == b"x"
        held.append(s)
    extra = through()
    extra.sendall(headers.v1() + b"x")
    held.pop().close()  # whether the extra one was made to wait or refused: there is room again
    try:
        served_now = extra.recv(1) == b"x"
    except ConnectionResetError:
        served_now = False
    extra.close()
    assert served_now or bench.daemons[0].records(1, event="refused")[0]["reason"] == "connection_limit"
    until(lambda: echo(bench.net.client, HOST4, d.PORT), "room again", 5)
    for s in held:
        s.close()


def answered(sockets):
    """Those that have been answered, also just now."""
    ready = select.select(sockets, [], [], 0)[0]
    return [s for s in ready if not is_reset(s)]


def is_reset(s):
    try:
        return s.recv(1, socket.MSG_PEEK) != b"x"
    except ConnectionResetError:
        return True


def test_total_limit_of_many_listeners(bench, through):
    """Each has room for its backlog, together they do not: what comes at once is met by the limit, too."""
    limit, ports = 20, range(8100, 8108)
    bench.daemon(d.section("unproxy", max_connections=limit, workers=1) + d.listener(bind="*:8100-8107", backlog=8) + d.backend())
    Recorder(bench.net.host, 3000)
    daemon = bench.daemons[0]
    daemon.process.send_signal(signal.SIGSTOP)
    held = [through(port) for port in ports for _ in range(8)]
    for s in held:
        s.sendall(headers.v1() + b"x")
    daemon.process.send_signal(signal.SIGCONT)
    until(lambda: len(answered(held)) >= limit, lambda: f"only {len(answered(held))} answered")
    for s in answered(held):  # the worker has been round once more
        s.sendall(b"y")
        until(lambda: s.recv(2, socket.MSG_PEEK) == b"xy", "still served")
    assert len(answered(held)) == limit
    refused = daemon.records(event="refused")
    assert all(r["reason"] == "connection_limit" for r in refused), refused[0]
    for s in held:
        s.close()
    until(lambda: echo(bench.net.client, HOST4, ports[0]), "room again", 5)


def test_descriptors_for_the_client_alone(bench, through):
    """Room for connections that were accepted and none for their servers': the daemon's log and the status say it, too."""
    daemon = bench.daemon(d.listener() + d.backend())
    Recorder(bench.net.host, 3000)
    assert echo(bench.net.client, HOST4, d.PORT)
    daemon.ask("status")
    used = 1 + max(int(fd) for fd in os.listdir(f"/proc/{daemon.pid}/fd"))
    limit = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (used + 9, limit[1]))
    held = [through() for _ in range(30)]
    for s in held:
        s.sendall(headers.v1() + b"x")
    daemon.records(1, event="refused", reason="no_resources")
    daemon.wait_for("accept.paused")
    for s in held:
        s.close()
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, limit)
    until(lambda: echo(bench.net.client, HOST4, d.PORT), "it recovers", 20, pause=0.1)
    status = json.loads(daemon.ask("status", "--json", expect=1))
    assert ["accept.paused" in problem for problem in status["problems"]] == [True], status["problems"]


def test_descriptors_run_out(bench, through):
    """ulimit -n 96 and 100 clients: it serves what it can, says so, does not spin, recovers."""
    bench.daemon(d.listener() + d.backend(), nofile=96)
    Recorder(bench.net.host, 3000)
    held = [through() for _ in range(100)]
    for s in held:
        s.settimeout(0.2)
        s.sendall(headers.v1() + b"x")
    daemon, working = bench.daemons[0], 0
    for s in held[:40]:
        try:
            working += s.recv(1) == b"x"
        except OSError:
            pass
    assert working > 5
    cpu, began = daemon.cpu_seconds(), time.monotonic()
    until(lambda: time.monotonic() - began > 1.5, "", 5)
    assert daemon.cpu_seconds() - cpu < 0.5, "spins while out of descriptors"
    said = [line for line in daemon.lines if "accept.paused" in line or "limit." in line]
    assert 1 <= len(said) <= 8, daemon.log()
    for s in held:
        s.close()
    until(lambda: echo(bench.net.client, HOST4, d.PORT), "it recovers", 20, pause=0.1)


@PATHS
def test_idle_timeout(bench, path, through):
    """Off unless set; set: an idle pair goes, also a half-closed one, one that moves bytes stays."""
    bench.daemon(d.listener(path=path, idle_timeout="1s") + d.listener("patient", path, "*:8090") + d.backend() +
                 d.listener("half", path, "*:8091", idle_timeout="1s", backend="keeps") + d.backend("keeps", server="127.0.0.1:3001"))
    Recorder(bench.net.host, 3000)
    keeps = bench.net.host.listen("127.0.0.1", 3001)
    half = through(8091)
    half.sendall(headers.v1() + b"x")
    half.shutdown(socket.SHUT_WR)
    kept = keeps.accept()[0]
    idle, busy, patient = through(), through(), through(8090)
    for s in (idle, busy, patient):
        s.sendall(headers.v1() + b"x")
        assert s.recv(1) == b"x"
    began = time.monotonic()
    while time.monotonic() - began < 2.5:
        busy.sendall(b"y")
        assert busy.recv(1) == b"y"
        time.sleep(0.2)  # the beat is the stimulus
    assert read_all(idle)[0] == read_all(half)[0] == b""
    assert [r["reason"] for r in bench.daemons[0].records(2, event="end")] == ["idle_timeout"] * 2
    kept.close()
    keeps.close()
    patient.sendall(b"z")
    assert patient.recv(1) == b"z"
    busy.close()
    patient.close()


@PATHS
def test_probes_are_quiet(bench, path, through):
    """An empty connect, LOCAL, a reset: no line in the client log, none in the daemon's, nothing at the backend."""
    bench.daemon(d.listener(path=path) + d.backend())
    backend = Recorder(bench.net.host, 3000)
    lines = len(bench.daemons[0].lines)
    for _ in range(20):
        through().close()
        ask(bench.net.client, HOST4, d.PORT, headers.LOCAL)
        s = through()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        s.close()
    assert echo(bench.net.client, HOST4, d.PORT)
    assert [r["event"] for r in bench.daemons[0].records(1)] == ["end"]
    assert len(bench.daemons[0].lines) == lines
    assert sum(len(seen) for seen in backend.seen) == 5


def test_probes_on_request(bench, through):
    bench.daemon(d.section("unproxy", log_probes="yes", log_start="yes") + d.listener() + d.backend())
    Recorder(bench.net.host, 3000)
    through().close()
    ask(bench.net.client, HOST4, d.PORT, headers.LOCAL)
    assert echo(bench.net.client, HOST4, d.PORT)
    events = collections.Counter(r["event"] for r in bench.daemons[0].records(4))
    assert events["probe"] == 2 and events["start"] >= 1 and events["end"] >= 1


def test_plain_http_on_a_listener_that_wants_headers(bench):
    """The log tells a human what to do."""
    bench.daemon(d.listener() + d.backend())
    assert ask(bench.net.client, HOST4, d.PORT, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", finish=False)[1] == "rst"
    record = bench.daemons[0].records(1, event="refused")[0]
    assert record["reason"] == "no_header" and "PROXY protocol on at the load balancer" in record["hint"]


def test_stacked_header_is_payload(bench):
    bench.daemon(d.listener() + d.backend())
    backend = Recorder(bench.net.host, 3000)
    second = headers.v1("192.0.2.9", 1)
    assert echo(bench.net.client, HOST4, d.PORT, second + b"data", headers.v2())
    assert bytes(backend.seen[-1]) == second + b"data" and bench.daemons[0].records(1)[0]["stacked"] is True


def test_any_byte_in_a_tlv(bench):
    """The log stays one JSON object a line."""
    bench.daemon(d.listener() + d.backend())
    Recorder(bench.net.host, 3000)
    values = [bytes(range(256))[:200], b"\n\"\\\x00", b"\xff\xfe", b"\xc3\x28", b"x" * 3000]
    for value in values:
        assert echo(bench.net.client, HOST4, d.PORT, header=headers.v2(tlvs=headers.tlv(2, value) + headers.tlv(0xE5, value[:50])))
    records = bench.daemons[0].records(len(values))
    assert all("authority" in r["tlv"] or "authority_hex" in r["tlv"] for r in records)
    # As a set: each worker writes its own records, in whichever order they ended.
    assert {r["tlv"]["other"]["0xe5"] for r in records} == {value[:50].hex() for value in values}


# ---- life ----

def ping(s, byte=b"p"):
    s.sendall(byte)
    return s.recv(1) == byte


@PATHS
def test_sigterm_drains(bench, path, through):
    """Accepts no more, lets what is open end, exits 0 when it has."""
    bench.daemon(d.listener(path=path) + d.backend())
    Recorder(bench.net.host, 3000)
    s, daemon = through(), bench.daemons[0]
    s.sendall(headers.v1())
    assert ping(s)
    daemon.process.send_signal(signal.SIGTERM)
    daemon.wait_for("drain.start")
    until(lambda: not listens(bench), "it stops listening")
    assert ping(s) and daemon.alive()
    data = os.urandom(3000000)
    assert send_and_read(s, data) == (data, "eof")
    s.close()
    assert daemon.exit_code() == 0


def listens(bench):
    try:
        bench.net.client.connect(HOST4, d.PORT).close()
        return True
    except OSError:
        return False


@PATHS
def test_second_sigterm_and_drain_timeout(bench, path, through):
    for twice in (True, False):
        daemon = bench.daemon(d.section("unproxy", drain_timeout="60s" if twice else "300ms") + d.listener(path=path) + d.backend())
        recorder = Recorder(bench.net.host, 3000)
        s = through()
        s.sendall(headers.v1())
        assert ping(s)
        daemon.process.send_signal(signal.SIGTERM)
        daemon.wait_for("drain.start")
        if twice:
            daemon.process.send_signal(signal.SIGTERM)
        assert daemon.exit_code() == 0, daemon.log()
        assert read_all(s) in ((b"", "rst"), (b"", "eof"))
        s.close()
        recorder.close()


def test_sighup_reopens_the_client_log(bench):
    """logrotate: not a line is lost."""
    daemon = bench.daemon(d.listener() + d.backend())
    Recorder(bench.net.host, 3000)
    assert echo(bench.net.client, HOST4, d.PORT)
    daemon.records(1)
    os.rename(daemon.client_log, daemon.client_log + ".1")
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for("client_log.reopened")
    assert echo(bench.net.client, HOST4, d.PORT)
    assert len(daemon.records(1)) == 1
    with open(daemon.client_log + ".1") as f:
        assert len(f.readlines()) == 1


@PATHS
def test_kill_9(bench, path, through):
    """Both sides see an end; the next start finds nothing in its way and leaves nothing behind."""
    text = d.listener(path=path) + d.backend()
    bench.daemon(text)
    s = bench.server(4, tx="data:4000000000", rx="rest", count=8, parallel=8)
    c = bench.client(4, tx="v1,data:4000000000", rx="rest", count=8, parallel=8)
    until(lambda: s.stat()["rx"] > 5000000 and s.stats[-1]["started"] == 8, "traffic")
    bench.daemons[0].kill()
    clients, servers = c.finish(), s.finish()
    assert len(clients) == len(servers) == 8
    for r in clients + servers:
        assert r["end"] in ("rst", "eof") and r["bad"] < 0
    Recorder(bench.net.host, 3000)
    bench.daemon(text)
    assert echo(bench.net.client, HOST4, d.PORT)
    from harness import leaks
    counts = leaks.map_entries()
    assert all(n <= 1 for n in counts.values()), f"entries of the killed instance: {counts}"


def test_two_instances(bench):
    """Each pins maps of its own; stopping one leaves the other's alone."""
    bench.daemon(d.listener(path="always") + d.backend())
    other = bench.daemon(d.listener(path="always", bind="*:8090") + d.backend())
    Recorder(bench.net.host, 3000)
    assert echo(bench.net.client, HOST4, 8080) and echo(bench.net.client, HOST4, 8090)
    other.process.send_signal(signal.SIGTERM)
    assert other.exit_code() == 0
    assert echo(bench.net.client, HOST4, 8080)
    bench.daemons.remove(other)


def test_map_dump_reads_like_documentation(bench, through):
    """bpftool map dump: the live connection with client, balancer, backend, state, path, bytes."""
    from harness import leaks
    bench.daemon(d.listener(path="always") + d.backend())
    Recorder(bench.net.host, 3000)
    s = through()
    s.sendall(headers.v1())
    for _ in range(30):
        assert ping(s)

    def shown():
        text = json.dumps([leaks.bpftool("map", "dump", "pinned", p) for p in leaks.pins() if os.path.basename(p) == "connections"])
        return text if '"client"' in text else None
    text = until(shown, "the connection in the map", 10)
    for word in ("client", "balancer", "backend", "state", "path", "bytes"):
        assert word in text, f"{word} in {text[:2000]}"
    backends = json.dumps([leaks.bpftool("map", "dump", "pinned", p) for p in leaks.pins() if os.path.basename(p) == "backends"])
    assert "3000" in backends
    s.close()


# ---- no privilege, bad flags ----

@pytest.mark.parametrize("wrap", [
    ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
    ("setpriv", "--bounding-set=-bpf,-sys_admin,-net_admin,-perfmon", "--inh-caps=-all"),
], ids=["nobody", "no-bpf-caps"])
def test_without_privilege(bench, wrap, tmp_path):
    """No BPF: splice, no address hook, and one line each that says so."""
    os.chmod(tmp_path, 0o777)
    parents = tmp_path.parent
    while str(parents) != "/tmp":
        os.chmod(parents, 0o755)
        parents = parents.parent
    directory = tmp_path / "daemon0"
    directory.mkdir(mode=0o777)
    os.chmod(directory, 0o777)
    text = d.listener(path="always") + d.backend()
    daemon = bench.daemon(text, start=False, wrap=wrap)
    daemon.start()
    bench.exact(4, ("v1,data:20000000,fin", "data:20000000,eof"), ("data:20000000,fin", "data:20000000,eof"))
    assert daemon.records(1, event="end")[0]["path_down"] == "splice"
    said = [line for line in daemon.lines if "kernel_path.off" in line]
    assert len(said) == 1 and "splice" in said[0], daemon.log()
    said += [line for line in daemon.lines if "hook.off" in line]
    assert len(said) == 2 and "client_address=none" in said[1], daemon.log()
    noise = [line for line in daemon.lines if "libbpf" in line.lower() and line not in said]
    assert not noise, noise


def run(*flags, text=None, tmp_path=None, command="run"):
    argv = [tools.UNPROXY, command, *flags]
    if text is not None:
        file = tmp_path / "bad.conf"
        file.write_text(text)
        argv += ["-c", str(file)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)


GOOD = ("--listen", "127.0.0.1:8080", "--backend", "127.0.0.1:1", "--trust", "10.0.0.0/8")


@pytest.mark.parametrize("flags, says", [
    (("--no-such-flag",), "no-such-flag"),
    (("--listen",), "listen"),
    (GOOD[:4], "trust"),
    ((*GOOD[:5], "0.0.0.0/0"), "any"),
    ((*GOOD, "--header-timeout", "1s"), "header-timeout"),
    ((*GOOD, "--header-max", "10"), "header-max"),
    ((*GOOD, "--kernel-path", "maybe"), "kernel-path"),
    ((*GOOD, "--header", "never"), "header"),
    ((*GOOD, "--engine", "inline"), "inline"),
    (("-c", "/nonexistent/unproxy.conf"), "/nonexistent/unproxy.conf"),
], ids=lambda v: v if isinstance(v, str) else "")
def test_bad_flags(flags, says):
    done = run(*flags)
    assert done.returncode in (1, 2) and says in done.stderr and not done.stdout, done
    assert len(done.stderr.splitlines()) <= 5, done.stderr


@pytest.mark.parametrize("text, says", [
    ("[listener a]\nbind = *:80\ntrust = any\n", "backend"),
    ("[listener a]\nbind = *:80\nbackend = b\n[backend b]\nserver = 127.0.0.1:1\n", "trust"),
    ("[listener a]\nbind = *:80\ntrust = any\nbackend = nosuch\n", "nosuch"),
    ("[listener a]\nbind = *:80\ntrust = any\nbakend = x\n", "bakend"),
    ("bind = 80\n", "section"),
    ("[listener a]\nbind = *:99999\ntrust = any\nbackend = 127.0.0.1:1\n", "99999"),
    ("[listener a]\nbind = *:80\ntrust = 10.0.0.1/8\nbackend = 127.0.0.1:1\n", "10.0.0.1/8"),
])
def test_bad_file(tmp_path, text, says):
    """file:line: message, the same from check and run; exit 1 or 2; nothing is half-applied."""
    for command in ("check", "run"):
        done = run(text=text, tmp_path=tmp_path, command=command)
        assert done.returncode in (1, 2) and says in done.stderr, done
        assert f"{tmp_path}/bad.conf:" in done.stderr, done.stderr


def test_address_in_use(bench):
    """Another program's socket, or another of us: SO_REUSEPORT would let two share a port, and each gets half of who comes."""
    first = bench.daemon(d.listener(bind=f"*:{d.PORT}") + d.backend())
    taken = bench.net.host.listen(HOST4, 8099)
    for bind in (f"{HOST4}:8099", f"*:{d.PORT}", f"127.0.0.1:{d.PORT}", f"[::]:{d.PORT}", f"*:8060-{d.PORT}"):
        second = bench.daemon(d.listener(bind=bind) + d.backend(), start=False).spawn()
        bench.daemons.remove(second)
        assert second.exit_code() == 1
        addr = f"[::]:{d.PORT}" if bind[0] == "*" else bind
        said = second.wait_for("listen.failed", dead=True)
        assert said["error"].startswith(f"{second.file}:") and f": bind: {addr}: Address already in use" in said["error"], said
        assert "--takeover" in said["hint"]
    taken.close()
    assert f"unproxy (pid {first.pid}) listens on" in check(second) and f"none answers at {second.control}" in check(second)
    assert "listens on" not in check(first), "its own port"
    # Its own sockets stand in nobody's way: another address of the same port, by a reload.
    for bind in (f"127.0.0.1:{d.PORT}", f"*:{d.PORT}", f"{HOST4}:{d.PORT}, 127.0.0.1:{d.PORT}", f"*:{d.PORT}"):
        first.write(d.listener(bind=bind) + d.backend())
        first.ask("reload")
    first.ask("listener", "main", "drain")
    third = bench.daemon(d.listener(bind=f"*:{d.PORT}") + d.backend(), start=False).spawn()
    third.wait_for("ready")
    bench.daemons.remove(third)
    first.ask("listener", "main", "ready", expect=1)
    third.process.terminate()
    assert third.exit_code() == 0
    first.ask("listener", "main", "ready")


def check(daemon):
    done = subprocess.run(daemon.ns.argv([tools.UNPROXY, "check", "-c", daemon.file]), capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done
    return done.stderr
