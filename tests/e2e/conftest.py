# SPDX-License-Identifier: BSD-2-Clause
"""End-to-end tests: root, each test in network namespaces of its own, nothing of the host's."""
import functools
import os
import re
import shutil
import signal
import subprocess
import zlib

import pytest

from harness import apps
from harness import daemon as d
from harness import inline as i
from harness import leaks, netns, peer, tools
from harness.root import Root
from harness.wait import until

STAND_IN = os.environ.get("E2E_STAND_IN")
BARE = STAND_IN == "bare"  # no unproxy at all: the servers of the inline tests take the header off themselves
WIRES = [(wire, family) for wire in ("veth", "lo") for family in (4, 6)]
MATRIX = [(path, family) for path in ([STAND_IN] if STAND_IN else [*d.PATHS, "epoll"]) for family in (4, 6)]
if STAND_IN:
    d.PATHS[STAND_IN] = {}


def pytest_configure(config):
    config.addinivalue_line("markers", "lossy(loss, duplicate, reorder): the namespaces are joined by a line that loses packets (per mille)")
    if os.geteuid() == 0:
        netns.private_mounts()


def pytest_collection_modifyitems(items):
    reason = None
    if os.geteuid() != 0:
        reason = "end-to-end tests need root (network namespaces)"
    elif not STAND_IN and not os.path.exists(tools.UNPROXY):
        reason = f"{tools.UNPROXY} is not built"
    for item in items:
        if reason and "harness" not in item.nodeid.split("::")[0].rsplit("/", 1)[-1]:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session", autouse=True)
def kernel_memory():
    """Namespaces that never go away are held by a leaked socket."""
    yield
    leftover = os.listdir(netns.NETNS_DIR) if os.path.isdir(netns.NETNS_DIR) else []
    assert not leftover, f"namespaces left: {leftover}"


@pytest.fixture
def name(request):
    """Short, of the test's own: for namespaces."""
    text = re.sub(r"\W+", "-", request.node.name).strip("-")[:40]
    return f"e2e-{text}-{zlib.crc32(request.node.nodeid.encode()) & 0xffff:04x}"


@pytest.fixture
def kernel_log():
    log = leaks.KernelLog()
    yield log
    found = log.complaints()
    assert not found, "the kernel complains:\n" + "\n".join(found)


@pytest.fixture
def net(request, name, kernel_log):
    marker = request.node.get_closest_marker("lossy")
    if marker and not os.path.exists("/dev/net/tun"):
        pytest.skip("SKIP: no /dev/net/tun: no lossy line on this kernel")
    net = netns.Net(name, functools.partial(tools.LossyLink, **marker.kwargs) if marker else None)
    yield net
    net.close()


@pytest.fixture(params=MATRIX, ids=lambda p: f"{p[0]}-ipv{p[1]}")
def matrix(request):
    return request.param


class Bench:
    """One test's namespaces, daemon and peers."""

    def __init__(self, net, tmp_path):
        self.net, self.tmp_path = net, tmp_path
        self.daemons, self.peers, self.snapshot = [], [], None

    def daemon(self, text=None, start=True, cls=None, **options):
        cls = cls or (d.HaproxyStandIn if STAND_IN else d.Daemon)
        daemon = cls(self.net.host, self.tmp_path / f"daemon{len(self.daemons)}", text, **options)
        self.daemons.append(daemon)
        if start:
            daemon.start()
            self.snapshot = leaks.Snapshot(daemon)
        return daemon

    def path_daemon(self, path, family, **keys):
        """A daemon with one listener of that path and one server of that family."""
        return self.daemon(d.one_path(path, f"{d.LOCAL[family]}:{d.BACKEND_PORT}", **keys))

    def server(self, family=4, port=d.BACKEND_PORT, ns=None, address=None, **options):
        address = address or d.LOCAL[family].strip("[]")
        return self._peer(ns or self.net.host, "listen", address, port, **options)

    def client(self, family=4, port=d.PORT, **options):
        return self._peer(self.net.client, "connect", d.LISTEN[family], port, **options)

    def _peer(self, *args, **options):
        options.setdefault("timeout", 60)
        new = peer.Peer(*args, seed=len(self.peers) + 1, **options)
        self.peers.append(new)
        return new

    def exchange(self, family, client, server, count=1, parallel=None, client_options=None, server_options=None):
        """client and server are (tx, rx). Returns both sides' results, in any order."""
        parallel = parallel or min(count, 64)
        s = self.server(family, tx=server[0], rx=server[1], count=count, parallel=max(parallel, 64), **(server_options or {}))
        c = self.client(family, tx=client[0], rx=client[1], count=count, parallel=parallel, **(client_options or {}))
        clients = c.finish(90)
        if len(clients) < count or any("why" in r for r in clients):
            s.quit()
        return clients, s.finish(15)

    def exact(self, family, client, server, count=1, **options):
        clients, servers = self.exchange(family, client, server, count, **options)
        peer.assert_exact(clients, servers, count)
        return clients, servers

    @staticmethod
    def stalled(sender, least=1):
        """Wait until the peer's sending stands still; returns what it has sent."""
        last = {"tx": -1, "same": 0}

        def still():
            now = sender.stat()["tx"]
            last["same"] = last["same"] + 1 if now == last["tx"] else 0
            last["tx"] = now
            return last["same"] >= 5 and now >= least
        until(still, lambda: f"the sender does not stand still at {last['tx']}", 20, pause=0.03)
        return last["tx"]

    def close(self):
        apps.Recorder.close_all()
        for p in self.peers:
            if p.process.poll() is None:
                p.kill()
        for daemon in self.daemons:
            daemon.kill()
        shutil.rmtree(leaks.PINS, ignore_errors=True)  # a killed daemon's

    def say_farewell(self):
        """After a failure: the daemon's counters, if it can still tell them."""
        for daemon in self.daemons:
            if daemon.process and daemon.alive():
                print(f"maps: {leaks.map_entries()}\nclient log: {daemon.tail()}")
                daemon.process.send_signal(signal.SIGTERM)
                daemon.process.send_signal(signal.SIGTERM)
                try:
                    daemon.exit_code(5)
                except AssertionError:
                    print("it does not stop")

    def finish(self):
        """Traffic is over: nothing may be left of it."""
        apps.Recorder.close_all()
        for p in self.peers:
            if p.process.poll() is None:
                p.quit()
        for daemon in self.daemons:
            if not daemon.alive():
                continue
            if self.snapshot and daemon is self.snapshot.daemon:
                self.snapshot.assert_same()
            daemon.stop()
            print("\n".join(daemon.lines[-1:]))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.failed = outcome.get_result().failed


class InlineBench(Bench):
    """The app in the daemon's namespace, on the listener's own port; the client over the veth pair or over lo."""
    wire = "veth"

    def start(self, text=None, **keys):
        """A daemon with one inline listener, or with these sections."""
        if not BARE:
            return self.daemon(text or i.listener(**keys), cls=i.InlineDaemon)

    def server(self, family=4, port=d.PORT, **options):
        if BARE:
            options.setdefault("strip", 1)
        options.setdefault("address", "0.0.0.0" if family == 4 else "::")
        return super().server(family, port, **options)

    def client(self, family=4, port=d.PORT, **options):
        ns = self.net.host if self.wire == "lo" else self.net.client
        return self._peer(ns, "connect", d.LISTEN[family], port, **options)

    def records(self, count, **want):
        return [] if BARE else self.daemons[0].records(count, **want)

    def finish(self):
        for p in self.peers:
            if p.process.poll() is None:
                p.quit()
        for daemon in self.daemons:
            if daemon.alive():
                daemon.all_flows_ended()
        super().finish()


def serve(request, bench):
    try:
        yield bench
        if not getattr(request.node, "failed", True):
            bench.finish()
        else:
            bench.say_farewell()
            for daemon in bench.daemons:
                print(f"--- log of the daemon ({daemon.file}):\n{daemon.log()}")
    finally:
        bench.close()


@pytest.fixture
def bench(request, net, tmp_path):
    yield from serve(request, Bench(net, tmp_path))


@pytest.fixture
def host(bench):
    return bench.net.host


@pytest.fixture
def start_inline(bench):
    """A daemon of inline listeners: the given sections, or one listener."""
    def run(*sections, general="", **options):
        text = d.section("unproxy") + general + "".join(sections or [i.listener()])
        return bench.daemon(text, cls=i.InlineDaemon, **options)
    return run


@pytest.fixture
def root(tmp_path):
    """A root file system to install into."""
    try:
        over = Root(tmp_path / "over")
    except subprocess.CalledProcessError as e:
        pytest.skip(f"SKIP: no overlayfs here: {e}")
    yield over
    over.close()


@pytest.fixture
def inline(request, net, tmp_path):
    yield from serve(request, InlineBench(net, tmp_path))


@pytest.fixture(params=WIRES, ids=lambda p: f"{p[0]}-ipv{p[1]}")
def wire(request, inline):
    """(bench, family) with an inline daemon running, over the veth pair and over lo."""
    inline.wire, family = request.param
    inline.start()
    return inline, family


@pytest.fixture
def path_bench(bench, matrix):
    """(bench, family) with the daemon of one path and one family running."""
    path, family = matrix
    bench.path_daemon(path, family)
    bench.path = "copy" if path == "epoll" else path
    return bench, family
