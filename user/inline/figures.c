// SPDX-License-Identifier: BSD-2-Clause
#include "inline/figures.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"

/* Of the time, walking may take so much: a table of 100,000 takes some 50 ms. */
#define REST_FACTOR 50

struct walk {
	struct figures figures;
	struct events *events;
};

static void see(void *context, const struct up_flow_key *key, const struct up_flow *flow)
{
	struct walk *walk = context;
	int listener;

	walk->figures.used++;
	if (flow->state != UP_FLOW_OPEN || flow->marks & UP_FLOW_ENDED)
		return;
	events_settle(walk->events, key, flow);
	walk->figures.connections++;
	listener = policy_find(walk->events->policy, flow->listener);
	if (listener >= 0)
		walk->figures.of[listener]++;
}

/* What open connections have moved is counted, too. */
static void refresh(struct figures *figures, struct events *events, const struct kern_inline *kern)
{
	uint64_t from_us = clock_us(CLOCK_MONOTONIC);
	struct walk walk = { .events = events };
	uint64_t now_us;

	if (from_us < figures->next_us)
		return;
	walk.figures.n_of = events->policy->n_listeners;
	walk.figures.of = calloc(walk.figures.n_of + 1, sizeof(*walk.figures.of));
	if (!walk.figures.of)
		return;
	if (kern_inline_each_flow(kern, see, &walk) < 0) {
		free(walk.figures.of);
		return;
	}
	now_us = clock_us(CLOCK_MONOTONIC);
	free(figures->of);
	*figures = walk.figures;
	figures->next_us = now_us + (now_us - from_us) * REST_FACTOR;
}

void figures_tell(struct figures *figures, struct events *events, const struct kern_inline *kern,
		  const struct kern_hook *hook, struct stats *ret)
{
	refresh(figures, events, kern);
	ret->inl.connections = figures->connections;
	stats_sum(&ret->inl.counts, &events->counts);
	(void)kern_inline_stats(kern, &ret->flows);
	stats_add_map(ret, "flows", figures->used, kern_inline_room(kern));
	kern_inline_runs(kern, ret);
	if (!hook)
		return;
	(void)kern_hook_stats(hook, &ret->inl.hook_stats);
	kern_hook_runs(hook, ret);
}

void figures_of_listener(const struct figures *figures, const struct events *events,
			 struct stats_listener *ret)
{
	for (size_t i = 0; i < events->policy->n_listeners; i++) {
		const struct inline_counters *c = &events->counters[i];

		if (strcmp(events->policy->listeners[i]->name, ret->name) != 0)
			continue;
		ret->open = true;
		ret->accepted = c->accepted;
		ret->refused = c->refused;
		if (i < figures->n_of)
			ret->connections = figures->of[i];
	}
}

void figures_free(struct figures *figures)
{
	free(TAKE_PTR(figures->of));
	figures->n_of = 0;
}
