/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers and strings as the client log writes them; what is text, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/addr.h"
#include "client/emit.h"

static char buf[512];

static void assert_emitted(char *end, const char *expect)
{
	*end = '\0';
	assert_string_equal(buf, expect);
}

static void numbers(void **state)
{
	assert_emitted(emit_number(buf, 0), "0");
	assert_emitted(emit_number(buf, 1234567890), "1234567890");
	assert_emitted(emit_number(buf, UINT64_MAX), "18446744073709551615");
	assert_emitted(emit_padded(buf, 7, 3), "007");
	assert_emitted(emit_padded(buf, 123456, 6), "123456");
	assert_emitted(emit_seconds(buf, 0), "0.000000");
	assert_emitted(emit_seconds(buf, 42), "0.000042");
	assert_emitted(emit_seconds(buf, 86400000001), "86400.000001");
	assert_emitted(emit_literal(buf, "abc"), "abc");
	assert_emitted(emit_hex(buf, (const uint8_t *)"\x00\x7f\xff", 3), "007fff");
}

static void addresses(void **state)
{
	struct up_addr addr;

	assert_int_equal(addr_parse("[2001:db8::1]:80", &addr), 0);
	assert_emitted(emit_ip(buf, &addr), "2001:db8::1");
	assert_emitted(emit_endpoint(buf, &addr), "[2001:db8::1]:80");
}

static bool is_text(const char *text)
{
	return emit_is_text((const uint8_t *)text, strlen(text));
}

static void what_is_text(void **state)
{
	assert_true(is_text(""));
	assert_true(is_text("plain \x01\x1f\x7f"));
	assert_true(is_text("\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xef\xbf\xbf \xed\x9f\xbf "
			    "\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf"));
	assert_false(emit_is_text((const uint8_t *)"a\0b", 3));
	assert_false(is_text("\x80"));
	assert_false(is_text("\xc0\x80")); /* overlong NUL */
	assert_false(is_text("\xc1\xbf"));
	assert_false(is_text("\xe0\x9f\xbf")); /* overlong */
	assert_false(is_text("\xed\xa0\x80")); /* a surrogate */
	assert_false(is_text("\xf0\x8f\xbf\xbf"));
	assert_false(is_text("\xf4\x90\x80\x80")); /* beyond U+10FFFF */
	assert_false(is_text("\xf5\x80\x80\x80"));
	assert_false(is_text("\xff"));
	assert_false(is_text("a\xc3"));
	assert_false(is_text("\xe2\x82"));
	assert_false(is_text("\xe2\x82z"));
	assert_false(is_text("\xf0\x9f\x98"));
	assert_false(is_text("\xf0\x9f\x98z"));
}

static char *json(const char *text)
{
	return emit_json_text(buf, (const uint8_t *)text, strlen(text));
}

static void json_strings(void **state)
{
	assert_emitted(json("plain"), "plain");
	assert_emitted(json("\"\\/"), "\\\"\\\\/");
	assert_emitted(json("\x01\n\x1f\x7f"), "\\u0001\\u000a\\u001f\\u007f");
	assert_emitted(json("\xc2\x80\xc2\x9b\xc2\x9f\xc2\xa0"), "\\u0080\\u009b\\u009f\xc2\xa0");
	assert_emitted(json("\xe2\x82\xac\xf0\x9f\x98\x80"), "\xe2\x82\xac\xf0\x9f\x98\x80");
}

static void nginx_strings(void **state)
{
	static const char text[] = "a\"\\\n\x7f\xc3";

	assert_emitted(emit_escaped(buf, (const uint8_t *)text, strlen(text)),
		       "a\\x22\\x5c\\x0a\\x7f\\xc3");
}

/* What a line may need is computed from this. */
static void nothing_grows_more_than_said(void **state)
{
	for (unsigned i = 1; i < 256; i++) {
		const uint8_t one = (uint8_t)i;

		assert_true(emit_escaped(buf, &one, 1) - buf <= EMIT_GROWTH);
		if (emit_is_text(&one, 1))
			assert_true(emit_json_text(buf, &one, 1) - buf <= EMIT_GROWTH);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),       cmocka_unit_test(addresses),
		cmocka_unit_test(what_is_text),  cmocka_unit_test(json_strings),
		cmocka_unit_test(nginx_strings), cmocka_unit_test(nothing_grows_more_than_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
