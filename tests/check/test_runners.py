# SPDX-License-Identifier: BSD-2-Clause
"""The test runners: a ring that ran nothing, a crash and a time-out are failures, whatever was printed before."""
import os
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def binary(folder, name, script):
    path = folder / name
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)
    return path


def cmocka(folder, *binaries):
    done = subprocess.run([SCRIPTS / "run-cmocka.sh", "unit", *binaries], capture_output=True, text=True, check=False,
                          env={**os.environ, "BUILD": str(folder), "TEST_TIMEOUT": "1"})
    return done.returncode, (folder / "results/unit").read_text().split(), done.stdout


OUTCOMES = {
    "passes": ("echo 'ok 1 - a'; echo 'ok 2 - b'", 0, ["2", "0", "0"]),
    "skips": ("echo 'ok 1 - a'; echo 'not ok 2 # SKIP b'", 0, ["1", "0", "1"]),
    "fails": ("echo 'ok 1 - a'; echo 'not ok 2 - b'; exit 1", 1, ["1", "1", "0"]),
    "fails, but exits with 0": ("echo 'not ok 1 - a'", 1, ["0", "1", "0"]),
    "crashes": ("echo 'ok 1 - a'; kill -SEGV $$", 1, ["1", "1", "0"]),
    "reports a leak at its end": ("echo 'ok 1 - a'; exit 23", 1, ["1", "1", "0"]),
    "hangs": ("echo 'ok 1 - a'; exec sleep 60", 1, ["1", "1", "0"]),
    "runs nothing": (":", 1, ["0", "0", "0"]),
}


@pytest.mark.parametrize("script, status, counts", OUTCOMES.values(), ids=OUTCOMES)
def test_cmocka_binary(tmp_path, script, status, counts):
    assert cmocka(tmp_path, binary(tmp_path, "a_test", script))[:2] == (status, counts)


def test_no_binary_is_a_failure(tmp_path):
    assert cmocka(tmp_path)[0] == 1


def test_goes_on_after_a_failure(tmp_path):
    status, counts, _ = cmocka(tmp_path, binary(tmp_path, "a_test", "exit 1"), binary(tmp_path, "b_test", "echo 'ok 1 - b'"))
    assert (status, counts) == (1, ["1", "1", "0"])


def test_a_failing_fuzzer_shows_its_output(tmp_path):
    bad = binary(tmp_path, "bad_fuzz", "echo ERROR: found it; exit 77")
    done = subprocess.run([SCRIPTS / "run-fuzz.sh", "1", bad], capture_output=True, text=True, check=False,
                          env={**os.environ, "BUILD": str(tmp_path)})
    assert done.returncode == 1 and "found it" in done.stdout
    assert (tmp_path / "results/fuzz").read_text().split() == ["0", "1", "0"]
