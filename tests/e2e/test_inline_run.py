# SPDX-License-Identifier: BSD-2-Clause
"""What the inline engine puts on a host: attached, taken over after a kill, taken away, and others' left alone."""
import copy
import os
import signal
import subprocess
import threading

import pytest

from conftest import STAND_IN
from harness import daemon as d
from harness import headers, inline, tcx, tools
from harness.apps import Recorder, echo
from harness.inline import BOTH, InlineDaemon, detach, has_clsact, listener, ours
from harness.netns import HOST4, HOST6, Namespace
from harness.wait import until

pytestmark = pytest.mark.skipif(bool(STAND_IN), reason="SKIP: a stand-in has no such engine")


# ---- attach, go on, detach ----

@pytest.mark.parametrize("kind", ["tcx", "clsact"])
def test_attached_and_taken_away(bench, start_inline, host, kind):
    if kind == "tcx" and not tcx.supported():
        pytest.skip("SKIP: no tcx before Linux 6.6")
    Recorder(host, inline.PORT, HOST4)
    daemon = start_inline(general="" if kind == "tcx" else "tcx = no\n")
    said = daemon.wait_for("inline.on")
    assert set(said["interfaces"].split(",")) == {"wire", "lo"} and said["adopted"] == "0" and said["listeners"] == "1"
    for device in ("wire", "lo"):
        assert ours(host, device) == BOTH and has_clsact(host, device) == (kind == "clsact")
    assert echo(bench.net.client, HOST4, inline.PORT)

    daemon.end()
    assert daemon.events("inline.left") and not daemon.events("inline.off")
    assert ours(host, "wire") == BOTH and os.path.exists(f"{inline.PINS}/flows")
    assert echo(bench.net.client, HOST4, inline.PORT), "headers are cut without a daemon"

    done = detach(host)
    qdiscs = 2 if kind == "clsact" else 0
    assert done.returncode == 0 and done.stdout == f"detached: 4 programs, {qdiscs} qdiscs, all pins\n"
    inline.assert_nothing_left(host)
    again = detach(host)
    assert again.returncode == 0 and again.stdout == "nothing was attached\n"


def test_detached_on_exit(start_inline, host):
    daemon = start_inline(general="detach_on_exit = yes\n")
    assert ours(host, "lo")
    daemon.end()
    assert daemon.events("inline.off") and not daemon.events("inline.left")
    inline.assert_nothing_left(host)


def test_interfaces_that_have_a_route_are_the_default(start_inline, host):
    host.batch("link add busy type veth peer name idle", "addr add 192.0.2.1/24 dev busy", "link set busy up")
    start_inline(listener(interfaces=None))
    assert ours(host, "busy") == BOTH and ours(host, "wire") == BOTH and ours(host, "lo") == BOTH
    assert not ours(host, "idle") and not has_clsact(host, "idle")


def test_a_part_of_a_bridge_is_its_bridges(start_inline, host):
    """By its IPv6 link-local address it has a route; its packets are the bridge's, too."""
    host.batch("link add part type veth peer name far", "link set far up", "link set part up", "link add br9 type bridge", "link set br9 up")
    until(lambda: "part" in open_text(host, "/proc/thread-self/net/ipv6_route"), "the part has a route")
    host.batch("link set part master br9")
    until(lambda: "br9" in open_text(host, "/proc/thread-self/net/ipv6_route"), "the bridge has a route")
    daemon = start_inline(listener(interfaces=None))
    assert ours(host, "br9") == BOTH and not ours(host, "part")
    daemon.end()
    other = start_inline(listener(interfaces="part, br9"), start=False)
    other.spawn()
    assert other.exit_code() == 1
    assert 'interfaces: "part" is a part of br9, and both are attached to: leave one out' in other.log()
    alone = start_inline(listener(interfaces="part"))
    assert ours(host, "part") == BOTH
    alone.end()
    assert detach(host).returncode == 0


def open_text(ns, path):
    with ns, open(path) as f:
        return f.read()


def test_a_device_without_ethernet_headers(start_inline, host):
    host.batch("tuntap add name tun9 mode tun", "link set tun9 up")
    start_inline(listener(interfaces="tun9"))
    assert ours(host, "tun9") == [("ingress", "up_in_l3"), ("egress", "up_out_l3")]


def test_by_flags(bench, host):
    Recorder(host, inline.PORT, HOST6)
    daemon = bench.daemon(flags=["--engine", "inline", "--listen", f":{inline.PORT}", "--trust", "fd77::/64", "--client-log", "off"], cls=InlineDaemon)
    assert echo(bench.net.client, HOST6, inline.PORT)
    assert daemon.events("ready")[0]["workers"] == "0"


def test_an_app_in_another_namespace(bench, start_inline, host):
    """As in a container: routed through the host, which has the programs and not the socket."""
    box = Namespace("e2e-box")
    try:
        host.batch("link add tobox type veth peer name eth0 netns e2e-box", "addr add 10.78.0.1/24 dev tobox", "link set tobox up")
        box.batch("addr add 10.78.0.2/24 dev eth0", "link set eth0 up", "route add default via 10.78.0.1")
        bench.net.client.batch(f"route add 10.78.0.0/24 via {HOST4}")
        host.sysctl(ipv4__ip_forward=1)
        recorder = Recorder(box, 3000, "10.78.0.2")
        daemon = start_inline(listener(port=f"{inline.PORT} -> 3000", address="10.78.0.2", interfaces="wire"))
        s = bench.net.client.connect("10.78.0.2", inline.PORT)
        s.sendall(headers.v1() + b"hello")
        until(lambda: recorder.seen and bytes(recorder.seen[0]) == b"hello", "the app has the word")
        assert echo(bench.net.client, "10.78.0.2", inline.PORT, os.urandom(300000))
        record, = daemon.records(1)
        assert record["client_ip"] == "198.51.100.7" and record["backend_ip"] == "10.78.0.2" and record["backend_port"] == 3000
        s.sendall(b" again")
        until(lambda: bytes(recorder.seen[0]) == b"hello again", "it lives: the sweep knows nothing of its socket")
        s.close()
    finally:
        host.batch("link del tobox")
        box.remove()


PUBLISH = """
table ip publish {
  chain arriving {
    type nat hook prerouting priority dstnat
    tcp dport 8080 dnat to 10.78.0.2:3000
  }
}
"""


def test_a_published_port_of_a_container(bench, start_inline, host):
    """DNAT behind the programs on the way in and before them on the way out: they see the host's own port both ways."""
    box = Namespace("e2e-published")
    try:
        host.batch("link add tobox type veth peer name eth0 netns e2e-published", "addr add 10.78.0.1/24 dev tobox", "link set tobox up")
        box.batch("addr add 10.78.0.2/24 dev eth0", "link set eth0 up", "route add default via 10.78.0.1")
        host.sysctl(ipv4__ip_forward=1)
        host.run("nft", "-f", "-", input=PUBLISH)
        recorder = Recorder(box, 3000, "10.78.0.2")
        daemon = start_inline(listener(interfaces="wire"))
        s = bench.net.client.connect(HOST4, inline.PORT)
        s.sendall(headers.v1() + b"hello")
        until(lambda: recorder.seen and bytes(recorder.seen[0]) == b"hello", "the app has the word")
        assert echo(bench.net.client, HOST4, inline.PORT, os.urandom(300000))
        record, = daemon.records(1)
        assert record["client_ip"] == "198.51.100.7" and record["bytes_up"] == record["bytes_down"] == 300000
        assert not echo(bench.net.client, HOST4, inline.PORT, header=b"GET / HTTP/1.0\r\n\r\n")
        s.sendall(b" again")
        until(lambda: bytes(recorder.seen[0]) == b"hello again", "the connection lives")
        assert set(recorder.peers) == {"10.77.0.1"}, "there, the connection has addresses that no flow has: no hook, but the log"
        s.close()
    finally:
        host.batch("link del tobox")
        box.remove()


# ---- kill -9 and the next daemon ----

def test_taken_over_after_a_kill(bench, start_inline, host):
    recorder = Recorder(host, inline.PORT, HOST4)
    first = start_inline()
    ids = inline.program_ids(host, "wire")
    s = bench.net.client.connect(HOST4, inline.PORT)
    s.sendall(headers.v2(tlvs=headers.tlv(2, b"example.org")) + b"first")
    until(lambda: any(bytes(seen) == b"first" for seen in recorder.seen), "the app has the first word")
    first.kill()
    assert ours(host, "wire") == BOTH and inline.program_ids(host, "wire") == ids

    s.sendall(b" second")
    until(lambda: any(bytes(seen) == b"first second" for seen in recorder.seen), "the app has the second word")
    assert echo(bench.net.client, HOST4, inline.PORT), "a new connection without a daemon"

    second = start_inline()
    said = second.wait_for("inline.on")
    assert said["adopted"] == "1", "one lives; the one that ended meanwhile does not"
    assert ours(host, "wire") == BOTH and not set(inline.program_ids(host, "wire")) & set(ids)
    s.sendall(b" third")
    s.shutdown(1)
    until(lambda: any(bytes(seen) == b"first second third" for seen in recorder.seen), "the app has the third word")
    between, old = second.records(2)
    assert between["bytes_up"] == 5 and between["client_ip"] == "198.51.100.7", "its end was told to the ring while nobody read it"
    assert old["client_ip"] == "198.51.100.7" and old["bytes_up"] == 18 and old["engine"] == "inline"
    s.close()


@pytest.mark.parametrize("how", ["end", "kill"])
def test_nothing_breaks_while_daemons_change(bench, start_inline, host, how):
    """Connections come, work and go all the time; daemons are stopped or killed, and started."""
    Recorder(host, inline.PORT, HOST4)
    text, done, stop = os.urandom(200000), [], threading.Event()

    def keep_asking():
        client = copy.copy(bench.net.client)  # a thread changes its own namespace
        while not stop.is_set():
            done.append(echo(client, HOST4, inline.PORT, text))

    daemons = [start_inline()]
    threads = [threading.Thread(target=keep_asking) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        before = len(done)
        until(lambda: len(done) > before + 5, "connections with a daemon")
        getattr(daemons[-1], how)()
        before = len(done)
        until(lambda: len(done) > before + 5, "connections without a daemon")
        daemons.append(start_inline())
    stop.set()
    for thread in threads:
        thread.join()
    assert all(done), f"{done.count(False)} of {len(done)} connections broke"
    if how == "end":  # a kill takes the lines with it that were read and not yet written
        until(lambda: sum(len(daemon.records(event="end")) for daemon in daemons) >= len(done), "a line for each connection")
        records = [r for daemon in daemons for r in daemon.records()]
        assert len(records) == len(done), "each is told once"
        assert all(r["bytes_up"] == r["bytes_down"] == len(text) for r in records)


def test_two_daemons_are_one_too_many(start_inline, host):
    start_inline()
    other = subprocess.run(host.argv([tools.UNPROXY, "run", "--engine", "inline", "--listen", ":81", "--trust", "any", "--client-log", "off"]),
                           capture_output=True, text=True, timeout=20)
    assert other.returncode == 1 and "another instance runs" in other.stderr
    done = detach(host)
    assert done.returncode == 1 and "a daemon runs: stop it first" in done.stderr
    assert ours(host, "wire") == BOTH


def test_another_layout_is_not_taken_over(bench, start_inline, host):
    recorder = Recorder(host, inline.PORT, HOST4)
    start_inline().end()
    s = bench.net.client.connect(HOST4, inline.PORT)
    s.sendall(headers.v1() + b"before")
    until(lambda: recorder.seen and bytes(recorder.seen[0]) == b"before", "the app has the first word")
    other = start_inline(listener(), general="inline_flows = 4096\n", start=False)
    other.spawn()
    assert other.exit_code() == 1
    assert "another layout" in other.log() and "unproxy detach" in other.log()
    s.sendall(b" after")
    until(lambda: bytes(recorder.seen[0]) == b"before after", "the refused daemon has hurt nothing")
    s.close()
    assert detach(host).returncode == 0
    other.start()
    assert other.wait_for("inline.on")["adopted"] == "0"


def test_values_of_another_version_are_not_taken_over(start_inline, host):
    """The same sizes, but not the same members: here, none that anybody knows of."""
    start_inline().end()
    path = f"{inline.PINS}/aliases"
    os.unlink(path)
    subprocess.run(["bpftool", "map", "create", path, "type", "hash", "key", "36", "value", "4", "entries", "262144", "name", "aliases", "flags", "1"],
                   check=True)
    other = start_inline(start=False)
    other.spawn()
    assert other.exit_code() == 1
    assert "the pinned map aliases holds another version's values" in other.log() and "unproxy detach" in other.log()
    assert ours(host, "wire") == BOTH


def test_a_listener_that_is_gone_keeps_its_connections(bench, start_inline, host):
    recorder = Recorder(host, inline.PORT, HOST4)
    Recorder(host, 8081, HOST4)
    start_inline().end()
    s = bench.net.client.connect(HOST4, inline.PORT)
    s.sendall(headers.v1() + b"before")
    until(lambda: recorder.seen and bytes(recorder.seen[0]) == b"before", "the app has the first word")

    start_inline(listener("other", port=8081))
    assert [row["formatted"]["key"]["port"] if "formatted" in row else row["key"]["port"] for row in inline.dump("listeners")] == [8081]
    s.sendall(b" after")
    until(lambda: bytes(recorder.seen[0]) == b"before after", "the old connection goes on")
    assert echo(bench.net.client, HOST4, 8081)
    assert echo(bench.net.client, HOST4, inline.PORT, header=b""), "the old port is nobody's: nothing is cut"
    s.close()


def roles(port):
    row, = inline.dump("ports")
    return row["formatted"]["value"]["role"][port]


def test_roles_of_ports_go_when_nobody_needs_them(bench, start_inline, host):
    recorder = Recorder(host, 3000, HOST4)
    start_inline(listener("moved", port=f"{inline.PORT} -> 3000"), listener("same", port=8081)).end()
    assert [roles(p) for p in (inline.PORT, 3000, 8081)] == [1, 6, 3]
    s = bench.net.client.connect(HOST4, inline.PORT)
    s.sendall(headers.v1() + b"before")
    until(lambda: recorder.seen and bytes(recorder.seen[0]) == b"before", "the app has the first word")
    start_inline(listener("other", port=8082))
    assert [roles(p) for p in (inline.PORT, 3000, 8081, 8082)] == [1, 6, 0, 3], "one listener's connection lives"
    s.sendall(b" after")
    until(lambda: bytes(recorder.seen[0]) == b"before after", "the old connection goes on, its port translated")
    s.close()


def test_another_network_namespace(start_inline, host):
    start_inline(general="tcx = no\n").end()
    elsewhere = Namespace("e2e-elsewhere")
    try:
        run = subprocess.run(elsewhere.argv([tools.UNPROXY, "run", "--engine", "inline", "--listen", ":81", "--trust", "any", "--client-log", "off"]),
                             capture_output=True, text=True, timeout=20)
        assert run.returncode == 1 and "belongs to another network namespace" in run.stderr
        done = detach(elsewhere)
        assert done.returncode == 1 and "--force" in done.stderr
        assert ours(host, "wire") == BOTH
        assert detach(elsewhere, "--force").returncode == 0
        assert not os.path.exists(inline.PINS)
    finally:
        elsewhere.remove()
    assert detach(host).stdout.startswith("detached: 4 programs"), "found without pins, by handle and name"
    assert not ours(host, "wire") and has_clsact(host, "wire"), "who made the qdisc is not known any more"


# ---- refusals ----

@pytest.mark.parametrize("keys,why", [
    ({"interfaces": "wire, nosuch0"}, 'interfaces: "nosuch0": there is no such interface'),
    ({"bind": "*:80"}, "bind: is for engine = relay; this listener's engine is inline"),
    ({"header_max": "8k"}, "header_max: 8192 is out of range: with engine = inline 4095 at most"),
])
def test_refused_with_its_line(start_inline, host, keys, why):
    daemon = start_inline(listener(**keys), start=False)
    daemon.spawn()
    assert daemon.exit_code() == 1
    text = "\n".join(daemon.lines)
    with open(daemon.file) as f:
        at = next(n for n, text_line in enumerate(f, 1) if text_line.startswith(next(iter(keys))))
    assert f"{daemon.file}:{at}: {why}" in text, text
    inline.assert_nothing_left(host)


def test_usage_of_detach(host):
    assert detach(host, "--help").stdout.startswith("usage: unproxy detach")
    for words in (["--nonsense"], ["now"]):
        done = detach(host, *words)
        assert done.returncode == 2 and words[0] in done.stderr


def test_the_hint_says_what_came_instead(bench, start_inline, host):
    Recorder(host, inline.PORT, HOST4)
    daemon = start_inline()
    assert not echo(bench.net.client, HOST4, inline.PORT, header=b"GET / HTTP/1.0\r\n\r\n")
    record, = daemon.records(1)
    assert (record["event"], record["reason"], record["client_ip"]) == ("refused", "no_header", "10.77.0.1")
    assert record["hint"].startswith("no PROXY header but plain HTTP")


# ---- beside the relay ----

def test_both_engines_in_one_daemon(bench, start_inline, host):
    Recorder(host, inline.PORT, HOST4)
    Recorder(host, d.BACKEND_PORT)
    daemon = start_inline(listener("cut"), d.listener("joined", bind="*:8081"), d.backend())
    assert echo(bench.net.client, HOST4, inline.PORT) and echo(bench.net.client, HOST4, 8081)
    engines = {r["listener"]: r["engine"] for r in daemon.records(2)}
    assert engines == {"cut": "inline", "joined": "relay"}
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.exit_code() == 0
    counted = daemon.events("inline.listener")[0]
    assert counted["listener"] == "cut" and counted["opened"] == counted["ended"] == "1"
    assert daemon.events("stopped")[0]["accepted"] == "1"
    assert detach(host).returncode == 0
