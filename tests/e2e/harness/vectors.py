# SPDX-License-Identifier: BSD-2-Clause
"""The conformance vectors over real sockets, and what has to come back."""
import json
import os
import socket

from . import daemon as d
from . import tools
from .apps import read_all
from .netns import HOST4


def load(longest=1 << 17):
    """Those of so many bytes at most."""
    with open(os.path.join(tools.ROOT, "tests/vectors/proxy_vectors.json")) as f:
        return [v for v in json.load(f) if len(v["hex"]) // 2 <= longest]


def send(net, vector):
    """From the client to an echoing app behind unproxy. Returns its port there, and what went wrong, or None."""
    data = bytes.fromhex(vector["hex"])
    payload = f"<payload of {vector['name']}>".encode()
    s = net.client.connect(HOST4, d.PORT)
    port = s.getsockname()[1]
    try:
        s.sendall(data + payload if vector["expect"] == "accept" else data)
        if vector["expect"] != "reject":
            s.shutdown(socket.SHUT_WR)
        answer, end = read_all(s)
    except OSError:
        answer, end = b"", "rst"
    s.close()
    return port, fault(vector, answer, end, data[vector["header_len"]:] + payload if vector["expect"] == "accept" else b"")


def fault(vector, answer, end, rest):
    """Accepted: all that is behind the header. Rejected: an RST and no byte. Incomplete: no byte."""
    good = {"accept": (answer, end) == (rest, "eof"), "reject": (answer, end) == (b"", "rst"), "incomplete": not answer}
    return None if good[vector["expect"]] else (vector["name"], vector["expect"], answer[:60], end)


def endpoint(record, who):
    ip = record[who + "_ip"]
    return f"[{ip}]:{record[who + '_port']}" if ":" in ip else f"{ip}:{record[who + '_port']}"


def _plain(text):
    """An IPv4 client, however it was written."""
    return text.replace("[::ffff:", "").replace("]", "")


def assert_logged(vector, record):
    """An accepted one: its client, or the balancer where it names none."""
    assert record["event"] == "end", record
    assert _plain(endpoint(record, "client")) == _plain(vector["source"] or endpoint(record, "balancer")), (vector, record)
    assert record["command"] == vector["command"] and record["header_len"] == vector["header_len"], record
