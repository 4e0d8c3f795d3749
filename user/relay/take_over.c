// SPDX-License-Identifier: BSD-2-Clause
#include "relay/take_over.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "obs/log.h"
#include "relay/handed.h"
#include "takeover/message.h"

/* In a row, before others get their turn. */
#define BATCH 64

/* Lost connections that have a line of their own in the log, each worker's. */
#define LOST_SAID 16

struct take_over {
	struct list all; /* worker->channels */
	struct loop_source channel;
	struct worker *worker;
	bool kept;     /* nobody answers, nobody is answered */
	unsigned said; /* of those that were lost */
};

static int read_tail(int fd, size_t len, uint8_t **ret)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != len)
		return -EBADMSG;
	bytes = malloc(len);
	if (!bytes)
		return -ENOMEM;
	for (size_t at = 0; at < len;) {
		ssize_t n = pread(fd, bytes + at, len - at, (off_t)at);

		if (n <= 0)
			return -EIO;
		at += (size_t)n;
	}
	*ret = TAKE_PTR(bytes);
	return 0;
}

/* Make a session of what came; its descriptors are the message's until it is made. */
static int make(struct worker *worker, struct message *message, struct handed *handed,
		struct session **ret)
{
	_cleanup_free_ uint8_t *outside = NULL;
	unsigned n = handed->cookies[BACK] ? 2 : 1;
	size_t len = handed_tail_len(handed);
	int fds[2] = { -1, -1 };
	int err = 0;

	if (message->n_fds != n + (handed->flags & HANDED_OUTSIDE ? 1 : 0))
		return -EBADMSG;
	if (handed->flags & HANDED_OUTSIDE)
		err = len <= HANDED_TLVS_MAX + 2 * HANDED_PENDING_MAX
			      ? read_tail(message->fds[n], len, &outside)
			      : -EBADMSG;
	else
		len = (size_t)(message->body.end - message->body.at);
	if (!err)
		err = handed_attach_tail(handed, outside ? outside : message->body.at, len);
	if (err)
		return err;
	for (unsigned i = 0; i < n; i++)
		fds[i] = message_take(message, i);
	err = handed_make(worker, handed, fds, ret);
	cleanup_close(&fds[FRONT]);
	cleanup_close(&fds[BACK]);
	return err;
}

static const char *why_not(int err)
{
	if (err == -ENOENT)
		return "no such listener or server here";
	return err == -EPROTONOSUPPORT ? "told by another version" : strerror(-err);
}

/* Nobody else has it, and its sockets are closed: with a RST, as they were left. */
static void lose(struct take_over *take, const struct handed *handed, int err)
{
	struct stats_counts *counts = &take->worker->counts;
	char client[ADDR_TEXT_MAX];

	stats_add(&counts->closed, 1);
	stats_add(&counts->ended[STATS_END_NOT_TAKEN_OVER], 1);
	__atomic_fetch_add(&take->worker->relay->not_taken, 1, __ATOMIC_RELAXED);
	if (take->said++ >= LOST_SAID)
		return;
	addr_format(&handed->client, client, sizeof(client));
	log_warn("takeover.lost client=%s listener=\"%s\" reason=\"%s\" action=reset", client,
		 handed->listener, why_not(err));
}

static void keep(struct take_over *take, struct session *session, const struct handed *handed)
{
	__atomic_fetch_add(&take->worker->relay->taken, 1, __ATOMIC_RELAXED);
	handed_resume(session, handed->timer_us);
}

static int read_session(struct take_over *take, struct message *message, struct handed *handed,
			struct session **ret)
{
	int err = handed_read(&message->body, handed);

	if (!err)
		err = make(take->worker, message, handed, ret);
	message_close(message);
	return err;
}

/* One that a daemon has left: ours, or nobody's. */
static int take_kept(struct take_over *take, struct message *message)
{
	struct session *session = NULL;
	struct handed handed = { 0 };
	int err = read_session(take, message, &handed, &session);

	if (err)
		lose(take, &handed, err);
	else
		keep(take, session, &handed);
	return 0;
}

/* Any of the reasons will do as the example. */
static void note_left(struct relay *relay, int err)
{
	__atomic_store_n(&relay->left_err, err, __ATOMIC_RELAXED);
	__atomic_fetch_add(&relay->left, 1, __ATOMIC_RELEASE);
}

void take_over_say_left(const struct relay *relay)
{
	uint64_t left = __atomic_load_n(&relay->left, __ATOMIC_ACQUIRE);

	if (left)
		log_warn("takeover.left connections=%llu reason=\"%s\" action=\"the old process "
			 "keeps them\"",
			 (unsigned long long)left,
			 why_not(__atomic_load_n(&relay->left_err, __ATOMIC_RELAXED)));
}

/* One of a daemon that lives: ours from the moment that our word has been taken. 0 or -errno. */
static int take_session(struct take_over *take, struct message *message)
{
	struct session *session = NULL;
	struct handed handed;
	int err = read_session(take, message, &handed, &session);

	if (err) {
		note_left(take->worker->relay, err);
		return message_send_word(take->channel.fd, TAKEOVER_LEFT);
	}
	err = message_send_word(take->channel.fd, TAKEOVER_TAKEN);
	if (err)
		handed_discard(session);
	else
		handed_resume(session, handed.timer_us);
	return err;
}

static int receive(struct take_over *take)
{
	struct message message;
	int err = message_receive(take->channel.fd, take->worker->buffer, MESSAGE_MAX, &message);

	if (err == -EBADMSG && take->kept) { /* also: too many descriptors are open */
		lose(take, &(struct handed){ 0 }, err);
		return 0;
	}
	if (err)
		return err;
	if (message.kind == TAKEOVER_SESSION)
		return (take->kept ? take_kept : take_session)(take, &message);
	message_close(&message);
	return -EBADMSG;
}

/* No more will come by this channel. */
static void over(struct take_over *take)
{
	uint64_t one = 1;

	cleanup_close(&take->channel.fd);
	take->channel.fd = -1;
	if (take->kept)
		(void)!write(take->worker->relay->taken_fd, &one, sizeof(one));
}

static void on_channel(struct loop_source *source, uint32_t events)
{
	struct take_over *take = container_of(source, struct take_over, channel);
	int err = 0;

	(void)events;
	for (int i = 0; i < BATCH && !err; i++)
		err = receive(take);
	if (!err || err == -EAGAIN)
		return;
	loop_remove(take->worker->loop, source);
	over(take);
}

int take_over_add(struct worker *worker, int channel, bool kept)
{
	struct take_over *take = calloc(1, sizeof(*take));

	if (!take)
		return -ENOMEM;
	take->worker = worker;
	take->channel.fd = channel;
	take->kept = kept;
	list_append(&worker->channels, &take->all);
	return 0;
}

void take_over_begin(struct worker *worker)
{
	for (struct list *item = worker->channels.next; item != &worker->channels;
	     item = item->next) {
		struct take_over *take = container_of(item, struct take_over, all);

		take->channel.fn = on_channel;
		if (loop_add(worker->loop, &take->channel, EPOLLIN) == 0)
			continue;
		over(take); /* a daemon that lives notices, and keeps all */
	}
}

void take_over_free(struct worker *worker)
{
	while (!list_empty(&worker->channels)) {
		struct take_over *take = container_of(worker->channels.next, struct take_over, all);

		list_remove(&take->all);
		cleanup_close(&take->channel.fd);
		free(take);
	}
}
