// SPDX-License-Identifier: BSD-2-Clause
/* TLVs by meaning: each vendor, first of duplicates, odd shapes, bounds. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/tlv.h"

/* Decode a copy of the exact size; the views into it stay valid until the next call. */
static int decode(const char *bytes, size_t len, struct tlv_set *ret)
{
	static uint8_t *copy;

	free(copy);
	copy = len ? malloc(len) : NULL;
	if (len)
		memcpy(copy, bytes, len);
	return tlv_decode(copy, len, ret);
}

#define DECODE(text, ret) decode(text, sizeof(text) - 1, ret)

static void assert_view(const struct tlv_view *view, const char *expect)
{
	assert_true(tlv_present(view));
	assert_int_equal(view->len, strlen(expect));
	assert_memory_equal(view->value, expect, view->len);
}

static void nothing(void **state)
{
	struct tlv_set set;

	assert_int_equal(decode("", 0, &set), 0);
	assert_false(tlv_present(&set.alpn));
	assert_false(set.ssl.present);
	assert_int_equal(set.n_unknown, 0);
}

static void plain_ones(void **state)
{
	struct tlv_set set;

	assert_int_equal(DECODE("\1\0\2h2\2\0\1a\5\0\2id\x30\0\4blue\4\0\3abc\4\0\0", &set), 0);
	assert_view(&set.alpn, "h2");
	assert_view(&set.authority, "a");
	assert_view(&set.unique_id, "id");
	assert_view(&set.netns, "blue");
	assert_int_equal(set.noop_bytes, 3);
	assert_int_equal(set.n_unknown, 0);
}

static void empty_is_present(void **state)
{
	struct tlv_set set;

	assert_int_equal(DECODE("\2\0\0", &set), 0);
	assert_view(&set.authority, "");
}

static void first_of_duplicates(void **state)
{
	struct tlv_set set;

	assert_int_equal(DECODE("\2\0\1a\2\0\1b\xEE\0\5\1\1\0\0\0\xEE\0\5\1\2\0\0\0"
				"\xE9\0\1x\xE9\0\1y\3\0\4\0\0\0\1\3\0\4\0\0\0\2",
				&set),
			 0);
	assert_view(&set.authority, "a");
	assert_int_equal(set.azure_link_id, 1);
	assert_int_equal(set.crc32c, 1);
	assert_int_equal(set.n_unknown, 1);
	assert_view(&set.unknown[0], "x");
}

static void private_links(void **state)
{
	struct tlv_set set;

	assert_int_equal(
		DECODE("\xEA\0\7\1vpce-1\xEE\0\5\1\x39\5\0\4\xE0\0\x8\0\0\0\4\xE6\xD3\xC8\xF1",
		       &set),
		0);
	assert_view(&set.aws_vpce_id, "vpce-1");
	assert_true(set.has_azure_link_id);
	assert_int_equal(set.azure_link_id, 0x04000539);
	assert_true(set.has_gcp_psc_id);
	assert_true(set.gcp_psc_id == 0x00000004E6D3C8F1);
}

static void alibaba_by_subtype(void **state)
{
	struct tlv_set set;

	assert_int_equal(DECODE("\xE1\0\4\3eps\xE1\0\3\2ep\xE1\0\4\1vpc\xE1\0\2\2z\xE1\0\2\4?",
				&set),
			 0);
	assert_view(&set.alibaba_vpc_id, "vpc");
	assert_view(&set.alibaba_endpoint_id, "ep");
	assert_view(&set.alibaba_service_id, "eps");
	assert_int_equal(set.n_unknown, 1);
	assert_view(&set.unknown[0], "\4?");
}

static void other_shapes_are_unknown(void **state)
{
	struct tlv_set set;

	assert_int_equal(DECODE("\xEA\0\2\2x\xEE\0\4\1\0\0\0\xE0\0\1x\xE1\0\0\x20\0\1\1\3\0\1x",
				&set),
			 0);
	assert_false(tlv_present(&set.aws_vpce_id));
	assert_false(set.has_azure_link_id);
	assert_false(set.has_gcp_psc_id);
	assert_false(set.ssl.present);
	assert_false(set.has_crc32c);
	assert_int_equal(set.n_unknown, 6);
	assert_int_equal(set.unknown[0].type, 0xEA);
	assert_int_equal(set.unknown[3].len, 0);
}

static void ssl(void **state)
{
	struct tlv_set set;

	assert_int_equal(DECODE("\x20\0\x2c\5\0\0\1\2"
				"\x21\0\7TLSv1.3\x23\0\1c\x22\0\2cn\x24\0\1s\x25\0\1k"
				"\x26\0\1g\x27\0\1r\x28\0\1d",
				&set),
			 0);
	assert_true(set.ssl.present);
	assert_int_equal(set.ssl.client, TLV_SSL_CLIENT_SSL | TLV_SSL_CLIENT_CERT_SESS);
	assert_int_equal(set.ssl.verify, 0x102);
	assert_view(&set.ssl.version, "TLSv1.3");
	assert_view(&set.ssl.cn, "cn");
	assert_view(&set.ssl.cipher, "c");
	assert_view(&set.ssl.sig_alg, "s");
	assert_view(&set.ssl.key_alg, "k");
	assert_view(&set.ssl.group, "g");
	assert_view(&set.ssl.sig_scheme, "r");
	assert_view(&set.ssl.cert, "d");
}

static void ssl_first_of_duplicates(void **state)
{
	struct tlv_set set;

	assert_int_equal(DECODE("\x20\0\xd\1\0\0\0\0\x22\0\1a\x22\0\1b\x20\0\x9\2\0\0\0\0\x22\0\1c",
				&set),
			 0);
	assert_int_equal(set.ssl.client, 1);
	assert_view(&set.ssl.cn, "a");
	assert_false(tlv_present(&set.ssl.version));
}

static void does_not_tile(void **state)
{
	struct tlv_set set;

	assert_int_equal(DECODE("\2\0\1a\2\0", &set), -EBADMSG);
	assert_view(&set.authority, "a");
	assert_int_equal(DECODE("\2\0\2a", &set), -EBADMSG);
	assert_false(tlv_present(&set.authority));
}

static void many_unknown_are_counted(void **state)
{
	char bytes[3 * 40];
	struct tlv_set set;

	for (size_t i = 0; i < 40; i++)
		memcpy(bytes + 3 * i, (char[]){ (char)(0x40 + i), 0, 0 }, 3);
	assert_int_equal(decode(bytes, sizeof(bytes), &set), 0);
	assert_int_equal(set.n_unknown, TLV_UNKNOWN_MAX);
	assert_int_equal(set.n_unknown_left_out, 40 - TLV_UNKNOWN_MAX);
	assert_int_equal(decode(NULL, 0, &set), 0);
}

static void names(void **state)
{
	assert_string_equal(tlv_type_name(0x02), "authority");
	assert_string_equal(tlv_type_name(0xEA), "aws");
	assert_null(tlv_type_name(0x06));
	assert_string_equal(tlv_ssl_type_name(0x21), "version");
	assert_string_equal(tlv_ssl_type_name(0x28), "cert");
	assert_null(tlv_ssl_type_name(0x20));
	assert_null(tlv_ssl_type_name(0x29));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing),
		cmocka_unit_test(plain_ones),
		cmocka_unit_test(empty_is_present),
		cmocka_unit_test(first_of_duplicates),
		cmocka_unit_test(private_links),
		cmocka_unit_test(alibaba_by_subtype),
		cmocka_unit_test(other_shapes_are_unknown),
		cmocka_unit_test(ssl),
		cmocka_unit_test(ssl_first_of_duplicates),
		cmocka_unit_test(does_not_tile),
		cmocka_unit_test(names),
		cmocka_unit_test(many_unknown_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
