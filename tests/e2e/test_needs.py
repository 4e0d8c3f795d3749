# SPDX-License-Identifier: BSD-2-Clause
"""docs/privileges.md, "What each feature needs": each thing taken away, and the message that the table names."""
import os

import pytest

from harness import daemon as d
from harness import inline
from harness.apps import Recorder, echo
from harness.netns import HOST4

RELAY = d.listener(path="always") + d.backend()
THREE = ["bpf", "perfmon", "net_admin"]


def without(*caps):
    """Root without these, and without the one that stands for all."""
    return ("setpriv", "--bounding-set=" + ",".join(f"-{cap}" for cap in ("sys_admin", *caps)), "--inh-caps=-all")


def mounted(script):
    """In a mount namespace of its own, changed by a line of shell."""
    return ("unshare", "--mount", "sh", "-c", f'{script} || exit 9; exec "$@"', "sh")


def refused(bench, text, says, cls=d.Daemon, **options):
    daemon = bench.daemon(text, start=False, cls=cls, **options).spawn()
    assert daemon.exit_code() == 1 and says in daemon.log(), daemon.log()
    bench.daemons.remove(daemon)


def test_nothing_taken_away(bench):
    """The three are enough: CAP_SYS_ADMIN is for nothing but a missing bpffs."""
    daemon = bench.daemon(RELAY + inline.listener("app", 80), wrap=without(), cls=inline.InlineDaemon)
    assert daemon.events("kernel_path.on") and daemon.events("inline.on") and daemon.events("hook.on"), daemon.log()


def test_a_low_port(bench):
    text = d.listener(path="copy", bind=f"{HOST4}:80") + d.backend()
    refused(bench, text, f'bind: {HOST4}:80: Permission denied"', wrap=without("net_bind_service"))
    with bench.net.host, open("/proc/sys/net/ipv4/ip_unprivileged_port_start", "w") as f:
        f.write("80")
    bench.daemon(text, wrap=without("net_bind_service"))
    Recorder(bench.net.host, d.BACKEND_PORT)
    assert echo(bench.net.client, HOST4, 80)


@pytest.mark.parametrize("cap", THREE)
def test_kernel_path_and_hook(bench, cap):
    daemon = bench.daemon(RELAY, wrap=without(cap))
    off = daemon.events("kernel_path.off")
    assert len(off) == 1 and off[0]["reason"].startswith("load: "), daemon.log()
    off = daemon.events("hook.off")
    assert len(off) == 1 and off[0]["reason"].startswith("load: ") and off[0]["client_address"] == "none", daemon.log()
    assert daemon.events("ready")[0]["capabilities"] == "net_bind_service"
    Recorder(bench.net.host, d.BACKEND_PORT)
    assert echo(bench.net.client, HOST4, d.PORT)


def test_a_bpffs_that_cannot_be_written_to(bench):
    daemon = bench.daemon(RELAY, wrap=mounted("mount -o remount,bind,ro /sys/fs/bpf"))
    assert daemon.events("kernel_path.off")[0]["reason"] == "pin: Read-only file system", daemon.log()
    assert daemon.events("hook.off")[0]["reason"] == "pins: Read-only file system"


def test_no_bpffs_and_no_right_to_mount_one(bench):
    daemon = bench.daemon(RELAY, wrap=(*mounted("while umount -l /sys/fs/bpf 2>/dev/null; do :; done"), *without()))
    assert daemon.events("kernel_path.off")[0]["reason"].startswith("pin: "), daemon.log()
    assert daemon.events("hook.off")


def test_no_cgroup2_and_no_right_to_mount_it(bench):
    with open("/proc/self/mountinfo") as f:
        points = [line.split()[4] for line in f if " - cgroup2 " in line]
    daemon = bench.daemon(RELAY, wrap=(*mounted(" && ".join(f"umount -l {point}" for point in points)), *without()))
    assert daemon.events("kernel_path.on") and "cgroup" in daemon.events("hook.off")[0]["reason"], daemon.log()


@pytest.mark.parametrize("cap", THREE)
def test_inline(bench, cap):
    refused(bench, inline.listener(), '.failed error="', cls=inline.InlineDaemon, wrap=without(cap))
    inline.assert_nothing_left(bench.net.host)


def test_another_user(bench):
    text = d.section("unproxy", user="nobody") + d.listener(path="copy") + d.backend()
    refused(bench, text, 'privileges.failed uid=65534 error="Operation not permitted"', wrap=without("setuid"))


def test_descriptors(bench):
    daemon = bench.daemon(d.section("unproxy", max_connections=5000) + d.listener(path="copy") + d.backend(), nofile=1024)
    said, = daemon.events("limit.lowered")
    assert said["max_connections"] == "5000" and int(said["to"]) < 1024


def test_io_uring(bench):
    """Without it the last line says so, and epoll does the work."""
    path = "/proc/sys/kernel/io_uring_disabled"
    if not os.path.exists(path):
        pytest.skip("SKIP: this kernel has no kernel.io_uring_disabled")
    with open(path, "r+") as f:
        before = f.read()
        f.seek(0)
        f.write("2")
    try:
        daemon = bench.daemon(d.listener(path="copy") + d.backend())
    finally:
        with open(path, "w") as f:
            f.write(before)
    assert daemon.events("ready")[0]["io_uring"].startswith("off: "), daemon.log()
    bench.exact(4, ("v1,data:3000,fin", "data:3000,eof"), ("data:3000,fin", "data:3000,eof"), count=4)
