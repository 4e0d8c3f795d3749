// SPDX-License-Identifier: BSD-2-Clause
/* status: the daemon in one object. */
#include <unistd.h>

#include "base/clock.h"
#include "base/version.h"
#include "ctl/commands.h"

static json_t *connections(const struct relay *relay)
{
	struct stats_counts counts;

	relay_sum(relay, &counts);
	return json_pack("{s:I, s:I, s:I, s:I}", "active",
			 (json_int_t)__atomic_load_n(&relay->connections, __ATOMIC_RELAXED),
			 "accepted", (json_int_t)counts.accepted, "refused",
			 (json_int_t)stats_refused(&counts), "probes",
			 (json_int_t)stats_probes(&counts));
}

static json_t *configuration(const struct ctl_context *context)
{
	const struct generation *newest = context->relay->generations.newest;
	const struct change_reloads *reloads = &context->change->reloads;

	return json_pack("{s:s*, s:I, s:I, s:I, s:f, s:s, s:s}", "file", newest->conf->file,
			 "generation", (json_int_t)newest->number, "reloads",
			 (json_int_t)reloads->done, "refused", (json_int_t)reloads->refused,
			 "last_reload", (double)reloads->last_us / 1e6, "error", reloads->error,
			 "restart", reloads->restart);
}

int ctl_cmd_status(struct ctl_request *request)
{
	const struct ctl_context *context = request->context;
	uint64_t up_us = clock_us(CLOCK_MONOTONIC) - context->started_us;

	return ctl_reply(request, json_pack("{s:s, s:I, s:I, s:o, s:o, s:o}", "version",
					    UNPROXY_VERSION, "pid", (json_int_t)getpid(),
					    "uptime_s", (json_int_t)(up_us / 1000000),
					    "connections", connections(context->relay),
					    "configuration", configuration(context), "changed",
					    change_list(context->change)));
}
