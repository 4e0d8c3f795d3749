# SPDX-License-Identifier: BSD-2-Clause
"""The tests' own teeth: a relay with one fault on purpose has to be found out, a sound one passes."""
import pytest

from harness import peer
from harness.daemon import BACKEND_PORT, RelayStandIn

STREAM = ("v1,data:200000,fin", "rest"), ("data:200000,fin", "data:200000,eof")


@pytest.fixture
def through(bench):
    def start(fault):
        bench.daemon(cls=lambda ns, directory, _: RelayStandIn(ns, directory, fault, ("127.0.0.1", str(BACKEND_PORT))))
        return bench
    return start


def test_sound_relay_passes(through):
    through("none").exact(4, *STREAM, count=5)


@pytest.mark.parametrize("fault, found", [
    ("drop", "wrong byte at offset"),
    ("swap", "wrong byte at offset"),
    ("double", "wrong byte at offset"),
    ("early-eof", "CLEAN EOF OVER MISSING BYTES"),
    ("leak-header", "wrong byte at offset"),
])
def test_fault_is_found(through, fault, found):
    bench = through(fault)
    clients, servers = bench.exchange(4, *STREAM)
    with pytest.raises(AssertionError, match=found):
        for client, server in [(clients[0], servers[0])]:
            peer._one_way(server, client, "server -> client")
            peer._one_way(client, server, "client -> server")


def test_clean_eof_in_place_of_rst_is_found(through):
    bench = through("eof-for-rst")
    clients, servers = bench.exchange(4, ("v1,data:20,ms:2000", "aborted"), ("rx:20,data:60000,rst", "rest"))
    assert "CLEAN EOF instead of RST" in clients[0]["why"]


def test_rst_is_an_rst(through):
    bench = through("none")
    clients, _ = bench.exchange(4, ("v1,data:20,ms:2000", "aborted"), ("rx:20,data:60000,rst", "rest"))
    peer.assert_scripts(clients, 1)
