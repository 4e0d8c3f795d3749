# SPDX-License-Identifier: BSD-2-Clause
"""What /metrics, /readyz and /healthz say, against traffic that the test made; and who may not disturb them."""
import json
import os
import re
import signal
import socket
import subprocess

import pytest

from conftest import STAND_IN
from harness import daemon as d
from harness import headers, inline, tools
from harness.apps import Recorder, ask, echo
from harness.inline import InlineDaemon
from harness.netns import HOST4
from harness.wait import until

pytestmark = pytest.mark.skipif(bool(STAND_IN), reason="SKIP: a stand-in has no metrics")
PORT = 9180
SPLICE, KERNEL, INLINE = 8081, 8082, 8090
SAMPLE = re.compile(r'^(\w+)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
EXAMPLES = os.path.join(tools.ROOT, "examples")
ENDPOINT = f"metrics = 127.0.0.1:{PORT}\n"


def http(ns, path, method="GET", headers=""):
    """(status, head, body) of one request."""
    with ns.connect("127.0.0.1", PORT) as s:
        s.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
        answer = b""
        while data := s.recv(65536):
            answer += data
    head, _, body = answer.decode().partition("\r\n\r\n")
    return int(head.split()[1]), head, body


class Metrics:
    def __init__(self, text):
        self.text, self.samples, self.types, self.helps = text, {}, {}, {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                name, kind = line[7:].split(" ")
                self.types[name] = kind
            elif line.startswith("# HELP "):
                name, _, text = line[7:].partition(" ")
                self.helps[name] = text
            else:
                name, labels, value = SAMPLE.match(line).groups()
                key = (name, frozenset(LABEL.findall(labels or "")))
                assert key not in self.samples, f"twice: {line}"
                self.samples[key] = float(value)

    def __call__(self, name, **labels):
        """The sum of all samples with these labels; none is an error."""
        want = set(labels.items())
        found = [v for (n, have), v in self.samples.items() if n == name and want <= have]
        assert found, f"no sample of {name} {labels}"
        return sum(found)

    def labels(self, name):
        return {label for (n, have), _ in self.samples.items() if n.removesuffix("_bucket") == name for label, _ in have} - {"le"}


def scrape(ns):
    status, head, body = http(ns, "/metrics")
    assert status == 200 and "text/plain; version=0.0.4" in head
    return Metrics(body)


def scrape_until(ns, name, value, **labels):
    last = []

    def seen():
        last[:] = [scrape(ns)]
        return last[0](name, **labels) == value and last[0]
    return until(seen, lambda: f"{name} {labels} is {last[0](name, **labels)}, not {value}", 10, pause=0.1)


def promtool(*argv, **options):
    done = subprocess.run(["promtool", *argv], capture_output=True, text=True, timeout=30, **options)
    assert done.returncode == 0 and not done.stderr.replace("SUCCESS", "").strip(), done.stdout + done.stderr


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    s.close()


def turn(s):
    s.sendall(b"y" * 700)
    assert len(s.recv(700, socket.MSG_WAITALL)) == 700


def exchange(net, port, count, size, header=None):
    """count connections that send size bytes each, and have them back."""
    for _ in range(count):
        assert echo(net.client, HOST4, port, b"x" * size, header)


def assert_documented(metrics):
    """The table in docs/metrics.md is what the program says."""
    rows = {name: [metrics.types[name], ", ".join(sorted(metrics.labels(name))), metrics.helps[name]] for name in metrics.types}
    wanted = [f"| `{name}` | {kind} | {labels} | {text} |" for name, (kind, labels, text) in rows.items()]
    with open(os.path.join(tools.ROOT, "docs/metrics.md")) as f:
        found = [line.rstrip("\n") for line in f if line.startswith(("| `unproxy_", "| `process_"))]
    assert found == wanted, "the table of docs/metrics.md should be:\n" + "\n".join(wanted)


def assert_known(metrics, text, where):
    """Whatever the expressions name, is there."""
    names = {n for n, _ in metrics.samples}
    used = set(re.findall(r"\b(?:unproxy|process)_\w+", text))
    assert used and used <= names, f"{where} names what is not there: {used - names}"


@pytest.fixture
def both(bench):
    """A daemon with listeners of both engines and every path, and a server that answers with what it got."""
    Recorder(bench.net.host, d.BACKEND_PORT)
    Recorder(bench.net.host, INLINE, HOST4)
    sections = [
        d.listener("web", "copy", header_timeout="3s"),
        d.listener("bulk", "splice", bind=f"*:{SPLICE}"),
        d.listener("fast", "always", bind=f"*:{KERNEL}"),
        inline.listener("app", INLINE),
        d.backend(),
    ]
    return bench.daemon(d.section("unproxy") + ENDPOINT + "".join(sections), cls=InlineDaemon)


def test_figures_are_those_of_the_traffic(bench, both):
    net, host = bench.net, bench.net.host
    before = scrape(host)
    exchange(net, d.PORT, 3, 100)
    exchange(net, d.PORT, 2, 1000, headers.v2())
    bulk = 0
    while not scrape(host)("unproxy_bytes_total", path="splice"):  # io_uring may have all of it before it is asked to leave
        exchange(net, SPLICE, 1, 1 << 20)
        bulk += 1
        assert bulk < 100, "splice(2) never moves a byte"
    exchange(net, KERNEL, 1, 1 << 20, headers.v2())
    exchange(net, INLINE, 4, 100)
    exchange(net, INLINE, 1, 50000, headers.v2())
    net.client.connect(HOST4, d.PORT).close()                     # a health check
    assert ask(net.client, HOST4, d.PORT, headers.LOCAL)[0] == b""
    for port in (d.PORT, INLINE):
        assert ask(net.client, HOST4, port, b"GET / HTTP/1.0\r\n\r\n", finish=False)[1] == "rst"
    live = [net.client.connect(HOST4, port) for port in (d.PORT, INLINE, KERNEL)]
    for s in live:
        s.sendall(headers.v1())
        turn(s)
    turns = 2
    # The kernel takes a direction when all that came before is through.
    while not scrape(host)("unproxy_bytes_total", path="kernel"):
        turn(live[2])
        turns += 1
        assert turns < 1000, "the kernel never moves a byte"

    # Of connections that are open, within seconds.
    moved = 3 * 100 + 2 * 1000 + (bulk + 1) * (1 << 20) + turns * 700
    metrics = scrape_until(host, "unproxy_bytes_total", 4 * 100 + 50000 + 700, engine="inline", direction="up")
    metrics = scrape_until(host, "unproxy_bytes_total", moved, engine="relay", direction="up")
    metrics = scrape_until(host, "unproxy_bytes_total", moved, engine="relay", direction="down")
    assert metrics("unproxy_connections", engine="relay") == 2 and metrics("unproxy_connections", engine="inline") == 1
    assert metrics("unproxy_listener_connections", listener="app") == 1

    for path in ("copy", "splice", "kernel"):
        assert metrics("unproxy_bytes_total", engine="relay", path=path) > 0, path
    assert metrics("unproxy_promotions_total", path="splice") > 0 and metrics("unproxy_promotions_total", path="kernel") > 0
    assert metrics("unproxy_kernel_entries_total") > 0

    for s in live:
        reset(s)
    both.records(6 + bulk + 2 + 1 + 5 + 1 + 1)  # each has its line when it is over
    metrics = scrape_until(host, "unproxy_connections", 0)
    assert metrics("unproxy_connections_closed_total", engine="relay", reason="client_reset") == 2
    assert metrics("unproxy_connections_closed_total", engine="inline", reason="client_reset") == 1
    assert metrics("unproxy_connections_closed_total", engine="relay", reason="client_fin") == 6 + bulk
    assert metrics("unproxy_connections_closed_total", engine="inline", reason="client_fin") == 5
    assert metrics("unproxy_connections_refused_total", engine="relay", reason="no_header") == 1
    assert metrics("unproxy_connections_refused_total", engine="inline", reason="no_header") == 1
    assert metrics("unproxy_connections_refused_total") == 2
    assert metrics("unproxy_probes_total", engine="relay", kind="empty") == 1
    assert metrics("unproxy_probes_total", engine="relay", kind="local") == 1
    assert metrics("unproxy_connections_accepted_total", engine="relay") == 6 + bulk + 2 + 1 + 2
    assert metrics("unproxy_connections_accepted_total", engine="inline") == 5 + 1 + 1
    for engine, ones, twos, local in (("relay", 3 + bulk + 2, 3, 1), ("inline", 4 + 1, 1, 0)):
        assert metrics("unproxy_headers_total", engine=engine, version="1", command="proxy") == ones
        assert metrics("unproxy_headers_total", engine=engine, version="2", command="proxy") == twos
        assert metrics("unproxy_headers_total", engine=engine, version="2", command="local") == local
        assert metrics("unproxy_header_duration_seconds_count", engine=engine) == ones + twos + local
        assert metrics("unproxy_header_duration_seconds_bucket", engine=engine, le="+Inf") == ones + twos + local
    assert metrics("unproxy_connect_duration_seconds_count") == 9 + bulk
    assert metrics("unproxy_server_connects_total", backend="main") == 9 + bulk
    assert metrics("unproxy_server_up", backend="main") == 1
    assert metrics("unproxy_listener_accepted_total", listener="web") == 3 + 2 + 1 + 1 + 1 + 1
    assert metrics("unproxy_listener_refused_total", listener="web") == 1
    assert metrics("unproxy_listener_backlog_limit", listener="web") > 0
    assert metrics("unproxy_client_log_lines_total") == len(both.records())
    assert metrics("unproxy_map_entries", map="flows") >= 1 and metrics("unproxy_map_capacity", map="flows") == 262144
    assert metrics("unproxy_inline_events_total", event="opened") == 6
    assert metrics("unproxy_build_info") == 1 and metrics("process_open_fds") > 10

    for key, value in before.samples.items():
        if before.types.get(key[0]) == "counter":
            assert metrics.samples[key] >= value, f"{key} went back"
    promtool("check", "metrics", input=metrics.text)
    assert_documented(metrics)
    for name in ("grafana-dashboard.json", "alerts.yml"):
        with open(os.path.join(EXAMPLES, name)) as f:
            text = f.read()
        if name.endswith(".json"):
            text = "\n".join(t["expr"] for panel in json.loads(text)["panels"] for t in panel["targets"])
        assert_known(metrics, text, name)


def test_alert_rules_are_valid_and_fire():
    promtool("check", "rules", "alerts.yml", cwd=EXAMPLES)
    promtool("test", "rules", "alerts_test.yml", cwd=EXAMPLES)


def test_readyz_follows_the_backend(bench):
    host = bench.net.host
    server = Recorder(host, d.BACKEND_PORT)
    daemon = bench.daemon(d.section("unproxy") + ENDPOINT + d.listener() + d.backend(retry="100ms", retry_max="200ms"))
    assert http(host, "/readyz")[::2] == (200, "ready\n")
    server.close()
    assert not echo(bench.net.client, HOST4, d.PORT)
    until(lambda: http(host, "/readyz")[::2] == (503, "not ready: backend main\n"), "not ready")
    # It is asked for again and again meanwhile, and refuses.
    until(lambda: scrape(host)("unproxy_server_connect_failures_total") > 2, "tried again by whoever asks")
    assert http(host, "/readyz")[0] == 503 and scrape(host)("unproxy_ready") == 0
    Recorder(host, d.BACKEND_PORT)
    until(lambda: http(host, "/readyz")[0] == 200, "ready again, though no client came")
    daemon.wait_for("backend.up")
    assert echo(bench.net.client, HOST4, d.PORT)

    sections = ENDPOINT + d.listener() + d.backend(retry="100ms", retry_max="200ms")
    for text, result, good in (("what = ever\n", "failed", 0), ("", "ok", 1)):
        daemon.write(d.section("unproxy") + text + sections)
        daemon.process.send_signal(signal.SIGHUP)
        metrics = scrape_until(host, "unproxy_reloads_total", 1, result=result)
        assert metrics("unproxy_last_reload_successful") == good and metrics("unproxy_config_generation") == 1 + good

    held = bench.net.client.connect(HOST4, d.PORT)
    held.sendall(headers.v1() + b"x")
    assert held.recv(1) == b"x"
    daemon.process.terminate()
    until(lambda: http(host, "/readyz")[::2] == (503, "not ready: draining\n"), "draining")
    assert http(host, "/healthz")[::2] == (200, "ok\n")
    held.close()
    assert daemon.exit_code() == 0


def test_only_reading_and_only_these_pages(bench):
    host = bench.net.host
    bench.daemon(d.section("unproxy") + ENDPOINT + d.listener() + d.backend())
    status, head, body = http(host, "/metrics", "HEAD")
    assert status == 200 and body == "" and "Content-Length: 0" not in head
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        status, head, _ = http(host, "/metrics", method, "Content-Length: 0\r\n")
        assert status == 405 and "Allow: GET, HEAD" in head
    assert http(host, "/metrics", "POST", "Content-Length: 1000000\r\n")[0] == 405
    assert http(host, "/etc/passwd")[0] == 404 and http(host, "/metrics/..")[0] == 404
    assert http(host, "/metrics?x=1")[0] == 200


def test_slow_and_many_clients_do_not_keep_a_scraper_out(bench):
    host = bench.net.host
    Recorder(host, d.BACKEND_PORT)
    daemon = bench.daemon(d.section("unproxy") + ENDPOINT + d.listener() + d.backend())
    scrape(host)
    slow = [host.connect("127.0.0.1", PORT) for _ in range(200)]
    for i, s in enumerate(slow):
        try:
            s.sendall(b"GET /metrics HTTP/1.1\r\nX: " + b"a" * (i * 100))
        except OSError:
            pass  # made room for another
    assert scrape(host)("unproxy_ready") == 1
    assert echo(bench.net.client, HOST4, d.PORT)
    for s in slow:
        s.close()
    for garbage in (b"\0" * 20000, b"GET " + b"/" * 20000 + b" HTTP/1.1\r\n\r\n", b"\r\n" * 5000, b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n"):
        with host.connect("127.0.0.1", PORT) as s:
            try:
                s.sendall(garbage)
                s.shutdown(socket.SHUT_WR)
                while s.recv(65536):
                    pass
            except OSError:
                pass
    fds = scrape(host)("process_open_fds")
    assert fds < 200, "the connections are closed"
    assert echo(bench.net.client, HOST4, d.PORT) and daemon.alive()


def test_an_address_that_is_taken_refuses_to_start(bench):
    with bench.net.host.listen("127.0.0.1", PORT):
        daemon = bench.daemon(d.section("unproxy") + ENDPOINT + d.listener() + d.backend(), start=False)
        daemon.spawn()
        assert daemon.exit_code() == 1
    assert daemon.events("metrics.failed")[0]["address"] == f"127.0.0.1:{PORT}"


def test_counters_go_on_after_a_takeover(bench):
    host = bench.net.host
    Recorder(host, d.BACKEND_PORT)
    text = d.section("unproxy") + ENDPOINT + d.listener() + d.backend()
    old = bench.daemon(text)
    exchange(bench.net, d.PORT, 3, 100)
    scrape_until(host, "unproxy_connections_closed_total", 3)
    new = bench.daemon(text, start=False)
    new.argv.insert(new.argv.index("run") + 1, "--takeover")
    new.control = old.control
    new.write(text)
    new.start()
    assert old.exit_code() == 0
    exchange(bench.net, d.PORT, 2, 100)
    metrics = scrape_until(host, "unproxy_connections_closed_total", 5, reason="client_fin")
    assert metrics("unproxy_connections_accepted_total") == 5 and metrics("unproxy_bytes_total", direction="up") == 500
    assert http(host, "/readyz")[0] == 200
