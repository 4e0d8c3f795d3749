// SPDX-License-Identifier: BSD-2-Clause
/* unproxy deny: which clients are refused, by their true address. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cmd/ask.h"
#include "cmd/cmd.h"
#include "cmd/flags.h"

const char cmd_deny_usage[] =
	"usage: unproxy deny add CIDR [allow] [for SPAN | until TIME] [--kill]\n"
	"       unproxy deny add - [--kill]\n"
	"       unproxy deny del CIDR\n"
	"       unproxy deny list [CIDR]\n"
	"\n"
	"Refuses clients by their true address, with either engine, before the app\n"
	"sees them; connections that are there go on, unless --kill is said. Of\n"
	"networks within each other the longest prefix counts; allow makes\n"
	"exceptions. A span is 90s, 10m, 1h or 7d, a time 2026-12-24T12:00:00Z or\n"
	"2026-12-24 (UTC). add - reads such lines from standard input. list with a\n"
	"network shows what is said of it, of parts of it, and of what it is a part\n"
	"of.\n"
	"\n"
	"What was added is kept when the daemon is started again, not when the host\n"
	"is; deny_file in the configuration is.\n\n"
	"  --kill           end their live connections, too\n" ASK_HELP;

struct deny_ask {
	struct ask_flags flags;
	struct ask *ask;
	bool kill;
};

/* One request whose answer is of no interest beyond that it is well. */
static int order(struct ask *ask, const char *cmd, json_t *args, json_t **ret)
{
	int err = ask_send(ask, cmd, args);

	return err ? err : ask_read(ask, NULL, NULL, ret);
}

static void print_added(const struct deny_ask *deny, json_t *data)
{
	const char *until = ask_text(data, "until");

	if (deny->flags.json) {
		(void)ask_print_item(NULL, data);
		return;
	}
	(void)printf("%s: %s%s%s", ask_text(data, "cidr"),
		     strcmp(ask_text(data, "verdict"), "allow") == 0 ? "allowed" : "denied",
		     *until ? " until " : "", until);
	if (deny->kill)
		(void)printf(", killed: %lld", ask_number(data, "killed"));
	(void)printf("\n");
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

/* Have one rule added. 0 with its data, the caller's; -EREMOTE with it: not all were killed. */
static int add(const struct deny_ask *deny, const char *rule, json_t **ret)
{
	json_t *args = json_pack("{s:s}", "rule", rule), *line = NULL;
	int err;

	if (deny->kill)
		(void)json_object_set_new(args, "kill", json_true());
	err = order(deny->ask, "deny_add", args, &line);
	*ret = json_incref(json_object_get(line, "data"));
	json_decref(line);
	return err ? err : ask_killed("deny", *ret);
}

static int add_words(const struct deny_ask *deny, char **words)
{
	_cleanup_free_ char *text = join(words);
	json_t *data;
	int err = add(deny, text ? text : "", &data);

	if (data)
		print_added(deny, data);
	json_decref(data);
	return err;
}

/* As deny_file: one a line. It ends at the first that is refused. */
static int add_lines(const struct deny_ask *deny)
{
	_cleanup_free_ char *text = NULL;
	unsigned long number = 0, added = 0;
	long long killed = 0;
	size_t size = 0;
	int err = 0;

	while (!err && getline(&text, &size, stdin) >= 0) {
		json_t *data;

		number++;
		text[strcspn(text, "#;\r\n")] = '\0';
		if (!text[strspn(text, " \t")])
			continue;
		err = add(deny, text, &data);
		if (data && deny->flags.json)
			print_added(deny, data);
		added += data != NULL;
		killed += ask_number(data, "killed");
		json_decref(data);
	}
	if (err)
		(void)fprintf(stderr, "unproxy deny: stopped at line %lu\n", number);
	if (!deny->flags.json && deny->kill)
		(void)printf("%lu added, killed: %lld\n", added, killed);
	else if (!deny->flags.json)
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

static int run(const struct deny_ask *deny, char **words, int n)
{
	if (strcmp(words[0], "list") == 0)
		return list(&deny->flags, deny->ask, words[1]);
	if (strcmp(words[0], "del") == 0)
		return del(&deny->flags, deny->ask, words[1]);
	return n == 2 && strcmp(words[1], "-") == 0 ? add_lines(deny) : add_words(deny, words + 1);
}

/* 0, or the exit code after a message. */
static int check_words(char **words, int n, bool kill)
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
		if (n > orders[i].max)
			return cmd_usage_error("deny", "one word too many: ", words[n - 1]);
		return kill && i > 0 ? cmd_usage_error("deny", "--kill goes with add", "") : 0;
	}
	return cmd_usage_error("deny", "add, del or list, not ", words[0]);
}

int cmd_deny(int argc, char **argv)
{
	struct deny_ask deny = { .kill = flags_take(&argc, argv, "--kill") };
	int code = ask_flags(argc, argv, cmd_deny_usage, &deny.flags), err;
	char **words = argv + deny.flags.rest;

	if (code)
		return code - 1;
	code = check_words(words, argc - deny.flags.rest, deny.kill);
	if (code)
		return code;
	if (ask_open(&deny.flags, "deny", &deny.ask))
		return EXIT_USAGE;
	err = run(&deny, words, argc - deny.flags.rest);
	ask_close(deny.ask);
	return ask_exit_code(err);
}
