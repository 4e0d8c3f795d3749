# SPDX-License-Identifier: BSD-2-Clause
"""What the daemon keeps once it serves: capabilities of each thread, its user, its system calls."""
import os
import signal

import pytest

from harness import daemon as d
from harness import inline, leaks, peer
from harness.wait import until

CAPS = {"net_bind_service": 10, "net_admin": 12, "perfmon": 38, "bpf": 39}
NOBODY = 65534


def bits(*names):
    return sum(1 << CAPS[name] for name in names)


def threads(daemon):
    """{name: {field: value}} of /proc/PID/task/*/status."""
    found = {}
    for tid in os.listdir(f"/proc/{daemon.pid}/task"):
        with open(f"/proc/{daemon.pid}/task/{tid}/status") as f:
            fields = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        found[fields["Name"]] = fields
    return found


def effective(daemon):
    """Each thread's capabilities; permitted and bounding hold no more, inheritable nothing."""
    found = {}
    for name, fields in threads(daemon).items():
        caps = {kind: int(fields[f"Cap{kind}"], 16) for kind in ("Eff", "Prm", "Inh", "Bnd", "Amb")}
        assert caps["Eff"] == caps["Prm"] and not caps["Inh"] and not caps["Amb"] and not caps["Bnd"], (name, caps)
        assert fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2", (name, fields)
        found[name] = caps["Eff"]
    return found


STREAM = ("v1,data:3000000,fin", "data:3000000,eof"), ("data:3000000,fin", "data:3000000,eof")


def comes_to(daemon, wanted):
    """A thread gives up by itself what it does not need, a moment after it began."""
    until(lambda: effective(daemon) == wanted, lambda: f"{effective(daemon)} is not {wanted}")


def redirected(bench):
    """Answers to a reader that keeps up: the kernel moves them."""
    client, server = peer.turns(8, 400000, 20)
    bench.exact(4, (f"v1,{client},fin", "data:8000000,eof"), (f"{server},fin", "data:160,eof"))
    assert leaks.counter("redirected_bytes") > 1000000


@pytest.mark.parametrize("path, main, worker", [
    ("copy", ("net_bind_service",), ()),
    ("always", ("net_bind_service", "net_admin"), ("net_admin",)),
])
def test_of_the_relay(bench, path, main, worker):
    """The kernel path sets buffers beyond the host's limit; nothing else does, and only it keeps what that takes."""
    daemon = bench.daemon(d.section("unproxy", workers=2) + d.listener(path=path) + d.backend())
    comes_to(daemon, {"unproxy": bits(*main), "relay-0": bits(*worker), "relay-1": bits(*worker), "client-log": 0})
    said = daemon.events("ready")[0]
    assert said["capabilities"] == ",".join(main) and said["sandbox"] == "on" and said["uid"] == "0"
    redirected(bench) if path == "always" else bench.exact(4, *STREAM, count=4)


def test_of_inline(bench):
    daemon = bench.daemon(inline.listener(), cls=inline.InlineDaemon)
    comes_to(daemon, {"unproxy": bits("net_admin", "perfmon", "bpf"), "client-log": 0})


def test_sandbox_off(bench):
    """For diagnosis: as it was started."""
    daemon = bench.daemon(d.section("unproxy", sandbox="no") + d.listener(path="copy") + d.backend())
    with open("/proc/self/status") as f:
        own = next(line.split()[1] for line in f if line.startswith("CapEff"))
    for name, fields in threads(daemon).items():
        assert (fields["CapEff"], fields["NoNewPrivs"], fields["Seccomp"]) == (own, "0", "0"), name
    assert daemon.events("ready")[0]["sandbox"] == "off"


@pytest.fixture
def open_directory(tmp_path):
    """A directory of nobody's, which nobody can reach."""
    os.chmod(tmp_path, 0o755)
    for parent in tmp_path.parents:
        if str(parent) != "/tmp" and str(parent).startswith("/tmp"):
            os.chmod(parent, 0o755)
    directory = tmp_path / "log"
    directory.mkdir()
    os.chown(directory, NOBODY, NOBODY)
    return directory


def test_another_user(bench, open_directory):
    """The kernel path and the address hook go on, the log rotates, the pins' contents go."""
    log = open_directory / "clients.log"
    text = d.section("unproxy", user="nobody") + d.listener(path="always", bind=f"*:{d.PORT}") + d.backend()
    daemon = bench.daemon(text, start=False)
    daemon.client_log = str(log)
    daemon.write(text)
    daemon.start()
    for fields in threads(daemon).values():
        assert fields["Uid"].split() == [str(NOBODY)] * 4 and fields["Gid"].split() == [str(NOBODY)] * 4
        assert not fields["Groups"].split()
    worker = bits("net_admin")
    until(lambda: set(effective(daemon).values()) == {bits("net_bind_service", "net_admin"), worker, 0}, "each thread has its own")
    redirected(bench)
    log.rename(open_directory / "clients.log.1")
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for("client_log.reopened")
    assert log.stat().st_uid == NOBODY
    daemon.stop()
    assert inline.detach(bench.net.host).returncode == 0 and not os.path.exists(leaks.PINS), "not even an empty directory"


def test_a_log_that_cannot_be_reopened_is_said(bench, open_directory):
    """At the start, not at the first rotation."""
    text = d.section("unproxy", user=str(NOBODY), group="nogroup") + d.listener(path="copy") + d.backend()
    daemon = bench.daemon(text)
    said, = daemon.events("privileges.client_log")
    assert said["path"] == daemon.client_log and f"uid {NOBODY} may not write" in said["reason"]


@pytest.mark.parametrize("keys, text, says", [
    ({"user": "no-such-user"}, d.listener(path="copy") + d.backend(), 'user="no-such-user" error="there is no such user"'),
    ({"user": "nobody", "group": "no-such"}, d.listener(path="copy") + d.backend(), 'group="no-such" error="there is no such group"'),
    ({"group": "nogroup"}, d.listener(path="copy") + d.backend(), "group: goes with user, which is missing"),
    ({"user": "nobody"}, inline.listener(), "user: is not for engine = inline"),
])
def test_refused(bench, keys, text, says):
    daemon = bench.daemon(d.section("unproxy", **keys) + text, start=False, cls=inline.InlineDaemon)
    daemon.spawn()
    assert daemon.exit_code() == 1 and says in daemon.log(), daemon.log()
    bench.daemons.remove(daemon)


def test_without_any_privilege(bench, open_directory):
    """An unprivileged user, ports from 1024 on: a plain relay that splices, in five lines and no more."""
    wrap = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all")
    text = d.section("unproxy", workers=2) + d.listener(path="splice") + d.backend(client_address="none")
    daemon = bench.daemon(text, start=False, wrap=wrap)
    daemon.client_log = str(open_directory / "clients.log")
    daemon.write(text)
    os.chown(daemon.directory, NOBODY, NOBODY)  # the control socket's
    daemon.start()
    assert [d.words(line)[0] for line in daemon.lines] == ["start", "kernel_path.off", "hook.off", "listeners.open", "ready"]
    said = daemon.events("ready")[0]
    assert (said["uid"], said["capabilities"], said["sandbox"]) == (str(NOBODY), "none", "on")
    assert set(effective(daemon).values()) == {0}
    bench.exact(4, ("v1,data:20000000,fin", "data:20000000,eof"), ("data:20000000,fin", "data:20000000,eof"))
    bench.exact(4, ("v2,data:100,fin", "data:100000,eof"), ("data:100000,fin", "data:100,eof"), count=50)
    assert {r["path_down"] for r in daemon.records(51, event="end")} <= {"splice", "copy"}
    assert daemon.records(1, path_down="splice")
