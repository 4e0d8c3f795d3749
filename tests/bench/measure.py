# SPDX-License-Identifier: BSD-2-Clause
"""What a load cost: the whole machine from /proc/stat, the contender's own processes, their memory."""
import glob
import os
import resource
import time

TICK = os.sysconf("SC_CLK_TCK")


def lines(path):
    try:
        with open(path, encoding="ascii") as file:
            return file.read().split("\n")
    except OSError:
        return []


def tree(pids):
    """These processes and all their descendants."""
    found = []
    for pid in pids:
        found.append(pid)
        for children in glob.glob(f"/proc/{pid}/task/*/children"):
            found += tree([int(child) for child in " ".join(lines(children)).split()])
    return found


def machine_seconds():
    """CPU time of everything since boot: kernel threads and softirq count, waiting does not."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, lines("/proc/stat")[0].split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICK


def process_seconds(pids):
    """CPU time of the processes' threads, in the scheduler's nanoseconds: /proc/PID/stat has ticks."""
    total = 0
    for pid in pids:
        for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
            total += int((lines(path) or ["0"])[0].split()[0])
    return total / 1e9


def resident_kib(pids):
    total = 0
    for pid in pids:
        total += sum(int(line.split()[1]) for line in lines(f"/proc/{pid}/status") if line.startswith("VmRSS:"))
    return total


def descriptors(pids):
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)


def background(seconds=0.2):
    """Share of the machine that is busy although no load is running."""
    before, began = machine_seconds(), time.monotonic()
    time.sleep(seconds)
    return (machine_seconds() - before) / (time.monotonic() - began) / os.cpu_count()


def finished_seconds():
    """CPU time of our children that have ended: the load generators."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Cost:
    """CPU seconds between start and stop: of the machine; of the contender; of contender, backends and client
    (no kernel threads, but nothing of what else the machine does either)."""

    def __init__(self, contender, backends):
        self.pids, self.backends = tree(contender), tree(backends)
        self.machine = self.own = self.ours = 0.0

    def read(self):
        own = process_seconds(self.pids)
        return machine_seconds(), own, own + process_seconds(self.backends) + finished_seconds()

    def __enter__(self):
        self.machine, self.own, self.ours = self.read()
        return self

    def __exit__(self, *_):
        machine, own, ours = self.read()
        self.machine, self.own, self.ours = machine - self.machine, own - self.own, ours - self.ours
