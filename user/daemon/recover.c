// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/recover.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "backend/outcome.h"
#include "base/addr.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/socket.h"

#define PATIENCE_US 2000000

static uint64_t now_ms(void)
{
	return clock_us(CLOCK_MONOTONIC) / 1000;
}

/* The pool may be gone, and the place another server's. */
static struct pool *pool_of(const struct recover_probe *probe)
{
	const struct generation *newest = probe->recover->books->newest;
	struct pool *pool = NULL;
	struct pool_stat stat;

	for (size_t i = 0; i < newest->conf->n_backends; i++) {
		if (strcmp(newest->conf->backends[i].name, probe->backend) == 0)
			pool = generation_pool(newest, i);
	}

	if (!pool || (size_t)probe->server >= pool_size(pool) ||
	    !pool_stat(pool, probe->server, &stat) || !addr_equal(&stat.addr, &probe->addr))
		return NULL;
	return pool;
}

/* A lack of ours says nothing of the server: it is tried again after a while. */
static void tell(const struct recover_probe *probe, int err)
{
	struct pool *pool = pool_of(probe);

	if (!pool || err == ECANCELED || socket_none_left(err))
		return;
	if (err)
		outcome_down(pool, probe->server, probe->backend, now_ms(), err);
	else
		outcome_up(pool, probe->server, probe->backend);
}

static void finish(struct recover_probe *probe, int err)
{
	loop_timer_cancel(probe->recover->loop, &probe->timer);
	if (probe->source.fn)
		loop_remove(probe->recover->loop, &probe->source);
	(void)close(probe->source.fd);
	probe->source.fd = -1;
	tell(probe, err);
}

static void on_event(struct loop_source *source, uint32_t events)
{
	struct recover_probe *probe = container_of(source, struct recover_probe, source);

	finish(probe, events & (EPOLLERR | EPOLLHUP) ? -socket_error(source->fd) : 0);
}

static void on_timeout(struct loop_timer *timer)
{
	finish(container_of(timer, struct recover_probe, timer), ETIMEDOUT);
}

static void begin(struct recover_probe *probe)
{
	int fd = socket_connect(&probe->addr, false);

	if (fd < 0) {
		tell(probe, -fd);
		return;
	}
	probe->source = (struct loop_source){ .fn = on_event, .fd = fd };
	if (loop_add(probe->recover->loop, &probe->source, EPOLLOUT) < 0) {
		probe->source.fn = NULL;
		finish(probe, ENOMEM);
	} else if (loop_timer_arm(probe->recover->loop, &probe->timer, PATIENCE_US) < 0) {
		finish(probe, ENOMEM);
	}
}

static struct recover_probe *free_place(struct recover *recover)
{
	for (size_t i = 0; i < RECOVER_PROBES; i++) {
		if (recover->probes[i].source.fd < 0)
			return &recover->probes[i];
	}
	return NULL;
}

static void look_at(struct recover *recover, const char *backend, struct pool *pool)
{
	for (size_t i = 0; i < pool_size(pool); i++) {
		struct recover_probe *probe = free_place(recover);
		struct pool_stat stat;

		if (!probe)
			return;
		if (!pool_stat(pool, (int)i, &stat) || !pool_probe(pool, (int)i, now_ms()))
			continue;
		probe->server = (int)i;
		probe->addr = stat.addr;
		(void)snprintf(probe->backend, sizeof(probe->backend), "%s", backend);
		begin(probe);
	}
}

void recover_init(struct recover *recover, struct loop *loop, const struct generations *books)
{
	*recover = (struct recover){ .loop = loop, .books = books };
	for (size_t i = 0; i < RECOVER_PROBES; i++) {
		recover->probes[i].source.fd = -1;
		recover->probes[i].timer.fn = on_timeout;
		recover->probes[i].recover = recover;
	}
}

void recover_look(struct recover *recover)
{
	const struct generation *newest = recover->books->newest;

	for (size_t i = 0; i < newest->conf->n_backends; i++)
		look_at(recover, newest->conf->backends[i].name, generation_pool(newest, i));
}

void recover_stop(struct recover *recover)
{
	for (size_t i = 0; recover->loop && i < RECOVER_PROBES; i++) {
		if (recover->probes[i].source.fd >= 0)
			finish(&recover->probes[i], ECANCELED);
	}
}
