# SPDX-License-Identifier: BSD-2-Clause
"""What goes on while one daemon follows the other: nobody who is connected notices.

follow() puts the next daemon in the place of the last one, and returns how many connections that has taken.
"""
import json
import os
import subprocess

from . import daemon as d
from . import peer
from .netns import CLIENT4, HOST4
from .wait import until

HERE = os.path.dirname(os.path.dirname(__file__))


def streams(bench, follow, seconds):
    """Both ways at once, to readers that are slower than the senders: bytes are on their way everywhere."""
    size = 24000000
    s = bench.server(tx=f"data:{size},fin", rx=f"rate:{size}/{size // seconds},eof", count=4, parallel=64)
    c = bench.client(tx=f"v2,data:{size},fin", rx=f"rate:{size}/{size // seconds},eof", count=4, parallel=4)
    taken = 0
    for _ in range(3):
        seen = c.stat()["rx"]
        until(lambda: c.stat()["rx"] > seen + 1000000 or c.stats[-1]["done"] == 4, "bytes flow")
        taken += follow()
    peer.assert_exact(c.finish(), s.finish(), 4)
    assert taken >= 4, "they were over before the first daemon went"
    ended = [r for daemon in bench.daemons for r in daemon.records(event="end")]
    assert len(ended) == 4 and {(r["bytes_up"], r["bytes_down"], r["backend_port"]) for r in ended} == {(size, size, d.BACKEND_PORT)}


def websockets(bench, follow, times, count, every, messages, short):
    """count that say a number every so many seconds, new ones all the time: none is reset, none refused, no message lost
    or doubled. At least so many messages and short connections, or nothing was tried."""
    server = bench.net.host.popen(["/usr/bin/python3", f"{HERE}/websocket_echo.py", "serve", str(d.BACKEND_PORT)], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline().strip() == "ready"
        client = bench.net.client.popen(["/usr/bin/python3", f"{HERE}/websocket_numbers.py", f"ws://{HOST4}:{d.PORT}", CLIENT4, str(count), str(every)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        begun = json.loads(client.stdout.readline())
        for _ in range(times):
            assert follow() >= count
        client.stdin.close()
        ended = json.loads(client.stdout.readline())
        client.wait(20)
    finally:
        server.kill()
        server.wait()
    assert not ended["wrong"], (len(ended["wrong"]), ended["wrong"][:5])
    assert ended["messages"] > begun["messages"] + messages and ended["short"] > short, ended
    last = bench.daemons[-1]
    last.stop()
    assert int(last.events("stopped")[0]["accepted"]) >= count + ended["short"], "totals do not go back"
    print(begun, ended)
