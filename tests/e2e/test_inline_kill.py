# SPDX-License-Identifier: BSD-2-Clause
"""kill -9 of the controller in the midst of a thousand connections: none of them notices, new ones are
served, and the next controller knows them all."""
import pytest

from conftest import BARE
from harness import inline as i
from harness import peer
from harness.wait import until

pytestmark = pytest.mark.skipif(BARE, reason="SKIP: nobody to kill")
COUNT = 1000


@pytest.mark.parametrize("family", [4, 6])
def test_a_thousand_connections_outlive_the_controller(inline, family):
    inline.start()
    s = inline.server(family, tx="data:2000,rx:3000,data:8000,fin", rx="data:3000,rest", count=COUNT + 200, parallel=COUNT + 200)
    old = inline.client(family, tx="v2,data:3000,go:1,data:40000,fin", rx="data:10000,eof", count=COUNT, parallel=COUNT)
    until(lambda: s.stat()["started"] == COUNT and s.stats[-1]["rx"] == 3000 * COUNT, "a thousand connections", 30)
    inline.daemons[0].kill()
    new = inline.client(family, tx="v1:1,data:3000,data:40000,fin", rx="data:10000,eof", count=100, parallel=50)
    peer.assert_scripts(new.finish(), 100)
    assert i.flows().count(("open", False)) == COUNT
    inline.start()
    assert inline.daemons[1].events("inline.on")[0]["adopted"] == str(COUNT)
    newer = inline.client(family, tx="v2:1,data:3000,data:40000,fin", rx="data:10000,eof", count=100, parallel=50)
    peer.assert_scripts(newer.finish(), 100)
    old.go(1)
    clients = old.finish()
    peer.assert_scripts(clients, COUNT)
    peer.assert_exact(clients + new.results + newer.results, s.finish(20), None)
    records = inline.daemons[1].records(COUNT + 100, 20, event="end")
    assert {(r["bytes_up"], r["bytes_down"]) for r in records} == {(43000, 10000)}
    assert sum(r["client_ip"].startswith("198.51.") for r in records) == len(records)
