# SPDX-License-Identifier: BSD-2-Clause
"""The daemon under test: its configuration, its life, what it logs."""
import fcntl
import json
import os
import re
import resource
import shlex
import signal
import subprocess
import threading
import time

from . import leaks, tools
from .netns import CLIENT4, CLIENT6, HOST4, HOST6
from .wait import until

PATHS = {
    "copy": {"kernel_path": "off", "splice": "no"},
    "splice": {"kernel_path": "off", "promote_bytes": "16k"},
    "auto": {"kernel_path": "auto", "splice": "no"},
    "always": {"kernel_path": "always"},
}
LOCAL = {4: "127.0.0.1", 6: "[::1]"}
LISTEN = {4: HOST4, 6: HOST6}
CLIENT = {4: CLIENT4, 6: CLIENT6}
TRUST = "10.77.0.0/24, fd77::/64"
PORT, BACKEND_PORT = 8080, 3000
LISTEN_FDS_START = 3
LEVEL = re.compile(r"^(<\d>)?(error|warning|warn|info|debug): ")


def section(name, **keys):
    lines = [f"[{name}]"]
    for key, value in keys.items():
        lines += [f"{key} = {v}" for v in (value if isinstance(value, list) else [value])]
    return "\n".join(lines) + "\n"


def listener(name="main", path="auto", bind=f"*:{PORT}", backend="main", **keys):
    settings = {"bind": bind, "trust": TRUST, "backend": backend, **PATHS[path], **keys}
    return section(f"listener {name}", **settings)


def backend(name="main", server=f"127.0.0.1:{BACKEND_PORT}", **keys):
    return section(f"backend {name}", server=server, **keys)


def one_path(path, server, **keys):
    """A whole file: one listener, one server. `epoll` is `copy` where the host has no io_uring."""
    general = section("unproxy", io_uring="no") if path == "epoll" else ""
    return general + listener(path="copy" if path == "epoll" else path, **keys) + backend(server=server)


def words(line):
    """event, {key: value} of a line of the daemon's log."""
    line = LEVEL.sub("", line)
    parts = shlex.split(line, posix=True) if line.count('"') % 2 == 0 else line.split()
    return (parts[0] if parts else ""), dict(p.split("=", 1) for p in parts[1:] if "=" in p)


class Daemon:
    pinned = True
    pooled_pipe_fds = 64 * 2 * (os.cpu_count() or 1)  # splice keeps up to 64 pipes a worker

    def __init__(self, ns, directory, text=None, flags=None, client_log=True, wrap=(), nofile=None, env=None, sockets=()):
        """text: the file's sections (client_log is added); flags: in place of a file;
        sockets: [(socket, name)], handed over as a service manager does (env is the test's own then)."""
        self.ns, self.directory, self.lines = ns, str(directory), []
        os.makedirs(self.directory, exist_ok=True)
        self.client_log = os.path.join(self.directory, "clients.log")
        self.control = os.path.join(self.directory, "control.sock")
        self.file = os.path.join(self.directory, "unproxy.conf")
        if flags is None:
            self.write(text, client_log)
            flags = ["-c", self.file]
        else:
            flags = [*flags, "--control", self.control]
        self.argv = [*wrap, tools.UNPROXY, "run", *flags]
        self.nofile, self.env, self.sockets = nofile, env, sockets
        self.wakeup = threading.Condition()
        self.process = None

    def write(self, text, client_log=True):
        if "[unproxy]" not in text:
            text = section("unproxy") + text
        keys = f"client_log = {self.client_log if client_log else 'off'}\n"
        if "\ncontrol = " not in text:
            keys += f"control = {self.control}\n"
        text = text.replace("[unproxy]\n", "[unproxy]\n" + keys)
        with open(self.file, "w") as f:
            f.write(text)

    @property
    def pid(self):
        return self.process.pid

    def spawn(self):
        def limit():
            if self.nofile:
                resource.setrlimit(resource.RLIMIT_NOFILE, (self.nofile, self.nofile))
            if self.sockets:  # in the child, behind fork(): its environment, its descriptors
                copies = [fcntl.fcntl(s, fcntl.F_DUPFD, 100) for s, _ in self.sockets]
                for fd, copy in enumerate(copies, LISTEN_FDS_START):
                    os.dup2(copy, fd)
                os.environ.update(LISTEN_FDS=str(len(copies)), LISTEN_PID=str(os.getpid()),
                                  LISTEN_FDNAMES=":".join(name for _, name in self.sockets))
        # nsenter replaces itself: the pid is the daemon's.
        self.process = self.ns.popen(self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, text=True, errors="replace", preexec_fn=limit, env=self.env,
                                     pass_fds=range(LISTEN_FDS_START, LISTEN_FDS_START + len(self.sockets)))
        self.reader = threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True)
        self.reader.start()
        return self

    def _read(self, stream):
        for line in stream:
            with self.wakeup:
                self.lines.append(line.rstrip("\n"))
                self.wakeup.notify_all()
        with self.wakeup:
            self.wakeup.notify_all()

    def start(self):
        self.spawn()
        self.wait_for("ready")
        return self

    def ask(self, *words, expect=0):
        """`unproxy WORDS...` of this daemon: its standard output."""
        done = subprocess.run(self.ns.argv([tools.UNPROXY, words[0], "--control", self.control, *words[1:]]),
                              capture_output=True, text=True, timeout=30)
        assert done.returncode == expect, f"exit code {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def log(self):
        return "\n".join(self.lines)

    def events(self, name):
        return [fields for event, fields in map(words, list(self.lines)) if event == name]

    def wait_for(self, name, seconds=15, count=1, dead=False):
        """The last one's fields; dead: it may have ended behind it."""
        deadline = time.monotonic() + seconds
        with self.wakeup:
            while len(self.events(name)) < count:
                left = deadline - time.monotonic()
                assert left > 0 and (dead or self.alive()), f"the daemon's log has no {name}:\n{self.log()}"
                self.wakeup.wait(min(left, 0.2))
        return self.events(name)[-1]

    def wait_text(self, text, seconds=15):
        return until(lambda: [line for line in self.lines if text in line],
                     lambda: f"{text!r} in the daemon's log:\n{self.log()}", seconds)

    def alive(self):
        return self.process.poll() is None

    def records(self, count=None, seconds=10, **want):
        """Lines of the client log with these values; waits until there are count."""
        def read():
            try:
                with open(self.client_log) as f:
                    lines = [json.loads(line) for line in f if line.endswith("\n")]
            except FileNotFoundError:
                lines = []
            found = [r for r in lines if all(r.get(k) == v for k, v in want.items())]
            return found if count is None or len(found) >= count else None
        if count is None:
            return read()
        return until(read, lambda: f"{count} lines {want} in the client log:\n{self.tail()}\n{self.log()}", seconds)

    def tail(self):
        try:
            with open(self.client_log) as f:
                return f.read()[-2000:]
        except FileNotFoundError:
            return "(no file)"

    def exit_code(self, seconds=15):
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the daemon did not end within {seconds} s:\n{self.log()}") from None
        self.reader.join(5)
        return code

    def stop(self):
        """SIGTERM, exit 0, no pins left."""
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
        code = self.exit_code()
        assert code == 0, f"exit code {code}:\n{self.log()}"
        if self.pinned:
            assert not leaks.pins(), f"pins left after the stop: {leaks.pins()}"

    def kill(self):
        if self.process and self.alive():
            self.process.kill()
            self.process.wait()

    def cpu_seconds(self):
        return leaks.cpu_seconds(self.pid)

    def rss_kib(self):
        return leaks.rss_kib(self.pid)


class HaproxyStandIn(Daemon):
    """Debian's HAProxy in the daemon's place: proves that the plain cases can pass (E2E_STAND_IN=haproxy)."""
    pinned = False

    def spawn(self):
        servers = [line.split("=", 1)[1].split()[0] for line in open(self.file) if line.startswith("server")]
        text = "global\n  nbthread 2\n  maxconn 2000\ndefaults\n  mode tcp\n  timeout client 60s\n  timeout server 60s\n"
        text += f"  timeout connect 5s\n  option splice-auto\nfrontend f\n  bind :::{PORT} v4v6 accept-proxy\n  default_backend b\nbackend b\n"
        text += "".join(f"  server s{i} {s}\n" for i, s in enumerate(servers))
        with open(self.file, "w") as f:
            f.write(text)
        self.argv = ["haproxy", "-db", "-f", self.file]
        super().spawn()
        return self

    def start(self):
        self.spawn()

        def listening():
            try:
                self.ns.connect(HOST4, PORT).close()
                return True
            except OSError:
                return False
        until(listening, "haproxy listens")
        return self

    def stop(self):
        self.kill()


class RelayStandIn(HaproxyStandIn):
    """tests/e2e/faulty_relay.py in the daemon's place, with one fault."""

    def __init__(self, ns, directory, fault, server):
        super().__init__(ns, directory, text="")
        self.argv = ["/usr/bin/python3", os.path.join(tools.ROOT, "tests/e2e/faulty_relay.py"), str(PORT), *server, fault]

    def spawn(self):
        return Daemon.spawn(self)

    def start(self):
        self.spawn()
        self.wait_for("ready")
        return self
