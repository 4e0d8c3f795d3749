/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bytes of a test stream: a function of (seed, offset), so that a receiver can name the
 * first wrong offset without knowing what the sender did. The first eight bytes are the
 * seed itself, little-endian: the stream says which one it is. Pure; no I/O.
 */
#ifndef STREAM_DATA_H
#define STREAM_DATA_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t stream_mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static inline uint64_t stream_word(uint64_t seed, uint64_t index)
{
	return index ? stream_mix(seed + index * 0xd1342543de82ef95ull) : seed;
}

/* Write the len bytes at offset of the stream into out. */
static inline void stream_fill(uint64_t seed, uint64_t offset, uint8_t *out, size_t len)
{
	while (len) {
		uint64_t word = stream_word(seed, offset / 8);
		size_t skip = offset % 8;
		size_t n = 8 - skip < len ? 8 - skip : len;

		memcpy(out, (const uint8_t *)&word + skip, n);
		out += n;
		offset += n;
		len -= n;
	}
}

/* What a receiver knows of a stream; zero-initialise and set bad to -1. */
struct stream_check {
	uint64_t seed;  /* learnt from the first eight bytes */
	uint64_t count; /* bytes seen */
	int64_t bad;    /* first offset that differs, -1: none */
};

/* Feed the next len bytes. */
static inline void stream_check(struct stream_check *c, const uint8_t *data, size_t len)
{
	uint8_t want[4096];

	while (len && c->count < 8) {
		c->seed |= (uint64_t)*data++ << (8 * c->count++);
		len--;
	}
	while (len) {
		size_t n = len < sizeof(want) ? len : sizeof(want);

		if (c->bad < 0) {
			stream_fill(c->seed, c->count, want, n);
			if (memcmp(want, data, n))
				for (size_t i = 0; i < n && c->bad < 0; i++)
					if (want[i] != data[i])
						c->bad = (int64_t)(c->count + i);
		}
		c->count += n;
		data += n;
		len -= n;
	}
}

#endif
