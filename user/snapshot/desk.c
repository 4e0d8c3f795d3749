// SPDX-License-Identifier: BSD-2-Clause
#include "snapshot/desk.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"

#define PATIENCE_S 2

struct desk {
	struct loop_source asked_source; /* eventfd */
	struct loop *loop;
	int (*take)(void *context, struct stats **ret);
	void *context;
	pthread_mutex_t lock;
	pthread_cond_t answered;
	bool asked, shut;
	int err; /* of the last answer */
	struct stats *stats;
};

static void on_asked(struct loop_source *source, uint32_t events)
{
	struct desk *desk = container_of(source, struct desk, asked_source);
	struct stats *stats = NULL;
	uint64_t count;
	int err;

	(void)events;
	(void)!read(source->fd, &count, sizeof(count));
	err = desk->take(desk->context, &stats);
	(void)pthread_mutex_lock(&desk->lock);
	stats_free(desk->stats); /* nobody waited for it */
	desk->stats = stats;
	desk->err = err;
	desk->asked = false;
	(void)pthread_cond_signal(&desk->answered);
	(void)pthread_mutex_unlock(&desk->lock);
}

int desk_open(struct loop *loop, int (*take)(void *context, struct stats **ret), void *context,
	      struct desk **ret)
{
	struct desk *desk = calloc(1, sizeof(*desk));
	pthread_condattr_t attr;
	int err;

	if (!desk)
		return -ENOMEM;
	desk->loop = loop;
	desk->take = take;
	desk->context = context;
	desk->asked_source.fn = on_asked;
	desk->asked_source.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	err = desk->asked_source.fd < 0 ? -errno : loop_add(loop, &desk->asked_source, EPOLLIN);
	if (err) {
		cleanup_close(&desk->asked_source.fd);
		free(desk);
		return err;
	}
	(void)pthread_mutex_init(&desk->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&desk->answered, &attr);
	(void)pthread_condattr_destroy(&attr);
	*ret = desk;
	return 0;
}

static int wait_locked(struct desk *desk)
{
	struct timespec until;
	int err = 0;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += PATIENCE_S;
	while (desk->asked && !desk->shut && !err)
		err = pthread_cond_timedwait(&desk->answered, &desk->lock, &until);
	if (desk->shut)
		return -ESHUTDOWN;
	return desk->asked ? -err : desk->err;
}

int desk_ask(struct desk *desk, struct stats **ret)
{
	uint64_t one = 1;
	int err;

	(void)pthread_mutex_lock(&desk->lock);
	stats_free(TAKE_PTR(desk->stats)); /* too late for whoever asked before */
	desk->asked = true;
	(void)!write(desk->asked_source.fd, &one, sizeof(one));
	err = wait_locked(desk);
	if (!err)
		*ret = TAKE_PTR(desk->stats);
	(void)pthread_mutex_unlock(&desk->lock);
	return err;
}

void desk_shut(struct desk *desk)
{
	if (!desk)
		return;
	(void)pthread_mutex_lock(&desk->lock);
	desk->shut = true;
	(void)pthread_cond_signal(&desk->answered);
	(void)pthread_mutex_unlock(&desk->lock);
}

void desk_close(struct desk *desk)
{
	if (!desk)
		return;
	loop_remove(desk->loop, &desk->asked_source);
	(void)close(desk->asked_source.fd);
	(void)pthread_mutex_destroy(&desk->lock);
	(void)pthread_cond_destroy(&desk->answered);
	stats_free(desk->stats);
	free(desk);
}
