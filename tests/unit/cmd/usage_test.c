/* SPDX-License-Identifier: BSD-2-Clause */
/* A usage text is taken apart into what the man page is made of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cmd/usage.h"

static const char text[] = "usage: unproxy x [-c FILE]\n"
			   "                 more of it\n"
			   "       unproxy x --all    everything\n"
			   "\n"
			   "One\n"
			   "two.\n"
			   "\n"
			   "Three:\n"
			   "  unproxy x -c y\n"
			   "\n"
			   "  -c FILE   a file,\n"
			   "            two lines\n"
			   "  --long a|b\n"
			   "            a choice\n"
			   "between:\n"
			   "  WORD      a word\n";

static const struct usage_item expect[] = {
	{ USAGE_SYNOPSIS, "unproxy x [-c FILE] more of it", "" },
	{ USAGE_SYNOPSIS, "unproxy x --all", "everything" },
	{ USAGE_PARAGRAPH, "", "One two." },
	{ USAGE_PARAGRAPH, "", "Three:" },
	{ USAGE_LITERAL, "unproxy x -c y", "" },
	{ USAGE_TERM, "-c FILE", "a file, two lines" },
	{ USAGE_TERM, "--long a|b", "a choice" },
	{ USAGE_PARAGRAPH, "", "between:" },
	{ USAGE_TERM, "WORD", "a word" },
};

static void taken_apart(void **state)
{
	struct usage usage;

	assert_int_equal(usage_parse(text, &usage), 0);
	for (size_t i = 0; i < usage.n && i < sizeof(expect) / sizeof(expect[0]); i++) {
		assert_int_equal(usage.items[i].kind, expect[i].kind);
		assert_string_equal(usage.items[i].head, expect[i].head);
		assert_string_equal(usage.items[i].text, expect[i].text);
	}
	assert_int_equal(usage.n, sizeof(expect) / sizeof(expect[0]));
	usage_free(&usage);
}

static void nothing_is_nothing(void **state)
{
	struct usage usage;

	assert_int_equal(usage_parse("", &usage), 0);
	assert_int_equal(usage.n, 0);
	usage_free(&usage);
	assert_int_equal(usage_parse("usage", &usage), 0);
	assert_int_equal(usage.n, 1);
	usage_free(&usage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(taken_apart),
		cmocka_unit_test(nothing_is_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
