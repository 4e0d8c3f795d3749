// SPDX-License-Identifier: BSD-2-Clause
/*
 * The table of metrics. A counter that nothing has counted yet is there with 0, so that its
 * first increment is seen as one.
 */
#include "obs/metrics.h"

#include <errno.h>

#include "base/cleanup.h"
#include "base/version.h"
#include "obs/metrics_scrape.h"

struct metric {
	const char *name;
	const char *type;
	const char *help;
	metric_fn *write;
};

/* ---- the daemon ---- */

static void write_build(struct scrape *scrape)
{
	put(scrape, 1, "version", UNPROXY_VERSION, END);
}

static void write_ready(struct scrape *scrape)
{
	const char *name;

	put(scrape, !stats_unready(scrape->stats, &name), END);
}

static void write_draining(struct scrape *scrape)
{
	put(scrape, scrape->stats->draining, END);
}

static void put_feature(struct scrape *scrape, const char *name, const struct stats_part *part)
{
	if (part->wanted)
		put(scrape, part->on, "feature", name, END);
}

static void write_features(struct scrape *scrape)
{
	put_feature(scrape, "kernel_path", &scrape->stats->kernel_path);
	put_feature(scrape, "io_uring", &scrape->stats->io_uring);
	put_feature(scrape, "hook_relay", &scrape->stats->relay.hook);
	put_feature(scrape, "hook_inline", &scrape->stats->inl.hook);
}

static void write_log_lines(struct scrape *scrape)
{
	if (scrape->stats->log_on)
		put(scrape, scrape->stats->log_lines, END);
}

static void write_log_dropped(struct scrape *scrape)
{
	if (scrape->stats->log_on)
		put(scrape, scrape->stats->log_dropped, END);
}

static void write_generation(struct scrape *scrape)
{
	put(scrape, scrape->stats->generation, END);
}

static void write_reloads(struct scrape *scrape)
{
	put(scrape, scrape->stats->reload.done, "result", "ok", END);
	put(scrape, scrape->stats->reload.failed, "result", "failed", END);
}

static void write_reload_ok(struct scrape *scrape)
{
	put(scrape, !scrape->stats->reload.error[0], END);
}

static void write_start(struct scrape *scrape)
{
	put_seconds(scrape, (double)scrape->stats->started_us / 1e6, END);
}

static void write_cpu(struct scrape *scrape)
{
	put_seconds(scrape, scrape->process->cpu_seconds, END);
}

static void write_resident(struct scrape *scrape)
{
	put(scrape, scrape->process->resident_bytes, END);
}

static void write_fds(struct scrape *scrape)
{
	put(scrape, scrape->process->open_fds, END);
}

static void write_max_fds(struct scrape *scrape)
{
	put(scrape, scrape->process->max_fds, END);
}

/* ---- the table ---- */

#define COUNTER "counter"
#define GAUGE "gauge"
#define HISTOGRAM "histogram"

static const struct metric metrics[] = {
	{ "unproxy_build_info", GAUGE, "1; the version is a label.", write_build },
	{ "unproxy_ready", GAUGE, "1 if new connections would be served, as /readyz says.",
	  write_ready },
	{ "unproxy_draining", GAUGE, "1 when told to end, or to take no new connections.",
	  write_draining },
	{ "unproxy_feature_on", GAUGE,
	  "Of what the configuration asks for and a host may refuse: 1 if this one has it.",
	  write_features },
	{ "unproxy_workers", GAUGE, "Threads that relay connections.", write_workers },
	{ "unproxy_connections", GAUGE, "Connections now.", write_connections },
	{ "unproxy_connections_limit", GAUGE, "Connections that the relay takes at most.",
	  write_limit },
	{ "unproxy_connections_accepted_total", COUNTER,
	  "Connections that came, whatever became of them.", write_accepted },
	{ "unproxy_connections_closed_total", COUNTER,
	  "Connections that were served and are over, by what ended them.", write_closed },
	{ "unproxy_connections_refused_total", COUNTER,
	  "Connections that no server saw, by the reason: the header, or a limit, or no server.",
	  write_refused },
	{ "unproxy_probes_total", COUNTER,
	  "Health checks: connections without a byte, and LOCAL (or version 1's UNKNOWN) ones "
	  "without data.",
	  write_probes },
	{ "unproxy_headers_total", COUNTER,
	  "Headers taken off; version none is a connection without one (header = optional).",
	  write_headers },
	{ "unproxy_header_duration_seconds", HISTOGRAM,
	  "From a connection's begin until its header was whole.", write_header_time },
	{ "unproxy_connect_duration_seconds", HISTOGRAM,
	  "From the whole header until a server was connected.", write_connect_time },
	{ "unproxy_bytes_total", COUNTER,
	  "Bytes moved, without headers; up is from the client to the server. Of open inline "
	  "connections: what was acknowledged.",
	  write_bytes },
	{ "unproxy_promotions_total", COUNTER, "Directions that went to a path for bulk.",
	  write_promotions },
	{ "unproxy_path_refusals_total", COUNTER,
	  "Directions that a path for bulk could not take, and that were left where they were.",
	  write_path_refusals },
	{ "unproxy_kernel_entries_total", COUNTER,
	  "Times that the kernel began to move a direction, the first time or again.",
	  write_kernel_entries },
	{ "unproxy_kernel_handbacks_total", COUNTER,
	  "Times that the kernel handed a direction back to user space, by the reason.",
	  write_handbacks },
	{ "unproxy_accept_pauses_total", COUNTER,
	  "Times that a worker stopped accepting for lack of descriptors, memory or places.",
	  write_accept_pauses },
	{ "unproxy_listener_open", GAUGE, "1 if it takes new connections.", write_listener_open },
	{ "unproxy_listener_connections", GAUGE, "Connections now.", write_listener_connections },
	{ "unproxy_listener_accepted_total", COUNTER,
	  "Connections that came, whatever became of them.", write_listener_accepted },
	{ "unproxy_listener_refused_total", COUNTER, "Connections that no server saw.",
	  write_listener_refused },
	{ "unproxy_listener_backlog", GAUGE,
	  "Connections that wait to be accepted, all sockets together, at most a second ago.",
	  write_listener_backlog },
	{ "unproxy_listener_backlog_limit", GAUGE, "Connections that may wait to be accepted.",
	  write_listener_backlog_max },
	{ "unproxy_server_up", GAUGE,
	  "1 if it takes new connections: it does not rest after a failure, and is not drained.",
	  write_server_usable },
	{ "unproxy_server_draining", GAUGE, "1 if it was told to take no new connections.",
	  write_server_draining },
	{ "unproxy_server_weight", GAUGE, "Its weight.", write_server_weight },
	{ "unproxy_server_connections", GAUGE, "Connections now.", write_server_connections },
	{ "unproxy_server_connects_total", COUNTER, "Times that it was tried.",
	  write_server_total },
	{ "unproxy_server_connect_failures_total", COUNTER,
	  "Times that it refused or did not answer.", write_server_failed },
	{ "unproxy_client_log_lines_total", COUNTER, "Lines of the client log.", write_log_lines },
	{ "unproxy_client_log_dropped_total", COUNTER,
	  "Lines that the client log lost: they came faster than they could be written, or a "
	  "rotation tore one that the disk had half of.",
	  write_log_dropped },
	{ "unproxy_map_entries", GAUGE,
	  "Entries in use: connections shown, directions in the kernel, flows of inline "
	  "connections, networks of the deny list.",
	  write_map_entries },
	{ "unproxy_map_capacity", GAUGE, "Entries there is room for.", write_map_size },
	{ "unproxy_inline_events_total", COUNTER,
	  "What the inline programs did since they were first attached: older than the daemon, "
	  "maybe.",
	  write_inline_events },
	{ "unproxy_kernel_path_events_total", COUNTER, "What the program of the kernel path did.",
	  write_kernel_events },
	{ "unproxy_hook_events_total", COUNTER, "What the address hook did.", write_hook },
	{ "unproxy_bpf_stats_enabled", GAUGE,
	  "1 if kernel.bpf_stats_enabled is on: without it the next two stand still.",
	  write_programs_timed },
	{ "unproxy_bpf_runs_total", COUNTER, "Runs of a program in the kernel.",
	  write_program_runs },
	{ "unproxy_bpf_run_seconds_total", COUNTER, "Time that these runs took.",
	  write_program_time },
	{ "unproxy_config_generation", GAUGE, "Configurations served so far.", write_generation },
	{ "unproxy_reloads_total", COUNTER, "Reloads; a failed one changed nothing.",
	  write_reloads },
	{ "unproxy_last_reload_successful", GAUGE, "0 if the last reload failed.",
	  write_reload_ok },
	{ "process_start_time_seconds", GAUGE, "When the daemon began, in seconds since 1970.",
	  write_start },
	{ "process_cpu_seconds_total", COUNTER, "Processor time of the daemon.", write_cpu },
	{ "process_resident_memory_bytes", GAUGE, "Memory of the daemon.", write_resident },
	{ "process_open_fds", GAUGE, "Open file descriptors.", write_fds },
	{ "process_max_fds", GAUGE, "Open file descriptors that are allowed.", write_max_fds },
};

int metrics_write(FILE *out, const struct stats *stats, const struct metrics_process *process)
{
	struct scrape scrape = { .out = out, .stats = stats, .process = process };

	for (size_t i = 0; i < ARRAY_SIZE(metrics); i++) {
		const struct metric *metric = &metrics[i];

		scrape.name = metric->name;
		(void)fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help,
			      metric->name, metric->type);
		metric->write(&scrape);
	}
	return ferror(out) ? -EIO : 0;
}
