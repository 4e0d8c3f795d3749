# SPDX-License-Identifier: BSD-2-Clause
"""A line that loses, doubles and reorders packets, on both legs: the backend is behind it, too."""
import json

import pytest

from harness import daemon as d
from harness.netns import CLIENT4, CLIENT6


UNKNOWN = b"PROXY UNKNOWN\r\n".hex()


@pytest.mark.lossy
def test_loss_duplication_and_reordering(bench, net, matrix):
    path, family = matrix
    address = {4: CLIENT4, 6: CLIENT6}[family]
    server = f"[{address}]:3000" if family == 6 else f"{address}:3000"
    bench.daemon(d.one_path(path, server))
    there = {"ns": net.client, "address": address}
    bench.exact(family, ("v2:1,data:700000,fin", "rest,eof"), ("data:700000,fin", "rest,eof"), count=12, server_options=there)
    bench.exact(family, (f"trickle:{UNKNOWN},data:5000,fin", "rest,eof"), ("rxeof,data:90000,fin", "rest,eof"), count=6, server_options=there)
    bench.finish()  # the last FIN needs the line, too
    counters = json.loads(net.link.stop())
    assert min(counters["lost"], counters["doubled"], counters["reordered"]) > 20, counters
