# SPDX-License-Identifier: BSD-2-Clause
"""The servers that are measured, each between the same clients and the same backends."""
import ctypes
import os
import signal
import subprocess
import time

import measure

WEB, SINK, ECHO, WEB_PROXY = 9000, 9001, 9002, 9003
BACKENDS = {"web": WEB, "sink": SINK, "echo": ECHO}
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)

NGINX = """daemon off;
{modules}
worker_processes 2;
pid {directory}/{name}.pid;
error_log {directory}/{name}.log;
events {{ worker_connections 8192; }}
{body}
"""

WEB_BODY = """http {{
    access_log off;
    sendfile on;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    client_header_timeout 600s;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    root {directory}/www;
    server {{
        listen 127.0.0.1:{web} reuseport;
        location = / {{ return 200 "forty-two bytes of a quite ordinary answer"; }}
    }}
    server {{
        listen 127.0.0.1:{web_proxy} reuseport proxy_protocol;
        location = / {{ return 200 "forty-two bytes of a quite ordinary answer"; }}
    }}
}}"""

HAPROXY = """global
    nbthread 2
    maxconn 6000
defaults
    mode tcp
    option splice-auto
    timeout connect 5s
    timeout client 600s
    timeout server 600s
"""

PATHS = {
    "copy": "kernel_path = off\nsplice = no",
    "splice": "kernel_path = off",
    "auto": "kernel_path = auto",
    "kernel": "kernel_path = auto\nsplice = no",
    "always": "kernel_path = always",
}


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def listening():
    """Local TCP ports in the state LISTEN."""
    with open("/proc/net/tcp", encoding="ascii") as file:
        rows = [line.split() for line in file.read().split("\n")[1:] if line]
    return {int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A"}


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    return path


class Server:
    """Processes that stand ready when start() returns and are gone when stop() does."""

    def __init__(self, name, directory, ports):
        self.name, self.directory, self.ports = name, directory, ports
        self.processes = []

    def commands(self):
        """The command lines; writes what configuration they need."""
        return []

    @property
    def pids(self):
        return [process.pid for process in self.processes]

    def start(self):
        log = open(f"{self.directory}/{self.name}.out", "ab")  # pylint: disable=consider-using-with
        with log:
            for command in self.commands():
                self.processes.append(subprocess.Popen(  # pylint: disable=consider-using-with
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent))
        end = time.monotonic() + 10
        while not set(self.ports.values()) <= listening():
            if time.monotonic() > end or any(process.poll() is not None for process in self.processes):
                self.stop()
                raise RuntimeError(f"{self.name} does not listen; see {self.directory}/{self.name}.out")
            time.sleep(0.01)

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes = []


class Web(Server):
    """The backend of the HTTP loads; its second port takes the header itself."""

    def __init__(self, directory):
        super().__init__("backend-web", directory, {"web": WEB, "web-proxy": WEB_PROXY})

    def commands(self):
        body = WEB_BODY.format(directory=self.directory, web=WEB, web_proxy=WEB_PROXY)
        text = NGINX.format(directory=self.directory, name=self.name, modules="", body=body)
        return [["nginx", "-c", write(f"{self.directory}/{self.name}.conf", text)]]


class Plain(Server):
    """The backend of the other loads."""

    def __init__(self, directory, tools):
        super().__init__("backend-plain", directory, {"sink": SINK, "echo": ECHO})
        self.tools = tools

    def commands(self):
        return [[f"{self.tools}/bench_server", str(SINK), str(ECHO), "2"]]


class Contender(Server):
    """What stands between; speaks PROXY unless it is nothing at all."""

    header = True
    loads = None  # all of them

    def version(self):
        return ""


class Direct(Contender):
    header = False

    def __init__(self, directory):
        super().__init__("no proxy", directory, BACKENDS)


class App(Contender):
    loads = ("requests", "latency", "connections", "download")

    def __init__(self, directory):
        super().__init__("app itself", directory, {"web": WEB_PROXY})


def ports_from(first):
    return {name: first + i for i, name in enumerate(BACKENDS)}


def output(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout.strip().split("\n")[0]


class Haproxy(Contender):
    def __init__(self, directory):
        super().__init__("haproxy", directory, ports_from(9100))

    def commands(self):
        text = HAPROXY
        for name, port in self.ports.items():
            text += f"listen {name}\n    bind 127.0.0.1:{port} accept-proxy\n"
            text += f"    server {name} 127.0.0.1:{BACKENDS[name]}\n"
        return [["haproxy", "-db", "-f", write(f"{self.directory}/haproxy.cfg", text)]]

    def version(self):
        return "HAProxy " + output(["haproxy", "-v"]).split()[2]


class NginxStream(Contender):
    def __init__(self, directory):
        super().__init__("nginx", directory, ports_from(9110))

    def commands(self):
        servers = "".join(
            f"    server {{ listen 127.0.0.1:{port} proxy_protocol reuseport; proxy_pass 127.0.0.1:{BACKENDS[name]}; }}\n"
            for name, port in self.ports.items())
        module = "/usr/lib/nginx/modules/ngx_stream_module.so"
        text = NGINX.format(directory=self.directory, name="stream", body="stream {\n" + servers + "}",
                            modules=f"load_module {module};" if os.path.exists(module) else "")
        return [["nginx", "-c", write(f"{self.directory}/stream.conf", text)]]

    def version(self):
        return "nginx " + output(["nginx", "-v"]).split("/")[-1]


class GoMmproxy(Contender):
    """Transparent: what the backends send to the clients' addresses must come back to this host."""

    rules = (["rule", "{}", "from", "127.0.0.0/8", "iif", "lo", "table", "123"],
             ["route", "{}", "local", "0.0.0.0/0", "dev", "lo", "table", "123"])

    def __init__(self, directory):
        super().__init__("go-mmproxy", directory, ports_from(9120))

    def commands(self):
        return [["go-mmproxy", "-l", f"127.0.0.1:{port}", "-4", f"127.0.0.1:{BACKENDS[name]}", "-listeners", "2"]
                for name, port in self.ports.items()]

    def route(self, verb, check):
        for rule in self.rules:
            subprocess.run(["ip"] + [word.format(verb) for word in rule], check=check, stderr=subprocess.DEVNULL)

    def start(self):
        self.route("add", True)
        super().start()

    def stop(self):
        super().stop()
        self.route("del", False)

    def version(self):
        return "go-mmproxy " + output(["dpkg-query", "-W", "-f", "${Version}", "go-mmproxy"])


class Unproxy(Contender):
    def __init__(self, directory, binary, path, client_log=False):
        super().__init__("unproxy-" + path + ("-log" if client_log else ""), directory, ports_from(9130))
        self.binary, self.path, self.client_log = binary, path, client_log

    def start(self):
        """Without the kernel path its figures would stand for another path's."""
        log = f"{self.directory}/{self.name}.out"
        open(log, "w", encoding="utf-8").close()  # pylint: disable=consider-using-with
        super().start()
        refused = [line for line in measure.lines(log) if "kernel_path.off" in line]
        if refused and self.path in ("kernel", "always"):
            self.stop()
            raise RuntimeError(refused[0])

    def commands(self):
        log = f"{self.directory}/clients.log" if self.client_log else "off"
        text = f"[unproxy]\nclient_log = {log}\n"
        for name, port in self.ports.items():
            text += f"[listener {name}]\nbind = 127.0.0.1:{port}\ntrust = 127.0.0.0/8\n{PATHS[self.path]}\n"
            text += f"backend = {name}\n[backend {name}]\nserver = 127.0.0.1:{BACKENDS[name]}\n"
        return [[self.binary, "run", "-c", write(f"{self.directory}/{self.name}.conf", text)]]


class Inline(Contender):
    """On the backends' own ports, for as long as it runs: nothing else is between client and backend."""

    loads = ("requests", "latency", "connections", "websocket", "download", "upload")

    def __init__(self, directory, binary):
        super().__init__("unproxy-inline", directory, BACKENDS)
        self.binary = binary

    def start(self):
        """The ports listen all the time: only the log says when the programs are there."""
        log = f"{self.directory}/{self.name}.out"
        open(log, "w", encoding="utf-8").close()  # pylint: disable=consider-using-with
        super().start()
        end = time.monotonic() + 10
        while not any("ready" in line for line in measure.lines(log)):
            if time.monotonic() > end or self.processes[0].poll() is not None:
                self.stop()
                raise RuntimeError(f"{self.name} is not ready; see {log}")
            time.sleep(0.01)

    def commands(self):
        text = "[unproxy]\nclient_log = off\ndetach_on_exit = yes\n"
        for name, port in self.ports.items():
            text += f"[listener {name}]\nengine = inline\nport = {port}\ninterfaces = lo\ntrust = 127.0.0.0/8\n"
        return [[self.binary, "run", "-c", write(f"{self.directory}/{self.name}.conf", text)]]


def all_contenders(directory, binary):
    return [Direct(directory), App(directory), Haproxy(directory), NginxStream(directory), GoMmproxy(directory)] + [
        Unproxy(directory, binary, path) for path in PATHS] + [Inline(directory, binary)]
