# SPDX-License-Identifier: BSD-2-Clause
"""Every conformance vector over real sockets through the daemon, with the verdict the file asks for."""
import pytest

from conftest import STAND_IN
from harness import daemon as d
from harness import vectors
from harness.apps import Recorder
from harness.netns import CLIENT4

pytestmark = pytest.mark.skipif(bool(STAND_IN), reason="SKIP: HAProxy answers differently, that is the point")


@pytest.mark.parametrize("path", ["copy", "always"])
def test_vectors(bench, path):
    bench.daemon(d.listener(path=path, header_max="65551", header_timeout="20s") + d.backend())
    backend, daemon = Recorder(bench.net.host, 3000), bench.daemons[0]
    names, wrong = {}, []
    for vector in vectors.load():
        port, fault = vectors.send(bench.net, vector)
        names[port] = vector["name"]
        wrong += [fault] if fault else []
    assert not wrong, wrong
    accepted = [v for v in vectors.load() if v["expect"] == "accept"]
    refused = [v for v in vectors.load() if v["expect"] != "accept" and v["hex"]]
    by_name = {names[r["balancer_port"]]: r for r in daemon.records(len(accepted) + len(refused))}
    for vector in accepted:
        vectors.assert_logged(vector, by_name[vector["name"]])
        assert by_name[vector["name"]]["balancer_ip"] == CLIENT4
    for vector in refused:
        record = by_name[vector["name"]]
        assert record["event"] == "refused" and record["reason"] and record["hint"], record
        assert record["reason"] == "truncated" or vector["expect"] == "reject", record
    assert sum(len(seen) > 0 for seen in backend.seen) == len(accepted), "nothing of a refused connection reaches the app"
