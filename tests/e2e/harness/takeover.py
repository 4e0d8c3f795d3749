# SPDX-License-Identifier: BSD-2-Clause
"""A daemon that takes over, played by the test: it says what the protocol says, as far as the test wants."""
import array
import os
import signal
import socket
import struct

MAGIC = 0x4F545055
(HELLO, REFUSED, WELCOME, LISTENER, PINS, CHANGE, CHANNEL, PREPARED, CLEAR, BEGIN, TOTALS, TOTAL, COMMITTED, SESSION, TAKEN, LEFT) = range(1, 17)
VERSION = 2
NO_TOTALS = struct.pack("=QQI19x", 0, 0, 0)


def spawn_told(daemon, number):
    """A daemon that is told to stop before it has begun to look."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        daemon.spawn()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    os.kill(daemon.pid, number)


class End:
    """One end of a SOCK_SEQPACKET socket; what is received keeps no descriptors."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(10)

    def say(self, kind, body=b""):
        self.sock.send(struct.pack("=IH", MAGIC, kind) + body)

    def hear(self):
        """kind, body, descriptors; None at the end."""
        fds = array.array("i")
        data, control, _, _ = self.sock.recvmsg(1 << 17, socket.CMSG_SPACE(16))
        for level, what, value in control:
            if (level, what) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(value[:len(value) - len(value) % 4])
        if not data:
            return None
        magic, kind = struct.unpack_from("=IH", data)
        assert magic == MAGIC
        return kind, data[6:], list(fds)

    def close(self):
        self.sock.close()


class Host:
    """The daemon that runs, played as well: what it has is a greeting."""

    def __init__(self, path):
        self.door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.door.bind(path)
        self.door.listen(1)
        self.door.settimeout(10)

    def welcome(self):
        """Whoever comes, once it has its answer."""
        guest = End(self.door.accept()[0])
        assert guest.hear()[0] == HELLO
        guest.say(WELCOME, struct.pack("=HIIIII", VERSION, 0, 0, 0, 0, 0))
        return guest

    def close(self):
        self.door.close()


class Guest(End):
    def __init__(self, path):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.connect(path)
        super().__init__(sock)
        self.fds, self.channels, self.n_listeners = [], [], 0

    def hello(self, lowest=VERSION, highest=VERSION):
        """The answer's kind, and the text of a refusal."""
        self.say(HELLO, struct.pack("=HH", lowest, highest))
        kind, body, _ = self.hear()
        if kind == REFUSED:
            return kind, body[2:].decode()
        assert kind == WELCOME
        version, self.n_listeners, pins, changes, workers, self.n_connections = struct.unpack("=HIIIII", body)
        assert version == VERSION
        for expected in [LISTENER] * self.n_listeners + [PINS] * pins + [CHANGE] * changes + [CHANNEL] * workers:
            kind, _, fds = self.hear()
            assert kind == expected and len(fds) == (0 if kind == CHANGE else 1)
            if kind == CHANNEL:
                self.channels.append(End(socket.socket(fileno=fds[0])))
            else:
                self.fds += fds
        return WELCOME, ""

    def prepared(self):
        self.say(PREPARED, b"\x01" + b"\xff" * ((self.n_listeners + 7) // 8))
        assert self.hear()[0] == CLEAR

    def begin(self):
        self.say(BEGIN)

    def die(self):
        for channel in self.channels:
            channel.close()
        for fd in self.fds:
            os.close(fd)
        self.close()
