/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text into a buffer that is known to be large enough: every function takes where to write
 * and returns where to go on. No allocation, no termination.
 */
#ifndef CLIENT_EMIT_H
#define CLIENT_EMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "unproxy/addr.h"

/* The most bytes that one byte of input becomes. */
#define EMIT_GROWTH 6

static inline char *emit_bytes(char *at, const char *text, size_t len)
{
	memcpy(at, text, len);
	return at + len;
}

/* A string constant. */
#define emit_literal(at, text) emit_bytes(at, "" text, sizeof(text) - 1)

char *emit_number(char *at, uint64_t value);
char *emit_padded(char *at, unsigned value, int digits);
char *emit_seconds(char *at, uint64_t us); /* 1.000042 */
char *emit_hex(char *at, const uint8_t *bytes, size_t len);
char *emit_ip(char *at, const struct up_addr *addr);
char *emit_endpoint(char *at, const struct up_addr *addr);

/* UTF-8 without NUL, which many readers of JSON refuse: may be written as a string. */
bool emit_is_text(const uint8_t *bytes, size_t len);

/* The inside of a JSON string; bytes must be text. */
char *emit_json_text(char *at, const uint8_t *bytes, size_t len);

/* As nginx writes variables into its log: quotes, backslashes and all but printable ASCII as \xNN. */
char *emit_escaped(char *at, const uint8_t *bytes, size_t len);

#endif
