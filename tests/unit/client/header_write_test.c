// SPDX-License-Identifier: BSD-2-Clause
/* What is written must come back out of the parser, and fit its buffer and its length. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../vectors/vectors.h"
#include "base/addr.h"
#include "base/cleanup.h"
#include "client/header_write.h"
#include "unproxy/proxy_header.h"

typedef int writer(const struct header_write *in, uint8_t *buf, size_t size);

static const struct up_header_limits no_limits = { .max_len = UP_HEADER_MAX };

static struct header_write input(const char *src, const char *dst)
{
	struct header_write in = { .command = UP_COMMAND_PROXY };

	assert_int_equal(addr_parse(src, &in.src), 0);
	assert_int_equal(addr_parse(dst, &in.dst), 0);
	return in;
}

/* Write into a buffer of the exact size and parse that. */
static int write_and_parse(writer *write, const struct header_write *in, struct up_header *ret)
{
	static uint8_t big[UP_HEADER_MAX];
	int len = write(in, big, sizeof(big));
	_cleanup_free_ uint8_t *exact = NULL;

	if (len < 0)
		return len;
	exact = malloc((size_t)len);
	assert_int_equal(write(in, exact, (size_t)len - 1), -ENOBUFS);
	assert_int_equal(write(in, exact, (size_t)len), len);
	assert_memory_equal(exact, big, len);
	assert_int_equal(up_header_parse(exact, (uint32_t)len, &no_limits, ret),
			 UP_HEADER_COMPLETE);
	assert_int_equal(ret->len, len);
	return len;
}

static void assert_text(const struct header_write *in, const char *expect)
{
	uint8_t buf[UP_HEADER_V1_MAX];
	int len = header_write_v1(in, buf, sizeof(buf));

	assert_int_equal(len, strlen(expect));
	assert_memory_equal(buf, expect, len);
}

static void v1_text(void **state)
{
	struct header_write in = input("192.0.2.7:1111", "198.51.100.8:443");

	assert_text(&in, "PROXY TCP4 192.0.2.7 198.51.100.8 1111 443\r\n");
	in = input("[2001:db8::7]:0", "[::]:65535");
	assert_text(&in, "PROXY TCP6 2001:db8::7 :: 0 65535\r\n");
	in = input("192.0.2.7:1", "[2001:db8::8]:2");
	assert_text(&in, "PROXY TCP6 ::ffff:192.0.2.7 2001:db8::8 1 2\r\n");
	in.command = UP_COMMAND_LOCAL;
	assert_text(&in, "PROXY UNKNOWN\r\n");
	in.command = UP_COMMAND_PROXY;
	in.src = (struct up_addr){ 0 };
	assert_text(&in, "PROXY UNKNOWN\r\n");
}

static void addresses_come_back(void **state)
{
	static const char *const pairs[][2] = {
		{ "192.0.2.7:1111", "198.51.100.8:443" },
		{ "0.0.0.0:0", "255.255.255.255:65535" },
		{ "[2001:db8::7]:1", "[::1]:2" },
		{ "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
		  "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535" },
	};
	static writer *const writers[] = { header_write_v1, header_write_v2 };

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		for (size_t w = 0; w < ARRAY_SIZE(writers); w++) {
			struct header_write in = input(pairs[i][0], pairs[i][1]);
			struct up_header header;

			assert_true(write_and_parse(writers[w], &in, &header) > 0);
			assert_int_equal(header.version, w + 1);
			assert_int_equal(header.has_addr, 1);
			assert_true(addr_equal(&header.src, &in.src));
			assert_true(addr_equal(&header.dst, &in.dst));
		}
	}
}

static void two_families_become_ipv6(void **state)
{
	struct header_write in = input("192.0.2.7:1", "[2001:db8::8]:2");
	struct up_header header;

	assert_int_equal(write_and_parse(header_write_v2, &in, &header), 52);
	assert_int_equal(header.transport, 0x21);
	assert_memory_equal(header.src.ip, in.src.ip, 16);
	assert_true(addr_equal(&header.dst, &in.dst));
}

static void v2_local(void **state)
{
	struct header_write in = input("192.0.2.7:1", "192.0.2.8:2");
	struct up_header header;

	in.tlvs = (const uint8_t *)"\2\0\1a";
	in.tlv_len = 4;
	in.command = UP_COMMAND_LOCAL;
	assert_int_equal(write_and_parse(header_write_v2, &in, &header), 16);
	assert_int_equal(header.command, UP_COMMAND_LOCAL);
	in.command = UP_COMMAND_PROXY;
	in.dst.family = UP_FAMILY_NONE;
	assert_int_equal(write_and_parse(header_write_v2, &in, &header), 16);
	assert_int_equal(header.command, UP_COMMAND_LOCAL);
}

static void v2_tlvs_pass_through(void **state)
{
	static const char tlvs[] = "\2\0\3a\0b\4\0\0\xEA\0\2\1x";
	struct header_write in = input("192.0.2.7:1", "192.0.2.8:2");
	struct up_header header;
	uint8_t buf[128];

	in.tlvs = (const uint8_t *)tlvs;
	in.tlv_len = sizeof(tlvs) - 1;
	assert_int_equal(write_and_parse(header_write_v2, &in, &header), 28 + in.tlv_len);
	assert_int_equal(header.tlv_len, in.tlv_len);
	(void)header_write_v2(&in, buf, sizeof(buf));
	assert_memory_equal(buf + header.tlv_at, tlvs, in.tlv_len);
}

/* The parser checks the checksum, so it must have been computed anew. */
static void v2_checksum_is_made_anew(void **state)
{
	static const char tlvs[] = "\2\0\1a\3\0\4abcd\5\0\1u\3\0\4efgh";
	struct header_write in = input("192.0.2.7:1", "192.0.2.8:2");
	struct up_header header;

	in.tlvs = (const uint8_t *)tlvs;
	in.tlv_len = sizeof(tlvs) - 1;
	/* the second one would be wrong for whoever looks at the last: left out */
	assert_int_equal(write_and_parse(header_write_v2, &in, &header), 28 + in.tlv_len - 7);
	in.tlvs = (const uint8_t *)"\3\0\3abc";
	in.tlv_len = 6;
	assert_int_equal(write_and_parse(header_write_v2, &in, &header), -EBADMSG);
}

static void v2_never_beyond_its_length(void **state)
{
	struct header_write in = input("192.0.2.7:1", "192.0.2.8:2");
	static uint8_t tlvs[UP_HEADER_MAX];
	struct up_header header;

	tlvs[0] = UP_TLV_NOOP;
	for (size_t len = 65535 - 12 - 2; len <= 65535 - 12 + 2; len++) {
		bool fits = 12 + len <= 65535;

		tlvs[1] = (uint8_t)((len - 3) >> 8);
		tlvs[2] = (uint8_t)(len - 3);
		in.tlvs = tlvs;
		in.tlv_len = len;
		assert_int_equal(write_and_parse(header_write_v2, &in, &header),
				 fits ? (int)(28 + len) : -EMSGSIZE);
	}
	/* fits behind IPv4 addresses, not behind IPv6 ones */
	tlvs[1] = (uint8_t)((65535 - 12 - 3) >> 8);
	tlvs[2] = (uint8_t)(65535 - 12 - 3);
	in.tlv_len = 65535 - 12;
	assert_int_equal(write_and_parse(header_write_v2, &in, &header), 65551);
	in.dst.family = UP_FAMILY_IPV6;
	assert_int_equal(write_and_parse(header_write_v2, &in, &header), -EMSGSIZE);
}

static void tlvs_that_do_not_tile(void **state)
{
	struct header_write in = input("192.0.2.7:1", "192.0.2.8:2");
	uint8_t buf[64] = { 0x55 };

	in.tlvs = (const uint8_t *)"\2\0\2a";
	in.tlv_len = 4;
	assert_int_equal(header_write_v2(&in, buf, sizeof(buf)), -EBADMSG);
	assert_int_equal(buf[0], 0x55);
}

/* Every valid vector, taken in and sent on in either version. */
static void vectors_sent_on(void **state)
{
	struct vectors vectors;

	vectors_load(&vectors);
	for (size_t i = 0; i < vectors.n; i++) {
		const struct vector *vector = &vectors.at[i];
		struct up_header header, again;
		struct header_write in;

		if (vector->expect != UP_HEADER_COMPLETE)
			continue;
		(void)up_header_parse(vector->bytes, vector->len, &no_limits, &header);
		in = (struct header_write){ header.command, header.src, header.dst,
					    vector->bytes + header.tlv_at, header.tlv_len };
		assert_true(write_and_parse(header_write_v1, &in, &again) > 0);
		assert_int_equal(again.has_addr, header.has_addr);
		assert_memory_equal(&again.src, &header.src, sizeof(header.src));
		assert_true(write_and_parse(header_write_v2, &in, &again) > 0);
		assert_memory_equal(&again.dst, &header.dst, sizeof(header.dst));
		if (header.has_addr)
			assert_int_equal(again.tlv_len, header.tlv_len);
	}
	vectors_free(&vectors);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(v1_text),
		cmocka_unit_test(addresses_come_back),
		cmocka_unit_test(two_families_become_ipv6),
		cmocka_unit_test(v2_local),
		cmocka_unit_test(v2_tlvs_pass_through),
		cmocka_unit_test(v2_checksum_is_made_anew),
		cmocka_unit_test(v2_never_beyond_its_length),
		cmocka_unit_test(tlvs_that_do_not_tile),
		cmocka_unit_test(vectors_sent_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
