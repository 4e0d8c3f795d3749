# SPDX-License-Identifier: BSD-2-Clause
"""The loads. Each returns what one run of it measured, as a dictionary of numbers."""
import json
import os
import random
import re
import subprocess
import time

import measure

UNITS = {"us": 1, "ms": 1000, "s": 1000000, "m": 60000000}
CONNECTIONS = 50
IDLE = 4000  # go-mmproxy may need four descriptors for each, and 20,000 is a common limit


class Generator:
    """Where the load comes from, and how long it lasts."""

    def __init__(self, tools, bench_tools, backends, seconds, gigabytes, file_bytes):  # pylint: disable=too-many-arguments
        self.preload = f"{tools}/proxy_preload.so"
        self.client = f"{bench_tools}/bench_client"
        self.backends = backends
        self.seconds, self.gigabytes, self.file_bytes = seconds, gigabytes, file_bytes
        self.files = max(1, round(gigabytes * 1e9 / file_bytes))

    def network(self):
        """Clients of one run: go-mmproxy binds to their addresses, which must not be in TIME_WAIT."""
        return f"10.{random.randrange(1, 255)}"

    def wrk(self, contender, connections, seconds, *extra):
        env = dict(os.environ)
        if contender.header:
            env |= {"LD_PRELOAD": self.preload, "PROXY_PRELOAD": "v1", "PROXY_PRELOAD_WHEN": "write",
                    "PROXY_PRELOAD_SRC": self.network() + ".0.0/16", "PROXY_PRELOAD_DST": "198.51.100.1:443"}
        command = ["wrk", "--latency", f"-t{min(2, connections)}", f"-c{connections}", f"-d{seconds}s", *extra,
                   f"http://127.0.0.1:{contender.ports['web']}/"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=seconds + 30)
        return parse_wrk(done.stdout)

    def bench(self, contender, kind, service, *words):
        source = self.network() if contender.header else "-"
        command = [self.client, kind, str(contender.ports[service]), source, *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise RuntimeError(f"{kind}: {done.stderr.strip()}")
        return json.loads(done.stdout)


def parse_wrk(text):
    result = {"per_second": float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1)),
              "count": int(re.search(r"(\d+) requests in", text).group(1)), "errors": 0}
    for percent in (50, 99):
        value, unit = re.search(rf"\s{percent}%\s+([\d.]+)(us|ms|s|m)\b", text).groups()
        result[f"p{percent}_us"] = float(value) * UNITS[unit]
    for errors in re.findall(r"Socket errors: (.*)|Non-2xx or 3xx responses: (\d+)", text):
        result["errors"] += sum(map(int, re.findall(r"\d+", " ".join(errors))))
    return result


def costed(generator, contender, run, operations):
    """Run it, and add the CPU microseconds of one operation: see measure.Cost."""
    backends = [pid for backend in generator.backends for pid in backend.pids]
    with measure.Cost(contender.pids, backends) as cost:
        result = run()
    count = operations(result)
    result["machine_us"] = cost.machine / count * 1e6
    result["own_us"] = cost.own / count * 1e6
    result["ours_us"] = cost.ours / count * 1e6
    return result


def http(generator, contender, connections, *extra):
    generator.wrk(contender, connections, 1, *extra)
    return costed(generator, contender, lambda: generator.wrk(contender, connections, generator.seconds, *extra),
                  lambda result: result["count"])


def requests(generator, contender):
    return http(generator, contender, CONNECTIONS)


def latency(generator, contender):
    return http(generator, contender, 1)


def connections(generator, contender):
    return http(generator, contender, CONNECTIONS, "-H", "Connection: close")


def bulk(generator, contender, *words):
    generator.bench(contender, *words, 1)
    result = costed(generator, contender, lambda: generator.bench(contender, *words, generator.files),
                    lambda result: result["bytes"])
    gigabytes = result["bytes"] / 1e9
    return {"s_per_gb": result["seconds"] / gigabytes, "cpu_s_per_gb": result["machine_us"] * 1e3,
            "own_s_per_gb": result["own_us"] * 1e3, "ours_s_per_gb": result["ours_us"] * 1e3}


def download(generator, contender):
    return bulk(generator, contender, "get", "web", "/file")


def upload(generator, contender):
    return bulk(generator, contender, "put", "sink", generator.file_bytes)


def websocket(generator, contender):
    generator.bench(contender, "ws", "echo", CONNECTIONS, 1)
    result = costed(generator, contender, lambda: generator.bench(contender, "ws", "echo", CONNECTIONS, generator.seconds),
                    lambda result: result["messages"])
    result["per_second"] = result["messages"] / result["seconds"]
    return result


def settled_kib(pids):
    """Resident memory when it no longer changes."""
    last = None
    for _ in range(50):
        now = measure.resident_kib(pids)
        if now == last:
            break
        last = now
        time.sleep(0.1)
    return last


def memory(generator, contender):
    """Of connections that sent a header, and then of the same ones after a handshake each way."""
    if not contender.processes:
        return None
    pids = measure.tree(contender.pids)
    generator.bench(contender, "ws", "echo", CONNECTIONS, 1)
    before, descriptors = settled_kib(pids), measure.descriptors(pids)
    command = [generator.client, "idle", str(contender.ports["echo"]), generator.network(), str(IDLE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        try:
            expect(client, "open")
            end = time.monotonic() + 20
            while measure.descriptors(pids) < descriptors + 2 * IDLE:
                if time.monotonic() > end:
                    raise RuntimeError("memory: the connections do not reach the backend")
                time.sleep(0.05)
            silent = settled_kib(pids)
            client.stdin.write("\n")
            client.stdin.flush()
            expect(client, "talked")
            talked = settled_kib(pids)
        finally:
            client.kill()
    return {"kib": (silent - before) / IDLE, "kib_talked": (talked - before) / IDLE}


def expect(client, word):
    line = client.stdout.readline().strip()
    if line != word:
        raise RuntimeError(f"memory: the client said {line!r}, not {word!r}")


LOADS = {"requests": requests, "latency": latency, "connections": connections, "download": download,
         "upload": upload, "websocket": websocket, "memory": memory}
