// SPDX-License-Identifier: BSD-2-Clause
// Compares the parser's answers with those of proxy-protocol-js, an independent implementation.
// Usage: node compare.js BATCH [COUNT [SEED]]     (BATCH: the program built from batch.c)
// Each disagreement must be explained by a rule below, which looks for its evidence in the bytes
// and not in our answer. One that no rule explains is printed, and the exit code is 1.
'use strict';

const { spawnSync } = require('child_process');
const net = require('net');
const theirs = require('proxy-protocol-js');
const { Generator, SIGNATURE, crc32c } = require('./generate.js');

// ---- the two answers in one form: {verdict, end, command, transport, source, destination}

function ourAnswer(line) {
  const [verdict, reason, len, version, command, transport, hasAddr, tlvAt, tlvLen, src, sport, dst, dport] = line.split(' ');
  const told = hasAddr === '1';
  return { verdict, reason, end: Number(len), version: Number(version), command: Number(command), transport: Number(transport),
    tlvAt: Number(tlvAt), tlvLen: Number(tlvLen), source: told ? `${src} ${sport}` : null, destination: told ? `${dst} ${dport}` : null };
}

const MAPPED = '00000000000000000000ffff';

const hex = (list) => Buffer.from(list).toString('hex');

function ipv4Hex(text) {
  return MAPPED + hex(text.split('.').map(Number));
}

// The text of a valid IPv6 address as 16 bytes.
function ipv6Hex(text) {
  const dotted = /(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (dotted) {
    const v4 = ipv4Hex(dotted[2]).slice(24);
    text = `${dotted[1]}${v4.slice(0, 4)}:${v4.slice(4)}`;
  }
  const [before, after] = text.split('::').map((half) => half.split(':').filter((group) => group));
  const middle = after ? Array(8 - before.length - after.length).fill('0') : [];
  return [...before, ...middle, ...(after || [])].map((group) => group.padStart(4, '0')).join('').toLowerCase();
}

function v1Peer(peer) {
  if (net.isIPv4(peer.ipAddress)) return `${ipv4Hex(peer.ipAddress)} ${peer.port}`;
  if (isIPv6(peer.ipAddress)) return `${ipv6Hex(peer.ipAddress)} ${peer.port}`;
  return `"${peer.ipAddress}" ${peer.port}`;
}

function v2Peer(address, port) {
  const bytes = address.address;
  return `${bytes.length === 4 ? MAPPED : ''}${hex(bytes)} ${port}`;
}

function theirV1(bytes) {
  const header = theirs.V1BinaryProxyProtocol.parse(bytes);
  const told = header.inetProtocol !== 'UNKNOWN';
  return { verdict: 'complete', version: 1, command: 1, end: bytes.length - header.data.length, raw: header,
    source: told ? v1Peer(header.source) : null, destination: told ? v1Peer(header.destination) : null };
}

function theirV2(bytes) {
  const header = theirs.V2ProxyProtocol.parse(bytes);
  const address = header.proxyAddress;
  const isIp = address.sourcePort !== undefined;
  return { verdict: 'complete', version: 2, command: header.command, transport: header.addressFamilyType | header.transportProtocol,
    tlvAt: 16 + address.getLength(), source: isIp ? v2Peer(address.sourceAddress, address.sourcePort) : null,
    destination: isIp ? v2Peer(address.destinationAddress, address.destinationPort) : null };
}

function theirAnswer(bytes) {
  try {
    switch (theirs.ProxyProtocolIdentifier.identify(bytes)) {
      case theirs.ProxyProtocolVersion.V1: return theirV1(bytes);
      case theirs.ProxyProtocolVersion.V2: return theirV2(bytes);
      default: return { verdict: 'invalid' };
    }
  } catch (error) {
    return { verdict: 'invalid', why: error.message };
  }
}

// What both tell, and in which of it they differ. Theirs knows no end of a version 2 header.
const COMPARED = { 1: ['verdict', 'version', 'command', 'end', 'source', 'destination'],
  2: ['verdict', 'version', 'command', 'transport', 'tlvAt', 'source', 'destination'] };

function differences(ours, their) {
  if (ours.verdict !== 'complete' || their.verdict !== 'complete') return ours.verdict === their.verdict ? [] : ['verdict'];
  return COMPARED[ours.version].filter((field) => ours[field] !== their[field]);
}

// ---- evidence, found without the help of either parser

const isIPv6 = (text) => net.isIPv6(text) && !text.includes('%');
const text = (bytes) => bytes.toString('latin1');
const isV2 = (bytes) => bytes.length >= 16 && bytes.subarray(0, 12).equals(SIGNATURE);
const v2End = (bytes) => 16 + bytes.readUInt16BE(14);
const v2Whole = (bytes) => isV2(bytes) && bytes.length >= v2End(bytes);
const isLocal = (bytes) => isV2(bytes) && bytes[12] === 0x20;
const isUnspec = (bytes) => isV2(bytes) && bytes[12] === 0x21 && bytes[13] >> 4 === 0;
const addressesLen = (bytes) => ({ 1: 12, 2: 36, 3: 216 })[bytes[13] >> 4] || 0;

// The fields of a line as the other implementation takes them: anything between single spaces.
function v1Fields(bytes) {
  const match = /^PROXY (TCP4|TCP6|UNKNOWN) ([^ ]+) ([^ ]+) ([0-9]+) ([0-9]+)\r\n/.exec(text(bytes));
  return match && { family: match[1], addresses: [match[2], match[3]], ports: [match[4], match[5]], end: match[0].length };
}

function sslProblem(value) {
  if (value.length < 5) return 'ssl_length';
  for (let at = 5; at < value.length;) {
    if (value.length - at < 3 || at + 3 + value.readUInt16BE(at + 1) > value.length) return 'ssl_tlv';
    at += 3 + value.readUInt16BE(at + 1);
  }
  return null;
}

// The first thing wrong with the TLVs between at and the header's end, as the specification has it.
function tlvProblem(bytes, at) {
  const end = v2End(bytes);
  let crcAt = 0;
  while (at < end) {
    if (end - at < 3) return 'tlv_tail';
    const [type, len] = [bytes[at], bytes.readUInt16BE(at + 1)];
    if (at + 3 + len > end) return 'tlv_overrun';
    if (type === 3 && len !== 4) return 'crc32c_length';
    if (type === 5 && len > 128) return 'unique_id_length';
    const inside = type === 0x20 && sslProblem(bytes.subarray(at + 3, at + 3 + len));
    if (inside) return inside;
    if (type === 3 && !crcAt) crcAt = at + 3;
    at += 3 + len;
  }
  if (!crcAt) return null;
  const zeroed = Buffer.from(bytes.subarray(0, end));
  zeroed.fill(0, crcAt, crcAt + 4);
  return crc32c(zeroed) === bytes.readUInt32BE(crcAt) ? null : 'crc32c_mismatch';
}

// ---- the rules

const refusedByUs = (ours, their) => ours.verdict === 'invalid' && their.verdict === 'complete';
const refusedByThem = (ours, their) => ours.verdict === 'complete' && their.verdict === 'invalid';

const RULES = [
  { name: 'they cannot wait',
    // Their parsers are given a whole header or fail: a prefix of one is an error like any other. Ours says so.
    applies: (bytes, ours, their) => ours.verdict === 'incomplete' && their.verdict === 'invalid' &&
      (isV2(bytes) ? !v2Whole(bytes) : bytes.length < 107 &&
        (SIGNATURE.subarray(0, bytes.length).equals(bytes.subarray(0, 12)) || text(bytes).startsWith('PROXY'.slice(0, bytes.length)))) },
  { name: 'they do not wait for the length field',
    // Version 2: they take the addresses as soon as 16 bytes are there, from beyond the end of what came if need be.
    applies: (bytes, ours, their) => ours.verdict === 'incomplete' && their.verdict === 'complete' && isV2(bytes) && !v2Whole(bytes) },
  { name: 'they take any word for an address',
    // Version 1: [^ ]+ to them, be it "localhost" or 256.1.1.1. Node's own net.isIP is the judge here.
    applies: (bytes, ours, their) => {
      const fields = refusedByUs(ours, their) && v1Fields(bytes);
      const valid = fields && { TCP4: net.isIPv4, TCP6: isIPv6, UNKNOWN: () => true }[fields.family];
      return fields && !fields.addresses.every((address) => valid(address)) && /^v1_(ipv4|ipv6|family|line_end|separator)$/.test(ours.reason);
    } },
  { name: 'they take any number for a port',
    // Version 1: 65536 and 080 are ports to them.
    applies: (bytes, ours, their) => {
      const fields = refusedByUs(ours, their) && v1Fields(bytes);
      return fields && ours.reason === 'v1_port' && fields.ports.some((port) => Number(port) > 65535 || /^0./.test(port));
    } },
  { name: 'they know no limit of 107 bytes',
    applies: (bytes, ours, their) => {
      const fields = refusedByUs(ours, their) && v1Fields(bytes);
      return fields && ours.reason === 'v1_too_long' && text(bytes).indexOf('\r\n') + 2 > 107;
    } },
  { name: 'they want addresses behind UNKNOWN',
    // The specification lets a sender leave them out, and a receiver ignore what is there up to CRLF.
    applies: (bytes, ours, their) => refusedByThem(ours, their) && /^PROXY UNKNOWN( [^]*?)?\r\n/.exec(text(bytes))?.[0].length === ours.end },
  { name: 'they look for the end of UNKNOWN behind its fields',
    // ... so a CR LF inside of what they take for an address does not end the line.
    applies: (bytes, ours, their) => ours.verdict === 'complete' && their.verdict === 'complete' && text(bytes).startsWith('PROXY UNKNOWN ') &&
      ours.end === text(bytes).indexOf('\r\n') + 2 && their.end > ours.end },
  { name: 'they do not look at TLVs',
    // Neither whether they fill the header, nor at a checksum.
    applies: (bytes, ours, their) => refusedByUs(ours, their) && v2Whole(bytes) &&
      tlvProblem(bytes, 16 + (isLocal(bytes) || isUnspec(bytes) ? 0 : addressesLen(bytes))) === ours.reason },
  { name: 'they want addresses in a LOCAL header',
    // The specification: "discard the protocol block including the family which is ignored". An NLB's health check is such.
    applies: (bytes, ours, their) => refusedByThem(ours, their) && isLocal(bytes) && v2Whole(bytes) && ours.end === v2End(bytes) &&
      (v2End(bytes) - 16 < addressesLen(bytes) || bytes[13] >> 4 > 3 || (bytes[13] & 15) > 2) },
  { name: 'they leave it to the caller when addresses are not used',
    // LOCAL, datagrams, no protocol: they tell what stands there, we tell that the socket's own addresses count. Where the
    // TLVs of a LOCAL header begin differs for the same reason: we take the whole block.
    applies: (bytes, ours, their) => ours.verdict === 'complete' && their.verdict === 'complete' && isV2(bytes) && ours.source === null &&
      ours.destination === null && (isLocal(bytes) || (bytes[13] & 15) !== 1) &&
      differences(ours, their).every((field) => field === 'source' || field === 'destination' || (isLocal(bytes) && field === 'tlvAt')) },
];

// ---- the run

function generate(count, seed) {
  const generator = new Generator(seed);
  return Array.from({ length: count }, () => generator.header());
}

function ourAnswers(batch, headers) {
  const input = Buffer.concat(headers.flatMap((bytes) => {
    const size = Buffer.alloc(4);
    size.writeUInt32LE(bytes.length);
    return [size, bytes];
  }));
  const { stdout, status, error } = spawnSync(batch, { input, maxBuffer: 1 << 30 });
  if (error || status !== 0) throw error || new Error(`${batch} exited with ${status}`);
  return stdout.toString().trimEnd().split('\n').map(ourAnswer);
}

function report(agreed, explained, unexplained, total) {
  const verdicts = Object.entries(agreed).map(([verdict, n]) => `${n} ${verdict}`).join(', ');
  console.log(`  agreed on: ${verdicts}`);
  for (const rule of RULES) console.log(`  ${String(explained.get(rule.name) || 0).padStart(7)}  ${rule.name}`);
  for (const { bytes, ours, their } of unexplained.slice(0, 10)) {
    console.log(`  UNEXPLAINED ${bytes.toString('hex')}\n    ${JSON.stringify(text(bytes))}`);
    console.log(`    ours   ${JSON.stringify(ours)}\n    theirs ${JSON.stringify({ ...their, raw: undefined })}`);
  }
  // A rule that explains nothing is one that nobody tested.
  const idle = RULES.filter((rule) => !explained.has(rule.name)).map((rule) => rule.name);
  if (idle.length) console.log(`  rules without a case: ${idle.join('; ')}`);
  console.log(`differential: ${total} headers, ${unexplained.length} disagreements unexplained`);
  return unexplained.length || idle.length ? 1 : 0;
}

function main([batch, count = '150000', seed = '1']) {
  const headers = generate(Number(count), Number(seed));
  const answers = ourAnswers(batch, headers);
  if (answers.length !== headers.length) throw new Error(`${answers.length} answers to ${headers.length} headers`);
  const agreed = {}, explained = new Map(), unexplained = [];
  headers.forEach((bytes, i) => {
    const ours = answers[i], their = theirAnswer(bytes);
    if (!differences(ours, their).length) {
      agreed[ours.verdict] = (agreed[ours.verdict] || 0) + 1;
      return;
    }
    const rule = RULES.find((candidate) => candidate.applies(bytes, ours, their));
    if (rule) explained.set(rule.name, (explained.get(rule.name) || 0) + 1);
    else unexplained.push({ bytes, ours, their });
  });
  return report(agreed, explained, unexplained, headers.length);
}

process.exitCode = main(process.argv.slice(2));
