# SPDX-License-Identifier: BSD-2-Clause
"""A TCP client made by hand: which bytes a segment has, when it is sent, and how often, is the test's. IPv4."""
import fcntl
import socket
import struct

from .netns import HOST4

ADDRESS, MASK = "10.77.0.77", 0xffffffff  # nobody's: the kernel keeps out of it
ISS = 0xfff00000  # sequence numbers wrap soon
SYN, RST, PSH, ACK = 2, 4, 8, 16
SO_SNDBUFFORCE = 32
SOL_PACKET, PACKET_VNET_HDR, ETH_P_IP = 263, 15, 0x0800
NEEDS_CSUM, GSO_TCPV4 = 1, 1
MSS, WSCALE = 1400, 8
SIOCGIFHWADDR = 0x8927
RTM_NEWLINK, RTM_GETLINK, NLM_F_REQUEST, NLM_F_ACK, IFLA_GSO_IPV4_MAX_SIZE = 16, 18, 1, 4, 63


def long_segments(ns, device, size):
    """Let segments of so many bytes pass whole ("BIG TCP" for IPv4). False: this kernel has none (before Linux 6.3)."""
    attribute = struct.pack("=HHI", 8, IFLA_GSO_IPV4_MAX_SIZE, size)  # iproute2 6.1 cannot say it
    with ns, socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
        link = struct.pack("=BxHiII", 0, 0, socket.if_nametoindex(device), 0, 0)
        s.send(struct.pack("=IHHII", 40, RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, 1, 0) + link + attribute)
        s.recv(1 << 16)
        s.send(struct.pack("=IHHII", 32, RTM_GETLINK, NLM_F_REQUEST, 2, 0) + link)
        return attribute in s.recv(1 << 16)


def mac(ns, device):
    with ns, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        return fcntl.ioctl(s, SIOCGIFHWADDR, struct.pack("16s16x", device.encode()))[18:24]


def checksum(data):
    """The Internet's (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


class Segments:
    """One connection to HOST4; offsets count its bytes from 0."""

    def __init__(self, net, port, device="wire"):
        net.host.batch(f"neigh replace {ADDRESS} lladdr {mac(net.client, device).hex(':')} dev {device}")
        self.port, self.acked, self.window, self.their_next = port, 0, 0, 0
        self.ethernet = mac(net.host, device) + mac(net.client, device) + struct.pack(">H", ETH_P_IP)
        with net.client:
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 4 << 20)
        self.socket.bind((device, 0))
        self.socket.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        self.socket.settimeout(10)
        self._send(ISS, SYN, options=struct.pack(">BBHBBBx", 2, 4, MSS, 3, 3, WSCALE))
        self._hear(lambda flags: flags & SYN)
        self._send(ISS + 1, ACK)

    def _send(self, seq, flags, data=b"", options=b""):
        offset = (20 + len(options)) // 4 << 4
        total = 20 + 20 + len(options) + len(data)
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, total if total < 65536 else 0, 0, 0x4000, 64, 6, 0, *map(socket.inet_aton, (ADDRESS, HOST4)))
        ip = ip[:10] + struct.pack(">H", checksum(ip)) + ip[12:]
        partial = ~checksum(ip[12:20] + struct.pack(">II", 6, total - 20)) & 0xffff  # the rest is the device's
        tcp = struct.pack(">HHIIBBHHH", 1024, self.port, seq & MASK, self.their_next, offset, flags, 65535, partial, 0) + options
        gso = (GSO_TCPV4, MSS) if len(data) > MSS else (0, 0)
        vnet = struct.pack("=BBHHHH", NEEDS_CSUM, gso[0], 14 + len(ip) + len(tcp), gso[1], 14 + len(ip), 16)
        self.socket.send(vnet + self.ethernet + ip + tcp + data)

    def _hear(self, enough):
        """Read what the host says until it is enough; what has been acknowledged is noted."""
        while True:
            frame = self.socket.recv(1 << 18)[10 + 14:]
            tcp = frame[(frame[0] & 15) * 4:]
            source, _, seq, ack, _, flags, window = struct.unpack_from(">HHIIBBH", tcp)
            if source != self.port or frame[16:20] != socket.inet_aton(ADDRESS):
                continue
            if flags & SYN:
                self.their_next = seq + 1 & MASK
                options = tcp[20:(tcp[12] >> 4) * 4]
                self.scale = options[options.index(b"\x03\x03") + 2]
            else:
                self.acked = ack - ISS - 1 & MASK
                self.window = window << self.scale
            if enough(flags):
                return

    def send(self, offset, data):
        """One segment, however long."""
        self._send(ISS + 1 + offset, ACK | PSH, data)

    def until_acked(self, offset):
        self._hear(lambda _: self.acked == offset)

    def close(self):
        self._send(ISS + 1 + self.acked, RST)
        self.socket.close()
