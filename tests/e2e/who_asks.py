# SPDX-License-Identifier: BSD-2-Clause
"""A server that answers each connection with what accept() and getpeername() said of it, and its checker.

who_asks.py serve | who_asks.py check HOST PORT FIRST COUNT
"""
import socket
import sys

DUAL, IPV4 = 3000, 3001


def answer(s, peer):
    request = b""
    while not request.endswith(b"\n"):
        more = s.recv(4096)
        if not more:
            return
        request += more
    named = s.getpeername()
    s.sendall(f"{peer[0]} {peer[1]} {named[0]} {named[1]}\n".encode())


def serve():
    import selectors
    listeners = [socket.create_server(("::", DUAL), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024),
                 socket.create_server(("0.0.0.0", IPV4), backlog=1024)]
    selector = selectors.DefaultSelector()
    for listener in listeners:
        selector.register(listener, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            s, peer = key.fileobj.accept()
            try:
                answer(s, peer)
            except OSError:
                pass
            s.close()


def check(host, port, first, count):
    """Connections whose header names an address no other one has."""
    for n in range(first, first + count):
        ip, source = f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}", n % 60000 + 1
        with socket.create_connection((host, port)) as s:
            s.sendall(f"PROXY TCP4 {ip} 192.0.2.1 {source} 80\r\nwho\n".encode())
            got = s.recv(200).decode().replace("::ffff:", "").split()
        assert got == [ip, str(source)] * 2, f"connection {n} of {ip} {source} is seen as {got}"
    print("ok", flush=True)


if sys.argv[1] == "serve":
    serve()
else:
    check(sys.argv[2], *map(int, sys.argv[3:]))
