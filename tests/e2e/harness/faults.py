# SPDX-License-Identifier: BSD-2-Clause
"""System calls of the daemon that fail on demand (tests/tools/fault_preload.c), and a wall clock that jumps."""
import errno
import mmap
import os
import struct

from . import tools
from .wait import until

CALLS = ["accept4", "connect", "socket", "pipe2", "epoll_ctl", "write", "bpf", "pthread_create", "epoll_error", "recv", "send", "splice"]
FAULT = struct.Struct("iiiiII")  # skip, times, error, only, calls, failed
ANY = -1


class Faults:
    """The page that the daemon and the test share."""

    def __init__(self, directory):
        self.path = os.path.join(str(directory), "faults")
        with open(self.path, "wb") as f:
            f.write(b"".join(FAULT.pack(0, 0, 0, ANY, 0, 0) for _ in CALLS) + bytes(4096 - FAULT.size * len(CALLS)))
        with open(self.path, "r+b") as f:
            self.page = mmap.mmap(f.fileno(), 4096)
        self.env = {**os.environ, "UNPROXY_FAULTS": self.path, "LD_PRELOAD": os.path.join(os.path.dirname(tools.UNPROXY), "tools", "fault_preload.so")}

    def _read(self, call):
        return FAULT.unpack_from(self.page, FAULT.size * CALLS.index(call))

    def arm(self, call, error, times=1, skip=0, only=ANY):
        """The next calls fail, so many, after skip that do not; counts from here on."""
        at = FAULT.size * CALLS.index(call)
        struct.pack_into("i", self.page, at + 4, 0)
        struct.pack_into("iiiiII", self.page, at, skip, 0, getattr(errno, error), only, 0, 0)
        struct.pack_into("i", self.page, at + 4, times)

    def disarm(self, call):
        struct.pack_into("i", self.page, FAULT.size * CALLS.index(call) + 4, 0)

    def failed(self, call):
        return self._read(call)[5]

    def calls(self, call):
        return self._read(call)[4]

    def spent(self, call, seconds=10):
        """Wait until all that were armed have failed: a fault that was never met proves nothing."""
        until(lambda: self._read(call)[1] == 0, lambda: f"{call}: {self._read(call)[1]} faults were never met", seconds)

    def clock(self, seconds):
        struct.pack_into("q", self.page, (FAULT.size * len(CALLS) + 7) // 8 * 8, int(seconds * 1_000_000))
