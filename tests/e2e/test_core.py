# SPDX-License-Identifier: BSD-2-Clause
"""The programs fit themselves to the kernel they are loaded into: no compiler on the host, whatever its types look like."""
import ctypes
import os
import re
import subprocess

import pytest

from harness import tools

# What the relay's program reads of the kernel's; vmlinux.h is made to have it elsewhere.
MOVED = ("tcp_sock", "sk_psock", "tcp_skb_cb")
GEN = os.path.join(tools.BUILD, "gen")


class Objects:
    """As much of libbpf as it takes to load an object and to see what became of its instructions."""

    def __init__(self):
        self.lib = ctypes.CDLL("libbpf.so.1", use_errno=True)
        self.lib.bpf_object__open_file.restype = ctypes.c_void_p
        for name in ("map", "program"):
            getattr(self.lib, f"bpf_object__next_{name}").restype = ctypes.c_void_p
        self.lib.libbpf_set_print(None)

    def each(self, name, obj):
        step, at = getattr(self.lib, f"bpf_object__next_{name}"), None
        while at := step(ctypes.c_void_p(obj), ctypes.c_void_p(at)):
            yield ctypes.c_void_p(at)

    def tags(self, path):
        """The kernel's digest of each program's instructions, in order."""
        obj = self.lib.bpf_object__open_file(path.encode(), None)
        assert obj, f"{path}: cannot be opened"
        try:
            for one in self.each("map", obj):
                if not self.lib.bpf_map__max_entries(one):
                    self.lib.bpf_map__set_max_entries(one, 64)
            assert self.lib.bpf_object__load(ctypes.c_void_p(obj)) == 0, f"{path}: not loaded"
            return [self.tag(self.lib.bpf_program__fd(one)) for one in self.each("program", obj)]
        finally:
            self.lib.bpf_object__close(ctypes.c_void_p(obj))

    def tag(self, fd):
        info, size = ctypes.create_string_buffer(256), ctypes.c_uint32(256)
        assert self.lib.bpf_obj_get_info_by_fd(fd, info, ctypes.byref(size)) == 0
        return info.raw[8:16].hex()  # struct bpf_prog_info: type, id, tag


def compile_relay(include, out):
    machine = {"x86_64": "x86", "aarch64": "arm64"}.get(os.uname().machine)
    if not machine:
        pytest.skip("SKIP: not a machine this test knows libbpf's name of")
    subprocess.run(["clang", "-O2", "-g", "-target", "bpf", "-mcpu=v3", f"-D__TARGET_ARCH_{machine}", "-Iinclude", "-Ibpf", f"-I{include}",
                    "-idirafter", f"/usr/include/{os.uname().machine}-linux-gnu", "-c", "bpf/relay.bpf.c", "-o", out],
                   cwd=tools.ROOT, check=True, capture_output=True)


def instructions(path):
    return subprocess.run(["llvm-objdump", "-d", "--no-show-raw-insn", path], capture_output=True, text=True, check=True).stdout.split(":\n", 1)[1]


def test_types_of_another_kernel(tmp_path):
    """Compiled against types whose members lie elsewhere, the loaded instructions are those of this kernel."""
    with open(os.path.join(GEN, "vmlinux.h")) as f:
        text = f.read()
    for name in MOVED:
        text, count = re.subn(rf"^struct {name} {{$", f"struct {name} {{\n\tlong unsigned int moved[9];", text, flags=re.M)
        assert count == 1, name
    (tmp_path / "vmlinux.h").write_text(text)
    here, there = str(tmp_path / "here.bpf.o"), str(tmp_path / "there.bpf.o")
    compile_relay(GEN, here)
    compile_relay(tmp_path, there)
    assert instructions(here) != instructions(there), "nothing of what was moved is read"
    objects = Objects()
    assert objects.tags(here) == objects.tags(there)
