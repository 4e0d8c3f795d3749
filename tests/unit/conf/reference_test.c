/* SPDX-License-Identifier: BSD-2-Clause */
/* docs/configuration.md is what the key table prints, and the table is sound. Runs in the project's root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/conf.h"
#include "conf/keys.h"

static char *print_reference(void)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	assert_int_equal(key_print_reference(out), 0);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void the_document_is_current(void **state)
{
	char *expect = print_reference(), *found = calloc(1, 65536);
	FILE *in = fopen("docs/configuration.md", "re");

	assert_non_null(in);
	assert_non_null(found);
	assert_true(fread(found, 1, 65535, in) > 0);
	if (strcmp(found, expect) != 0)
		fail_msg("stale: unproxy check --reference > docs/configuration.md");
	(void)fclose(in);
	free(expect);
	free(found);
}

static void every_key_is_in_it(void **state)
{
	char *text = print_reference();

	for (size_t i = 0; i < n_keys; i++) {
		char row[80];

		(void)snprintf(row, sizeof(row), "\n| `%s` |", keys[i].name);
		if (!strstr(text, row))
			fail_msg("%s", keys[i].name);
	}
	free(text);
}

static void every_default_is_allowed(void **state)
{
	struct conf *conf = calloc(1, sizeof(*conf));
	struct conf_listener listener = { 0 };
	struct conf_backend backend = { 0 };

	assert_non_null(conf);
	assert_int_equal(key_set_defaults(KEY_UNPROXY, conf), 0);
	assert_int_equal(key_set_defaults(KEY_LISTENER, &listener), 0);
	assert_int_equal(key_set_defaults(KEY_BACKEND, &backend), 0);
	conf_free(conf);
}

static void no_key_twice(void **state)
{
	for (size_t i = 0; i < n_keys; i++) {
		assert_ptr_equal(key_find(keys[i].section, keys[i].name), &keys[i]);
		assert_non_null(keys[i].help);
	}
	assert_null(key_find(KEY_UNPROXY, "trust"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_document_is_current),
		cmocka_unit_test(every_key_is_in_it),
		cmocka_unit_test(every_default_is_allowed),
		cmocka_unit_test(no_key_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
