# SPDX-License-Identifier: BSD-2-Clause
"""Network namespaces: one for clients and the balancer, one for the host unproxy runs on."""
import ctypes
import os
import socket
import subprocess

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
NETNS_DIR = "/run/netns"
LIBC = ctypes.CDLL(None, use_errno=True)

CLIENT4, CLIENT6 = "10.77.0.1", "fd77::1"
HOST4, HOST6 = "10.77.0.254", "fd77::fe"
EXTRA4 = [f"10.77.0.{n}" for n in range(2, 10)]  # more sources in the client's namespace


def _check(result, what):
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def private_mounts():
    """Give this process mounts of its own: a bpffs and a list of namespaces nobody else sees."""
    _check(LIBC.unshare(CLONE_NEWNS), "unshare")
    _check(LIBC.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mount private")
    os.makedirs(NETNS_DIR, exist_ok=True)
    _check(LIBC.mount(b"netns", NETNS_DIR.encode(), b"tmpfs", 0, None), "mount " + NETNS_DIR)
    os.makedirs("/sys/fs/bpf", exist_ok=True)
    _check(LIBC.mount(b"bpf", b"/sys/fs/bpf", b"bpf", 0, None), "mount bpffs")
    LIBC.mount(b"debugfs", b"/sys/kernel/debug", b"debugfs", 0, None)  # for clear_warn_once; not everywhere


def run(*argv, **kw):
    return subprocess.run(argv, check=True, text=True, capture_output=True, **kw).stdout


class Namespace:
    """A named namespace; as a context manager: this thread inside it."""

    def __init__(self, name):
        self.name, self.path = name, f"{NETNS_DIR}/{name}"
        run("ip", "netns", "add", name)
        self.home = None
        self.batch("link set lo up")

    def batch(self, *lines):
        run("ip", "-n", self.name, "-batch", "-", input="\n".join(lines) + "\n")

    def run(self, *argv, **kw):
        return run(*self.argv(argv), **kw)

    def sysctl(self, **values):
        with self:
            for key, value in values.items():
                with open("/proc/sys/net/" + key.replace("__", "/"), "w") as f:
                    f.write(str(value))

    def quick_repeats(self):
        """What was lost is sent again within a second, where the kernel knows how (6.15), and nobody gives up: only a
        run's time depends on it."""
        self.sysctl(ipv4__tcp_orphan_retries=100, ipv4__tcp_retries2=100)
        for knob in ({"ipv4__tcp_rto_min_us": 10000}, {"ipv4__tcp_rto_max_ms": 1000}):
            try:
                self.sysctl(**knob)
            except FileNotFoundError:
                pass

    def argv(self, argv):
        return ["nsenter", "--net=" + self.path, *map(str, argv)]

    def popen(self, argv, **kw):
        return subprocess.Popen(self.argv(argv), **kw)

    def __enter__(self):
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        there = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _check(LIBC.setns(there, CLONE_NEWNET), "setns")
        finally:
            os.close(there)
        return self

    def __exit__(self, *_):
        _check(LIBC.setns(self.home, CLONE_NEWNET), "setns")
        os.close(self.home)

    def socket(self, address, source=None, **options):
        """A TCP socket of this namespace, of the family of address, not connected."""
        with self:
            s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        s.settimeout(20)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for option, value in options.items():
            s.setsockopt(socket.SOL_SOCKET, getattr(socket, option), value)
        if source:
            s.bind((source, 0))
        return s

    def connect(self, address, port, source=None, **options):
        s = self.socket(address, source, **options)
        s.connect((address, port))
        return s

    def listen(self, address, port, backlog=128):
        s = self.socket(address)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((address, port))
        s.listen(backlog)
        return s

    def tcp_in_use(self):
        """Sockets of this namespace that are not TIME_WAIT, both families."""
        with self, open("/proc/thread-self/net/sockstat") as f4, open("/proc/thread-self/net/sockstat6") as f6:
            lines = f4.read().splitlines() + f6.read().splitlines()
        words = [line.split() for line in lines if line.startswith(("TCP:", "TCP6:"))]
        return sum(int(w[w.index("inuse") + 1]) for w in words)

    def remove(self):
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)


class Net:
    """client <-> host, by a veth pair or (lossy) by a line that loses packets."""

    def __init__(self, name, lossy=None):
        self.client, self.host, self.link = Namespace(name + "-c"), Namespace(name + "-h"), None
        if lossy:
            self.link = lossy(self.client, self.host, "wire")
        else:
            self.client.batch(f"link add wire type veth peer name wire netns {self.host.name}")
        addresses = [f"addr add {a}/24 dev wire" for a in [CLIENT4, *EXTRA4]]
        self.client.batch(*addresses, f"addr add {CLIENT6}/64 dev wire nodad", "link set wire up")
        self.host.batch(f"addr add {HOST4}/24 dev wire", f"addr add {HOST6}/64 dev wire nodad", "link set wire up")
        for ns in (self.client, self.host):
            # Not the ports that somebody will listen on: one that was a connection's a moment ago cannot be bound.
            ns.sysctl(ipv4__ip_local_port_range="1024 65535", ipv4__ip_local_reserved_ports="3000-3020,7000,8000-8299",
                      ipv4__tcp_fin_timeout=2)

    def close(self):
        if self.link:
            self.link.stop()
        self.client.remove()
        self.host.remove()
