// SPDX-License-Identifier: BSD-2-Clause
#include "relay/take_over.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "obs/log.h"
#include "relay/handed.h"
#include "takeover/message.h"

/* In a row, before others get their turn. */
#define BATCH 64

struct take_over {
	struct list all; /* worker->channels */
	struct loop_source channel;
	struct worker *worker;
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

/* One connection: ours from the moment that our word has been taken. 0 or -errno. */
static int take_session(struct take_over *take, struct message *message)
{
	struct session *session = NULL;
	struct handed handed;
	int err = handed_read(&message->body, &handed);

	if (!err)
		err = make(take->worker, message, &handed, &session);
	message_close(message);
	if (err) {
		log_warn("takeover.left reason=\"%s\" action=\"the old process keeps it\"",
			 err == -ENOENT ? "no such listener or server here" : strerror(-err));
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

	if (err)
		return err;
	if (message.kind == TAKEOVER_SESSION)
		return take_session(take, &message);
	message_close(&message);
	return -EBADMSG;
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
	cleanup_close(&source->fd);
	source->fd = -1;
}

int take_over_add(struct worker *worker, int channel)
{
	struct take_over *take = calloc(1, sizeof(*take));

	if (!take)
		return -ENOMEM;
	take->worker = worker;
	take->channel.fd = channel;
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
		cleanup_close(&take->channel.fd); /* the old process notices, and keeps all */
		take->channel.fd = -1;
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
