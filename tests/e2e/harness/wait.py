# SPDX-License-Identifier: BSD-2-Clause
"""Waiting for a condition under a deadline: the only way these tests wait."""
import time


def until(condition, what, seconds=10.0, pause=0.005):
    """Return the first true value of condition(); fail with what() or what after the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            text = what() if callable(what) else what
            raise AssertionError(f"not within {seconds} s: {text}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
