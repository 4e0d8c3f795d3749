// SPDX-License-Identifier: BSD-2-Clause
/* Names of reasons are labels of metrics: unique, and of one alphabet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/reason.h"

static void every_reason_has_texts(void **state)
{
	for (int i = 1; i < UP_REASON__MAX; i++) {
		const char *name = up_reason_name((enum up_reason)i);

		assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_"),
				 strlen(name));
		assert_true(strlen(name) >= 5);
		assert_non_null(up_reason_hint((enum up_reason)i));
	}
}

static void names_are_unique(void **state)
{
	for (int i = 0; i < UP_REASON__MAX; i++)
		for (int j = 0; j < i; j++)
			assert_string_not_equal(up_reason_name((enum up_reason)i),
						up_reason_name((enum up_reason)j));
}

static void beyond_the_table(void **state)
{
	assert_string_equal(up_reason_name(UP_REASON_NONE), "none");
	assert_null(up_reason_hint(UP_REASON_NONE));
	assert_string_equal(up_reason_name((enum up_reason)UP_REASON__MAX), "unknown");
	assert_null(up_reason_hint((enum up_reason)UP_REASON__MAX));
}

static void assert_guess(const char *bytes, const char *expect)
{
	const char *guess = reason_guess((const uint8_t *)bytes, strlen(bytes));

	if (expect)
		assert_string_equal(guess, expect);
	else
		assert_null(guess);
}

static void guesses(void **state)
{
	const char *hint;

	assert_guess("GET / HTTP/1.1\r\n", "HTTP");
	assert_guess("POST /", "HTTP");
	assert_guess("PRI * HTTP/2.0\r\n", "HTTP/2");
	assert_guess("\x16\x03\x01", "TLS");
	assert_guess("SSH-2.0-x", "SSH");
	assert_guess("GET", NULL);
	assert_guess("", NULL);
	assert_guess("PROXY TCP4", NULL);
	hint = reason_hint_for(UP_REASON_NO_HEADER, (const uint8_t *)"GET / ", 6);
	assert_non_null(strstr(hint, "plain HTTP"));
	assert_string_equal(reason_hint_for(UP_REASON_NO_HEADER, (const uint8_t *)"?", 1),
			    up_reason_hint(UP_REASON_NO_HEADER));
	assert_string_equal(reason_hint_for(UP_REASON_TLV_TAIL, (const uint8_t *)"GET / ", 6),
			    up_reason_hint(UP_REASON_TLV_TAIL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_reason_has_texts),
		cmocka_unit_test(names_are_unique),
		cmocka_unit_test(beyond_the_table),
		cmocka_unit_test(guesses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
