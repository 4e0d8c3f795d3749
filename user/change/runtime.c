// SPDX-License-Identifier: BSD-2-Clause
/* Single things, said at run time: servers, listeners, the host. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "change/internal.h"
#include "obs/log.h"
#include "relay/publish.h"

int change_fail(struct conf_error *error, int err, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(error->text, sizeof(error->text), format, ap);
	va_end(ap);
	return err;
}

int change_allowed(const struct change *change, struct conf_error *error)
{
	if (change->stopping)
		return change_fail(error, -ESHUTDOWN, "the daemon is stopping");
	if (change->told)
		return change_fail(error, -EBUSY, "another daemon takes over: ask that one");
	return 0;
}

static struct generation *newest(const struct change *change)
{
	struct generation *newest = change->relay->generations.newest;

	return newest ? newest : change->first;
}

/* ---- servers ---- */

static struct pool *find_pool(const struct change *change, const char *backend)
{
	const struct conf *conf = newest(change)->conf;

	for (size_t i = 0; i < conf->n_backends; i++) {
		if (strcmp(conf->backends[i].name, backend) == 0)
			return generation_pool(newest(change), i);
	}
	return NULL;
}

static int server_refused(struct conf_error *error, int err, const char *backend,
			  const char *server)
{
	switch (err) {
	case -EEXIST:
		return change_fail(error, err, "backend %s has server %s already", backend, server);
	case -ENOENT:
		return change_fail(error, err, "backend %s has no server %s", backend, server);
	case -ENOSPC:
		return change_fail(error, err, "backend %s has no room for another server",
				   backend);
	default:
		return change_fail(error, err, "%s", strerror(-err));
	}
}

/* What `check` refuses in a file. */
static const char *find_circle(const struct change *change, const char *backend,
			       const struct up_addr *server)
{
	const struct conf *conf = newest(change)->conf;

	for (size_t i = 0; i < conf->n_listeners; i++) {
		const struct conf_listener *listener = &conf->listeners[i];

		if (listener->backend && strcmp(listener->backend->name, backend) == 0 &&
		    conf_is_circle(listener, server))
			return listener->name;
	}
	return NULL;
}

int change_server(struct change *change, const char *backend, enum pool_action action,
		  const struct conf_server *server, struct conf_error *error)
{
	static const char *const names[] = {
		[POOL_ADD] = "add",       [POOL_REMOVE] = "remove", [POOL_DRAIN] = "drain",
		[POOL_UNDRAIN] = "ready", [POOL_WEIGH] = "weight",
	};
	struct pool *pool = find_pool(change, backend);
	const char *circle;
	struct pool_change *to;
	char text[ADDR_TEXT_MAX];
	int err = change_allowed(change, error);

	if (err)
		return err;
	if (!pool)
		return change_fail(error, -ENOENT, "there is no backend %s", backend);
	addr_format(&server->addr, text, sizeof(text));
	circle = action == POOL_ADD ? find_circle(change, backend, &server->addr) : NULL;
	if (circle)
		return change_fail(error, -EINVAL,
				   "server %s is listener %s: connections would go in a circle",
				   text, circle);
	err = pool_change_one(pool, action, server, &to);
	if (err)
		return server_refused(error, err, backend, text);
	pool_change_apply(to);
	log_info("change.server backend=%s server=%s action=%s weight=%u", backend, text,
		 names[action], server->weight);
	return 0;
}

/* ---- listeners ---- */

static struct rules *find_rules(const struct change *change, const char *name)
{
	const struct generation *generation = newest(change);

	for (size_t i = 0; generation && i < generation->conf->n_listeners; i++) {
		if (strcmp(generation->rules[i].conf->name, name) == 0)
			return &generation->rules[i];
	}
	return NULL;
}

bool change_is_drained(void *context, const char *listener)
{
	const struct rules *rules = find_rules(context, listener);

	return rules && rules->state->draining;
}

/* Before the first configuration is published nothing is open. */
static int flip_first(const struct rules *rules)
{
	rules->state->draining = !rules->state->draining;
	return 0;
}

static int flip_relay(struct change *change, const struct rules *rules, struct conf_error *error)
{
	struct publish publish = { .relay = change->relay,
				   .generation = newest(change),
				   .flip = rules->state };
	char why[512];
	int err = publish_prepare(&publish);

	if (err) {
		publish_explain(&publish, err, why, sizeof(why));
		return change_fail(error, err, "%s", why);
	}
	rules->state->draining = !rules->state->draining;
	publish_commit(&publish);
	return 0;
}

static int flip_inline(struct change *change, const struct rules *rules, struct conf_error *error)
{
	int err;

	error->text[0] = '\0';
	rules->state->draining = !rules->state->draining;
	err = inline_reload(*change->engine, newest(change)->conf, error);
	if (!err)
		return 0;
	rules->state->draining = !rules->state->draining;
	return error->text[0] ? err : change_fail(error, err, "%s", strerror(-err));
}

int change_listener(struct change *change, const char *name, bool drain, struct conf_error *error)
{
	const struct rules *rules = find_rules(change, name);
	int err = change_allowed(change, error);

	if (err)
		return err;
	if (!rules)
		return change_fail(error, -ENOENT, "there is no listener %s", name);
	if (rules->state->draining == drain)
		err = 0;
	else if (change->first)
		err = flip_first(rules);
	else if (rules->pool)
		err = flip_relay(change, rules, error);
	else
		err = flip_inline(change, rules, error);
	if (!err)
		log_info("change.listener listener=%s action=%s", name, drain ? "drain" : "ready");
	return err;
}

int change_host(struct change *change, bool drain, struct conf_error *error)
{
	int err = change_allowed(change, error);

	if (err)
		return err;
	change->host_drained = drain;
	log_info("change.host action=%s", drain ? "drain" : "ready");
	return 0;
}
