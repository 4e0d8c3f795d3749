# SPDX-License-Identifier: BSD-2-Clause
"""What fails in the daemon's hands one day: it keeps serving, says what it lost, and recovers."""
import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from conftest import STAND_IN
from harness import daemon as d
from harness import headers
from harness import inline as i
from harness.apps import Recorder, ask, echo, read_all, send_quietly
from harness.faults import Faults
from harness.netns import HOST4
from harness.wait import until

pytestmark = pytest.mark.skipif(bool(STAND_IN), reason="SKIP: a stand-in has other faults")
URING = pytest.mark.parametrize("uring", ["yes", "no"], ids=["uring", "epoll"])
EPOLL_ADD, EPOLL_MOD = 1, 3
BPF = {"update": 2, "pin": 6, "get": 7, "attach": 8, "link": 28}
# The first and a later one of each kind. Not those that libbpf tries the kernel with (map_create, prog_load, info): it
# takes their failing for an old kernel, and has the verifier tell at length why that cannot be.
AT_START = [(name, skip) for name in BPF for skip in (0, 2)]
RING = 4 << 20  # bytes of the inline engine's events


@pytest.fixture
def faults(tmp_path):
    return Faults(tmp_path)


@pytest.fixture
def start(bench, faults):
    def run(uring="yes", text=None, **keys):
        text = text or d.listener(**keys) + d.backend(retry="10ms", retry_max="50ms")
        return bench.daemon(d.section("unproxy", io_uring=uring, workers=1) + text, env=faults.env)
    return run


def one(bench, port=d.PORT):
    return echo(bench.net.client, HOST4, port)


def works(bench, times=5):
    """Connections, one after the other, all of them whole."""
    assert all(one(bench) for _ in range(times))


# ---- calls that fail, one kind after the other, one daemon ----

def test_accept(bench, faults, start):
    """Nobody is turned away: who cannot be accepted waits in the backlog. (io_uring accepts without accept4().)"""
    daemon = start("no")
    Recorder(bench.net.host, d.BACKEND_PORT)
    for error in ("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "ECONNABORTED", "EPERM", "EPROTO", "EINTR", "ENETDOWN"):
        faults.arm("accept4", error, 3)
        assert one(bench), error
        faults.spent("accept4")
    works(bench)
    assert len(daemon.events("accept.paused")) == 1, "said once a minute, not each time"
    assert daemon.events("accept.paused")[0]["reason"] == "Too many open files"


@URING
def test_connect(bench, faults, start, uring):
    """A server's refusal is the server's affair; a lack of ours is not blamed on the server."""
    daemon = start(uring)
    Recorder(bench.net.host, d.BACKEND_PORT)
    for call, error, reason in (("connect", "ECONNREFUSED", "no_backend"), ("connect", "ENETUNREACH", "no_backend"),
                                ("connect", "EADDRNOTAVAIL", "no_backend"), ("connect", "ENOBUFS", "no_resources"),
                                ("socket", "EMFILE", "no_resources"), ("socket", "ENOMEM", "no_resources")):
        faults.arm(call, error)
        assert not one(bench), error
        faults.spent(call)
        record = daemon.records(event="refused")[-1] if daemon.records(event="refused") else None
        until(lambda: any(r["reason"] == reason for r in daemon.records(event="refused")), lambda: f"{error}: {record}")
        until(lambda: one(bench), f"after {error} of {call} it serves", 5)
    works(bench)
    said = [e["error"] for e in daemon.events("backend.down")]
    assert said == ["Connection refused", "Network is unreachable", "Cannot assign requested address"], said


@URING
def test_connect_with_another_server(bench, faults, start, uring):
    """The next server is tried, the client does not notice."""
    start(uring, d.listener() + d.backend(server=["127.0.0.1:3000", "127.0.0.1:3001"], retry="10ms", retry_max="10ms"))
    Recorder(bench.net.host, 3000)
    Recorder(bench.net.host, 3001)
    for error in ("ECONNREFUSED", "EADDRNOTAVAIL", "EACCES"):
        faults.arm("connect", error)
        assert one(bench), error
        faults.spent("connect")
        until(lambda: len(bench.daemons[0].events("backend.up")) == len(bench.daemons[0].events("backend.down")) if one(bench) else False,
              f"{error}: both serve again")


@URING
def test_epoll_ctl(bench, faults, start, uring):
    """A connection that cannot be watched is reset and said so; a listener that cannot is watched later."""
    daemon = start(uring)
    Recorder(bench.net.host, d.BACKEND_PORT)
    works(bench)
    for op in (EPOLL_ADD, EPOLL_MOD):
        for error in ("ENOMEM", "ENOSPC"):
            for skip in range(3):
                faults.arm("epoll_ctl", error, skip=skip, only=op)
                ended = [ask(bench.net.client, HOST4, d.PORT, headers.v1() + b"x" * 100000) for _ in range(4)]
                faults.disarm("epoll_ctl")
                assert all(how == (b"x" * 100000, "eof") or how[1] == "rst" for how in ended), "whole, or reset: never cut short"
                until(lambda: one(bench), f"after {error} of epoll_ctl {op} it serves", 5)
    works(bench)
    assert daemon.alive()


def test_epoll_that_would_keep_quiet(bench, faults, start):
    """What a connection waits for changes, and epoll does not take it: it is told again; in vain, the connection ends."""
    daemon, text = start("yes"), b"x" * 1000000
    server = bench.net.host.listen("127.0.0.1", d.BACKEND_PORT)
    for times in (1, 1000):
        faults.arm("epoll_ctl", "ENOMEM", 0, only=EPOLL_ADD)  # counts
        held = bench.net.client.connect(HOST4, d.PORT)
        held.sendall(headers.v1() + b"x")
        taken = server.accept()[0]
        taken.settimeout(20)
        assert taken.recv(1) == b"x"
        until(lambda: faults.calls("epoll_ctl") == 2, "io_uring receives, and epoll is there for errors")
        faults.arm("epoll_ctl", "ENOMEM", times, only=EPOLL_MOD)
        sender = threading.Thread(target=send_quietly, args=(held, text))  # bulk: epoll's again
        sender.start()
        got, how = read_all(taken)
        sender.join()
        taken.close()
        held.close()
        assert faults.failed("epoll_ctl") >= 1 + times // 1000
        faults.disarm("epoll_ctl")
        assert (got, how) == (text, "eof") if times == 1 else how == "rst", (times, len(got), how)
    server.close()
    assert [r["reason"] for r in daemon.records(2)] == ["client_fin", "no_resources"]
    Recorder(bench.net.host, d.BACKEND_PORT)
    works(bench)


def test_a_listener_that_cannot_be_watched(bench, faults, start):
    """Paused for want of descriptors, and then epoll has no memory: it listens again all the same."""
    daemon = start("no")
    Recorder(bench.net.host, d.BACKEND_PORT)
    works(bench)
    faults.arm("epoll_ctl", "ENOMEM", 3, only=EPOLL_ADD)
    faults.arm("accept4", "EMFILE")
    waiting = bench.net.client.connect(HOST4, d.PORT)
    waiting.sendall(headers.v1() + b"x")
    daemon.wait_for("accept.paused")
    faults.spent("epoll_ctl")
    assert waiting.recv(1) == b"x", "who waited is served"
    works(bench)
    waiting.close()


@pytest.mark.parametrize("path", d.PATHS)
def test_calls_that_move_bytes(bench, faults, start, path):
    """Interrupted, or without memory for once: the bytes go on, and nothing sleeps over it."""
    start("no", d.one_path(path, "127.0.0.1:3000"))
    # Each word waits for the answer to the one before: no later byte wakes up whoever sleeps.
    turns = (("v1,acked,data:60000,rx:60000,ms:2,data:100,rx:60100,fin", "data:60100,eof"),
             ("rx:60000,data:60000,rx:60100,ms:2,data:100,fin", "data:60100,eof"))
    bulk = ("v2,acked,data:3000000,fin", "data:3000000,eof"), ("data:3000000,fin", "data:3000000,eof")
    met = {}
    for call, errors in (("recv", ["EINTR"]), ("send", ["EINTR", "ENOBUFS", "ENOMEM"]), ("splice", ["EINTR"])):
        for error in errors:
            for skip in range(1, 8):  # the first send may be that of early data: without memory for that, it is refused
                for words in (turns, bulk) if skip > 2 else (turns,):
                    faults.arm(call, error, 1, skip=skip)
                    bench.exact(4, *words)
                    met[call] = met.get(call, 0) + faults.failed(call)
                    faults.disarm(call)
    assert all(met[call] > 4 for call in ("recv", "send") + (("splice",) if path == "splice" else ())), met


@pytest.mark.parametrize("path, call, size", [("copy", "send", 3000), ("splice", "send", 3000), ("auto", "send", 3000), ("splice", "splice", 3000000)])
def test_calls_that_fail_for_good(bench, faults, start, path, call, size):
    """An error that no event tells of: both sides are reset at once."""
    start("no", d.one_path(path, "127.0.0.1:3000"))
    to_server = (f"v1,acked,data:8,rx:8,data:{size}", "aborted"), ("rx:8,data:8", "aborted")
    to_client = ("v1,acked,data:8", "aborted"), (f"rx:8,data:{size}", "aborted")
    for sends_before, sides in ((2, to_server), (1, to_client)):
        faults.arm(call, "EPERM", 1, skip=sends_before if call == "send" else 1)
        clients, servers = bench.exchange(4, *sides)
        faults.spent(call)
        assert [r["end"] for r in clients + servers] == ["rst", "rst"]


def test_pipe(bench, faults):
    """No pipe, no splice: the bytes are copied, each of them."""
    bench.daemon(d.one_path("splice", "127.0.0.1:3000"), env=faults.env)
    both = ("v1,data:3000000,fin", "data:3000000,eof"), ("data:3000000,fin", "data:3000000,eof")
    for error in ("EMFILE", "ENFILE", "ENOMEM"):
        faults.arm("pipe2", error, 2)
        bench.exact(4, *both)
        assert faults.failed("pipe2") == 2, "both directions asked for one"
    bench.exact(4, *both)
    records = sorted(bench.daemons[0].records(4), key=lambda r: r["time"])
    paths = [{r["path_up"], r["path_down"]} for r in records]
    assert paths[:3] == [{"copy"}] * 3 and "splice" in paths[3], paths


def test_pipe_for_the_last_bytes(bench, faults):
    """They came in one piece, and nothing after them will tell of them again."""
    bench.daemon(d.one_path("splice", "127.0.0.1:3000"), env=faults.env)
    faults.arm("pipe2", "EMFILE", 2)
    bench.exact(4, ("v1,data:60000,rx:60000,ms:20,data:100,rx:60100,fin", "data:60100,eof"),
                ("rx:60000,data:60000,rx:60100,ms:20,data:100,fin", "data:60100,eof"))
    faults.spent("pipe2")


def test_bpf_at_run_time(bench, faults):
    """Maps that refuse (full, no memory): the kernel path is left out, and no byte with it."""
    bench.daemon(d.one_path("always", "127.0.0.1:3000"), env=faults.env)
    both = ("v1,data:300000,fin", "data:200000,eof"), ("data:200000,fin", "data:300000,eof")
    for error in ("E2BIG", "ENOMEM", "EBUSY", "EPERM"):
        for skip in range(5):
            faults.arm("bpf", error, 1, skip=skip, only=BPF["update"])
            bench.exact(4, *both)
            faults.disarm("bpf")
    bench.exact(4, *both)
    paths = {(r["path_up"], r["path_down"]) for r in bench.daemons[0].records(21)}
    assert len(paths) > 2 and any("kernel" in p for p in paths), paths


@pytest.mark.parametrize("path", d.PATHS)
def test_a_reset_that_looks_like_an_end(bench, faults, start, path):
    """The kernel's worker that writes to the socket may be told of the reset first; epoll shows an end alone then."""
    daemon = start("no", d.one_path(path, "127.0.0.1:3000"))
    for client, server in ((("v1,data:100,rx:100,ms:50,rst", "rest"), ("rx:100,data:100", "aborted")),
                           (("v1,data:100", "aborted"), ("rx:100,data:100,ms:50,rst", "rest"))):
        faults.arm("epoll_error", "ECONNRESET", 1)
        clients, servers = bench.exchange(4, client, server)
        assert faults.failed("epoll_error") == 1
        assert "rst" in (clients[0]["end"], servers[0]["end"])
    assert {r["reason"] for r in daemon.records(2)} == {"client_reset", "server_reset"}
    daemon.stop()
    assert daemon.events("stopped")[-1]["bytes_missing"] == "0"


def test_bpf_at_start(bench, faults):
    """Whichever call fails: it says what is off, and serves."""
    Recorder(bench.net.host, d.BACKEND_PORT)
    said = set()
    for name, skip in AT_START:
        faults.arm("bpf", "EPERM", skip=skip, only=BPF[name])
        daemon = bench.daemon(d.listener() + d.backend(), env=faults.env)
        works(bench, 2)
        said |= {event for event in ("kernel_path.off", "hook.off") if daemon.events(event)}
        daemon.stop()
    assert said == {"kernel_path.off", "hook.off"}


# ---- the client log ----

@URING
def test_log_that_cannot_be_written(bench, faults, start, uring):
    """Lines are held back, and come when it can."""
    daemon = start(uring)
    Recorder(bench.net.host, d.BACKEND_PORT)
    for error, said in (("ENOSPC", "No space left on device"), ("EIO", "Input/output error"), ("EDQUOT", "Disk quota exceeded")):
        lines = len(daemon.records())
        faults.arm("write", error, 5)
        works(bench, 10)
        faults.spent("write")
        daemon.records(lines + 10)
        daemon.wait_text(f'client_log.write_failed path="{daemon.client_log}" error="{said}"')
        daemon.wait_for("client_log.write_recovered", count=len(daemon.events("client_log.write_failed")))
    assert len(daemon.records()) == 30, "none lost, none doubled"


def test_log_on_a_full_disk(bench, tmp_path):
    """A small tmpfs: full, it serves on and says so; what is lost is counted; with room it logs again."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], check=True)
    try:
        text = d.listener() + d.backend()
        daemon = bench.daemon(text, start=False)
        daemon.client_log = str(disk / "clients.log")
        daemon.write(text)
        daemon.start()
        Recorder(bench.net.host, d.BACKEND_PORT)
        (disk / "ballast").write_bytes(bytes(48 * 1024))

        def full():
            works(bench, 10)
            return daemon.events("client_log.write_failed")
        until(full, "the disk is full", 20)
        works(bench, 10)
        (disk / "ballast").unlink()
        daemon.wait_for("client_log.write_recovered")
        before = (disk / "clients.log").stat().st_size
        works(bench, 3)
        until(lambda: (disk / "clients.log").stat().st_size > before, "it logs again")
        lines = (disk / "clients.log").read_bytes().splitlines()
        assert all(json.loads(line)["event"] == "end" for line in lines), "no line is cut in two"
        daemon.stop()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


# ---- the host around it ----

def test_a_server_that_comes_and_goes(bench):
    """Ten times a second, beside one that stays: no client notices, and the log stays readable."""
    daemon = bench.daemon(d.listener() + d.backend(server=["127.0.0.1:3000", "127.0.0.1:3001"], retry="20ms", retry_max="100ms"))
    Recorder(bench.net.host, 3000)
    stop = threading.Event()

    def flap():
        while not stop.is_set():
            server = Recorder(bench.net.host, 3001)
            stop.wait(0.05)  # the beat is the stimulus
            server.close()
            stop.wait(0.05)
    thread = threading.Thread(target=flap)
    thread.start()
    try:
        began, n = time.monotonic(), 0
        while time.monotonic() - began < 3:
            results = ask(bench.net.client, HOST4, d.PORT, headers.v1() + b"x")
            # One that was in the flapping server's backlog when it closed is reset by it: no business of ours.
            assert results == (b"x", "eof") or results[1] == "rst", results
            n += 1
    finally:
        stop.set()
        thread.join()
    refused = daemon.records(event="refused")
    assert n > 50 and not refused, refused[:1]
    down, up = daemon.events("backend.down"), daemon.events("backend.up")
    assert 1 <= len(down) <= 60 and len(down) - len(up) in (0, 1), daemon.log()
    works(bench)


def test_a_dead_backend_does_not_fill_the_log(bench, start):
    """Each connection has its line in the client log; the daemon's says it once."""
    daemon = start()
    assert not any(one(bench) for _ in range(100))
    daemon.records(100, event="refused", reason="no_backend")
    assert len(daemon.events("backend.none")) == len(daemon.events("backend.down")) == 1, daemon.log()


def test_the_clock_jumps(bench, faults, start):
    """Times follow the clock, durations and deadlines do not."""
    daemon = start(text=d.listener(idle_timeout="2s") + d.backend())
    Recorder(bench.net.host, d.BACKEND_PORT)
    held = bench.net.client.connect(HOST4, d.PORT)
    held.sendall(headers.v1() + b"x")
    assert held.recv(1) == b"x"
    for off in (400 * 86400, -400 * 86400, 0):
        faults.clock(off)
        year = time.strftime("%Y", time.gmtime(time.time() + off))
        until(lambda: one(bench) and daemon.records(1)[-1]["time"].startswith(year), "the client log follows the clock", 5, pause=0.1)
    with pytest.raises(ConnectionResetError):  # the idle limit, which came all the same
        held.recv(1)
    held.close()
    records = daemon.records()
    assert len({r["time"][:4] for r in records}) == 3
    assert all(0 <= r["duration"] < 5 for r in records), max(records, key=lambda r: r["duration"])


def test_a_control_client_that_never_reads(bench, start):
    """It asks and asks: nobody else waits for it, its answers are bounded, and in the end it is dropped."""
    daemon = start()
    Recorder(bench.net.host, d.BACKEND_PORT)
    deaf = socket.socket(socket.AF_UNIX)
    deaf.connect(daemon.control)
    deaf.setblocking(False)
    rss, asked = daemon.rss_kib(), 0
    try:
        while not daemon.events("control.dropped"):
            try:
                asked += deaf.send(b'{"v":1,"cmd":"help"}\n' * 1000)
            except BlockingIOError:
                pass
            works(bench, 3)
            assert json.loads(daemon.ask("status", "--json"))["pid"] == daemon.pid
            assert asked < 64 << 20, "it is listened to without end"
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert daemon.wait_for("control.dropped")["reason"] == "it does not read"
    assert daemon.rss_kib() - rss < 20 << 10
    deaf.close()


# ---- inline ----

def test_more_events_than_the_ring_holds(inline):
    """The daemon stands still, and long headers fill the ring: connections go on, what was lost is counted and said."""
    inline.start()
    daemon, header = inline.daemons[0], headers.v2(tlvs=headers.tlv(0xE5, b"x" * 3900)).hex()
    os.kill(daemon.pid, signal.SIGSTOP)
    inline.exact(4, (f"hex:{header},data:300,fin", "data:300,eof"), ("data:300,fin", "data:300,eof"), count=RING // 4000 + 200, parallel=64)
    lost = i.counter("events_lost")
    assert lost > 0, "the ring holds more than was thought"
    os.kill(daemon.pid, signal.SIGCONT)
    inline.exact(4, ("v1,data:300,fin", "data:300,eof"), ("data:300,fin", "data:300,eof"))
    daemon.records(1, client_ip="198.51.0.0", header_len=44)
    inline.finish()
    assert daemon.events("inline.events_lost")[-1]["lines"] == str(lost)


def test_inline_when_epoll_fails(bench, faults):
    """The ring's watch cannot be renewed: the log is late, not silent."""
    daemon = bench.daemon(i.listener(), cls=i.InlineDaemon, env=faults.env)
    Recorder(bench.net.host, i.PORT, HOST4)
    for n in range(1, 6):
        faults.arm("epoll_ctl", "ENOMEM", 2, only=EPOLL_MOD)
        assert one(bench, i.PORT)
        faults.spent("epoll_ctl")
        daemon.records(n)


def test_inline_when_bpf_fails(bench, faults):
    """Chores that fail are done later; a start that fails leaves nothing behind."""
    Recorder(bench.net.host, i.PORT, HOST4)
    ends = set()
    for name, skip in AT_START:
        faults.arm("bpf", "ENOMEM", skip=skip, only=BPF[name])
        daemon = bench.daemon(i.listener(), cls=i.InlineDaemon, env=faults.env, start=False).spawn()
        until(lambda: daemon.events("ready") or not daemon.alive(), "it starts or says why not", 15)
        ends.add(daemon.alive())
        if daemon.alive():
            faults.arm("bpf", "ENOMEM", 30)
            assert one(bench, i.PORT) and one(bench, i.PORT)
            faults.disarm("bpf")
            daemon.stop()
        else:
            assert daemon.exit_code() == 1 and (daemon.events("inline.failed") or daemon.events("deny.failed")), daemon.log()
            i.assert_nothing_left(bench.net.host)
    assert ends == {True, False}, "some can be done without, some cannot"
