# SPDX-License-Identifier: BSD-2-Clause
"""Installed, run with both engines, taken away: what is left is what was there, and the configuration and the logs."""
import gzip
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import STAND_IN
from harness import daemon as d
from harness import headers, inline, leaks, tools
from harness.apps import Recorder, echo
from harness.netns import HOST4
from harness.wait import until

pytestmark = pytest.mark.skipif(bool(STAND_IN), reason="SKIP: a stand-in is not installed")


def bpf_objects():
    """{kind: ids} of all programs, maps and links that the kernel has."""
    return {kind: {row["id"] for row in leaks.bpftool(kind, "show") or []} for kind in ("prog", "map", "link")}


def tc(ns):
    return {device: (inline.filters(ns, device), inline.has_clsact(ns, device)) for device in inline.devices(ns)}


class Kernel:
    """What the kernel holds of ours. Others may work on this host: what they load is not looked at."""

    def __init__(self, ns):
        self.ns, self.tc, self.ours = ns, tc(ns), {"prog": set(), "map": set(), "link": set()}

    def note(self, daemon):
        """All that the daemon has open or pinned: nothing else holds a program, or a map, but what it is attached to."""
        for fd in os.listdir(f"/proc/{daemon.pid}/fdinfo"):
            with open(f"/proc/{daemon.pid}/fdinfo/{fd}") as f:
                for kind, number in re.findall(r"^(prog|map|link)_id:\t(\d+)$", f.read(), re.M):
                    self.ours[kind].add(int(number))
        for path in leaks.pins():
            for kind, ids in self.ours.items():
                shown = leaks.bpftool(kind, "show", "pinned", path)
                ids |= {shown["id"]} if isinstance(shown, dict) and "id" in shown else set()
        assert self.ours["prog"] and self.ours["map"]

    def assert_as_before(self):
        assert tc(self.ns) == self.tc and not leaks.pins()
        left = {}

        def gone():
            # Programs go a moment behind what held them.
            left.update({kind: ids & self.ours[kind] for kind, ids in bpf_objects().items()})
            return not any(left.values())
        until(gone, lambda: f"left in the kernel: {left}", 20)


CONF = d.section("unproxy", client_log="/var/log/unproxy/clients.log") + \
    inline.listener("web") + d.section("listener cable", bind="*:8081", trust=d.TRUST, backend="127.0.0.1:3000")


class Installed(d.Daemon):
    """The installed program, in its root, with both engines."""

    def __init__(self, ns, directory, root, program):
        super().__init__(ns, directory, flags=[])
        self.argv = root.argv(program, "run", "-c", "/etc/unproxy/unproxy.conf")

    def end(self):
        self.process.terminate()
        assert self.exit_code() == 0, self.log()


def run_both_engines(bench, root, program, kernel):
    """Both engines serve; the daemon ends; inline goes on without."""
    for folder in ("etc/unproxy", "var/log/unproxy", "run/unproxy"):
        (root.path / folder).mkdir(parents=True, exist_ok=True)
    (root.path / "etc/unproxy/unproxy.conf").write_text(CONF)
    host, client = bench.net.host, bench.net.client
    Recorder(host, inline.PORT, HOST4)
    Recorder(host, 3000, "127.0.0.1")
    daemon = Installed(host, root.folder / "daemon", root, program)
    bench.daemons.append(daemon)
    daemon.start()
    kernel.note(daemon)
    assert echo(client, HOST4, inline.PORT) and echo(client, HOST4, 8081)
    assert inline.ours(host, "wire") and leaks.pins()
    daemon.end()
    assert echo(client, HOST4, inline.PORT), "inline goes on without its daemon"
    return daemon


def test_make_install_and_uninstall_leave_nothing(bench, root):
    kernel, before = Kernel(bench.net.host), root.written()
    make = ["make", "-s", "-C", tools.ROOT, f"DESTDIR={root.path}", "PREFIX=/opt/unproxy", f"WERROR={os.environ.get('WERROR', '0')}"]
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL")}
    subprocess.run([*make, "install"], check=True, capture_output=True, env=env)
    run_both_engines(bench, root, "/opt/unproxy/sbin/unproxy", kernel)
    done = subprocess.run(bench.net.host.argv(root.argv("/opt/unproxy/sbin/unproxy", "detach")), capture_output=True, text=True, timeout=20)
    assert done.returncode == 0 and "all pins" in done.stdout, done
    kernel.assert_as_before()
    subprocess.run([*make, "uninstall"], check=True, capture_output=True, env=env)
    left = {path for path in root.written() if not os.path.isdir(f"{root.upper}{path}")} - set(before)
    assert left == {"/etc/unproxy/unproxy.conf", "/var/log/unproxy/clients.log"}


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """make deb, with lintian, once."""
    for tool in ("dpkg-buildpackage", "dh", "lintian"):
        if not shutil.which(tool):
            pytest.skip(f"SKIP: no {tool}")
    build = tmp_path_factory.mktemp("deb")
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL")} | {"BUILD": str(build)}
    done = subprocess.run([f"{tools.ROOT}/scripts/deb.sh", version()], capture_output=True, text=True, timeout=200, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    tags = [line for line in (build / "deb/lintian.txt").read_text().splitlines() if line[:2] in ("E:", "W:")]
    assert not tags, tags
    return next(p for p in (build / "deb").glob("unproxy_*.deb"))


def version():
    return Path(tools.ROOT, "user/base/version.h").read_text().split('"')[1]


def test_package_leaves_nothing(bench, root, package):
    host, kernel = bench.net.host, Kernel(bench.net.host)
    shutil.copy(package, root.path / "run")

    def dpkg(*words):
        done = subprocess.run(host.argv(root.argv("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", *words)), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
    before = root.written()
    dpkg("-i", f"/run/{package.name}")
    listed = dpkg("-L", "unproxy").split()
    for path in ("/usr/sbin/unproxy", "/usr/share/man/man8/unproxy.8.gz", "/etc/logrotate.d/unproxy"):
        assert path in listed
    assert os.listdir(root.path / "etc/unproxy") == [], "a configuration is the administrator's to write"

    daemon = run_both_engines(bench, root, "/usr/sbin/unproxy", kernel)
    # An upgrade disturbs nobody: what is on the interfaces stays.
    dpkg("-i", f"/run/{package.name}")
    assert echo(bench.net.client, HOST4, inline.PORT)
    assert daemon.exit_code() == 0
    dpkg("-r", "unproxy")
    kernel.assert_as_before()
    files = {path for path, gone in root.written().items() if not os.path.isdir(f"{root.upper}{path}")} - set(before)
    # That the service is enabled is remembered until the purge.
    files -= {"/etc/systemd/system/multi-user.target.wants/unproxy.service"}
    assert files == {"/etc/unproxy/unproxy.conf", "/etc/logrotate.d/unproxy", "/var/log/unproxy/clients.log"}
    dpkg("-P", "unproxy")
    left = {path: gone for path, gone in root.written().items() if path not in before}
    assert not {path for path, gone in left.items() if gone}, "files of others are gone"
    assert not [path for path in left if "unproxy" in path], left

# What the rotation's file calls where systemd runs: it reaches the daemon here, too.
SYSTEMCTL = """#!/bin/sh
[ "$*" = "kill --kill-who=main --signal=HUP unproxy.service" ] && kill -HUP "$(cat /run/daemon.pid)"
"""


def test_rotation_loses_no_line(bench, root, tmp_path):
    """The real logrotate and our file, under traffic: every line once, in order, and the newest file is being written to."""
    if not shutil.which("logrotate"):
        pytest.skip("SKIP: no logrotate")
    logs, host, client = root.path / "var/log/unproxy", bench.net.host, bench.net.client
    for folder in (logs, root.path / "etc/unproxy", root.path / "run/systemd/system", root.path / "run/unproxy"):
        folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(f"{tools.ROOT}/dist/unproxy.logrotate", root.path / "etc/logrotate.d/unproxy")
    shutil.copy(tools.UNPROXY, root.path / "run/unproxy/program")
    systemctl = root.path / "usr/local/sbin/systemctl"
    systemctl.write_text(SYSTEMCTL)
    systemctl.chmod(0o755)
    # One worker: its lines are in the order of the connections.
    (root.path / "etc/unproxy/unproxy.conf").write_text(
        d.section("unproxy", client_log="/var/log/unproxy/clients.log", workers=1) + d.listener() + d.backend())
    Recorder(host, d.BACKEND_PORT, "127.0.0.1")
    daemon = Installed(host, tmp_path / "daemon", root, "/run/unproxy/program")
    bench.daemons.append(daemon)
    daemon.start()
    (root.path / "run/daemon.pid").write_text(str(daemon.pid))

    sent = 0

    def connections(count):
        nonlocal sent
        for _ in range(count):
            sent += 1
            assert echo(client, HOST4, d.PORT, header=headers.v1(port=sent))
    for _ in range(3):
        connections(20)
        # An empty file would not be rotated.
        until(lambda: (logs / "clients.log").exists() and (logs / "clients.log").stat().st_size, "the daemon writes to the new file")
        rotation = subprocess.Popen(root.argv("/usr/sbin/logrotate", "-f", "-s", "/run/rotated", "/etc/logrotate.d/unproxy"))
        connections(20)
        assert rotation.wait(20) == 0
    connections(20)
    daemon.end()
    names = sorted(path.name for path in logs.iterdir())
    assert names == ["clients.log", "clients.log.1", "clients.log.2.gz", "clients.log.3.gz"]
    texts = [gzip.open(logs / name, "rt").read() if name.endswith(".gz") else (logs / name).read_text() for name in names]
    assert all(texts), "no file is empty"
    ports = [json.loads(line)["client_port"] for text in reversed(texts) for line in text.splitlines()]
    assert ports == list(range(1, sent + 1))
