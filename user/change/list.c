// SPDX-License-Identifier: BSD-2-Clause
/* What was said at run time, seen from the configuration: the state is compared, so that what was
 * taken back is not listed. */
#include <stdio.h>

#include "base/addr.h"
#include "change/internal.h"

/* "backend rails: server 10.0.0.1:80 drained" */
static void tell(json_t *list, const struct conf_backend *backend, const struct up_addr *addr,
		 const char *what)
{
	char server[ADDR_TEXT_MAX];

	addr_format(addr, server, sizeof(server));
	(void)json_array_append_new(list, json_sprintf("backend %s: server %s %s", backend->name,
						       server, what));
}

static const struct conf_server *find_server(const struct conf_backend *backend,
					     const struct up_addr *addr)
{
	for (size_t i = 0; i < backend->n_servers; i++) {
		if (addr_equal(&backend->servers[i].addr, addr))
			return &backend->servers[i];
	}
	return NULL;
}

static void list_server(json_t *list, const struct conf_backend *backend,
			const struct pool_stat *stat)
{
	const struct conf_server *conf = find_server(backend, &stat->addr);
	char what[32];

	if (!conf && stat->state != POOL_REMOVED)
		tell(list, backend, &stat->addr, "added");
	if (stat->state == POOL_DRAINING)
		tell(list, backend, &stat->addr, "drained");
	if (!conf || stat->state == POOL_REMOVED || stat->weight == conf->weight)
		return;
	(void)snprintf(what, sizeof(what), "weight %u", stat->weight);
	tell(list, backend, &stat->addr, what);
}

static bool has(const struct pool *pool, const struct up_addr *addr)
{
	struct pool_stat stat;

	for (size_t i = 0; i < pool_size(pool); i++) {
		if (pool_stat(pool, (int)i, &stat) && stat.state != POOL_REMOVED &&
		    addr_equal(&stat.addr, addr))
			return true;
	}
	return false;
}

static void list_backend(json_t *list, const struct conf_backend *backend, const struct pool *pool)
{
	struct pool_stat stat;

	for (size_t i = 0; i < pool_size(pool); i++) {
		if (pool_stat(pool, (int)i, &stat))
			list_server(list, backend, &stat);
	}
	for (size_t i = 0; i < backend->n_servers; i++) {
		if (!has(pool, &backend->servers[i].addr))
			tell(list, backend, &backend->servers[i].addr, "removed");
	}
}

json_t *change_differences(const struct change *change)
{
	const struct generation *generation = change->relay->generations.newest;
	const struct conf *conf = generation->conf;
	json_t *list = json_array();

	for (size_t i = 0; i < conf->n_backends; i++)
		list_backend(list, &conf->backends[i], generation_pool(generation, i));
	for (size_t i = 0; i < conf->n_listeners; i++) {
		if (generation->rules[i].state->draining)
			(void)json_array_append_new(list, json_sprintf("listener %s: drained",
								       conf->listeners[i].name));
	}
	return list;
}

json_t *change_list(const struct change *change)
{
	json_t *list = change_differences(change);

	if (list && change->host_drained)
		(void)json_array_append_new(list, json_string("host: drained"));
	return list;
}
