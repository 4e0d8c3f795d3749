# SPDX-License-Identifier: BSD-2-Clause
"""The control socket: who may ask, what is answered, and what a bad client can do (nothing)."""
import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import threading

import pytest

from harness import apps, headers, inline, leaks, tools
from harness import daemon as d
from harness.wait import until

CLIENTS_MAX = 64


class Control:
    """A client of the socket, by hand."""

    def __init__(self, daemon):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(daemon.control)  # waits while the backlog is full
        self.socket.settimeout(20)
        self.stream = self.socket.makefile("r")

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def line(self):
        text = self.stream.readline()
        return json.loads(text) if text else None

    def ask(self, **request):
        self.send(json.dumps({"v": 1, **request}) + "\n")
        return self.line()

    def close(self):
        self.stream.close()
        self.socket.close()


@pytest.fixture
def daemon(bench):
    return bench.daemon(d.listener() + d.backend())


def test_protocol(daemon):
    """One daemon, many askers: lines, pieces of lines, several at once, nonsense."""
    c = Control(daemon)
    answer = c.ask(id="x", cmd="status")
    assert (answer["v"], answer["id"], answer["ok"]) == (1, "x", True)
    assert answer["data"]["pid"] == daemon.pid

    c.send('{"v":1,"cmd":"help"}\n{"v":1,"cmd":"sta')
    names = []
    while "item" in (line := c.line()):
        names.append(line["item"]["cmd"])
    assert line["count"] == len(names) and {"help", "status"} <= set(names)
    c.send('tus"}\n')
    assert c.line()["ok"] is True
    for sent, error in [(b"\xff\n", "bad_json"), (b"\0\n", "bad_json"), (b"{}\n", "unsupported_version"), (b"\n", "bad_json"),
                        (b'{"v":1,"cmd":"nope"}\n', "unknown_command"), (b'{"v":1,"cmd":"status","x":1}\n', "bad_request")]:
        c.send(sent)
        assert c.line()["error"] == error
    for n in range(20):
        c.send(f'{{"v":1,"id":{n},"cmd":"help"}}\n' * 10)
    c.socket.shutdown(socket.SHUT_WR)
    ids = [line["id"] for line in iter(c.line, None) if "ok" in line]
    assert ids == [n for n in range(20) for _ in range(10)]

    c = Control(daemon)
    c.send(b"x" * 65536)
    assert c.line()["error"] == "too_long"
    assert c.line() is None

    c = Control(daemon)
    c.send(b'{"v":1,"cmd":"status"}')  # the last line's newline may be missing
    c.socket.shutdown(socket.SHUT_WR)
    assert c.line()["ok"] is True
    assert json.loads(daemon.ask("status", "--json"))["pid"] == daemon.pid


def test_clients_are_bounded(daemon):
    """A flood of idle clients takes nobody's place: the newest is always served."""
    crowd = [Control(daemon) for _ in range(3 * CLIENTS_MAX)]
    assert Control(daemon).ask(cmd="status")["ok"] is True
    assert crowd[0].line() is None, "the one that was silent longest had to go"
    assert crowd[-1].ask(cmd="status")["ok"] is True
    for c in crowd:
        c.close()


def test_the_socket(bench, daemon):
    """root alone; what a dead daemon left is replaced, a live one's place is respected."""
    info = os.stat(daemon.control)
    assert stat.S_ISSOCK(info.st_mode) and stat.S_IMODE(info.st_mode) == 0o600

    text = d.section("unproxy", control=daemon.control) + d.listener(bind="*:8081") + d.backend()
    second = bench.daemon(text)
    assert "another daemon answers" in second.wait_for("control.off")["reason"]
    second.process.terminate()
    assert second.exit_code() == 0
    assert json.loads(daemon.ask("status", "--json"))["pid"] == daemon.pid
    daemon.kill()
    assert "no daemon answers there" in run_status(daemon, 2)

    text = d.section("unproxy", control=daemon.control, control_group="daemon") + d.listener() + d.backend()
    third = bench.daemon(text)
    info = os.stat(daemon.control)
    assert (stat.S_IMODE(info.st_mode), info.st_gid) == (0o660, 1)
    third.control = daemon.control
    assert json.loads(third.ask("status", "--json"))["pid"] == third.pid
    third.stop()
    assert not os.path.exists(daemon.control)


def run_status(daemon, code):
    done = subprocess.run([tools.UNPROXY, "status", "--control", daemon.control], capture_output=True, text=True, timeout=20)
    assert done.returncode == code, done.stderr
    return done.stderr


# ---- conns, kill ----

CLIENTS = ["203.0.113.7", "203.0.113.8", "2001:db8::7"]


def start(bench, engine):
    if engine == "relay":
        apps.Recorder(bench.net.host, d.BACKEND_PORT)
        return bench.daemon(d.listener() + d.backend())
    apps.Recorder(bench.net.host, inline.PORT, address="0.0.0.0")
    return bench.daemon(inline.listener(), cls=inline.InlineDaemon)


def connect(bench, client, port, tlvs=b""):
    """A connection of that client, echoed once: it is joined."""
    sock = bench.net.client.connect(d.LISTEN[4], d.PORT)
    sock.settimeout(15)
    sock.sendall(headers.v2(client, port, "2001:db8::9" if ":" in client else "203.0.113.9", tlvs=tlvs) + b"hello")
    assert sock.recv(5) == b"hello"
    return sock


def open_connections(bench):
    return [connect(bench, client, 40000 + n, headers.tlv(0xEA, b"\x01vpce-1") if n == 1 else b"") for n, client in enumerate(CLIENTS)]


def conns(daemon, *filters):
    return [json.loads(line) for line in daemon.ask("conns", "--json", *filters).splitlines()]


def shown(daemon):
    return json.loads(daemon.ask("status", "--json"))["maps"]["connections"]["used"]


def clients(daemon, *filters):
    return sorted(c["client_ip"] for c in conns(daemon, *filters))


def is_reset(sock):
    try:
        return sock.recv(1) == b"!"  # never: the end must be a RST
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("engine", ["relay", "inline"])
def test_conns_and_kill(bench, engine):
    daemon = start(bench, engine)
    assert conns(daemon) == []
    socks = open_connections(bench)
    # The inline engine knows bytes when they are acknowledged, TLVs when the event was read.
    found = until(lambda: (c := conns(daemon)) and len(c) == 3 and all(x["bytes_up"] == x["bytes_down"] == 5 for x in c)
                  and any("tlv" in x for x in c) and {x["client_ip"]: x for x in c}, "three connections, whole")
    assert set(found) == set(CLIENTS)
    one = found[CLIENTS[1]]
    assert (one["engine"], one["listener"], one["client_port"]) == (engine, "main", 40001)
    assert (one["balancer_ip"], one["balancer_port"]) == socks[1].getsockname()
    assert (one["version"], one["command"], one["tlv"]) == (2, "PROXY", {"aws_vpce_id": "vpce-1"})
    assert one["destination_ip"] == "203.0.113.9" and one["event"] == "live" and one["duration"] > 0
    assert one["backend_port"] == (d.BACKEND_PORT if engine == "relay" else inline.PORT)
    assert one["path_up"] == one["path_down"] == ("copy" if engine == "relay" else "inline")
    assert one["state"] == ("relay" if engine == "relay" else "open")

    assert clients(daemon, "client=203.0.113.0/24") == CLIENTS[:2]
    assert clients(daemon, "client=2001:db8::/32") == CLIENTS[2:]
    assert clients(daemon, "vpce=vpce-1", "listener=main") == CLIENTS[1:2]
    assert clients(daemon, f"engine={engine}", "balancer=10.77.0.1") == sorted(CLIENTS)
    for nothing in ["client=192.0.2.0/24", "listener=other", "backend=other", "older=1h", "vpce=vpce-", "r1", "server=192.0.2.1"]:
        assert conns(daemon, nothing) == []
    for wrong in ["client=10.0.0.1/8", "older=1", "colour=red", "engine=both", "x1"]:
        assert not daemon.ask("conns", "--json", wrong, expect=1)
    table = daemon.ask("conns").splitlines()
    assert len(table) == 4 and all(any(f"{client}" in line for line in table[1:]) for client in CLIENTS)

    if engine == "relay":
        until(lambda: shown(daemon) == 3, lambda: f"three in the map of connections, not {shown(daemon)}")

    daemon.ask("kill", expect=2)
    assert daemon.ask("kill", "client=192.0.2.1") == "killed: 0\n"
    assert clients(daemon) == sorted(CLIENTS)
    assert daemon.ask("kill", one["conn"]) == "killed: 1\n"
    assert is_reset(socks[1])
    for gone in (one["conn"], "r123456789"):
        assert daemon.ask("kill", gone, expect=1) == "", "an id that is not there is told from a filter without a match"
    until(lambda: clients(daemon) == [CLIENTS[0], CLIENTS[2]] or clients(daemon) == [CLIENTS[2], CLIENTS[0]], "two are left")
    socks[0].sendall(b"still")
    assert socks[0].recv(5) == b"still"
    assert daemon.ask("kill", "all") == "killed: 2\n"
    assert is_reset(socks[0]) and is_reset(socks[2])
    assert len(daemon.records(3, event="end", reason="killed")) == 3
    assert conns(daemon) == [] and (engine == "inline" or shown(daemon) == 0)
    connect(bench, CLIENTS[0], 41000).close()


def test_ended_before_they_were_relayed(bench):
    """No header, a part of one, no answer of the server yet: refused, by `kill` and by the stop; no server was sent a byte."""
    daemon = bench.daemon(d.listener(header_timeout="60s") + d.backend(connect_timeout="60s"))
    held = bench.net.host.listen("127.0.0.1", d.BACKEND_PORT, backlog=0)
    fill = [bench.net.host.socket("127.0.0.1") for _ in range(2)]  # one in the queue, one beyond it
    for s in fill:
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", d.BACKEND_PORT))

    def three():
        socks = [bench.net.client.connect(d.LISTEN[4], d.PORT) for _ in range(3)]
        socks[1].sendall(b"PROXY TCP4 ")
        socks[2].sendall(headers.v1() + b"abc")
        until(lambda: sorted(c["state"] for c in conns(daemon)) == ["connect", "header", "header"], lambda: f"three, not {conns(daemon)}")
        assert [c["bytes_up"] for c in conns(daemon)] == [0, 0, 0]
        return socks

    def refused(reason, socks):
        assert all(is_reset(s) for s in socks)
        lines = daemon.records(3, reason=reason)
        assert {(r["event"], r["bytes_up"], r["path_up"]) for r in lines} == {("refused", 0, "none")} and all(r["hint"] for r in lines)
    socks = three()
    assert daemon.ask("kill", "all") == "killed: 3\n"
    refused("killed", socks)
    status = json.loads(daemon.ask("status", "--json"))
    assert status["refused"] == {"killed": 3} and status["connections"]["ended"] == 0 and status["bytes"]["up"]["copy"] == 0
    socks = three()
    daemon.process.send_signal(signal.SIGTERM)
    daemon.wait_for("drain.start")
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.exit_code() == 0
    refused("shutdown", socks)
    for s in [held, *fill]:
        s.close()


def test_inline_conns_after_a_restart(bench):
    """What the next controller knows of a connection is what the kernel kept of it."""
    daemon = start(bench, "inline")
    socks = open_connections(bench)
    before = until(lambda: (c := conns(daemon)) and len(c) == 3 and {x["client_ip"]: x for x in c}, "three connections")
    daemon.kill()
    daemon.spawn().wait_for("ready", count=2)
    bench.snapshot = leaks.Snapshot(daemon)  # it keeps what tells the first one's programs from others'
    after = {x["client_ip"]: x for x in conns(daemon)}
    assert set(after) == set(CLIENTS)
    for client in CLIENTS:
        for key in ("conn", "client_port", "balancer_port", "listener", "version", "backend_port"):
            assert after[client][key] == before[client][key]
    assert daemon.ask("kill", "client=203.0.113.0/24") == "killed: 2\n"
    assert is_reset(socks[0]) and is_reset(socks[1])
    socks[2].sendall(b"still")
    assert socks[2].recv(5) == b"still"


def test_lists_of_many(bench):
    """300 connections: lists while others come, go and are killed; and asked for by those who never read."""
    daemon = bench.daemon(d.listener() + d.backend())
    apps.Recorder(bench.net.host, d.BACKEND_PORT)
    stay = [connect(bench, CLIENTS[0], 1000 + n) for n in range(300)]
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            some = []
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):  # killed
                for n in range(20):
                    some.append(connect(bench, CLIENTS[1], 5000 + n))
            for s in some:
                s.close()
    thread = threading.Thread(target=churn)
    thread.start()
    killed = 0
    try:
        for _ in range(30):
            found = conns(daemon)
            assert len({c["conn"] for c in found}) == len(found), "none is told twice"
            assert sum(c["client_ip"] == CLIENTS[0] for c in found) == 300, "none that stays is left out"
            killed += int(daemon.ask("kill", f"client={CLIENTS[1]}").split()[1])
    finally:
        stop.set()
        thread.join()
    assert killed == len(daemon.records(killed, reason="killed"))

    before = daemon.rss_kib()
    deaf = [Control(daemon) for _ in range(8)]
    for c in deaf:
        c.send('{"v":1,"cmd":"conns"}\n' * 500)
    assert len(conns(daemon, f"client={CLIENTS[0]}")) == 300
    assert daemon.rss_kib() - before < 16384
    deaf[0].close()
    daemon.wait_for("control.dropped", count=7)
    assert len(conns(daemon, f"client={CLIENTS[0]}")) == 300
    for s in stay + deaf[1:]:
        s.close()


def test_status(bench):
    """One screen, the same as an object; the exit code says whether all is well."""
    text = d.section("listener web", engine="inline", port=8088, trust=d.TRUST, interfaces="wire, lo")
    daemon = bench.daemon(text + d.listener() + d.backend(server=["127.0.0.1:3000", "127.0.0.1:3001"], retry="1h", retry_max="1h"), cls=inline.InlineDaemon)
    one, other = apps.Recorder(bench.net.host, d.BACKEND_PORT), apps.Recorder(bench.net.host, 3001)
    for _ in range(2):
        assert apps.echo(bench.net.client, d.LISTEN[4], d.PORT)
    apps.ask(bench.net.client, d.LISTEN[4], d.PORT, b"GET / HTTP/1.1\r\n\r\n")
    status = until(lambda: (s := json.loads(daemon.ask("status", "--json"))) and s["connections"]["ended"] == 2 and s, "two ended")
    assert status["ready"] and not status["problems"]
    assert status["refused"] == {"no_header": 1} and status["connections"]["active"] == 0
    assert status["bytes"]["up"]["copy"] == status["bytes"]["down"]["copy"] == 10
    assert {x["listener"]: (x["engine"], x["open"]) for x in status["listeners"]} == {"main": ("relay", True), "web": ("inline", True)}
    assert [x["state"] for x in status["servers"]] == ["ready", "ready"] and sum(x["total"] for x in status["servers"]) == 2
    assert status["engines"]["relay"]["hook"]["on"] and status["engines"]["inline"]["interfaces"]
    screen = daemon.ask("status")
    assert len(screen.splitlines()) <= 24 and "ready" in screen and "no_header 1" in screen

    other.close()
    for _ in range(2):
        assert apps.echo(bench.net.client, d.LISTEN[4], d.PORT)
    assert daemon.ask("status", expect=1).splitlines()[-1] == "server 127.0.0.1:3001 of main: cannot be reached"
    one.close()
    apps.ask(bench.net.client, d.LISTEN[4], d.PORT, headers.v1() + b"x")
    status = json.loads(daemon.ask("status", "--json", expect=1))
    assert not status["ready"] and len(status["problems"]) == 2
    for state in ("drain", "remove"):
        for port in (3000, 3001):
            daemon.ask("backend", "main", "server", f"127.0.0.1:{port}", state)
        status = json.loads(daemon.ask("status", "--json", expect=1))
        assert not status["ready"] and status["problems"] == ["listener main: no server of main takes connections"], status["problems"]
    assert {x["backend"] for x in status["listeners"] if x["listener"] == "main"} == {"main"}
    daemon.ask("status", "more", expect=2)
    for command in ("status", "conns"):
        with open("/dev/full", "w") as full:
            done = subprocess.run([tools.UNPROXY, command, "--control", daemon.control], stdout=full, stderr=subprocess.PIPE, text=True, timeout=20)
        assert done.returncode == 1 and "No space left" in done.stderr, (command, done)
    daemon.ask("conns", "client=10.0.0.1", "client=10.0.0.2", expect=2)
