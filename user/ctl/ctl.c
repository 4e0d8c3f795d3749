// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/ctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/socket.h"
#include "ctl/client.h"
#include "ctl/internal.h"

#define ACCEPT_AGAIN_US 100000
#define ACCEPTS_MAX 16

static struct ctl_client *longest_idle(const struct ctl *ctl)
{
	for (struct list *item = ctl->clients.next; item != &ctl->clients; item = item->next) {
		struct ctl_client *client = container_of(item, struct ctl_client, all);

		if (ctl_client_idle(client))
			return client;
	}
	return NULL;
}

/* A place for one more. False: all wait for answers. */
static bool make_room(struct ctl *ctl)
{
	struct ctl_client *idle;

	if (ctl->counters.clients < CTL_CLIENTS_MAX)
		return true;
	idle = longest_idle(ctl);
	if (!idle)
		return false;
	ctl->counters.evicted++;
	ctl_client_drop(idle);
	return true;
}

static void refuse(int fd)
{
	static const char line[] = "{\"v\":1,\"ok\":false,\"error\":\"too_many_clients\","
				   "\"message\":\"all places are taken: try again\"}\n";

	(void)!send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)close(fd);
}

static void on_accept(struct loop_source *source, uint32_t events)
{
	struct ctl *ctl = container_of(source, struct ctl, source);

	(void)events;
	for (int i = 0; i < ACCEPTS_MAX; i++) {
		int fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			if (!socket_none_left(errno))
				return;
			(void)loop_modify(ctl->context->loop, source, 0);
			(void)loop_timer_arm(ctl->context->loop, &ctl->accept_again,
					     ACCEPT_AGAIN_US);
			return;
		}
		if (!make_room(ctl) || ctl_client_new(ctl, fd))
			refuse(fd);
	}
}

/* By the clock until epoll takes it. */
static void watch(struct ctl *ctl)
{
	struct loop *loop = ctl->context->loop;

	ctl->source = (struct loop_source){ .fn = on_accept, .fd = ctl->socket.fd };
	if (loop_modify(loop, &ctl->source, EPOLLIN) && loop_add(loop, &ctl->source, EPOLLIN))
		(void)loop_timer_arm(loop, &ctl->accept_again, ACCEPT_AGAIN_US);
}

static void on_accept_again(struct loop_timer *timer)
{
	watch(container_of(timer, struct ctl, accept_again));
}

void ctl_pause(struct ctl *ctl, bool pause)
{
	struct loop *loop = ctl->context->loop;

	loop_timer_cancel(loop, &ctl->accept_again);
	if (!pause)
		watch(ctl);
	else if (ctl->source.fn)
		loop_remove(loop, &ctl->source);
}

int ctl_fd(const struct ctl *ctl)
{
	return ctl->socket.fd;
}

void ctl_let_go(struct ctl *ctl)
{
	ctl_pause(ctl, true);
	ctl_socket_let_go(&ctl->socket);
}

int ctl_open(struct ctl_context *context, const struct ctl_place *place, struct ctl **ret,
	     char *why, size_t why_size)
{
	struct ctl *ctl = calloc(1, sizeof(*ctl));
	int err = -ENOMEM;

	if (!ctl)
		return err;
	ctl->context = context;
	ctl->path = strdup(place->path);
	ctl->socket.fd = -1;
	ctl->accept_again.fn = on_accept_again;
	list_init(&ctl->clients);
	if (ctl->path)
		err = ctl_socket_open(place, &ctl->socket, why, why_size);
	if (err) {
		free(ctl->path);
		free(ctl);
		return err;
	}
	watch(ctl);
	context->ctl = ctl;
	*ret = ctl;
	return 0;
}

void ctl_close(struct ctl *ctl)
{
	if (!ctl)
		return;
	while (!list_empty(&ctl->clients))
		ctl_client_free(container_of(ctl->clients.next, struct ctl_client, all));
	ctl_pause(ctl, true);
	ctl_socket_close(&ctl->socket, ctl->path);
	ctl->context->ctl = NULL;
	free(ctl->path);
	free(ctl);
}

const char *ctl_path(const struct ctl *ctl)
{
	return ctl->path;
}

const struct ctl_counters *ctl_counters(const struct ctl *ctl)
{
	return &ctl->counters;
}
