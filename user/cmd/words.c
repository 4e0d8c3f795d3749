// SPDX-License-Identifier: BSD-2-Clause
#include "cmd/words.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"
#include "cmd/topics.h"
#include "cmd/usage.h"
#include "conf/keys.h"

/* Keys of several sections are one word. */
static bool is_repeated(size_t key)
{
	for (size_t i = 0; i < key; i++) {
		if (strcmp(keys[i].name, keys[key].name) == 0)
			return true;
	}
	return false;
}

void words_print_commands(FILE *out)
{
	for (size_t i = 0; i < n_commands; i++)
		(void)fprintf(out, "command\t%s\t%s\n", commands[i].name, commands[i].summary);
	for (size_t i = 0; i < n_topics; i++)
		(void)fprintf(out, "topic\t%s\n", topics[i].name);
	for (size_t i = 0; i < n_keys; i++) {
		if (!is_repeated(i))
			(void)fprintf(out, "key\t%s\n", keys[i].name);
	}
}

/* "client=CIDR" */
static void print_filter(FILE *out, const struct usage_item *item)
{
	int len = (int)strcspn(item->head, "=") + 1;

	(void)fprintf(out, "filter\t%.*s\t%s\t%s\n", len, item->head, item->head + len, item->text);
}

/* "-c, --config FILE" is two flags with one value. */
static void print_flags(FILE *out, const struct usage_item *item)
{
	const char *end = item->head + strlen(item->head), *value = end;
	const char *at = item->head;

	for (const char *blank = at; (blank = strpbrk(blank, " =")) != NULL; blank++) {
		if (blank[1] != '-' && blank[-1] != ',') {
			value = blank + 1;
			end = blank;
			break;
		}
	}
	while (at < end) {
		size_t len = strcspn(at, " ,=[");

		if (*at == '-' && len > 1 && at + len <= end)
			(void)fprintf(out, "flag\t%.*s\t%s\t%s\n", (int)len, at, value, item->text);
		at += len;
		at += strspn(at, " ,=[");
	}
}

/* Where the bracket that opens at "at" closes. */
static const char *bracket_end(const char *at)
{
	int depth = 0;

	for (; *at; at++) {
		depth += (*at == '[') - (*at == ']');
		if (!depth)
			break;
	}
	return at;
}

/* The end of what stands in front of the next " | " or the end, brackets passed over. */
static const char *choice_end(const char *at, const char *end)
{
	while (at < end && strncmp(at, " | ", 3) != 0)
		at = *at == '[' ? bracket_end(at) + 1 : at + 1;
	return at < end ? at : end;
}

static const char *skip_flag(const char *at)
{
	at += strcspn(at, " ");
	at += strspn(at, " ");
	/* Its value, if a value it is. */
	if (isupper((unsigned char)*at) || (*at != '[' && memchr(at, '|', strcspn(at, " "))))
		at += strcspn(at, " ");
	return at;
}

static void print_forms(FILE *out, const char *done, const char *at);

/* [a b | c]: with a b, with c, and without. */
static void print_bracket(FILE *out, const char *done, const char *at)
{
	const char *end = bracket_end(at), *rest = *end ? end + 1 : end;
	bool flags = at[1] == '-' || strncmp(at, "[flags", 6) == 0;

	for (const char *from = at + 1; !flags && from < end;) {
		const char *to = choice_end(from, end);
		_cleanup_free_ char *line = NULL;

		if (*from != '-' && strncmp(from, "flags", 5) != 0 &&
		    asprintf(&line, "%.*s%s", (int)(to - from), from, rest) >= 0)
			print_forms(out, done, line);
		from = to < end ? to + 3 : end;
	}
	print_forms(out, done, rest);
}

/* done: the words so far, each with a blank behind it. */
static void print_forms(FILE *out, const char *done, const char *at)
{
	_cleanup_free_ char *longer = NULL;
	size_t len;

	at += strspn(at, " ");
	len = strcspn(at, " [");
	if (!*at) {
		(void)fprintf(out, "form\t%s\n", done);
	} else if (*at == '[') {
		print_bracket(out, done, at);
	} else if (*at == '-' && len > 1) {
		print_forms(out, done, skip_flag(at));
	} else if (asprintf(&longer, "%s%.*s ", done, (int)len, at) >= 0) {
		print_forms(out, longer, at + len);
	}
}

static void print_synopsis(FILE *out, const char *head)
{
	const char *at = head + strcspn(head, " "); /* unproxy */

	at += strspn(at, " ");
	print_forms(out, "", at + strcspn(at, " ")); /* the command */
}

int words_print_command(FILE *out, const struct command *command)
{
	struct usage usage;
	int err = usage_parse(command->usage, &usage);

	if (err)
		return err;
	for (size_t i = 0; i < usage.n; i++) {
		const struct usage_item *item = &usage.items[i];

		if (item->kind == USAGE_SYNOPSIS)
			print_synopsis(out, item->head);
		else if (item->kind == USAGE_TERM && *item->head == '-')
			print_flags(out, item);
		else if (item->kind == USAGE_TERM && strchr(item->head, '='))
			print_filter(out, item);
	}
	usage_free(&usage);
	return 0;
}
