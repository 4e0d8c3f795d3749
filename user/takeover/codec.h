/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers and bytes into and out of a message, field by field: both ends are processes of one
 * host, so in its own byte order. Running over the end is remembered, not met: check once,
 * behind the last field.
 */
#ifndef TAKEOVER_CODEC_H
#define TAKEOVER_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "unproxy/addr.h"

struct writer {
	uint8_t *at, *end;
	bool overrun; /* something did not fit */
};

struct reader {
	const uint8_t *at, *end;
	bool overrun; /* something was not there: it and what follows read as zero */
};

static inline void write_bytes(struct writer *writer, const void *bytes, size_t n)
{
	if (writer->overrun || (size_t)(writer->end - writer->at) < n) {
		writer->overrun = true;
		return;
	}
	if (n)
		memcpy(writer->at, bytes, n);
	writer->at += n;
}

/* Where they are, or NULL. */
static inline const uint8_t *read_view(struct reader *reader, size_t n)
{
	const uint8_t *at = reader->at;

	if (reader->overrun || (size_t)(reader->end - reader->at) < n) {
		reader->overrun = true;
		return NULL;
	}
	reader->at += n;
	return at;
}

static inline void read_bytes(struct reader *reader, void *into, size_t n)
{
	const uint8_t *at = read_view(reader, n);

	if (!at)
		memset(into, 0, n);
	else if (n)
		memcpy(into, at, n);
}

static inline void write_u8(struct writer *writer, uint8_t value)
{
	write_bytes(writer, &value, sizeof(value));
}

static inline void write_u16(struct writer *writer, uint16_t value)
{
	write_bytes(writer, &value, sizeof(value));
}

static inline void write_u32(struct writer *writer, uint32_t value)
{
	write_bytes(writer, &value, sizeof(value));
}

static inline void write_u64(struct writer *writer, uint64_t value)
{
	write_bytes(writer, &value, sizeof(value));
}

static inline uint8_t read_u8(struct reader *reader)
{
	uint8_t value;

	read_bytes(reader, &value, sizeof(value));
	return value;
}

static inline uint16_t read_u16(struct reader *reader)
{
	uint16_t value;

	read_bytes(reader, &value, sizeof(value));
	return value;
}

static inline uint32_t read_u32(struct reader *reader)
{
	uint32_t value;

	read_bytes(reader, &value, sizeof(value));
	return value;
}

static inline uint64_t read_u64(struct reader *reader)
{
	uint64_t value;

	read_bytes(reader, &value, sizeof(value));
	return value;
}

/* 16 bytes of address, port, family. */
void write_addr(struct writer *writer, const struct up_addr *addr);
/* A family that is none overruns, too. */
void read_addr(struct reader *reader, struct up_addr *ret);

/* A text shorter than size, with its length. What does not end within size overruns. */
void write_text(struct writer *writer, const char *text);
void read_text(struct reader *reader, char *buf, size_t size);

#endif
