/* SPDX-License-Identifier: BSD-2-Clause */
/* One text, for man(7) and for a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/markup.h"

static void expect(enum markup_form form, const char *text, const char *want)
{
	_cleanup_free_ char *got = NULL;
	size_t size;
	FILE *out = open_memstream(&got, &size);

	assert_non_null(out);
	markup_blocks(out, form, text);
	assert_int_equal(fclose(out), 0);
	assert_string_equal(got, want);
}

static void inline_marks(void **state)
{
	const char *text = "`a-b` is *not* 2 * 3, see [the page](x.md) `[::1]:80` it's [c]";

	expect(MARKUP_TEXT, text, "a-b is not 2 * 3, see the page [::1]:80 it's [c]\n");
	expect(MARKUP_MAN, text,
	       "\\fBa\\-b\\fR is \\fInot\\fR 2 * 3, see the page \\fB[::1]:80\\fR it\\(aqs [c]\n");
}

static void blocks(void **state)
{
	const char *text = "One.\n\n- a\n- b\n\nTwo:\n\n```ini\n.x = 1\n```\n";

	expect(MARKUP_TEXT, text, "One.\n\n- a\n- b\n\nTwo:\n\n    .x = 1\n");
	expect(MARKUP_MAN, text,
	       "One.\n.IP \\(bu 2\na\n.IP \\(bu 2\nb\n.PP\nTwo:\n.PP\n.RS 4\n.nf\n\\&.x = 1\n"
	       ".fi\n.RE\n");
}

/* Neither a dot nor an apostrophe that comes to stand first is a request. */
static void lines_are_broken_safely(void **state)
{
	const char *text = "aaaaaaaaa bbbbbbbbb ccccccccc ddddddddd eeeeeeeee fffffffff ggggggggg "
			   "hhhhhhhhh .so a";

	expect(MARKUP_MAN, text,
	       "aaaaaaaaa bbbbbbbbb ccccccccc ddddddddd eeeeeeeee fffffffff ggggggggg "
	       "hhhhhhhhh\n\\&.so a\n");
	expect(MARKUP_MAN, ".so a", "\\&.so a\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inline_marks),
		cmocka_unit_test(blocks),
		cmocka_unit_test(lines_are_broken_safely),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
