// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/observe.h"

#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/socket.h"
#include "daemon/announce.h"
#include "obs/log.h"
#include "obs/metrics_server.h"
#include "snapshot/desk.h"
#include "snapshot/take.h"

#define BACKLOG 64

int observe_take(const struct observe *observe, struct stats **ret)
{
	const struct snapshot_from from = {
		.relay = observe->relay,
		.engine = *observe->engine,
		.started_us = observe->started_us,
		.began_us = observe->began_us,
		.draining = *observe->draining || observe->change->host_drained,
		.reloads = &observe->change->reloads,
		.before = &observe->before,
	};

	return snapshot_take(&from, ret);
}

/* By the main thread, for the other one. */
static int take(void *context, struct stats **ret)
{
	struct observe *observe = context;

	recover_look(&observe->recover);
	return observe_take(observe, ret);
}

static int fetch(void *context, struct stats **ret)
{
	return desk_ask(context, ret);
}

int observe_open(struct observe *observe, const struct up_addr *addr)
{
	struct metrics_params params = { .fetch = fetch };
	char text[ADDR_TEXT_MAX];
	int err = 0;

	observe->addr = *addr;
	if (!addr->family)
		return 0;
	recover_init(&observe->recover, observe->loop, &observe->relay->generations);
	if (observe->socket < 0)
		err = observe->socket = socket_listen_alone(addr, BACKLOG);
	params.fd = observe->socket;
	if (err >= 0)
		err = desk_open(observe->loop, take, observe, &observe->desk);
	params.context = observe->desk;
	if (!err)
		err = metrics_server_open(&params, &observe->server);
	addr_format(addr, text, sizeof(text));
	if (err)
		log_error("metrics.failed address=%s error=\"%s\"", text, strerror(-err));
	return err;
}

int observe_run(struct observe *observe)
{
	int err = observe->server ? metrics_server_run(observe->server) : 0;

	if (err)
		log_error("metrics.failed error=\"%s\"", strerror(-err));
	return err;
}

void observe_close(struct observe *observe)
{
	desk_shut(observe->desk);
	metrics_server_close(observe->server);
	desk_close(observe->desk);
	observe->server = NULL;
	observe->desk = NULL;
	recover_stop(&observe->recover);
}

void observe_again(struct observe *observe)
{
	const struct up_addr addr = observe->addr;

	if (observe_open(observe, &addr) || observe_run(observe))
		observe_close(observe);
}

void observe_have(struct observe *observe, const struct up_addr *addr, int socket)
{
	observe->addr = *addr;
	observe->socket = socket;
}

void observe_let_go(struct observe *observe)
{
	cleanup_close(&observe->socket);
	observe->socket = -1;
}

void observe_end(struct observe *observe)
{
	observe_let_go(observe);
	totals_free(&observe->before);
}

void observe_keep_inline(struct observe *observe)
{
	struct stats *stats;
	int err = *observe->engine ? observe_take(observe, &stats) : 0;

	if (!err && *observe->engine) {
		err = totals_keep_inline(&observe->before, stats);
		stats_free(stats);
	}
	if (err)
		log_warn("takeover.totals reason=\"%s\" action=\"counters of inline begin anew\"",
			 strerror(-err));
}

void observe_last(const struct observe *observe)
{
	struct stats *stats;

	if (observe_take(observe, &stats) < 0)
		return;
	announce_stopped(stats);
	stats_free(stats);
}
