/* SPDX-License-Identifier: BSD-2-Clause */
/* The two ways into a struct conf, from a file and from flags, and the way out. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "conf/build.h"
#include "conf/lex.h"

static int read_section(struct build *build, const struct lex_section *from)
{
	struct build_section section;
	int r;

	r = build_section_start(build, &section, from->title, from->line);
	for (size_t i = 0; r == 0 && i < from->n_entries; i++) {
		const struct lex_entry *entry = &from->entries[i];

		r = build_entry(build, &section, entry->key, entry->value, entry->line);
	}
	return r < 0 ? r : build_section_end(build, &section);
}

int conf_load(const char *path, struct conf **ret, struct conf_error *error)
{
	_cleanup_(build_free) struct build build = { .file = path, .error = error };
	_cleanup_(lex_free) struct lex lex = { 0 };
	int r;

	r = lex_file(path, &lex, error);
	if (r < 0)
		return r;
	if (build_start(&build, lex.n_sections) < 0)
		return build_fail(&build, 0, NULL, "out of memory");

	for (size_t i = 0; i < lex.n_sections; i++) {
		r = read_section(&build, &lex.sections[i]);
		if (r < 0)
			return r;
	}
	r = build_finish(&build);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(build.conf);
	return 0;
}

struct flag {
	const char *key, *value;
};

/* One section of flags; those not given are skipped. */
static int read_flags(struct build *build, const char *title, const struct flag *flags, size_t n)
{
	struct build_section section;
	int r;

	r = build_section_start(build, &section, title, 0);
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (flags[i].value)
			r = build_entry(build, &section, flags[i].key, flags[i].value, 0);
	}
	return r < 0 ? r : build_section_end(build, &section);
}

/* --backend A,B,C: a server each. */
static int read_servers(struct build *build, const char *list)
{
	_cleanup_free_ char *copy = list ? strdup(list) : NULL;
	struct flag flags[64];
	char *rest = copy;
	size_t n = 0;

	if (list && !copy)
		return build_fail(build, 0, "server", "out of memory");
	while (rest) {
		if (n == ARRAY_SIZE(flags))
			return build_fail(build, 0, "server", "more than %zu servers: use a file",
					  ARRAY_SIZE(flags));
		flags[n++] = (struct flag){ "server", strsep(&rest, ",") };
	}
	return read_flags(build, "backend main", flags, n);
}

int conf_from_flags(const struct conf_flags *flags, struct conf **ret, struct conf_error *error)
{
	_cleanup_(build_free) struct build build = { .error = error };
	const struct flag unproxy[] = {
		{ "client_log", flags->client_log },
		{ "workers", flags->workers },
	};
	const struct flag listener[] = {
		{ "bind", flags->listen },           { "trust", flags->trust },
		{ "header", flags->header },         { "header_timeout", flags->header_timeout },
		{ "header_max", flags->header_max }, { "kernel_path", flags->kernel_path },
		{ "engine", flags->engine },         { "backend", "main" },
	};
	int r;

	if (build_start(&build, 3) < 0)
		return build_fail(&build, 0, NULL, "out of memory");
	r = read_flags(&build, "unproxy", unproxy, ARRAY_SIZE(unproxy));
	if (r == 0)
		r = read_flags(&build, "listener main", listener, ARRAY_SIZE(listener));
	if (r == 0)
		r = read_servers(&build, flags->backend);
	if (r == 0)
		r = build_finish(&build);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(build.conf);
	return 0;
}

void conf_free(struct conf *conf)
{
	if (!conf)
		return;
	for (size_t i = 0; conf->listeners && i < conf->n_listeners; i++) {
		free(conf->listeners[i].binds);
		trust_free(&conf->listeners[i].trust);
	}
	for (size_t i = 0; conf->backends && i < conf->n_backends; i++)
		free(conf->backends[i].servers);
	free(conf->listeners);
	free(conf->backends);
	free(conf->client_log);
	free(conf);
}
