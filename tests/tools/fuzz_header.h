/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random PROXY headers for tcp_fuzz, written from the specification alone: valid ones, whose
 * client carries the connection's port, and ones that must be refused. No I/O.
 */
#ifndef FUZZ_HEADER_H
#define FUZZ_HEADER_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "fuzz_wire.h"
#include "stream_data.h"

#define HEADER_MAX 4096

struct header {
	uint8_t bytes[HEADER_MAX + 64];
	size_t len;
	bool names_client;
	bool client_v6;
	uint8_t client[16];
	const char *kind;
};

static inline uint64_t draw(uint64_t *state, uint64_t below)
{
	*state = stream_mix(*state);
	return below ? (*state >> 11) % below : 0;
}

static inline bool chance(uint64_t *state, unsigned per_mille)
{
	return draw(state, 1000) < per_mille;
}

static inline uint32_t crc32c(const uint8_t *data, size_t len)
{
	uint32_t crc = 0xffffffff;

	while (len--) {
		crc ^= *data++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

__attribute__((format(printf, 2, 3))) static inline void header_text(struct header *h,
								     const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	h->len += (size_t)vsnprintf((char *)h->bytes + h->len, sizeof(h->bytes) - h->len, format,
				    ap);
	va_end(ap);
}

static inline void header_client(struct header *h, uint64_t *random, bool v6)
{
	static const uint8_t net4[] = { 198, 51 }, net6[] = { 0x20, 1, 0xd, 0xb8, 0, 7 };

	memset(h->client, 0, sizeof(h->client));
	memcpy(h->client, v6 ? net6 : net4, v6 ? 6 : 2);
	put16(h->client + (v6 ? 14 : 2), (uint32_t)draw(random, 65536));
	h->client_v6 = v6;
	h->names_client = true;
}

static inline void header_v1(struct header *h, uint64_t *random, uint16_t port)
{
	char text[64];
	unsigned what = (unsigned)draw(random, 5);

	h->kind = "v1";
	if (what == 4) {
		header_text(h, "PROXY UNKNOWN");
		for (size_t n = chance(random, 500) ? 8 * draw(random, 12) : 0; n; n--)
			header_text(h, n % 8 ? "x" : " ");
		header_text(h, "\r\n");
		return;
	}
	header_client(h, random, what >= 2);
	inet_ntop(h->client_v6 ? AF_INET6 : AF_INET, h->client, text, sizeof(text));
	header_text(h, "PROXY TCP%d %s %s %u 443\r\n", h->client_v6 ? 6 : 4, text,
		    h->client_v6 ? "2001:db8:ffff:ffff:ffff:ffff:255.255.255.255" : "203.0.113.9",
		    port);
}

static inline void header_tlv(struct header *h, uint8_t kind, const uint8_t *value, size_t len)
{
	uint8_t *p = h->bytes + h->len;

	p[0] = kind;
	put16(p + 1, (uint32_t)len);
	if (value)
		memcpy(p + 3, value, len);
	else
		memset(p + 3, kind, len);
	h->len += 3 + len;
}

static inline void header_v2_end(struct header *h, size_t crc_at)
{
	put16(h->bytes + 14, (uint32_t)h->len - 16);
	if (crc_at)
		put32(h->bytes + crc_at, crc32c(h->bytes, h->len));
}

/* TLVs up to a total of about max bytes; returns where the CRC32C's value is, or 0. */
static inline size_t header_tlvs(struct header *h, uint64_t *random, size_t max)
{
	static const uint8_t kinds[] = { 1, 2, 4, 5, 0x30, 0xe5, 0xff };
	static const uint8_t ssl[] = {
		1, 0, 0, 0, 0, 0x21, 0, 7, 'T', 'L', 'S', 'v', '1', '.', '3'
	};
	size_t crc_at = 0;
	unsigned crc_before = chance(random, 600) ? (unsigned)draw(random, 4) : 99;

	for (unsigned i = 0; i < 4; i++) {
		size_t left = max > h->len + 24 ? max - h->len - 24 : 0,
		       n = draw(random, left < 129            ? left + 1
					: chance(random, 300) ? left
							      : 129);
		uint8_t kind = kinds[draw(random, sizeof(kinds))];

		if (i == crc_before) {
			header_tlv(h, 3, (const uint8_t *)"\0\0\0\0", 4);
			crc_at = h->len - 4;
		}
		if (left > sizeof(ssl) && chance(random, 150))
			header_tlv(h, 0x20, ssl, sizeof(ssl));
		else if (left && chance(random, 600))
			header_tlv(h, kind == 5 && n > 128 ? 4 : kind, NULL, n);
	}
	return crc_at;
}

static inline size_t header_v2(struct header *h, uint64_t *random, uint16_t port, size_t max)
{
	unsigned what = (unsigned)draw(random,
				       10); /* 0: LOCAL, 1: UNIX, 2: UNSPEC, the rest: TCP */
	bool v6 = what > 6;
	size_t width = v6 ? 16 : 4, crc_at = 0;

	h->kind = "v2";
	memcpy(h->bytes, "\r\n\r\n\0\r\nQUIT\n", 12);
	h->bytes[12] = what ? 0x21 : 0x20;
	h->bytes[13] = what < 1 ? 0x11 : what == 1 ? 0x31 : what == 2 ? 0 : v6 ? 0x21 : 0x11;
	h->len = 16;
	memset(h->bytes + 16, 0xff,
	       216); /* as TLVs, these do not tile: a LOCAL's block may be anything */
	if (what == 0)
		h->len += chance(random, 500) ? 0 : draw(random, 200);
	else if (what == 1)
		h->len += 216;
	else if (what > 2) {
		header_client(h, random, v6);
		memcpy(h->bytes + 16, h->client, width);
		put16(h->bytes + 16 + 2 * width, port);
		h->len += 2 * width + 4;
	}
	if (what)
		crc_at = header_tlvs(h, random, max);
	header_v2_end(h, crc_at);
	return crc_at;
}

/* A valid header of at most about max bytes. */
static inline void header_valid(struct header *h, uint64_t *random, uint16_t port, size_t max)
{
	h->len = 0;
	h->names_client = false;
	if (chance(random, 400))
		header_v1(h, random, port);
	else
		header_v2(h, random, port, chance(random, 300) ? max : 200);
}

static inline void header_bad_v2(struct header *h, uint64_t *random, unsigned what)
{
	size_t tail = h->len;

	h->kind = "bad v2";
	if (what == 0)
		h->bytes[12] = 0x31;
	else if (what == 1)
		h->bytes[12] = 0x2f;
	else if (what == 2)
		h->bytes[13] = 0x41;
	else if (what == 3)
		h->bytes[13] = 0x13;
	else if (what == 4)
		put16(h->bytes + 12, 0x2121), put16(h->bytes + 14, (uint32_t)draw(random, 36));
	else if (what == 5)
		put16(h->bytes + 14, 65535); /* longer than anybody lets it be */
	else if (what == 6) {
		header_tlv(h, 3, (const uint8_t *)"\0\0\0\0", 4);
		header_v2_end(h, tail + 3);
		h->bytes[h->len - 1 - draw(random, 4)] ^= (uint8_t)(1 << draw(random, 8));
	} else {
		header_tlv(h, 2, NULL, 9);
		put16(h->bytes + tail + 1, 10);
		header_v2_end(h, 0);
	}
}

/* A header, or something in its place, that has to be refused. */
static inline void header_bad(struct header *h, uint64_t *random, uint16_t port)
{
	static const char *const lines[] = {
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"SSH-2.0-x\r\n",
		"proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n",
		"PROXY TCP5 1.1.1.1 1.1.1.1 1 1\r\n",
		"PROXY  TCP4 1.1.1.1 1.1.1.1 1 1\r\n",
		"PROXY TCP4 1.1.1.256 1.1.1.1 1 1\r\n",
		"PROXY TCP4 1.1.1.1 1.1.1.1 65536 1\r\n",
		"PROXY TCP6 1::1::1 ::1 1 1\r\n",
		"PROXY TCP4 ::1 ::1 1 1\r\n",
		"PROXY TCP4 1.1.1.1 1.1.1.1 1 1 \r\n",
		"PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n",
		"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\n\n",
		"P\r\n\r\n",
		"\r\n\r\nX",
	};
	unsigned what = (unsigned)draw(random, 24);

	h->len = 0;
	h->names_client = false;
	if (what < sizeof(lines) / sizeof(lines[0])) {
		header_text(h, "%s", lines[what]);
		h->kind = "bad v1";
	} else if (what < 22) {
		do
			*h = (struct header){ 0 };
		while (header_v2(h, random, port, 200) || !h->names_client || h->client_v6 ||
		       h->len != 28);
		header_bad_v2(h, random, what - 14);
	} else {
		header_text(h, "PROXY UNKNOWN %0110d", 7);
		h->kind = "endless v1";
	}
}

#endif
