/* SPDX-License-Identifier: BSD-2-Clause */
/* What only the whole configuration tells: two listeners on one port, a listener that is its own server. */
#include <string.h>

#include "base/addr.h"
#include "conf/build.h"

static bool binds_overlap(const struct conf_bind *a, const struct conf_bind *b)
{
	if (a->last_port < b->addr.port || b->last_port < a->addr.port)
		return false;
	return addr_covers(&a->addr, &b->addr) || addr_covers(&b->addr, &a->addr);
}

static size_t n_places(const struct conf_listener *listener)
{
	if (listener->engine == CONF_ENGINE_RELAY)
		return listener->n_binds;
	return listener->n_addresses ? listener->n_addresses : 1;
}

/* Where a listener takes connections: the relay's binds; inline its port at each address. */
static struct conf_bind place(const struct conf_listener *listener, size_t k)
{
	struct conf_bind bind = { .addr.family = UP_FAMILY_IPV6, .line = listener->port_line };

	if (listener->engine == CONF_ENGINE_RELAY)
		return listener->binds[k];
	if (listener->n_addresses)
		bind.addr = listener->addresses[k];
	bind.addr.port = bind.last_port = listener->port.wire;
	return bind;
}

static int check_overlap(const struct build *build, const struct conf_listener *first,
			 const struct conf_listener *second, size_t k)
{
	const char *key = second->engine == CONF_ENGINE_RELAY ? "bind" : "port";
	struct conf_bind bind = place(second, k);
	size_t n = first == second ? k : n_places(first);
	char text[ADDR_TEXT_MAX];

	for (size_t i = 0; i < n; i++) {
		struct conf_bind other = place(first, i);

		if (!binds_overlap(&other, &bind))
			continue;
		addr_format(&other.addr, text, sizeof(text));
		return build_fail(build, bind.line, key, "overlaps with %s of [listener %s]", text,
				  first->name);
	}
	return 0;
}

static bool has_port(const struct conf_bind *bind, const struct up_addr *addr)
{
	return addr->port >= bind->addr.port && addr->port <= bind->last_port;
}

bool conf_binds(const struct conf_listener *listener, const struct up_addr *addr)
{
	for (size_t i = 0; i < listener->n_binds; i++) {
		struct up_addr first = *addr;

		first.port = listener->binds[i].addr.port;
		if (has_port(&listener->binds[i], addr) &&
		    addr_equal(&listener->binds[i].addr, &first))
			return true;
	}
	return false;
}

static bool meets(const struct conf_bind *bind, const struct up_addr *server)
{
	return has_port(bind, server) &&
	       (memcmp(server->ip, bind->addr.ip, sizeof(server->ip)) == 0 ||
		(addr_is_loopback(server) && addr_covers(&bind->addr, server)));
}

bool conf_is_circle(const struct conf_listener *listener, const struct up_addr *server)
{
	for (size_t i = 0; i < listener->n_binds; i++) {
		if (meets(&listener->binds[i], server))
			return true;
	}
	return false;
}

/* A listener whose server is itself would connect in a circle until it has no descriptors left.
 * Behind a wildcard only loopback is known to be this host. */
static int check_circle(const struct build *build, const struct conf_listener *listener,
			const struct conf_bind *bind)
{
	const struct conf_backend *backend = listener->backend;

	for (size_t i = 0; i < backend->n_servers; i++) {
		if (meets(bind, &backend->servers[i].addr))
			return build_fail(build, bind->line, "bind",
					  "is a server of its own backend %s: connections would "
					  "go in a circle",
					  backend->name);
	}
	return 0;
}

static int check_place(const struct build *build, size_t at, size_t k)
{
	const struct conf *conf = build->conf;
	const struct conf_listener *listener = &conf->listeners[at];

	for (size_t i = 0; i <= at; i++) {
		int r = check_overlap(build, &conf->listeners[i], listener, k);

		if (r < 0)
			return r;
	}
	return listener->engine == CONF_ENGINE_RELAY
		       ? check_circle(build, listener, &listener->binds[k])
		       : 0;
}

int build_validate(const struct build *build)
{
	const struct conf *conf = build->conf;

	if (conf->n_listeners == 0)
		return build_fail(build, 0, NULL, "no [listener NAME] section: nothing to do");
	if (conf->user && conf_count(conf, CONF_ENGINE_INLINE) > 0)
		return build_fail(build, build->user_line, "user",
				  "is not for engine = inline, which goes on pinning programs as "
				  "interfaces come");
	if (conf->group && !conf->user)
		return build_fail(build, build->group_line, "group",
				  "goes with user, which is missing");
	for (size_t i = 0; i < conf->n_listeners; i++) {
		for (size_t k = 0; k < n_places(&conf->listeners[i]); k++) {
			int r = check_place(build, i, k);

			if (r < 0)
				return r;
		}
	}
	return 0;
}
