// SPDX-License-Identifier: BSD-2-Clause
#include "cmd/usage.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define SYNOPSIS_INDENT 7 /* "usage: " */

/* Where two or more blanks part a line's head from its text; its end if they do not. */
static size_t head_length(const char *line)
{
	const char *gap = strstr(line, "  ");

	return gap ? (size_t)(gap - line) : strlen(line);
}

static struct usage_item *add(struct usage *usage, enum usage_kind kind, const char *line,
			      size_t head)
{
	struct usage_item *items = reallocarray(usage->items, usage->n + 1, sizeof(*usage->items));
	struct usage_item *item;

	if (!items)
		return NULL;
	usage->items = items;
	item = &items[usage->n];
	item->kind = kind;
	item->head = strndup(line, head);
	item->text = strdup(line + head + strspn(line + head, " "));
	if (!item->head || !item->text) {
		free(item->head);
		free(item->text);
		return NULL;
	}
	usage->n++;
	return item;
}

/* One more line of a text; a blank joins it. */
static int append(char **text, const char *line)
{
	char *joined = NULL;

	if (asprintf(&joined, "%s%s%s", *text, **text ? " " : "", line) < 0)
		return -ENOMEM;
	free(*text);
	*text = joined;
	return 0;
}

static int synopsis_line(struct usage *usage, const char *line)
{
	size_t indent = strspn(line, " ");

	if (indent > SYNOPSIS_INDENT && usage->n)
		return append(&usage->items[usage->n - 1].head, line + indent);
	line += indent ? indent : strnlen(line, SYNOPSIS_INDENT);
	return add(usage, USAGE_SYNOPSIS, line, head_length(line)) ? 0 : -ENOMEM;
}

/* open: no empty line since the last item. */
static int body_line(struct usage *usage, const char *line, bool open)
{
	struct usage_item *last = open && usage->n ? &usage->items[usage->n - 1] : NULL;
	size_t indent = strspn(line, " ");
	bool is_term;

	line += indent;
	if (!indent) {
		if (last && last->kind == USAGE_PARAGRAPH)
			return append(&last->text, line);
		return add(usage, USAGE_PARAGRAPH, line, 0) ? 0 : -ENOMEM;
	}
	if (last && last->kind == USAGE_TERM && indent > 2)
		return append(&last->text, line);
	is_term = *line == '-' || strstr(line, "  ");
	return add(usage, is_term ? USAGE_TERM : USAGE_LITERAL, line,
		   is_term ? head_length(line) : strlen(line))
		       ? 0
		       : -ENOMEM;
}

int usage_parse(const char *text, struct usage *ret)
{
	bool in_synopsis = true, open = false;

	*ret = (struct usage){ 0 };
	while (*text) {
		size_t len = strcspn(text, "\n");
		_cleanup_free_ char *line = strndup(text, len);
		int err = line ? 0 : -ENOMEM;

		if (line && len)
			err = in_synopsis ? synopsis_line(ret, line) : body_line(ret, line, open);
		if (err) {
			usage_free(ret);
			return err;
		}
		open = len > 0;
		in_synopsis = in_synopsis && open;
		text += len + (text[len] == '\n');
	}
	return 0;
}

void usage_free(struct usage *usage)
{
	for (size_t i = 0; i < usage->n; i++) {
		free(usage->items[i].head);
		free(usage->items[i].text);
	}
	free(usage->items);
	*usage = (struct usage){ 0 };
}
