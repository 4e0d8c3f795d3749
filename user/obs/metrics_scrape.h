/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by the metrics' files alone: how a sample is written, and who writes which. */
#ifndef OBS_METRICS_SCRAPE_H
#define OBS_METRICS_SCRAPE_H

#include "obs/metrics.h"

struct scrape {
	FILE *out;
	const struct stats *stats;
	const struct metrics_process *process;
	const char *name; /* of the metric being written */
};

#define END ((const char *)NULL) /* of what varies in number */

/* A sample; behind the value label, text, label, text, ..., END. */
void put(struct scrape *scrape, uint64_t value, ...) __attribute__((sentinel));
void put_seconds(struct scrape *scrape, double value, ...) __attribute__((sentinel));

void put_histogram(struct scrape *scrape, const char *engine,
		   const struct stats_histogram *histogram);

/* All samples of one metric of the table in metrics.c. */
typedef void metric_fn(struct scrape *scrape);

/* metrics_engines.c */
metric_fn write_workers, write_connections, write_limit, write_accepted, write_closed,
	write_refused, write_probes, write_headers, write_header_time, write_connect_time,
	write_bytes, write_promotions, write_path_refusals, write_kernel_entries, write_handbacks,
	write_accept_pauses, write_hook;

/* metrics_parts.c */
metric_fn write_listener_open, write_listener_connections, write_listener_accepted,
	write_listener_refused, write_listener_backlog, write_listener_backlog_max,
	write_server_usable, write_server_draining, write_server_weight, write_server_connections,
	write_server_total, write_server_failed, write_map_entries, write_map_size,
	write_inline_events, write_kernel_events, write_programs_timed, write_program_runs,
	write_program_time;

#endif
