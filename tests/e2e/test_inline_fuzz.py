# SPDX-License-Identifier: BSD-2-Clause
"""A random sender, packet by packet, against a model of both streams (tests/tools/tcp_fuzz.c).

The seeds are fixed; a failure prints the connection's own, and the packets it saw.
"""
import concurrent.futures
import copy
import os

import pytest

from conftest import BARE
from harness import daemon as d
from harness import fuzz
from harness import inline as i

SEED = int(os.environ.get("FUZZ_SEED", "1"))
COUNTS = {"tun": 10000, "tap": 1000, "vnet": 500, "gso": 1500, "napi": 500}


def start(inline, mode, **keys):
    """Returns what the fuzzer has to know."""
    fuzz.device(inline.net.host, mode)
    inline.start(interfaces=fuzz.DEVICE, trust=fuzz.TRUST, **keys)
    return {"strips": 1, "port": 3000} if BARE else {"port": d.PORT, "hook": 1}


@pytest.mark.parametrize("mode", COUNTS)
def test_random_packets(inline, mode):
    """Without and with an Ethernet header; with checksums left to the device; with segments it has to cut; behind GRO."""
    options = start(inline, mode, port=f"{d.PORT} -> 3000")
    seen = fuzz.run(inline.net.host, mode, seed=SEED, count=COUNTS[mode], parallel=256, **options)
    print(seen)
    assert seen["connections"] == COUNTS[mode]
    assert min(seen[k] for k in ("lost", "held", "twice", "damaged", "sacks", "dsacks", "client_rst", "app_rst")) > 0, seen
    if not BARE:
        assert min(seen[k] for k in ("bad_header", "early_fin", "early_rst")) > 0, seen


def test_calm_packets_on_the_app_s_own_port(inline):
    """No port is translated, and nothing is lost: each difference is of the engine's making."""
    options = {**start(inline, "tun"), "app_port": 3000 if BARE else d.PORT}
    seen = fuzz.run(inline.net.host, "tun", seed=SEED + 1, count=1000, calm=1, **options)
    assert seen["lost"] == seen["damaged"] == seen["strays"] == 0, seen
    if not BARE:
        assert i.counter("failed") == 0


def test_headers_up_to_the_limit(inline):
    """Headers of nearly 4095 bytes, in parts of all sizes."""
    options = start(inline, "tun", port=f"{d.PORT} -> 3000")
    fuzz.run(inline.net.host, "tun", seed=SEED + 2, count=500, header_max=4095, **options)


@pytest.mark.skipif(BARE, reason="SKIP: nobody to kill")
def test_controllers_come_and_go_meanwhile(inline):
    """Killed and taken over again and again while packets fly: the programs are exchanged under live connections."""
    options = start(inline, "tun", port=f"{d.PORT} -> 3000")
    ns = copy.copy(inline.net.host)  # a thread changes its own namespace
    with concurrent.futures.ThreadPoolExecutor() as pool:
        seen = pool.submit(fuzz.run, ns, "tun", seed=SEED + 3, count=2000, **options)
        while not seen.done():
            inline.daemons[-1].kill()
            inline.start(interfaces=fuzz.DEVICE, trust=fuzz.TRUST, port=f"{d.PORT} -> 3000")
    assert seen.result()["connections"] == 2000 and len(inline.daemons) > 3


def test_the_fuzzer_sees_a_header_that_stays(inline):
    """A host that takes nothing off is found out with the first bytes."""
    fuzz.device(inline.net.host, "tun")
    with pytest.raises(AssertionError, match="the app reads a wrong byte at 0"):
        fuzz.run(inline.net.host, "tun", port=3000, count=200, refuse=0)
