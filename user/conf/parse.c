/* SPDX-License-Identifier: BSD-2-Clause */
/* The two ways into a struct conf, from a file and from flags, and the way out. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
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
	build.conf->file = strdup(path);
	if (!build.conf->file)
		return build_fail(&build, 0, NULL, "out of memory");
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

/* --listen :80, or ADDR:80,ADDR:80 with one port, as the keys of an inline listener: "80",
 * "ADDR,ADDR". */
struct inline_listen {
	char port[16];
	char addresses[1024];
};

static int split_listen(const struct build *build, const char *list, struct inline_listen *ret)
{
	_cleanup_free_ char *copy = strdup(list);
	char *rest = copy, *word;
	uint16_t port = 0;
	size_t at = 0;

	if (!copy)
		return build_fail(build, 0, "port", "out of memory");
	while ((word = strsep(&rest, ","))) {
		static const struct up_addr any = { .family = UP_FAMILY_IPV6 };
		char ip[ADDR_TEXT_MAX];
		struct up_addr addr;

		if (addr_parse(word, &addr) < 0 || addr.port == 0)
			return build_fail(build, 0, "port",
					  "\"%.64s\": expected :PORT or ADDR:PORT", word);
		if (port && addr.port != port)
			return build_fail(build, 0, "port",
					  "several ports with --engine inline: use a file");
		port = addr.port;
		if (memcmp(addr.ip, any.ip, sizeof(any.ip)) == 0 && !rest && at == 0)
			break;
		(void)addr_format_ip(&addr, ip, sizeof(ip));
		at += (size_t)snprintf(ret->addresses + at, sizeof(ret->addresses) - at, "%s%s",
				       at ? "," : "", ip);
		if (at >= sizeof(ret->addresses))
			return build_fail(build, 0, "port", "too many addresses: use a file");
	}
	(void)snprintf(ret->port, sizeof(ret->port), "%u", port);
	return 0;
}

/* The keys that both engines take, and those of other engines to be refused by name. */
static int read_inline_listener(struct build *build, const struct conf_flags *flags)
{
	struct inline_listen listen = { "", "" };
	int r = flags->listen ? split_listen(build, flags->listen, &listen) : 0;
	const struct flag listener[] = {
		{ "engine", flags->engine },
		{ "port", listen.port[0] ? listen.port : NULL },
		{ "address", listen.addresses[0] ? listen.addresses : NULL },
		{ "interfaces", flags->interfaces },
		{ "trust", flags->trust },
		{ "header", flags->header },
		{ "header_timeout", flags->header_timeout },
		{ "header_max", flags->header_max },
		{ "kernel_path", flags->kernel_path },
		{ "backend", flags->backend },
	};

	return r < 0 ? r : read_flags(build, "listener main", listener, ARRAY_SIZE(listener));
}

static int read_relay_listener(struct build *build, const struct conf_flags *flags)
{
	const struct flag listener[] = {
		{ "bind", flags->listen },
		{ "trust", flags->trust },
		{ "header", flags->header },
		{ "header_timeout", flags->header_timeout },
		{ "header_max", flags->header_max },
		{ "kernel_path", flags->kernel_path },
		{ "engine", flags->engine },
		{ "interfaces", flags->interfaces },
		{ "backend", "main" },
	};
	int r = read_flags(build, "listener main", listener, ARRAY_SIZE(listener));

	return r < 0 ? r : read_servers(build, flags->backend);
}

int conf_from_flags(const struct conf_flags *flags, struct conf **ret, struct conf_error *error)
{
	_cleanup_(build_free) struct build build = { .error = error };
	const struct flag unproxy[] = {
		{ "client_log", flags->client_log },
		{ "workers", flags->workers },
		{ "control", flags->control },
	};
	bool is_inline = flags->engine && strcmp(flags->engine, "inline") == 0;
	int r;

	if (build_start(&build, 3) < 0)
		return build_fail(&build, 0, NULL, "out of memory");
	r = read_flags(&build, "unproxy", unproxy, ARRAY_SIZE(unproxy));
	if (r == 0)
		r = is_inline ? read_inline_listener(&build, flags)
			      : read_relay_listener(&build, flags);
	if (r == 0)
		r = build_finish(&build);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(build.conf);
	return 0;
}

size_t conf_count(const struct conf *conf, enum conf_engine engine)
{
	size_t n = 0;

	for (size_t i = 0; i < conf->n_listeners; i++)
		n += conf->listeners[i].engine == engine;
	return n;
}

bool conf_wants_kernel(const struct conf *conf)
{
	for (size_t i = 0; i < conf->n_listeners; i++) {
		if (conf->listeners[i].engine == CONF_ENGINE_RELAY &&
		    conf->listeners[i].kernel_path != CONF_KERNEL_OFF)
			return true;
	}
	return false;
}

bool conf_wants_hook(const struct conf *conf)
{
	for (size_t i = 0; i < conf->n_backends; i++) {
		if (conf->backends[i].client_address == CONF_CLIENT_HOOK)
			return true;
	}
	return false;
}

void conf_free(struct conf *conf)
{
	if (!conf)
		return;
	for (size_t i = 0; conf->listeners && i < conf->n_listeners; i++) {
		free(conf->listeners[i].binds);
		free(conf->listeners[i].addresses);
		free(conf->listeners[i].interfaces);
		trust_free(&conf->listeners[i].trust);
	}
	for (size_t i = 0; conf->backends && i < conf->n_backends; i++)
		free(conf->backends[i].servers);
	free(conf->listeners);
	free(conf->backends);
	free(conf->client_log);
	free(conf->deny_file);
	free(conf->control);
	free(conf->user);
	free(conf->group);
	free(conf->file);
	free(conf);
}
