# SPDX-License-Identifier: BSD-2-Clause
"""What must be as it was before the traffic: fds, sockets, map entries, memory, the kernel's log."""
import collections
import json
import os
import re
import subprocess

from .wait import until

PINS = "/sys/fs/bpf/unproxy"
KERNEL_COMPLAINTS = re.compile(
    r"WARNING:|BUG:|refcount_t|Oops|general protection|soft lockup|hung task|self-detected stall|list_(add|del) corruption|KASAN")


def fds(pid):
    """How many descriptors of each kind: socket, pipe, a path ..."""
    kinds = collections.Counter()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:
            continue
        kinds[target.split(":")[0] if not target.startswith("anon_inode") else target] += 1
    return kinds


def rss_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        words = f.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def pins():
    return sorted(os.path.join(where, f) for where, _, files in os.walk(PINS) for f in files)


def bpftool(*argv):
    done = subprocess.run(["bpftool", "-j", *argv], capture_output=True, text=True)
    return json.loads(done.stdout or "null")


def map_entries():
    """Entries of each pinned map that grows and shrinks (arrays do not)."""
    counts = {}
    for path in pins():
        shown = bpftool("map", "show", "pinned", path)
        if isinstance(shown, dict) and "hash" in shown.get("type", ""):
            counts[os.path.basename(path)] = len(bpftool("map", "dump", "pinned", path) or [])
    return counts


def counter(name):
    """A counter of the pinned `stats` maps, over all processors and instances."""
    def total(value):
        if isinstance(value, list):
            return sum(map(total, value))
        if isinstance(value, dict):
            return sum(v if k == name and isinstance(v, int) else total(v) for k, v in value.items())
        return 0
    maps = [bpftool("map", "dump", "pinned", p) for p in pins() if os.path.basename(p) == "stats"]
    return sum(total([row.get("formatted", row) for row in rows]) for rows in maps)


def slab(*names):
    """Objects in use of the kernel's caches of these names; {} where they cannot be read."""
    try:
        with open("/proc/slabinfo") as f:
            rows = [line.split() for line in f]
    except OSError:
        return {}
    return {row[0]: int(row[1]) for row in rows if row[0] in names}


def meminfo(key):
    with open("/proc/meminfo") as f:
        return int(re.search(rf"^{key}:\s+(\d+)", f.read(), re.M).group(1))


class KernelLog:
    """Lines of the kernel's log from now on."""

    def __init__(self):
        self.fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.lseek(self.fd, 0, os.SEEK_END)
        try:
            with open("/sys/kernel/debug/clear_warn_once", "w") as f:
                f.write("1")  # or a WARN_ON_ONCE of an earlier test hides this one's
        except OSError:
            pass

    def complaints(self):
        found = []
        while True:
            try:
                line = os.read(self.fd, 8192).decode(errors="replace")
            except (BlockingIOError, BrokenPipeError):
                return found
            if KERNEL_COMPLAINTS.search(line):
                found.append(line.split("\n")[0])


class Snapshot:
    """The daemon and its namespace before the traffic."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.before = self._look()

    def _look(self):
        kinds = fds(self.daemon.pid)
        return {
            "sockets": kinds["socket"],
            "other fds": sum(kinds.values()) - kinds["socket"] - kinds["pipe"],
            "pipes": kinds["pipe"],
            "tcp in use": self.daemon.ns.tcp_in_use(),
            "maps": map_entries() if self.daemon.pinned else {},
        }

    def assert_same(self, seconds=8):
        """Everything is given back; pipes may stay in the pool, up to its bound."""
        now = {}

        def within():
            now.update(self._look())
            maps = all(n <= self.before["maps"].get(name, 0) for name, n in now["maps"].items())
            pipes = now["pipes"] <= self.before["pipes"] + self.daemon.pooled_pipe_fds
            return maps and pipes and all(now[k] <= self.before[k] for k in ("sockets", "other fds", "tcp in use"))
        until(within, lambda: f"leak: before {self.before}, now {now}", seconds)
