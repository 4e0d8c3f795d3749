# SPDX-License-Identifier: BSD-2-Clause
"""The systemd units, as far as systemd's own tools tell without a running systemd."""
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "dist/unproxy.service"

pytestmark = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="SKIP: no systemd-analyze on this machine")


def analyze(*words):
    return subprocess.run(["systemd-analyze", *map(str, words)], capture_output=True, text=True, timeout=60)


def test_verify(tmp_path):
    """No unknown key, no value that systemd does not understand; the program is another one that is there."""
    for name in ("dist/unproxy.service", "examples/unproxy.socket"):
        text = (ROOT / name).read_text().replace("/usr/sbin/unproxy", "/bin/true")
        (tmp_path / Path(name).name).write_text(text)
    done = analyze("verify", "--man=no", "--recursive-errors=no", tmp_path / "unproxy.service", tmp_path / "unproxy.socket")
    assert done.returncode == 0 and "unproxy." not in done.stderr, done.stderr


def test_exposure():
    """At most 2.5, and the figure that docs/systemd.md gives."""
    done = analyze("security", "--offline=true", "--threshold=25", UNIT)
    figure = re.search(r"Overall exposure level for unproxy.service: ([\d.]+)", done.stdout)
    assert done.returncode == 0, done.stdout
    assert f"`{figure[1]} OK`" in (ROOT / "docs/systemd.md").read_text()
