// SPDX-License-Identifier: BSD-2-Clause
/* From start to stop, and from one configuration to the next. */
#include "inline/inline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "inline/complain.h"
#include "inline/internal.h"
#include "inline/policy.h"
#include "obs/log.h"

/* ---- what there is to tell ---- */

void inline_stats(struct inline_engine *engine, struct stats *ret)
{
	if (!engine)
		return;
	if (!engine->kern) { /* it rests */
		stats_sum(&ret->inl.counts, &engine->events.counts);
		return;
	}
	figures_tell(&engine->figures, &engine->events, engine->kern, engine->hook, ret);
	attach_names(&engine->attach, ret->interfaces, sizeof(ret->interfaces));
	ret->inl.hook = engine->hook_part;
}

void inline_listener_stats(const struct inline_engine *engine, struct stats_listener *ret)
{
	if (engine)
		figures_of_listener(&engine->figures, &engine->events, ret);
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
	tend_prune_ports(engine);
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
		.fn = tend_event,
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

/* All that is in the kernel, for engine->policy. */
static int attach(struct inline_engine *engine)
{
	int err = attach_check(&engine->attach);

	if (!err)
		err = open_kern(engine);
	if (!err)
		err = set_policy(engine, &engine->policy);
	if (err)
		return err;
	take_over(engine);
	open_hook(engine); /* before the first connection */
	engine->attach.kern = engine->kern;
	err = attach_all(&engine->attach);
	if (!err)
		err = tend_begin(engine);
	if (!err)
		say_on(engine);
	return err;
}

/* Nothing there is no error. */
static void let_go(struct inline_engine *engine, bool detach)
{
	bool remove = detach && engine->kern;

	kern_inline_close(TAKE_PTR(engine->kern), detach);
	kern_hook_close(TAKE_PTR(engine->hook));
	if (remove)
		(void)kern_hook_remove(NULL);
	engine->attach.kern = NULL;
}

/* What was there before goes on; what we began does not stay half done. */
static void undo(struct inline_engine *engine)
{
	let_go(engine, engine->kern && !kern_inline_adopted(engine->kern));
}

static int bring_up(struct inline_engine *engine)
{
	int err = policy_build(&engine->policy, engine->conf, engine->drained, engine->context);

	if (!err)
		err = events_init(&engine->events);
	if (!err)
		err = attach(engine);
	if (err)
		undo(engine);
	return err;
}

static void free_engine(struct inline_engine *engine)
{
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
		free_engine(engine);
		return err;
	}
	engine->attach.error = NULL;
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

/* Go by a policy while the kernel's side of it is made. */
static void swap(struct inline_engine *engine, const struct conf **conf, struct policy *policy)
{
	const struct conf *conf_before = engine->conf;
	struct policy before = engine->policy;

	engine->conf = engine->attach.conf = *conf;
	engine->policy = *policy;
	*conf = conf_before;
	*policy = before;
}

/* As change_over(), from rest. */
static int wake(struct inline_engine *engine, const struct conf *conf, struct policy *next,
		struct conf_error *error)
{
	int err;

	if (!next->n_listeners)
		return 0;
	swap(engine, &conf, next);
	engine->attach.error = error;
	err = attach(engine);
	engine->attach.error = NULL;
	swap(engine, &conf, next);
	if (err)
		undo(engine);
	return err;
}

void inline_rest(struct inline_engine *engine)
{
	tend_end(engine, true);
	let_go(engine, true);
	figures_free(&engine->figures);
	engine->figures = (struct figures){ 0 };
	engine->hook_part = (struct stats_part){ 0 };
	engine->adopted = 0;
	engine->events_lost = 0;
	log_info("inline.off action=detached reason=\"no listener is left, and no connection\"");
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
	err = engine->kern ? change_over(engine, conf, &next, error)
			   : wake(engine, conf, &next, error);
	if (err) {
		free(counters);
		return err;
	}
	take_on(engine, conf, &next, counters);
	return 0;
}

/* ---- stop ---- */

static void say_off(const struct inline_engine *engine, bool detach)
{
	const char *left = "reason=\"programs and connections go on; unproxy detach ends them\"";

	events_say(&engine->events);
	log_info("inline.%s connections=%zu %s", detach ? "off" : "left",
		 open_flows_count(engine->events.open), detach ? "action=detached" : left);
}

static void stop(struct inline_engine *engine, bool detach)
{
	if (engine->kern) {
		tend_end(engine, detach);
		say_off(engine, detach);
		let_go(engine, detach);
	}
	free_engine(engine);
}

void inline_stop(struct inline_engine *engine)
{
	if (engine)
		stop(engine, engine->conf->detach_on_exit);
}

void inline_undo(struct inline_engine *engine)
{
	if (engine)
		stop(engine, engine->kern && !kern_inline_adopted(engine->kern));
}

void inline_leave(struct inline_engine *engine)
{
	if (engine)
		stop(engine, false);
}
