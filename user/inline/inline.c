// SPDX-License-Identifier: BSD-2-Clause
#include "inline/inline.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "inline/attach.h"
#include "inline/complain.h"
#include "inline/events.h"
#include "inline/figures.h"
#include "inline/policy.h"
#include "kern/hook.h"
#include "kern/inline.h"
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

struct inline_engine {
	const struct conf *conf;
	struct loop *loop;
	int deny_fd;
	struct kern_inline *kern;
	struct kern_hook *hook; /* NULL: apps are not told of their clients */
	struct stats_part hook_part;
	policy_drained_fn *drained; /* NULL: no listener is */
	void *context;              /* ... for that */
	struct policy policy;
	struct attach attach;
	struct events events;
	struct figures figures;
	struct loop_source source; /* the ring */
	struct loop_timer again;   /* look into it once more */
	struct loop_timer tick;
	unsigned ticks;
	uint64_t sweep_pause, heal_pause; /* ticks until the next */
	uint64_t events_lost;             /* said so already */
	size_t adopted;                   /* connections taken over */
	bool stale_ports;                 /* roles of listeners that are gone */
	bool settling;                    /* the table waits for an empty ring, to be compared */
};

/* ---- events ---- */

static void on_event(void *context, const struct up_flow_event *event, const uint8_t *header)
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

/* Take off the roles of listeners that are gone, but for those whose connections live on. */
static void prune_ports(struct inline_engine *engine)
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

static void on_tick(struct loop_timer *timer)
{
	struct inline_engine *engine = container_of(timer, struct inline_engine, tick);

	take_clock(engine);
	sweep(engine);
	heal(engine);
	if (++engine->ticks % MINUTE_TICKS == 0) {
		report_lost(engine);
		prune_ports(engine);
	}
	(void)loop_timer_arm(engine->loop, timer, TICK_US);
}

void inline_stats(struct inline_engine *engine, struct stats *ret)
{
	if (!engine)
		return;
	figures_tell(&engine->figures, &engine->events, engine->kern, engine->hook, ret);
	attach_names(&engine->attach, ret->interfaces, sizeof(ret->interfaces));
	ret->inl.hook = engine->hook_part;
}

void inline_listener_stats(const struct inline_engine *engine, struct stats_listener *ret)
{
	if (engine)
		figures_of_listener(&engine->figures, &engine->events, ret);
}

/* ---- start ---- */

static void count_flow(void *context, const struct up_flow_key *key, const struct up_flow *flow)
{
	struct inline_engine *engine = context;

	engine->adopted += !(flow->marks & UP_FLOW_ENDED) && flow->state != UP_FLOW_REFUSED;
}

/* What happened since the last daemon is in the ring, the rest in the map. */
static void take_over(struct inline_engine *engine)
{
	struct up_flow_stats stats;

	if (!kern_inline_adopted(engine->kern))
		return;
	(void)kern_inline_each_flow(engine->kern, count_flow, engine);
	if (kern_inline_stats(engine->kern, &stats) == 0)
		engine->events_lost = stats.events_lost;
	if (engine->events_lost)
		log_info("inline.events_lost_before lines=%llu reason=\"more than the ring holds "
			 "while no daemon read it, or earlier\"",
			 (unsigned long long)engine->events_lost);
	engine->settling = true;
	engine->stale_ports = true;
	prune_ports(engine);
}

static int set_policy(const struct inline_engine *engine, const struct policy *policy)
{
	const struct kern_inline_policy given = {
		.keys = policy->keys,
		.listens = policy->listens,
		.n_listens = policy->n_listens,
		.trust = policy->trust,
		.n_trust = policy->n_trust,
		.ports = &policy->ports,
	};
	int err = kern_inline_set_policy(engine->kern, &given);

	if (err)
		complain(engine->attach.error,
			 "inline.failed listeners=%zu networks=%zu error=\"%s\"",
			 policy->n_listeners, policy->n_trust, strerror(-err));
	return err;
}

static int open_kern(struct inline_engine *engine)
{
	const struct kern_inline_params params = {
		.flows = engine->conf->inline_flows,
		.deny_fd = engine->deny_fd,
		.tcx = engine->conf->tcx,
		.fn = on_event,
		.context = engine,
	};
	char why[512] = "";
	int err = kern_inline_open(&params, &engine->kern, why, sizeof(why));

	if (err)
		complain(engine->attach.error, "inline.failed error=\"%s\"",
			 *why ? why : strerror(-err));
	return err;
}

/* Have apps told of their clients, or say in one line why not and go on without. */
static void open_hook(struct inline_engine *engine)
{
	const struct kern_hook_params params = {
		.engine = KERN_HOOK_INLINE,
		.flows_fd = kern_inline_flows_fd(engine->kern),
		.aliases_fd = kern_inline_aliases_fd(engine->kern),
	};
	struct stats_part *part = &engine->hook_part;

	part->wanted = true;
	part->on = !kern_hook_open(&params, &engine->hook, part->why, sizeof(part->why));
	if (!part->on)
		log_warn("hook.off engine=inline reason=\"%s\" client_address=none", part->why);
}

static void say_on(const struct inline_engine *engine)
{
	char names[512];

	attach_names(&engine->attach, names, sizeof(names));
	log_info("inline.on interfaces=%s listeners=%zu adopted=%zu maps=%s", names,
		 engine->policy.n_listeners, engine->adopted, kern_inline_pin_path(engine->kern));
}

static int watch(struct inline_engine *engine)
{
	engine->source.fn = on_ring;
	engine->source.fd = kern_inline_events_fd(engine->kern);
	engine->again.fn = on_again;
	engine->tick.fn = on_tick;
	/* A look though the ring may be empty, for engine->settling. */
	(void)loop_timer_arm(engine->loop, &engine->again, EVENTS_MORE_US);
	return loop_add(engine->loop, &engine->source, EPOLLIN | EPOLLONESHOT);
}

static int bring_up(struct inline_engine *engine)
{
	int err = policy_build(&engine->policy, engine->conf, engine->drained, engine->context);

	if (!err)
		err = events_init(&engine->events);
	if (!err)
		err = attach_check(&engine->attach);
	if (!err)
		err = open_kern(engine);
	if (!err)
		err = set_policy(engine, &engine->policy);
	if (err)
		return err;
	take_clock(engine);
	take_over(engine);
	open_hook(engine); /* before the first connection */
	engine->attach.kern = engine->kern;
	err = attach_all(&engine->attach);
	return err ? err : watch(engine);
}

static void free_engine(struct inline_engine *engine, bool detach)
{
	kern_inline_close(engine->kern, detach);
	kern_hook_close(engine->hook);
	if (detach)
		(void)kern_hook_remove(NULL);
	events_free(&engine->events);
	figures_free(&engine->figures);
	attach_free(&engine->attach);
	policy_free(&engine->policy);
	free(engine);
}

int inline_start(const struct inline_params *params, struct inline_engine **ret)
{
	struct inline_engine *engine = calloc(1, sizeof(*engine));
	int err;

	if (!engine)
		return -ENOMEM;
	engine->conf = params->conf;
	engine->loop = params->loop;
	engine->deny_fd = params->deny_fd;
	engine->drained = params->drained;
	engine->context = params->context;
	engine->attach = (struct attach){ .conf = params->conf,
					  .policy = &engine->policy,
					  .error = params->error };
	engine->events = (struct events){
		.conf = params->conf,
		.policy = &engine->policy,
		.log = params->log,
		.log_queue = params->log_queue,
	};
	err = bring_up(engine);
	if (err) {
		/* What was there before goes on; what we began does not stay half done. */
		free_engine(engine, engine->kern && !kern_inline_adopted(engine->kern));
		return err;
	}
	engine->attach.error = NULL;
	say_on(engine);
	on_tick(&engine->tick);
	*ret = engine;
	return 0;
}

/* ---- another configuration ---- */

/* The kernel's part of it, all or nothing. */
static int change_over(struct inline_engine *engine, const struct conf *conf,
		       const struct policy *next, struct conf_error *error)
{
	struct attach attach = {
		.conf = conf, .policy = next, .kern = engine->kern, .error = error
	};
	int err = attach_check(&attach);

	if (!err) /* more interfaces than there are listeners for do no harm */
		err = attach_more(&attach);
	if (err)
		return err;
	engine->attach.error = error;
	err = set_policy(engine, next);
	if (err)
		(void)set_policy(engine, &engine->policy);
	engine->attach.error = NULL;
	return err;
}

static void take_on(struct inline_engine *engine, const struct conf *conf, struct policy *next,
		    struct inline_counters *counters)
{
	events_switch(&engine->events, conf, next, counters);
	policy_free(&engine->policy);
	engine->policy = *next;
	*next = (struct policy){ 0 };
	engine->conf = conf;
	engine->attach.conf = conf;
	engine->stale_ports = true;
}

int inline_reload(struct inline_engine *engine, const struct conf *conf, struct conf_error *error)
{
	_cleanup_(policy_free) struct policy next = { 0 };
	struct inline_counters *counters;
	int err = policy_build(&next, conf, engine->drained, engine->context);

	if (err)
		return err;
	counters = events_counters(&engine->events, &next);
	if (!counters)
		return -ENOMEM;
	err = change_over(engine, conf, &next, error);
	if (err) {
		free(counters);
		return err;
	}
	take_on(engine, conf, &next, counters);
	return 0;
}

const struct kern_hook *inline_hook(const struct inline_engine *engine)
{
	return engine ? engine->hook : NULL;
}

const struct kern_inline *inline_kern(const struct inline_engine *engine)
{
	return engine->kern;
}

const struct events *inline_events(const struct inline_engine *engine)
{
	return &engine->events;
}

/* ---- stop ---- */

static void say_off(const struct inline_engine *engine, bool detach)
{
	const char *left = "reason=\"programs and connections go on; unproxy detach ends them\"";

	events_say(&engine->events);
	log_info("inline.%s connections=%zu %s", detach ? "off" : "left",
		 open_flows_count(engine->events.open), detach ? "action=detached" : left);
}

/* What is left in it is the next daemon's, unless there is none. */
static void empty_ring(struct inline_engine *engine, bool detach)
{
	const struct timespec pause = { .tv_nsec = EVENTS_MORE_US * 1000 };
	unsigned rounds = detach ? EVENTS_ROUNDS_MAX : 1;

	while (kern_inline_consume(engine->kern, EVENTS_MAX) && --rounds > 0)
		(void)nanosleep(&pause, NULL);
}

static void stop(struct inline_engine *engine, bool detach)
{
	loop_timer_cancel(engine->loop, &engine->again);
	loop_timer_cancel(engine->loop, &engine->tick);
	loop_remove(engine->loop, &engine->source);
	empty_ring(engine, detach);
	report_lost(engine);
	say_off(engine, detach);
	free_engine(engine, detach);
}

void inline_stop(struct inline_engine *engine)
{
	if (engine)
		stop(engine, engine->conf->detach_on_exit);
}

void inline_leave(struct inline_engine *engine)
{
	if (engine)
		stop(engine, false);
}
