// SPDX-License-Identifier: BSD-2-Clause
#include "base/markup.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"

#define COLUMNS 80

static void put(FILE *out, enum markup_form form, char c)
{
	if (form == MARKUP_MAN)
		markup_man_literal(out, &c, 1);
	else
		(void)fputc(c, out);
}

static void font(FILE *out, enum markup_form form, const char *name)
{
	if (form == MARKUP_MAN)
		(void)fprintf(out, "\\f%s", name);
}

void markup_man_literal(FILE *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		switch (text[i]) {
		case '\\':
			(void)fputs("\\e", out);
			break;
		case '-':
			(void)fputs("\\-", out);
			break;
		case '\'':
			(void)fputs("\\(aq", out);
			break;
		case '`':
			(void)fputs("\\(ga", out);
			break;
		case '^':
			(void)fputs("\\(ha", out);
			break;
		case '~':
			(void)fputs("\\(ti", out);
			break;
		default:
			(void)fputc(text[i], out);
		}
	}
}

/* The end of "[text](link)" that begins here and its text's length, or NULL. */
static const char *link_end(const char *at, size_t *ret_len)
{
	const char *middle = strstr(at, "](");
	const char *end = middle ? strchr(middle, ')') : NULL;

	if (*at != '[' || !end || memchr(at + 1, '[', (size_t)(middle - at - 1)) ||
	    memchr(middle, ' ', (size_t)(end - middle)))
		return NULL;
	*ret_len = (size_t)(middle - at - 1);
	return end + 1;
}

void markup_inline(FILE *out, enum markup_form form, const char *text)
{
	bool literal = false, emphasis = false;

	for (const char *at = text; *at; at++) {
		const char *end;
		size_t len;

		if (*at == '`') {
			literal = !literal;
			font(out, form, literal ? "B" : "R");
		} else if (!literal && *at == '*' && (emphasis || isalpha((unsigned char)at[1]))) {
			emphasis = !emphasis;
			font(out, form, emphasis ? "I" : "R");
		} else if (!literal && (end = link_end(at, &len)) != NULL) {
			for (const char *c = at + 1; c <= at + len; c++)
				put(out, form, *c);
			at = end - 1;
		} else {
			put(out, form, *at);
		}
	}
}

/* Print the text, broken at blanks. The caller has indented the first line. */
static void wrap(FILE *out, enum markup_form form, const char *text, unsigned indent)
{
	size_t column = indent;

	for (const char *word = text; *word;) {
		size_t len = strcspn(word, " \n");
		bool first = column == indent;

		if (!first && column + 1 + len > COLUMNS) {
			(void)fprintf(out, "\n%*s", (int)indent, "");
			column = indent;
			first = true;
		} else if (!first) {
			(void)fputc(' ', out);
			column++;
		}
		/* A line that begins so would be a request of troff's. */
		if (form == MARKUP_MAN && first && strchr(".'", *word))
			(void)fputs("\\&", out);
		(void)fwrite(word, 1, len, out);
		column += len;
		word += len;
		word += strspn(word, " \n");
	}
	(void)fputc('\n', out);
}

static void wrap_inline(FILE *out, enum markup_form form, const char *text, unsigned indent)
{
	_cleanup_free_ char *converted = NULL;
	size_t size;
	FILE *memory = open_memstream(&converted, &size);

	if (!memory)
		return;
	markup_inline(memory, form, text);
	if (fclose(memory) == 0)
		wrap(out, form, converted, indent);
}

void markup_paragraph(FILE *out, enum markup_form form, const char *text, unsigned indent)
{
	if (form == MARKUP_MAN)
		indent = 0;
	(void)fprintf(out, "%*s", (int)indent, "");
	wrap_inline(out, form, text, indent);
}

static void literal_line(FILE *out, enum markup_form form, const char *line, size_t len)
{
	if (form == MARKUP_MAN && len && strchr(".'", *line))
		(void)fputs("\\&", out);
	if (form == MARKUP_MAN)
		markup_man_literal(out, line, len);
	else
		(void)fprintf(out, "%s%.*s", len ? "    " : "", (int)len, line);
	(void)fputc('\n', out);
}

/* Prints from behind the opening fence; returns what comes behind the closing one. */
static const char *print_fence(FILE *out, enum markup_form form, const char *at)
{
	at += strcspn(at, "\n");
	at += *at == '\n';
	if (form == MARKUP_MAN)
		(void)fputs(".RS 4\n.nf\n", out);
	while (*at && strncmp(at, "```", 3) != 0) {
		size_t len = strcspn(at, "\n");

		literal_line(out, form, at, len);
		at += len + (at[len] == '\n');
	}
	if (form == MARKUP_MAN)
		(void)fputs(".fi\n.RE\n", out);
	at += strcspn(at, "\n");
	return at + (*at == '\n');
}

static void print_item(FILE *out, enum markup_form form, const char *text)
{
	(void)fputs(form == MARKUP_MAN ? ".IP \\(bu 2\n" : "- ", out);
	wrap_inline(out, form, text, form == MARKUP_MAN ? 0 : 2);
}

void markup_blocks(FILE *out, enum markup_form form, const char *text)
{
	const char *between = form == MARKUP_MAN ? ".PP\n" : "\n";
	bool first = true, in_list = false;

	for (const char *at = text; *at;) {
		size_t len = strcspn(at, "\n");
		bool is_item = strncmp(at, "- ", 2) == 0;
		_cleanup_free_ char *line = strndup(at, len);

		if (!line)
			return;
		/* In man(7) an item begins a paragraph by itself. */
		if (len && !first && !(is_item && (in_list || form == MARKUP_MAN)))
			(void)fputs(between, out);
		if (strncmp(at, "```", 3) == 0) {
			at = print_fence(out, form, at);
		} else {
			if (is_item)
				print_item(out, form, line + 2);
			else if (len)
				markup_paragraph(out, form, line, 0);
			at += len + (at[len] == '\n');
		}
		if (len) {
			first = false;
			in_list = is_item;
		}
	}
}
