/* SPDX-License-Identifier: BSD-2-Clause */
/* Sections and entries become a struct conf. Where they come from is the caller's business. */
#include "conf/build.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "conf/value.h"
#include "unproxy/flow_abi.h"

int build_start(struct build *build, size_t n_sections)
{
	/* A listener may bring an unnamed backend of its own. */
	size_t n = n_sections + 1;

	build->room = n;
	build->conf = calloc(1, sizeof(*build->conf));
	build->references = calloc(n, sizeof(*build->references));
	if (!build->conf || !build->references)
		return -ENOMEM;
	build->conf->listeners = calloc(n, sizeof(*build->conf->listeners));
	build->conf->backends = calloc(2 * n, sizeof(*build->conf->backends));
	if (!build->conf->listeners || !build->conf->backends)
		return -ENOMEM;
	return key_set_defaults(KEY_UNPROXY, build->conf);
}

void build_free(struct build *build)
{
	for (size_t i = 0; build->references && i < build->room; i++)
		free(build->references[i].text);
	free(build->references);
	conf_free(build->conf);
}

/* The flags of the command are named for what a newcomer looks for. */
static void flag_name(const char *key, char *buf, size_t size)
{
	if (strcmp(key, "bind") == 0 || strcmp(key, "port") == 0 || strcmp(key, "address") == 0)
		key = "listen";
	else if (strcmp(key, "server") == 0)
		key = "backend";
	(void)snprintf(buf, size, "%s", key);
	for (char *at = buf; *at; at++) {
		if (*at == '_')
			*at = '-';
	}
}

size_t conf_where(const char *file, unsigned line, const char *key, char *buf, size_t size)
{
	char flag[64];
	size_t at;

	if (!file) {
		flag_name(key ? key : "listen", flag, sizeof(flag));
		return (size_t)snprintf(buf, size, "--%s: ", flag);
	}
	at = (size_t)snprintf(buf, size, "%.256s", file);
	if (line > 0)
		at += (size_t)snprintf(buf + at, size - at, ":%u", line);
	at += (size_t)snprintf(buf + at, size - at, ": ");
	if (key)
		at += (size_t)snprintf(buf + at, size - at, "%.64s: ", key);
	return at;
}

int build_fail(const struct build *build, unsigned line, const char *key, const char *format, ...)
{
	char *text = build->error->text;
	size_t size = sizeof(build->error->text);
	size_t at = conf_where(build->file, line, key, text, size);
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text + at, size - at, format, ap);
	va_end(ap);
	return -EINVAL;
}

/* "listener web" -> kind and name, which is empty for [unproxy]. */
static int parse_title(const char *title, enum key_section *ret_kind, const char **ret_name)
{
	size_t len = strcspn(title, " \t");
	const char *name = title + len + strspn(title + len, " \t");

	for (unsigned kind = 0; kind < KEY_SECTION__MAX; kind++) {
		if (strlen(key_sections[kind]) != len ||
		    strncmp(title, key_sections[kind], len) != 0)
			continue;
		*ret_kind = (enum key_section)kind;
		*ret_name = name;
		return 0;
	}
	return -EINVAL;
}

static bool is_name(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len >= CONF_NAME_MAX)
		return false;
	for (; *name; name++) {
		if (!isalnum((unsigned char)*name) && !strchr("_.-", *name))
			return false;
	}
	return true;
}

/* [KIND NAME] twice? Returns the line of the first, or 0. */
static unsigned find_section(const struct conf *conf, enum key_section kind, const char *name)
{
	for (size_t i = 0; kind == KEY_LISTENER && i < conf->n_listeners; i++) {
		if (strcmp(conf->listeners[i].name, name) == 0)
			return conf->listeners[i].line;
	}
	for (size_t i = 0; kind == KEY_BACKEND && i < conf->n_backends; i++) {
		if (strcmp(conf->backends[i].name, name) == 0)
			return conf->backends[i].line;
	}
	return 0;
}

static void *add_owner(struct conf *conf, enum key_section kind, const char *name, unsigned line)
{
	struct conf_listener *listener;
	struct conf_backend *backend;

	switch (kind) {
	case KEY_LISTENER:
		listener = &conf->listeners[conf->n_listeners++];
		(void)snprintf(listener->name, sizeof(listener->name), "%s", name);
		listener->line = line;
		return listener;
	case KEY_BACKEND:
		backend = &conf->backends[conf->n_backends++];
		(void)snprintf(backend->name, sizeof(backend->name), "%.*s", CONF_NAME_MAX - 1,
			       name);
		backend->line = line;
		return backend;
	default:
		return conf;
	}
}

static int unknown_section(const struct build *build, const char *title, unsigned line)
{
	char head[64];
	const char *near;

	(void)snprintf(head, sizeof(head), "%.*s", (int)strcspn(title, " \t"), title);
	near = value_nearest(head, key_sections, KEY_SECTION__MAX);
	if (near)
		return build_fail(build, line, NULL, "[%.64s] is no section; did you mean [%s]?",
				  title, near);
	return build_fail(build, line, NULL,
			  "[%.64s] is no section: expected [unproxy], [listener NAME] or "
			  "[backend NAME]",
			  title);
}

int build_section_start(struct build *build, struct build_section *section, const char *title,
			unsigned line)
{
	enum key_section kind;
	unsigned first;
	const char *name;

	if (parse_title(title, &kind, &name) < 0)
		return unknown_section(build, title, line);
	if (kind == KEY_UNPROXY && name[0])
		return build_fail(build, line, NULL, "[unproxy] takes no name");
	if (kind != KEY_UNPROXY && !is_name(name))
		return build_fail(build, line, NULL,
				  "[%s NAME]: a name is 1 to %d letters, digits, _ . -",
				  key_sections[kind], CONF_NAME_MAX - 1);

	first = kind == KEY_UNPROXY ? build->unproxy_line : find_section(build->conf, kind, name);
	if (first > 0)
		return build_fail(build, line, NULL, "[%s] twice, first in line %u", title, first);
	if (kind == KEY_UNPROXY)
		build->unproxy_line = line;

	*section = (struct build_section){ .kind = kind, .line = line };
	section->owner = add_owner(build->conf, kind, name, line);
	if (kind != KEY_UNPROXY && key_set_defaults(kind, section->owner) < 0)
		return build_fail(build, line, NULL, "out of memory");
	return 0;
}

static int unknown_key(const struct build *build, const struct build_section *section,
		       const char *name, unsigned line)
{
	const char *near = key_nearest(section->kind, name);

	for (unsigned kind = 0; kind < KEY_SECTION__MAX; kind++) {
		if (key_find((enum key_section)kind, name))
			return build_fail(build, line, name,
					  "belongs in a [%s] section, not in [%s]",
					  key_sections[kind], key_sections[section->kind]);
	}
	if (near)
		return build_fail(build, line, name, "unknown key; did you mean %s?", near);
	return build_fail(build, line, name, "unknown key in [%s]", key_sections[section->kind]);
}

static int keep_reference(struct build *build, const struct build_section *section,
			  const char *value, unsigned line)
{
	const struct conf_listener *listener = section->owner;
	struct build_reference *ref = &build->references[listener - build->conf->listeners];

	ref->text = strdup(value);
	ref->line = line;
	return ref->text ? 0 : build_fail(build, line, "backend", "out of memory");
}

/* Lines that messages need which only the whole configuration, or the host, gives reason for. */
static void keep_line(struct conf_listener *listener, const struct key *key, unsigned line)
{
	enum key_type type = key->type;

	for (size_t i = listener->n_binds;
	     type == KEY_BINDS && i > 0 && listener->binds[i - 1].line == 0; i--)
		listener->binds[i - 1].line = line;
	if (type == KEY_PORT)
		listener->port_line = line;
	if (type == KEY_INTERFACES && !listener->interfaces_line)
		listener->interfaces_line = line;
	if (type == KEY_TRUST && !listener->trust_line)
		listener->trust_line = line;
	if (key->offset == offsetof(struct conf_listener, header))
		listener->header_line = line;
}

static void keep_server_line(struct conf_backend *backend, enum key_type type, unsigned line)
{
	if (type == KEY_SERVER)
		backend->servers[backend->n_servers - 1].line = line;
}

static void keep_unproxy_line(struct build *build, const struct key *key, unsigned line)
{
	if (key->offset == offsetof(struct conf, user))
		build->user_line = line;
	if (key->offset == offsetof(struct conf, group))
		build->group_line = line;
}

static int set_line(struct build *build, const struct build_section *section, const struct key *key,
		    const char *value, unsigned line)
{
	char why[256];

	if (key_set(key, section->owner, value, why, sizeof(why)) < 0)
		return build_fail(build, line, key->name, "%s", why);
	if (section->kind == KEY_UNPROXY)
		keep_unproxy_line(build, key, line);
	if (section->kind == KEY_LISTENER)
		keep_line(section->owner, key, line);
	if (section->kind == KEY_BACKEND)
		keep_server_line(section->owner, key->type, line);
	return 0;
}

static bool is_list(enum key_type type)
{
	return type == KEY_TRUST || type == KEY_BINDS || type == KEY_ADDRESSES ||
	       type == KEY_INTERFACES;
}

/* A value that goes on over lines, each but the last with a comma at its end. */
static int set_lines(struct build *build, const struct build_section *section,
		     const struct key *key, const char *value, unsigned line)
{
	const char *at = value, *end;
	int r = 0;

	while (r == 0 && (end = strchr(at, '\n'))) {
		_cleanup_free_ char *part = strndup(at, (size_t)(end - at) - 1);
		size_t lines = strspn(end, "\n");

		if (!part)
			return build_fail(build, line, key->name, "out of memory");
		if (!is_list(key->type))
			return build_fail(build, line, key->name,
					  "ends in a comma, so that line %zu would be a part of it",
					  line + lines);
		r = set_line(build, section, key, part, line);
		line += (unsigned)lines;
		at = end + lines;
	}
	return r < 0 ? r : set_line(build, section, key, at, line);
}

int build_entry(struct build *build, struct build_section *section, const char *name,
		const char *value, unsigned line)
{
	const struct key *key = key_find(section->kind, name);
	unsigned *seen;

	if (!key)
		return unknown_key(build, section, name, line);
	seen = &section->seen[key - keys];
	if (*seen > 0 && !key->repeatable)
		return build_fail(build, line, name, "given twice, first in line %u", *seen);
	if (*seen == 0)
		*seen = line ? line : 1;

	if (build->file && strchr(value, '\n'))
		return set_lines(build, section, key, value, line);
	if (key->type == KEY_BACKEND_REF)
		return keep_reference(build, section, value, line);
	return set_line(build, section, key, value, line);
}

static const char *const engine_names[] = {
	[CONF_ENGINE_RELAY] = "relay",
	[CONF_ENGINE_INLINE] = "inline",
};

/* A key that only listeners of the other engine take. */
static bool is_foreign(const struct key *key, const struct build_section *section)
{
	const struct conf_listener *listener = section->owner;

	if (section->kind != KEY_LISTENER || key->engine == KEY_BOTH)
		return false;
	return (key->engine == KEY_INLINE) != (listener->engine == CONF_ENGINE_INLINE);
}

/* The engine may be said behind the other keys, hence at the section's end. */
static int check_engine(const struct build *build, const struct build_section *section)
{
	const struct conf_listener *listener = section->owner;

	for (size_t i = 0; i < n_keys; i++) {
		const struct key *key = &keys[i];

		if (key->section != section->kind || section->seen[i] == 0 ||
		    !is_foreign(key, section))
			continue;
		return build_fail(build, build->file ? section->seen[i] : 0, key->name,
				  "is for engine = %s; this listener's engine is %s",
				  engine_names[!listener->engine], engine_names[listener->engine]);
	}
	return 0;
}

static int check_required(const struct build *build, const struct build_section *section)
{
	for (size_t i = 0; i < n_keys; i++) {
		const struct key *key = &keys[i];

		if (key->section != section->kind || !key->required || section->seen[i] > 0 ||
		    is_foreign(key, section))
			continue;
		return build_fail(build, section->line, key->name, "is missing%s",
				  key->type == KEY_TRUST
					  ? ": which load balancers may speak PROXY? Addresses "
					    "and CIDRs, or any, spelled out"
					  : "");
	}
	return 0;
}

/* The programs cut a header out at once, which the kernel does for so many bytes. */
static int limit_header(const struct build *build, const struct build_section *section)
{
	struct conf_listener *listener = section->owner;
	unsigned line = section->seen[key_find(KEY_LISTENER, "header_max") - keys];

	if (line > 0 && listener->header_max > UP_INLINE_HEADER_MAX)
		return build_fail(build, build->file ? line : 0, "header_max",
				  "%u is out of range: with engine = inline %d at most",
				  listener->header_max, UP_INLINE_HEADER_MAX);
	if (listener->header_max > UP_INLINE_HEADER_MAX)
		listener->header_max = UP_INLINE_HEADER_MAX;
	return 0;
}

int build_section_end(struct build *build, const struct build_section *section)
{
	const struct conf_listener *listener = section->owner;
	const struct conf_backend *backend = section->owner;
	int r = check_engine(build, section);

	if (r == 0)
		r = check_required(build, section);
	if (r == 0 && section->kind == KEY_LISTENER && listener->engine == CONF_ENGINE_INLINE)
		r = limit_header(build, section);
	if (r < 0)
		return r;
	if (section->kind == KEY_BACKEND && backend->retry_max_ms < backend->retry_ms)
		return build_fail(build, section->line, "retry_max", "is shorter than retry");
	return 0;
}

static const struct conf_backend *find_backend(const struct conf *conf, const char *name)
{
	for (size_t i = 0; i < conf->n_backends; i++) {
		if (strcmp(conf->backends[i].name, name) == 0)
			return &conf->backends[i];
	}
	return NULL;
}

/* backend = ADDR:PORT: an unnamed backend of one server, shared by those who name it. */
static int add_literal(struct build *build, const struct build_reference *ref,
		       struct conf_listener *listener)
{
	struct conf *conf = build->conf;
	struct conf_backend *backend;
	struct up_addr addr;
	char why[256];

	if (addr_parse(ref->text, &addr) < 0)
		return build_fail(build, ref->line, "backend",
				  "\"%.64s\": neither a [backend NAME] nor an ADDR:PORT",
				  ref->text);
	for (size_t i = 0; i < conf->n_backends; i++) {
		if (conf->backends[i].literal &&
		    addr_equal(&conf->backends[i].servers->addr, &addr)) {
			listener->backend = &conf->backends[i];
			return 0;
		}
	}
	backend = add_owner(conf, KEY_BACKEND, ref->text, ref->line);
	backend->literal = true;
	if (key_set_defaults(KEY_BACKEND, backend) < 0)
		return build_fail(build, ref->line, "backend", "out of memory");
	if (key_set(key_find(KEY_BACKEND, "server"), backend, ref->text, why, sizeof(why)) < 0)
		return build_fail(build, ref->line, "backend", "%s", why);
	backend->servers->line = ref->line;
	listener->backend = backend;
	return 0;
}

int build_finish(struct build *build)
{
	struct conf *conf = build->conf;

	for (size_t i = 0; i < conf->n_listeners; i++) {
		const struct build_reference *ref = &build->references[i];
		int r;

		if (conf->listeners[i].engine == CONF_ENGINE_INLINE)
			continue;
		conf->listeners[i].backend = find_backend(conf, ref->text);
		if (conf->listeners[i].backend)
			continue;
		r = add_literal(build, ref, &conf->listeners[i]);
		if (r < 0)
			return r;
	}
	return build_validate(build);
}
