# SPDX-License-Identifier: BSD-2-Clause
"""SIGHUP: another configuration, whole or not at all, and nobody who is connected notices."""
import json
import os
import re
import signal
import socket
import subprocess

import pytest

from conftest import STAND_IN
from harness import daemon as d
from harness import headers, inline, leaks, peer
from harness.apps import Recorder, ask, echo, read_all, send_and_read
from harness.netns import HOST4
from harness.wait import until

pytestmark = pytest.mark.skipif(bool(STAND_IN), reason="SKIP: a stand-in has another configuration")


def reload(daemon, text=None, event="reload.done"):
    """Have the daemon go by this file; what it says about it."""
    def said():
        return [line for line in list(daemon.lines) if f" {event} " in line]
    seen = len(said())
    if text is not None:
        daemon.write(text)
    daemon.process.send_signal(signal.SIGHUP)
    return d.words(until(lambda: said()[seen:], daemon.log)[0])[1]


def ping(s, byte=b"p"):
    s.sendall(byte)
    return s.recv(1) == byte


def connect(bench, port=d.PORT):
    """A connection that is served."""
    s = bench.net.client.connect(HOST4, port)
    s.sendall(headers.v1())
    assert ping(s)
    return s


def refused(bench, port):
    try:
        bench.net.client.connect(HOST4, port).close()
        return False
    except ConnectionRefusedError:
        return True


def main(*more, server="127.0.0.1:3000", balance="roundrobin", general="", **keys):
    return d.section("unproxy") + general + d.listener(**keys) + d.backend(server=server, balance=balance) + "".join(more)


# ---- under load ----

def sockets(bench, port=d.PORT):
    """The listening sockets' inodes: the same ones, if they were never closed."""
    done = subprocess.run(bench.net.host.argv(["ss", "-ltnHe", "sport", "=", f":{port}"]), capture_output=True, text=True, check=True)
    return sorted(re.findall(r"ino:(\d+)", done.stdout))


def another(i):
    """The i-th of many configurations: `main` stays where it is, and everything about it changes."""
    servers = ["127.0.0.1:3000 weight=%d" % (1 + i % 3), "127.0.0.2:3000", "127.0.0.3:3000"][:1 + i % 3]
    more = [d.listener(f"more{n}", bind=f"*:{8100 + n}", backend=f"more{n % 2}") for n in range(i % 4)]
    more += [d.backend(f"more{n}", server=f"127.0.0.{4 + n}:3000") for n in range(2)]
    keys = {"keepalive": f"{30 + i}s", "max_per_source": 1000 * (i % 2), "backlog": 1024 + i, "header_timeout": f"{5 + i % 2}s"}
    return main(*more, server=servers, path=list(d.PATHS)[i % 4], **keys)


def test_twenty_reloads_under_load(bench):
    """Long streams on a listener that goes, hundreds of short ones on one that stays: each byte, no reset, no refusal."""
    daemon = bench.daemon(another(0))
    kept = sockets(bench)
    servers = bench.server(address="0.0.0.0", count=600, parallel=200, tx="rx:20000,data:20000,fin", rx="rest,eof")
    streams = bench.server(port=3001, count=4, tx="data:5000000,fin", rx="rate:5000000/6000000,eof")
    reload(daemon, another(0) + d.listener("bulk", bind="*:8090", backend="bulk") + d.backend("bulk", server="127.0.0.1:3001"))
    bulk = bench.client(port=8090, count=4, parallel=4, tx="v1,data:5000000,fin", rx="rate:5000000/6000000,eof")
    until(lambda: bulk.stat()["rx"] > 1000000, "the long streams run")
    short = bench.client(count=600, parallel=16, tx="v1,data:20000,fin", rx="rest,eof")
    for i in range(1, 21):
        reload(daemon, another(i))  # the first one takes `bulk` away: its streams go on
        until(lambda: len(short.results) > 25 * i, "short connections come and go", seconds=30)
    peer.assert_exact(short.finish(), servers.finish(), 600)
    peer.assert_exact(bulk.finish(), streams.finish(), 4)
    assert not daemon.events("worker.slow") and not daemon.events("relay.bytes_missing")
    reload(daemon, another(0))
    assert kept and sockets(bench) == kept
    assert {r["listener"] for r in daemon.records(4, backend_name="bulk")} == {"bulk"}


@pytest.mark.parametrize("io_uring", ["yes", "no"])
def test_what_waits_in_the_accept_queue(bench, io_uring):
    """The daemon is stopped, connections gather, and its file has changed when it wakes up."""
    general = f"io_uring = {io_uring}\n"
    daemon = bench.daemon(main(d.listener("goes", bind="*:8100"), general=general))
    Recorder(bench.net.host, 3000)
    daemon.process.send_signal(signal.SIGSTOP)
    waiting = [bench.net.client.connect(HOST4, port) for port in (d.PORT, 8100) for _ in range(50)]
    for s in waiting:
        s.sendall(headers.v1() + b"hello")
        s.shutdown(socket.SHUT_WR)
    daemon.write(main(general=general, keepalive="10s", backlog=100))
    daemon.process.send_signal(signal.SIGHUP)
    daemon.process.send_signal(signal.SIGCONT)
    daemon.wait_for("reload.done")
    assert [read_all(s) for s in waiting] == [(b"hello", "eof")] * 100
    assert refused(bench, 8100)


# ---- what connections go by ----

def test_connections_keep_their_rules(bench):
    """Listener, backend and limits change; who is connected stays with the server it has, and so do the counts."""
    daemon = bench.daemon(main(max_connections=2))
    old, new = Recorder(bench.net.host, 3000), Recorder(bench.net.host, 3001)
    first = connect(bench)
    reload(daemon, d.listener(backend="next", max_connections=2) + d.backend("next", server="127.0.0.1:3001"))
    second = connect(bench)
    assert bytes(old.seen[0]) == bytes(new.seen[0]) == b"p" and len(old.seen) == len(new.seen) == 1
    assert ping(first)
    assert ask(bench.net.client, HOST4, d.PORT, headers.v1() + b"x") == (b"", "rst"), "two are counted: one of each generation"
    first.close()
    daemon.records(1, backend_port=3000, backend_name="main", reason="client_fin")
    assert echo(bench.net.client, HOST4, d.PORT)
    second.close()


def test_a_removed_listener_drains(bench):
    daemon = bench.daemon(main(d.listener("goes", bind="*:8100", backend="away"), d.backend("away", server="127.0.0.1:3001")))
    Recorder(bench.net.host, 3000)
    Recorder(bench.net.host, 3001)
    s = connect(bench, 8100)
    said = reload(daemon, main())
    assert said["removed"] == "1" and said["added"] == "0" and said["listeners"] == "1"
    assert refused(bench, 8100)
    data = os.urandom(3000000)
    assert send_and_read(s, data) == (data, "eof")
    s.close()
    record, = daemon.records(1, listener="goes")
    assert record["backend_name"] == "away" and record["bytes_up"] == 3000001
    assert echo(bench.net.client, HOST4, d.PORT)


def test_servers_come_and_go(bench):
    """A server that stays keeps its rest; one that is gone gets nobody, and keeps whom it has."""
    daemon = bench.daemon(main(server=["127.0.0.1:3000", "127.0.0.1:3009"], balance="leastconn"))
    a, b = Recorder(bench.net.host, 3000), Recorder(bench.net.host, 3001)
    s = connect(bench)
    assert echo(bench.net.client, HOST4, d.PORT)  # leastconn: 3009 is asked first, and refuses
    assert daemon.wait_for("backend.down")["server"] == "127.0.0.1:3009"
    reload(daemon, main(server=["127.0.0.1:3001", "127.0.0.1:3009"]))
    for _ in range(4):
        assert echo(bench.net.client, HOST4, d.PORT)
    assert len(b.seen) == 4 and len(a.seen) == 2
    assert len(daemon.events("backend.down")) == 1, "it rests as before"
    assert ping(s)
    s.close()


# ---- whole or not at all ----

@pytest.mark.parametrize("text, expect", [
    ("[listener x]\nbind = *:8100\ntrust = 10.0.0.0/33\nbackend = main\n", "trust: "),
    ("[backend main]\nserver = 127.0.0.1:1\n", "[backend main] twice"),
    ("[listener x]\nbind = *:8100\ntrust = any\nbackend = nobody\n", "backend: "),
])
def test_a_bad_file_changes_nothing(bench, text, expect):
    daemon = bench.daemon(main())
    Recorder(bench.net.host, 3000)
    s = connect(bench)
    good = open(daemon.file).read()
    at = good.count("\n") + 1
    with open(daemon.file, "w") as f:
        f.write(good.replace(":3000", ":3999") + text)
    said = reload(daemon, event="reload.refused")
    assert expect in said["error"] and said["error"].startswith(f"{daemon.file}:"), said
    assert at <= int(said["error"].removeprefix(daemon.file)[1:].split(":")[0]) < at + 4
    assert refused(bench, 8100)
    assert ping(s) and echo(bench.net.client, HOST4, d.PORT)
    reload(daemon, main(keepalive="1s"))
    s.close()


def test_a_bad_file_in_another_encoding(bench):
    """Who asks is told of it as of any other."""
    daemon = bench.daemon(main())
    with open(daemon.file, "ab") as f:
        f.write(b"caf\xe9 = 1\n")
    reload(daemon, event="reload.refused")
    problem = daemon.ask("status", expect=1).splitlines()[-1]
    assert problem.startswith("the last reload was refused: ") and "caf?" in problem
    assert "caf?" in json.loads(daemon.ask("status", "--json", expect=1))["configuration"]["error"]
    reload(daemon, main())
    daemon.ask("status")


def test_a_listener_that_cannot_bind(bench):
    """Others' port: the listener before it in the file does not open either, nothing is reset, the next try works."""
    daemon = bench.daemon(main())
    Recorder(bench.net.host, 3000)
    holder = bench.net.host.listen(HOST4, 8101)
    next_text = main(d.listener("a", bind="*:8100"), d.listener("b", bind=f"{HOST4}:8101"), server="127.0.0.1:3999")
    said = reload(daemon, next_text, event="reload.refused")
    line = open(daemon.file).read().split("\n").index(f"bind = {HOST4}:8101") + 1
    assert said["error"] == f"{daemon.file}:{line}: bind: {HOST4}:8101: Address already in use"
    assert refused(bench, 8100) and echo(bench.net.client, HOST4, d.PORT)
    holder.close()
    assert reload(daemon, next_text.replace(":3999", ":3000"))["added"] == "2"
    assert echo(bench.net.client, HOST4, 8100) and echo(bench.net.client, HOST4, 8101)
    reload(daemon, main())


def test_keys_that_need_a_restart(bench):
    """They are named, and the rest of the file is taken."""
    daemon = bench.daemon(main(general="workers = 1\n"))
    Recorder(bench.net.host, 3000)
    reload(daemon, main(d.listener("more", bind="*:8100"), general="workers = 3\nio_uring = no\nlog_start = yes\n"))
    assert daemon.wait_for("reload.restart")["keys"] == "workers, io_uring"
    assert echo(bench.net.client, HOST4, 8100)
    daemon.records(1, event="start")
    reload(daemon, main(general="workers = 1\n"))
    assert len(daemon.events("reload.restart")) == 1


def test_started_from_flags(bench):
    """There is no file to read: SIGHUP reopens the client log, as ever."""
    daemon = bench.daemon(flags=["--listen", f"{HOST4}:8080", "--backend", "127.0.0.1:3000", "--trust", "10.77.0.0/24",
                                 "--client-log", str(bench.tmp_path / "log")])
    Recorder(bench.net.host, 3000)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for("client_log.reopened")
    assert echo(bench.net.client, HOST4, 8080)
    assert not daemon.events("reload.done") and not daemon.events("reload.refused")


# ---- the other engine ----

def test_an_inline_listener_comes_and_goes(bench):
    """The first of its engine, and the last: its connection outlives it, and the next ones are the app's alone."""
    alone = main().replace("[unproxy]\n", "[unproxy]\nsandbox = no\n")
    daemon = bench.daemon(alone, cls=inline.InlineDaemon)
    bench.snapshot = None  # the engine stays, for the connections it has
    app = Recorder(bench.net.host, 8100, HOST4)
    Recorder(bench.net.host, 3000)
    both = alone + inline.listener("inl", port=8100)
    reload(daemon, both)
    assert daemon.wait_for("inline.on")["listeners"] == "1"
    s = connect(bench, 8100)
    assert echo(bench.net.client, HOST4, 8100) and echo(bench.net.client, HOST4, d.PORT)
    daemon.records(1, listener="inl", engine="inline")
    bad = both + inline.listener("worse", port=8200, interfaces="nowhere")
    assert "nowhere" in reload(daemon, bad, event="reload.refused")["error"]
    assert echo(bench.net.client, HOST4, 8100) and refused(bench, d.PORT) is False
    reload(daemon, alone)
    assert ask(bench.net.client, HOST4, 8100, headers.v1() + b"x") == (headers.v1() + b"x", "eof"), "nobody takes the header off"
    assert ping(s, b"q") and bytes(app.seen[0]) == b"pq"
    s.close()
    daemon.records(3, listener="inl", reason="client_fin")
    assert echo(bench.net.client, HOST4, d.PORT)


def test_without_a_listener_the_engine_rests(bench):
    """Nothing of it stays on the host once its last flow is over, and it comes back with the next listener: also in the sandbox."""
    daemon = bench.daemon(main(inline.listener("inl", port=8100)), cls=inline.InlineDaemon)
    bench.snapshot = None  # the engine's own descriptors come and go
    host, rests = bench.net.host, 0
    app = Recorder(host, 8100, HOST4)
    Recorder(host, 3000)

    def is_off():
        return len(daemon.events("inline.off")) == rests and not inline.ours(host, "wire") and not os.path.exists(inline.PINS)
    for _ in range(2):
        reload(daemon, main())
        rests += 1
        until(is_off, daemon.log)
        inline.assert_nothing_left(host)
        assert ask(bench.net.client, HOST4, 8100, b"x") == (b"x", "eof") and echo(bench.net.client, HOST4, d.PORT)
        assert "8100" not in daemon.ask("conns", "engine=inline") + daemon.ask("kill", "listener=inl")
        reload(daemon, main(inline.listener("inl", port=8100)))
        assert len(daemon.events("inline.on")) == rests + 1 and inline.ours(host, "wire")

    seen = len(app.seen)
    s = connect(bench, 8100)
    reload(daemon, main())
    assert ping(s, b"q") and bytes(app.seen[seen]) == b"pq"
    s.close()
    daemon.records(1, listener="inl", reason="client_fin")
    assert inline.ours(host, "wire") and json.loads(daemon.ask("status", "--json"))["engines"]["inline"]["interfaces"]
    for row in inline.dump("flows"):  # it has ended and lingers for a minute: not to be waited for here
        leaks.bpftool("map", "delete", "pinned", os.path.join(inline.PINS, "flows"), "key", *row["key"])
    rests += 1
    until(is_off, daemon.log)
    inline.assert_nothing_left(host)

    other = bench.daemon(inline.listener("app", port=8200), cls=inline.InlineDaemon)
    bench.snapshot = None
    reload(daemon, main(inline.listener("inl", port=8100)), event="reload.refused")
    error = json.loads(daemon.ask("status", "--json", expect=1))["configuration"]["error"]
    assert "another instance runs" in error, error
    other.stop()
    reload(daemon, main(inline.listener("inl", port=8100)))
    assert echo(bench.net.client, HOST4, 8100)


def test_the_first_listener_that_relays(bench):
    """Workers, the kernel path and the address hook come with it."""
    sandbox = d.section("unproxy", sandbox="no")
    daemon = bench.daemon(sandbox + inline.listener("inl", port=8100), cls=inline.InlineDaemon)
    bench.snapshot = None  # workers stay
    app, server = Recorder(bench.net.host, 8100, HOST4), Recorder(bench.net.host, 3000)
    s = connect(bench, 8100)
    reload(daemon, sandbox + inline.listener("inl", port=8100) + d.listener() + d.backend())
    daemon.wait_for("kernel_path.on")
    assert echo(bench.net.client, HOST4, d.PORT) and ping(s) and echo(bench.net.client, HOST4, 8100)
    assert len(app.seen) == 2 and len(server.seen) == 1
    s.close()


@pytest.mark.parametrize("before, after, what", [
    (d.listener(path="copy") + d.backend(), inline.listener("inl", port=8100), "engine = inline"),
    (inline.listener("inl", port=8100), d.listener(path="copy") + d.backend(), "engine = relay"),
    (d.listener(path="copy") + d.backend(client_address="none"), d.backend("told"), "client_address = hook"),
])
def test_what_the_sandbox_keeps_out(bench, before, after, what):
    """Capabilities that were given up do not come back: it is said, and nothing changes."""
    daemon = bench.daemon(before, cls=inline.InlineDaemon)
    error = reload(daemon, before + after, event="reload.refused")["error"]
    assert error.startswith(f"{what} is new here") and error.endswith("restart it"), error
    reload(daemon, before)


# ---- nothing is left over ----

def test_two_hundred_reloads_leave_nothing(bench):
    """Descriptors and memory stand where they stood."""
    daemon = bench.daemon(another(0))
    Recorder(bench.net.host, 3000, "0.0.0.0")
    for i in range(12):
        reload(daemon, another(i))
    fds, rss = len(os.listdir(f"/proc/{daemon.pid}/fd")), daemon.rss_kib()
    for i in range(12, 204):
        reload(daemon, another(i))
        if i % 20 == 0:
            assert echo(bench.net.client, HOST4, d.PORT)
    reload(daemon, another(0))
    until(lambda: len(os.listdir(f"/proc/{daemon.pid}/fd")) <= fds, "descriptors that are not closed")
    assert daemon.rss_kib() <= rss + 1024, f"{rss} KiB before, {daemon.rss_kib()} after"
