# SPDX-License-Identifier: BSD-2-Clause
"""`unproxy run --takeover`: another process gets all there is, and nobody who is connected notices."""
import json
import os
import signal
import subprocess
import time

import pytest

from conftest import STAND_IN
from harness import daemon as d
from harness import headers, peer, takeover, through, tools
from harness import inline as i
from harness.apps import Recorder, ask, echo
from harness.netns import HOST4
from harness.takeover import Guest
from harness.wait import until
from test_systemd import Manager

pytestmark = pytest.mark.skipif(bool(STAND_IN), reason="SKIP: a stand-in has no successor")
PATHS = ["copy", "splice", "always", "epoll"]


def successor(bench, text):
    """Not yet started. It asks where the first one can be asked."""
    control = bench.daemons[0].control
    text = text if "[unproxy]" in text else d.section("unproxy") + text
    new = bench.daemon(text.replace("[unproxy]\n", f"[unproxy]\ncontrol = {control}\n"), start=False, cls=type(bench.daemons[0]))
    new.control = control
    new.argv.insert(new.argv.index("run") + 1, "--takeover")
    return new


def door(bench):
    return bench.daemons[0].control + ".takeover"


def take_over(bench, text, kept=0, old=None):
    """A new daemon in the last one's place, which ends when it has nothing left to do."""
    old = old or bench.daemons[-1]
    new = successor(bench, text).start()
    assert old.wait_for("takeover.done", dead=True)["kept"] == str(kept), old.log()
    if not kept:
        assert old.exit_code(20) == 0, old.log()
    bench.snapshot = None
    return new


def follows(bench, text):
    return lambda: int(take_over(bench, text).events("takeover.taken")[0]["connections"])


@pytest.mark.parametrize("path", PATHS)
def test_streams_through_takeovers(bench, path):
    text = d.one_path(path, "127.0.0.1:3000")
    bench.daemon(text)
    through.streams(bench, follows(bench, text), 4)


def test_websockets_count_through_ten_takeovers(bench):
    text = d.one_path("auto", "127.0.0.1:3000")
    bench.daemon(text)
    through.websockets(bench, follows(bench, text), 10, count=500, every=0.3, messages=1000, short=100)


def test_the_service_manager_is_told(bench, tmp_path):
    """The old process says who is the service now: only it may."""
    manager = Manager(tmp_path)
    text = d.one_path("copy", "127.0.0.1:3000")
    bench.daemon(text, env=manager.env())
    manager.wait_for("READY=1")
    new = take_over(bench, text)
    manager.wait_for(f"MAINPID={new.pid}")


# ---- what goes wrong ----

def open_some(bench, count, **options):
    """Connections that have exchanged a little, wait for go(1), and exchange the rest."""
    s = bench.server(tx="data:2000,rx:3000,data:80000,fin", rx="data:3000,rest", count=count + 500, parallel=count + 500)
    c = bench.client(tx="v2,data:3000,go:1,data:40000,fin", rx="data:82000,eof", count=count, parallel=count, **options)
    until(lambda: s.stat()["started"] == count and s.stats[-1]["rx"] >= 3000 * count and c.stat()["rx"] >= 82000 * count, "all wait", 20)
    return c, s


def assert_serves(bench, count=20):
    new = bench.client(tx="v1:1,data:3000,data:40000,fin", rx="data:82000,eof", count=count, parallel=count)
    peer.assert_scripts(new.finish(), count)
    return new.results


@pytest.mark.parametrize("words", [0, 1, 2, 3, 4])
def test_a_guest_that_dies(bench, words):
    """After so many words: what it has not confirmed is the old daemon's, as if nothing had been."""
    bench.path_daemon("copy", 4)
    path = door(bench)
    c, s = open_some(bench, 40)
    guest = Guest(path)
    if words > 0:
        assert guest.hello()[0] == takeover.WELCOME
    if words > 1:
        guest.prepared()
    if words > 2:
        guest.begin()
        heard = [channel.hear() for channel in guest.channels]
        assert {kind for kind, _, _ in heard} == {takeover.SESSION}
        guest.fds += [fd for _, _, fds in heard for fd in fds]
    if words > 3:  # descriptors that nobody has taken out are on their way
        guest.channels[0].say(takeover.HELLO)
        assert bench.daemons[0].alive()
    guest.die()
    if words:
        bench.daemons[0].wait_for("takeover.failed")
    new = assert_serves(bench)
    c.go(1)
    clients = c.finish()
    peer.assert_scripts(clients, 40)
    peer.assert_exact(clients + new, s.settle(), None)
    take_over(bench, d.one_path("copy", "127.0.0.1:3000"))


def test_guests_that_are_not_let_in(bench):
    """Another version, a second one at a time, another user, somebody who speaks something else."""
    daemon, path = bench.path_daemon("copy", 4), door(bench)
    guest = Guest(path)
    assert guest.hello(3, 9) == (takeover.REFUSED, "it speaks another version")
    guest.die()
    until(lambda: len(daemon.events("takeover.failed")) == 1, "the guest is gone")
    first, second = Guest(path), Guest(path)
    assert first.hello()[0] == takeover.WELCOME
    assert second.hear()[:2] == (takeover.REFUSED, b"\x1d\0another takeover is under way")
    refused = successor(bench, d.one_path("copy", "127.0.0.1:3000"))
    refused.spawn()
    assert refused.exit_code() == 1 and "another takeover is under way" in refused.log()
    first.die()
    until(lambda: len(daemon.events("takeover.failed")) == 2, "the guest is gone")
    stranger = Guest(path)
    stranger.sock.send(b"GET / HTTP/1.1\r\n\r\n")
    assert stranger.hear() is None
    os.chmod(path, 0o666)
    os.chmod(os.path.dirname(path), 0o755)
    pid = os.fork()
    if pid == 0:  # as nobody; from there, as those above may be root's
        os.chdir(os.path.dirname(path))
        os.setgroups([])
        os.setresuid(65534, 65534, 65534)
        os._exit(0 if Guest(os.path.basename(path)).hear()[0] == takeover.REFUSED else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert "root nor" in daemon.events("takeover.refused")[-1]["reason"]
    Recorder(bench.net.host, 3000)
    assert echo(bench.net.client, HOST4, d.PORT)


def test_the_control_socket_is_the_same_one(bench, tmp_path):
    """Given on as all sockets are: it needs neither a name nor a right that the new daemon may not have any more."""
    text = d.section("unproxy", user="nobody") + d.one_path("copy", "127.0.0.1:3000")
    first = bench.daemon(text)
    Recorder(bench.net.host, 3000)
    for ancestor in (os.path.dirname(first.control), os.path.dirname(os.path.dirname(first.control))):
        assert os.stat(ancestor).st_uid == 0
    inode = os.stat(first.control).st_ino
    for n in range(3):
        new = take_over(bench, text)
        status = json.loads(new.ask("status", "--json"))
        assert status["pid"] == new.pid and os.stat(new.control).st_ino == inode, new.log()
        assert not new.events("control.off") and not new.events("takeover.off"), new.log()
        assert echo(bench.net.client, HOST4, d.PORT)


def test_who_asks_meanwhile_waits(bench):
    """There is no moment at which nobody answers, also where nothing comes of it."""
    daemon = bench.path_daemon("copy", 4)
    guest = Guest(door(bench))
    assert guest.hello()[0] == takeover.WELCOME
    guest.prepared()
    guest.begin()
    for channel in guest.channels:
        assert channel.hear() is None
    kind, _, sockets = guest.hear()
    assert kind == takeover.TOTALS and len(sockets) == 2
    guest.fds += sockets
    asker = subprocess.Popen([tools.UNPROXY, "status", "--json", "--control", daemon.control], stdout=subprocess.PIPE, text=True)
    guest.die()
    assert json.loads(asker.communicate(timeout=20)[0])["pid"] == daemon.pid
    assert daemon.wait_for("takeover.failed")["step"] == "services"
    take_over(bench, d.one_path("copy", "127.0.0.1:3000"))


def test_a_successor_with_too_few_descriptors(bench):
    """It knows before it takes anything."""
    daemon = bench.path_daemon("copy", 4)
    c, s = open_some(bench, 60)
    new = successor(bench, d.one_path("copy", "127.0.0.1:3000"))
    new.nofile = 200
    new.spawn()
    assert new.exit_code() == 1
    assert "it has 60 connections, and the limit of open files here is enough for 50" in new.log()
    daemon.wait_for("takeover.failed")
    c.go(1)
    peer.assert_exact(c.finish(), s.settle(), None)
    assert echo_works(bench)


@pytest.mark.parametrize("engine", ["relay", "inline"])
def test_a_takeover_that_fails_gives_the_deny_list_back(request, engine):
    """What loads programs has been given up by then: the list that was let go of is had again all the same."""
    bench = request.getfixturevalue("inline" if engine == "inline" else "bench")
    daemon = bench.start() if engine == "inline" else bench.path_daemon("copy", 4)
    first, second = "203.0.113.66", "203.0.113.67"
    daemon.ask("deny", "add", first)
    for n in range(2):
        guest = Guest(door(bench))
        assert guest.hello()[0] == takeover.WELCOME
        guest.prepared()
        guest.die()
        daemon.wait_for("takeover.failed", count=n + 1)
    daemon.ask("deny", "add", second)
    assert not daemon.events("deny.kernel_off") and not daemon.events("deny.failed"), daemon.log()
    new = take_over(bench, i.listener() if engine == "inline" else d.one_path("copy", "127.0.0.1:3000"))
    listed = new.ask("deny", "list")
    assert first in listed and second in listed, "what was said after the failure is pinned, too"
    for cidr in first, second:
        new.ask("deny", "del", cidr)


def test_a_successor_with_a_bad_configuration(bench):
    """It says what is wrong and goes; the old one has not even heard of it."""
    daemon = bench.path_daemon("copy", 4)
    c, s = open_some(bench, 20)
    for text, why in ((d.listener(colour="red") + d.backend(), "colour"),
                      (d.listener(bind="192.0.2.1:80") + d.backend(), "listen.failed")):
        bad = successor(bench, text)
        bad.spawn()
        assert bad.exit_code() == 1 and why in bad.log(), bad.log()
    until(lambda: daemon.events("takeover.failed"), "the second one had come in")
    c.go(1)
    peer.assert_exact(c.finish(), s.settle(), None)
    assert echo_works(bench)


def echo_works(bench):
    Recorder(bench.net.host, 3000)
    return echo(bench.net.client, HOST4, d.PORT)


def test_successors_that_are_killed(bench):
    """kill -9 at any moment: a connection is whole or was reset, and the old daemon serves on."""
    text = d.one_path("copy", "127.0.0.1:3000")
    daemon = bench.daemon(text)
    c, s = open_some(bench, 200)
    for n in range(8):
        new = successor(bench, text)
        new.spawn()
        new.wait_for("kernel_path.off")
        time.sleep(0.005 * n)  # no wait: a moment of its own each time
        new.kill()
        # It had come in: the old one says what became of it, and is not asked before.
        until(lambda: len(daemon.events("takeover.failed")) + len(daemon.events("takeover.done")) == n + 1, "the old daemon's word", 20)
        if not daemon.alive() or daemon.events("takeover.done"):
            daemon.pinned = False  # it had got all: with it they ended
            return
        assert_serves(bench)
    take_over(bench, text, old=daemon)
    c.go(1)
    clients = {r["seed"]: r for r in c.finish()}
    whole = [r for r in s.settle() if r["rx"] > 3000 and r["rx_seed"] in clients]
    peer.assert_exact([clients[r["rx_seed"]] for r in whole], whole)
    dead_with = {fields["step"] for fields in daemon.events("takeover.failed")} & {"connections", "services"}
    assert dead_with or len(whole) == 200, "nobody had confirmed one, and yet they are gone"


def test_a_successor_that_is_told_to_stop(bench):
    """By the polite signals, before it has anything: it ends, and the old one goes on with all."""
    text = d.one_path("copy", "127.0.0.1:3000")
    daemon = bench.daemon(text)
    c, s = open_some(bench, 20)
    for number in signal.SIGTERM, signal.SIGINT:
        new = successor(bench, text)
        takeover.spawn_told(new, number)
        assert new.exit_code() == 1, new.log()
        assert new.wait_for("takeover.refused", dead=True)["reason"] == "told to stop before anything was taken"
    assert not daemon.events("takeover.done")
    assert_serves(bench)
    c.go(1)
    peer.assert_scripts(c.finish(), 20)
    take_over(bench, text, old=daemon)


@pytest.mark.parametrize("late", [False, True], ids=["prepared", "begun"])
def test_when_it_is_too_late_to_stop(bench, tmp_path, late):
    """Until its workers run it can go back, from then on it goes through with it first."""
    new = bench.daemon(d.section("unproxy", control=tmp_path / "c") + d.one_path("copy", "127.0.0.1:3000"), start=False)
    new.argv.insert(new.argv.index("run") + 1, "--takeover")
    old = takeover.Host(f"{tmp_path}/c.takeover")
    new.spawn()
    guest = old.welcome()
    assert guest.hear()[0] == takeover.PREPARED
    if late:
        guest.say(takeover.CLEAR)
        assert guest.hear()[0] == takeover.BEGIN
    os.kill(new.pid, signal.SIGTERM)
    if late:
        guest.say(takeover.TOTALS, takeover.NO_TOTALS)
        assert guest.hear()[0] == takeover.COMMITTED
    else:
        assert guest.hear() is None
    assert new.exit_code(20) == (0 if late else 1), new.log()
    assert len(new.events("drain.start")) == late and len(new.events("takeover.failed")) == (not late), new.log()
    old.close()
    guest.close()


def test_the_old_daemon_is_killed_meanwhile(bench):
    """The new one goes on alone: with the listening sockets, and what waits in them."""
    text = d.one_path("copy", "127.0.0.1:3000")
    old = bench.daemon(text)
    Recorder(bench.net.host, 3000)
    assert echo(bench.net.client, HOST4, d.PORT)
    new = successor(bench, text).spawn()
    new.wait_for("kernel_path.off")  # it has the sockets by now
    old.kill()
    waits = bench.net.client.connect(HOST4, d.PORT)
    waits.sendall(headers.v1() + b"patience")
    new.wait_for("ready")
    assert waits.recv(100) == b"patience"
    waits.close()
    assert new.events("takeover.alone") and echo(bench.net.client, HOST4, d.PORT)


# ---- every state that a connection can be in ----

@pytest.mark.parametrize("path", ["auto", "always"])
def test_every_state(bench, path):
    """Header not begun, half of it, one end closed, bytes that nobody reads, a server that is not there yet."""
    text = d.one_path(path, "127.0.0.1:3000")
    bench.daemon(text)
    s = bench.server(tx="rx:1,data:3000000,rxeof,data:70000,fin", rx="data:1,go:1,data:100000,eof", count=40, parallel=64)
    ends = dict(rx="data:3000000,go:1,data:70000,eof", count=10, parallel=10)
    silent = bench.client(tx="go:1,v1,data:100001,fin", **ends)
    half = bench.client(tx=f"hex:{headers.v2().hex()[:30]},go:1,hex:{headers.v2().hex()[30:]},data:100001,fin", **ends)
    closed = bench.client(tx="v1,data:100001,fin", **ends)
    unread = bench.client(tx="v2,data:1,go:1,data:100000,fin", **{**ends, "rx": "go:1,data:3070000,eof"})
    clients = [silent, half, closed, unread]
    until(lambda: s.stat()["started"] == 20 and closed.stat()["rx"] == 30000000, "half of them are served", 20)
    assert sum(c.stat()["started"] for c in clients) == 40
    for _ in range(3):
        take_over(bench, text)
    for c in clients:
        c.go(1)
    s.go(1)
    results = [r for c in clients for r in c.finish()]
    peer.assert_exact(results, s.finish(), 40)
    ended = bench.daemons[-1].records(40, event="end")
    assert {(r["bytes_up"], r["bytes_down"]) for r in ended} == {(100001, 3070000)}
    assert {r["version"] for r in ended} == {1, 2} and {r["reason"] for r in ended} == {"client_fin"}, ended[0]
    status = json.loads(bench.daemons[-1].ask("status", "--json"))
    assert status["maps"]["connections"]["used"] == 0, "counted once, taken off once"


def test_while_the_server_is_slow_to_answer(bench):
    """A SYN on its way: its connection is made by the new process, in what is left of the time."""
    text = d.listener() + d.backend(server="127.0.0.1:3000", connect_timeout="8s")
    bench.daemon(text)
    held = bench.net.host.listen("127.0.0.1", 3000, backlog=0)
    fill = bench.net.host.connect("127.0.0.1", 3000)
    s = bench.net.client.connect(HOST4, d.PORT)
    s.sendall(headers.v1() + b"patience")
    until(lambda: "SYN-SENT" in bench.net.host.run("ss", "-tn", "state", "all"), "a SYN without an answer", 5)
    take_over(bench, text)
    held.accept()[0].close()
    back, _ = held.accept()
    assert back.recv(100) == b"patience"
    back.sendall(b"rewarded")
    assert s.recv(100) == b"rewarded"
    fill.close()
    held.close()


def test_another_configuration_other_workers(bench):
    """A listener that is gone keeps its connections where they are; those of another one go over, however many workers
    there are; limits count them on, and apps are still told their clients."""
    def conf(workers, gone=True, **keys):
        both = d.listener("stays", bind="*:8080", **keys) + (d.listener("goes", bind="*:8090") if gone else "")
        return d.section("unproxy", workers=workers) + both + d.backend(server="127.0.0.1:3000")
    bench.daemon(conf(3))
    bench.daemons[0].ask("deny", "add", "203.0.113.66")
    accepted, listener = [], bench.net.host.listen("127.0.0.1", 3000)

    def pair(port):
        s = bench.net.client.connect(HOST4, port)
        s.sendall(headers.v1(port=41000 + len(accepted)) + b"x")
        accepted.append((s, listener.accept()[0]))

    for port in (8080,) * 6 + (8090,) * 3:
        pair(port)
    take_over(bench, conf(1))
    take_over(bench, conf(4, max_connections=7))
    take_over(bench, conf(2, gone=False, max_connections=7), kept=3)
    left = bench.daemons[-1].events("takeover.left")
    assert [(e["connections"], e["reason"]) for e in left] == [("3", "no such listener or server here")]
    pair(8080)
    assert ask(bench.net.client, HOST4, 8080, headers.v1()) == (b"", "rst"), "the eighth"


    pair_of_places = accepted.pop()
    for end in pair_of_places:
        end.close()
    until(lambda: bench.daemons[-1].records(event="end"), "a place is free")
    assert ask(bench.net.client, HOST4, 8080, headers.v1("203.0.113.66"))[1] == "rst"
    assert bench.daemons[-1].records(1, event="refused", client_ip="203.0.113.66")[0]["reason"] == "denied", "as before"
    bench.daemons[-1].ask("deny", "del", "203.0.113.66")

    def refuses():
        try:
            bench.net.client.connect(HOST4, 8090).close()
        except OSError as error:
            return isinstance(error, ConnectionRefusedError)
    until(refuses, "nobody listens there any more")
    for n, (front, back) in enumerate(accepted):
        assert back.getpeername() == ("198.51.100.7", 41000 + n), n
        assert back.recv(1) == b"x"
        back.sendall(b"%d" % n)
        assert front.recv(5) == b"%d" % n
        front.close()
        assert back.recv(1) == b""
        back.close()
    assert bench.daemons[2].exit_code(20) == 0
    listener.close()


def test_what_was_said_at_run_time_goes_over(inline):
    """Servers, listeners of both engines, the host: as status lists them, and as they are served; what the new file
    contradicts is named."""
    both = i.listener("app", 80) + d.listener("spare", bind="*:8081", path="copy") + d.listener("web", bind="*:8082", path="copy")
    text = both + d.backend(server=["127.0.0.1:3001", "127.0.0.1:3002"])
    daemon = inline.start(text)
    for words in (("backend", "main", "server", "127.0.0.1:3000", "add"), ("backend", "main", "server", "127.0.0.1:3001", "drain"),
                  ("backend", "main", "server", "127.0.0.1:3002", "remove"), ("listener", "app", "drain"), ("listener", "spare", "drain"), ("drain",)):
        daemon.ask(*words)
    said = json.loads(daemon.ask("status", "--json", expect=1))["changed"]
    assert len(said) == 6
    servers = [Recorder(inline.net.host, port) for port in (3000, 3001, 3002)]
    app = Recorder(inline.net.host, 80, HOST4)
    for n in range(2):
        new = take_over(inline, text)
        assert json.loads(new.ask("status", "--json", expect=1))["changed"] == said, n
        assert echo(inline.net.client, HOST4, 8082) and len(servers[0].seen) == n + 1
        for port in 80, 8081:
            with pytest.raises(OSError):
                inline.net.client.connect(HOST4, port).close()
    assert not servers[1].seen and not servers[2].seen and not app.seen
    new = take_over(inline, i.listener("app", 80) + d.listener("web", bind="*:8082", path="copy") + d.backend(server="127.0.0.1:3000"))
    assert json.loads(new.ask("status", "--json", expect=1))["changed"] == ["listener app: drained", "host: drained"]
    assert {e["reason"] for e in new.events("takeover.change_dropped")} == {"backend main has no server 127.0.0.1:3001", "there is no listener spare"}
    new.ask("listener", "app", "ready")
    assert echo(inline.net.client, HOST4, 80)


def test_inline_changes_hands(inline):
    """The programs stay where they are; what fails gives the engine back."""
    inline.start()
    text = i.listener()
    s = inline.server(tx="data:2000,rx:3000,data:8000,fin", rx="data:3000,rest", count=40, parallel=64)
    c = inline.client(tx="v2,data:3000,go:1,data:40000,fin", rx="data:10000,eof", count=20, parallel=20)
    until(lambda: s.stat()["rx"] == 3000 * 20, "they wait", 20)
    guest = Guest(door(inline))
    guest.hello()
    guest.prepared()
    guest.die()
    until(lambda: len(inline.daemons[0].events("inline.on")) == 2, "the old daemon has the engine again")
    take_over(inline, text)
    assert inline.daemons[-1].events("inline.on")[0]["adopted"] == "20"
    c.go(1)
    new = inline.client(tx="v1:1,data:3000,data:40000,fin", rx="data:10000,eof", count=20, parallel=20)
    peer.assert_exact(c.finish() + new.finish(), s.finish(), None)


def test_inline_that_rests(bench):
    """It has nothing to hand over, and can be woken when nothing came of the takeover."""
    relay, inl = d.one_path("copy", "127.0.0.1:3000"), i.listener("inl", port=8100)
    daemon = bench.daemon(relay + inl, cls=i.InlineDaemon)
    bench.snapshot = None  # the engine's own descriptors come and go
    Recorder(bench.net.host, 3000)
    Recorder(bench.net.host, 8100, HOST4)
    daemon.write(relay)
    daemon.ask("reload")
    daemon.wait_for("inline.off")
    guest = Guest(door(bench))
    guest.hello()
    guest.prepared()
    guest.die()
    daemon.wait_for("takeover.failed")
    daemon.write(relay + inl)
    daemon.ask("reload")
    assert echo(bench.net.client, HOST4, 8100) and echo(bench.net.client, HOST4, d.PORT)
    daemon.write(relay)
    daemon.ask("reload")
    take_over(bench, relay)
    assert echo(bench.net.client, HOST4, d.PORT)


def test_a_daemon_that_stops(bench):
    """It changes nothing any more, and says so; who would take over from it is told so, and its connections go on to their end."""
    text = d.one_path("copy", "127.0.0.1:3000")
    old = bench.daemon(text)
    c, s = open_some(bench, 3)
    os.kill(old.pid, signal.SIGTERM)
    old.wait_for("drain.start")
    for words in (("reload",), ("ready",), ("drain",), ("listener", "main", "ready"), ("backend", "main", "server", "127.0.0.1:3001", "add")):
        said = bench.net.host.popen([tools.UNPROXY, *words, "--control", old.control], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert "(stopping)" in said.communicate(timeout=10)[0] and said.returncode == 1, words
    new = successor(bench, text).spawn()
    assert new.exit_code() == 1
    assert new.events("takeover.refused")[0]["reason"] == "it is stopping, and ends with its last connection", new.log()
    c.go(1)
    peer.assert_scripts(c.finish(), 3)
    assert old.exit_code(20) == 0


def totals(daemon):
    """Every counter that a process has of its own, by what status calls it."""
    found = {}

    def look(value, path):
        for key, item in value.items() if isinstance(value, dict) else ((i.get("name", i.get("address")), i) for i in value):
            if isinstance(item, (dict, list)) and key not in ("changed", "process", "kernel_path", "maps", "programs"):
                look(item, (*path, key))
            elif isinstance(item, int) and key not in NO_TOTALS:
                found[(*path, key)] = item
    look(json.loads(daemon.ask("status", "--json")), ())
    return found


NO_TOTALS = ("pid", "started", "uptime_seconds", "generation", "workers", "connections", "last", "requests")


def test_counters_go_on(inline):
    """Of both engines, listeners, servers, the log, reloads: through a takeover that comes to nothing, and two that do not."""
    text = i.listener("app", 80) + d.listener("web", bind="*:8082", path="copy") + d.backend(server="127.0.0.1:3000")
    first = inline.start(text)
    Recorder(inline.net.host, 3000)
    Recorder(inline.net.host, 80, HOST4)
    for port in 80, 8082, 8082:
        assert echo(inline.net.client, HOST4, port)
    first.ask("reload")
    first.records(3, event="end")
    first.ask("reload")
    before = totals(first)
    print(before)
    assert sum(before.values()) > 20
    guest = Guest(door(inline))
    guest.hello()
    guest.prepared()
    guest.die()
    until(lambda: len(first.events("inline.on")) == 2, "the old daemon has the engine again")
    after = totals(first)
    assert not {key: (n, after[key]) for key, n in before.items() if after[key] < n}
    for _ in range(2):
        after = totals(take_over(inline, text))
        assert not {key: (n, after[key]) for key, n in before.items() if after[key] < n}


def test_a_metrics_port_that_only_root_may_have(inline):
    """Its socket goes over as well: nobody may bind it by then."""
    text = d.section("unproxy", metrics=f"{HOST4}:918") + i.listener("app", 80)
    inline.start(text)
    for _ in range(2):
        new = take_over(inline, text)
        with inline.net.client.connect(HOST4, 918) as s:
            s.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert s.recv(1000).startswith(b"HTTP/1.1 200 "), new.log()
        assert not new.events("metrics.failed")
    other = take_over(inline, text.replace(":918", ":919"))
    assert other.events("metrics.failed"), "another address has to be bound, and may not be"
