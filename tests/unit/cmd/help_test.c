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
#include "cmd/topics.h"
#include "cmd/usage.h"
#include "conf/keys.h"

#define SUMMARY_MAX 60
#define COLUMNS 88

static char out[65536];

/* Run a command with the words; what it prints on stdout is in out. Returns its exit code. */
static int run(const char *name, const char *a, const char *b, const char *c)
{
	const char *argv[] = { name, a, b, c, NULL };
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
		assert_int_equal(run(commands[i].name, "--help", NULL, NULL), EXIT_SUCCESS);
		assert_string_equal(out, commands[i].usage);
		assert_int_equal(run("help", commands[i].name, NULL, NULL), EXIT_SUCCESS);
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
	assert_int_equal(run("help", NULL, NULL, NULL), EXIT_SUCCESS);
	for (size_t i = 0; i < n_commands; i++) {
		assert_non_null(strstr(out, commands[i].name));
		assert_non_null(strstr(out, commands[i].summary));
	}
}

static void what_is_not_there_is_refused(void **state)
{
	assert_int_equal(run("help", "nothing", NULL, NULL), EXIT_USAGE);
	assert_string_equal(out, "");
	assert_int_equal(run("help", "run", "check", NULL), EXIT_USAGE);
}

/* "-c, --config FILE" -> "--config"; the only name if there is no long one. */
static const char *flag_of(const char *head, char *buf, size_t size)
{
	const char *name = strstr(head, "--");

	name = name ? name : head;
	(void)snprintf(buf, size, "%.*s", (int)strcspn(name, " ,=["), name);
	return buf;
}

/* Its own --help behind the flag: a command that knows the flag gets that far. */
static void each_flag_of_a_usage_is_taken(void **state)
{
	for (size_t i = 0; i < n_commands; i++) {
		struct usage usage;

		assert_int_equal(usage_parse(commands[i].usage, &usage), 0);
		for (size_t k = 0; k < usage.n; k++) {
			const struct usage_item *item = &usage.items[k];
			char flag[64];
			int code;

			if (item->kind != USAGE_TERM || item->head[0] != '-' || !item->head[1] ||
			    strstr(item->head, "--help"))
				continue;
			(void)flag_of(item->head, flag, sizeof(flag));
			code = strpbrk(strstr(item->head, flag), " =")
				       ? run(commands[i].name, flag, "1", "--help")
				       : run(commands[i].name, flag, "--help", NULL);
			if (code != EXIT_SUCCESS || strcmp(out, commands[i].usage) != 0)
				fail_msg("%s does not know its %s", commands[i].name, flag);
		}
		usage_free(&usage);
	}
}

/* What man(1) would show of the page in out: without fonts, and with plain dashes. */
static void plain(void)
{
	char *to = out;

	for (const char *at = out; *at;) {
		if (strncmp(at, "\\f", 2) == 0)
			at += 3;
		else if (strncmp(at, "\\-", 2) == 0)
			at++;
		else
			*to++ = *at++;
	}
	*to = '\0';
}

static void the_page_has_every_command_and_flag(void **state)
{
	assert_int_equal(run("help", "--man", "8", NULL), EXIT_SUCCESS);
	plain();
	for (size_t i = 0; i < n_commands; i++) {
		struct usage usage;

		assert_int_equal(usage_parse(commands[i].usage, &usage), 0);
		for (size_t k = 0; k < usage.n; k++) {
			if (usage.items[k].kind != USAGE_PARAGRAPH &&
			    !strpbrk(usage.items[k].head, "\\'") &&
			    !strstr(out, usage.items[k].head))
				fail_msg("not in unproxy(8): %s", usage.items[k].head);
		}
		usage_free(&usage);
	}
	for (size_t i = 0; i < n_topics; i++)
		assert_non_null(strstr(out, topics[i].title));
}

static void the_other_page_has_every_key(void **state)
{
	assert_int_equal(run("help", "--man", "5", NULL), EXIT_SUCCESS);
	plain();
	for (size_t i = 0; i < n_keys; i++) {
		char row[80];

		(void)snprintf(row, sizeof(row), ".TP\n%s = ", keys[i].name);
		if (!strstr(out, row))
			fail_msg("not in unproxy.conf(5): %s", keys[i].name);
	}
}

static void help_knows_topics_and_keys(void **state)
{
	for (size_t i = 0; i < n_topics; i++) {
		assert_int_equal(run("help", topics[i].name, NULL, NULL), EXIT_SUCCESS);
		assert_null(strchr(out, '`'));
	}
	for (size_t i = 0; i < n_keys; i++) {
		assert_int_equal(run("help", keys[i].name, NULL, NULL), EXIT_SUCCESS);
		/* A command of the same name comes first. */
		if (!command_find(keys[i].name))
			assert_non_null(strstr(out, key_sections[keys[i].section]));
	}
	assert_int_equal(run("help", "conf", NULL, NULL), EXIT_SUCCESS);
	assert_non_null(strstr(out, "[listener NAME]"));
	assert_int_equal(run("help", "--man", "7", NULL), EXIT_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_says_what_its_row_says),
		cmocka_unit_test(each_usage_can_be_taken_apart),
		cmocka_unit_test(each_summary_fits_a_line),
		cmocka_unit_test(each_flag_of_a_usage_is_taken),
		cmocka_unit_test(the_page_has_every_command_and_flag),
		cmocka_unit_test(the_other_page_has_every_key),
		cmocka_unit_test(help_knows_topics_and_keys),
		cmocka_unit_test(the_overview_has_all),
		cmocka_unit_test(what_is_not_there_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
