// SPDX-License-Identifier: BSD-2-Clause
/* The parser against the conformance vectors, whole and in pieces, and what they leave
 * open. Each call gets a buffer of the exact size, so that ASan sees one byte too far. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../vectors/vectors.h"
#include "base/addr.h"
#include "base/cleanup.h"
#include "unproxy/proxy_header.h"
#include "unproxy/proxy_tlv.h"

static const struct up_header_limits no_limits = { .max_len = UP_HEADER_MAX };
static struct vectors vectors;

static enum up_header_status parse_with(const uint8_t *bytes, uint32_t len,
					const struct up_header_limits *limits,
					struct up_header *ret)
{
	_cleanup_free_ uint8_t *exact = malloc(len);

	memcpy(exact, bytes, len);
	return up_header_parse(exact, len, limits, ret);
}

static enum up_header_status parse(const uint8_t *bytes, uint32_t len, struct up_header *ret)
{
	return parse_with(bytes, len, &no_limits, ret);
}

static enum up_header_status parse_text(const char *text, struct up_header *ret)
{
	return parse((const uint8_t *)text, (uint32_t)strlen(text), ret);
}

static void assert_refused(const char *text, enum up_reason reason, uint32_t at)
{
	struct up_header header;

	assert_int_equal(parse_text(text, &header), UP_HEADER_INVALID);
	assert_int_equal(header.reason, reason);
	assert_int_equal(header.error_at, at);
}

/* ---- vectors ---- */

static void assert_address(const struct up_addr *addr, const char *expect)
{
	char text[ADDR_TEXT_MAX];

	if (!expect) {
		assert_int_equal(addr->family, UP_FAMILY_NONE);
		return;
	}
	addr_format(addr, text, sizeof(text));
	assert_string_equal(text, expect);
}

static void assert_tlvs(const struct vector *vector, const struct up_header *header)
{
	const uint8_t *from = vector->bytes + header->tlv_at;
	struct up_tlv_walk walk = { from, from + header->tlv_len };
	struct up_tlv tlv;
	size_t i;
	json_t *pair;

	/* The JSON tells no TLVs for a LOCAL header's padding: nobody needs them. */
	if (!json_array_size(vector->tlvs))
		return;
	json_array_foreach (vector->tlvs, i, pair) {
		uint32_t len;
		_cleanup_free_ uint8_t *value =
			vector_bytes(json_string_value(json_array_get(pair, 1)), &len);

		assert_true(up_tlv_next(&walk, &tlv));
		assert_int_equal(tlv.type, json_integer_value(json_array_get(pair, 0)));
		assert_int_equal(tlv.len, len);
		assert_memory_equal(tlv.value, value, len);
	}
	assert_false(up_tlv_next(&walk, &tlv));
	assert_ptr_equal(walk.at, walk.end);
}

static void assert_vector(const struct vector *vector, enum up_header_status status,
			  const struct up_header *header)
{
	if (status != vector->expect)
		print_error("%s\n", vector->name);
	assert_int_equal(status, vector->expect);
	if (status == UP_HEADER_INVALID)
		assert_int_not_equal(header->reason, UP_REASON_NONE);
	else
		assert_int_equal(header->reason, UP_REASON_NONE);
	if (status != UP_HEADER_COMPLETE)
		return;
	assert_int_equal(header->len, vector->header_len);
	assert_int_equal(header->command, vector->command);
	assert_int_equal(header->has_addr, vector->source != NULL);
	assert_address(&header->src, vector->source);
	assert_address(&header->dst, vector->destination);
	assert_tlvs(vector, header);
}

static void vectors_whole(void **state)
{
	assert_true(vectors.n >= 196);
	for (size_t i = 0; i < vectors.n; i++) {
		const struct vector *vector = &vectors.at[i];
		struct up_header header;

		assert_vector(vector, parse(vector->bytes, vector->len, &header), &header);
	}
}

/* All prefixes of what is short; of the rest those where something may change. */
static bool worth_a_try(uint32_t at, uint32_t len)
{
	return len < 5000 || at < 300 || at + 300 > len || at % 101 == 0;
}

/* The first length at which the parser decides; checks that it is undecided before. */
static uint32_t decided_at(const struct vector *vector)
{
	struct up_header header;

	for (uint32_t len = 0; len <= vector->len; len++) {
		if (!worth_a_try(len, vector->len))
			continue;
		if (parse(vector->bytes, len, &header) != UP_HEADER_INCOMPLETE)
			return len;
		assert_true(header.need == 0 || header.need > len);
		assert_int_equal(header.has_addr, 0);
	}
	return UINT32_MAX;
}

static void vectors_prefixes(void **state)
{
	for (size_t i = 0; i < vectors.n; i++) {
		const struct vector *vector = &vectors.at[i];
		uint32_t decided = decided_at(vector);

		if (vector->expect == UP_HEADER_INCOMPLETE)
			assert_int_equal(decided, UINT32_MAX);
		else if (vector->expect == UP_HEADER_COMPLETE)
			assert_int_equal(decided, vector->header_len);
		else
			assert_true(decided <= vector->len);
	}
}

/* Once decided, more bytes change nothing: not the status, not one field. */
static void vectors_with_more_behind(void **state)
{
	for (size_t i = 0; i < vectors.n; i++) {
		const struct vector *vector = &vectors.at[i];
		uint32_t decided = decided_at(vector);
		struct up_header first, more;
		enum up_header_status status;

		if (decided == UINT32_MAX)
			continue;
		status = parse(vector->bytes, decided, &first);
		for (uint32_t len = decided; len <= vector->len; len++) {
			if (!worth_a_try(len, vector->len))
				continue;
			assert_int_equal(parse(vector->bytes, len, &more), status);
			assert_memory_equal(&first, &more, sizeof(first));
		}
	}
}

/* A receiver in small: takes what "arrives", asks the parser, goes on until it decides. */
static enum up_header_status receive(const struct vector *vector, uint32_t first, uint32_t then,
				     struct up_header *ret)
{
	enum up_header_status status = UP_HEADER_INCOMPLETE;
	uint32_t have = 0, chunk = first;

	while (status == UP_HEADER_INCOMPLETE && have < vector->len) {
		have += chunk < vector->len - have ? chunk : vector->len - have;
		status = parse(vector->bytes, have, ret);
		chunk = then;
	}
	return status;
}

static void vectors_split(void **state)
{
	for (size_t i = 0; i < vectors.n; i++) {
		const struct vector *vector = &vectors.at[i];
		struct up_header header;

		for (uint32_t at = 1; at < vector->len; at++)
			if (worth_a_try(at, vector->len))
				assert_vector(vector, receive(vector, at, UINT32_MAX, &header),
					      &header);
		for (uint32_t chunk = 1; chunk < 20 && vector->len && vector->len < 5000; chunk++)
			assert_vector(vector, receive(vector, chunk, chunk, &header), &header);
	}
}

static void vectors_with_payload(void **state)
{
	static const char *const payloads[] = {
		"x",
		"\n",
		"\r\n",
		"GET / HTTP/1.1\r\n\r\n",
		"PROXY TCP4 192.0.2.1 ",
		"\r\n\r\n",
		"\xff\xff\xff\xff",
	};

	for (size_t i = 0; i < vectors.n; i++) {
		const struct vector *vector = &vectors.at[i];

		if (vector->expect != UP_HEADER_COMPLETE)
			continue;
		for (size_t p = 0; p < ARRAY_SIZE(payloads); p++) {
			uint32_t n = (uint32_t)strlen(payloads[p]);
			_cleanup_free_ uint8_t *bytes = malloc(vector->len + n);
			struct up_header header;

			memcpy(bytes, vector->bytes, vector->len);
			memcpy(bytes + vector->len, payloads[p], n);
			assert_vector(vector, parse(bytes, vector->len + n, &header), &header);
		}
	}
}

static const struct vector *vector_named(const char *name)
{
	for (size_t i = 0; i < vectors.n; i++)
		if (!strcmp(vectors.at[i].name, name))
			return &vectors.at[i];
	fail_msg("no vector %s", name);
	return NULL;
}

/* ---- limits, early refusal ---- */

static void limit_is_inclusive_and_early(void **state)
{
	static const char *const names[] = { "v2-tcp4", "v2-size-107", "v2-size-108",
					     "v2-size-4096", "v2-size-65551" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct vector *vector = vector_named(names[i]);
		struct up_header_limits limits = { .max_len = vector->len };
		struct up_header header;

		assert_int_equal(parse_with(vector->bytes, vector->len, &limits, &header),
				 UP_HEADER_COMPLETE);
		limits.max_len--;
		assert_int_equal(parse_with(vector->bytes, 16, &limits, &header),
				 UP_HEADER_INVALID);
		assert_int_equal(header.reason, UP_REASON_TOO_LONG);
		assert_int_equal(header.error_at, 14);
	}
}

static void v1_limit(void **state)
{
	const char *line = "PROXY TCP4 192.0.2.7 198.51.100.8 1111 443\r\n";
	struct up_header_limits limits = { .max_len = 44 };
	struct up_header header;

	assert_int_equal(parse_with((const uint8_t *)line, 44, &limits, &header),
			 UP_HEADER_COMPLETE);
	limits.max_len = 43;
	assert_int_equal(parse_with((const uint8_t *)line, 44, &limits, &header),
			 UP_HEADER_INVALID);
	assert_int_equal(header.reason, UP_REASON_TOO_LONG);
	assert_int_equal(header.error_at, 41);
}

/* The shortest prefix that is refused ends with the byte that refuses. */
static void refused_at_the_byte(void **state)
{
	for (size_t i = 0; i < vectors.n; i++) {
		const struct vector *vector = &vectors.at[i];
		struct up_header header;
		uint32_t decided;

		if (vector->expect != UP_HEADER_INVALID)
			continue;
		decided = decided_at(vector);
		(void)parse(vector->bytes, decided, &header);
		assert_true(header.error_at < decided);
		if (header.version != 2 || header.error_at < 14)
			assert_int_equal(decided, header.error_at + 1);
		else if (header.error_at < 16)
			assert_int_equal(decided, 16);
	}
}

static void reasons_by_name(void **state)
{
	static const struct {
		const char *line;
		enum up_reason reason;
		uint32_t at;
	} cases[] = {
		{ "GET / HTTP/1.1\r\n", UP_REASON_NO_HEADER, 0 },
		{ "POST / HTTP/1.1\r\n", UP_REASON_NO_HEADER, 1 },
		{ "PROXY\r\n", UP_REASON_V1_SEPARATOR, 5 },
		{ "PROXY TCP5", UP_REASON_V1_PROTOCOL, 9 },
		{ "PROXY UNKNOWN\rx", UP_REASON_V1_LINE_END, 14 },
		{ "PROXY TCP4 1.2.3.4\t", UP_REASON_V1_SEPARATOR, 18 },
		{ "PROXY TCP4 1.2.3.4\r", UP_REASON_V1_LINE_END, 18 },
		{ "PROXY TCP4 1.2.3.256", UP_REASON_V1_IPV4, 19 },
		{ "PROXY TCP4 1.2.3.4.", UP_REASON_V1_IPV4, 18 },
		{ "PROXY TCP6 1:2.", UP_REASON_V1_IPV6, 14 },
		{ "PROXY TCP4 2:", UP_REASON_V1_FAMILY, 12 },
		{ "PROXY TCP6 2.", UP_REASON_V1_FAMILY, 12 },
		{ "PROXY TCP6 fe80::1%", UP_REASON_V1_IPV6, 18 },
		{ "PROXY TCP6 :: :: 1 65536", UP_REASON_V1_PORT, 23 },
		{ "PROXY TCP6 :: :: 1 2 ", UP_REASON_V1_LINE_END, 20 },
		{ "PROXY TCP6 :: :: 1 2\r\r", UP_REASON_V1_LINE_END, 21 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_refused(cases[i].line, cases[i].reason, cases[i].at);
}

/* ---- what the vectors leave open ---- */

static void v1_ipv4_in_tcp6_by_switch(void **state)
{
	const char *line = "PROXY TCP6 192.0.2.7 2001:db8::1 1 2\r\n";
	struct up_header_limits limits = { UP_HEADER_MAX, UP_HEADER_V1_IPV4_IN_TCP6 };
	struct up_header header;

	assert_refused(line, UP_REASON_V1_FAMILY, 14);
	assert_int_equal(parse_with((const uint8_t *)line, (uint32_t)strlen(line), &limits,
				    &header),
			 UP_HEADER_COMPLETE);
	assert_address(&header.src, "192.0.2.7:1");
	assert_address(&header.dst, "[2001:db8::1]:2");
	line = "PROXY TCP6 192.0.2.256 2001:db8::1 1 2\r\n";
	assert_int_equal(parse_with((const uint8_t *)line, (uint32_t)strlen(line), &limits,
				    &header),
			 UP_HEADER_INVALID);
}

static void v1_unknown_ignores_a_lone_cr(void **state)
{
	struct up_header header;

	assert_int_equal(parse_text("PROXY UNKNOWN \r\r x\n\r\r\nrest", &header),
			 UP_HEADER_COMPLETE);
	assert_int_equal(header.len, 22);
	assert_int_equal(header.has_addr, 0);
}

static enum up_header_status parse_v2(uint8_t command, uint8_t transport, const char *block,
				      uint8_t len, struct up_header *ret)
{
	uint8_t bytes[16 + 255] = UP_V2_SIGNATURE;

	bytes[12] = command;
	bytes[13] = transport;
	bytes[14] = 0;
	bytes[15] = len;
	memcpy(bytes + 16, block, len);
	return parse(bytes, 16U + len, ret);
}

static void v2_local_block_is_free(void **state)
{
	struct up_header header;

	/* TLVs, and a checksum over them that is wrong */
	assert_int_equal(parse_v2(0x20, 0x11, "\3\0\4abcd", 7, &header), UP_HEADER_INVALID);
	assert_int_equal(header.reason, UP_REASON_CRC32C_MISMATCH);
	/* the same, but the block does not tile: no TLVs, no checksum */
	assert_int_equal(parse_v2(0x20, 0x11, "\3\0\4abcd\1", 8, &header), UP_HEADER_COMPLETE);
	assert_int_equal(header.tlv_len, 0);
	/* TLVs that would be refused elsewhere */
	assert_int_equal(parse_v2(0x20, 0x00, "\3\0\3abc", 6, &header), UP_HEADER_COMPLETE);
	assert_int_equal(header.tlv_len, 0);
	/* a family that would be refused elsewhere */
	assert_int_equal(parse_v2(0x20, 0xFF, "\2\0\1h", 4, &header), UP_HEADER_COMPLETE);
	assert_int_equal(header.tlv_at, 16);
	assert_int_equal(header.tlv_len, 4);
	assert_int_equal(header.command, UP_COMMAND_LOCAL);
	/* UNSPEC is as free as LOCAL */
	assert_int_equal(parse_v2(0x21, 0x00, "\2\0\1h", 4, &header), UP_HEADER_COMPLETE);
	assert_int_equal(header.tlv_len, 4);
	assert_int_equal(parse_v2(0x21, 0x00, "\2\0\2h", 4, &header), UP_HEADER_COMPLETE);
	assert_int_equal(header.tlv_len, 0);
}

/* Of two checksums the first counts, and only its own bytes are taken as zero. */
static void v2_first_checksum_counts(void **state)
{
	char block[12 + 7 + 7] = "\300\0\2\7\300\0\2\10\0\1\0\2"
				 "\3\0\4\0\0\0\0\3\0\4abcd";
	uint8_t head[16] = UP_V2_SIGNATURE "\x21\x11\0";
	struct up_header header;
	uint32_t crc = UP_CRC32C_INIT;

	head[15] = sizeof(block);
	for (size_t i = 0; i < sizeof(head); i++)
		crc = up_crc32c_byte(crc, head[i]);
	for (size_t i = 0; i < sizeof(block); i++)
		crc = up_crc32c_byte(crc, (uint8_t)block[i]);
	for (int i = 0; i < 4; i++)
		block[15 + i] = (char)(~crc >> (24 - 8 * i));
	assert_int_equal(parse_v2(0x21, 0x11, block, sizeof(block), &header), UP_HEADER_COMPLETE);
	block[25] ^= 1;
	assert_int_equal(parse_v2(0x21, 0x11, block, sizeof(block), &header), UP_HEADER_INVALID);
	assert_int_equal(header.error_at, 31);
}

static void v2_ssl_inner_tlvs(void **state)
{
	static const struct {
		const char *ssl; /* behind the 12 address bytes */
		uint8_t len;
		enum up_reason reason;
		uint32_t at;
	} cases[] = {
		{ "\x20\0\5\1\0\0\0\0", 8, UP_REASON_NONE, 0 },
		{ "\x20\0\x8\1\0\0\0\0\x21\0\0", 11, UP_REASON_NONE, 0 },
		/* an SSL TLV inside of one, and a checksum: just types in there */
		{ "\x20\0\x8\1\0\0\0\0\x20\0\0", 11, UP_REASON_NONE, 0 },
		{ "\x20\0\x9\1\0\0\0\0\3\0\1x", 12, UP_REASON_NONE, 0 },
		{ "\x20\0\6\1\0\0\0\0\x21", 9, UP_REASON_SSL_TLV, 36 },
		/* an inner TLV that would reach into the next outer one */
		{ "\x20\0\x8\1\0\0\0\0\x21\0\3\4\0\0", 14, UP_REASON_SSL_TLV, 36 },
		{ "\x20\0\5\1\0\0\0\0\4\0", 10, UP_REASON_TLV_TAIL, 36 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char block[64] = { 0 };
		struct up_header header;

		memcpy(block + 12, cases[i].ssl, cases[i].len);
		(void)parse_v2(0x21, 0x11, block, (uint8_t)(12 + cases[i].len), &header);
		assert_int_equal(header.reason, cases[i].reason);
		assert_int_equal(header.error_at, cases[i].at);
	}
}

static void stacked_headers_are_seen(void **state)
{
	const struct vector *v1 = vector_named("v1-then-v1"), *v2 = vector_named("v2-then-v2"),
			    *http = vector_named("v2-then-http");

	assert_true(up_header_begins(v1->bytes + v1->header_len, v1->len - v1->header_len));
	assert_true(up_header_begins(v2->bytes + v2->header_len, v2->len - v2->header_len));
	assert_false(
		up_header_begins(http->bytes + http->header_len, http->len - http->header_len));
	assert_false(up_header_begins(v1->bytes, 5));
	assert_false(up_header_begins(v2->bytes, 11));
	assert_true(up_header_begins(v2->bytes, 12));
}

static int load_vectors(void **state)
{
	vectors_load(&vectors);
	return 0;
}

static int free_vectors(void **state)
{
	vectors_free(&vectors);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_whole),
		cmocka_unit_test(vectors_prefixes),
		cmocka_unit_test(vectors_with_more_behind),
		cmocka_unit_test(vectors_split),
		cmocka_unit_test(vectors_with_payload),
		cmocka_unit_test(limit_is_inclusive_and_early),
		cmocka_unit_test(v1_limit),
		cmocka_unit_test(refused_at_the_byte),
		cmocka_unit_test(reasons_by_name),
		cmocka_unit_test(v1_ipv4_in_tcp6_by_switch),
		cmocka_unit_test(v1_unknown_ignores_a_lone_cr),
		cmocka_unit_test(v2_local_block_is_free),
		cmocka_unit_test(v2_first_checksum_counts),
		cmocka_unit_test(v2_ssl_inner_tlvs),
		cmocka_unit_test(stacked_headers_are_seen),
	};

	return cmocka_run_group_tests(tests, load_vectors, free_vectors);
}
