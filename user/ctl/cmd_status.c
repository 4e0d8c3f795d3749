// SPDX-License-Identifier: BSD-2-Clause
/* status: the daemon in one object. */
#include <unistd.h>

#include "base/version.h"
#include "ctl/commands.h"

/* Of both engines together. */
static json_t *connections(const struct stats *stats)
{
	const struct stats_counts *relay = &stats->relay.counts, *inl = &stats->inl.counts;

	return json_pack("{s:I, s:I, s:I, s:I}", "active",
			 (json_int_t)(stats->relay.connections + stats->inl.connections),
			 "accepted", (json_int_t)(relay->accepted + inl->accepted), "refused",
			 (json_int_t)(stats_refused(relay) + stats_refused(inl)), "probes",
			 (json_int_t)(stats_probes(relay) + stats_probes(inl)));
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
	struct stats *stats;
	json_t *data;

	if (context->take_stats(context->stats_owner, &stats) < 0)
		return ctl_fail(request, "no_resources", "out of memory");
	data = json_pack("{s:s, s:I, s:I, s:o, s:o, s:o}", "version", UNPROXY_VERSION, "pid",
			 (json_int_t)getpid(), "uptime_s", (json_int_t)(stats->uptime_us / 1000000),
			 "connections", connections(stats), "configuration", configuration(context),
			 "changed", change_list(context->change));
	stats_free(stats);
	return ctl_reply(request, data);
}
