// SPDX-License-Identifier: BSD-2-Clause
/* What a report prints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "doctor/report.h"

static char *printed(const struct report *report, int (*print)(const struct report *, FILE *))
{
	char *text = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&text, &size);

	assert_non_null(file);
	assert_int_equal(print(report, file), 0);
	(void)fclose(file);
	return text;
}

static void lines_and_json(void **state)
{
	struct report report = { 0 };
	char *text;

	report_add(&report, FINDING_OK, "kernel", NULL, "%d.%d", 6, 18);
	report_add(&report, FINDING_FAIL, "listener a", "stop \"it\"", "belongs to x");
	text = printed(&report, report_print);
	assert_string_equal(text, "OK   kernel: 6.18\n"
				  "FAIL listener a: belongs to x  -> stop \"it\"\n"
				  "1 OK, 0 WARN, 1 FAIL, 0 SKIP\n");
	free(text);
	text = printed(&report, report_print_json);
	assert_string_equal(text,
			    "{\"ok\":1,\"warn\":0,\"fail\":1,\"skip\":0,\"checks\":["
			    "{\"level\":\"OK\",\"name\":\"kernel\",\"text\":\"6.18\"},"
			    "{\"level\":\"FAIL\",\"name\":\"listener a\",\"text\":\"belongs to x\","
			    "\"mend\":\"stop \\\"it\\\"\"}]}\n");
	free(text);
	report_free(&report);
}

static void long_texts_are_cut(void **state)
{
	struct report report = { 0 };
	char *long_text = malloc(5000);

	assert_non_null(long_text);
	memset(long_text, 'x', 4999);
	long_text[4999] = '\0';
	report_add(&report, FINDING_WARN, long_text, long_text, "%s", long_text);
	assert_int_equal(strlen(report.findings[0].name), sizeof(report.findings[0].name) - 1);
	assert_int_equal(strlen(report.findings[0].text), sizeof(report.findings[0].text) - 1);
	assert_int_equal(strlen(report.findings[0].mend), sizeof(report.findings[0].mend) - 1);
	free(long_text);
	report_free(&report);
}

/* A name that is not UTF-8 (a process' may be) is a finding nevertheless. */
static void bytes_of_any_kind(void **state)
{
	struct report report = { 0 };
	char *text;

	report_add(&report, FINDING_FAIL, "listener", NULL, "belongs to \xff\xfe (pid 1)");
	text = printed(&report, report_print_json);
	assert_non_null(strstr(text, "belongs to ?? (pid 1)"));
	free(text);
	report_free(&report);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_and_json),
		cmocka_unit_test(long_texts_are_cut),
		cmocka_unit_test(bytes_of_any_kind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
