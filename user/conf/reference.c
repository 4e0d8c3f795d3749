/* SPDX-License-Identifier: BSD-2-Clause */
/* docs/configuration.md, unproxy.conf(5) and the help on keys, printed from the key table, so that
 * they cannot differ from it. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/markup.h"

#include "conf/keys.h"
#include "conf/value.h"

static const char head[] =
	"# Configuration\n"
	"\n"
	"<!-- Printed by `unproxy check --reference`: change user/conf/keys.c, not this file. -->\n"
	"\n";

static const char intro[] =
	"`unproxy run` reads `/etc/unproxy/unproxy.conf` or the file behind `-c`; `unproxy check` "
	"reads "
	"it the same way and says what it understood, or the first thing that is wrong as "
	"`file:line: key: message`. Nothing is half-applied.\n"
	"\n"
	"- Sections in brackets, `key = value` lines, comments from `;` or `#` at the head of a "
	"line, and "
	"behind a value from ` ;` on.\n"
	"- Lists are separated by commas. A line that ends in a comma goes on in the next one.\n"
	"- Durations need a unit: `250ms`, `5s`, `2m`, `1h`. Sizes are bytes, or `64k`, `1m`, `2g` "
	"(powers of 1024). Switches are `yes` or `no`.\n"
	"- Addresses are numbers: `192.0.2.1:80`, `[2001:db8::1]:80`, `*:80`. Host names are not "
	"looked "
	"up.\n"
	"- Unknown keys and sections are refused, and so is a key given twice, unless it says "
	"*repeatable*.\n";

static const char example[] =
	"\n"
	"```ini\n"
	"[unproxy]\n"
	"client_log = /var/log/unproxy/clients.log\n"
	"\n"
	"[listener cable]\n"
	"bind    = *:8080\n"
	"trust   = 10.0.0.0/8, 172.31.0.0/20   ; the load balancer's subnets\n"
	"backend = rails\n"
	"\n"
	"[backend rails]\n"
	"balance = leastconn\n"
	"server  = 127.0.0.1:3000\n"
	"server  = 10.0.3.7:3000 weight=2\n"
	"```\n";

static const struct {
	const char *title, *text;
} chapters[KEY_SECTION__MAX] = {
	[KEY_UNPROXY] = { "[unproxy]", "The whole process. May be left out." },
	[KEY_LISTENER] = { "[listener NAME]",
			   "Where connections of load balancers come in. One or more; two may not "
			   "listen on the same address and port." },
	[KEY_BACKEND] = { "[backend NAME]", "Where they go to." },
};

static void print_words(FILE *out, const struct key *key)
{
	const char *between = "";

	for (const struct key_word *word = key->words; word->name; word++) {
		if (word->later)
			continue;
		(void)fprintf(out, "%s`%s`", between, word->name);
		between = ", ";
	}
}

static void print_range(FILE *out, const struct key *key)
{
	char min[32], max[32];

	if (key->type == KEY_MILLISECONDS || key->type == KEY_SECONDS) {
		value_format_duration(key->min, min, sizeof(min));
		value_format_duration(key->max, max, sizeof(max));
	} else if (key->type == KEY_SIZE64) {
		value_format_size(key->min, min, sizeof(min));
		value_format_size(key->max, max, sizeof(max));
	} else {
		(void)snprintf(min, sizeof(min), "%" PRIu64, key->min);
		(void)snprintf(max, sizeof(max), "%" PRIu64, key->max);
	}
	(void)fprintf(out, "%s to %s", min, max);
	if (key->auto_word)
		(void)fprintf(out, ", `%s`", key->auto_word);
}

static void print_allowed(FILE *out, const struct key *key)
{
	static const char *const kinds[] = {
		[KEY_BOOL] = "`yes`, `no`",
		[KEY_PATH] = "path, `-`, `off`",
		[KEY_SOCKET] = "path, `off`",
		[KEY_GROUP] = "name",
		[KEY_NAME] = "name, number",
		[KEY_TRUST] = "list of CIDRs, `any`",
		[KEY_BINDS] = "list of addresses and ports",
		[KEY_SERVER] = "address, weight",
		[KEY_PORT] = "port, port `->` port",
		[KEY_ADDRESSES] = "list of addresses",
		[KEY_INTERFACES] = "list of names",
		[KEY_ENDPOINT] = "address and port, `off`",
		[KEY_BACKEND_REF] = "name, address",
	};

	if (key->type == KEY_WORD)
		print_words(out, key);
	else if (kinds[key->type])
		(void)fputs(kinds[key->type], out);
	else
		print_range(out, key);
}

static void print_marks(FILE *out, const struct key *key)
{
	if (key->repeatable)
		(void)fputs(" *Repeatable.*", out);
	if (key->restart)
		(void)fputs(" *A reload leaves it: restart.*", out);
	if (key->engine != KEY_BOTH)
		(void)fprintf(out, " *Only with `engine = %s`.*",
			      key->engine == KEY_INLINE ? "inline" : "relay");
}

static void print_row(FILE *out, const struct key *key)
{
	(void)fprintf(out, "| `%s` | ", key->name);
	print_allowed(out, key);
	if (key->default_text)
		(void)fprintf(out, " | `%s` | %s", key->default_text, key->help);
	else
		(void)fprintf(out, " | %s | %s", key->required ? "**required**" : "", key->help);
	print_marks(out, key);
	(void)fputs(" |\n", out);
}

int key_print_reference(FILE *out)
{
	(void)fputs(head, out);
	(void)fputs(intro, out);
	(void)fputs(example, out);
	for (unsigned kind = 0; kind < KEY_SECTION__MAX; kind++) {
		(void)fprintf(out, "\n## %s\n\n%s\n\n", chapters[kind].title, chapters[kind].text);
		(void)fputs("| key | value | default | |\n|---|---|---|---|\n", out);
		for (size_t i = 0; i < n_keys; i++) {
			if (keys[i].section == (enum key_section)kind)
				print_row(out, &keys[i]);
		}
	}
	return fflush(out) == 0 ? 0 : -errno;
}

/* Print what write says of the key, marked up, in another form. */
static void convert(FILE *out, enum markup_form form, const struct key *key,
		    void (*write)(FILE *, const struct key *), unsigned indent)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *memory = open_memstream(&text, &size);

	if (!memory)
		return;
	write(memory, key);
	if (fclose(memory) == 0)
		markup_paragraph(out, form, text, indent);
}

static void write_head(FILE *out, const struct key *key)
{
	(void)fprintf(out, "`%s` = ", key->name);
	print_allowed(out, key);
}

static void write_text(FILE *out, const struct key *key)
{
	(void)fputs(key->help, out);
	print_marks(out, key);
	if (key->required)
		(void)fputs(" *Required.*", out);
	if (key->default_text)
		(void)fprintf(out, " *Default:* `%s`.", key->default_text);
}

void key_print_help(FILE *out, enum markup_form form, const struct key *key)
{
	if (form == MARKUP_MAN)
		(void)fputs(".TP\n", out);
	else
		(void)fputc('\n', out);
	convert(out, form, key, write_head, 0);
	convert(out, form, key, write_text, 8);
}

void key_print_page(FILE *out, enum markup_form form)
{
	const bool man = form == MARKUP_MAN;

	markup_blocks(out, form, intro);
	(void)fputs(man ? ".SH EXAMPLE\n" : "\n", out);
	markup_blocks(out, form, example + 1);
	for (unsigned kind = 0; kind < KEY_SECTION__MAX; kind++) {
		(void)fprintf(out, man ? ".SH %s\n" : "\n%s\n\n", chapters[kind].title);
		markup_paragraph(out, form, chapters[kind].text, 0);
		for (size_t i = 0; i < n_keys; i++) {
			if (keys[i].section == (enum key_section)kind)
				key_print_help(out, form, &keys[i]);
		}
	}
}
