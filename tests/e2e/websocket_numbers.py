# SPDX-License-Identifier: BSD-2-Clause
"""Many WebSockets that count aloud: each sends its next number when the last has come back, and notices
whatever is lost, doubled or changed; beside them new connections all the time.

websocket_numbers.py URI SOURCE COUNT PAUSE   until stdin ends; a line of JSON when all are open, and at the end
"""
import asyncio
import json
import socket
import sys
import time

import websockets

URI, SOURCE, COUNT, PAUSE = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
HEADER = b"PROXY TCP4 198.51.100.%d 203.0.113.9 %d 443\r\n"
state = {"messages": 0, "short": 0, "slowest_ms": 0, "wrong": []}
over = asyncio.Event()


async def connect(n):
    """Through the balancer: its header first, then the WebSocket's handshake on the same connection."""
    host, port = URI.split("//")[1].split(":")
    loop = asyncio.get_running_loop()
    s = socket.socket()
    s.setblocking(False)
    s.bind((SOURCE, 0))
    await loop.sock_connect(s, (host, int(port)))
    await loop.sock_sendall(s, HEADER % (n % 250 + 1, 10000 + n % 50000))
    return await websockets.connect(URI, sock=s, ping_interval=None, compression=None)


async def say(ws, text):
    began = time.monotonic()
    await ws.send(text)
    back = await asyncio.wait_for(ws.recv(), 20)
    if back != text:
        raise AssertionError(f"sent {text!r}, got {back!r}")
    state["messages"] += 1
    state["slowest_ms"] = max(state["slowest_ms"], round(1000 * (time.monotonic() - began)))


async def count(n, opened):
    ws = await connect(n)
    number = 0
    await say(ws, f"{n}:{number}")
    opened()
    while not over.is_set():
        number += 1
        await say(ws, f"{n}:{number}")
        await asyncio.sleep(PAUSE)
    try:
        late = await asyncio.wait_for(ws.recv(), 0.1)
        raise AssertionError(f"{late!r} came without being sent")
    except asyncio.TimeoutError:
        await ws.close()


async def short_ones():
    n = 0
    while not over.is_set():
        ws = await connect(n)
        await say(ws, f"short {n}")
        await ws.close()
        state["short"] += 1
        n += 1


async def guarded(task, name):
    try:
        await task
    except Exception as error:
        state["wrong"].append(f"{name}: {type(error).__name__}: {error}")


async def main():
    left, all_open = COUNT, asyncio.Event()

    def opened():
        nonlocal left
        left -= 1
        if not left:
            all_open.set()
    tasks = []
    for n in range(COUNT):
        tasks.append(asyncio.create_task(guarded(count(n, opened), f"socket {n}")))
        if n % 50 == 49:
            await asyncio.sleep(0.05)
    await asyncio.wait_for(all_open.wait(), 30)
    tasks += [asyncio.create_task(guarded(short_ones(), "short")) for _ in range(4)]
    print(json.dumps(state), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    over.set()
    await asyncio.gather(*tasks)
    print(json.dumps(state), flush=True)


asyncio.run(main())
