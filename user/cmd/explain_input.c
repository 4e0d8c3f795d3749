// SPDX-License-Identifier: BSD-2-Clause
/* unproxy explain: what was pasted or piped becomes bytes. */
#include <errno.h>
#include <string.h>

#include "cmd/explain.h"

/* The value of a hexadecimal digit, -1 for any other character. */
static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* How many characters of separation stand here: blanks, punctuation, 0x, \x. */
static size_t separator(const char *text, size_t len)
{
	if (len >= 2 && (text[0] == '0' || text[0] == '\\') && (text[1] | 0x20) == 'x')
		return 2;
	return strchr(" \t\r\n\v\f:,-|\"'", text[0]) && text[0] ? 1 : 0;
}

/* Collect the digits' values in out. Returns how many, -1 if there is anything else. */
static long hex_digits(const char *text, size_t len, uint8_t *out)
{
	long n = 0;

	for (size_t i = 0; i < len;) {
		size_t skip = separator(text + i, len - i);
		int digit = hex_digit(text[i]);

		if (!skip && digit < 0)
			return -1;
		if (!skip)
			out[n++] = (uint8_t)digit;
		i += skip ? skip : 1;
	}
	return n;
}

/* One escape; returns how many characters it takes, 0 if it is none. */
static size_t escape(const char *text, size_t len, uint8_t *ret)
{
	static const char names[] = "rnt0\\", values[] = "\r\n\t\0\\";
	const char *at;

	if (len < 2 || text[0] != '\\')
		return 0;
	if (text[1] == 'x' && len >= 4 && hex_digit(text[2]) >= 0 && hex_digit(text[3]) >= 0) {
		*ret = (uint8_t)(hex_digit(text[2]) << 4 | hex_digit(text[3]));
		return 4;
	}
	at = memchr(names, text[1], sizeof(names) - 1);
	if (!at)
		return 0;
	*ret = (uint8_t)values[at - names];
	return 2;
}

static long unescape(const char *text, size_t len, uint8_t *out)
{
	long n = 0;

	for (size_t i = 0; i < len;) {
		size_t taken = escape(text + i, len - i, &out[n]);

		if (!taken)
			out[n] = (uint8_t)text[i];
		i += taken ? taken : 1;
		n++;
	}
	return n;
}

long explain_decode(const char *text, size_t len, bool escapes, uint8_t *out)
{
	long digits = hex_digits(text, len, out);

	if (digits < 0 && escapes)
		return unescape(text, len, out);
	if (digits < 0) {
		memcpy(out, text, len);
		return (long)len;
	}
	if (digits % 2)
		return -EINVAL;
	for (long i = 0; i < digits; i += 2)
		out[i / 2] = (uint8_t)(out[i] << 4 | out[i + 1]);
	return digits / 2;
}
