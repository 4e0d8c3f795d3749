/* SPDX-License-Identifier: BSD-2-Clause */
/* A command's usage text, taken apart for those that print it in another form. */
#ifndef CMD_USAGE_H
#define CMD_USAGE_H

#include <stddef.h>

enum usage_kind {
	USAGE_SYNOPSIS,  /* head: "unproxy run [-c FILE]"; text: a remark, or empty */
	USAGE_PARAGRAPH, /* text: its lines, joined */
	USAGE_TERM,      /* head: "-c FILE"; text: what it means, its lines joined */
	USAGE_LITERAL,   /* head: an indented line, to be shown as it is */
};

struct usage_item {
	enum usage_kind kind;
	char *head, *text; /* never NULL */
};

struct usage {
	struct usage_item *items;
	size_t n;
};

/* Take the text (laid out as commands.h says) apart. Returns 0 with *ret, which
 * usage_free() frees, or -ENOMEM. */
int usage_parse(const char *text, struct usage *ret);

void usage_free(struct usage *usage);

#endif
