# SPDX-License-Identifier: BSD-2-Clause
"""The demo's stage: three hosts as network namespaces, a balancer, three apps, and a way to wait for events.

Runs inside namespaces of its own (scripts/demo.sh); nothing here is seen from outside.
"""
import os
import selectors
import socket
import subprocess
import threading
import time

CLIENT4, CLIENT6 = "203.0.113.10", "2001:db8::10"
PUBLIC4, PUBLIC6 = "203.0.113.1", "2001:db8::1"
BALANCER, HOST = "10.0.0.1", "10.0.0.2"
WS_APP, FILE_APP, BYTES_APP = 3000, 3001, 3002
DEADLINE = 20

HAPROXY = f"""
global
    maxconn 200
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    unique-id-format demo-%[uuid()]

listen bytes_direct
    bind {PUBLIC4}:9001
    server app {HOST}:{BYTES_APP} send-proxy
listen cable_direct
    bind {PUBLIC4}:9000
    server app {HOST}:{WS_APP} send-proxy

listen bytes_v1
    bind {PUBLIC4}:9002
    server unproxy {HOST}:8082 send-proxy
listen cable_v1
    bind {PUBLIC4}:80
    server unproxy {HOST}:8080 send-proxy
listen files_v1
    bind {PUBLIC4}:8000
    server unproxy {HOST}:8081 send-proxy
listen cable_v2
    bind [{PUBLIC6}]:443 ssl crt {{dir}}/site.pem
    server unproxy {HOST}:8080 send-proxy-v2-ssl proxy-v2-options unique-id,authority,crc32c
listen files_v2
    bind {PUBLIC4}:8001
    server unproxy {HOST}:8081 send-proxy-v2 proxy-v2-options unique-id,crc32c
"""

NGINX = f"""
user root;
worker_processes 1;
pid {{dir}}/nginx.pid;
error_log stderr crit;
events {{{{ worker_connections 64; }}}}
http {{{{
    access_log off;
    client_body_temp_path {{dir}}; proxy_temp_path {{dir}}; fastcgi_temp_path {{dir}};
    uwsgi_temp_path {{dir}}; scgi_temp_path {{dir}};
    sendfile on;
    server {{{{ listen 127.0.0.1:{FILE_APP}; root {{dir}}/files; }}}}
}}}}
"""

UNPROXY = f"""
[unproxy]
client_log = -

[listener cable]
bind    = {HOST}:8080
trust   = {BALANCER}
backend = 127.0.0.1:{WS_APP}

[listener files]
bind    = {HOST}:8081
trust   = {BALANCER}
backend = 127.0.0.1:{FILE_APP}

[listener bytes]
bind    = {HOST}:8082
trust   = {BALANCER}
backend = 127.0.0.1:{BYTES_APP}
"""

INLINE = f"""
[unproxy]
client_log = -

[listener cable]
engine     = inline
port       = {WS_APP}
interfaces = lan
trust      = {BALANCER}
"""


class DemoError(Exception):
    pass


def run(*argv):
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise DemoError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def start_daemon(log, *argv):
    """Start what goes to the background by itself once its ports are open. It keeps its output: a file."""
    with open(log, "w+") as output:
        if subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False, timeout=20).returncode:
            output.seek(0)
            raise DemoError(f"{' '.join(argv)}: {output.read().strip()}")


def at(namespace, *argv):
    return ["ip", "netns", "exec", namespace, *argv] if namespace else list(argv)


class Program:
    """A process whose output is read line by line; lines are waited for, not slept for."""

    def __init__(self, *argv, namespace=None, **options):
        self.name = os.path.basename(argv[0])
        self.seen = []
        self.process = subprocess.Popen(at(namespace, *argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, **options)
        self.selector = selectors.DefaultSelector()
        self.rest = {self.process.stdout: b"", self.process.stderr: b""}
        for stream in self.rest:
            self.selector.register(stream, selectors.EVENT_READ)

    def lines(self, seconds):
        """Yield ("out" | "err", line) as they come, until both ends are closed; DemoError after so long."""
        deadline = time.monotonic() + seconds
        while self.selector.get_map():
            ready = self.selector.select(max(0, deadline - time.monotonic()))
            if not ready:
                raise DemoError(f"{self.name} said nothing for {seconds} s; before: {self.seen[-5:]}")
            for key, _ in ready:
                stream = key.fileobj
                data = os.read(stream.fileno(), 65536)
                if not data:
                    self.selector.unregister(stream)
                *whole, self.rest[stream] = (self.rest[stream] + data).split(b"\n")
                for line in whole:
                    line = line.decode(errors="replace")
                    self.seen.append(line)
                    yield ("out" if stream is self.process.stdout else "err"), line

    def wait_line(self, wanted, seconds=DEADLINE):
        """The next line that wanted(line) accepts."""
        for _, line in self.lines(seconds):
            if wanted(line):
                return line
        raise DemoError(f"{self.name} ended ({self.process.wait()}): " + " | ".join(self.seen[-8:]))

    def say(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def end(self):
        """Close its input and wait for it; the exit code."""
        self.process.stdin.close()
        for _ in self.lines(DEADLINE):
            pass
        return self.process.wait(DEADLINE)

    def terminate(self):
        self.process.terminate()
        return self.process.wait(DEADLINE)


class FirstBytes(threading.Thread):
    """An app that tells what came first on each connection, and answers enough for curl."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("0.0.0.0", BYTES_APP))
        self.got = []

    def run(self):
        while True:
            connection, peer = self.listener.accept()
            with connection:
                data = b""
                while b"\r\n\r\n" not in data:
                    more = connection.recv(4096)
                    if not more:
                        break
                    data += more
                if data:
                    self.got.append((peer[0], data))
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def build_network():
    """client -- lb -- this namespace, which is the host that runs unproxy."""
    run("mount", "-t", "tmpfs", "tmpfs", "/run")  # private: ip keeps the names of namespaces there
    run("mount", "-t", "bpf", "bpffs", "/sys/fs/bpf")  # private: pins end with the demo
    for namespace in ("client", "lb"):
        run("ip", "netns", "add", namespace)
        run("ip", "-n", namespace, "link", "set", "lo", "up")
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "wan", "netns", "client", "type", "veth", "peer", "name", "wan", "netns", "lb")
    run("ip", "link", "add", "lan", "type", "veth", "peer", "name", "lan", "netns", "lb")
    for namespace, link, *addresses in (
        ("client", "wan", CLIENT4 + "/24", CLIENT6 + "/64"),
        ("lb", "wan", PUBLIC4 + "/24", PUBLIC6 + "/64"),
        ("lb", "lan", BALANCER + "/24"),
        (None, "lan", HOST + "/24"),
    ):
        ip = ["ip"] + (["-n", namespace] if namespace else [])
        for address in addresses:
            run(*ip, "address", "add", address, "dev", link, *(["nodad"] if ":" in address else []))
        run(*ip, "link", "set", link, "up")


def write_files(directory, megabytes):
    os.makedirs(f"{directory}/files")
    with open(f"{directory}/files/large", "wb") as large:
        for _ in range(megabytes):
            large.write(os.urandom(1 << 20))
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", "/CN=chat.example", "-addext", "subjectAltName=DNS:chat.example",
        "-keyout", f"{directory}/key.pem", "-out", f"{directory}/ca.pem")
    with open(f"{directory}/site.pem", "w") as site:
        site.write(open(f"{directory}/ca.pem").read() + open(f"{directory}/key.pem").read())
    for name, text in (("haproxy.cfg", HAPROXY.format(dir=directory)), ("nginx.conf", NGINX.format(dir=directory)),
                       ("unproxy.conf", UNPROXY), ("inline.conf", INLINE)):
        with open(f"{directory}/{name}", "w") as file:
            file.write(text)


def start_apps(directory):
    """Each is waited for until it listens; nginx goes to the background by then."""
    app = Program("node", "scripts/demo/app.js", str(WS_APP))
    app.wait_line(lambda line: line == "listening")
    bytes_app = FirstBytes()
    bytes_app.start()
    start_daemon(f"{directory}/nginx.log", "nginx", "-e", "stderr", "-p", directory, "-c", f"{directory}/nginx.conf")
    return app, bytes_app


def start_balancer(directory):
    """HAProxy goes to the background once its ports are open."""
    start_daemon(f"{directory}/haproxy.log", *at("lb", "haproxy", "-q", "-D", "-f", f"{directory}/haproxy.cfg"))
