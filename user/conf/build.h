/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The last stage of a configuration: sections and entries, from a file or from flags,
 * become a struct conf, and what one key alone cannot tell is checked. Private to conf/.
 */
#ifndef CONF_BUILD_H
#define CONF_BUILD_H

#include <stddef.h>

#include "conf/conf.h"
#include "conf/keys.h"

/* "backend = TEXT" of a listener: resolved when every section is known. */
struct build_reference {
	char *text;
	unsigned line;
};

struct build {
	const char *file; /* NULL: the entries are flags */
	struct conf_error *error;
	struct conf *conf;
	struct build_reference *references; /* one for each listener */
	size_t room;                        /* listeners and backends there is room for */
	unsigned unproxy_line;              /* of [unproxy], 0: not yet met */
	unsigned user_line, group_line;     /* of these keys */
};

/* The section being read. */
struct build_section {
	enum key_section kind;
	void *owner;
	unsigned line;
	unsigned seen[KEYS_MAX]; /* by key: the line it was first given in */
};

/* Room for n_sections sections. Returns 0 or -ENOMEM. End with build_free(), which frees
 * build->conf, too, unless it has been taken out. */
int build_start(struct build *build, size_t n_sections);
void build_free(struct build *build);

/* Write "file:line: key: message" ("--flag: message") into the error. Returns -EINVAL.
 * key and line may be missing (NULL, 0). */
int build_fail(const struct build *build, unsigned line, const char *key, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* All return 0, or -errno with the error written. */
int build_section_start(struct build *build, struct build_section *section, const char *title,
			unsigned line);
/* A list goes on behind the newlines of its value, in lines of their own. */
int build_entry(struct build *build, struct build_section *section, const char *name,
		const char *value, unsigned line);
int build_section_end(struct build *build, const struct build_section *section);
int build_finish(struct build *build);

/* Checks across listeners and backends (conf/validate). */
int build_validate(const struct build *build);

#endif
