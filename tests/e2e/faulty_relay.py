# SPDX-License-Identifier: BSD-2-Clause
"""A small PROXY relay with one fault on purpose: what the tests have to find.

faulty_relay.py PORT SERVER SERVER_PORT FAULT
"""
import select
import socket
import struct
import sys
import threading

from harness.headers import parse

AT = 70000  # where in the stream from the server the fault is


def drop(data, at):
    return data[:at] + data[at + 1:]


def swap(data, at):
    return data[:at] + data[at + 1:at + 2] + data[at:at + 1] + data[at + 2:]


def double(data, at):
    return data[:at] + data[at:at + 1] + data[at:]


FAULTS = {"drop": drop, "swap": swap, "double": double}


def receive(source, dead):
    """Bytes, b"" at the end; OSError also when the other direction has died."""
    while not dead.is_set():
        if select.select([source], [], [], 0.02)[0]:
            return source.recv(65536)
    raise ConnectionResetError


def pump(source, sink, fault, dead):
    seen = 0
    try:
        while data := receive(source, dead):
            here = seen <= AT < seen + len(data) - 1
            seen += len(data)
            if here and fault in FAULTS:
                data = FAULTS[fault](data, AT - seen + len(data))
            if here and fault == "early-eof":
                break
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        dead.set()
        for s in (source, sink) if fault != "eof-for-rst" else ():
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def relay(client, server, fault):
    data = b""
    while not (header := parse(data)):
        more = client.recv(4096)
        if not more:
            return
        data += more
    out, dead = socket.create_connection(server), threading.Event()
    out.sendall(data if fault == "leak-header" else data[header[2]:])
    up = threading.Thread(target=pump, args=(client, out, "eof-for-rst" if fault == "eof-for-rst" else "", dead))
    up.start()
    pump(out, client, fault, dead)
    up.join()
    client.close()
    out.close()


def main():
    port, server, fault = int(sys.argv[1]), (sys.argv[2], int(sys.argv[3])), sys.argv[4]
    listener = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128)
    print("ready", file=sys.stderr, flush=True)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=relay, args=(client, server, fault), daemon=True).start()


main()
