# SPDX-License-Identifier: BSD-2-Clause
"""The traffic ends (tests/tools/stream_peer) and the judgement over what both saw."""
import json
import os
import subprocess
import threading

from . import tools
from .wait import until


def turns(question, answer, count):
    """What a client and a server send and wait for that speak in turns, in bytes."""
    client = ",".join(f"data:{question},rx:{answer * (n + 1)}" for n in range(count))
    server = ",".join(f"rx:{question * (n + 1)},data:{answer}" for n in range(count))
    return client, server


class Peer:
    """One stream_peer process; its results come in as it prints them."""

    def __init__(self, ns, role, address, port, **options):
        argv = [tools.path("stream_peer"), role, address, str(port)]
        for name, value in options.items():
            argv += ["--" + name, str(value)]
        self.ns, self.results, self.stats, self.listening = ns, [], [], threading.Event()
        self.process = ns.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if role == "listen":
            assert self.listening.wait(10), "stream_peer does not listen"

    def _read(self):
        for line in self.process.stdout:
            value = json.loads(line)
            if value.get("event") == "listening":
                self.listening.set()
            elif value.get("event") == "stat":
                self.stats.append(value)
            else:
                self.results.append(value)

    def tell(self, line):
        try:
            os.write(self.process.stdin.fileno(), line.encode() + b"\n")
        except (BrokenPipeError, ValueError):
            pass

    def go(self, level):
        self.tell(f"go {level}")

    def stat(self):
        seen = len(self.stats)
        self.tell("stat")
        until(lambda: len(self.stats) > seen or self.process.poll() is not None, "stream_peer gives no stat")
        return self.stats[-1] if self.stats else None

    def finish(self, seconds=60):
        """Wait for the end; the results, one per connection. Out of time: what is open counts as failed."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.tell("quit")
            self.process.wait(10)
        self.reader.join(10)
        self.process.stdin.close()
        return self.results

    def settle(self, seconds=20):
        """No more connections come: wait for the end of what there is; the results."""
        def over():
            if self.process.poll() is not None:
                return True
            self.stat()
            return self.stats and self.stats[-1]["done"] == self.stats[-1]["started"]
        until(over, lambda: f"connections still open: {self.stats[-1]}\n{self._sockets()}", seconds)
        return self.quit()

    def _sockets(self):
        """Both ends, where they are of one host: who holds them, what is queued, which timers run."""
        argv = self.ns.argv(["ss", "-tnoipH", "state", "connected"])
        return subprocess.run(argv, text=True, capture_output=True, check=False).stdout

    def quit(self, seconds=20):
        """Stop waiting for more connections; what is open counts as failed."""
        self.tell("quit")
        return self.finish(seconds)

    def kill(self):
        self.process.kill()
        self.finish()


def _one_way(sender, receiver, what):
    """The receiver has exactly the sender's bytes. The worst case has a name of its own."""
    assert receiver["bad"] < 0, f"{what}: wrong byte at offset {receiver['bad']}\n{sender}\n{receiver}"
    if receiver["rx"] < sender["tx"] and receiver["end"] == "eof":
        raise AssertionError(f"{what}: CLEAN EOF OVER MISSING BYTES: {receiver['rx']} of {sender['tx']}\n{sender}\n{receiver}")
    assert receiver["rx"] == sender["tx"], f"{what}: {receiver['rx']} of {sender['tx']} bytes\n{sender}\n{receiver}"
    _same_stream(sender, receiver, what)


def _same_stream(sender, receiver, what):
    known = min(receiver["rx"], 8)
    seed = bytes.fromhex(sender["seed"])[::-1][:known]
    assert bytes.fromhex(receiver["rx_seed"])[::-1][:known] == seed, f"{what}: another stream\n{sender}\n{receiver}"


def pair(clients, servers):
    """(client, server) by the seed the server saw; one each way if there is but one."""
    if len(clients) == 1 and len(servers) == 1:
        return [(clients[0], servers[0])]
    by_seed = {s["rx_seed"]: s for s in servers if s["rx"] >= 8}
    missing = [c for c in clients if c["seed"] not in by_seed]
    assert not missing, f"{len(missing)} of {len(clients)} connections never reached the server, first: {missing[0]}"
    assert len(by_seed) == len(servers), "two connections at the server with one stream"
    return [(c, by_seed[c["seed"]]) for c in clients]


def assert_scripts(results, count=None):
    """Every connection went as its script says."""
    bad = [r for r in results if "why" in r]
    assert not bad, f"{len(bad)} of {len(results)} connections went wrong, first: {bad[0]}"
    assert count is None or len(results) == count, f"{len(results)} connections, expected {count}"


def assert_exact(clients, servers, count=None):
    """Both directions of every connection are whole and in order."""
    for client, server in pair(clients, servers):
        _one_way(client, server, "client -> server")
        _one_way(server, client, "server -> client")
    assert_scripts(clients, count)
    assert_scripts(servers, count)


def assert_prefix(clients, servers):
    """For aborted connections: no wrong byte, and no clean EOF over missing ones."""
    for client, server in pair(clients, servers):
        for sender, receiver, what in ((client, server, "client -> server"), (server, client, "server -> client")):
            assert receiver["bad"] < 0, f"{what}: wrong byte at offset {receiver['bad']}\n{receiver}"
            assert receiver["rx"] <= sender["tx"], f"{what}: more bytes than were sent\n{sender}\n{receiver}"
            _same_stream(sender, receiver, what)
            assert receiver["end"] != "eof" or receiver["rx"] == sender["tx"], \
                f"{what}: CLEAN EOF OVER MISSING BYTES: {receiver['rx']} of {sender['tx']}\n{sender}\n{receiver}"
