/* SPDX-License-Identifier: BSD-2-Clause */
/* Every subcommand has its help, laid out as the man page and the completions need it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "cmd/cmd.h"
#include "cmd/commands.h"

#define SUMMARY_MAX 60
#define COLUMNS 88

static char out[65536];

/* Run a command with the words; what it prints on stdout is in out. Returns its exit code. */
static int run(const char *name, const char *a, const char *b)
{
	const char *argv[] = { name, a, b, NULL };
	FILE *file = tmpfile();
	int saved = dup(STDOUT_FILENO), argc = 0, code;
	size_t n;

	assert_true(file && saved >= 0);
	while (argv[argc])
		argc++;
	(void)fflush(stdout);
	assert_true(dup2(fileno(file), STDOUT_FILENO) >= 0);
	code = command_find(name)->fn(argc, (char **)(void *)argv);
	(void)fflush(stdout);
	(void)dup2(saved, STDOUT_FILENO);
	(void)close(saved);
	rewind(file);
	n = fread(out, 1, sizeof(out) - 1, file);
	out[n] = '\0';
	(void)fclose(file);
	return code;
}

static void each_says_what_its_row_says(void **state)
{
	for (size_t i = 0; i < n_commands; i++) {
		assert_non_null(commands[i].usage);
		assert_int_equal(run(commands[i].name, "--help", NULL), EXIT_SUCCESS);
		assert_string_equal(out, commands[i].usage);
		assert_int_equal(run("help", commands[i].name, NULL), EXIT_SUCCESS);
		assert_string_equal(out, commands[i].usage);
	}
}

static void each_usage_can_be_taken_apart(void **state)
{
	for (size_t i = 0; i < n_commands; i++) {
		const char *usage = commands[i].usage;
		char start[64];

		(void)snprintf(start, sizeof(start), "usage: unproxy %s", commands[i].name);
		if (strncmp(usage, start, strlen(start)) != 0)
			fail_msg("%s: the usage does not begin with \"%s\"", commands[i].name,
				 start);
		if (!strstr(usage, "\n\n") || !strstr(usage, "-h, --help"))
			fail_msg("%s: no empty line, or no -h, --help", commands[i].name);
		if (strchr(usage, '\t') || usage[strlen(usage) - 1] != '\n')
			fail_msg("%s: a tab, or no newline at the end", commands[i].name);
		for (const char *line = usage; *line; line += strcspn(line, "\n") + 1) {
			if (strcspn(line, "\n") > COLUMNS)
				fail_msg("%s: more than %d columns: %.*s", commands[i].name,
					 COLUMNS, (int)strcspn(line, "\n"), line);
		}
	}
}

static void each_summary_fits_a_line(void **state)
{
	for (size_t i = 0; i < n_commands; i++) {
		const char *summary = commands[i].summary;

		if (!*summary || strlen(summary) > SUMMARY_MAX ||
		    summary[strlen(summary) - 1] == '.')
			fail_msg("%s: %s", commands[i].name, summary);
		assert_ptr_equal(command_find(commands[i].name), &commands[i]);
	}
	assert_null(command_find("nothing"));
}

static void the_overview_has_all(void **state)
{
	assert_int_equal(run("help", NULL, NULL), EXIT_SUCCESS);
	for (size_t i = 0; i < n_commands; i++) {
		assert_non_null(strstr(out, commands[i].name));
		assert_non_null(strstr(out, commands[i].summary));
	}
}

static void what_is_not_there_is_refused(void **state)
{
	assert_int_equal(run("help", "nothing", NULL), EXIT_USAGE);
	assert_string_equal(out, "");
	assert_int_equal(run("help", "run", "check"), EXIT_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_says_what_its_row_says),
		cmocka_unit_test(each_usage_can_be_taken_apart),
		cmocka_unit_test(each_summary_fits_a_line),
		cmocka_unit_test(the_overview_has_all),
		cmocka_unit_test(what_is_not_there_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
