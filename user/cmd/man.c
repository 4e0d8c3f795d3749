// SPDX-License-Identifier: BSD-2-Clause
#include "cmd/man.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/markup.h"
#include "base/version.h"
#include "cmd/commands.h"
#include "cmd/topics.h"
#include "cmd/usage.h"
#include "conf/keys.h"

static void print_title(FILE *out, const char *name, int section, const char *about)
{
	(void)fprintf(out,
		      ".\\\" Printed by `unproxy help --man %d`.\n"
		      ".TH %s %d %s \"unproxy %s\" \"%s\"\n",
		      section, name, section, UNPROXY_DATE, UNPROXY_VERSION, about);
}

static size_t word_length(const char *at)
{
	size_t len = 0;

	while (at[len] && (isalnum((unsigned char)at[len]) || strchr("-_./:", at[len])))
		len++;
	return len;
}

/* FILE, CIDR, N: what stands for a value. */
static bool is_placeholder(const char *word, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!isupper((unsigned char)word[i]) && !isdigit((unsigned char)word[i]) &&
		    !strchr("_:/-", word[i]))
			return false;
	}
	return isupper((unsigned char)*word);
}

/* A line of a synopsis or an option: what is typed as it is bold, what stands for it italic. */
static void print_syntax(FILE *out, const char *text)
{
	while (*text) {
		size_t len = word_length(text);

		if (len) {
			(void)fprintf(out, "\\f%c", is_placeholder(text, len) ? 'I' : 'B');
			markup_man_literal(out, text, len);
			(void)fputs("\\fR", out);
		} else {
			len = 1;
			markup_man_literal(out, text, len);
		}
		text += len;
	}
	(void)fputc('\n', out);
}

/* before: the kind of the item above, or -1: a paragraph right behind a heading is too many. */
static void print_item(FILE *out, const struct usage_item *item, int before)
{
	bool same = before == (int)item->kind;

	switch (item->kind) {
	case USAGE_SYNOPSIS:
		(void)fputs(same ? ".br\n" : "", out);
		print_syntax(out, item->head);
		if (!*item->text)
			break;
		(void)fputs(".RS\n", out);
		markup_paragraph(out, MARKUP_MAN, item->text, 0);
		(void)fputs(".RE\n", out);
		break;
	case USAGE_PARAGRAPH:
		(void)fputs(before < 0 ? "" : ".PP\n", out);
		markup_paragraph(out, MARKUP_MAN, item->text, 0);
		break;
	case USAGE_TERM:
		(void)fputs(".TP\n", out);
		print_syntax(out, item->head);
		if (*item->text)
			markup_paragraph(out, MARKUP_MAN, item->text, 0);
		break;
	case USAGE_LITERAL:
		(void)fputs(same ? ".br\n" : ".PP\n", out);
		markup_man_literal(out, item->head, strlen(item->head));
		(void)fputc('\n', out);
		break;
	}
}

static int print_command(FILE *out, const struct command *command)
{
	struct usage usage;
	int before = -1, err = usage_parse(command->usage, &usage);

	if (err)
		return err;
	(void)fprintf(out, ".SS unproxy %s\n", command->name);
	for (size_t i = 0; i < usage.n; i++) {
		print_item(out, &usage.items[i], before);
		before = (int)usage.items[i].kind;
	}
	usage_free(&usage);
	return 0;
}

static int print_commands(FILE *out)
{
	(void)fputs(".SH COMMANDS\n", out);
	for (size_t i = 0; i < n_commands; i++) {
		int err = print_command(out, &commands[i]);

		if (err)
			return err;
	}
	return 0;
}

int man_print_command(FILE *out)
{
	print_title(out, "UNPROXY", 8, "System Administration");
	(void)fputs(".SH NAME\nunproxy \\- takes the PROXY protocol off in the kernel\n"
		    ".SH SYNOPSIS\n.B unproxy\n.I COMMAND\n[...]\n.br\n"
		    ".B unproxy help\n[\\fICOMMAND\\fR | \\fITOPIC\\fR | \\fIKEY\\fR]\n.br\n"
		    ".B unproxy \\-\\-version\n",
		    out);
	for (size_t i = 0; i < n_topics; i++) {
		(void)fprintf(out, ".SH %s\n", topics[i].title);
		markup_blocks(out, MARKUP_MAN, topics[i].text);
		if (i == 0) {
			int err = print_commands(out);

			if (err)
				return err;
		}
	}
	return 0;
}

void man_print_conf(FILE *out)
{
	print_title(out, "UNPROXY.CONF", 5, "File Formats");
	(void)fputs(".SH NAME\nunproxy.conf \\- configuration of unproxy\n.SH DESCRIPTION\n", out);
	key_print_page(out, MARKUP_MAN);
	(void)fputs(".SH SEE ALSO\n", out);
	markup_paragraph(out, MARKUP_MAN, "`unproxy`(8)", 0);
}
