// SPDX-License-Identifier: BSD-2-Clause
#include "relay/path_uring.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/socket.h"
#include "loop/uring.h"
#include "relay/listener.h"
#include "relay/path_copy.h"
#include "relay/show.h"

/* Bytes kept for a target that is full, or not connected yet, before its source is left to
 * wait. */
#define KEPT_MAX 65536

static struct uring *uring_of(const struct session *session)
{
	return loop_uring(session->worker->loop);
}

/* Its last word puts the leg back to epoll. */
void uring_path_leave(struct session *session, struct leg *leg)
{
	if ((leg->flags & (LEG_URING | LEG_LEAVING)) != LEG_URING)
		return;
	leg->flags |= LEG_LEAVING;
	if (!uring_cancel(uring_of(session), &leg->receive))
		return;
	leg_died(leg, ENOBUFS);                  /* what ends it now is no clean end */
	(void)shutdown(leg->source.fd, SHUT_RD); /* ends the receive, and sends nothing */
}

/* An operation said its last word. Returns true if the session has ended; with the last one
 * it is released. */
static bool count_down(struct session *session)
{
	session->operations--;
	if (session->state != SESSION_CLOSED)
		return false;
	if (!session->operations)
		session_release(session);
	return true;
}

static bool is_crowded(const struct flow *flow)
{
	return flow->chunk && flow->chunk->len - flow->chunk->at > KEPT_MAX;
}

/* What did not fit goes before what came since. A dead target takes everything: nobody is
 * left to read it. */
static void keep_rest(struct session *session, struct leg *target, int result)
{
	enum way way = target->side == BACK ? UP : DOWN;
	struct flow *flow = flow_of(session, way);
	struct uring_bytes bytes = uring_sent(uring_of(session), flow->buffer);
	uint32_t sent = result > 0 ? (uint32_t)result : 0;

	if (result < 0 && !socket_error_passes(-result)) {
		leg_died(target, -result);
		return;
	}
	if (sent == bytes.len)
		return;
	leg_full(target, result < 0 ? -result : 0);
	if (copy_keep_before(flow, bytes.data + sent, bytes.len - sent)) {
		session_cut(session, UP_REASON_NO_RESOURCES);
		return;
	}
	uring_path_leave(session, source_of(session, way));
}

/* What was not sent goes before what came since. */
static int keep_early(struct session *session, uint32_t sent)
{
	_cleanup_free_ struct chunk *early = TAKE_PTR(session->early);
	struct flow *up = flow_of(session, UP);

	early->at += sent;
	if (early->at == early->len)
		return 0;
	if (up->chunk)
		return copy_keep_before(up, early->data + early->at, early->len - early->at);
	up->chunk = TAKE_PTR(early);
	return 0;
}

static void early_sent(struct session *session, int result)
{
	struct leg *back = &session->legs[BACK];

	flow_of(session, UP)->sending = false;
	if (count_down(session))
		return;
	if (result > 0)
		back->flags = LEG_WRITABLE; /* in time after all, if it was given up just now */
	else if (result < 0 && !socket_error_passes(-result))
		leg_died(back, -result);
	if (keep_early(session, result > 0 ? (uint32_t)result : 0))
		session_cut(session, UP_REASON_NO_RESOURCES);
	else
		session_run(session);
}

static void on_sent(struct uring_op *op, int result)
{
	struct leg *target = container_of(op, struct leg, send);
	struct session *session = session_of(target);
	enum way way = target->side == BACK ? UP : DOWN;
	struct flow *flow = flow_of(session, way);

	if (session->early) {
		early_sent(session, result);
		return;
	}
	flow->sending = false;
	if (count_down(session)) {
		uring_give(uring_of(session), flow->buffer);
		return;
	}
	keep_rest(session, target, result);
	uring_give(uring_of(session), flow->buffer);
	if (session->state != SESSION_CLOSED && (flow->chunk || target->flags & LEG_DEAD ||
						 !(source_of(session, way)->flags & LEG_URING)))
		session_run(session); /* more to send, or the end to pass on */
}

int uring_path_send_early(struct session *session)
{
	struct uring *uring = uring_of(session);
	struct leg *back = &session->legs[BACK];
	struct flow *up = flow_of(session, UP);
	struct chunk *chunk = up->chunk;
	int err;

	if (!uring)
		return -EOPNOTSUPP;
	err = uring_send_from(uring, &back->send, back->source.fd, chunk->data + chunk->at,
			      chunk->len - chunk->at);
	if (err)
		return err;
	session->early = TAKE_PTR(up->chunk);
	up->sending = true;
	session->operations++;
	return 0;
}

/* Send what came from the buffer it lies in, or keep it. */
static void forward(struct session *session, enum way way, const struct uring_bytes *bytes)
{
	struct flow *flow = flow_of(session, way);
	struct leg *target = target_of(session, way);
	bool free_way = session->state >= SESSION_RELAY && !flow->sending && !flow->chunk &&
			(target->flags & (LEG_WRITABLE | LEG_DEAD)) == LEG_WRITABLE;

	copy_count(session, way, bytes->len);
	if (free_way && !uring_send(uring_of(session), &target->send, target->source.fd, bytes)) {
		flow->sending = true;
		flow->buffer = bytes->buffer;
		session->operations++;
		return;
	}
	if (copy_keep(flow, bytes->data, bytes->len))
		session_cut(session, UP_REASON_NO_RESOURCES);
	uring_give(uring_of(session), bytes->buffer);
}

/* A part of the header, or more: header.c reads it as it would from the socket. */
static void read_header(struct session *session, struct uring_bytes *bytes)
{
	struct worker *worker = session->worker;

	worker->arrived = bytes;
	session->legs[FRONT].flags |= LEG_READABLE;
	session_run(session);
	session->legs[FRONT].flags &= (uint16_t)~LEG_READABLE;
	worker->arrived = NULL;
}

static void take_in(struct session *session, struct leg *leg, struct uring_bytes bytes)
{
	enum way way = leg->side == FRONT ? UP : DOWN;
	struct flow *flow = flow_of(session, way);

	if (session->state == SESSION_HEADER)
		read_header(session, &bytes);
	if (session->state == SESSION_CLOSED || !bytes.len) {
		uring_give(uring_of(session), bytes.buffer);
		return;
	}
	forward(session, way, &bytes);
	if (session->state == SESSION_CLOSED)
		return;
	if (is_crowded(flow) || flow->bulk >= session->rules->conf->promote_bytes)
		uring_path_leave(session, leg);
	if (flow->chunk && !flow->sending)
		session_run(session);
}

/* What is still on its way to the target goes out together with our FIN. */
static void on_end(struct session *session, struct leg *leg)
{
	struct flow *flow = flow_of(session, leg->side == FRONT ? UP : DOWN);

	leg->flags |= LEG_HUP | LEG_ENDED;
	if (flow->sending && !session->early)
		uring_cork(uring_of(session), flow->buffer);
}

/* The receive said its last word. */
static void on_last_word(struct session *session, struct leg *leg, int result)
{
	if (count_down(session))
		return;
	if (leg->flags & LEG_LEAVING)
		leg->flags |= LEG_LEFT;
	leg->flags &= (uint16_t) ~(LEG_URING | LEG_LEAVING);
	leg->flags |= LEG_READABLE;
	if (result == 0)
		on_end(session, leg);
	else if (result < 0 && result != -ECANCELED && result != -ENOBUFS)
		leg_died(leg, -result);
	leg_watch_again(session, leg);
	session_run(session);
}

static void on_received(struct uring_op *op, int result, bool more, const struct uring_bytes *bytes)
{
	struct leg *leg = container_of(op, struct leg, receive);
	struct session *session = session_of(leg);

	if (bytes && session->state == SESSION_CLOSED)
		uring_give(uring_of(session), bytes->buffer);
	else if (bytes)
		take_in(session, leg, *bytes);
	if (!more)
		on_last_word(session, leg, result);
	else if (session->state != SESSION_CLOSED)
		show_changed(session);
}

const struct uring_handlers uring_path_handlers = { .received = on_received,
						    .sent = on_sent,
						    .accepted = listener_accepted };

static bool may_begin(const struct session *session, const struct leg *leg)
{
	enum way way = leg->side == FRONT ? UP : DOWN;
	const struct flow *flow = &session->flows[way];

	return !session->worker->hand_over && leg->flags & LEG_WRITABLE &&
	       !(leg->flags & (LEG_URING | LEG_LEFT | LEG_READABLE | LEG_HUP | LEG_DEAD |
			       LEG_DRAIN | LEG_NO_INPUT)) &&
	       (leg->side == FRONT || session->state >= SESSION_RELAY) &&
	       !session->flows[UP].accel && !session->flows[DOWN].accel && !flow->chunk &&
	       flow->path == UP_PATH_COPY;
}

void uring_path_begin(struct session *session, struct leg *leg)
{
	struct uring *uring = uring_of(session);

	if (!uring || !may_begin(session, leg))
		return;
	if (uring_receive(uring, &leg->receive, leg->source.fd))
		return;
	leg->flags |= LEG_URING;
	session->operations++;
	leg_watch_again(session, leg);
}
