// SPDX-License-Identifier: BSD-2-Clause
#include "snapshot/take.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "base/clock.h"
#include "deny/deny.h"

/* What was short so long ago is a problem yet. */
#define LATELY_US (60 * 1000000ULL)

static void take_listener(const struct snapshot_from *from, const struct rules *rules,
			  struct stats_listener *ret)
{
	const struct conf_listener *conf = rules->conf;
	const struct listener_state *state = rules->state;

	snprintf(ret->name, sizeof(ret->name), "%s", conf->name);
	ret->backend = -1;
	ret->draining = state->draining;
	ret->is_inline = conf->engine == CONF_ENGINE_INLINE;
	if (ret->is_inline) {
		ret->port = conf->port.wire;
		inline_listener_stats(from->engine, ret);
		ret->open &= !ret->draining;
		return;
	}
	ret->port = conf->binds[0].addr.port;
	ret->open = __atomic_load_n(&state->n_open, __ATOMIC_RELAXED) > 0;
	ret->connections = __atomic_load_n(&state->connections, __ATOMIC_RELAXED);
	ret->accepted = __atomic_load_n(&state->accepted, __ATOMIC_RELAXED);
	ret->refused = __atomic_load_n(&state->refused, __ATOMIC_RELAXED);
	ret->backlog = __atomic_load_n(&state->backlog, __ATOMIC_RELAXED);
	ret->backlog_max = __atomic_load_n(&state->backlog_max, __ATOMIC_RELAXED);
}

/* A place that is nobody's is left out. */
static void take_server(const char *backend, const struct pool *pool, int place, struct stats *ret)
{
	struct stats_server *server = &ret->servers[ret->n_servers];
	struct pool_stat stat;

	if (!pool_stat(pool, place, &stat))
		return;
	ret->n_servers++;
	snprintf(server->backend, sizeof(server->backend), "%s", backend);
	addr_format(&stat.addr, server->addr, sizeof(server->addr));
	server->weight = stat.weight;
	server->connections = stat.active;
	server->total = stat.total;
	server->failed = stat.failed;
	server->resting = stat.resting;
	server->draining = stat.state != POOL_READY;
	server->removed = stat.state == POOL_REMOVED;
	server->usable = !server->resting && !server->draining;
}

/* Its servers, and the listeners that lead there. */
static void take_backend(const struct generation *generation, size_t which, struct stats *ret)
{
	const char *name = generation->conf->backends[which].name;
	const struct pool *pool = generation_pool(generation, which);
	size_t first = ret->n_servers;

	for (size_t i = 0; i < pool_size(pool); i++)
		take_server(name, pool, (int)i, ret);
	for (size_t i = 0; i < ret->n_listeners; i++) {
		if (generation->rules[i].pool != pool)
			continue;
		snprintf(ret->listeners[i].backend_name, sizeof(ret->listeners[i].backend_name),
			 "%s", name);
		ret->listeners[i].backend = (int)first;
		ret->listeners[i].n_servers = ret->n_servers - first;
	}
}

static void take_relay(const struct snapshot_from *from, struct stats *ret)
{
	const struct relay *relay = from->relay;
	uint64_t short_us = relay_short_us(relay);
	uint32_t used, size;

	ret->relay.on = relay->n_workers > 0;
	ret->relay.connections = __atomic_load_n(&relay->connections, __ATOMIC_RELAXED);
	ret->relay.hook = relay->hook_part;
	ret->kernel_path = relay->kernel_path;
	ret->io_uring.wanted = ret->relay.on && relay->io_uring;
	ret->io_uring.on = ret->io_uring.wanted && !relay->uring_error;
	if (relay->uring_error)
		snprintf(ret->io_uring.why, sizeof(ret->io_uring.why), "%s",
			 strerror(-relay->uring_error));
	ret->relay.is_short = short_us && clock_us(CLOCK_MONOTONIC) - short_us < LATELY_US;
	ret->workers = relay->n_workers;
	ret->max_connections = relay->max_connections;
	relay_sum(relay, &ret->relay.counts);
	if (relay->hook) {
		(void)kern_hook_stats(relay->hook, &ret->relay.hook_stats);
		kern_hook_runs(relay->hook, ret);
	}
	if (!relay->kern)
		return;
	(void)kern_stats(relay->kern, &ret->verdict);
	kern_runs(relay->kern, ret);
	kern_slots(relay->kern, &used, &size);
	stats_add_map(ret, "directions", used, size);
	stats_add_map(ret, "connections", relay_shown(relay), kern_shown_max(relay->kern));
}

static void take_deny(const struct deny *deny, struct stats *ret)
{
	struct deny_stats stats;

	if (!deny)
		return;
	deny_stats(deny, &stats);
	stats_add_map(ret, "deny", stats.entries[DENY_CONTROL] + stats.entries[DENY_FILE],
		      stats.room);
}

static bool are_programs_timed(void)
{
	FILE *file = fopen("/proc/sys/kernel/bpf_stats_enabled", "re");
	int c = file ? getc(file) : '0';

	if (file)
		(void)fclose(file);
	return c == '1';
}

static size_t count_servers(const struct generation *generation)
{
	size_t n = 0;

	for (size_t i = 0; i < generation->conf->n_backends; i++)
		n += pool_size(generation_pool(generation, i));
	return n;
}

static void take_served(const struct snapshot_from *from, struct stats *ret)
{
	const struct generation *generation = from->relay->generations.newest;
	const struct conf *conf = generation->conf;

	ret->generation = generation->number;
	ret->n_listeners = conf->n_listeners;
	for (size_t i = 0; i < conf->n_listeners; i++)
		take_listener(from, &generation->rules[i], &ret->listeners[i]);
	for (size_t i = 0; i < conf->n_backends; i++)
		take_backend(generation, i, ret);
}

int snapshot_take(const struct snapshot_from *from, struct stats **ret)
{
	const struct relay *relay = from->relay;
	const struct generation *generation = relay->generations.newest;
	struct stats *stats = stats_new(generation->conf->n_listeners, count_servers(generation));

	if (!stats)
		return -ENOMEM;
	stats->started_us = from->started_us;
	stats->uptime_us = clock_us(CLOCK_MONOTONIC) - from->began_us;
	stats->draining = from->draining;
	stats->reload = *from->reloads;
	stats->programs_timed = are_programs_timed();
	stats->inl.on = from->engine != NULL;
	inline_stats(from->engine, stats); /* first: its listeners' figures come from it, too */
	take_relay(from, stats);
	take_served(from, stats);
	take_deny(relay->deny, stats);
	stats->log_on = relay->log != NULL;
	stats->log_lines = relay->log ? client_log_lines(relay->log) : 0;
	stats->log_dropped = relay->log ? client_log_dropped(relay->log) : 0;
	totals_add(from->before, stats);
	*ret = stats;
	return 0;
}
