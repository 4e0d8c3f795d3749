// SPDX-License-Identifier: BSD-2-Clause
/* What the engine does while it runs: events of the ring, and chores by the clock. */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "inline/complain.h"
#include "inline/internal.h"
#include "obs/log.h"

#define TICK_US 1000000
#define MINUTE_TICKS 60

/* After a first event others follow: they are left in the ring for so long. The kernel wakes
 * nobody while events wait, so that a busy host pays no wake-up per connection. */
#define EVENTS_US 20000

/* What a daemon finds in the ring may be more than the client log's queue holds: so many at a
 * time, and time for the log's writer between. */
#define EVENTS_MAX 1024
#define EVENTS_MORE_US 5000
#define EVENTS_ROUNDS_MAX 64 /* to empty a ring before its maps go */

/* ---- events ---- */

void tend_event(void *context, const struct up_flow_event *event, const uint8_t *header)
{
	struct inline_engine *engine = context;

	events_take(&engine->events, event, header);
}

static void know_flow(void *context, const struct up_flow_key *key, const struct up_flow *flow)
{
	struct inline_engine *engine = context;

	events_know(&engine->events, key, flow);
}

/* The map says what lives; what it does not know has ended, and its event was lost. */
static void know_flows(struct inline_engine *engine)
{
	if (kern_inline_each_flow(engine->kern, know_flow, engine) == 0)
		open_flows_remove_unseen(engine->events.open);
}

/* Take events, and look again soon: only after a look in vain the ring is watched. */
static void look(struct inline_engine *engine)
{
	uint64_t taken = engine->events.taken;
	bool more = kern_inline_consume(engine->kern, EVENTS_MAX);

	if (engine->events.taken == taken) {
		if (engine->settling)
			know_flows(engine);
		engine->settling = false;
		if (loop_modify(engine->loop, &engine->source, EPOLLIN | EPOLLONESHOT) == 0)
			return;
		/* Nobody would tell of the next event: look by the clock. */
	}
	(void)loop_timer_arm(engine->loop, &engine->again, more ? EVENTS_MORE_US : EVENTS_US);
}

static void on_ring(struct loop_source *source, uint32_t events)
{
	struct inline_engine *engine = container_of(source, struct inline_engine, source);

	(void)events;
	look(engine);
}

static void on_again(struct loop_timer *timer)
{
	struct inline_engine *engine = container_of(timer, struct inline_engine, again);

	look(engine);
}

/* ---- once a second, once a minute ---- */

static void report_lost(struct inline_engine *engine)
{
	struct up_flow_stats stats;

	if (kern_inline_stats(engine->kern, &stats) < 0 || stats.events_lost <= engine->events_lost)
		return;
	log_warn("inline.events_lost lines=%llu reason=\"connections end faster than they are "
		 "logged\"",
		 (unsigned long long)(stats.events_lost - engine->events_lost));
	engine->events_lost = stats.events_lost;
	engine->settling = true;
}

static void need_flow_ports(void *context, const struct up_flow_key *key,
			    const struct up_flow *flow)
{
	policy_need_ports(context, key->local_port, flow->app_port);
}

void tend_prune_ports(struct inline_engine *engine)
{
	_cleanup_free_ struct up_ports *need = malloc(sizeof(*need));
	_cleanup_free_ struct up_ports *have = malloc(sizeof(*have));

	if (!need || !have || !engine->stale_ports)
		return;
	*need = engine->policy.ports;
	if (kern_inline_each_flow(engine->kern, need_flow_ports, need) < 0 ||
	    kern_inline_get_ports(engine->kern, have) < 0)
		return;
	if (memcmp(need, have, sizeof(*need)) != 0 && kern_inline_set_ports(engine->kern, need) < 0)
		return;
	engine->stale_ports = memcmp(need, &engine->policy.ports, sizeof(*need)) != 0;
}

static void take_clock(struct inline_engine *engine)
{
	engine->events.realtime_offset_us = (int64_t)clock_us(CLOCK_REALTIME) -
					    (int64_t)clock_us(CLOCK_MONOTONIC);
}

/* Chores take a hundredth of the time at most: a walk over a large table takes long though
 * it is empty, and there are hosts with a million routes. Returns the ticks to rest. */
static uint64_t rest_after(uint64_t from_us)
{
	return (clock_us(CLOCK_MONOTONIC) - from_us) * 100 / TICK_US;
}

static void sweep(struct inline_engine *engine)
{
	uint64_t from_us = clock_us(CLOCK_MONOTONIC);

	if (engine->sweep_pause > 0) {
		engine->sweep_pause--;
		return;
	}
	(void)kern_inline_sweep(engine->kern);
	engine->sweep_pause = rest_after(from_us);
}

static void heal(struct inline_engine *engine)
{
	uint64_t from_us = clock_us(CLOCK_MONOTONIC);

	if (engine->heal_pause > 0) {
		engine->heal_pause--;
		return;
	}
	attach_heal(&engine->attach);
	engine->heal_pause = 1 + rest_after(from_us);
}

/* Twice in a row: a packet may be on its way through the programs, with a listener in hand that
 * has just been removed. */
static bool is_over(struct inline_engine *engine)
{
	bool before = engine->unused;

	engine->unused = !engine->policy.n_listeners && kern_inline_is_empty(engine->kern);
	return before && engine->unused;
}

static void on_tick(struct loop_timer *timer)
{
	struct inline_engine *engine = container_of(timer, struct inline_engine, tick);

	take_clock(engine);
	sweep(engine);
	heal(engine);
	if (is_over(engine)) {
		know_flows(engine); /* none, whatever has been told of them */
		inline_rest(engine);
		return;
	}
	if (++engine->ticks % MINUTE_TICKS == 0) {
		report_lost(engine);
		tend_prune_ports(engine);
	}
	(void)loop_timer_arm(engine->loop, timer, TICK_US);
}

/* ---- from when to when ---- */

int tend_begin(struct inline_engine *engine)
{
	int err;

	engine->source.fn = on_ring;
	engine->source.fd = kern_inline_events_fd(engine->kern);
	engine->again.fn = on_again;
	engine->tick.fn = on_tick;
	err = loop_add(engine->loop, &engine->source, EPOLLIN | EPOLLONESHOT);
	if (err) {
		complain(engine->attach.error, "inline.failed error=\"event loop: %s\"",
			 strerror(-err));
		return err;
	}
	take_clock(engine);
	/* A look though the ring may be empty, for engine->settling. */
	(void)loop_timer_arm(engine->loop, &engine->again, EVENTS_MORE_US);
	(void)loop_timer_arm(engine->loop, &engine->tick, 0);
	return 0;
}

/* What is left in it is the next daemon's, unless there is none. */
static void empty_ring(struct inline_engine *engine, bool all)
{
	const struct timespec pause = { .tv_nsec = EVENTS_MORE_US * 1000 };
	unsigned rounds = all ? EVENTS_ROUNDS_MAX : 1;

	while (kern_inline_consume(engine->kern, EVENTS_MAX) && --rounds > 0)
		(void)nanosleep(&pause, NULL);
}

void tend_end(struct inline_engine *engine, bool all)
{
	loop_timer_cancel(engine->loop, &engine->again);
	loop_timer_cancel(engine->loop, &engine->tick);
	loop_remove(engine->loop, &engine->source);
	empty_ring(engine, all);
	report_lost(engine);
}
