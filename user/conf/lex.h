/* SPDX-License-Identifier: BSD-2-Clause */
/* An INI file as sections and entries with their lines. Knows no key; no logging. */
#ifndef CONF_LEX_H
#define CONF_LEX_H

#include <stddef.h>

struct conf_error;

struct lex_entry {
	char *key;
	char *value; /* a newline for each that it goes on over */
	unsigned line, last_line;
};

struct lex_section {
	char *title; /* between the brackets, trimmed */
	unsigned line;
	struct lex_entry *entries;
	size_t n_entries;
};

struct lex {
	struct lex_section *sections;
	size_t n_sections;
};

/* Read the whole file. Returns 0 or -errno with error->text filled as
 * "path:line: message"; on failure *ret is untouched. Free with lex_free(). */
int lex_file(const char *path, struct lex *ret, struct conf_error *error);

void lex_free(struct lex *lex);

#endif
