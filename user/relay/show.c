// SPDX-License-Identifier: BSD-2-Clause
#include "relay/show.h"

#include <stdio.h>

#include "base/addr.h"
#include "base/socket.h"
#include "relay/listener.h"
#include "relay/path_kernel.h"

#define SHOW_BATCH 32
#define YOUNG_US 1000000

_Static_assert((int)UP_CONN_CLOSED == (int)SESSION_CLOSED, "states are shown by number");

struct batch {
	uint64_t cookies[SHOW_BATCH];
	struct up_conn conns[SHOW_BATCH];
	uint32_t count;
};

void show_changed(struct session *session)
{
	/* The young are in a list of their own until they are settled. */
	if (session->settled && list_empty(&session->turn))
		list_append(&session->worker->changed, &session->turn);
}

static void count_shown(struct worker *worker, int change)
{
	__atomic_store_n(&worker->n_shown, worker->n_shown + (uint32_t)change, __ATOMIC_RELAXED);
}

uint64_t show_number(struct session *session)
{
	if (!session->cookie)
		session->cookie = socket_cookie(session->legs[FRONT].source.fd);
	return session->cookie;
}

void show_begun(struct session *session)
{
	if (session->shown || !show_number(session))
		return;
	session->shown = true;
	count_shown(session->worker, 1);
}

void show_let_go(struct session *session)
{
	if (!session->shown)
		return;
	session->shown = false;
	count_shown(session->worker, -1);
}

void show_gone(struct session *session)
{
	/* The program has shown what it parsed; show_tick() the rest. */
	if (!session->shown)
		return;
	kern_hide(session->worker->relay->kern, &session->cookie, 1);
	show_let_go(session);
}

static void describe(struct session *session, struct up_conn *ret)
{
	struct worker *worker = session->worker;

	*ret = (struct up_conn){
		.state = (enum up_conn_state)session->state,
		.path_up = (enum up_conn_path)session->flows[UP].path,
		.path_down = (enum up_conn_path)session->flows[DOWN].path,
		.header_version = session->version,
		.bytes_up = session_bytes(session, UP),
		.bytes_down = session_bytes(session, DOWN),
		.accepted = (session->accepted_us + worker->realtime_offset_us) / 1000000,
	};
	addr_format(&session->client, ret->client, sizeof(ret->client));
	addr_format(&session->balancer, ret->balancer, sizeof(ret->balancer));
	if (session->server >= 0)
		addr_format(pool_addr(session->rules->pool, session->server), ret->backend,
			    sizeof(ret->backend));
	snprintf(ret->listener, sizeof(ret->listener), "%s", session->rules->conf->name);
}

static void flush(struct worker *worker, struct batch *batch)
{
	if (batch->count)
		kern_show(worker->relay->kern, batch->cookies, batch->conns, batch->count);
	batch->count = 0;
}

static void show(struct session *session, struct batch *batch)
{
	show_begun(session);
	if (!session->shown)
		return;
	batch->cookies[batch->count] = session->cookie;
	describe(session, &batch->conns[batch->count++]);
	if (batch->count == SHOW_BATCH)
		flush(session->worker, batch);
}

static void settle_young(struct worker *worker)
{
	uint64_t now = loop_now(worker->loop);

	while (!list_empty(&worker->young)) {
		struct session *session = container_of(worker->young.next, struct session, turn);

		if (now - session->accepted_us < YOUNG_US)
			break;
		list_remove(&session->turn);
		list_append(&worker->changed, &session->turn);
		session_settle(session); /* may end it */
	}
}

void show_tick(struct worker *worker)
{
	struct batch batch = { .count = 0 };

	settle_young(worker);
	for (struct list *item = worker->accelerated.next; item != &worker->accelerated;
	     item = item->next) {
		struct session *session = container_of(item, struct session, all);

		kernel_count(session, UP);
		kernel_count(session, DOWN);
		show_changed(session);
	}
	while (!list_empty(&worker->changed)) {
		struct session *session = container_of(worker->changed.next, struct session, turn);

		list_remove(&session->turn);
		if (worker->relay->kern)
			show(session, &batch);
	}
	if (worker->relay->kern)
		flush(worker, &batch);
}
