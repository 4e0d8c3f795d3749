# SPDX-License-Identifier: BSD-2-Clause
"""`systemctl restart`: the manager keeps listening sockets and connections from one daemon to the next."""
import json
import os
import signal
import socket
import subprocess

import pytest

from conftest import STAND_IN
from harness import daemon as d
from harness import peer, takeover, through, tools
from harness.apps import Recorder, echo
from harness.headers import v1
from harness.manager import UNIT, Keeper
from harness.netns import HOST4
from harness.wait import until

pytestmark = pytest.mark.skipif(bool(STAND_IN), reason="SKIP: a stand-in has no successor")
HERE = os.path.dirname(__file__)
PATHS = ["copy", "splice", "always", "epoll"]
SERVER = "127.0.0.1:3000"


@pytest.fixture
def keeper(tmp_path, monkeypatch):
    keeper = Keeper(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", keeper.path)
    yield keeper
    keeper.close()


def start(bench, keeper, text, **options):
    control = bench.daemons[0].control  # the unit's is the same each time
    text = text if "[unproxy]" in text else d.section("unproxy") + text
    new = bench.daemon(text.replace("[unproxy]\n", f"[unproxy]\ncontrol = {control}\n"), sockets=list(keeper.kept), start=False, **options)
    new.control = control
    new.start()
    assert json.loads(new.ask("status", "--json"))["pid"] == new.pid
    bench.snapshot = None
    return new


def restart(bench, keeper, text, kept=0):
    """As `systemctl restart` does it. Returns the new daemon."""
    old = bench.daemons[-1]
    done = keeper.stop(old)
    assert done.returncode == 0, (done.stderr, old.log())
    assert old.wait_for("store.done", dead=True)["kept"] == str(kept), old.log()
    assert old.exit_code(20) == 0, old.log()
    assert sorted(name for _, name in keeper.kept) == ["unproxy-listeners", "unproxy-sessions"]
    new = start(bench, keeper, text)
    until(lambda: not keeper.kept, "the manager may forget", 10)
    return new


def taken(daemon):
    return {key: int(value) for key, value in daemon.events("takeover.taken")[0].items() if value.isdigit()}


def follows(bench, keeper, text):
    def follow():
        figures = taken(restart(bench, keeper, text))
        assert figures["lost"] == 0
        return figures["connections"]
    return follow


@pytest.mark.parametrize("path", PATHS)
def test_streams_through_restarts(bench, keeper, path):
    text = d.one_path(path, SERVER)
    bench.daemon(text)
    through.streams(bench, follows(bench, keeper, text), 2)


def test_websockets_count_through_five_restarts(bench, keeper):
    text = d.one_path("auto", SERVER)
    bench.daemon(text)
    through.websockets(bench, follows(bench, keeper, text), 5, count=200, every=0.1, messages=500, short=20)


def open_some(bench, count, port=d.PORT):
    """Connections that have exchanged a little, wait for go(1), and exchange the rest."""
    s = bench.server(tx="data:2000,rx:3000,data:80000,fin", rx="data:3000,rest", count=count + 100, parallel=count + 100)
    c = bench.client(tx="v2,data:3000,go:1,data:40000,fin", rx="data:82000,eof", count=count, parallel=count, port=port)
    until(lambda: s.stat()["started"] == count and s.stats[-1]["rx"] >= 3000 * count and c.stat()["rx"] >= 82000 * count, "all wait", 20)
    return c, s


def test_a_start_that_is_refused(bench, keeper):
    """It has only looked: the next one has everything, and what waits in the backlog meanwhile, too."""
    text = d.one_path("copy", SERVER)
    bench.daemon(text)
    c, s = open_some(bench, 30)
    bench.daemons[0].ask("backend", "main", "server", SERVER, "weight", "5")
    before = json.loads(bench.daemons[0].ask("status", "--json"))
    assert keeper.stop(bench.daemons[0]).returncode == 0
    assert bench.daemons[0].exit_code(20) == 0
    waits = bench.net.client.connect(HOST4, d.PORT)
    waits.sendall(v1() + b"patience")
    for bad, why in ((d.listener(colour="red") + d.backend(), "colour"), (d.listener() + d.listener("taken", bind="192.0.2.1:80") + d.backend(), "listen.failed")):
        refused = bench.daemon(bad, start=False, sockets=list(keeper.kept)).spawn()
        assert refused.exit_code() == 1 and why in refused.log(), refused.log()
    told = bench.daemon(text, start=False, sockets=list(keeper.kept))
    takeover.spawn_told(told, signal.SIGTERM)
    assert told.exit_code() == 1 and told.events("takeover.failed")[0]["reason"] == "told to stop before anything was taken", told.log()
    new = start(bench, keeper, text)
    assert taken(new) == {"connections": 30, "lost": 0}
    after = json.loads(new.ask("status", "--json"))
    assert before["listeners"][0]["accepted"] == 30 <= after["listeners"][0]["accepted"], "totals do not go back"
    assert after["changed"] == [f"backend main: server {SERVER} weight 5"]
    until(lambda: s.stat()["started"] == 31, "what waited is served")
    waits.close()
    c.go(1)
    peer.assert_scripts(c.finish(), 30)


def test_another_configuration(bench, keeper):
    """Connections of a listener that is gone are reset, and counted; the others go on, with other workers and other paths."""
    both = d.listener("stays", bind="*:8080") + d.listener("goes", bind="*:8090")
    bench.daemon(d.section("unproxy", workers=3) + both + d.backend(server=SERVER))
    ends, listener = [], bench.net.host.listen("127.0.0.1", 3000)
    for port in (8080,) * 5 + (8090,) * 3:
        s = bench.net.client.connect(HOST4, port)
        s.sendall(v1(port=41000 + len(ends)) + b"x")
        ends.append((s, listener.accept()[0]))
    for front, back in ends:
        assert back.recv(1) == b"x"
    new = restart(bench, keeper, d.section("unproxy", workers=1) + d.listener("stays", bind="*:8080", path="copy") + d.backend(server=SERVER))
    assert taken(new) == {"connections": 5, "lost": 3}
    assert len(new.events("takeover.lost")) == 3 and new.events("takeover.closed")
    status = json.loads(new.ask("status", "--json"))
    assert status["ended"]["not_taken_over"] == 3 and status["connections"]["accepted"] == 8, status
    for front, back in ends[5:]:
        for end in front, back:
            with pytest.raises(ConnectionResetError):
                end.recv(1)
            end.close()
    for n, (front, back) in enumerate(ends[:5]):
        assert back.getpeername() == ("198.51.100.7", 41000 + n), n
        back.sendall(b"%d" % n)
        assert front.recv(5) == b"%d" % n
        front.close()
        assert back.recv(1) == b""
        back.close()
    listener.close()


def test_within_the_limits_of_the_unit(bench, keeper, tmp_path):
    """Its capabilities, system calls and writable paths are enough."""
    wrap = ("/usr/bin/python3", os.path.join(HERE, "under_unit.py"), UNIT, str(tmp_path))
    text = d.one_path("always", SERVER)
    bench.daemon(text, wrap=wrap)
    c, s = open_some(bench, 30)
    assert keeper.stop(bench.daemons[0]).returncode == 0
    assert bench.daemons[0].exit_code(20) == 0
    new = start(bench, keeper, text, wrap=wrap)
    assert taken(new) == {"connections": 30, "lost": 0}
    c.go(1)
    peer.assert_exact(c.finish(), s.settle(), None)


def test_stop_drains_as_ever(bench, keeper):
    daemon = bench.path_daemon("copy", 4)
    c, s = open_some(bench, 5)
    assert keeper.stop(daemon, job="stop").returncode == 0
    daemon.wait_for("drain.start")
    assert not keeper.kept and not daemon.events("store.start")
    c.go(1)
    peer.assert_scripts(c.finish(), 5)
    assert daemon.exit_code() == 0


def test_a_manager_that_keeps_nothing(bench, tmp_path, monkeypatch):
    """Its unit has no FileDescriptorStoreMax=, or there is none: said, and the stop drains."""
    (tmp_path / "other").mkdir()
    keeper = Keeper(tmp_path / "other", most=0)
    monkeypatch.setenv("NOTIFY_SOCKET", keeper.path)
    daemon = bench.path_daemon("copy", 4)
    c, s = open_some(bench, 5)
    done = keeper.stop(daemon)
    assert done.returncode == 1 and "FileDescriptorStoreMax" in done.stderr, done.stderr
    daemon.wait_for("drain.start")
    c.go(1)
    peer.assert_scripts(c.finish(), 5)
    assert daemon.exit_code() == 0
    keeper.close()
    monkeypatch.delenv("NOTIFY_SOCKET")
    s.quit()
    alone = bench.path_daemon("copy", 4)
    alone.ask("store", expect=1)
    Recorder(bench.net.host, 3000)
    assert echo(bench.net.client, HOST4, d.PORT), "it goes on"


def test_what_the_manager_drops_is_reset(bench, keeper):
    """No end that looks like an orderly one over bytes that are missing; of half-closed ones neither."""
    daemon = bench.path_daemon("copy", 4)
    listener = bench.net.host.listen("127.0.0.1", 3000)
    ends = []
    for n in range(6):
        s = bench.net.client.connect(HOST4, d.PORT)
        s.sendall(v1() + b"x")
        ends.append((s, listener.accept()[0]))
    for front, back in ends[:2]:  # the client has said all it has to say
        front.shutdown(1)
        assert back.recv(2) == b"x" and back.recv(1) == b""
    for front, back in ends[2:4]:
        back.shutdown(1)
        assert front.recv(1) == b""
    assert keeper.stop(daemon).returncode == 0
    assert daemon.exit_code(20) == 0
    for front, back in ends[4:]:
        back.sendall(b"lost")
    waits = bench.net.client.connect(HOST4, d.PORT)
    keeper.drop()
    for front, back in ends:
        for end in front, back:
            with pytest.raises(OSError) as raised:
                for _ in range(50):  # what it has not read yet, then the RST; after a FIN the next word meets it
                    if not end.recv(10):
                        end.send(b"?")
            assert isinstance(raised.value, (ConnectionResetError, BrokenPipeError)), raised.value
            end.close()
    with pytest.raises(ConnectionResetError):
        waits.recv(1)
    waits.close()
    listener.close()
    Recorder(bench.net.host, 3000)
    start(bench, keeper, d.one_path("copy", SERVER))
    assert echo(bench.net.client, HOST4, d.PORT)


@pytest.mark.parametrize("reads", [0, 7])
def test_the_new_daemon_is_killed_in_the_midst(bench, keeper, reads):
    """What it has not read is the next one's, with the listening sockets; what it has is reset."""
    bench.path_daemon("copy", 4)
    c, s = open_some(bench, 20)
    assert keeper.stop(bench.daemons[0]).returncode == 0
    assert bench.daemons[0].exit_code(20) == 0
    sessions = socket.socket(fileno=os.dup(next(fd for fd, name in keeper.kept if name == "unproxy-sessions")))
    for _ in range(reads):
        _, fds, _, _ = socket.recv_fds(sessions, 1 << 16, 4)
        for fd in fds:
            os.close(fd)
    sessions.close()
    waits = bench.net.client.connect(HOST4, d.PORT)
    new = start(bench, keeper, d.one_path("copy", SERVER))
    assert taken(new) == {"connections": 20 - reads, "lost": 0}
    waits.close()
    c.go(1)
    results = c.finish()
    assert sum(r["end"] == "rst" for r in results) == reads, results
    assert sum(r["rx"] == 43000 for r in s.settle()) == 20 - reads


def test_the_old_daemon_is_killed_in_the_midst(bench, keeper):
    """The connections that are with the manager go on; the rest ended with the daemon."""
    text = d.one_path("copy", SERVER)
    daemon = bench.daemon(text)
    c, s = open_some(bench, 60)
    stopping = subprocess.Popen(daemon.ns.argv([tools.UNPROXY, "store", "--control", daemon.control]))
    daemon.wait_for("store.start", dead=True)
    daemon.kill()
    stopping.wait(20)
    new = start(bench, keeper, text)
    n = taken(new)["connections"]
    c.go(1)
    c.finish()
    assert sum(r["rx"] == 43000 for r in s.settle()) == n
    status = json.loads(new.ask("status", "--json"))["connections"]
    assert status["accepted"] == n, "what is known of the totals"
