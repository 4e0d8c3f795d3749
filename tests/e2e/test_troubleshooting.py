# SPDX-License-Identifier: BSD-2-Clause
"""docs/troubleshooting.md, entry by entry: the symptom is there, what the page names is said, the mend makes it go."""
import os
import shutil
import subprocess
import threading

import pytest

from conftest import STAND_IN
from harness import daemon as d
from harness import headers, inline, tools
from harness.apps import Recorder, ask, echo, read_all
from harness.inline import InlineDaemon
from harness.netns import CLIENT4, HOST4
from harness.wait import until
from test_doctor import doctor

pytestmark = pytest.mark.skipif(bool(STAND_IN), reason="SKIP: the page is about unproxy")
BANNER = b"220 mail ESMTP\r\n"
WELL = b"hello"


@pytest.fixture
def run(bench):
    """A daemon with these sections, in place of the one before: the mend is a change of the file and a restart."""
    def start(*sections, **options):
        if bench.daemons:
            bench.daemons[-1].stop()
        return bench.daemon(d.section("unproxy") + "".join(sections), **options)
    return start


def plain(bench, data=WELL, finish=True):
    return ask(bench.net.client, HOST4, d.PORT, data, finish=finish)


def good(bench, **options):
    return echo(bench.net.client, HOST4, d.PORT, **options)


class Greeter(Recorder):
    """Speaks first, as mail and SSH servers do."""

    def __init__(self, ns):
        super().__init__(ns, d.BACKEND_PORT, greeting=BANNER)


def reason(daemon, name):
    """The client log has a line with that reason; its hint is the page's."""
    return daemon.records(1, event="refused", reason=name)[-1]


# ---- it hangs ----

def test_connects_and_then_silence(bench, run):
    """PROXY is off at the balancer, and the protocol has the server speak first: both wait."""
    Greeter(bench.net.host)
    daemon = run(d.listener(header_timeout="3s"), d.backend())
    assert plain(bench, b"", finish=False) == (b"", "rst")
    assert reason(daemon, "timeout")["hint"]
    # PROXY on: greeted. Or, as long as it is off: optional, and it costs the timeout.
    assert ask(bench.net.client, HOST4, d.PORT, headers.v1()) == (BANNER, "eof")


def test_the_server_does_not_answer(bench, run):
    """SYNs to it are dropped on the way: here by a listener whose backlog is full."""
    deaf = bench.net.host.listen("127.0.0.1", d.BACKEND_PORT, backlog=0)
    fill = [bench.net.host.socket("127.0.0.1") for _ in range(2)]
    for s in fill:
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", d.BACKEND_PORT))
    daemon = run(d.listener(), d.backend(connect_timeout="500ms"))
    assert not good(bench)
    assert daemon.wait_for("backend.down")["error"] == "Connection timed out" and reason(daemon, "no_backend")
    code, found = doctor(bench.net.host, "-c", daemon.file)
    assert code == 1 and found["backend main"] == [("FAIL", "127.0.0.1:3000 does not accept connections: Connection timed out")]
    for s in [deaf, *fill]:
        s.close()
    Recorder(bench.net.host, d.BACKEND_PORT)
    until(lambda: good(bench), "the server is back", 10, pause=0.1)
    assert doctor(bench.net.host, "-c", daemon.file)[0] == 0


# ---- 400, "PROXY TCP4 ..." in the app's log ----

def test_the_header_reaches_the_app(bench):
    """engine = inline, and no programs on the interface; the balancer may as well bypass unproxy altogether."""
    app = Recorder(bench.net.host, inline.PORT, "0.0.0.0")
    daemon = bench.daemon(d.section("unproxy") + inline.listener(), cls=InlineDaemon, start=False)
    ask(bench.net.client, HOST4, inline.PORT, headers.v1() + WELL)
    assert bytes(app.seen[-1]) == headers.v1() + WELL, "the symptom"
    code, found = doctor(bench.net.host, "-c", daemon.file)
    assert ("SKIP", "not attached: no test connection") in found["listener main"]
    daemon.start()
    assert good(bench) and bytes(app.seen[-1]) == WELL
    assert doctor(bench.net.host, "-c", daemon.file)[1]["listener main"][0] == ("OK", "attached to 2 interfaces")


def test_two_balancers_in_a_row(bench, run):
    """Each adds a header, one is taken off."""
    app = Recorder(bench.net.host, d.BACKEND_PORT)
    daemon = run(d.listener(), d.backend())
    ask(bench.net.client, HOST4, d.PORT, headers.v2() + headers.v1() + WELL)
    assert bytes(app.seen[-1]) == headers.v1() + WELL
    assert daemon.records(1)[-1]["stacked"] is True
    # Switched off at one of them.
    assert good(bench) and bytes(app.seen[-1]) == WELL
    assert "stacked" not in daemon.records(2)[-1]


# ---- all clients have one address ----

class Names(Recorder):
    """Answers with whom accept() names."""

    def _serve(self, s):
        s.sendall(s.getpeername()[0].encode())
        read_all(s)
        s.close()


def test_all_clients_have_one_address(bench, run):
    """The hook is off: by configuration, or because it could not be attached, and then the daemon says why."""
    Names(bench.net.host, d.BACKEND_PORT)
    daemon = run(d.listener(), d.backend(client_address="none"))
    assert ask(bench.net.client, HOST4, d.PORT, headers.v1()) == (b"127.0.0.1", "eof")
    assert not daemon.events("hook.on")
    daemon = run(d.listener(kernel_path="off"), d.backend(), wrap=["setpriv", "--bounding-set=-all", "--inh-caps=-all"])
    assert daemon.wait_for("hook.off")["reason"] and ask(bench.net.client, HOST4, d.PORT, headers.v1())[0] == b"127.0.0.1"
    assert daemon.records(1)[-1]["client_ip"] == "198.51.100.7", "the client log has it in any case"
    daemon = run(d.listener(), d.backend())
    assert daemon.wait_for("hook.on")["reach"] == "host"
    assert ask(bench.net.client, HOST4, d.PORT, headers.v1()) == (b"198.51.100.7", "eof")


def test_the_balancers_address_in_every_line(bench, run):
    """header = optional, and the balancer sends none: the log's client is the balancer."""
    Recorder(bench.net.host, d.BACKEND_PORT)
    daemon = run(d.listener(header="optional"), d.backend())
    assert plain(bench) == (WELL, "eof")
    record = daemon.records(1)[-1]
    assert record["client_ip"] == record["balancer_ip"] == CLIENT4 and "version" not in record
    daemon = run(d.listener(), d.backend())
    assert good(bench) and daemon.records(1)[-1]["client_ip"] == "198.51.100.7"


# ---- resets ----

def test_resets(bench, run):
    """The client log has the reason, each with its mend."""
    Recorder(bench.net.host, d.BACKEND_PORT)
    daemon = run(d.listener(trust="192.0.2.0/24"), d.backend())
    assert not good(bench)
    record = reason(daemon, "untrusted")
    assert record["balancer_ip"] == CLIENT4, "it names whom to trust"
    daemon = run(d.listener(trust=f"{CLIENT4}/32, 192.0.2.0/24"), d.backend())
    assert good(bench)

    daemon.ask("deny", "add", "198.51.100.0/24")
    assert not good(bench)
    client = reason(daemon, "denied")["client_ip"]
    assert "198.51.100.0/24" in daemon.ask("deny", "list", client)
    daemon.ask("deny", "del", "198.51.100.0/24")
    assert good(bench)

    assert plain(bench, b"GET / HTTP/1.1\r\n\r\n")[1] == "rst"
    assert "HTTP" in reason(daemon, "no_header")["hint"]
    broken = headers.v2(crc=True)[:-1] + b"\0"
    assert not good(bench, header=broken)
    named = reason(daemon, "crc32c_mismatch")
    explained = subprocess.run([tools.UNPROXY, "explain", broken.hex()], capture_output=True, text=True)
    assert explained.returncode == 1 and named["reason"] in explained.stdout + explained.stderr
    assert good(bench, header=headers.v2(crc=True))

    daemon = run(d.listener(max_connections=1), d.backend())
    held = bench.net.client.connect(HOST4, d.PORT)
    held.sendall(headers.v1() + b"x")
    assert held.recv(1) == b"x" and not good(bench)
    assert reason(daemon, "connection_limit")
    daemon = None
    held.close()
    until(lambda: good(bench), "there is room again", 5)


def test_resets_for_want_of_a_server(bench, run):
    daemon = run(d.listener(), d.backend(retry="100ms"))
    assert not good(bench)
    assert reason(daemon, "no_backend") and daemon.wait_for("backend.down")["error"] == "Connection refused"
    assert doctor(bench.net.host, "-c", daemon.file)[1]["backend main"][0][0] == "FAIL"
    Recorder(bench.net.host, d.BACKEND_PORT)
    until(lambda: good(bench), "the server is tried again", 5)
    assert daemon.wait_for("backend.up")["server"] == "127.0.0.1:3000"


# ---- health checks fail ----

HAPROXY = """
defaults
  mode tcp
  log stdout format raw daemon
  option log-health-checks
  timeout connect 2s
  timeout client 5s
  timeout server 5s
listen test
  bind 127.0.0.1:7000
  option httpchk GET /
  server unproxy {address}:8080 send-proxy check inter 100ms rise 1 fall 1 {how}
"""


class Http(Recorder):
    def _serve(self, s):
        s.recv(4096)
        s.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")
        s.close()


def verdict(bench, directory, how):
    """UP or DOWN: what HAProxy says of its server once it has looked."""
    file = directory / f"{len(how)}.cfg"
    file.write_text(HAPROXY.format(address=HOST4, how=how))
    process = bench.net.client.popen(["haproxy", "-db", "-f", str(file)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    quit_later = threading.Timer(10, process.kill)
    quit_later.start()
    try:
        for line in process.stdout:
            if "is DOWN" in line:
                return "DOWN"
            if "is UP" in line or "check duration" in line and "succeeded" in line:
                return "UP"
        return "?"
    finally:
        quit_later.cancel()
        process.kill()
        process.wait()


def test_health_checks_fail(bench, run, tmp_path):
    """Checks with a port of their own carry no header, unless HAProxy is told so."""
    if not shutil.which("haproxy"):
        pytest.skip("SKIP: no haproxy on this machine")
    Http(bench.net.host, d.BACKEND_PORT)
    daemon = run(d.listener(), d.backend())
    assert verdict(bench, tmp_path, "port 8080") == "DOWN"
    assert "HTTP" in reason(daemon, "no_header")["hint"]
    refused = len(daemon.records(event="refused"))
    assert verdict(bench, tmp_path, "port 8080 check-send-proxy") == "UP"
    assert len(daemon.records(event="refused")) == refused


def test_a_check_that_connects_alone_is_no_error(bench, run):
    """Neither is NLB's LOCAL: counted, and not logged unless asked."""
    Recorder(bench.net.host, d.BACKEND_PORT)
    daemon = run(d.listener(), d.backend())
    bench.net.client.connect(HOST4, d.PORT).close()
    assert ask(bench.net.client, HOST4, d.PORT, headers.LOCAL) == (b"", "eof")
    daemon.stop()
    said = daemon.events("stopped")[-1]
    assert said["probes"] == "2" and said["refused"] == "0" and daemon.records() == []


def test_the_page_and_the_tests_agree():
    """Each test above is an entry there, by its reason or event."""
    with open(os.path.join(tools.ROOT, "docs/troubleshooting.md")) as f:
        page = f.read()
    for word in ("timeout", "no_backend", "backend.down", "not attached", "stacked", "hook.off", "untrusted", "denied", "no_header", "crc32c_",
                 "connection_limit", "check-send-proxy", "probes", "header = optional"):
        assert word in page, word
