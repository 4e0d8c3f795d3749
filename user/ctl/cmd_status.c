// SPDX-License-Identifier: BSD-2-Clause
/* status: the daemon's figures as one object, and what is wrong with it. */
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/version.h"
#include "client/reason.h"
#include "ctl/commands.h"
#include "ctl/message.h"
#include "obs/stats.h"
#include "unproxy/reason.h"

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static void put(json_t *object, const char *name, uint64_t n)
{
	(void)json_object_set_new(object, name, number(n));
}

static void put_some(json_t *object, const char *name, uint64_t n)
{
	if (n > 0)
		put(object, name, n);
}

static json_t *part(const struct stats_part *part)
{
	json_t *object = json_pack("{s:b, s:b}", "wanted", part->wanted, "on", part->on);

	if (part->wanted && !part->on && part->why[0])
		(void)json_object_set_new(object, "why", ctl_string(part->why));
	return object;
}

static json_t *relay(const struct stats *stats)
{
	return json_pack("{s:b, s:I, s:I, s:o, s:o, s:o}", "on", stats->relay.on, "workers",
			 (json_int_t)stats->workers, "max_connections",
			 (json_int_t)stats->max_connections, "kernel_path",
			 part(&stats->kernel_path), "io_uring", part(&stats->io_uring), "hook",
			 part(&stats->relay.hook));
}

static json_t *engines(const struct stats *stats)
{
	return json_pack("{s:o, s:{s:b, s:s, s:o}}", "relay", relay(stats), "inline", "on",
			 stats->inl.on, "interfaces", stats->interfaces, "hook",
			 part(&stats->inl.hook));
}

static json_t *listeners(const struct stats *stats)
{
	json_t *list = json_array();

	for (size_t i = 0; i < stats->n_listeners; i++) {
		const struct stats_listener *l = &stats->listeners[i];
		json_t *object = json_pack("{s:s, s:s, s:i, s:b, s:b, s:I, s:I, s:I}", "listener",
					   l->name, "engine", l->is_inline ? "inline" : "relay",
					   "port", (int)l->port, "open", l->open, "draining",
					   l->draining, "connections", (json_int_t)l->connections,
					   "accepted", (json_int_t)l->accepted, "refused",
					   (json_int_t)l->refused);

		if (l->backend >= 0)
			(void)json_object_set_new(object, "backend", json_string(l->backend_name));
		(void)json_array_append_new(list, object);
	}
	return list;
}

static const char *server_state(const struct stats_server *server)
{
	if (server->removed)
		return "removed";
	if (server->draining)
		return "draining";
	return server->resting ? "resting" : "ready";
}

static json_t *servers(const struct stats *stats)
{
	json_t *list = json_array();

	for (size_t i = 0; i < stats->n_servers; i++) {
		const struct stats_server *s = &stats->servers[i];

		(void)json_array_append_new(
			list,
			json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I}", "backend", s->backend,
				  "server", s->addr, "state", server_state(s), "weight",
				  (json_int_t)s->weight, "connections", (json_int_t)s->connections,
				  "total", (json_int_t)s->total, "failed", (json_int_t)s->failed));
	}
	return list;
}

static json_t *bytes(const struct stats_counts *counts, enum stats_way way)
{
	json_t *object = json_object();

	for (size_t i = UP_PATH_COPY; i < STATS_PATHS; i++)
		put(object, stats_path_name(i), counts->bytes[way][i]);
	return object;
}

static json_t *refused(const struct stats_counts *counts)
{
	json_t *object = json_object();

	for (size_t i = 1; i < UP_REASON__MAX; i++)
		put_some(object, up_reason_name((enum up_reason)i), counts->refused[i]);
	return object;
}

static json_t *ended(const struct stats_counts *counts)
{
	json_t *object = json_object();

	for (size_t i = 0; i < STATS_END__MAX; i++)
		put_some(object, stats_end_name((enum stats_end)i), counts->ended[i]);
	return object;
}

static json_t *headers(const struct stats_counts *counts)
{
	static const char *const names[STATS_VERSIONS] = { "none", "v1", "v2" };
	json_t *object = json_object();

	for (size_t i = 0; i < STATS_VERSIONS; i++)
		put(object, names[i],
		    counts->headers[i][UP_COMMAND_PROXY] + counts->headers[i][UP_COMMAND_LOCAL]);
	return object;
}

static json_t *maps(const struct stats *stats)
{
	json_t *object = json_object();

	for (size_t i = 0; i < stats->n_maps; i++)
		(void)json_object_set_new(object, stats->maps[i].name,
					  json_pack("{s:I, s:I}", "used",
						    (json_int_t)stats->maps[i].used, "size",
						    (json_int_t)stats->maps[i].size));
	return object;
}

static json_t *control(const struct ctl *ctl)
{
	const struct ctl_counters *c = ctl_counters(ctl);

	return json_pack("{s:o, s:I, s:I, s:I, s:I}", "path", ctl_string(ctl_path(ctl)), "clients",
			 (json_int_t)c->clients, "requests", (json_int_t)c->requests, "dropped",
			 (json_int_t)c->dropped, "evicted", (json_int_t)c->evicted);
}

static json_t *configuration(const struct ctl_context *context, const struct stats *stats)
{
	const char *file = context->relay->generations.newest->conf->file;

	return json_pack("{s:o*, s:I, s:I, s:I, s:o, s:o, s:s}", "file",
			 file ? ctl_string(file) : NULL, "generation",
			 (json_int_t)stats->generation, "reloads", (json_int_t)stats->reload.done,
			 "refused", (json_int_t)stats->reload.failed, "last_reload",
			 ctl_date(stats->reload.last_us), "error", ctl_string(stats->reload.error),
			 "restart", stats->reload.restart);
}

/* ---- what is wrong ---- */

static void __attribute__((format(printf, 2, 3))) problem(json_t *list, const char *format, ...)
{
	char text[640];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	(void)json_array_append_new(list, ctl_string(text));
}

/* Is there a server that may be had, or one that rests, which is told of by itself? */
static bool has_server(const struct stats *stats, const struct stats_listener *listener)
{
	for (size_t i = 0; i < listener->n_servers; i++) {
		if (!stats->servers[(size_t)listener->backend + i].draining)
			return true;
	}
	return listener->backend < 0;
}

static json_t *problems(const struct stats *stats)
{
	json_t *list = json_array();

	if (stats->draining)
		problem(list, "draining: load balancers are told to send nothing new");
	for (size_t i = 0; i < stats->n_listeners; i++) {
		const struct stats_listener *l = &stats->listeners[i];

		if (l->draining)
			problem(list, "listener %s: draining", l->name);
		else if (!l->open && !stats->draining)
			problem(list, "listener %s: not open", l->name);
		if (!has_server(stats, l))
			problem(list, "listener %s: no server of %s takes connections", l->name,
				l->backend_name);
	}
	for (size_t i = 0; i < stats->n_servers; i++) {
		const struct stats_server *s = &stats->servers[i];

		if (s->resting && !s->draining)
			problem(list, "server %s of %s: cannot be reached", s->addr, s->backend);
	}
	if (stats->relay.is_short)
		problem(list, "out of descriptors, memory or places within the last minute: "
			      "connections wait or are refused (accept.paused in the log)");
	if (stats->reload.error[0])
		problem(list, "the last reload was refused: %s", stats->reload.error);
	return list;
}

static json_t *describe(const struct ctl_context *context, const struct stats *stats)
{
	const char *name = NULL, *unready = stats_unready(stats, &name);
	struct stats_counts all = stats->relay.counts;
	json_t *object;

	stats_sum(&all, &stats->inl.counts);
	object = json_pack("{s:s, s:I, s:I, s:o, s:b, s:b}", "version", UNPROXY_VERSION, "pid",
			   (json_int_t)getpid(), "uptime_s",
			   (json_int_t)(stats->uptime_us / 1000000), "started",
			   ctl_date(stats->started_us), "ready", !unready, "draining",
			   stats->draining);
	(void)json_object_set_new(object, "problems", problems(stats));
	(void)json_object_set_new(object, "engines", engines(stats));
	(void)json_object_set_new(object, "listeners", listeners(stats));
	(void)json_object_set_new(object, "servers", servers(stats));
	(void)json_object_set_new(object, "connections",
				  json_pack("{s:I, s:I, s:I, s:I, s:I}", "active",
					    (json_int_t)stats->relay.connections +
						    (json_int_t)stats->inl.connections,
					    "accepted", (json_int_t)all.accepted, "refused",
					    (json_int_t)stats_refused(&all), "ended",
					    (json_int_t)stats_ended(&all), "probes",
					    (json_int_t)stats_probes(&all)));
	(void)json_object_set_new(object, "bytes",
				  json_pack("{s:o, s:o}", "up", bytes(&all, STATS_UP), "down",
					    bytes(&all, STATS_DOWN)));
	(void)json_object_set_new(object, "headers", headers(&all));
	(void)json_object_set_new(object, "refused", refused(&all));
	(void)json_object_set_new(object, "ended", ended(&all));
	(void)json_object_set_new(object, "probes",
				  json_pack("{s:I, s:I}", "empty",
					    (json_int_t)all.probes[STATS_PROBE_EMPTY], "local",
					    (json_int_t)all.probes[STATS_PROBE_LOCAL]));
	(void)json_object_set_new(object, "maps", maps(stats));
	(void)json_object_set_new(object, "client_log",
				  json_pack("{s:b, s:I, s:I}", "on", stats->log_on, "lines",
					    (json_int_t)stats->log_lines, "dropped",
					    (json_int_t)stats->log_dropped));
	(void)json_object_set_new(object, "configuration", configuration(context, stats));
	(void)json_object_set_new(object, "changed", change_list(context->change));
	(void)json_object_set_new(object, "control", control(context->ctl));
	return object;
}

int ctl_cmd_status(struct ctl_request *request)
{
	struct stats *stats = NULL;
	int err = request->context->take_stats(request->context->stats_owner, &stats);
	json_t *data;

	if (err)
		return err;
	data = describe(request->context, stats);
	stats_free(stats);
	return ctl_reply(request, data);
}
