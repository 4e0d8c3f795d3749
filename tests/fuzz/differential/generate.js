// SPDX-License-Identifier: BSD-2-Clause
// Headers for the differential run: valid ones of every kind, and such with a defect.
// Deterministic: the same seed gives the same bytes.
'use strict';

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');

// mulberry32: small, and good enough to mix cases.
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  };
}

function crc32c(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

class Generator {
  constructor(seed) {
    this.next = random(seed);
  }

  below(n) {
    return this.next() % n;
  }

  chance(percent) {
    return this.below(100) < percent;
  }

  pick(list) {
    return list[this.below(list.length)];
  }

  bytes(n) {
    return Buffer.from(Array.from({ length: n }, () => this.below(256)));
  }

  // ---- version 1

  ipv4() {
    return Array.from({ length: 4 }, () => this.pick([0, 1, 9, 10, 99, 100, 192, 255, this.below(256)])).join('.');
  }

  ipv6() {
    const groups = Array.from({ length: 8 }, () => this.pick(['0', '1', 'ffff', this.below(65536).toString(16)]));
    if (this.chance(25)) groups.splice(6, 2, this.ipv4());
    let text = groups.join(':');
    if (this.chance(50)) {
      const from = this.below(groups.length - 1);
      const n = 1 + this.below(groups.length - 1 - from);
      text = groups.slice(0, from).join(':') + '::' + groups.slice(from + n).join(':');
    }
    return this.chance(20) ? text.toUpperCase() : text;
  }

  oddAddress() {
    return this.pick(['256.1.1.1', '1.2.3', '1.2.3.4.5', '01.2.3.4', '::1::', ':::', '1:2:3:4:5:6:7:8:9', 'fe80::1%eth0',
      '[::1]', '', 'localhost', '12345::', '1.2.3.4.', '0x7f.0.0.1', ':1::2', '1::2:', '\u00ff', '1.2.3.4\0', '1.2.3.4\r\n',
      this.ipv4(), this.ipv6()]);
  }

  port() {
    return String(this.pick([0, 1, 80, 443, 65535, this.below(65536)]));
  }

  oddPort() {
    return this.pick(['65536', '99999', '00', '080', '+1', '-1', '', '0x50', '1e3', '4294967376', '1 ', '1\n']);
  }

  v1(odd) {
    if (this.chance(12)) return this.v1Unknown();
    const family = this.pick(['TCP4', 'TCP6']);
    const address = family === 'TCP4' ? () => this.ipv4() : () => this.ipv6();
    const fields = [address(), address(), this.port(), this.port()];
    const word = odd && this.chance(5) ? this.pick(['TCP', 'TCP5', 'UDP4', 'tcp4', 'UNKNOWNX', '']) : family;
    if (odd && this.chance(60)) fields[this.below(2)] = this.oddAddress();
    else if (odd && this.chance(60)) fields[2 + this.below(2)] = this.oddPort();
    if (odd && this.chance(5)) fields.splice(this.below(4), 1);
    const end = odd && this.chance(8) ? this.pick(['\n', '\r', ' \r\n', '\r\r\n', '']) : '\r\n';
    return Buffer.from(['PROXY', word, ...fields].join(' ') + end, 'latin1');
  }

  v1Unknown() {
    const rest = this.pick(['', ' ', ' a b 1 2', ' 192.0.2.1 192.0.2.2 1 2', ' ::1 ::2 3 4', ' a\rb c 1 2', ' a\r\nb c 1 2', ' a b 1',
      ' ' + 'x'.repeat(this.below(100)), ' ' + 'x'.repeat(this.below(100)) + ' y 1 2']);
    return Buffer.from('PROXY UNKNOWN' + rest + '\r\n', 'latin1');
  }

  // ---- version 2

  tlv(type, value) {
    return Buffer.concat([Buffer.from([type, value.length >> 8, value.length & 255]), value]);
  }

  ssl() {
    const inner = Array.from({ length: this.below(4) }, () => this.tlv(0x21 + this.below(8), this.bytes(this.below(12))));
    return this.tlv(0x20, Buffer.concat([this.bytes(5), ...inner]));
  }

  oddTlv() {
    return this.pick([() => this.bytes(1 + this.below(2)), () => Buffer.from([2, 0, 9, 1]), () => this.tlv(3, this.bytes(3)),
      () => this.tlv(3, this.bytes(4)), () => this.tlv(5, this.bytes(129 + this.below(9))), () => this.tlv(0x20, this.bytes(4)),
      () => this.tlv(0x20, Buffer.concat([this.bytes(5), Buffer.from([0x21, 0, 9, 1])]))])();
  }

  tlvs(odd) {
    const list = Array.from({ length: this.below(5) }, () => this.chance(15) ? this.ssl()
      : this.tlv(this.pick([1, 2, 4, 5, 0x30, 0xe0, 0xe1, 0xe9, 0xea, 0xee, 0x06, 0xff]), this.bytes(this.below(40))));
    if (odd) list.splice(this.below(list.length + 1), 0, this.oddTlv());
    return Buffer.concat(list);
  }

  v2(odd) {
    const command = odd && this.chance(5) ? this.below(16) : this.chance(15) ? 0 : 1;
    const known = this.pick([0x11, 0x11, 0x11, 0x21, 0x21, 0x12, 0x22, 0x31, 0x32, 0x00, 0x10, 0x01]);
    const transport = odd && this.chance(8) ? this.below(256) : known;
    const wanted = { 1: 12, 2: 36, 3: 216 }[transport >> 4] || 0;
    const size = odd && this.chance(15) ? this.below(wanted + 4) : command === 0 && this.chance(50) ? 0 : wanted;
    const tlvs = this.tlvs(odd && this.chance(70));
    const block = Buffer.concat([this.bytes(size), tlvs]);
    const checksummed = this.chance(30) ? Buffer.concat([block, this.tlv(3, Buffer.alloc(4))]) : block;
    const header = Buffer.concat([SIGNATURE, Buffer.from([(odd && this.chance(4) ? this.below(16) : 2) << 4 | command,
      transport, checksummed.length >> 8, checksummed.length & 255]), checksummed]);
    if (checksummed !== block) header.writeUInt32BE(crc32c(header), header.length - 4);
    return header;
  }

  // ---- what happens on the way

  damage(bytes) {
    const at = this.below(bytes.length || 1);
    const copy = Buffer.from(bytes);
    switch (this.below(6)) {
      case 0:
        if (copy.length) copy[at] ^= 1 << this.below(8);
        return copy;
      case 1:
        if (copy.length) copy[at] = this.below(256);
        return copy;
      case 2:
        return Buffer.concat([copy.subarray(0, at), copy.subarray(at + 1)]);
      case 3:
        return Buffer.concat([copy.subarray(0, at), this.bytes(1), copy.subarray(at)]);
      case 4:
        return copy.subarray(0, at);
      default:
        if (copy.length > 15) copy.writeUInt16BE(this.below(300), 14);
        return copy;
    }
  }

  payload() {
    return this.pick([Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n'), Buffer.from('\r\n'), this.v1(false), this.v2(false),
      this.bytes(this.below(20))]);
  }

  header() {
    const odd = this.chance(45);
    let bytes = this.chance(50) ? this.v1(odd) : this.v2(odd);
    if (this.chance(20)) bytes = this.damage(bytes);
    if (this.chance(30)) bytes = Buffer.concat([bytes, this.payload()]);
    return bytes;
  }
}

module.exports = { Generator, SIGNATURE, crc32c };
