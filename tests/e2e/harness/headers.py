# SPDX-License-Identifier: BSD-2-Clause
"""PROXY headers for the tests, written from the specification alone."""
import ipaddress
import struct

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def v1(client="198.51.100.7", port=40000, server="203.0.113.9", server_port=443):
    family = "TCP6" if ":" in client else "TCP4"
    return f"PROXY {family} {client} {server} {port} {server_port}\r\n".encode()


def tlv(kind, value):
    return struct.pack(">BH", kind, len(value)) + value


def v2(client="198.51.100.7", port=40000, server="203.0.113.9", server_port=443, tlvs=b"", command=1, crc=False):
    a, b = ipaddress.ip_address(client), ipaddress.ip_address(server)
    body = a.packed + b.packed + struct.pack(">HH", port, server_port) + tlvs
    if crc:
        body += tlv(3, b"\0\0\0\0")
    head = SIGNATURE + struct.pack(">BBH", 0x20 | command, 0x11 if a.version == 4 else 0x21, len(body))
    if crc:
        body = body[:-4] + struct.pack(">I", crc32c(head + body))
    return head + body


LOCAL = SIGNATURE + b"\x20\x00\x00\x00"


def parse(data):
    """(client, port, length, rest) of a complete header in front of data, else None."""
    if data.startswith(b"PROXY "):
        end = data.find(b"\r\n")
        if end < 0:
            return None
        words = data[:end].decode().split()
        if words[1] == "UNKNOWN":
            return None, 0, end + 2, b""
        return words[2], int(words[4]), end + 2, b""
    if len(data) < 16 or not data.startswith(SIGNATURE):
        return None
    kind, length = data[13], struct.unpack(">H", data[14:16])[0]
    if len(data) < 16 + length:
        return None
    body, width = data[16:16 + length], {0x11: 4, 0x21: 16}.get(kind)
    if not width:
        return None, 0, 16 + length, body
    port = struct.unpack(">H", body[2 * width:2 * width + 2])[0]
    return str(ipaddress.ip_address(body[:width])), port, 16 + length, body[2 * width + 4:]
