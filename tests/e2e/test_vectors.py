# SPDX-License-Identifier: BSD-2-Clause
"""Every conformance vector over real sockets through the daemon, with the verdict the file asks for."""
import json
import os
import socket
import threading

import pytest

from conftest import STAND_IN
from harness import daemon as d
from harness import tools
from harness.apps import Recorder, read_all
from harness.netns import CLIENT4, HOST4

pytestmark = pytest.mark.skipif(bool(STAND_IN), reason="SKIP: HAProxy answers differently, that is the point")


def vectors():
    with open(os.path.join(tools.ROOT, "tests/vectors/proxy_vectors.json")) as f:
        return json.load(f)


def endpoint(record, who):
    ip = record[who + "_ip"]
    return f"[{ip}]:{record[who + '_port']}" if ":" in ip else f"{ip}:{record[who + '_port']}"


@pytest.mark.parametrize("path", ["copy", "always"])
def test_vectors(bench, path):
    bench.daemon(d.listener(path=path, header_max="65551", header_timeout="20s") + d.backend())
    backend, daemon = Recorder(bench.net.host, 3000), bench.daemons[0]
    sockets = {}
    lock = threading.Lock()

    def one(vector):
        s = bench.net.client.connect(HOST4, d.PORT)
        data = bytes.fromhex(vector["hex"])
        payload = f"<payload of {vector['name']}>".encode()
        with lock:
            sockets[s.getsockname()[1]] = vector["name"]
        try:
            s.sendall(data + payload if vector["expect"] == "accept" else data)
            if vector["expect"] != "reject":
                s.shutdown(socket.SHUT_WR)
            answer, end = read_all(s)
        except (ConnectionResetError, BrokenPipeError):
            answer, end = b"", "rst"
        s.close()
        rest = data[vector["header_len"]:] + payload if vector["expect"] == "accept" else b""
        return answer, end, rest

    wrong = []
    for vector in vectors():
        answer, end, rest = one(vector)
        if vector["expect"] == "accept" and (answer, end) != (rest, "eof"):
            wrong.append((vector["name"], "accept", answer[:60], end))
        if vector["expect"] == "reject" and (answer, end) != (b"", "rst"):
            wrong.append((vector["name"], "reject", answer[:60], end))
        if vector["expect"] == "incomplete" and answer:
            wrong.append((vector["name"], "incomplete", answer[:60], end))
    assert not wrong, wrong
    accepted = [v for v in vectors() if v["expect"] == "accept"]
    refused = [v for v in vectors() if v["expect"] != "accept" and v["hex"]]
    by_name = {sockets[r["balancer_port"]]: r for r in daemon.records(len(accepted) + len(refused))}
    for vector in accepted:
        record = by_name[vector["name"]]
        assert record["event"] == "end", record
        wanted = vector["source"]
        if wanted and wanted.startswith("[::ffff:"):
            wanted = wanted[8:].replace("]", "")  # an IPv4 client, however it was written
        assert endpoint(record, "client").replace("[::ffff:", "").replace("]", "") == (wanted or endpoint(record, "balancer")).replace("]", ""), (vector, record)
        assert record["command"] == vector["command"] and record["header_len"] == vector["header_len"], record
        assert record["balancer_ip"] == CLIENT4
    for vector in refused:
        record = by_name[vector["name"]]
        assert record["event"] == "refused" and record["reason"] and record["hint"], record
        assert record["reason"] == "truncated" or vector["expect"] == "reject", record
    assert sum(len(seen) > 0 for seen in backend.seen) == len(accepted), "nothing of a refused connection reaches the app"
