# SPDX-License-Identifier: BSD-2-Clause
"""A service manager, played: it keeps descriptors, stops a unit as its ExecStop= says, and starts it again."""
import os
import shlex
import signal
import socket
import subprocess
import threading

from . import tools

UNIT = os.path.join(tools.ROOT, "dist/unproxy.service")


def exec_stop(control):
    """The unit's own line, as systemd would run it, for a daemon that listens elsewhere."""
    with open(UNIT) as f:
        line = next(line for line in f if line.startswith("ExecStop="))
    words = shlex.split(line.partition("=")[2].lstrip("-").replace("$$", "$").replace("%n", "unproxy.service"))
    assert "/usr/sbin/unproxy store" in words[-1]
    return words[:-1] + [words[-1].replace("/usr/sbin/unproxy store", f"{tools.UNPROXY} store --control {control}")]


class Keeper:
    """NOTIFY_SOCKET's other end, in a thread of its own: who asks for a barrier waits for it."""

    def __init__(self, directory, most=4):
        self.most, self.kept, self.heard = most, [], []
        self.directory = str(directory)
        self.path = os.path.join(self.directory, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self):
        while True:
            data, fds, _, _ = socket.recv_fds(self.socket, 4096, 8)
            text = data.decode()
            if text == "END":
                return
            self.heard.append(text)
            said = dict(line.split("=", 1) for line in text.splitlines())
            name = said.get("FDNAME")
            if "FDSTOREREMOVE" in said:
                self.drop(name)
            for fd in fds:
                if "FDSTORE" in said and len(self.kept) < self.most:
                    assert said.get("FDPOLL") == "0", "an end without another is dropped else"
                    self.kept.append((fd, name))
                else:  # also a barrier's
                    os.close(fd)

    def drop(self, name=None):
        for kept in [kept for kept in self.kept if name in (None, kept[1])]:
            self.kept.remove(kept)
            os.close(kept[0])

    def systemctl(self, job):
        """What finds it first, on PATH: the jobs of the unit."""
        path = os.path.join(self.directory, "systemctl")
        with open(path, "w") as f:
            f.write(f"#!/bin/sh\n[ \"$*\" = 'list-jobs --plain --no-legend unproxy.service' ] && echo ' 42 unproxy.service {job} running'\n")
        os.chmod(path, 0o755)
        return {**os.environ, "PATH": self.directory + ":" + os.environ["PATH"]}

    def stop(self, daemon, job="restart"):
        """As far as the daemon has been told; whether it has ended is its own affair."""
        done = subprocess.run(daemon.ns.argv(exec_stop(daemon.control)), env=self.systemctl(job), timeout=30, capture_output=True, text=True)
        if daemon.alive():
            daemon.process.send_signal(signal.SIGTERM)
        return done

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(b"END", self.path)
        self.thread.join(5)
        self.socket.close()
        self.drop()
