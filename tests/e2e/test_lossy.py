# SPDX-License-Identifier: BSD-2-Clause
"""A line that loses, doubles and reorders packets, on both legs: the backend is behind it, too."""
import json

import pytest

from harness import daemon as d
from harness import peer
from harness.netns import CLIENT4, CLIENT6


@pytest.mark.lossy
def test_loss_duplication_and_reordering(bench, net, matrix):
    path, family = matrix
    address = {4: CLIENT4, 6: CLIENT6}[family]
    server = f"[{address}]:3000" if family == 6 else f"{address}:3000"
    bench.daemon(d.listener(path=path) + d.backend(server=server))
    count = 12
    for client_tx, server_tx in (("v2:1,data:700000,fin", "data:700000,fin"), ("split:" + b"PROXY UNKNOWN\r\n".hex() + ",data:5000,fin", "rxeof,data:90000,fin")):
        s = bench.server(family, ns=net.client, address=address, tx=server_tx, rx="rest,eof", count=count, parallel=count, timeout=60)
        c = bench.client(family, tx=client_tx, rx="rest,eof", count=count, parallel=count, timeout=60)
        clients = c.finish(65)
        peer.assert_exact(clients, s.finish(), count)
    counters = json.loads(net.link.stop())
    assert min(counters["lost"], counters["doubled"], counters["reordered"]) > 20, counters
