#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Connections of all kinds come and go for SOAK_SECONDS (600), through both engines of one daemon; nothing may grow.

Sampled meanwhile: the daemon's memory, descriptors, entries of its maps, the kernel's unreclaimable slab. Judged is the
median of the last fifth of the time against that of the second fifth: a slope beyond the tolerance is a failure, so
are a connection that was not whole, and whatever is left when all has ended. Then two rows that are too long for
tests/e2e: SOAK_SHORT (100000) short connections inline, none broken, and ten seconds of silence behind a header.
"""
import copy
import faulthandler
import os
import pathlib
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import entries

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

from conftest import Bench  # noqa: E402
from harness import daemon as d  # noqa: E402
from harness import headers, inline, leaks, netns, peer, tools  # noqa: E402
from harness.apps import Recorder  # noqa: E402
from harness.wait import until  # noqa: E402

SECONDS = int(os.environ.get("SOAK_SECONDS", "600"))
SHORT = int(os.environ.get("SOAK_SHORT", "100000"))
IO_URING = os.environ.get("SOAK_IO_URING", "yes")
PAUSE_S = 1  # between two rounds of a kind: the machine is busy, and not more
RELOAD_S, CONTROL_S, MAPS_EVERY = 7, 2, 2
EMPTY_AT_REST = {f"relay/{name}" for name in ("connections", "direction_of", "sources", "targets")} | {"hook/handshakes", "inline/partials"}

# name: (client, server, connections a round, at a time, how it is judged)
KINDS = {
    "short": (("v1:1,data:300", "data:4000,eof"), ("rx:300,data:4000,close", "data:300"), 1000, 32, "exact"),
    "tiny": (("v2:1,data:8,fin", "eof"), ("fin", "data:8,eof"), 300, 4, "exact"),
    "dialogue": (None, None, 50, 50, "exact"),
    "bulk": (("v2,data:8000000,fin", "data:12000000,eof"), ("data:12000000,fin", "data:8000000,eof"), 4, 2, "exact"),
    "reset": (("v1,data:8-300000,rst", "rest"), ("data:2000000", "aborted"), 100, 8, "prefix"),
}
PATHS = {"bulk": ["splice", "always", "copy"], "reset": ["auto", "always"], "short": ["auto", "always"]}


def rows():
    """(name, engine, path, kind, port): one listener each."""
    port = 8100
    for kind in KINDS:
        for engine, path in [("relay", p) for p in PATHS.get(kind, ["auto"])] + [("inline", None)]:
            port += 1
            yield f"{engine}-{path or 'cut'}-{kind}", engine, path, kind, port


def configuration():
    text = d.section("unproxy", io_uring=IO_URING)
    for name, engine, path, kind, port in rows():
        if engine == "relay":
            text += d.listener(name, path, bind=f"*:{port}", backend=f"127.0.0.1:{port + 1000}")
        else:
            text += inline.listener(name, port)
    text += d.listener("relay-broken", bind="*:8090", backend="127.0.0.1:1") + inline.listener("inline-broken", 8091)
    return text


def map_entries():
    """Of all pinned maps that grow and shrink."""
    counts = {os.path.relpath(path, leaks.PINS): entries.count(path) for path in leaks.pins()}
    return {name: n for name, n in counts.items() if n is not None}


class Soak:
    def __init__(self, bench, daemon):
        self.bench, self.daemon, self.stop = bench, daemon, threading.Event()
        self.lock, self.counts, self.failures, self.samples, self.threads = threading.Lock(), {}, [], [], []

    def note(self, name, n):
        with self.lock:
            self.counts[name] = self.counts.get(name, 0) + n

    def thread(self, fn, *args):
        def run():
            try:
                fn(*args)
            except BaseException as e:  # noqa: BLE001: it is told at the end, and ends the run
                with self.lock:
                    self.failures.append(f"{fn.__name__}{args[:1]}: {type(e).__name__}: {str(e)[:2000]}")
                self.stop.set()
        t = threading.Thread(target=run)
        t.start()
        self.threads.append(t)

    # ---- what goes through ----

    def traffic(self, name, engine, kind, port, seed):
        client, server, count, parallel, judged = KINDS[kind]
        host, ns = copy.copy(self.bench.net.host), copy.copy(self.bench.net.client)
        app_port = port + 1000 if engine == "relay" else port
        n = 0
        while not self.stop.is_set():
            n += 1
            if kind == "dialogue":
                client, server = (lambda c, s: ((f"v1,{c},fin", "data:9600,eof"), (f"{s},fin", "data:4800,eof")))(
                    *dialogue(100))
            s = peer.Peer(host, "listen", "127.0.0.1" if engine == "relay" else "0.0.0.0", app_port, tx=server[0], rx=server[1],
                          count=count, parallel=count, seed=seed + 2 * n, timeout=120)
            c = peer.Peer(ns, "connect", d.LISTEN[4], port, tx=client[0], rx=client[1], count=count, parallel=parallel,
                          seed=seed + 2 * n + 1, timeout=120)
            clients = c.finish(150)
            servers = s.settle() if judged == "prefix" else s.finish(20)
            if judged == "exact":
                peer.assert_exact(clients, servers, count)
            else:
                seen = {r["rx_seed"] for r in servers if r["rx"] >= 8}
                peer.assert_prefix([r for r in clients if r["seed"] in seen], [r for r in servers if r["rx"] >= 8])
            self.note(name, count)
            self.stop.wait(PAUSE_S)

    def broken(self, port, seed):
        """Garbage, parts of headers, and connections that end in the middle of one."""
        ns, dice = copy.copy(self.bench.net.client), random.Random(seed)
        whole = headers.v2(tlvs=headers.tlv(2, b"example.org"), crc=True)
        while not self.stop.is_set():
            data = dice.choice([whole[:dice.randrange(len(whole))], b"GET / HTTP/1.1\r\n\r\n", dice.randbytes(dice.randrange(1, 200)),
                                whole[:-1] + bytes([whole[-1] ^ 1]), b""])
            try:
                s = ns.connect(d.LISTEN[4], port)
                s.sendall(data)
                if dice.random() < 0.3:
                    s.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER 0: ends in an RST
            except OSError:
                pass
            s.close()
            self.note("broken", 1)
            self.stop.wait(0.02)

    def reloads(self):
        """SIGHUP: the client log is opened anew, and the configuration is read again."""
        while not self.stop.wait(RELOAD_S):
            os.kill(self.daemon.pid, signal.SIGHUP)
            self.note("reloads", 1)

    def questions(self, commands):
        """What an operator asks all day, over the control socket."""
        while not self.stop.wait(CONTROL_S):
            for words in commands:
                done = subprocess.run(self.bench.net.host.argv([tools.UNPROXY, *words, "--control", self.daemon.control]),
                                      capture_output=True, text=True, timeout=30)
                # Of `conns` nothing is an answer, too: each kind rests between two rounds.
                assert done.returncode in (0, 1) and (done.stdout or words[0] == "conns"), done
                self.note("questions", 1)

    # ---- what is looked at ----

    def sample(self):
        row = {"rss KiB": self.daemon.rss_kib(), "fds": sum(leaks.fds(self.daemon.pid).values()),
               "slab KiB": leaks.meminfo("SUnreclaim")}
        if len(self.samples) % MAPS_EVERY == 0:  # a walk through a large map takes its time
            for name, n in map_entries().items():
                row[f"map {name}"] = n
        self.samples.append(row)

    def judge(self):
        """[(series, second fifth, last fifth, tolerance, well)]"""
        for name in self.samples[0]:
            values = [row[name] for row in self.samples if name in row]
            fifth = len(values) // 5
            assert fifth, f"{len(values)} samples of {name} are too few: SOAK_SECONDS"
            before, after = statistics.median(values[fifth:2 * fifth]), statistics.median(values[-fifth:])
            # Tolerances: peaks of many buffers at once, which the C library keeps; connections under way; other users of the slab.
            least, part = {"rss KiB": (4096, 0.1), "fds": (64, 0.1), "slab KiB": (32768, 0.1),
                           # Those that ended linger for a minute: as many as come in one, and that is the machine's speed.
                           "map inline/flows": (200, 0.5)}.get(name, (200, 0.1))
            tolerance = max(least, before * part)
            yield name, before, after, tolerance, after - before <= tolerance

    def run(self):
        for i, (name, engine, _, kind, port) in enumerate(rows()):
            self.thread(self.traffic, name, engine, kind, port, 100000 * (i + 1))
        Recorder(self.bench.net.host, 8091, "0.0.0.0")
        self.thread(self.broken, 8090, 1)
        self.thread(self.broken, 8091, 2)
        self.thread(self.reloads)
        commands = known_commands()
        if commands and hasattr(self.daemon, "control"):
            self.thread(self.questions, commands)
        began, pause = time.monotonic(), max(SECONDS / 200, 0.5)
        while time.monotonic() - began < SECONDS and not self.stop.is_set():
            self.sample()
            self.stop.wait(pause)
        self.stop.set()
        for t in self.threads:
            t.join(200)


def dialogue(turns):
    """Small messages in turns, with pauses, as WebSockets have: (client's words, server's)."""
    client = ",".join(f"data:48,rx:{96 * (n + 1)},ms:20" for n in range(turns))
    server = ",".join(f"rx:{48 * (n + 1)},data:96" for n in range(turns))
    return client, server


def known_commands():
    overview = subprocess.run([tools.UNPROXY, "help"], capture_output=True, text=True).stdout
    wanted = {"status": ["status", "--json"], "conns": ["conns", "--json"]}
    return [words for name, words in wanted.items() if f"  {name} " in overview]


def snmp(ns, name):
    with ns, open("/proc/thread-self/net/snmp") as f, open("/proc/thread-self/net/netstat") as g:
        lines = f.read().splitlines() + g.read().splitlines()
    for keys, numbers in zip(lines[::2], lines[1::2]):
        if name in keys.split():
            return int(numbers.split()[keys.split().index(name)])
    raise KeyError(name)


def short_connections(bench, port):
    done = 0
    while done < SHORT:
        count = min(20000, SHORT - done)
        s = bench.server(4, port, address="0.0.0.0", tx="rx:300,data:4000,close", rx="data:300", count=count, parallel=256, timeout=300)
        c = bench.client(4, port, tx="v1:1,data:300", rx="data:4000,eof", count=count, parallel=64, timeout=300)
        peer.assert_exact(c.finish(400), s.finish(30), count)
        done += count
    return f"{done} short connections inline, none broken"


def silence(bench, port):
    """The header is acknowledged, and nobody says anything twice, or wakes up."""
    s = bench.server(4, port, address="0.0.0.0", tx="rx:5000,data:5000,fin", rx="data:5000,eof", count=8, parallel=8)
    before = {name: snmp(bench.net.client, name) for name in ("RetransSegs", "TCPTimeouts", "TCPLossProbes")}
    c = bench.client(4, port, tx="v1,acked,ms:10000,data:5000,fin", rx="data:5000,eof", count=8, parallel=8)
    peer.assert_exact(c.finish(30), s.finish(20), 8)
    after = {name: snmp(bench.net.client, name) for name in before}
    assert after == before, f"sent again: {before} -> {after}"
    return "8 headers alone, then 10 s of silence: nothing was sent again"


def report(soak):
    print(f"\n{'':28} {'second fifth':>14} {'last fifth':>12} {'tolerance':>10}")
    bad = []
    for name, before, after, tolerance, well in soak.judge():
        print(f"{name:28} {before:14.0f} {after:12.0f} {tolerance:10.0f}  {'' if well else 'GROWS'}")
        bad += [] if well else [f"{name} grows: {before:.0f} -> {after:.0f}"]
    for name, n in sorted(soak.counts.items()):
        print(f"{name:28} {n:14}")
    return bad


def main():
    faulthandler.register(signal.SIGUSR1)  # where it stands, if it does not go on
    netns.private_mounts()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="unproxy-soak-"))
    net, log, bad = netns.Net("soak"), leaks.KernelLog(), []
    bench = Bench(net, directory)
    try:
        net.host.sysctl(ipv4__ip_local_port_range="20000 65535")  # not the apps' ports
        daemon = bench.daemon(configuration(), cls=inline.InlineDaemon)
        soak = Soak(bench, daemon)
        print(f"soak: {SECONDS} s, {len(list(rows()))} kinds of connections, io_uring={IO_URING}", flush=True)
        soak.run()
        bad = soak.failures or report(soak)
        if not bad:
            daemon.all_flows_ended(30)
            until(lambda: not any(n for name, n in map_entries().items() if name in EMPTY_AT_REST), lambda: f"left: {map_entries()}", 30)
            until(lambda: sum(leaks.fds(daemon.pid).values()) <= sum_of(bench.snapshot) + daemon.pooled_pipe_fds,
                  lambda: f"descriptors: {bench.snapshot.before} before, {leaks.fds(daemon.pid)} now", 30)
            port = next(row[4] for row in rows() if row[0] == "inline-cut-short")
            print(short_connections(bench, port), flush=True)
            print(silence(bench, port), flush=True)
            daemon.stop()
            said = daemon.events("stopped")[-1]
            print(said)
            bad += [f"{key}={said[key]}" for key in ("bytes_missing", "log_dropped") if said[key] != "0"]
        bad += log.complaints()
    except AssertionError as e:
        bad.append(str(e))
    finally:
        for line in bad:
            print(f"FAIL {line}")
        if bad and bench.daemons:
            print(bench.daemons[0].log()[-4000:])
        bench.close()
        inline.detach(net.host)
        net.close()
    print("soak: level" if not bad else f"soak: {len(bad)} failures")
    return 1 if bad else 0


def sum_of(snapshot):
    return snapshot.before["sockets"] + snapshot.before["other fds"] + snapshot.before["pipes"]


if __name__ == "__main__":
    sys.exit(main())
