// SPDX-License-Identifier: BSD-2-Clause
/* unproxy deny: which clients are refused, by their true address. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cmd/ask.h"
#include "cmd/cmd.h"

const char cmd_deny_usage[] =
	"usage: unproxy deny add CIDR [allow] [for SPAN | until TIME]\n"
	"       unproxy deny add -\n"
	"       unproxy deny del CIDR\n"
	"       unproxy deny list [CIDR]\n"
	"\n"
	"Refuses clients by their true address, with either engine, before the app\n"
	"sees them; connections that are there go on. Of networks within each other\n"
	"the longest prefix counts; allow makes exceptions. A span is 90s, 10m, 1h\n"
	"or 7d, a time 2026-12-24T12:00:00Z or 2026-12-24 (UTC). add - reads such\n"
	"lines from standard input. list with a network shows what is said of it,\n"
	"of parts of it, and of what it is a part of.\n"
	"\n"
	"What was added is kept when the daemon is started again, not when the host\n"
	"is; deny_file in the configuration is.\n\n" ASK_HELP;

/* One request whose answer is of no interest beyond that it is well. */
static int order(struct ask *ask, const char *cmd, json_t *args, json_t **ret)
{
	int err = ask_send(ask, cmd, args);

	return err ? err : ask_read(ask, NULL, NULL, ret);
}

static void print_added(const struct ask_flags *flags, const json_t *line)
{
	json_t *data = json_object_get(line, "data");
	const char *until = ask_text(data, "until");

	if (flags->json) {
		(void)ask_print_item(NULL, data);
		return;
	}
	(void)printf("%s: %s%s%s\n", ask_text(data, "cidr"),
		     strcmp(ask_text(data, "verdict"), "allow") == 0 ? "allowed" : "denied",
		     *until ? " until " : "", until);
}

/* Words with a space between. NULL: no memory. */
static char *join(char **words)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	for (; out && *words; words++)
		(void)fprintf(out, "%s%s", *words, words[1] ? " " : "");
	if (out)
		(void)fclose(out);
	return text;
}

static int add_words(const struct ask_flags *flags, struct ask *ask, char **words)
{
	_cleanup_free_ char *text = join(words);
	json_t *line = NULL;
	int err = order(ask, "deny_add", json_pack("{s:s}", "rule", text ? text : ""), &line);

	if (!err)
		print_added(flags, line);
	json_decref(line);
	return err;
}

/* As deny_file: one a line. It ends at the first that is refused. */
static int add_lines(const struct ask_flags *flags, struct ask *ask)
{
	_cleanup_free_ char *text = NULL;
	unsigned long number = 0, added = 0;
	size_t size = 0;
	int err = 0;

	while (!err && getline(&text, &size, stdin) >= 0) {
		json_t *line = NULL;

		number++;
		text[strcspn(text, "#;\r\n")] = '\0';
		if (!text[strspn(text, " \t")])
			continue;
		err = order(ask, "deny_add", json_pack("{s:s}", "rule", text), &line);
		if (!err && flags->json)
			print_added(flags, line);
		json_decref(line);
		added += !err;
	}
	if (err)
		(void)fprintf(stderr, "unproxy deny: stopped at line %lu\n", number);
	if (!flags->json)
		(void)printf("%lu added\n", added);
	return err;
}

static int del(const struct ask_flags *flags, struct ask *ask, const char *cidr)
{
	json_t *line = NULL;
	int err = order(ask, "deny_del", json_pack("{s:s}", "cidr", cidr), &line);

	if (!err && flags->json)
		(void)ask_print_item(NULL, json_object_get(line, "data"));
	else if (!err)
		(void)printf("%s: nothing is said of it any more\n", cidr);
	json_decref(line);
	return err;
}

static int print_row(void *context, json_t *item)
{
	const char *until = ask_text(item, "until");
	bool *headed = context;

	if (!*headed)
		(void)printf("%-26s %-7s %-7s %-20s %10s\n", "NETWORK", "VERDICT", "BY", "UNTIL",
			     "HITS");
	*headed = true;
	return printf("%-26s %-7s %-7s %-20s %10lld\n", ask_text(item, "cidr"),
		      ask_text(item, "verdict"), ask_text(item, "source"), *until ? until : "-",
		      ask_number(item, "hits")) < 0
		       ? -EIO
		       : 0;
}

static int list(const struct ask_flags *flags, struct ask *ask, const char *cidr)
{
	json_t *args = cidr ? json_pack("{s:s}", "cidr", cidr) : NULL, *line = NULL;
	bool headed = false;
	int err = ask_send(ask, "deny_list", args);

	if (!err)
		err = ask_read(ask, flags->json ? ask_print_item : print_row, &headed, &line);
	if (!err && !flags->json && !headed)
		(void)printf("nothing is said%s%s\n", cidr ? " of " : "", cidr ? cidr : "");
	json_decref(line);
	return err;
}

static int run(const struct ask_flags *flags, struct ask *ask, char **words, int n)
{
	if (strcmp(words[0], "list") == 0)
		return list(flags, ask, words[1]);
	if (strcmp(words[0], "del") == 0)
		return del(flags, ask, words[1]);
	return n == 2 && strcmp(words[1], "-") == 0 ? add_lines(flags, ask)
						    : add_words(flags, ask, words + 1);
}

/* 0, or the exit code after a message. */
static int check_words(char **words, int n)
{
	static const struct {
		const char *name;
		int min, max;
	} orders[] = { { "add", 2, 6 }, { "del", 2, 2 }, { "list", 1, 2 } };

	if (n == 0)
		return cmd_usage_error("deny", "add, del or list", "");
	for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
		if (strcmp(words[0], orders[i].name) != 0)
			continue;
		if (n < orders[i].min)
			return cmd_usage_error("deny", "a CIDR is missing behind ", words[0]);
		return n > orders[i].max
			       ? cmd_usage_error("deny", "one word too many: ", words[n - 1])
			       : 0;
	}
	return cmd_usage_error("deny", "add, del or list, not ", words[0]);
}

int cmd_deny(int argc, char **argv)
{
	struct ask_flags flags;
	struct ask *ask = NULL;
	int code = ask_flags(argc, argv, cmd_deny_usage, &flags), err;

	if (code)
		return code - 1;
	code = check_words(argv + flags.rest, argc - flags.rest);
	if (code)
		return code;
	if (ask_open(&flags, "deny", &ask))
		return EXIT_USAGE;
	err = run(&flags, ask, argv + flags.rest, argc - flags.rest);
	ask_close(ask);
	return ask_exit_code(err);
}
