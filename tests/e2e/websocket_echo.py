# SPDX-License-Identifier: BSD-2-Clause
"""A WebSocket server and client as anyone would write them, on Debian's python3-websockets.

websocket_echo.py serve PORT | websocket_echo.py talk URI SOURCE COUNT SIZE
"""
import asyncio
import hashlib
import os
import sys

import websockets


async def echo(socket):
    async for message in socket:
        await socket.send(message)


async def serve(port):
    async with websockets.serve(echo, "127.0.0.1", port, max_size=None):
        print("ready", flush=True)
        await asyncio.Future()


async def talk(uri, source, count, size):
    async with websockets.connect(uri, local_addr=(source, 0), max_size=None) as socket:
        for n in range(count):
            text = f"message {n}"
            await socket.send(text)
            assert await socket.recv() == text
        big = os.urandom(size)
        await socket.send(big)
        got = await socket.recv()
        assert hashlib.sha256(got).digest() == hashlib.sha256(big).digest(), "the big message came back changed"
        await (await socket.ping())
    print("ok", flush=True)


if sys.argv[1] == "serve":
    asyncio.run(serve(int(sys.argv[2])))
else:
    asyncio.run(talk(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])))
