// SPDX-License-Identifier: BSD-2-Clause
#include "relay/hand_over.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "obs/log.h"
#include "relay/handed.h"
#include "relay/listener.h"
#include "relay/path_kernel.h"
#include "takeover/message.h"

/* So many wait for the other end's word at a time: with more each would stand still longer. */
#define WINDOW 64

/* A longer tail goes into a file of its own. */
#define TAIL_MAX 16384

/* Told in a row where nobody answers: those that were not quiet get their turn. */
#define STORED 1024

/* Those that were not quiet are looked at again so soon. */
#define LOOK_US 500

/* Without any progress for so long the rest stays. */
#define PATIENCE_US 5000000

struct hand_over {
	struct worker *worker;
	struct loop_source channel;
	struct loop_timer look;
	struct list given; /* sessions without an answer yet, oldest first */
	unsigned n_given;
	uint64_t progress_us; /* when something last moved */
	bool stores;          /* nobody answers */
	bool over;
};

enum outcome { GIVEN, LATER, STAYS, FULL };

/* ---- the end ---- */

static struct session *first_given(struct hand_over *hand)
{
	return container_of(hand->given.next, struct session, all);
}

static void take_back(struct hand_over *hand)
{
	struct session *session = first_given(hand);

	list_remove(&session->all);
	hand->n_given--;
	session->stays = true;
	handed_resume(session, 0);
}

static void finish(struct hand_over *hand)
{
	struct worker *worker = hand->worker;
	uint64_t one = 1;

	if (hand->over)
		return;
	hand->over = true;
	loop_timer_cancel(worker->loop, &hand->look);
	loop_remove(worker->loop, &hand->channel);
	cleanup_close(&hand->channel.fd);
	hand->channel.fd = -1;
	(void)!write(worker->relay->handed_fd, &one, sizeof(one));
}

/* ---- answers ---- */

/* The oldest of the given is not ours any more. */
static void let_go(struct hand_over *hand)
{
	hand->n_given--;
	session_let_go(first_given(hand));
	__atomic_fetch_add(&hand->worker->relay->handed, 1, __ATOMIC_RELAXED);
}

/* 0, or -errno: nothing more will come. */
static int take_answer(struct hand_over *hand)
{
	uint8_t buf[64];
	struct message message;
	int err = message_receive(hand->channel.fd, buf, sizeof(buf), &message);

	if (err)
		return err;
	message_close(&message);
	if (!hand->n_given || (message.kind != TAKEOVER_TAKEN && message.kind != TAKEOVER_LEFT))
		return -EBADMSG;
	hand->progress_us = loop_now(hand->worker->loop);
	if (message.kind == TAKEOVER_LEFT)
		take_back(hand);
	else
		let_go(hand);
	return 0;
}

/* The other end is gone, or hangs. What it says from here on it is told that nobody hears; so
 * what has no answer now is ours, and certainly not its. */
static void cut(struct hand_over *hand)
{
	if (hand->over)
		return;
	(void)shutdown(hand->channel.fd, SHUT_RD);
	while (take_answer(hand) == 0)
		;
	while (hand->n_given)
		take_back(hand);
	finish(hand);
}

/* ---- telling ---- */

static int make_tail(const struct handed *handed)
{
	size_t len = handed_tail_len(handed);
	_cleanup_close_ int fd = memfd_create("unproxy-tail", MFD_CLOEXEC);
	_cleanup_free_ uint8_t *bytes = malloc(len);
	struct writer w;

	if (fd < 0)
		return -errno;
	if (!bytes)
		return -ENOMEM;
	w = (struct writer){ .at = bytes, .end = bytes + len };
	handed_write_tail(handed, &w);
	for (size_t at = 0; at < len;) {
		ssize_t n = write(fd, bytes + at, len - at);

		if (n <= 0)
			return -EIO;
		at += (size_t)n;
	}
	return take_fd(&fd);
}

static int tell(struct hand_over *hand, const struct session *session, struct handed *handed)
{
	uint8_t *buf = hand->worker->buffer;
	struct writer w = message_begin(TAKEOVER_SESSION, buf, MESSAGE_MAX);
	_cleanup_close_ int tail = -1;
	int fds[MESSAGE_FDS];
	unsigned n = 0;

	_Static_assert(RELAY_BUFFER >= MESSAGE_MAX, "a message is made in the worker's buffer");
	fds[n++] = session->legs[FRONT].source.fd;
	if (session->legs[BACK].source.fd >= 0)
		fds[n++] = session->legs[BACK].source.fd;
	if (handed_tail_len(handed) > TAIL_MAX) {
		handed->flags |= HANDED_OUTSIDE;
		tail = make_tail(handed);
		if (tail < 0)
			return tail;
		fds[n++] = tail;
	}
	handed_write(handed, &w);
	if (tail < 0)
		handed_write_tail(handed, &w);
	return message_send(hand->channel.fd, &w, buf, fds, n);
}

/* Where nobody answers, what does not fit now never will. */
static enum outcome offer(struct hand_over *hand, struct session *session, struct handed *handed)
{
	int err = tell(hand, session, handed);

	if (!hand->stores && (err == -EAGAIN || err == -EPIPE || err == -ECONNRESET))
		return FULL;
	return err ? STAYS : GIVEN;
}

static enum outcome give(struct hand_over *hand, struct session *session)
{
	enum outcome outcome;
	struct handed handed;

	if (!handed_quiet(session))
		return LATER;
	if (!handed_describe(session, &handed))
		return STAYS;
	kernel_park(session); /* before: the other end may have it before we are back */
	outcome = offer(hand, session, &handed);
	if (outcome != GIVEN) {
		kernel_unpark(session);
		return outcome;
	}
	handed_suspend(session);
	list_append(&hand->given, &session->all);
	hand->n_given++;
	hand->progress_us = loop_now(hand->worker->loop);
	if (hand->stores)
		let_go(hand);
	return GIVEN;
}

/* Returns true when some may be given later. */
static bool give_some(struct hand_over *hand, struct list *sessions)
{
	struct list *item = sessions->next;
	unsigned told = 0;
	bool later = false;

	while (item != sessions && hand->n_given < WINDOW && told < STORED) {
		struct session *session = container_of(item, struct session, all);

		item = item->next;
		if (session->stays)
			continue;
		switch (give(hand, session)) {
		case FULL:
			return true;
		case STAYS:
			session->stays = true;
			break;
		case LATER:
			later = true;
			break;
		case GIVEN:
			told++;
			break;
		}
	}
	return later || item != sessions;
}

static bool are_listeners_quiet(const struct worker *worker)
{
	for (const struct list *item = worker->listeners.next; item != &worker->listeners;
	     item = item->next) {
		if (container_of(item, struct listener, all)->accepting)
			return false; /* what io_uring has accepted is still to come */
	}
	return true;
}

static void go_on(struct hand_over *hand)
{
	struct worker *worker = hand->worker;
	bool later = !are_listeners_quiet(worker);

	if (give_some(hand, &worker->sessions))
		later = true;
	if (give_some(hand, &worker->accelerated))
		later = true;
	if (!later && !hand->n_given)
		finish(hand);
	else if (loop_now(worker->loop) - hand->progress_us > PATIENCE_US)
		cut(hand);
	else
		(void)loop_timer_arm(worker->loop, &hand->look, LOOK_US);
}

static void on_look(struct loop_timer *timer)
{
	go_on(container_of(timer, struct hand_over, look));
}

static void on_channel(struct loop_source *source, uint32_t events)
{
	struct hand_over *hand = container_of(source, struct hand_over, channel);
	int err;

	(void)events;
	do {
		err = take_answer(hand);
	} while (!err);
	if (err != -EAGAIN)
		cut(hand);
	else
		go_on(hand);
}

void hand_over_begin(struct worker *worker, int channel)
{
	struct hand_over *hand = calloc(1, sizeof(*hand));
	uint64_t one = 1;

	if (!hand || worker->hand_over || worker->draining) {
		free(hand);
		(void)close(channel);
		(void)!write(worker->relay->handed_fd, &one, sizeof(one));
		return;
	}
	*hand = (struct hand_over){
		.worker = worker,
		.channel = { .fn = on_channel, .fd = channel },
		.look.fn = on_look,
		.progress_us = loop_now(worker->loop),
		.stores = worker->relay->storing,
	};
	list_init(&hand->given);
	worker->hand_over = hand;
	worker_pause(worker);
	if (loop_add(worker->loop, &hand->channel, EPOLLIN))
		cut(hand);
	else
		go_on(hand);
}

void hand_over_undo(struct worker *worker)
{
	struct hand_over *hand = worker->hand_over;

	if (!hand)
		return;
	cut(hand);
	for (struct list *item = worker->sessions.next; item != &worker->sessions;
	     item = item->next)
		container_of(item, struct session, all)->stays = false;
	for (struct list *item = worker->accelerated.next; item != &worker->accelerated;
	     item = item->next)
		container_of(item, struct session, all)->stays = false;
	worker->hand_over = NULL;
	free(hand);
	worker_unpause(worker);
	worker_look(worker);
}

void hand_over_abandon(struct worker *worker)
{
	struct hand_over *hand = worker->hand_over;

	while (hand && !list_empty(&hand->given)) {
		hand->n_given--;
		session_let_go(first_given(hand));
	}
	if (hand)
		finish(hand);
}

void hand_over_free(struct worker *worker)
{
	if (worker->hand_over)
		cleanup_close(&worker->hand_over->channel.fd);
	free(TAKE_PTR(worker->hand_over));
}
