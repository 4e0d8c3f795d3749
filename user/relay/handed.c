// SPDX-License-Identifier: BSD-2-Clause
#include "relay/handed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/socket.h"
#include "relay/limits.h"
#include "relay/listener.h"
#include "relay/path_kernel.h"
#include "relay/path_splice.h"
#include "relay/path_uring.h"
#include "relay/places.h"
#include "relay/show.h"
#include "relay/walk.h"
#include "unproxy/proxy_header.h"

_Static_assert((int)HANDED_HEADER == (int)SESSION_HEADER, "states are told by number");
_Static_assert((int)HANDED_HALF == (int)SESSION_HALF, "states are told by number");
_Static_assert((int)HANDED__MAX == (int)SESSION_CLOSED, "states are told by number");
_Static_assert((int)HANDED_COPY == (int)UP_PATH_COPY, "paths are told by number");
_Static_assert((int)HANDED_KERNEL == (int)UP_PATH_KERNEL, "paths are told by number");
_Static_assert((int)UP == 0 && (int)FRONT == 0, "of pairs the client's part comes first");

static const char *const fins[] = {
	[HANDED_FIN_NONE] = NULL,
	[HANDED_FIN_CLIENT] = "client_fin",
	[HANDED_FIN_SERVER] = "server_fin",
};
_Static_assert(ARRAY_SIZE(fins) == HANDED_FIN__MAX, "an end without a name");

/* ---- the one that has it ---- */

bool handed_quiet(struct session *session)
{
	uint16_t flags = session->legs[FRONT].flags | session->legs[BACK].flags;

	uring_path_leave(session, &session->legs[FRONT]);
	uring_path_leave(session, &session->legs[BACK]);
	if (session->operations || session->early || flags & LEG_DEAD)
		return false;
	return !splice_unload(session, UP) && !splice_unload(session, DOWN);
}

static void describe_flow(const struct flow *flow, struct handed_flow *ret)
{
	const struct chunk *chunk = flow->chunk;

	*ret = (struct handed_flow){
		.copied = flow->copied,
		.spliced = flow->spliced,
		.bulk = flow->bulk,
		.path = flow->path,
		.ended = flow->ended,
		.kernel_refused = flow->kernel_refused,
		.splice_refused = flow->splice_refused,
		.pending_len = chunk ? chunk->len - chunk->at : 0,
		.pending = chunk ? chunk->data + chunk->at : NULL,
	};
}

/* False: it has ended for a reason that is nobody's who goes on. */
static bool describe_fin(const struct session *session, struct handed *ret)
{
	for (unsigned fin = 0; fin < HANDED_FIN__MAX; fin++) {
		ret->fin = (uint8_t)fin;
		if (session->reason == fins[fin] ||
		    (session->reason && fins[fin] && strcmp(session->reason, fins[fin]) == 0))
			return true;
	}
	return false;
}

bool handed_describe(const struct session *session, struct handed *ret)
{
	const struct conf_listener *conf = session->rules->conf;
	int back = session->legs[BACK].source.fd;

	if ((session->flows[UP].accel || session->flows[DOWN].accel) &&
	    !session->worker->relay->kern_told)
		return false;
	*ret = (struct handed){
		.client = session->client,
		.balancer = session->balancer,
		.destination = session->destination,
		.accepted_us = session->accepted_us,
		.idle_since_us = session->idle_since_us,
		.idle_bytes = session->idle_bytes,
		.timer_us = loop_timer_left(session->worker->loop, &session->timer),
		.cookies = { socket_cookie(session->legs[FRONT].source.fd),
			     back < 0 ? 0 : socket_cookie(back) },
		.header_us = session->header_us,
		.connect_us = session->connect_us,
		.header_len = session->header_len,
		.written_header = session->written_header,
		.state = session->state,
		.version = session->version,
		.command = session->command,
		.tlv_len = session->tlv_len,
		.tlvs = session->tlvs,
	};
	(void)snprintf(ret->listener, sizeof(ret->listener), "%s", conf->name);
	(void)snprintf(ret->backend, sizeof(ret->backend), "%s", conf->backend->name);
	if (session->server >= 0)
		ret->server = *pool_addr(session->rules->pool, session->server);
	if (session->plain)
		ret->flags |= HANDED_PLAIN;
	if (session->stacked)
		ret->flags |= HANDED_STACKED;
	describe_flow(&session->flows[UP], &ret->flows[UP]);
	describe_flow(&session->flows[DOWN], &ret->flows[DOWN]);
	kernel_describe(session, UP, &ret->flows[UP].accel);
	kernel_describe(session, DOWN, &ret->flows[DOWN].accel);
	return describe_fin(session, ret) && ret->cookies[FRONT] &&
	       ret->flows[UP].pending_len <= HANDED_PENDING_MAX &&
	       ret->flows[DOWN].pending_len <= HANDED_PENDING_MAX;
}

void handed_suspend(struct session *session)
{
	struct loop *loop = session->worker->loop;

	loop_timer_cancel(loop, &session->timer);
	for (enum side side = FRONT; side <= BACK; side++) {
		if (session->legs[side].source.fn)
			loop_remove(loop, &session->legs[side].source);
	}
	walk_step_off(session->worker, session);
	list_remove(&session->all);
	list_remove(&session->turn);
}

/* ---- the one that gets it ---- */

static const struct rules *find_rules(const struct worker *worker, const char *listener)
{
	const struct generation *generation = worker->newest;

	for (size_t i = 0; generation && i < generation->conf->n_listeners; i++) {
		const struct rules *rules = &generation->rules[i];

		if (rules->pool && strcmp(rules->conf->name, listener) == 0)
			return rules;
	}
	return NULL;
}

/* room: for what may still come of a header. */
static int make_chunk(const struct handed_flow *from, uint32_t room, struct chunk **ret)
{
	struct chunk *chunk;

	if (!from->pending_len)
		return 0;
	chunk = malloc(sizeof(*chunk) + from->pending_len + room);
	if (!chunk)
		return -ENOMEM;
	*chunk = (struct chunk){ .len = from->pending_len, .size = from->pending_len + room };
	memcpy(chunk->data, from->pending, from->pending_len);
	*ret = chunk;
	return 0;
}

static int make_flow(struct session *session, enum way way, const struct handed_flow *from)
{
	bool header = session->state == SESSION_HEADER;
	struct flow *flow = flow_of(session, way);

	flow->copied = from->copied;
	flow->spliced = from->spliced;
	flow->bulk = from->bulk;
	flow->path = from->path;
	flow->ended = from->ended;
	flow->kernel_refused = from->kernel_refused;
	flow->splice_refused = from->splice_refused;
	if (!session->rules->conf->splice)
		flow->path = UP_PATH_COPY;
	return make_chunk(from, header ? UP_HEADER_V1_MAX : 0, &flow->chunk);
}

static int make_tlvs(struct session *session, const struct handed *from)
{
	if (!from->tlv_len)
		return 0;
	session->tlvs = malloc(from->tlv_len);
	if (!session->tlvs)
		return -ENOMEM;
	memcpy(session->tlvs, from->tlvs, from->tlv_len);
	session->tlv_len = from->tlv_len;
	return 0;
}

static void take_fields(struct session *session, const struct handed *from)
{
	session->client = from->client;
	session->balancer = from->balancer;
	session->destination = from->destination;
	session->accepted_us = from->accepted_us;
	session->idle_since_us = from->idle_since_us;
	session->idle_bytes = from->idle_bytes;
	session->header_us = from->header_us;
	session->connect_us = from->connect_us;
	session->header_len = from->header_len;
	session->written_header = from->written_header;
	session->state = from->state;
	session->version = from->version;
	session->command = from->command;
	session->plain = from->flags & HANDED_PLAIN;
	session->stacked = from->flags & HANDED_STACKED;
	session->reason = fins[from->fin];
}

/* Its server has a place in the pool, or, once it is connected, may do without. */
static int take_server(struct session *session, const struct handed *from)
{
	int server;

	if (session->state == SESSION_CONNECT) {
		session->tried = calloc(1, sizeof(*session->tried));
		if (!session->tried)
			return -ENOMEM;
	}
	if (from->server.family == UP_FAMILY_NONE)
		return 0;
	server = pool_join(session->rules->pool, &from->server, session->tried);
	if (server >= 0)
		session->server = (int16_t)server;
	return server < 0 && session->state == SESSION_CONNECT ? -ENOENT : 0;
}

/* It has been let in already: limits count it, and do not ask. */
static void take_places(struct session *session)
{
	struct relay *relay = session->worker->relay;
	const struct rules *rules = session->rules;

	rules_force_place(relay, rules);
	session->limited = rules->conf->max_per_source &&
			   limits_take(relay->limits, rules->state, &session->balancer,
				       UINT32_MAX) == 0;
}

static bool are_its(const struct handed *handed, const int fds[2])
{
	for (enum side side = FRONT; side <= BACK; side++) {
		if ((fds[side] < 0 ? 0 : socket_cookie(fds[side])) != handed->cookies[side])
			return false;
	}
	return true;
}

static int take_accel(struct session *session, enum way way, const struct handed *from)
{
	const struct handed_accel *accel = &from->flows[way].accel;

	return accel->used ? kernel_adopt(session, way, accel) : 0;
}

static void free_parts(struct session *session)
{
	kernel_forget(session);
	if (session->server >= 0)
		pool_release(session->rules->pool, session->server);
	free(session->flows[UP].chunk);
	free(session->flows[DOWN].chunk);
	free(session->tried);
	free(session->tlvs);
	free(session);
}

int handed_make(struct worker *worker, const struct handed *handed, int fds[2],
		struct session **ret)
{
	const struct rules *rules = find_rules(worker, handed->listener);
	struct session *session;
	int err;

	if (!rules)
		return -ENOENT;
	if (!are_its(handed, fds))
		return -EBADMSG;
	session = session_make(worker, rules);
	if (!session)
		return -ENOMEM;
	take_fields(session, handed);
	session->legs[FRONT].source.fd = fds[FRONT];
	session->legs[BACK].source.fd = fds[BACK];
	err = make_flow(session, UP, &handed->flows[UP]);
	if (!err)
		err = make_flow(session, DOWN, &handed->flows[DOWN]);
	if (!err)
		err = make_tlvs(session, handed);
	if (!err)
		err = take_server(session, handed);
	if (!err)
		err = take_accel(session, UP, handed);
	if (!err)
		err = take_accel(session, DOWN, handed);
	if (err) {
		free_parts(session);
		return err;
	}
	take_places(session);
	session_enter(session);
	list_remove(&session->all);
	list_remove(&session->turn);
	fds[FRONT] = fds[BACK] = -1;
	*ret = session;
	return 0;
}

void handed_discard(struct session *session)
{
	session_let_go(session);
}

/* ---- both ---- */

/* What is left of its time; at least a moment, so that its end is the timer's doing. */
static uint64_t timer_left(const struct session *session, uint64_t timer_us)
{
	const struct conf_listener *conf = session->rules->conf;
	uint64_t now = loop_now(session->worker->loop);
	uint64_t deadline;

	if (session->state != SESSION_HEADER)
		return timer_us ? timer_us : (uint64_t)conf->backend->connect_timeout_ms * 1000;
	deadline = session->accepted_us + (uint64_t)conf->header_timeout_ms * 1000;
	return deadline > now ? deadline - now : 1;
}

void handed_resume(struct session *session, uint64_t timer_us)
{
	struct worker *worker = session->worker;
	bool relayed = session->state >= SESSION_RELAY;

	bool accelerated = session->flows[UP].accel || session->flows[DOWN].accel;

	list_append(accelerated ? &worker->accelerated : &worker->sessions, &session->all);
	if (worker->relay->kern && kern_is_shared(worker->relay->kern))
		show_begun(session); /* there already, if the other process had come to it */
	kernel_unpark(session);
	session->settled = false;
	list_append(&worker->young, &session->turn);
	session->legs[FRONT].flags |= LEG_READABLE | LEG_WRITABLE;
	if (relayed)
		session->legs[BACK].flags |= LEG_READABLE | LEG_WRITABLE;
	if (!relayed &&
	    loop_timer_arm(worker->loop, &session->timer, timer_left(session, timer_us)))
		session_cut(session, UP_REASON_NO_RESOURCES);
	else
		session_run(session);
}
