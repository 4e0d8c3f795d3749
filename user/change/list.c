// SPDX-License-Identifier: BSD-2-Clause
/* What was said at run time, seen from the configuration: the state is compared, so that what was
 * taken back is not listed. */
#include <stdio.h>

#include "base/addr.h"
#include "change/internal.h"
#include "change/item.h"

struct listing {
	change_item_fn *fn;
	void *context;
	const struct conf_backend *backend;
};

static void tell_server(const struct listing *listing, enum change_kind kind,
			const struct up_addr *addr, uint32_t weight)
{
	struct change_item item = { .kind = kind, .server = *addr, .weight = weight };

	(void)snprintf(item.name, sizeof(item.name), "%s", listing->backend->name);
	listing->fn(listing->context, &item);
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

static void list_server(const struct listing *listing, const struct pool_stat *stat)
{
	const struct conf_server *conf = find_server(listing->backend, &stat->addr);

	if (!conf && stat->state != POOL_REMOVED)
		tell_server(listing, CHANGE_SERVER_ADDED, &stat->addr, stat->weight);
	if (stat->state == POOL_DRAINING)
		tell_server(listing, CHANGE_SERVER_DRAINED, &stat->addr, stat->weight);
	if (conf && stat->state != POOL_REMOVED && stat->weight != conf->weight)
		tell_server(listing, CHANGE_SERVER_WEIGHT, &stat->addr, stat->weight);
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

static void list_backend(const struct listing *listing, const struct pool *pool)
{
	const struct conf_backend *backend = listing->backend;
	struct pool_stat stat;

	for (size_t i = 0; i < pool_size(pool); i++) {
		if (pool_stat(pool, (int)i, &stat))
			list_server(listing, &stat);
	}
	for (size_t i = 0; i < backend->n_servers; i++) {
		if (!has(pool, &backend->servers[i].addr))
			tell_server(listing, CHANGE_SERVER_REMOVED, &backend->servers[i].addr,
				    backend->servers[i].weight);
	}
}

static void each_of_file(const struct change *change, change_item_fn *fn, void *context)
{
	const struct generation *generation = change->relay->generations.newest;
	const struct conf *conf = generation->conf;
	struct change_item item = { .kind = CHANGE_LISTENER_DRAINED };

	for (size_t i = 0; i < conf->n_backends; i++) {
		const struct listing listing = { fn, context, &conf->backends[i] };

		list_backend(&listing, generation_pool(generation, i));
	}
	for (size_t i = 0; i < conf->n_listeners; i++) {
		if (!generation->rules[i].state->draining)
			continue;
		(void)snprintf(item.name, sizeof(item.name), "%s", conf->listeners[i].name);
		fn(context, &item);
	}
}

void change_each(const struct change *change, change_item_fn *fn, void *context)
{
	const struct change_item host = { .kind = CHANGE_HOST_DRAINED };

	each_of_file(change, fn, context);
	if (change->host_drained)
		fn(context, &host);
}

static void append(void *context, const struct change_item *item)
{
	char text[CHANGE_TEXT];

	change_item_text(item, text, sizeof(text));
	(void)json_array_append_new(context, json_string(text));
}

json_t *change_differences(const struct change *change)
{
	json_t *list = json_array();

	each_of_file(change, append, list);
	return list;
}

json_t *change_list(const struct change *change)
{
	json_t *list = json_array();

	change_each(change, append, list);
	return list;
}
