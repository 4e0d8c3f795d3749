# SPDX-License-Identifier: BSD-2-Clause
"""Where the programs under test and the tools of the tests are."""
import functools
import os
import subprocess
import tempfile

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../../.."))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
UNPROXY = os.environ.get("UNPROXY", os.path.join(BUILD, "unproxy"))


@functools.lru_cache(maxsize=None)
def path(name):
    """A tool of tests/tools: make's, or compiled here when make has not built it."""
    made = os.path.join(BUILD, "tools", name)
    source = os.path.join(ROOT, "tests/tools", name + ".c")
    if os.path.exists(made) and os.path.getmtime(made) >= os.path.getmtime(source):
        return made
    out = os.path.join(tempfile.mkdtemp(prefix="unproxy-tools-"), name)
    subprocess.run(["cc", "-D_GNU_SOURCE", "-std=gnu11", "-O2", source, "-o", out], check=True)
    return out


class LossyLink:
    """tests/tools/lossy_link between two namespaces."""

    def __init__(self, a, b, device, seed=7, loss=20, duplicate=10, reorder=30):
        argv = [path("lossy_link"), a.path, device, b.path, device, *map(str, (seed, loss, duplicate, reorder))]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n", "lossy_link did not start"

    def stop(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.counters = self.process.stdout.read()
            self.process.wait(10)
        return self.counters
