// SPDX-License-Identifier: BSD-2-Clause
#include "obs/stats.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

const uint32_t stats_bounds_us[STATS_BUCKETS] = {
	100,   250,    500,    1000,   2500,    5000,    10000,   25000,
	50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000,
};

static const char *const ends[] = {
#define X(id, name) [STATS_END_##id] = name,
	STATS_ENDS(X)
#undef X
};
static const char *const paths[STATS_PATHS] = {
	[UP_PATH_NONE] = "none",     [UP_PATH_COPY] = "copy",     [UP_PATH_SPLICE] = "splice",
	[UP_PATH_KERNEL] = "kernel", [UP_PATH_INLINE] = "inline",
};
_Static_assert(ARRAY_SIZE(ends) == STATS_END__MAX, "an end without a name");
_Static_assert(sizeof(struct stats_counts) % sizeof(uint64_t) == 0, "summed as numbers");

void stats_time(struct stats_histogram *histogram, uint64_t us)
{
	size_t i = 0;

	while (i < STATS_BUCKETS && us > stats_bounds_us[i])
		i++;
	stats_add(&histogram->buckets[i], 1);
	stats_add(&histogram->sum_us, us);
}

enum stats_end stats_end_find(const char *name)
{
	size_t i = 0;

	while (i < STATS_END_OTHER && strcmp(ends[i], name) != 0)
		i++;
	return (enum stats_end)i;
}

const char *stats_end_name(enum stats_end end)
{
	return ends[end];
}

const char *stats_path_name(size_t path)
{
	return paths[path];
}

void stats_sum(struct stats_counts *sum, const struct stats_counts *counts)
{
	uint64_t *to = (uint64_t *)sum;
	const uint64_t *from = (const uint64_t *)counts;

	for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
		to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

static uint64_t sum_of(const uint64_t *numbers, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += numbers[i];
	return sum;
}

uint64_t stats_refused(const struct stats_counts *counts)
{
	return sum_of(counts->refused, ARRAY_SIZE(counts->refused));
}

uint64_t stats_ended(const struct stats_counts *counts)
{
	return sum_of(counts->ended, ARRAY_SIZE(counts->ended));
}

uint64_t stats_probes(const struct stats_counts *counts)
{
	return sum_of(counts->probes, ARRAY_SIZE(counts->probes));
}

uint64_t stats_handbacks(const struct stats_counts *counts)
{
	return sum_of(counts->handbacks, ARRAY_SIZE(counts->handbacks));
}

struct stats *stats_new(size_t n_listeners, size_t n_servers)
{
	struct stats *stats = calloc(1, sizeof(*stats));

	if (!stats)
		return NULL;
	stats->listeners = calloc(n_listeners + 1, sizeof(*stats->listeners));
	stats->servers = calloc(n_servers + 1, sizeof(*stats->servers));
	if (stats->listeners && stats->servers)
		return stats;
	stats_free(stats);
	return NULL;
}

void stats_free(struct stats *stats)
{
	if (!stats)
		return;
	free(stats->listeners);
	free(stats->servers);
	free(stats);
}

void stats_add_map(struct stats *stats, const char *name, uint64_t used, uint64_t size)
{
	if (stats->n_maps < STATS_MAPS)
		stats->maps[stats->n_maps++] = (struct stats_map){ name, used, size };
}

void stats_add_program(struct stats *stats, const struct stats_program *program)
{
	if (stats->n_programs < STATS_PROGRAMS)
		stats->programs[stats->n_programs++] = *program;
}

static bool has_server(const struct stats *stats, const struct stats_listener *listener)
{
	for (size_t i = 0; i < listener->n_servers; i++) {
		if (stats->servers[(size_t)listener->backend + i].usable)
			return true;
	}
	return listener->backend < 0;
}

const char *stats_unready(const struct stats *stats, const char **ret_name)
{
	*ret_name = NULL;
	if (stats->draining)
		return "draining";
	for (size_t i = 0; i < stats->n_listeners; i++) {
		*ret_name = stats->listeners[i].name;
		if (!stats->listeners[i].open)
			return "listener";
		if (!has_server(stats, &stats->listeners[i]))
			return "backend";
	}
	*ret_name = NULL;
	return NULL;
}
