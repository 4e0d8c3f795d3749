// SPDX-License-Identifier: BSD-2-Clause
/* Another configuration: all that may be refused comes first, and then nothing may be. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "change/internal.h"
#include "conf/restart.h"
#include "deny/deny.h"
#include "obs/log.h"
#include "relay/publish.h"

/* All that there is of it before it is done. */
struct attempt {
	struct change *change;
	struct conf_error *error;
	struct conf *conf; /* until the generation has it */
	struct generation *generation;
	struct pool_change **pools; /* one per backend */
	struct deny_reload *deny;
	struct publish publish;
	bool *drained; /* one per listener of the generation: before */
	char restart[256];
	json_t *told;
};

static const struct conf *running(const struct change *change)
{
	return change->relay->generations.newest->conf;
}

/* Sessions look for it at any time: it is there from the start or not at all. */
static void need_kernel(struct attempt *attempt)
{
	const struct relay *relay = attempt->change->relay;
	size_t len = strlen(attempt->restart);

	if (relay->n_workers && !relay->kern && conf_wants_kernel(attempt->conf) &&
	    !conf_wants_kernel(running(attempt->change)))
		(void)snprintf(attempt->restart + len, sizeof(attempt->restart) - len, "%s%s",
			       len ? ", " : "", "kernel_path");
}

/* What cannot be brought up any more is refused: half of it would be served otherwise than the
 * file says. */
static int check_sandbox(struct attempt *attempt)
{
	const struct change *change = attempt->change;
	const struct conf *next = attempt->conf, *now = running(change);
	const char *what = NULL;

	if (!*change->engine && conf_count(next, CONF_ENGINE_INLINE))
		what = "engine = inline";
	else if (!change->relay->n_workers && conf_count(next, CONF_ENGINE_RELAY))
		what = "engine = relay";
	else if (!change->relay->hook && conf_wants_hook(next) && !conf_wants_hook(now))
		what = "client_address = hook";
	if (!what || !change->sandboxed)
		return 0;
	return change_fail(attempt->error, -EPERM,
			   "%s is new here, and what it takes was given up when the daemon had "
			   "started (sandbox = yes): restart it",
			   what);
}

static int read_file(struct attempt *attempt)
{
	const struct conf *now = running(attempt->change);
	int err = change_allowed(attempt->change, attempt->error);

	if (err)
		return err;
	if (!now->file)
		return change_fail(attempt->error, -ENOENT,
				   "the daemon was started from flags: there is no file to reload");
	err = conf_load(now->file, &attempt->conf, attempt->error);
	if (!err)
		err = conf_keep_running(attempt->conf, now, attempt->restart,
					sizeof(attempt->restart));
	if (!err)
		err = check_sandbox(attempt);
	if (!err)
		need_kernel(attempt);
	return err;
}

static int prepare_pools(struct attempt *attempt)
{
	struct generation *generation = attempt->generation;
	const struct conf *conf = generation->conf;

	attempt->pools = calloc(conf->n_backends + 1, sizeof(struct pool_change *));
	if (!attempt->pools)
		return -ENOMEM;
	for (size_t i = 0; i < conf->n_backends; i++) {
		int err = pool_change_to(generation_pool(generation, i), &conf->backends[i],
					 &attempt->pools[i]);

		if (err == -ENOSPC)
			return change_fail(
				attempt->error, err,
				"backend %s: too many servers that were removed still have "
				"connections",
				conf->backends[i].name);
		if (err)
			return err;
	}
	return 0;
}

static int prepare_deny(struct attempt *attempt)
{
	const struct relay *relay = attempt->change->relay;
	char why[384] = "";
	int err = deny_reload_prepare(relay->deny, attempt->generation->conf->deny_file,
				      &attempt->deny, why, sizeof(why));

	return err ? change_fail(attempt->error, err, "%s", *why ? why : strerror(-err)) : 0;
}

static int prepare_listeners(struct attempt *attempt)
{
	struct change *change = attempt->change;
	const struct conf *conf = attempt->generation->conf;
	char why[512];
	int err = 0;

	if (conf_count(conf, CONF_ENGINE_RELAY))
		err = change->provide_relay(change, conf);
	if (err)
		return change_fail(attempt->error, err, "no workers could be started: %s",
				   strerror(-err));
	attempt->publish = (struct publish){ .relay = change->relay,
					     .generation = attempt->generation,
					     .all = true };
	err = publish_prepare(&attempt->publish);
	if (!err)
		return 0;
	publish_explain(&attempt->publish, err, why, sizeof(why));
	return change_fail(attempt->error, err, "%s", why);
}

/* The file knows of no drained listeners. */
static int forget_drains(struct attempt *attempt)
{
	struct generation *generation = attempt->generation;
	size_t n = generation->conf->n_listeners;

	attempt->drained = calloc(n + 1, sizeof(bool));
	if (!attempt->drained)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		attempt->drained[i] = generation->rules[i].state->draining;
		generation->rules[i].state->draining = false;
	}
	return 0;
}

static void restore_drains(struct attempt *attempt)
{
	struct generation *generation = attempt->generation;

	for (size_t i = 0; attempt->drained && i < generation->conf->n_listeners; i++)
		generation->rules[i].state->draining = attempt->drained[i];
}

/* The last that may be refused: the programs are told. */
static int change_inline(struct attempt *attempt)
{
	struct change *change = attempt->change;
	const struct conf *conf = attempt->generation->conf;
	const struct inline_params params = {
		.conf = conf,
		.loop = change->loop,
		.log = change->relay->log,
		.log_queue = change->log_queue,
		.deny_fd = deny_map_fd(change->relay->deny),
		.drained = change_is_drained,
		.context = change,
		.error = attempt->error,
	};

	if (*change->engine)
		return inline_reload(*change->engine, conf, attempt->error);
	if (!conf_count(conf, CONF_ENGINE_INLINE))
		return 0;
	return inline_start(&params, change->engine);
}

static const struct conf_listener *find_listener(const struct conf *conf, const char *name)
{
	for (size_t i = 0; i < conf->n_listeners; i++) {
		if (strcmp(conf->listeners[i].name, name) == 0)
			return &conf->listeners[i];
	}
	return NULL;
}

/* Names of listeners that one has and the other has not. */
static json_t *only_in(const struct conf *conf, const struct conf *other)
{
	json_t *names = json_array();

	for (size_t i = 0; i < conf->n_listeners; i++) {
		if (!find_listener(other, conf->listeners[i].name))
			json_array_append_new(names, json_string(conf->listeners[i].name));
	}
	return names;
}

static json_t *split(const char *list)
{
	json_t *words = json_array();

	while (*list) {
		size_t len = strcspn(list, ",");

		json_array_append_new(words, json_stringn(list, len));
		list += len;
		list += strspn(list, ", ");
	}
	return words;
}

/* Before it is done: what is overridden is still there to be listed. */
static json_t *report(const struct attempt *attempt)
{
	const struct conf *before = running(attempt->change), *next = attempt->generation->conf;

	return json_pack("{s:o,s:o,s:o,s:o}", "added", only_in(next, before), "removed",
			 only_in(before, next), "restart", split(attempt->restart), "overridden",
			 change_differences(attempt->change));
}

static int try(struct attempt *attempt)
{
	int err = read_file(attempt);

	if (!err)
		err = generation_new(&attempt->change->relay->generations, attempt->conf,
				     &attempt->generation);
	if (err)
		return err;
	attempt->conf = NULL;
	err = prepare_pools(attempt);
	if (!err)
		err = prepare_deny(attempt);
	if (!err)
		err = prepare_listeners(attempt);
	if (err)
		return err;
	attempt->told = report(attempt);
	if (!attempt->told)
		return -ENOMEM;
	err = forget_drains(attempt);
	return err ? err : change_inline(attempt);
}

/* ---- done, or not ---- */

static void say_done(const struct attempt *attempt)
{
	const json_t *told = attempt->told;
	const json_t *overridden = json_object_get(told, "overridden");
	const json_t *text;
	size_t i;

	log_info("reload.done generation=%u listeners=%zu added=%zu removed=%zu file=%s",
		 attempt->generation->number, attempt->generation->conf->n_listeners,
		 json_array_size(json_object_get(told, "added")),
		 json_array_size(json_object_get(told, "removed")),
		 attempt->generation->conf->file);
	if (attempt->restart[0])
		log_warn("reload.restart keys=\"%s\" reason=\"they change with a restart alone\"",
			 attempt->restart);
	json_array_foreach (overridden, i, text)
		log_warn("reload.overrides what=\"%s\"", json_string_value(text));
}

static void commit(struct attempt *attempt)
{
	struct change *change = attempt->change;
	const struct conf *conf = attempt->generation->conf;

	for (size_t i = 0; i < conf->n_backends; i++)
		pool_change_apply(TAKE_PTR(attempt->pools[i]));
	deny_reload_commit(change->relay->deny, TAKE_PTR(attempt->deny));
	publish_commit(&attempt->publish);
	change->reloads.done++;
	(void)snprintf(change->reloads.restart, sizeof(change->reloads.restart), "%s",
		       attempt->restart);
	change->reloads.error[0] = '\0';
	say_done(attempt);
	json_object_set_new(attempt->told, "generation", json_integer(attempt->generation->number));
	attempt->generation = NULL;
}

static void free_attempt(struct attempt *attempt)
{
	size_t n = attempt->generation ? attempt->generation->conf->n_backends : 0;

	publish_cancel(&attempt->publish);
	deny_reload_abort(attempt->deny);
	for (size_t i = 0; attempt->pools && i < n; i++)
		pool_change_free(attempt->pools[i]);
	free(attempt->pools);
	free(attempt->drained);
	json_decref(attempt->told);
	if (attempt->generation)
		generation_discard(attempt->generation);
	conf_free(attempt->conf);
}

static void refused(struct attempt *attempt, int err)
{
	struct stats_reload *reloads = &attempt->change->reloads;

	if (!attempt->error->text[0])
		(void)change_fail(attempt->error, err, "%s", strerror(-err));
	log_error("reload.refused error=\"%s\" action=\"nothing has changed\"",
		  attempt->error->text);
	reloads->failed++;
	(void)snprintf(reloads->error, sizeof(reloads->error), "%s", attempt->error->text);
}

int change_reload(struct change *change, json_t **ret_report, struct conf_error *error)
{
	_cleanup_(free_attempt) struct attempt attempt = { .change = change, .error = error };
	int err;

	error->text[0] = '\0';
	change->reloads.last_us = clock_us(CLOCK_REALTIME);
	err = try(&attempt);
	if (err) {
		restore_drains(&attempt);
		refused(&attempt, err);
		return err;
	}
	commit(&attempt);
	*ret_report = TAKE_PTR(attempt.told);
	return 0;
}
