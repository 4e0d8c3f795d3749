// SPDX-License-Identifier: BSD-2-Clause
#include "cmd/words.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "cmd/topics.h"
#include "cmd/usage.h"

void words_print_commands(FILE *out)
{
	for (size_t i = 0; i < n_commands; i++)
		(void)fprintf(out, "command\t%s\t%s\n", commands[i].name, commands[i].summary);
	for (size_t i = 0; i < n_topics; i++)
		(void)fprintf(out, "topic\t%s\n", topics[i].name);
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

/* The length of a bracket with what is in it, brackets included. */
static size_t bracket_length(const char *at)
{
	size_t len = 0;
	int depth = 0;

	do {
		depth += (at[len] == '[') - (at[len] == ']');
		len++;
	} while (depth > 0 && at[len]);
	return len;
}

/* A word of a choice ends at a blank, unless a bar is near: "COMMAND | TOPIC" is one. */
static const char *print_word(FILE *out, const char *at)
{
	while (*at && *at != ']' && *at != '[') {
		if (*at == ' ' && at[1] != '|' && at[-1] != '|')
			break;
		if (*at != ' ')
			(void)fputc(*at, out);
		at++;
	}
	return at;
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

static void print_form(FILE *out, const char *head)
{
	const char *at = head + strcspn(head, " "); /* unproxy */

	at += strspn(at, " ");
	at += strcspn(at, " "); /* the command */
	(void)fputs("form\t", out);
	while (*at) {
		bool flags = *at == '[' && (at[1] == '-' || strstr(at, "flags]") == at + 1);

		if (flags) {
			at += bracket_length(at);
		} else if (strchr(" []", *at)) {
			at++;
		} else if (*at == '-') {
			at = skip_flag(at);
		} else {
			at = print_word(out, at);
			(void)fputc(' ', out);
		}
	}
	(void)fputc('\n', out);
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
			print_form(out, item->head);
		else if (item->kind == USAGE_TERM && *item->head == '-')
			print_flags(out, item);
	}
	usage_free(&usage);
	return 0;
}
