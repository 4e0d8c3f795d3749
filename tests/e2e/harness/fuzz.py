# SPDX-License-Identifier: BSD-2-Clause
"""tests/tools/tcp_fuzz on a device of the daemon's namespace: a balancer whose every packet is its own."""
import json
import subprocess

from . import tools

DEVICE, HOST4, REMOTE4, HOST6, REMOTE6 = "fuzz", "10.78.0.1", "10.78.0.2", "fd78::1", "fd78::2"
TRUST = "10.78.0.0/24, fd78::/64"
MAC = "02:00:00:00:00:02"


def device(ns, mode):
    """Make the device; it stays until the namespace goes."""
    kind = "tap" if mode == "tap" else "tun"
    ns.run("ip", "tuntap", "add", "dev", DEVICE, "mode", kind)
    neighbours = [f"neigh add {a} lladdr {MAC} dev {DEVICE} nud permanent" for a in (REMOTE4, REMOTE6)] if kind == "tap" else []
    ns.batch(f"addr add {HOST4}/24 dev {DEVICE}", f"addr add {HOST6}/64 dev {DEVICE} nodad", f"link set {DEVICE} up", *neighbours)
    # The host's own congestion control may pace: the model has no patience for that.
    ns.sysctl(ipv4__tcp_congestion_control="reno")
    ns.quick_repeats()


def run(ns, mode, seconds=120, **options):
    """Its counters, or an AssertionError with its trace."""
    argv = [tools.path("tcp_fuzz"), DEVICE, "--mode", mode, "--host4", HOST4, "--remote4", REMOTE4, "--host6", HOST6, "--remote6", REMOTE6]
    for name, value in options.items():
        argv += ["--" + name.replace("_", "-"), str(value)]
    done = subprocess.run(ns.argv(argv), capture_output=True, text=True, errors="replace", timeout=seconds)
    assert done.returncode == 0, f"{' '.join(argv[1:])}\n{done.stderr[:6000]}\n...\n{done.stderr[-3000:]}"
    return json.loads(done.stdout)
