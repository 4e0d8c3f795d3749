# SPDX-License-Identifier: BSD-2-Clause
"""A WebSocket client: talks, then holds the connection open while its standard input stays open.

Each line on standard input asks for one more round trip. Prints JSON, a line per step.
"""
import asyncio
import hashlib
import json
import os
import ssl
import sys

import websockets


async def step(socket, message):
    await socket.send(message)
    return await socket.recv() == message


async def main(url, ca):
    context = ssl.create_default_context(cafile=ca) if ca else None
    try:
        socket = await websockets.connect(url, ssl=context, max_size=None, server_hostname="chat.example" if ca else None)
    except (websockets.InvalidHandshake, websockets.InvalidMessage, OSError) as error:
        print(json.dumps({"refused": str(error) or type(error).__name__}), flush=True)
        return
    text = ["hello", "wörld", "x" * 1000]
    blob = os.urandom(1 << 20)
    talk = [await socket.recv() == "welcome"] + [await step(socket, message) for message in text]
    await socket.send(blob)
    same = hashlib.sha256(await socket.recv()).digest() == hashlib.sha256(blob).digest()
    address, port = socket.local_address[:2]
    print(json.dumps({"talk": all(talk), "blob": same, "address": address, "port": port}), flush=True)

    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps({"alive": await step(socket, "still there?")}), flush=True)
    await socket.close()
    print(json.dumps({"closed": socket.close_code}), flush=True)


asyncio.run(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None))
