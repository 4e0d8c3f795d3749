/* SPDX-License-Identifier: BSD-2-Clause */
/* What the completions are told of a usage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "cmd/words.h"

static void expect(const char *usage, const char *want)
{
	const struct command command = { .name = "x", .usage = usage };
	_cleanup_free_ char *got = NULL;
	size_t size;
	FILE *out = open_memstream(&got, &size);

	assert_non_null(out);
	assert_int_equal(words_print_command(out, &command), 0);
	assert_int_equal(fclose(out), 0);
	assert_string_equal(got, want);
}

static void forms(void **state)
{
	expect("usage: unproxy x [--json] NAME server ADDR add|remove\n",
	       "form\tNAME server ADDR add|remove \n");
	expect("usage: unproxy x [-c FILE | flags]\n", "form\t\n");
	expect("usage: unproxy x [A | B]\n", "form\tA \nform\tB \nform\t\n");
	expect("usage: unproxy x add CIDR [allow] [for TIME | until DAY]\n",
	       "form\tadd CIDR allow for TIME \nform\tadd CIDR allow until DAY \n"
	       "form\tadd CIDR allow \nform\tadd CIDR for TIME \nform\tadd CIDR until DAY \n"
	       "form\tadd CIDR \n");
	expect("usage: unproxy x [a [b]] [--why [TEXT]] [FILTER...]\n",
	       "form\ta b FILTER... \nform\ta b \nform\ta FILTER... \nform\ta \n"
	       "form\tFILTER... \nform\t\n");
	expect("usage: unproxy x --man 8|5\n       unproxy x -q PATH y\n", "form\t\nform\ty \n");
	expect("usage: unproxy x -\n", "form\t- \n");
	expect("usage: unproxy x\n", "form\t\n");
}

static void flags(void **state)
{
	expect("usage: unproxy x\n\n  -c, --config FILE  a file\n",
	       "form\t\nflag\t-c\tFILE\ta file\n"
	       "flag\t--config\tFILE\ta file\n");
	expect("usage: unproxy x\n\n  --json   as JSON\n  --a=N    a\n  -   no flag\n",
	       "form\t\nflag\t--json\t\tas JSON\nflag\t--a\tN\ta\n");
	expect("usage: unproxy x\n\n  --kind a|b\n           which\n",
	       "form\t\nflag\t--kind\ta|b\twhich\n");
}

/* What FILTER stands for. */
static void filters(void **state)
{
	expect("usage: unproxy x ID|FILTER...\n\n  ID      of this id\n  to=CIDR  there\n"
	       "  kind=a|b  of it\n  --a=N   a\n",
	       "form\tID|FILTER... \nfilter\tto=\tCIDR\tthere\nfilter\tkind=\ta|b\tof it\n"
	       "flag\t--a\tN\ta\n");
}

static void commands_topics_and_keys(void **state)
{
	_cleanup_free_ char *got = NULL;
	const char *key;
	size_t size;
	FILE *out = open_memstream(&got, &size);

	assert_non_null(out);
	words_print_commands(out);
	assert_int_equal(fclose(out), 0);
	assert_non_null(strstr(got, "command\tkill\t"));
	assert_non_null(strstr(got, "topic\texit\n"));
	key = strstr(got, "key\tmax_connections\n");
	assert_non_null(key);
	assert_null(strstr(key + 1, "key\tmax_connections\n")); /* of two sections */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forms),
		cmocka_unit_test(flags),
		cmocka_unit_test(filters),
		cmocka_unit_test(commands_topics_and_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
