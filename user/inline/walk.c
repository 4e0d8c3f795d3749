// SPDX-License-Identifier: BSD-2-Clause
#include "inline/walk.h"

#include <errno.h>

#include "inline/events.h"
#include "inline/flow_socket.h"

/* Its socket first: one that we cannot reset goes on, and nobody must say it ended. */
static void kill_flow(struct inline_walk *walk, const struct up_flow_key *key,
		      const struct up_flow *flow)
{
	struct flow_socket socket;
	int err;

	if (flow->state != UP_FLOW_OPEN)
		return;
	err = flow_socket_find(key, flow->app_port, &socket);
	if (!err)
		err = kern_inline_end(walk->kern, key);
	if (!err)
		err = flow_socket_destroy(&socket);
	if (!err)
		walk->killed++;
	else if (err == -EXDEV)
		walk->out_of_reach++;
	else if (err != -ENOENT && !walk->error)
		walk->error = err;
}

static void on_flow(void *context, const struct up_flow_key *key, const struct up_flow *flow)
{
	struct inline_walk *walk = context;
	struct conn conn;

	if (!events_live(walk->events, key, flow, &conn) || !conn_matches(&conn, &walk->filter))
		return;
	if (walk->kill)
		kill_flow(walk, key, flow);
	else
		walk->fn(walk->context, &conn);
}

bool inline_walk_next(const struct inline_engine *engine, struct inline_walk *walk)
{
	int err;

	walk->kern = inline_kern(engine);
	if (!walk->kern)
		return false;
	walk->events = inline_events(engine);
	err = kern_inline_next_flows(walk->kern, &walk->place, on_flow, walk);
	if (err && !walk->error)
		walk->error = err;
	return !err && !walk->place.over;
}
