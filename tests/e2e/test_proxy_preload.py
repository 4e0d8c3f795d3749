# SPDX-License-Identifier: BSD-2-Clause
"""proxy_preload.so: unmodified clients speak PROXY. HAProxy reads it; a bare socket sees every byte."""
import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import threading

import pytest

from harness import tools
from harness.wait import until

LIBRARY = os.path.join(os.path.dirname(tools.UNPROXY), "tools", "proxy_preload.so")
V2 = b"\r\n\r\n\0\r\nQUIT\n"
AUTHORITY = "02000b6578616d706c652e6f7267"

pytestmark = pytest.mark.skipif(not os.path.exists(LIBRARY), reason="SKIP: make tools builds proxy_preload.so")


def environment(version, **settings):
    env = {k: v for k, v in os.environ.items() if not k.startswith("PROXY_PRELOAD")}
    env.update({"LD_PRELOAD": LIBRARY, "PROXY_PRELOAD": version})
    env.update({f"PROXY_PRELOAD_{k}": v for k, v in settings.items()})
    return env


def free_port(family=socket.AF_INET, host="127.0.0.1"):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.bind((host, 0))
        return s.getsockname()[1]


class Listener:
    """Takes one connection, greets it if told to, and keeps what it sends until its end."""

    def __init__(self, greeting=b"", answer=b"", host="127.0.0.1"):
        self.server = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.port = self.server.getsockname()[1]
        self.greeting, self.answer, self.received, self.first = greeting, answer, b"", None
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        connection, _ = self.server.accept()
        with connection:
            connection.settimeout(10)
            self.first = connection.recv(65536)
            self.received = self.first
            connection.sendall(self.greeting or self.answer)
            with contextlib.suppress(OSError):
                while data := connection.recv(65536):
                    self.received += data

    def result(self):
        self.thread.join(15)
        self.server.close()
        assert not self.thread.is_alive(), "the connection did not end"
        return self.received


def python(code, env):
    """A client of our own writing: every way to send that libc has."""
    return subprocess.run([sys.executable, "-c", "import os, socket, sys\n" + code], env=env, timeout=20, check=True,
                          capture_output=True, text=True).stdout


@pytest.fixture
def haproxy(tmp_path):
    """Answers with the client it has read out of the PROXY header."""
    port, plain = free_port(), free_port()
    config = tmp_path / "haproxy.cfg"
    config.write_text(f"""
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 5s
frontend answer
    bind 127.0.0.1:{port} accept-proxy
    bind 127.0.0.1:{plain}
    http-request return status 200 content-type text/plain lf-string "%[src]:%[src_port] %[dst]:%[dst_port] %[fc_pp_authority]"
""")
    path = shutil.which("haproxy") or "/usr/sbin/haproxy"
    process = subprocess.Popen([path, "-db", "-f", str(config)], stderr=subprocess.DEVNULL)

    def listens():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    try:
        until(listens, 10)
        yield port, plain
    finally:
        process.terminate()
        process.wait(10)


def curl(port, env):
    return subprocess.run(["curl", "-s", "--max-time", "10", f"http://127.0.0.1:{port}/"], env=env, timeout=20, check=False,
                          capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize("when", ["write", "connect"])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_curl_through_haproxy(haproxy, version, when):
    env = environment(version, SRC="203.0.113.7:4711", DST="198.51.100.1:443", WHEN=when)
    assert curl(haproxy[0], env) == "203.0.113.7:4711 198.51.100.1:443"
    env = environment(version, SRC="[2001:db8::7]:4711", DST="[2001:db8::1]:443", WHEN=when)
    assert curl(haproxy[0], env) == "2001:db8::7:4711 2001:db8::1:443"


def test_own_addresses_are_the_default(haproxy):
    answer = curl(haproxy[0], environment("v2"))
    assert re.fullmatch(rf"127\.0\.0\.1:\d+ 127\.0\.0\.1:{haproxy[0]}", answer)


def test_tlvs_reach_haproxy(haproxy):
    assert curl(haproxy[0], environment("v2", TLV=AUTHORITY)).endswith(" example.org")


def test_only_the_listed_targets(haproxy):
    port, plain = haproxy
    for targets in (f"127.0.0.1:{port}", f"192.0.2.1,*:{port}"):
        env = environment("v1", SRC="203.0.113.7:4711", TO=targets)
        assert curl(port, env).startswith("203.0.113.7:4711 ")
        assert curl(plain, env).startswith("127.0.0.1:")


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("close", [False, True])
def test_wrk_loses_no_request(haproxy, version, close):
    headers = ["-H", "Connection: close"] if close else []
    out = subprocess.run(["wrk", "-t2", "-c20", "-d1s", *headers, f"http://127.0.0.1:{haproxy[0]}/"], timeout=30, check=True,
                         env=environment(version, SRC="203.0.113.0/24"), capture_output=True, text=True).stdout
    assert "Non-2xx" not in out and "Socket errors" not in out, out
    assert int(re.search(r"(\d+) requests in", out)[1]) > 100, out


SENDERS = {
    "write": "os.write(s.fileno(), b'hello')",
    "send": "s.send(b'hello')",
    "writev": "os.writev(s.fileno(), [b'hel', b'lo'])",
    "sendmsg": "s.sendmsg([b'hel', b'lo'])",
}


@pytest.mark.parametrize("how", SENDERS)
def test_header_and_data_share_a_segment(how):
    listener = Listener()
    python(f"s = socket.create_connection(('127.0.0.1', {listener.port}))\n{SENDERS[how]}\ns.send(b' world')",
           environment("v1", SRC="203.0.113.7:4711", DST="198.51.100.1:443"))
    received = listener.result()
    assert received == b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 443\r\nhello world"
    assert listener.first.startswith(b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 443\r\nhello")


def test_sendfile(tmp_path):
    (tmp_path / "data").write_bytes(b"x" * 100000)
    listener = Listener()
    python(f"s = socket.create_connection(('127.0.0.1', {listener.port}))\ns.sendfile(open({str(tmp_path / 'data')!r}, 'rb'))",
           environment("v1", SRC="203.0.113.7:4711", DST="198.51.100.1:443"))
    assert listener.result() == b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 443\r\n" + b"x" * 100000


def test_client_that_reads_first():
    listener = Listener(greeting=b"220 hello\r\n")
    out = python(f"s = socket.create_connection(('127.0.0.1', {listener.port}))\nprint(s.recv(100))\ns.send(b'EHLO')",
                 environment("v1"))
    assert "220 hello" in out
    assert re.fullmatch(rb"PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 \d+ \d+\r\nEHLO", listener.result())


def test_client_that_says_nothing():
    listener = Listener()
    python(f"s = socket.create_connection(('127.0.0.1', {listener.port}))\ns.shutdown(socket.SHUT_WR)", environment("v1"))
    assert re.fullmatch(rb"PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 \d+ \d+\r\n", listener.result())


def test_nonblocking_connect_and_eager_header():
    listener = Listener(greeting=b"220 hello\r\n")
    code = f"""
import select
s = socket.socket()
s.setblocking(False)
s.connect_ex(('127.0.0.1', {listener.port}))
select.select([], [s], [])
assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
assert select.select([s], [], [], 5)[0], "no greeting: the header has not left"
print(s.recv(100))
"""
    assert "220 hello" in python(code, environment("v1", WHEN="connect"))
    assert listener.result().startswith(b"PROXY TCP4 ")


def test_reused_descriptor_gets_its_own_header():
    listeners = [Listener(), Listener()]
    code = "\n".join(f"s = socket.create_connection(('127.0.0.1', {x.port})); s.send(b'a'); s.send(b'b'); s.close()" for x in listeners)
    python(code, environment("v1", SRC="203.0.113.0/30", DST="198.51.100.1:443"))
    assert [x.result() for x in listeners] == [b"PROXY TCP4 203.0.113.%d 198.51.100.1 %d 443\r\nab" % (n, 1024 + n) for n in (0, 1)]


def test_mixed_families_are_written_mapped():
    listener = Listener(host="::1")
    python(f"s = socket.create_connection(('::1', {listener.port})); s.send(b'x')", environment("v1", SRC="203.0.113.7:4711"))
    assert listener.result() == b"PROXY TCP6 ::ffff:203.0.113.7 ::1 4711 %d\r\nx" % listener.port


def test_datagrams_and_local_sockets_are_left_alone():
    python("""
a = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); a.bind(('127.0.0.1', 0))
b = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); b.connect(a.getsockname()); b.send(b'x')
assert a.recv(100) == b'x'
c, d = socket.socketpair(); c.send(b'y'); assert d.recv(100) == b'y'
""", environment("v1"))


@pytest.mark.parametrize("name, value", [
    ("", "v3"), ("_SRC", "203.0.113.0/33"), ("_SRC", "host"), ("_DST", "203.0.113.0/24"), ("_TO", "a,b"), ("_TLV", "012"),
    ("_TLV", "zz"), ("_WHEN", "later"), ("_SRC", "1.2.3.4:70000"),
])
def test_wrong_word_ends_the_program(name, value):
    env = dict(environment("v1"), **{f"PROXY_PRELOAD{name}": value})
    done = subprocess.run(["true"], env=env, timeout=10, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"PROXY_PRELOAD{name}={value}: not understood" in done.stderr


def test_v2_bytes():
    listener = Listener()
    python(f"s = socket.create_connection(('127.0.0.1', {listener.port})); s.send(b'x')",
           environment("v2", SRC="203.0.113.7:4711", DST="198.51.100.1:443", TLV=AUTHORITY))
    addresses = socket.inet_aton("203.0.113.7") + socket.inet_aton("198.51.100.1") + (4711).to_bytes(2, "big") + (443).to_bytes(2, "big")
    tlvs = bytes.fromhex(AUTHORITY)
    assert listener.result() == V2 + b"\x21\x11" + (12 + len(tlvs)).to_bytes(2, "big") + addresses + tlvs + b"x"
