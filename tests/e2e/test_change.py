# SPDX-License-Identifier: BSD-2-Clause
"""What people say to a running daemon: reload, backend, listener, drain."""
import json

import pytest

from conftest import STAND_IN
from harness import daemon as d
from harness import headers, inline
from harness.apps import Recorder, ask, echo
from harness.netns import HOST4

pytestmark = pytest.mark.skipif(bool(STAND_IN), reason="SKIP: a stand-in has another configuration")
A, B, C = (f"127.0.0.1:{port}" for port in (3000, 3001, 3002))


def main(*more, server=(A,), **keys):
    return d.section("unproxy") + d.listener(**keys) + d.backend(server=list(server)) + "".join(more)


def connect(bench, port=d.PORT):
    s = bench.net.client.connect(HOST4, port)
    s.sendall(headers.v1())
    assert ping(s)
    return s


def ping(s):
    s.sendall(b"p")
    return s.recv(1) == b"p"


def refused(bench, port=d.PORT):
    try:
        bench.net.client.connect(HOST4, port).close()
        return False
    except ConnectionRefusedError:
        return True


def status(daemon, well=True):
    return json.loads(daemon.ask("status", "--json", expect=0 if well else 1))


def changed(daemon, well=True):
    return status(daemon, well)["changed"]


def test_servers_at_run_time(bench):
    """Added, weighed, drained, removed; listed while the file says otherwise, and overridden by a reload."""
    daemon = bench.daemon(main())
    a, b = Recorder(bench.net.host, 3000), Recorder(bench.net.host, 3001)

    def where(n):
        before = len(a.seen), len(b.seen)
        for _ in range(n):
            assert echo(bench.net.client, HOST4, d.PORT)
        return len(a.seen) - before[0], len(b.seen) - before[1]

    def server(addr, *words, **options):
        return daemon.ask("backend", "main", "server", addr, *words, **options)
    assert where(2) == (2, 0) and changed(daemon) == []
    server(B, "add")
    assert where(4) == (2, 2) and changed(daemon) == [f"backend main: server {B} added"]
    server(B, "weight", "3")
    assert where(8) == (2, 6)
    held = connect(bench)
    while len(a.seen) + len(b.seen) and not any(bytes(s) == b"p" for s in a.seen):  # it is at A
        held.close()
        held = connect(bench)
    server(A, "drain")
    assert where(4) == (0, 4) and ping(held)
    assert sorted(changed(daemon)) == [f"backend main: server {A} drained", f"backend main: server {B} added"]
    server(A, "remove")
    assert where(2) == (0, 2) and ping(held)
    assert sorted(changed(daemon)) == [f"backend main: server {A} removed", f"backend main: server {B} added"]
    server(B, "remove")
    assert ask(bench.net.client, HOST4, d.PORT, headers.v1() + b"x") == (b"", "rst")
    report = json.loads(daemon.ask("reload", "--json"))
    assert sorted(report["overridden"]) == [f"backend main: server {A} removed"]
    assert daemon.wait_for("reload.overrides")["what"] == f"backend main: server {A} removed"
    assert where(2) == (2, 0) and changed(daemon) == [] and ping(held)
    held.close()

    for words in (["nobody", "server", A, "drain"], ["main", "server", C, "drain"], ["main", "server", A, "add"],
                  ["main", "server", "localhost:80", "add"], ["main", "server", C, "eat"], ["main", "server", A, "weight", "257"],
                  ["main", "server", f"127.0.0.1:{d.PORT}", "add"], ["main", "server", "*:80", "add"]):
        daemon.ask("backend", *words, expect=1)
    for words in ([], ["main"], ["main", "server", A], ["main", "server", A, "weight"], ["main", "server", A, "drain", "now"],
                  ["main", "server", A, "weight", "x"]):
        daemon.ask("backend", *words, expect=2)
    assert changed(daemon) == [] and where(1) == (1, 0)


def test_reload_by_command(bench):
    daemon = bench.daemon(main())
    Recorder(bench.net.host, 3000)
    daemon.write(main(d.listener("more", bind="*:8100"), keepalive="9s"))
    assert daemon.ask("reload") == "reloaded: generation 2\nlisteners added: more\n"
    assert echo(bench.net.client, HOST4, 8100)
    daemon.write("[unproxy]\nworkers = 9\n" + main(d.listener("more", bind="*:nine")).removeprefix("[unproxy]\n"))
    text = open(daemon.file).read().split("\n")
    line = text.index("bind = *:nine") + 1
    said = daemon.ask("reload", expect=1)
    now = status(daemon, well=False)["configuration"]
    assert said == "" and now["refused"] == 1 and now["reloads"] == 1 and now["generation"] == 2
    assert now["error"].startswith(f"{daemon.file}:{line}: bind: ") and now["file"] == daemon.file
    assert f"the last reload was refused: {daemon.file}:{line}: bind: " in daemon.ask("status", expect=1)
    assert echo(bench.net.client, HOST4, 8100)
    daemon.write("[unproxy]\nworkers = 9\n" + main().removeprefix("[unproxy]\n"))
    assert daemon.ask("reload") == "reloaded: generation 3\nlisteners removed: more\nwait for a restart: workers\n"
    now = status(daemon)["configuration"]
    assert now["error"] == "" and now["restart"] == "workers" and now["last_reload"].endswith("Z")
    assert refused(bench, 8100) and echo(bench.net.client, HOST4, d.PORT)
    daemon.ask("reload", "now", expect=2)


def test_started_from_flags(bench):
    daemon = bench.daemon(flags=["--listen", f"{HOST4}:8080", "--backend", A, "--trust", "10.77.0.0/24", "--client-log", "off"])
    daemon.ask("reload", expect=1)
    assert "no file to reload" in daemon.wait_for("reload.refused")["error"]
    daemon.ask("backend", "main", "server", B, "add")
    Recorder(bench.net.host, 3001)
    assert echo(bench.net.client, HOST4, 8080)


def test_a_drained_listener(bench):
    """It refuses; who is connected goes on; `ready` opens it again, unless its port is taken meanwhile."""
    daemon = bench.daemon(main(d.listener("other", bind="*:8100"), bind=f"{HOST4}:{d.PORT}"))
    Recorder(bench.net.host, 3000)
    s = connect(bench)
    for _ in range(2):
        daemon.ask("listener", "main", "drain")
        assert refused(bench) and ping(s) and echo(bench.net.client, HOST4, 8100)
        assert changed(daemon, well=False) == ["listener main: drained"]
    holder = bench.net.host.listen(HOST4, d.PORT)
    daemon.ask("listener", "main", "ready", expect=1)
    assert changed(daemon, well=False) == ["listener main: drained"]
    holder.close()
    for _ in range(2):
        daemon.ask("listener", "main", "ready")
        assert echo(bench.net.client, HOST4, d.PORT) and changed(daemon) == []
    daemon.ask("listener", "main", "drain")
    assert json.loads(daemon.ask("reload", "--json"))["overridden"] == ["listener main: drained"]
    assert echo(bench.net.client, HOST4, d.PORT) and ping(s)
    s.close()
    for words, code in ((["nobody", "drain"], 1), (["main", "eat"], 1), (["main"], 2), ([], 2)):
        daemon.ask("listener", *words, expect=code)


def test_a_drained_inline_listener(bench):
    """New connections get a RST, from trusted and other sources alike; those there are go on."""
    daemon = bench.daemon(d.section("unproxy") + inline.listener(untrusted="pass"), cls=inline.InlineDaemon)
    app = Recorder(bench.net.host, inline.PORT, HOST4)
    s = connect(bench, inline.PORT)
    daemon.ask("listener", "main", "drain")
    assert refused(bench, inline.PORT) and ping(s)
    assert changed(daemon, well=False) == ["listener main: drained"]
    record = daemon.records(1)[-1]
    assert record["event"] == "refused" and record["reason"] == "draining" and "listener NAME ready" in record["hint"]
    now = status(daemon, well=False)
    assert now["refused"] == {"draining": 1} and now["listeners"][0]["draining"]
    daemon.ask("listener", "main", "ready")
    assert echo(bench.net.client, HOST4, inline.PORT) and ping(s) and len(app.seen) == 2
    s.close()


def test_a_drained_host(bench):
    """Only readiness changes, which a reload leaves as it is."""
    daemon = bench.daemon(main())
    Recorder(bench.net.host, 3000)
    daemon.ask("drain")
    assert changed(daemon, well=False) == ["host: drained"] and echo(bench.net.client, HOST4, d.PORT)
    assert json.loads(daemon.ask("reload", "--json"))["overridden"] == []
    assert changed(daemon, well=False) == ["host: drained"]
    assert "at run time: host: drained" in daemon.ask("status", expect=1)
    daemon.ask("ready")
    assert changed(daemon) == []
    daemon.ask("drain", "now", expect=2)
