# SPDX-License-Identifier: BSD-2-Clause
"""Small servers that say what they got, in threads of the test's own process."""
import socket
import threading

from . import headers


class Recorder:
    """Accepts, collects what each connection sends, answers with what it got; with a PROXY header
    in front if that is expected."""
    open = []  # of the test that runs

    def __init__(self, ns, port, address="127.0.0.1", greeting=b""):
        self.seen, self.peers, self.greeting = [], [], greeting
        self.listener = ns.listen(address, port)
        self.listener.settimeout(None)
        Recorder.open.append(self)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                s, peer = self.listener.accept()
            except OSError:
                return
            self.peers.append(peer[0])
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        got = bytearray()
        self.seen.append(got)
        try:
            s.sendall(self.greeting)
            while data := s.recv(65536):
                got += data
                s.sendall(data)
            s.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        s.close()

    @classmethod
    def close_all(cls):
        while cls.open:
            cls.open[0].close()

    def close(self):
        if self in Recorder.open:
            Recorder.open.remove(self)
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()


def read_all(s):
    """Everything up to the end, and the end: "eof" or "rst"."""
    data = b""
    try:
        while more := s.recv(65536):
            data += more
        return data, "eof"
    except ConnectionResetError:
        return data, "rst"


def send_quietly(s, data):
    """All, and the end; or as much as goes."""
    try:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def send_and_read(s, data):
    """Both at once, on a connection that stands: more than anything on the way holds. Returns what read_all() does."""
    sender = threading.Thread(target=send_quietly, args=(s, data))
    sender.start()
    got = read_all(s)
    sender.join()
    return got


def ask(ns, address, port, data, source=None, finish=True):
    """Send, half-close, read all. Returns (answer, "eof" or "rst")."""
    s = ns.socket(address, source)
    try:
        s.connect((address, port))
        s.sendall(data)
        if finish:
            s.shutdown(socket.SHUT_WR)
        return read_all(s)
    except OSError:  # ECONNRESET, EPIPE, or ENOTCONN when the RST was first
        return b"", "rst"
    finally:
        s.close()


def echo(ns, address, port, text=b"hello", header=None, source=None):
    """One whole turn through the relay to a Recorder; true if the text came back."""
    header = headers.v1() if header is None else header
    return ask(ns, address, port, header + text, source) == (text, "eof")
