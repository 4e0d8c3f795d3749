# SPDX-License-Identifier: BSD-2-Clause
"""Run a program as near to a systemd unit's limits as goes without systemd.

under_unit.py UNIT WRITABLE_DIRECTORY PROGRAM [ARGUMENT...]
CapabilityBoundingSet, NoNewPrivileges and SystemCallFilter are the unit's own; of its mounts: everything is
read-only but the directory (LogsDirectory, RuntimeDirectory) and what ReadWritePaths names.
"""
import ctypes
import os
import subprocess
import sys

CLONE_NEWNS = 0x00020000
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
SCMP_ACT_ALLOW, SCMP_ACT_EPERM = 0x7FFF0000, 0x00050001
CAPS = {"CAP_NET_BIND_SERVICE": 10, "CAP_NET_ADMIN": 12, "CAP_PERFMON": 38, "CAP_BPF": 39}

libc = ctypes.CDLL(None, use_errno=True)


def settings(path):
    """{key: [value, ...]}: a key may be given more than once."""
    found = {}
    with open(path) as f:
        for line in f:
            key, is_setting, value = line.strip().partition("=")
            if is_setting and not key.startswith("#"):
                found.setdefault(key, []).append(value)
    return found


def calls(words):
    """The system calls behind names and @sets."""
    found = set()
    for word in words:
        if not word.startswith("@"):
            found.add(word)
            continue
        text = subprocess.run(["systemd-analyze", "syscall-filter", word], capture_output=True, text=True, check=True).stdout
        lines = [line.strip() for line in text.splitlines()[1:]]
        found |= calls([line for line in lines if line and not line.startswith("#")])
    return found


def allowed(filters):
    """One list with ~ takes away from what the lists before allow; @default is always there."""
    found = calls(["@default"])
    for value in filters:
        words = value.lstrip("~").split()
        found = found - calls(words) if value.startswith("~") else found | calls(words)
    return found


def mounts():
    with open("/proc/self/mountinfo") as f:
        return [line.split()[4] for line in f]


def read_only(directory, writable):
    assert libc.unshare(CLONE_NEWNS) == 0
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "--bind", directory, directory], check=True)
    keep = [directory, "/proc", "/dev", *writable]
    for point in dict.fromkeys(mounts()):
        if not any(point == k or point.startswith(k + "/") for k in keep):
            # Some are gone meanwhile, or cannot be: what counts is where the daemon may want to write.
            done = subprocess.run(["mount", "-o", "remount,bind,ro", point], stderr=subprocess.DEVNULL)
            assert done.returncode == 0 or point not in ("/", "/sys"), point


def load_filter(names):
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(SCMP_ACT_EPERM))
    for name in sorted(names):
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:
            assert seccomp.seccomp_rule_add(context, SCMP_ACT_ALLOW, number, 0) == 0, name
    assert seccomp.seccomp_load(context) == 0


def main():
    unit, directory, program = settings(sys.argv[1]), sys.argv[2], sys.argv[3:]
    names = allowed(unit["SystemCallFilter"])
    keep = {CAPS[word] for word in unit["CapabilityBoundingSet"][0].split()}
    read_only(directory, [path.lstrip("-") for path in unit["ReadWritePaths"][0].split()])
    for cap in range(64):
        if cap not in keep:
            libc.prctl(PR_CAPBSET_DROP, cap, 0, 0, 0)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    load_filter(names)
    os.execv(program[0], program)


main()
