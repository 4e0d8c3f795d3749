// SPDX-License-Identifier: BSD-2-Clause
#include "relay/leg.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/socket.h"
#include "relay/path_uring.h"
#include "relay/session.h"
#include "relay/show.h"

/* Without EPOLLOUT: nearly every socket is writable nearly always, and each EPOLL_CTL_ADD
 * would report it. It is asked for when a send() did not fit. */
#define LEG_EVENTS (EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET)

void leg_died(struct leg *leg, int err)
{
	if (leg->flags & LEG_DEAD)
		return;
	leg->flags |= LEG_DEAD;
	leg->error = (int16_t)err;
}

void leg_full(struct leg *leg, int err)
{
	leg->flags &= (uint16_t)~LEG_WRITABLE;
	/* Where its buffer is not what was short, the kernel tells of room only who asks anew. */
	if (err && err != EAGAIN)
		leg->flags |= LEG_UNHEARD;
}

const char *leg_death_reason(const struct leg *leg)
{
	bool front = leg->side == FRONT;

	switch (leg->error) {
	case ETIMEDOUT:
	case EHOSTUNREACH:
	case ENETUNREACH:
		return front ? "client_unreachable" : "server_unreachable";
	default:
		return front ? "client_reset" : "server_reset";
	}
}

static void on_leg_event(struct loop_source *source, uint32_t events)
{
	struct leg *leg = container_of(source, struct leg, source);
	struct session *session = session_of(leg);

	if (leg->flags & LEG_URING) { /* input, its end and errors come in order with it */
		if (events & (EPOLLERR | EPOLLHUP))
			uring_path_leave(session, leg);
		events &= EPOLLOUT;
	}
	if (events & EPOLLIN)
		leg->flags |= LEG_READABLE;
	if (events & EPOLLOUT)
		leg->flags |= LEG_WRITABLE;
	if (events & EPOLLPRI)
		leg->flags |= LEG_READABLE | LEG_DRAIN;
	if (events & EPOLLERR)
		leg_died(leg, -socket_error(leg->source.fd));
	else if (events & (EPOLLRDHUP | EPOLLHUP))
		leg->flags |= LEG_READABLE | LEG_HUP;
	show_changed(session);
	session_run(session);
}

static uint32_t events_of(const struct leg *leg)
{
	uint32_t events = LEG_EVENTS;

	if (leg->flags & LEG_URING)
		events = EPOLLET;
	if (leg->flags & LEG_NO_INPUT)
		events &= ~(uint32_t)(EPOLLIN | EPOLLPRI); /* sock_def_readable() says both */
	if (leg->flags & LEG_OUTPUT)
		events |= EPOLLOUT;
	return events;
}

static int tell_epoll(struct session *session, struct leg *leg)
{
	int err = loop_modify(session->worker->loop, &leg->source, events_of(leg));

	leg->flags &= (uint16_t)~LEG_UNHEARD;
	if (err)
		leg->flags |= LEG_UNHEARD;
	return err;
}

void leg_watch_input(struct session *session, struct leg *leg, bool watch)
{
	bool watched = !(leg->flags & LEG_NO_INPUT);

	if (watch == watched)
		return;
	leg->flags ^= LEG_NO_INPUT;
	leg_watch_again(session, leg);
}

void leg_watch_again(struct session *session, struct leg *leg)
{
	if (leg->source.fn)
		(void)tell_epoll(session, leg);
}

int leg_watch(struct session *session, struct leg *leg)
{
	bool blocked = !(leg->flags & (LEG_WRITABLE | LEG_OUTPUT)), tell;

	if (leg->source.fd < 0)
		return 0;
	if (!blocked)
		uring_path_begin(session, leg);
	tell = blocked || leg->flags & LEG_UNHEARD;
	if (leg->flags & (LEG_URING | LEG_ENDED) && !tell && !session->settled)
		return 0;
	if (blocked)
		leg->flags |= LEG_OUTPUT;
	if (!leg->source.fn) {
		leg->source.fn = on_leg_event;
		return loop_add(session->worker->loop, &leg->source, events_of(leg));
	}
	return tell ? tell_epoll(session, leg) : 0;
}

void leg_leave(struct session *session, struct leg *leg)
{
	leg->source.fn = NULL;
	uring_path_leave(session, leg);
}

void leg_close(struct leg *leg, enum leg_close how)
{
	if (leg->source.fd < 0)
		return;
	if (how == LEG_CLOSE_END)
		socket_end(leg->source.fd);
	else if (how == LEG_CLOSE_RESET)
		socket_reset(leg->source.fd);
	else
		(void)close(leg->source.fd);
	leg->source.fd = -1;
}
