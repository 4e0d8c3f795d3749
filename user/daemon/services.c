// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/services.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "deny/deny.h"
#include "obs/log.h"

static int take_stats(const void *owner, struct stats **ret)
{
	return observe_take(owner, ret);
}

static int store(void *owner, char *why, size_t why_size)
{
	struct services *services = owner;
	const struct services_daemon *daemon = services->daemon;
	int err;

	if (daemon->change->stopping) {
		(void)snprintf(why, why_size, "the daemon is stopping");
		return -ESHUTDOWN;
	}
	if (!daemon->relay->n_workers) /* what inline has stays in the kernel anyhow */
		return 0;
	if (!services->upgrade.door) {
		(void)snprintf(why, why_size, "this daemon cannot hand over: see its log");
		return -ENOTSUP;
	}
	err = store_begin(&services->store, &services->host, services->upgrade.door, why, why_size);
	if (!err)
		daemon->change->stopping = true;
	return err;
}

static void open_control(struct services *services, const struct conf *conf)
{
	const struct ctl_place place = {
		.path = conf->control,
		.gid = conf->control_gid,
		.type = SOCK_STREAM,
		.taken = take_over_socket(services->upgrade.from, TAKE_OVER_CONTROL),
	};
	char why[384] = "";
	int err;

	services->context = (struct ctl_context){
		.loop = services->daemon->loop,
		.relay = services->daemon->relay,
		.engine = services->daemon->engine,
		.change = services->daemon->change,
		.take_stats = take_stats,
		.stats_owner = services->daemon->observe,
		.store = store,
		.store_owner = services,
	};
	if (!conf->control)
		return;
	err = ctl_open(&services->context, &place, &services->ctl, why, sizeof(why));
	if (err)
		log_warn("control.off reason=\"%s\"", *why ? why : strerror(-err));
	else if (*why)
		log_warn("control.group_kept reason=\"%s\"", why);
}

/* ---- another daemon takes over from this one ---- */

static void release_inline(void *context, bool let_go)
{
	const struct services *services = context;
	struct inline_engine **engine = services->daemon->engine;
	struct deny *deny = services->daemon->relay->deny;
	int err = 0;

	if (let_go) {
		if (*engine && inline_kern(*engine)) { /* one that rests has nothing to leave */
			observe_keep_inline(services->daemon->observe);
			inline_leave(TAKE_PTR(*engine));
		}
		deny_let_go(deny);
		return;
	}
	err = deny_take_back(deny);
	if (err)
		log_warn("deny.kernel_off reason=\"%s\"", strerror(-err));
	if (!*engine)
		(void)services->daemon->open_inline(services->daemon->context);
}

static void release_services(void *context, bool let_go)
{
	struct services *services = context;

	hand_over_pause(services->upgrade.door, let_go);
	ctl_pause(services->ctl, let_go);
	if (let_go)
		observe_close(services->daemon->observe);
	else
		observe_again(services->daemon->observe);
}

static int figures(void *context, struct stats **ret)
{
	const struct services *services = context;

	return observe_take(services->daemon->observe, ret);
}

static int control_socket(void *context)
{
	const struct services *services = context;

	return ctl_fd(services->ctl);
}

static int metrics_socket(void *context, struct up_addr *ret)
{
	const struct services *services = context;

	*ret = services->daemon->observe->addr;
	return services->daemon->observe->socket;
}

static void retire(void *context)
{
	const struct services *services = context;

	hand_over_let_go(services->upgrade.door);
	ctl_let_go(services->ctl);
	observe_let_go(services->daemon->observe);
	services->daemon->drain(services->daemon->context);
}

void services_open(struct services *services, const struct services_daemon *daemon,
		   const struct conf *conf)
{
	services->host = (struct hand_over_host){
		.context = services,
		.loop = daemon->loop,
		.relay = daemon->relay,
		.change = daemon->change,
		.inline_engine = release_inline,
		.services = release_services,
		.control = control_socket,
		.metrics = metrics_socket,
		.figures = figures,
		.retire = retire,
	};

	services->daemon = daemon;
	open_control(services, conf);
	if (services->ctl)
		upgrade_open_door(&services->upgrade, &services->host);
}

void services_take_over(struct services *services, const struct services_daemon *daemon,
			const struct conf *conf)
{
	if (!services->upgrade.from)
		return;
	upgrade_connections(&services->upgrade, &daemon->observe->before);
	services_open(services, daemon, conf);
	observe_have(daemon->observe, &conf->metrics,
		     take_over_metrics(services->upgrade.from, &conf->metrics));
	observe_again(daemon->observe);
	upgrade_complete(&services->upgrade);
}

void services_end(struct services *services)
{
	store_end(&services->store);
	upgrade_end(&services->upgrade);
}
