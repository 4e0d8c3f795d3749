# SPDX-License-Identifier: BSD-2-Clause
"""A half-open connection whose port is used again: packets written by hand, on a TUN device."""
import fcntl
import os
import select
import socket
import struct
import time

import pytest

from conftest import BARE
from harness import fuzz, headers
from harness import daemon as d
from harness.segments import ACK, PSH, RST, SYN, checksum

pytestmark = pytest.mark.skipif(BARE, reason="SKIP: nothing to see without unproxy")
TUNSETIFF, TUN_NO_PI = 0x400454CA, 0x1001
PORT, A, B = 40000, 1000000, 1020000
HEADER = headers.v2()


class Wire:
    def __init__(self, ns):
        with ns:
            self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH22x", fuzz.DEVICE.encode(), TUN_NO_PI))
        self.ends = socket.inet_aton(fuzz.REMOTE4) + socket.inet_aton(fuzz.HOST4)

    def send(self, flags, seq, ack=0, data=b""):
        tcp = struct.pack(">HHIIBBHHH", PORT, d.PORT, seq, ack, 0x50, flags, 65535, 0, 0) + data
        tcp = tcp[:16] + struct.pack(">H", checksum(self.ends + struct.pack(">HH", 6, len(tcp)) + tcp)) + tcp[18:]
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0) + self.ends
        os.write(self.fd, ip[:10] + struct.pack(">H", checksum(ip)) + ip[12:] + tcp)

    def answers(self, seconds=0.1):
        """[(flags, seq, ack, data)] of what comes within that time of silence."""
        got = []
        while select.select([self.fd], [], [], seconds)[0]:
            packet = os.read(self.fd, 65536)
            if packet[0] >> 4 == 4 and packet[9] == 6:
                _, _, seq, ack, head, flags = struct.unpack(">HHIIBB", packet[20:34])
                got.append((flags, seq, ack, packet[20 + (head >> 4) * 4:]))
        return got

    def opens(self, isn):
        """SYN until a SYN-ACK comes for it; returns the host's first sequence number."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            self.send(SYN, isn)
            for flags, seq, ack, _ in self.answers():
                if flags & (SYN | ACK) == SYN | ACK and ack == isn + 1:
                    return seq + 1
        raise AssertionError("no SYN-ACK")


@pytest.fixture
def wire_by_hand(inline):
    fuzz.device(inline.net.host, "tun")
    inline.start(interfaces=fuzz.DEVICE, trust=fuzz.TRUST, header_timeout="3s")
    app = inline.net.host.listen(fuzz.HOST4, d.PORT)
    wire = Wire(inline.net.host)
    yield wire, app
    os.close(wire.fd)
    app.close()


def assert_served(wire, app, irs, isn):
    """The connection of that ISN works: header, data, an answer."""
    wire.send(PSH | ACK, isn + 1, irs, HEADER + b"hello")
    acks = [ack - isn - 1 for _, _, ack, _ in wire.answers()]
    assert acks and acks[-1] == len(HEADER) + 5, f"acknowledged: {acks}"
    s, _ = app.accept()
    assert s.recv(100) == b"hello"
    s.sendall(b"world")
    assert [data for *_, data in wire.answers() if data] == [b"world"]
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def test_a_new_syn_over_a_half_open_connection(wire_by_hand):
    """The client forgot the first and begins anew, inside the first one's window."""
    wire, app = wire_by_hand
    irs = wire.opens(A)
    wire.send(PSH | ACK, A + 1, irs, HEADER[:5])
    assert [ack for _, _, ack, _ in wire.answers()] == [A + 6]
    assert_served(wire, app, wire.opens(B), B)


@pytest.mark.parametrize("at", [0, 5, 13])
def test_an_rst_of_a_half_open_connection(wire_by_hand, at):
    """Where the host expects it, or at what the client has sent last: the port is free for the next connection."""
    wire, app = wire_by_hand
    irs = wire.opens(A)
    wire.send(PSH | ACK, A + 1, irs, HEADER[:5])
    wire.send(PSH | ACK, A + 1 + 8, irs, HEADER[8:13])  # out of order
    wire.answers()
    wire.send(RST, A + 1 + at)
    for flags, _, ack, _ in wire.answers():
        assert not flags & RST
        wire.send(RST, ack)  # a closed socket's answer to whatever comes
    wire.answers()
    wire.send(SYN, B)
    assert [(flags, ack) for flags, _, ack, _ in wire.answers()] == [(SYN | ACK, B + 1)], "the first SYN is answered"
