// SPDX-License-Identifier: BSD-2-Clause
/* unproxy explain: notations of input, both forms of output, exit codes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../vectors/vectors.h"
#include "base/cleanup.h"
#include "cmd/cmd.h"
#include "cmd/explain.h"

/* Run the command with these arguments and this standard input. Returns the exit code;
 * *ret_out is the caller's. */
static int run(const void *input, size_t input_len, char **args, char **ret_out)
{
	FILE *real_out = stdout, *real_in = stdin;
	size_t size;
	int argc = 0, r;

	while (args[argc])
		argc++;
	stdout = open_memstream(ret_out, &size);
	stdin = input_len ? fmemopen((void *)(uintptr_t)input, input_len, "r")
			  : fopen("/dev/null", "r");
	assert_non_null(stdout);
	assert_non_null(stdin);
	r = cmd_explain(argc, args);
	(void)fclose(stdout);
	(void)fclose(stdin);
	stdout = real_out;
	stdin = real_in;
	return r;
}

#define RUN(input, out, ...) \
	run(input, sizeof(input) - 1, (char *[]){ "explain", __VA_ARGS__, NULL }, out)

/* ---- input ---- */

static void assert_decodes(const char *text, bool escapes, const char *expect, long len)
{
	_cleanup_free_ uint8_t *out = malloc(strlen(text));

	assert_int_equal(explain_decode(text, strlen(text), escapes, out), len);
	if (len > 0)
		assert_memory_equal(out, expect, len);
}

static void hex_in_many_notations(void **state)
{
	assert_decodes("0d0a", false, "\r\n", 2);
	assert_decodes("0D 0a\n", false, "\r\n", 2);
	assert_decodes("0d:0a:00", false, "\r\n\0", 3);
	assert_decodes("0x0d, 0x0a", false, "\r\n", 2);
	assert_decodes("\\x0d\\x0a", true, "\r\n", 2);
	assert_decodes("\"0d0a\"", false, "\r\n", 2);
	assert_decodes("0d0", false, "", -EINVAL);
	assert_decodes("", false, "", 0);
	assert_decodes(" \n", false, "", 0);
}

static void all_else_is_bytes(void **state)
{
	assert_decodes("PROXY", false, "PROXY", 5);
	assert_decodes("PROXY\\r", false, "PROXY\\r", 7);
	assert_decodes("PROXY\\r\\n", true, "PROXY\r\n", 7);
	assert_decodes("P\\x00\\0\\\\\\q\\", true, "P\0\0\\\\q\\", 7);
	assert_decodes("P\\x0", true, "P\\x0", 4);
}

/* ---- for people ---- */

static void prints_the_client(void **state)
{
	_cleanup_free_ char *out = NULL;

	assert_int_equal(RUN("", &out, "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\\r\\nGET /"), 0);
	assert_non_null(strstr(out, "complete: PROXY protocol version 1, 36 bytes"));
	assert_non_null(strstr(out, "192.0.2.1:1"));
	assert_non_null(strstr(out, "192.0.2.2:2"));
	assert_non_null(strstr(out, "5 bytes behind the header: \"GET /\""));
	assert_null(strstr(out, "second PROXY header"));
}

static void a_caret_stands_under_the_byte(void **state)
{
	_cleanup_free_ char *out = NULL;

	assert_int_equal(RUN("PROXY TCP4 192.0.2.1\r\n", &out, "-"), 1);
	assert_string_equal(out, "invalid: v1_line_end at byte 20\n"
				 "  PROXY TCP4 192.0.2.1\\r\\n\n"
				 "                      ^\n"
				 "  the line ends with CR LF, right behind the destination port\n");
}

static void a_caret_far_to_the_right(void **state)
{
	_cleanup_free_ char *out = NULL;

	assert_int_equal(RUN("PROXY TCP6 2001:db8:1111:2222:3333:4444:5555:6666 "
			     "2001:db8:1111:2222:3333:4444:5555:666g 1 2\r\nGET / HTTP/1.1\r\n",
			     &out, "-"),
			 1);
	assert_string_equal(
		out,
		"invalid: v1_ipv6 at byte 87\n"
		"  ...:5555:6666 2001:db8:1111:2222:3333:4444:5555:666g 1 2\\r\\nGET / HTTP/1....\n"
		"                                                     ^\n"
		"  not an IPv6 address: eight groups or one \"::\", no zone, no brackets\n");
}

static void a_caret_in_a_dump(void **state)
{
	_cleanup_free_ char *out = NULL;

	assert_int_equal(RUN("", &out, "0d0a0d0a000d0a515549540a", "41", "11"), 1);
	assert_string_equal(out, "invalid: v2_version at byte 12\n"
				 "      0  0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a 41 11\n"
				 "                                             ^^\n"
				 "  binary header of a version other than 2\n");
}

static void tells_what_it_looks_like(void **state)
{
	_cleanup_free_ char *out = NULL;

	assert_int_equal(RUN("GET / HTTP/1.1\r\n\r\n", &out, "-"), 1);
	assert_non_null(strstr(out, "plain HTTP: is PROXY protocol on at the load balancer?"));
}

static void how_much_is_missing(void **state)
{
	char *out = NULL;

	assert_int_equal(RUN("", &out, "-"), 1);
	assert_non_null(strstr(out, "no byte yet"));
	free(out);
	assert_int_equal(RUN("PROXY", &out, "-"), 1);
	assert_non_null(strstr(out, "5 bytes of a version 1 line"));
	free(out);
	assert_int_equal(RUN("", &out, "0d0a0d0a000d0a515549540a2111000c00"), 1);
	assert_non_null(strstr(out, "17 of 28 bytes"));
	free(out);
}

static void tlvs_by_vendor(void **state)
{
	_cleanup_free_ char *out = NULL;
	char tlvs[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0?\1\2\3\4\5\6\7\x8\0\1\0\2"
		      "\1\0\2h2\2\0\4a\"\xff\n\5\0\2\1\2\x30\0\4blue\4\0\2\0\0\xEA\0\7\1vpce-1"
		      "\xEE\0\5\1\x39\5\0\4\xE0\0\x8\0\0\0\4\xE6\xD3\xC8\xF1\xE1\0\4\1vpc"
		      "\xE1\0\3\2ep\xE1\0\4\3eps\xE9\0\3\0\xff\n"
		      "\x20\0\x19\7\0\0\0\1\x21\0\7TLSv1.3\x28\0\2\1\2\x7f\0\2zz\2\0\1b\4\0\2\0\0";

	tlvs[15] = (char)(sizeof(tlvs) - 1 - 16);
	assert_int_equal(RUN(tlvs, &out, "-"), 0);
	assert_non_null(strstr(out, "0x01 alpn              2  \"h2\"\n"));
	assert_non_null(strstr(out, "0x02 authority         4  \"a\\\"\\xff\\n\"\n"));
	assert_non_null(strstr(out, "  0102\n"));
	assert_non_null(strstr(out, "\"blue\""));
	assert_non_null(strstr(out, "padding"));
	assert_non_null(strstr(out, "VPC endpoint \"vpce-1\""));
	assert_non_null(strstr(out, "private link 67110201"));
	assert_non_null(strstr(out, "Private Service Connect 21052508401"));
	assert_non_null(strstr(out, "VPC \"vpc\""));
	assert_non_null(strstr(out, "endpoint \"ep\"\n"));
	assert_non_null(strstr(out, "endpoint service \"eps\"\n"));
	assert_non_null(strstr(out, "0xe9 ?                 3  00ff0a\n"));
	assert_non_null(strstr(out, "client over TLS, certificate, verification failed (1)\n"));
	assert_non_null(strstr(out, "  0x21 version         7  \"TLSv1.3\"\n"));
	assert_non_null(strstr(out, "  0x28 cert            2  0102\n"));
	assert_non_null(strstr(out, "  0x7f ?               2  7a7a\n"));
	assert_non_null(strstr(out, "\"b\" (duplicate: the first counts)\n"));
	assert_null(strstr(out, "padding (duplicate"));
}

static void nothing_to_tell(void **state)
{
	char *out = NULL;

	assert_int_equal(RUN("PROXY UNKNOWN\r\n", &out, "-"), 0);
	assert_non_null(strstr(out, "the addresses of the connection itself count"));
	free(out);
	assert_int_equal(RUN("", &out, "0d0a0d0a000d0a515549540a 20 ff 0002 ffff"), 0);
	assert_non_null(strstr(out, "LOCAL: the balancer's own"));
	assert_non_null(strstr(out, "not defined"));
	assert_non_null(strstr(out, "2 bytes that are no TLVs: ignored"));
	free(out);
}

/* ---- for programs ---- */

static json_t *run_json(const uint8_t *bytes, size_t len, int expect)
{
	_cleanup_free_ char *out = NULL;
	json_error_t error;
	json_t *json;

	assert_int_equal(run(bytes, len, (char *[]){ "explain", "--json", NULL }, &out), expect);
	json = json_loads(out, JSON_REJECT_DUPLICATES, &error);
	if (!json)
		fail_msg("%s: %s", error.text, out);
	return json;
}

/* Fed as hex, so that no vector is taken for hex itself. */
static json_t *run_vector(const struct vector *vector, uint32_t len)
{
	_cleanup_free_ char *hex = malloc(2 * (size_t)len + 1);

	for (uint32_t i = 0; i < len; i++)
		(void)sprintf(hex + 2 * i, "%02x", vector->bytes[i]);
	return run_json((uint8_t *)hex, 2 * (size_t)len,
			len == vector->len && vector->expect == UP_HEADER_COMPLETE ? 0 : 1);
}

static const char *text_of(json_t *json, const char *key)
{
	return json_string_value(json_object_get(json, key));
}

static void vectors_as_json(void **state)
{
	static const char *const status[] = { "incomplete", "complete", "invalid" };
	struct vectors vectors;

	vectors_load(&vectors);
	for (size_t i = 0; i < vectors.n; i++) {
		const struct vector *vector = &vectors.at[i];
		json_t *json = run_vector(vector, vector->len);
		char source[64];

		assert_string_equal(text_of(json, "status"), status[vector->expect]);
		if (vector->expect == UP_HEADER_INVALID)
			assert_non_null(text_of(json, "hint"));
		if (vector->source) {
			const char *ip = text_of(json, "client_ip");
			int port = (int)json_integer_value(json_object_get(json, "client_port"));

			snprintf(source, sizeof(source), strchr(ip, ':') ? "[%s]:%d" : "%s:%d", ip,
				 port);
			assert_string_equal(source, vector->source);
		}
		if (vector->expect == UP_HEADER_COMPLETE && json_array_size(vector->tlvs))
			assert_int_equal(json_array_size(json_object_get(json, "tlvs")),
					 json_array_size(vector->tlvs));
		json_decref(json);
	}
	vectors_free(&vectors);
}

static void stacked_and_payload_as_json(void **state)
{
	static const char line[] = "PROXY UNKNOWN\r\nPROXY UNKNOWN\r\n";
	json_t *json = run_json((const uint8_t *)line, sizeof(line) - 1, 0);

	assert_true(json_is_true(json_object_get(json, "stacked")));
	assert_int_equal(json_integer_value(json_object_get(json, "payload_len")), 15);
	json_decref(json);
}

/* ---- usage ---- */

static void flags(void **state)
{
	char *out = NULL;

	assert_int_equal(RUN("", &out, "--help"), 0);
	assert_non_null(strstr(out, "usage: unproxy explain"));
	free(out);
	assert_int_equal(RUN("", &out, "0d0"), EXIT_USAGE);
	free(out);
	assert_int_equal(RUN("", &out, "PROXY TCP6 1.2.3.4 1.2.3.5 1 2\\r\\n"), 1);
	free(out);
	assert_int_equal(RUN("", &out, "--v1-ipv4-in-tcp6", "PROXY TCP6 1.2.3.4 1.2.3.5 1 2\\r\\n"),
			 0);
	assert_non_null(strstr(out, "1.2.3.4:1"));
	free(out);
}

static void too_much_input(void **state)
{
	size_t len = (1U << 20) + 1;
	_cleanup_free_ char *big = calloc(1, len), *out = NULL;

	assert_int_equal(run(big, len, (char *[]){ "explain", NULL }, &out), 1);
	assert_string_equal(out, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hex_in_many_notations),
		cmocka_unit_test(all_else_is_bytes),
		cmocka_unit_test(prints_the_client),
		cmocka_unit_test(a_caret_stands_under_the_byte),
		cmocka_unit_test(a_caret_far_to_the_right),
		cmocka_unit_test(a_caret_in_a_dump),
		cmocka_unit_test(tells_what_it_looks_like),
		cmocka_unit_test(how_much_is_missing),
		cmocka_unit_test(tlvs_by_vendor),
		cmocka_unit_test(nothing_to_tell),
		cmocka_unit_test(vectors_as_json),
		cmocka_unit_test(stacked_and_payload_as_json),
		cmocka_unit_test(flags),
		cmocka_unit_test(too_much_input),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
