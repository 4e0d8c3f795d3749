# SPDX-License-Identifier: BSD-2-Clause
"""client_address = hook: what unmodified servers are told of their clients."""
import os
import shutil
import signal
import subprocess

import pytest

from conftest import STAND_IN
from harness import daemon as d
from harness import headers, inline, leaks, tools
from harness.apps import ask, read_all
from harness.netns import CLIENT4, HOST4, HOST6
from harness.wait import until

pytestmark = pytest.mark.skipif(bool(STAND_IN), reason="SKIP: a stand-in has no address hook")
HERE = os.path.join(tools.ROOT, "tests/e2e")
PYTHON = ["/usr/bin/python3", f"{HERE}/who_asks.py"]
DUAL, IPV4 = 3000, 3001
CLIENT = {4: ("198.51.100.7", 40000), 6: ("2001:db8::7", 40001)}
HTTP = b"GET / HTTP/1.0\r\n\r\n"
UPGRADE = (b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
           b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
NGINX = """
daemon off;
worker_processes 2;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log;
events {{ worker_connections 256; }}
http {{
  log_format who "$remote_addr $remote_port";
  access_log {directory}/access.log who;
  server {{
    listen [::]:3000 ipv6only=off;
    listen 0.0.0.0:3001;
    return 200 "$remote_addr $remote_port\\n";
  }}
}}
"""


class Apps:
    def __init__(self, net, directory):
        self.net, self.directory, self.started = net, directory, []

    def start(self, name, ns=None):
        """Returns what to send to it."""
        ns = ns or self.net.host
        if name == "nginx":
            return self.nginx(ns)
        if name == "python":
            self.run(ns, [*PYTHON, "serve"])
            return b"who\n"
        if not (shutil.which("node") and os.path.isdir(f"{tools.ROOT}/tests/node_modules/ws")):
            pytest.skip("SKIP: no node or no npm package ws")
        self.run(ns, ["node", f"{HERE}/who_asks.js"])
        return UPGRADE if name == "ws" else HTTP

    def run(self, ns, argv):
        process = ns.popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    def nginx(self, ns):
        if not shutil.which("nginx"):
            pytest.skip("SKIP: no nginx on this machine")
        file = self.directory / "nginx.conf"
        file.write_text(NGINX.format(directory=self.directory))
        process = ns.popen(["nginx", "-c", str(file)], stdin=subprocess.DEVNULL)
        self.started.append(process)

        def listening():
            try:
                ns.connect("127.0.0.1", DUAL).close()
                return True
            except OSError:
                return False
        until(listening, "nginx listens")
        return HTTP

    def close(self):
        for process in self.started:
            process.terminate()
            process.wait()


@pytest.fixture
def apps(bench, tmp_path):
    apps = Apps(bench.net, tmp_path)
    yield apps
    apps.close()


def hook(bench, *servers, **keys):
    """A daemon with a listener for each server, at ports 8080 and up."""
    text = "".join(d.listener(f"l{i}", path="copy", bind=f"*:{8080 + i}", backend=f"b{i}", **keys) + d.backend(f"b{i}", server)
                   for i, server in enumerate(servers))
    daemon = bench.daemon(text)
    assert daemon.events("hook.on") and not daemon.events("hook.off"), daemon.log()
    return daemon


def seen(bench, request, family=4, port=8080, header=None, address=HOST4, ns=None):
    """What the app says of a connection for the client of that family."""
    header = header or headers.v2(*CLIENT[family], server="203.0.113.9" if family == 4 else "2001:db8::1")
    return ask(ns or bench.net.client, address, port, header + request, finish=False)[0].decode(errors="replace")


def counter(name):
    """Of the hooks' statistics, over processors and instances."""
    maps = [leaks.bpftool("map", "dump", "pinned", p) for p in leaks.pins() if p.endswith("/hook_stats")]
    return sum(cpu["value"][name] for rows in maps for row in rows for cpu in row["formatted"]["values"])


@pytest.mark.parametrize("app", ["nginx", "python", "node", "ws"])
def test_apps_see_their_clients(bench, apps, tmp_path, app):
    """Both families, dual-stack and IPv4 alone; an IPv6 client cannot be shown on an IPv4 socket."""
    request = apps.start(app)
    hook(bench, "127.0.0.1:3000", "[::1]:3000", "127.0.0.1:3001")
    for port in (8080, 8081):
        assert "::ffff:198.51.100.7 40000" in seen(bench, request, 4, port)
        assert "2001:db8::7 40001" in seen(bench, request, 6, port)
    alone = seen(bench, request, 4, 8082)
    assert "198.51.100.7 40000" in alone and "::ffff:" not in alone
    assert "127.0.0.1 " in seen(bench, request, 6, 8082) and counter("ipv6_on_ipv4") == 1
    assert counter("announced") == 6 and counter("shown") == 5
    if app == "nginx":
        lines = (tmp_path / "access.log").read_text().splitlines()
        assert lines.count("::ffff:198.51.100.7 40000") == 2 and lines.count("2001:db8::7 40001") == 2


def test_no_client_named(bench, apps):
    """LOCAL and UNKNOWN: the app sees the balancer, which is who asks."""
    request = apps.start("python")
    hook(bench, "127.0.0.1:3001")
    for header in (headers.LOCAL, b"PROXY UNKNOWN\r\n"):
        assert seen(bench, request, header=header).startswith(CLIENT4 + " ")


def test_client_address_none(bench, apps):
    request = apps.start("python")
    bench.daemon(d.listener(path="copy") + d.backend(server="127.0.0.1:3001", client_address="none"))
    assert seen(bench, request).startswith("127.0.0.1 ")
    assert not [p for p in leaks.pins() if "/hook" in p], "nobody asked for it"


@pytest.mark.parametrize("path", [*d.PATHS, "epoll"])
def test_twenty_thousand_connections(bench, apps, path):
    """Each names another client; none is seen as another's, none goes without."""
    apps.start("python")
    each = 5000 if path == "copy" else 500
    daemon = bench.path_daemon(path, 4)
    argv = [[*PYTHON, "check", HOST4, 8080, n * each, each] for n in range(4)]
    checkers = [bench.net.client.popen(a, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                for a in argv]
    assert [c.communicate(timeout=120)[0] for c in checkers] == ["ok\n"] * 4, daemon.log()
    until(lambda: leaks.map_entries()["handshakes"] == 0, "no entry left")
    assert counter("announced") == counter("shown") == 4 * each


def test_server_down_then_up(bench, apps):
    """Failed connects leave no entry, and no client for the next connection."""
    hook(bench, "127.0.0.1:3001")
    for n in range(20):
        assert seen(bench, b"who\n", header=headers.v1(port=1000 + n)) == ""
    assert leaks.map_entries()["handshakes"] == 0 and counter("collected") >= 1
    apps.start("python")
    got = until(lambda: seen(bench, b"who\n"), "the server is tried again", 15)
    assert got == "198.51.100.7 40000 198.51.100.7 40000\n"


def test_second_server_after_the_first_refused(bench, apps):
    apps.start("python")
    bench.daemon(d.listener(path="copy") + d.backend(server=["127.0.0.1:3009", "127.0.0.1:3001"]))
    for n in range(4):
        want = f"198.51.100.7 {2000 + n} "
        assert seen(bench, b"who\n", header=headers.v1(port=2000 + n)).startswith(want)


def test_server_in_another_namespace(bench, apps):
    """As in a container: another network namespace of the same host."""
    request = apps.start("python", bench.net.client)
    hook(bench, f"{CLIENT4}:3001", f"{CLIENT4}:3000")
    assert seen(bench, request).startswith("198.51.100.7 40000 ")
    assert seen(bench, request, 6, 8081).startswith("2001:db8::7 40001 ")


def test_server_that_is_never_established(bench):
    """A full accept queue: the entry stays as long as our end does, and no longer."""
    hook(bench, "127.0.0.1:3001")
    listener = bench.net.host.listen("127.0.0.1", 3001, backlog=0)
    ends = []
    for _ in range(6):
        s = bench.net.client.connect(HOST4, 8080)
        s.sendall(headers.v1() + b"hello")
        ends.append(s)
    until(lambda: leaks.map_entries()["handshakes"] > 0, "entries of the waiting")
    listener.close()
    for s in ends:
        s.close()
    until(lambda: leaks.map_entries()["handshakes"] == 0, "entries leave with their connections", 20)


def links():
    """Of each pinned link, name -> id."""
    return {os.path.basename(p): shown["id"] for p in leaks.pins() if "/hook" in p
            for shown in [leaks.bpftool("link", "show", "pinned", p)] if isinstance(shown, dict) and "prog_id" in shown}


def test_two_daemons(bench, apps):
    request = apps.start("python")
    hook(bench, "127.0.0.1:3001")
    other = bench.daemon(d.listener(path="copy", bind="*:8090") + d.backend(server="127.0.0.1:3000"))
    for n in range(50):
        assert seen(bench, request, header=headers.v1(port=3000 + n)).startswith(f"198.51.100.7 {3000 + n} ")
        assert seen(bench, request, port=8090, header=headers.v1(port=4000 + n)).startswith(f"::ffff:198.51.100.7 {4000 + n} ")
    other.process.send_signal(signal.SIGTERM)
    assert other.exit_code() == 0
    assert seen(bench, request).startswith("198.51.100.7 40000 ")
    bench.daemons.remove(other)


def test_killed_and_restarted(bench, apps):
    """What a killed daemon left attached takes the new programs: the same links, none besides."""
    request = apps.start("python")
    hook(bench, "127.0.0.1:3001")
    assert seen(bench, request).startswith("198.51.100.7 40000 ")
    before = links()
    assert sorted(before) == ["getpeername4", "getpeername6", "sockops"]
    bench.daemons[0].kill()
    assert links() == before
    hook(bench, "127.0.0.1:3001")
    assert links() == before
    assert seen(bench, request).startswith("198.51.100.7 40000 ")


def test_refused(bench, apps, tmp_path):
    """Without the privilege: one line, and the rest works."""
    request = apps.start("python")
    wrap = ("setpriv", "--bounding-set=-bpf,-sys_admin,-net_admin,-perfmon", "--inh-caps=-all")
    daemon = bench.daemon(d.listener(path="copy") + d.backend(server="127.0.0.1:3001"), wrap=wrap)
    off = daemon.events("hook.off")
    assert len(off) == 1 and off[0]["client_address"] == "none" and off[0]["reason"], daemon.log()
    assert seen(bench, request).startswith("127.0.0.1 ")


IN_CONTAINER = """
mkdir {cgroup} && echo $$ > {cgroup}/cgroup.procs || exit 9
exec unshare --cgroup --mount sh -c 'umount --lazy --recursive /sys/fs/cgroup; exec "$@"' sh "$@"
"""


@pytest.fixture
def cgroup(name):
    with open("/proc/self/mountinfo") as f:
        mounts = [line.split()[4] for line in f if " - cgroup2 " in line]
    if not mounts:
        pytest.skip("SKIP: no cgroup2 file system is mounted")
    yield f"{mounts[0]}/{name}"
    until(lambda: not os.path.isdir(f"{mounts[0]}/{name}") or rmdir(f"{mounts[0]}/{name}"), "the cgroup is empty")


def rmdir(path):
    try:
        os.rmdir(path)
        return True
    except OSError:
        return False


def test_in_a_container(cgroup, bench, apps):
    """A cgroup namespace: the daemon says how far it reaches; an app outside is not told, and nothing breaks."""
    request = apps.start("python")
    wrap = ("sh", "-c", IN_CONTAINER.format(cgroup=cgroup), "sh")
    daemon = bench.daemon(d.listener(path="copy") + d.backend(server="127.0.0.1:3001"), wrap=wrap)
    assert daemon.wait_for("hook.on")["reach"] == "container"
    assert seen(bench, request).startswith("127.0.0.1 ")
    assert counter("announced") == counter("collected") == 1


# ---- engine = inline ----

def inline_daemon(bench):
    """Listeners on the apps' own two ports, and one on another that is translated."""
    text = inline.listener("dual", DUAL) + inline.listener("ipv4", IPV4) + inline.listener("moved", "80 -> 3000")
    daemon = bench.daemon(text, cls=inline.InlineDaemon)
    assert daemon.events("hook.on") and not daemon.events("hook.off"), daemon.log()
    return daemon


@pytest.mark.parametrize("wire", ["veth", "lo"])
@pytest.mark.parametrize("app", ["nginx", "python", "node", "ws"])
def test_inline_apps_see_their_clients(bench, apps, app, wire):
    request = apps.start(app)
    inline_daemon(bench)
    ns = bench.net.host if wire == "lo" else bench.net.client
    for port in (DUAL, 80):
        for address in (HOST4, HOST6):
            assert "::ffff:198.51.100.7 40000" in seen(bench, request, 4, port, address=address, ns=ns)
            assert "2001:db8::7 40001" in seen(bench, request, 6, port, address=address, ns=ns)
    alone = seen(bench, request, 4, IPV4, ns=ns)
    assert "198.51.100.7 40000" in alone and "::ffff:" not in alone
    balancer = HOST4 if wire == "lo" else CLIENT4
    assert f"{balancer} " in seen(bench, request, 6, IPV4, ns=ns) and counter("ipv6_on_ipv4") == 1
    assert counter("shown") == 9


def test_inline_no_client_named(bench, apps):
    request = apps.start("python")
    inline_daemon(bench)
    for header in (headers.LOCAL, b"PROXY UNKNOWN\r\n"):
        assert seen(bench, request, port=IPV4, header=header).startswith(CLIENT4 + " ")


@pytest.mark.parametrize("port", [IPV4, 80], ids=["own-port", "moved"])
def test_inline_twenty_thousand_connections(bench, apps, port):
    apps.start("python")
    inline_daemon(bench)
    each = 5000 if port == IPV4 else 1000
    argv = [[*PYTHON, "check", HOST4, port, n * each, each] for n in range(4)]
    checkers = [bench.net.client.popen(a, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                for a in argv]
    assert [c.communicate(timeout=120)[0] for c in checkers] == ["ok\n"] * 4, bench.daemons[0].log()
    assert counter("shown") == 4 * each


def test_inline_outlives_the_daemon(bench, apps):
    """Killed: old and new connections are told; the next daemon takes the hook over; detached: nothing is left."""
    request = apps.start("python")
    daemon = inline_daemon(bench)
    before = links()
    assert sorted(before) == ["getpeername4", "getpeername6", "sockops"]
    half = bench.net.client.connect(HOST4, IPV4)
    half.sendall(headers.v1() + b"wh")
    daemon.kill()
    assert links() == before
    half.sendall(b"o\n")
    assert read_all(half)[0] == b"198.51.100.7 40000 198.51.100.7 40000\n"
    assert seen(bench, request, port=IPV4).startswith("198.51.100.7 40000 ")
    again = inline_daemon(bench)
    assert links() == before
    assert seen(bench, request, port=IPV4).startswith("198.51.100.7 40000 ")
    again.end()
    assert links() == before
    assert again.detach().returncode == 0
    assert not links() and seen(bench, request, port=IPV4, header=b" ").startswith(CLIENT4 + " ")


def test_both_engines_in_one_daemon(bench, apps):
    """The relay's hook goes with the daemon, the inline engine's stays."""
    request = apps.start("python")
    text = inline.listener("inline", IPV4) + d.listener("relay", path="copy") + d.backend(server="127.0.0.1:3000")
    daemon = bench.daemon(text, cls=inline.InlineDaemon)
    assert [said["engine"] for said in daemon.events("hook.on")] == ["relay,inline"], daemon.log()
    assert seen(bench, request, port=IPV4).startswith("198.51.100.7 40000 ")
    assert seen(bench, request).startswith("::ffff:198.51.100.7 40000 ")
    daemon.end()
    assert not os.path.exists(f"{leaks.PINS}/hook") and len(links()) == 3
    assert seen(bench, request, port=IPV4).startswith("198.51.100.7 40000 ")
