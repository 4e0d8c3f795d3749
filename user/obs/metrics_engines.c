// SPDX-License-Identifier: BSD-2-Clause
/* What the engines count. */
#include "base/cleanup.h"
#include "obs/metrics_scrape.h"

/* ---- what is there twice: of each engine that has a listener ---- */

typedef void engine_fn(struct scrape *scrape, const char *name, const struct stats_engine *engine);

static void each_engine(struct scrape *scrape, engine_fn *fn)
{
	if (scrape->stats->relay.on)
		fn(scrape, "relay", &scrape->stats->relay);
	if (scrape->stats->inl.on)
		fn(scrape, "inline", &scrape->stats->inl);
}

static void connections_of(struct scrape *scrape, const char *name,
			   const struct stats_engine *engine)
{
	put(scrape, engine->connections, "engine", name, END);
}

static void accepted_of(struct scrape *scrape, const char *name, const struct stats_engine *engine)
{
	put(scrape, engine->counts.accepted, "engine", name, END);
}

static void closed_of(struct scrape *scrape, const char *name, const struct stats_engine *engine)
{
	for (int end = 0; end < STATS_END__MAX; end++)
		put(scrape, engine->counts.ended[end], "engine", name, "reason",
		    stats_end_name((enum stats_end)end), END);
}

static void refused_of(struct scrape *scrape, const char *name, const struct stats_engine *engine)
{
	static const char *const names[] = { [UP_REASON_NONE] = NULL,
#define X(id, word, hint) [UP_REASON_##id] = word,
					     UP_REASONS(X)
#undef X
	};

	for (size_t i = UP_REASON_NONE + 1; i < ARRAY_SIZE(names); i++)
		put(scrape, engine->counts.refused[i], "engine", name, "reason", names[i], END);
}

static void probes_of(struct scrape *scrape, const char *name, const struct stats_engine *engine)
{
	put(scrape, engine->counts.probes[STATS_PROBE_EMPTY], "engine", name, "kind", "empty", END);
	put(scrape, engine->counts.probes[STATS_PROBE_LOCAL], "engine", name, "kind", "local", END);
}

static void headers_of(struct scrape *scrape, const char *name, const struct stats_engine *engine)
{
	static const char *const versions[STATS_VERSIONS] = { "none", "1", "2" };
	static const char *const commands[STATS_COMMANDS] = { "local", "proxy" };

	put(scrape, engine->counts.headers[0][0] + engine->counts.headers[0][1], "engine", name,
	    "version", versions[0], "command", "none", END);
	for (size_t version = 1; version < STATS_VERSIONS; version++) {
		for (size_t command = 0; command < STATS_COMMANDS; command++)
			put(scrape, engine->counts.headers[version][command], "engine", name,
			    "version", versions[version], "command", commands[command], END);
	}
}

static void bytes_of(struct scrape *scrape, const char *name, const struct stats_engine *engine)
{
	static const char *const ways[] = { [STATS_UP] = "up", [STATS_DOWN] = "down" };
	bool relay = engine == &scrape->stats->relay;

	for (int way = 0; way < STATS_WAY__MAX; way++) {
		for (size_t path = UP_PATH_COPY; path < STATS_PATHS; path++) {
			if (relay != (path != UP_PATH_INLINE))
				continue;
			put(scrape, engine->counts.bytes[way][path], "engine", name, "direction",
			    ways[way], "path", stats_path_name(path), END);
		}
	}
}

static void header_time_of(struct scrape *scrape, const char *name,
			   const struct stats_engine *engine)
{
	put_histogram(scrape, name, &engine->counts.header_us);
}

static void hook_of(struct scrape *scrape, const char *name, const struct stats_engine *engine)
{
	const struct up_hook_stats *hook = &engine->hook_stats;

	if (!engine->hook.on)
		return;
	put(scrape, hook->announced, "engine", name, "event", "announced", END);
	put(scrape, hook->shown, "engine", name, "event", "shown", END);
	put(scrape, hook->full, "engine", name, "event", "full", END);
	put(scrape, hook->no_memory, "engine", name, "event", "no_memory", END);
	put(scrape, hook->ipv6_on_ipv4, "engine", name, "event", "ipv6_on_ipv4", END);
	put(scrape, hook->collected, "engine", name, "event", "collected", END);
}

#define EACH_ENGINE(name)                        \
	void write_##name(struct scrape *scrape) \
	{                                        \
		each_engine(scrape, name##_of);  \
	}

EACH_ENGINE(connections)
EACH_ENGINE(accepted)
EACH_ENGINE(closed)
EACH_ENGINE(refused)
EACH_ENGINE(probes)
EACH_ENGINE(headers)
EACH_ENGINE(bytes)
EACH_ENGINE(header_time)
EACH_ENGINE(hook)

/* ---- the relay ---- */

void write_connect_time(struct scrape *scrape)
{
	if (scrape->stats->relay.on)
		put_histogram(scrape, "relay", &scrape->stats->relay.counts.connect_us);
}

void write_promotions(struct scrape *scrape)
{
	const struct stats_counts *counts = &scrape->stats->relay.counts;

	for (size_t path = UP_PATH_SPLICE; scrape->stats->relay.on && path <= UP_PATH_KERNEL;
	     path++)
		put(scrape, counts->promoted[path], "path", stats_path_name(path), END);
}

void write_path_refusals(struct scrape *scrape)
{
	const struct stats_counts *counts = &scrape->stats->relay.counts;

	for (size_t path = UP_PATH_SPLICE; scrape->stats->relay.on && path <= UP_PATH_KERNEL;
	     path++)
		put(scrape, counts->refused_path[path], "path", stats_path_name(path), END);
}

void write_kernel_entries(struct scrape *scrape)
{
	if (scrape->stats->relay.on)
		put(scrape, scrape->stats->relay.counts.to_kernel, END);
}

void write_handbacks(struct scrape *scrape)
{
	static const char *const names[STATS_HANDBACKS] = {
		[UP_HANDBACK_NONE] = "none",           [UP_HANDBACK_CONGESTED] = "congested",
		[UP_HANDBACK_NO_TARGET] = "no_target", [UP_HANDBACK_BROKEN] = "broken",
		[UP_HANDBACK_COUPLED] = "coupled",     [UP_HANDBACK_SHUT] = "shut",
	};

	for (size_t i = 0; scrape->stats->relay.on && i < STATS_HANDBACKS; i++)
		put(scrape, scrape->stats->relay.counts.handbacks[i], "reason", names[i], END);
}

void write_accept_pauses(struct scrape *scrape)
{
	if (scrape->stats->relay.on)
		put(scrape, scrape->stats->relay.counts.accept_pauses, END);
}

void write_limit(struct scrape *scrape)
{
	if (scrape->stats->relay.on)
		put(scrape, scrape->stats->max_connections, END);
}

void write_workers(struct scrape *scrape)
{
	put(scrape, scrape->stats->workers, END);
}
