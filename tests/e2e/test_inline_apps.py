# SPDX-License-Identifier: BSD-2-Clause
"""Unmodified servers behind `engine = inline`, each asked who its client is: Ruby's TCPServer (the echo
server of many a balancer's tutorial), sshd, Redis, and TLS that the app itself speaks."""
import os
import re
import shutil
import socket
import ssl
import subprocess

import pytest

from conftest import BARE
from harness import headers
from harness.netns import CLIENT4, HOST4, HOST6
from harness.wait import until

pytestmark = pytest.mark.skipif(BARE, reason="SKIP: nothing to see without unproxy")
PORTS = {"ruby": 3000, "redis": 6379, "sshd": 2222, "tls": 4433}
CLIENT = {4: ("198.51.100.7", 40000), 6: ("2001:db8::7", 40001)}

# As the tutorials have it, but for the port and the line that says who asks.
RUBY = """
require 'socket'
server = TCPServer.new(ARGV[0], ARGV[1].to_i)
STDOUT.puts 'ready'
STDOUT.flush
loop do
  Thread.start(server.accept) do |client|
    _, port, _, address = client.peeraddr(false)
    client.puts "#{address} #{port} #{client.remote_address.ip_address}"
    while line = client.gets
      client.puts line
    end
    client.close
  end
end
"""
TLS = """
import ssl, socket, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
listener = socket.create_server(("::", int(sys.argv[3])), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
while True:
    s, peer = listener.accept()
    try:
        with context.wrap_socket(s, server_side=True) as t:
            while data := t.recv(65536):
                t.sendall(data if data != b"who\\n" else f"{peer[0]} {peer[1]}\\n".encode())
    except OSError:
        pass
"""


@pytest.fixture
def app(inline, tmp_path):
    """Start a server of the host's; all of them listen on both families."""
    started = []

    def start(argv, ready="ready", **options):
        if not shutil.which(argv[0]):
            pytest.skip(f"SKIP: no {argv[0]} on this machine")
        process = inline.net.host.popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
        started.append(process)
        for line in process.stdout:
            if ready in line:
                return process
        raise AssertionError(f"{argv[0]} does not start: {process.wait()}")
    yield start
    for process in started:
        process.kill()
        process.wait()


def header(family, version=2):
    server = "203.0.113.9" if family == 4 else "2001:db8::1"
    return (headers.v1 if version == 1 else headers.v2)(*CLIENT[family], server=server)


def connections(inline, port):
    """(socket, family of the header): over both families, with a client of either."""
    for address in (HOST4, HOST6):
        for family in (4, 6):
            s = inline.net.client.connect(address, port)
            yield s, family


def shown(family):
    return ("::ffff:" if family == 4 else "") + CLIENT[family][0]


def read_line(s, end=b"\n"):
    data = b""
    while not data.endswith(end):
        more = s.recv(1)
        assert more, f"the end, after {data}"
        data += more
    return data.decode()


def test_ruby(inline, app):
    """The server speaks first; the client's address is there before it says a word."""
    inline.start(port=PORTS["ruby"])
    app(["ruby", "-e", RUBY, "::", str(PORTS["ruby"])])
    for s, family in connections(inline, PORTS["ruby"]):
        s.sendall(header(family, 1))
        assert read_line(s) == f"{shown(family)} {CLIENT[family][1]} {shown(family)}\n"
        s.sendall(b"hello\n" * 1000)
        assert "".join(read_line(s) for _ in range(1000)) == "hello\n" * 1000
        s.close()


def test_redis(inline, app, tmp_path):
    inline.start(port=PORTS["redis"])
    app(["redis-server", "--port", str(PORTS["redis"]), "--bind", "::", "0.0.0.0", "--protected-mode", "no", "--save", "",
         "--dir", str(tmp_path)], "Ready to accept connections")
    for s, family in connections(inline, PORTS["redis"]):
        s.sendall(header(family) + b"CLIENT INFO\r\n")
        # Redis has two listeners: what comes over IPv4 has an IPv4 socket, on which an IPv6 client cannot be shown.
        size = int(read_line(s)[1:])
        info = read_line(s)
        assert len(info) == size or size == len(info) - 2, info
        found = re.search(r" addr=(\S+) ", info).group(1)
        if s.family == socket.AF_INET6:
            assert found == f"[{shown(family)}]:{CLIENT[family][1]}", info
        elif family == 4:
            assert found == f"198.51.100.7:{CLIENT[4][1]}", info
        else:
            assert found.startswith(CLIENT4 + ":"), info
        s.sendall(b"SET k " + b"v" * 30000 + b"\r\nGET k\r\n")
        assert "OK" in read_line(s, b"+OK\r\n")
        assert read_line(s, b"\r\n$30000\r\n"[2:]) and len(read_line(s, b"v\r\n")) == 30002
        s.close()


@pytest.fixture
def sshd(inline, app, tmp_path):
    os.makedirs("/run/sshd", exist_ok=True)
    os.chmod(tmp_path, 0o700)
    for name in ("host", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    (tmp_path / "authorized").write_text((tmp_path / "key.pub").read_text())
    config = tmp_path / "sshd_config"
    config.write_text(f"ListenAddress [::]:{PORTS['sshd']}\nListenAddress 0.0.0.0:{PORTS['sshd']}\nHostKey {tmp_path}/host\n"
                      f"AuthorizedKeysFile {tmp_path}/authorized\nPidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\n"
                      "ForceCommand echo \"$SSH_CONNECTION\"; cat\n")
    app(["/usr/sbin/sshd", "-D", "-e", "-f", str(config)], "Server listening on 0.0.0.0")
    return ["ssh", "-i", tmp_path / "key", "-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR"]


PROXY = """
import os, select, socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
s.sendall(bytes.fromhex(sys.argv[3]))
while True:
    for fd in select.select([0, s], [], [])[0]:
        data = os.read(0, 65536) if fd == 0 else s.recv(65536)
        if not data and fd == 0:
            s.shutdown(socket.SHUT_WR)
            sys.exit()
        if not data:
            sys.exit()
        s.sendall(data) if fd == 0 else os.write(1, data)
"""


@pytest.mark.parametrize("address, family", [(HOST4, 4), (HOST6, 6), (HOST6, 4)], ids=["4", "6", "4-on-6"])
def test_sshd(inline, sshd, tmp_path, address, family):
    """Server speaks first, and SSH_CONNECTION has the header's client."""
    inline.start(port=PORTS["sshd"])
    script = tmp_path / "proxy.py"
    script.write_text(PROXY)
    command = f"/usr/bin/python3 {script} {address} {PORTS['sshd']} {header(family).hex()}"
    done = subprocess.run(inline.net.client.argv([*sshd, "-o", f"ProxyCommand={command}", "root@unproxy"]), input="x" * 200000,
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    first, rest = done.stdout.split("\n", 1)
    client, port, *_ = first.split()
    assert (client, int(port)) == CLIENT[family] or (client, int(port)) == (shown(family), CLIENT[family][1]), first
    assert rest == "x" * 200000


def test_tls_of_the_app(inline, app, tmp_path):
    """The header is in the clear, in front of the handshake; what follows is the app's own affair."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=unproxy", "-keyout",
                    tmp_path / "key.pem", "-out", tmp_path / "cert.pem"], check=True, capture_output=True)
    script = tmp_path / "tls.py"
    script.write_text(TLS)
    inline.start(port=f"443 -> {PORTS['tls']}")
    app(["/usr/bin/python3", str(script), str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"), str(PORTS["tls"])])
    context = ssl.create_default_context(cafile=tmp_path / "cert.pem")
    context.check_hostname = False
    for s, family in connections(inline, 443):
        s.sendall(header(family))
        with context.wrap_socket(s) as t:
            t.sendall(b"who\n")
            assert t.recv(100).decode() == f"{shown(family)} {CLIENT[family][1]}\n"
            t.sendall(b"z" * 500000)
            got = 0
            while got < 500000:
                got += len(t.recv(65536))


def test_log_names_them_all(inline, app):
    """The client log has what the app was shown, with the bytes each way."""
    inline.start(port=PORTS["ruby"])
    app(["ruby", "-e", RUBY, "::", str(PORTS["ruby"])])
    for s, family in connections(inline, PORTS["ruby"]):
        s.sendall(header(family) + b"one\n")
        lines = read_line(s) + read_line(s)
        s.close()
        record = until(lambda: inline.daemons[0].records(event="end", client_ip=CLIENT[family][0]), "the line of the log")[-1]
        assert record["client_port"] == CLIENT[family][1]
        assert (record["bytes_up"], record["bytes_down"]) == (4, len(lines)), record
