/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers, addresses and strings as the client log writes them. It knows no field's name. */
#include "client/emit.h"

#include "base/addr.h"

static const char hex_digits[] = "0123456789abcdef";

char *emit_number(char *at, uint64_t value)
{
	char digits[20];
	size_t n = sizeof(digits);

	do
		digits[--n] = (char)('0' + value % 10);
	while ((value /= 10) > 0);
	return emit_bytes(at, digits + n, sizeof(digits) - n);
}

char *emit_padded(char *at, unsigned value, int digits)
{
	for (int i = digits - 1; i >= 0; i--) {
		at[i] = (char)('0' + value % 10);
		value /= 10;
	}
	return at + digits;
}

char *emit_seconds(char *at, uint64_t us)
{
	at = emit_number(at, us / 1000000);
	*at++ = '.';
	return emit_padded(at, (unsigned)(us % 1000000), 6);
}

char *emit_hex(char *at, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		*at++ = hex_digits[bytes[i] >> 4];
		*at++ = hex_digits[bytes[i] & 15];
	}
	return at;
}

char *emit_ip(char *at, const struct up_addr *addr)
{
	return at + addr_format_ip(addr, at, ADDR_TEXT_MAX);
}

char *emit_endpoint(char *at, const struct up_addr *addr)
{
	return at + addr_format(addr, at, ADDR_TEXT_MAX);
}

/* Length of the sequence that begins here, 0 if it is not one: too short, overlong, a
 * surrogate, beyond U+10FFFF. */
static size_t sequence_length(const uint8_t *bytes, size_t len)
{
	uint8_t lead = bytes[0];
	uint8_t low = 0x80, high = 0xbf; /* of the second byte */
	size_t n;

	if (lead < 0x80)
		return lead != 0;
	if (lead < 0xc2 || lead > 0xf4)
		return 0;
	n = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
	if (n > len)
		return 0;

	if (lead == 0xe0)
		low = 0xa0;
	else if (lead == 0xed)
		high = 0x9f;
	else if (lead == 0xf0)
		low = 0x90;
	else if (lead == 0xf4)
		high = 0x8f;
	if (bytes[1] < low || bytes[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
	}
	return n;
}

bool emit_is_text(const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		size_t n = sequence_length(bytes, len);

		if (n == 0)
			return false;
		bytes += n;
		len -= n;
	}
	return true;
}

static char *emit_unicode(char *at, uint8_t code)
{
	at = emit_literal(at, "\\u00");
	return emit_hex(at, &code, 1);
}

char *emit_json_text(char *at, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		uint8_t c = bytes[i];

		/* Control characters of the second set (U+0080..9F), too: some terminals obey
		 * them, and a log is read on terminals. */
		if (c < 0x20 || c == 0x7f) {
			at = emit_unicode(at, c);
		} else if (c == 0xc2 && bytes[i + 1] < 0xa0) {
			at = emit_unicode(at, bytes[++i]);
		} else {
			if (c == '"' || c == '\\')
				*at++ = '\\';
			*at++ = (char)c;
		}
	}
	return at;
}

char *emit_escaped(char *at, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		uint8_t c = bytes[i];

		if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
			*at++ = (char)c;
			continue;
		}
		at = emit_literal(at, "\\x");
		at = emit_hex(at, &c, 1);
	}
	return at;
}
