// SPDX-License-Identifier: BSD-2-Clause
/* Listeners, servers, and what the kernel's side counts. */
#include "base/cleanup.h"
#include "obs/metrics_scrape.h"

/* ---- listeners and servers ---- */

typedef uint64_t listener_fn(const struct stats_listener *listener);

static void each_listener(struct scrape *scrape, bool relay_alone, listener_fn *fn)
{
	for (size_t i = 0; i < scrape->stats->n_listeners; i++) {
		const struct stats_listener *listener = &scrape->stats->listeners[i];

		if (!listener->is_inline || !relay_alone)
			put(scrape, fn(listener), "listener", listener->name, "engine",
			    listener->is_inline ? "inline" : "relay", END);
	}
}

#define EACH_LISTENER(field, relay_alone)                                  \
	static uint64_t listener_##field(const struct stats_listener *one) \
	{                                                                  \
		return one->field;                                         \
	}                                                                  \
	void write_listener_##field(struct scrape *scrape)                 \
	{                                                                  \
		each_listener(scrape, relay_alone, listener_##field);      \
	}

EACH_LISTENER(open, false)
EACH_LISTENER(connections, false)
EACH_LISTENER(accepted, false)
EACH_LISTENER(refused, false)
EACH_LISTENER(backlog, true)
EACH_LISTENER(backlog_max, true)

typedef uint64_t server_fn(const struct stats_server *server);

/* One that was removed may be there again under the same address. */
static void each_server(struct scrape *scrape, server_fn *fn)
{
	for (size_t i = 0; i < scrape->stats->n_servers; i++) {
		const struct stats_server *server = &scrape->stats->servers[i];

		if (!server->removed)
			put(scrape, fn(server), "backend", server->backend, "server", server->addr,
			    END);
	}
}

#define EACH_SERVER(field)                                             \
	static uint64_t server_##field(const struct stats_server *one) \
	{                                                              \
		return one->field;                                     \
	}                                                              \
	void write_server_##field(struct scrape *scrape)               \
	{                                                              \
		each_server(scrape, server_##field);                   \
	}

EACH_SERVER(usable)
EACH_SERVER(draining)
EACH_SERVER(weight)
EACH_SERVER(connections)
EACH_SERVER(total)
EACH_SERVER(failed)

/* ---- the kernel's side ---- */

void write_inline_events(struct scrape *scrape)
{
	static const char *const names[] = {
		"syns",           "opened",     "plain",       "ended",        "refused",
		"untrusted",      "table_full", "acks_held",   "parts",        "out_of_order",
		"header_repeats", "acks_sent",  "resets_sent", "bad_checksum", "busy",
		"fragments",      "failed",     "events_lost", "collected",
	};
	const __u64 *values = (const __u64 *)&scrape->stats->flows;

	_Static_assert(sizeof(struct up_flow_stats) == sizeof(names) / sizeof(names[0]) * 8,
		       "a counter without a name");
	for (size_t i = 0; scrape->stats->inl.on && i < ARRAY_SIZE(names); i++)
		put(scrape, values[i], "event", names[i], END);
}

void write_kernel_events(struct scrape *scrape)
{
	static const char *const names[] = {
		"redirected_bytes", "redirected_segments",
		"passed_segments",  "fins",
		"duplicates",       "trimmed",
		"congested",        "shut",
		"no_target",        "trim_failed",
		"unknown_source",   "events_lost",
		"headers_complete", "headers_incomplete",
		"headers_invalid",
	};
	const __u64 *values = (const __u64 *)&scrape->stats->verdict;

	_Static_assert(sizeof(struct up_stats) == sizeof(names) / sizeof(names[0]) * 8,
		       "a counter without a name");
	for (size_t i = 0; scrape->stats->kernel_path.on && i < ARRAY_SIZE(names); i++)
		put(scrape, values[i], "event", names[i], END);
}

void write_map_entries(struct scrape *scrape)
{
	for (size_t i = 0; i < scrape->stats->n_maps; i++)
		put(scrape, scrape->stats->maps[i].used, "map", scrape->stats->maps[i].name, END);
}

void write_map_size(struct scrape *scrape)
{
	for (size_t i = 0; i < scrape->stats->n_maps; i++)
		put(scrape, scrape->stats->maps[i].size, "map", scrape->stats->maps[i].name, END);
}

void write_program_runs(struct scrape *scrape)
{
	for (size_t i = 0; i < scrape->stats->n_programs; i++) {
		const struct stats_program *program = &scrape->stats->programs[i];

		put(scrape, program->runs, "engine", program->engine, "program", program->name,
		    END);
	}
}

void write_program_time(struct scrape *scrape)
{
	for (size_t i = 0; i < scrape->stats->n_programs; i++) {
		const struct stats_program *program = &scrape->stats->programs[i];

		put_seconds(scrape, (double)program->run_ns / 1e9, "engine", program->engine,
			    "program", program->name, END);
	}
}

void write_programs_timed(struct scrape *scrape)
{
	put(scrape, scrape->stats->programs_timed, END);
}
