// SPDX-License-Identifier: BSD-2-Clause
#include "relay/offer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>

#include "base/cleanup.h"
#include "relay/listener.h"

#define ANSWER_S 5

static size_t count(const struct worker *worker)
{
	size_t n = 0;

	for (const struct list *item = worker->listeners.next; item != &worker->listeners;
	     item = item->next)
		n++;
	return n;
}

static int fill(const struct worker *worker, struct offer *offer)
{
	offer->sockets = calloc(count(worker) + 1, sizeof(*offer->sockets));
	if (!offer->sockets)
		return -ENOMEM;
	for (const struct list *item = worker->listeners.next; item != &worker->listeners;
	     item = item->next) {
		const struct listener *listener = container_of(item, struct listener, all);
		struct adopted *socket = &offer->sockets[offer->n_sockets];

		if (listener->closing)
			continue;
		socket->addr = listener->addr;
		socket->fd = fcntl(listener->source.fd, F_DUPFD_CLOEXEC, 0);
		if (socket->fd < 0)
			return -errno;
		offer->n_sockets++;
	}
	return 0;
}

void offer_fill(struct worker *worker)
{
	struct offer *offer = worker->offer;

	offer->err = fill(worker, offer);
	__atomic_store_n(&offer->told, true, __ATOMIC_RELEASE);
	(void)sem_post(&worker->relay->offered);
}

static bool all_told(const struct relay *relay, const struct offer *offers)
{
	for (unsigned i = 0; i < relay->n_workers; i++) {
		if (!__atomic_load_n(&offers[i].told, __ATOMIC_ACQUIRE))
			return false;
	}
	return true;
}

int offers_gather(struct relay *relay, struct offer *offers)
{
	struct timespec until;

	for (unsigned i = 0; i < relay->n_workers; i++) {
		relay->workers[i]->offer = &offers[i];
		worker_command(relay->workers[i], WORKER_OFFER);
	}
	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ANSWER_S;
	/* A post may be that of a worker which was too late the last time. */
	while (!all_told(relay, offers)) {
		if (sem_timedwait(&relay->offered, &until) < 0 && errno != EINTR)
			return -errno;
	}
	for (unsigned i = 0; i < relay->n_workers; i++) {
		if (offers[i].err)
			return offers[i].err;
	}
	return 0;
}

void offers_free(struct offer *offers, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		for (size_t k = 0; k < offers[i].n_sockets; k++)
			cleanup_close(&offers[i].sockets[k].fd);
		free(offers[i].sockets);
	}
}
