# SPDX-License-Identifier: BSD-2-Clause
"""Programs on interfaces by tcx: Debian 12's tc and bpftool do not show them yet."""
import ctypes
import os
import socket
import struct

from . import leaks

SYS_BPF = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
BPF_PROG_LOAD, BPF_PROG_ATTACH, BPF_PROG_QUERY, SCHED_CLS = 5, 8, 16, 3
TYPES = {"ingress": 46, "egress": 47}
LIBC = ctypes.CDLL(None, use_errno=True)
ROOM = 64


def _bpf(command, attr):
    buffer = ctypes.create_string_buffer(attr, 128)
    result = LIBC.syscall(SYS_BPF, command, buffer, len(buffer))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result, buffer.raw


def _ids(index, way):
    ids = (ctypes.c_uint32 * ROOM)()
    attr = struct.pack("=IIIIQI", index, TYPES[way], 0, 0, ctypes.addressof(ids), ROOM)
    try:
        _, answer = _bpf(BPF_PROG_QUERY, attr)
    except OSError:
        return []
    return list(ids[:struct.unpack_from("=I", answer, 24)[0]])


def supported():
    try:
        _bpf(BPF_PROG_QUERY, struct.pack("=II", 1, TYPES["ingress"]))
        return True
    except OSError:
        return False


def programs(ns, device):
    """[(way, name, id)], in the order in which packets meet them."""
    with ns:
        index = socket.if_nametoindex(device)
        found = [(way, i) for way in TYPES for i in _ids(index, way)]
    return [(way, leaks.bpftool("prog", "show", "id", str(i))["name"], i) for way, i in found]


def attach_foreign(ns, device, way):
    """A program that passes every packet on to the stack, whatever stands behind it; named "theirs"."""
    code = struct.pack("=BBhi", 0xB7, 0, 0, 0) + struct.pack("=BBhi", 0x95, 0, 0, 0)  # r0 = TCX_PASS; exit
    insns, licence = ctypes.create_string_buffer(code), ctypes.create_string_buffer(b"GPL")
    fd, _ = _bpf(BPF_PROG_LOAD, struct.pack("=IIQQIIQII16s", SCHED_CLS, len(code) // 8, ctypes.addressof(insns),
                                            ctypes.addressof(licence), 0, 0, 0, 0, 0, b"theirs"))
    try:
        with ns:
            _bpf(BPF_PROG_ATTACH, struct.pack("=IIII", socket.if_nametoindex(device), fd, TYPES[way], 0))
    finally:
        os.close(fd)
