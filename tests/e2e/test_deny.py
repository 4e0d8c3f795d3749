# SPDX-License-Identifier: BSD-2-Clause
"""Clients on the deny list, by their true address: the app never sees them, with either engine."""
import json
import os
import signal
import subprocess
import threading

import pytest

from conftest import BARE, STAND_IN
from harness import daemon as d
from harness import headers, leaks, tools
from harness import inline as i
from harness.apps import Recorder, ask
from harness.netns import CLIENT4, HOST4, HOST6
from harness.wait import until
from test_control import Control

pytestmark = pytest.mark.skipif(bool(BARE or STAND_IN), reason="SKIP: only unproxy denies")
BAD4, GOOD4, BAD6, GOOD6 = "198.51.100.7", "198.51.100.8", "2001:db8::7", "2001:db9::7"
REFUSED, SERVED = (b"", "rst"), (b"hello", "eof")


class Host:
    """One daemon with one listener, its app, and clients behind a balancer."""

    def __init__(self, bench, tmp_path, engine):
        self.bench, self.engine, self.file = bench, engine, str(tmp_path / "deny.list")
        self.cls = i.InlineDaemon if engine == "inline" else d.Daemon
        self.port = d.PORT if engine == "inline" else d.BACKEND_PORT
        self.app = Recorder(bench.net.host, self.port, "::")

    def text(self, general=None, **keys):
        """The configuration's sections."""
        if self.engine == "inline":
            return d.section("unproxy", **(general or {})) + i.listener(**keys)
        return d.section("unproxy", **(general or {})) + d.listener(**keys) + d.backend()

    def start(self, general=None, **keys):
        return self.bench.daemon(self.text(general, **keys), cls=self.cls)

    def write(self, text):
        with open(self.file, "w") as f:
            f.write(text)

    def says(self, header, address=HOST4):
        return ask(self.bench.net.client, address, d.PORT, header + b"hello")

    def client(self, client, v=headers.v1, address=HOST4):
        return self.says(v(client, server="2001:db8::99" if ":" in client else "203.0.113.9"), address)

    @property
    def accepted(self):
        return len(self.app.seen)


@pytest.fixture(params=["relay", "inline"])
def host(request, bench, tmp_path):
    return Host(bench, tmp_path, request.param)


def test_file(host):
    """Refused for what the header says, IPv4 and IPv6, both versions; others go on, and the balancer's own."""
    host.write(f"# bad people\n{BAD4}\n192.0.2.0/24\n192.0.2.128/25 allow\n2001:db8::/32 ; all of them\n{CLIENT4}\n"
               "203.0.113.1 until 2020-01-01 # long ago\n")
    daemon = host.start({"deny_file": host.file})
    assert daemon.events("deny.on") == [{"control": "0", "file": "5"}]
    for v in (headers.v1, headers.v2):
        for bad in (BAD4, "192.0.2.1", BAD6):
            assert host.client(bad, v) == REFUSED, bad
        for good in (GOOD4, "192.0.2.129", GOOD6, "203.0.113.1"):
            assert host.client(good, v) == SERVED, good
    assert host.client(BAD4, headers.v1, HOST6) == REFUSED
    assert host.client(GOOD4, headers.v1, HOST6) == SERVED
    assert host.says(b"PROXY UNKNOWN\r\n") == host.says(headers.LOCAL) == SERVED, "the balancer is no client"
    assert host.accepted == 11
    for record in daemon.records(7, event="refused"):
        assert record["reason"] == "denied" and record["client_ip"] in (BAD4, "192.0.2.1", BAD6), record
        assert record["balancer_ip"] in (CLIENT4, "fd77::1") and "deny list" in record["hint"], record
    assert not os.path.exists(i.PINS + "/deny_list"), "it has a pin of its own"


def test_plain_clients(host):
    """Without a header the sender is the client."""
    host.write(CLIENT4 + "\n")
    daemon = host.start({"deny_file": host.file}, trust="10.77.0.1, 10.77.0.2, fd77::/64", header="optional", untrusted="pass")
    net = host.bench.net
    assert ask(net.client, HOST4, d.PORT, b"hello", "10.77.0.2") == SERVED
    assert ask(net.client, HOST4, d.PORT, b"hello") == REFUSED
    assert host.client(GOOD4) == SERVED, "the balancer's address does not matter where there is a header"
    assert ask(net.client, HOST4, d.PORT, b"hello", "10.77.0.3") == SERVED
    assert host.accepted == 3
    assert [r["client_ip"] for r in daemon.records(1, reason="denied")] == [CLIENT4]


def test_reload(host):
    """The file again: whole or not at all, and nobody slips through meanwhile."""
    host.write(f"{BAD4}\n192.0.2.0/24\n")
    daemon = host.start({"deny_file": host.file})
    assert host.client(BAD4) == host.client("192.0.2.1") == REFUSED
    for text, error in ((f"{GOOD4}\n{BAD4}/8\n", ":2: "), (f"{BAD4}\n{BAD4} allow\n", ":2: an earlier line says the opposite")):
        host.write(text)
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_text(host.file + error)
        assert host.client(BAD4) == host.client("192.0.2.1") == REFUSED and host.client(GOOD4) == SERVED
    host.write(f"{BAD4}\n192.0.2.0/24 allow\n192.0.2.2\n")
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for("reload.done")
    assert host.client(BAD4) == host.client("192.0.2.2") == REFUSED and host.client("192.0.2.1") == SERVED


def test_bad_file(host):
    """Named by line; nothing is started over it, and nothing left."""
    host.write("192.0.2.1\n192.0.2.0/8\n")
    daemon = host.bench.daemon(host.text({"deny_file": host.file}), start=False, cls=d.Daemon)
    daemon.spawn()
    assert daemon.exit_code() == 1
    assert f"{host.file}:2: \"192.0.2.0/8\" has bits set" in daemon.log()
    done = subprocess.run([tools.UNPROXY, "check", "--offline", "-c", daemon.file], capture_output=True, text=True, timeout=20,
                          check=False)
    assert done.returncode == 1 and f"{host.file}:2: \"192.0.2.0/8\" has bits set" in done.stderr, done


def listed(daemon, *words):
    """{(network, who says it): item} of `unproxy deny list`."""
    items = [json.loads(line) for line in daemon.ask("deny", "list", "--json", *words).splitlines()]
    return {(item["cidr"], item["source"]): item for item in items}


def refusal(daemon, *words, expect=1):
    """What the command says on standard error."""
    done = subprocess.run([tools.UNPROXY, "deny", "--control", daemon.control, *words], capture_output=True, text=True,
                          timeout=20, check=False)
    assert done.returncode == expect, done
    return done.stderr


def test_commands(host):
    """One daemon: denied, allowed, taken back, for a while; what is wrong is named."""
    host.write("203.0.113.0/24\n")
    daemon = host.start({"deny_file": host.file, "deny_entries": "8"})
    assert daemon.ask("deny", "list", BAD4) == f"nothing is said of {BAD4}\n"
    old = host.bench.net.client.connect(HOST4, d.PORT)
    old.sendall(headers.v1(BAD4) + b"before")
    assert old.recv(100) == b"before"

    assert daemon.ask("deny", "add", BAD4) == f"{BAD4}: denied\n"
    assert host.client(BAD4) == REFUSED and host.client(GOOD4) == SERVED
    assert listed(daemon)[(BAD4, "control")] == {"cidr": BAD4, "verdict": "deny", "source": "control", "hits": 1}
    old.sendall(b" and after")
    assert old.recv(100) == b" and after", "connections that are there go on"
    old.close()
    daemon.ask("deny", "del", BAD4)
    assert host.client(BAD4) == SERVED

    daemon.ask("deny", "add", "198.51.100.0/24", "for", "1h")
    assert daemon.ask("deny", "add", GOOD4, "allow").endswith(": allowed\n")
    assert host.client(BAD4) == REFUSED and host.client(GOOD4) == SERVED
    assert set(listed(daemon, BAD4)) == {("198.51.100.0/24", "control")}
    assert listed(daemon, "198.51.0.0/16")[("198.51.100.0/24", "control")]["until"].endswith("Z")
    assert set(listed(daemon, "203.0.113.9")) == {("203.0.113.0/24", "file")}
    assert listed(daemon, "::/0") == {}

    assert host.client("203.0.113.9") == REFUSED
    assert "in_file" in refusal(daemon, "del", "203.0.113.0/24")
    daemon.ask("deny", "add", "203.0.113.0/24", "allow")
    assert host.client("203.0.113.9") == SERVED, "a person before the file"
    daemon.ask("deny", "del", "203.0.113.0/24")
    assert host.client("203.0.113.9") == REFUSED

    daemon.ask("deny", "add", BAD6, "for", "1s")
    until(lambda: host.client(BAD6) == SERVED, "it is over")
    until(lambda: not listed(daemon, BAD6), "nothing is said of it")

    assert "has bits set behind its prefix (bad_request)" in refusal(daemon, "add", "192.0.2.1/8")
    assert "is no time span" in refusal(daemon, "add", "192.0.2.1", "for", "ever")
    assert "is over already" in refusal(daemon, "add", "192.0.2.1", "until", "2020-01-01")
    assert "not_found" in refusal(daemon, "del", "192.0.2.1")
    for wrong in ([], 17, None, {}, True):
        assert Control(daemon).ask(cmd="deny_list", cidr=wrong)["error"] == "bad_request"
    for words in ([], ["add"], ["del"], ["remove", "192.0.2.1"], ["list", "::1", "::2"]):
        assert "see unproxy deny --help" in refusal(daemon, *words, expect=2)
    lines = "# many\n192.0.2.1\n\n192.0.2.2 allow # no\n192.0.2.3 for 1h\n192.0.2.4\n192.0.2.5\n192.0.2.6\n"
    done = subprocess.run([tools.UNPROXY, "deny", "--control", daemon.control, "add", "-"], input=lines, text=True,
                          capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (1, "5 added\n") and "deny_entries = 8 (deny_full)" in done.stderr, done
    assert len(listed(daemon)) == 8 and host.client("192.0.2.1") == REFUSED
    for item in listed(daemon).values():
        if item["source"] == "control":
            assert daemon.ask("deny", "del", item["cidr"], "--json") == "{}\n"
    assert set(listed(daemon)) == {("203.0.113.0/24", "file")}
    done = subprocess.run([tools.UNPROXY, "deny", "--control", daemon.control, "add", "-", "--json"], input="192.0.2.1\n192.0.2.2 allow\n",
                          text=True, capture_output=True, timeout=20, check=True)
    assert [json.loads(line)["verdict"] for line in done.stdout.splitlines()] == ["deny", "allow"]
    for cidr in ("192.0.2.1", "192.0.2.2"):
        daemon.ask("deny", "del", cidr)


def held(host, header):
    """A connection that lives: once it has echoed, it is its client's."""
    s = host.bench.net.client.connect(HOST4, d.PORT)
    s.sendall(header + b"x")
    assert s.recv(1) == b"x"
    return s


def goes_on(s):
    s.sendall(b"y")
    return s.recv(1) == b"y"


def is_reset(s):
    with pytest.raises(ConnectionResetError):
        s.recv(1)
    return True


def test_kill(host):
    """--kill ends what is there, of those alone who are refused now: not of an exception, nor the balancer's own."""
    daemon = host.start(header="optional")
    daemon.ask("deny", "add", GOOD4, "allow")
    bad, also, six = held(host, headers.v1(BAD4)), held(host, headers.v2("198.51.100.9")), held(host, headers.v1(BAD6, server="2001:db8::99"))
    good, plain, own = held(host, headers.v1(GOOD4)), held(host, b""), held(host, headers.LOCAL)
    assert daemon.ask("deny", "add", "198.51.100.0/24", "for", "1h", "--kill").endswith("Z, killed: 2\n")
    assert is_reset(bad) and is_reset(also) and all(map(goes_on, (good, six, plain, own)))
    assert {r["client_ip"] for r in daemon.records(2, reason="killed")} == {BAD4, "198.51.100.9"}
    assert host.client(BAD4) == REFUSED and host.client(GOOD4) == SERVED

    assert json.loads(daemon.ask("deny", "add", BAD6, "--kill", "--json")) == {"cidr": BAD6, "verdict": "deny", "killed": 1}
    assert is_reset(six) and listed(daemon)[(BAD6, "control")]["hits"] == 0, "nobody was refused by it yet"
    done = subprocess.run([tools.UNPROXY, "deny", "--control", daemon.control, "add", "-", "--kill"], text=True, capture_output=True,
                          input=f"192.0.2.1\n{CLIENT4}\n", timeout=20, check=False)
    assert (done.returncode, done.stdout) == (0, "2 added, killed: 1\n"), done
    assert is_reset(plain) and goes_on(own) and goes_on(good), "a plain client is one, the balancer is not"

    assert "not for allow" in refusal(daemon, "add", "192.0.2.9", "allow", "--kill")
    for words in (["list", "--kill"], ["del", BAD4, "--kill"]):
        assert "--kill goes with add" in refusal(daemon, *words, expect=2)
    for cidr, _source in listed(daemon):
        daemon.ask("deny", "del", cidr)
    for s in (good, own):
        s.close()


def pinned():
    return [path for path in leaks.pins() if path.endswith("/deny/list")]


def test_kept(host):
    """What people said outlives the daemon, however it ends; inline goes on denying without one."""
    host.write("203.0.113.9\n")
    first = host.start({"deny_file": host.file})
    first.ask("deny", "add", BAD4, "for", "1h")
    assert host.client(BAD4) == REFUSED
    first.kill()
    if host.engine == "inline":
        for bad in (BAD4, "203.0.113.9"):
            assert host.client(bad) == REFUSED
        assert host.client(GOOD4) == SERVED
    assert pinned()

    host.write("203.0.113.10\n")
    second = host.start({"deny_file": host.file})
    assert second.events("deny.on") == [{"control": "1", "file": "1"}]
    assert host.client(BAD4) == host.client("203.0.113.10") == REFUSED
    assert host.client(GOOD4) == host.client("203.0.113.9") == SERVED
    assert set(listed(second)) == {(BAD4, "control"), ("203.0.113.10", "file")}
    assert listed(second)[(BAD4, "control")]["hits"] == (3 if host.engine == "inline" else 1), "the kernel counts on"
    second.process.terminate()
    assert second.exit_code() == 0 and pinned()

    third = host.start({"deny_entries": "1000"})
    assert host.client(BAD4) == REFUSED and host.client("203.0.113.10") == SERVED
    third.ask("deny", "del", BAD4)
    assert host.client(BAD4) == SERVED
    third.stop()
    assert not pinned()


def test_takeover(host):
    """Another daemon has the list in all moments: a client that is denied never slips in between."""
    host.write("203.0.113.9\n")
    text = host.text({"deny_file": host.file})
    old = host.bench.daemon(text, cls=host.cls)
    old.ask("deny", "add", BAD4, "for", "1h")
    slipped, over = [], threading.Event()

    def knock():
        while not over.is_set():
            for bad in (BAD4, "203.0.113.9"):
                if host.client(bad) != REFUSED:
                    slipped.append(bad)
    knocking = threading.Thread(target=knock)
    knocking.start()
    try:
        new = host.bench.daemon(text, start=False, cls=host.cls)
        new.control = old.control
        new.write(text)
        new.argv.insert(new.argv.index("run") + 1, "--takeover")
        new.start()
        assert old.exit_code(20) == 0, old.log()
    finally:
        over.set()
        knocking.join()
    assert not slipped and host.accepted == 0
    assert set(listed(new)) == {(BAD4, "control"), ("203.0.113.9", "file")}
    assert not new.events("deny.not_kept")
    assert host.client(BAD4) == REFUSED and host.client(GOOD4) == SERVED
    new.ask("deny", "del", BAD4)
