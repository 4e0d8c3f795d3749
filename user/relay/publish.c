// SPDX-License-Identifier: BSD-2-Clause
#include "relay/publish.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/socket.h"
#include "obs/log.h"
#include "relay/elsewhere.h"
#include "relay/listener.h"

/* Workers answer at once; one that does not has worse than this wait to tell of. */
#define TAKEN_S 2

static bool opens(const struct publish *publish, const struct rules *rules)
{
	return publish->all || rules->state->draining == (rules->state == publish->flip);
}

/* Has every worker a socket there already? */
static bool is_open(const struct publish *publish, const struct up_addr *addr)
{
	const struct generation *newest = publish->relay->generations.newest;
	const struct rules *rules = newest ? generation_rules(newest, addr) : NULL;

	return rules && !rules->state->draining;
}

static bool binds_port(const struct conf_listener *conf, uint16_t port)
{
	for (size_t i = 0; i < conf->n_binds; i++) {
		if (port >= conf->binds[i].addr.port && port <= conf->binds[i].last_port)
			return true;
	}
	return false;
}

/* Has this process sockets on that port, or will it have them from another? */
static bool is_our_port(const struct relay *relay, uint16_t port)
{
	const struct generation *newest = relay->generations.newest;

	for (size_t i = 0; i < relay->n_adopted; i++) {
		if (relay->adopted[i].addr.port == port)
			return true;
	}
	for (size_t i = 0; i < relay->inherited.n; i++) {
		if (relay->inherited.sockets[i].addr.port == port)
			return true;
	}
	for (size_t i = 0; newest && i < newest->conf->n_listeners; i++) {
		if (!newest->rules[i].state->draining && binds_port(newest->rules[i].conf, port))
			return true;
	}
	return false;
}

/* SO_REUSEPORT is for the workers: another process of this user (a second daemon) would not be
 * told, and have its share of the connections. */
static int look_for_others(const struct relay *relay, const struct up_addr *addr)
{
	return is_our_port(relay, addr->port) ? 0 : socket_try(addr);
}

static int add_listener(struct publish *publish, const struct rules *rules,
			const struct up_addr *addr)
{
	struct relay *relay = publish->relay;
	int err = look_for_others(relay, addr);

	if (err)
		return err;

	/* One each; more, where another process had more workers, or a service manager gives so
	 * many: what waits in each is to be taken. */
	for (size_t i = 0; i < relay->n_workers || elsewhere_has(relay, addr, i); i++) {
		unsigned worker = (unsigned)(i % relay->n_workers);
		struct listener *listener;

		err = listener_new(relay->workers[worker], rules, addr, i, &listener);
		if (err)
			return err;
		list_append(&publish->updates[worker]->listeners, &listener->all);
	}
	return 0;
}

static int add_bind(struct publish *publish, const struct rules *rules,
		    const struct conf_bind *bind)
{
	for (uint32_t port = bind->addr.port; port <= bind->last_port; port++) {
		struct up_addr addr = bind->addr;
		int err;

		addr.port = (uint16_t)port;
		if (is_open(publish, &addr))
			continue;
		err = add_listener(publish, rules, &addr);
		if (err) {
			publish->failed = bind;
			publish->failed_addr = addr;
			return err;
		}
	}
	return 0;
}

static int add_binds(struct publish *publish)
{
	const struct conf *conf = publish->generation->conf;

	for (size_t i = 0; i < conf->n_listeners; i++) {
		const struct rules *rules = &publish->generation->rules[i];

		for (size_t b = 0; b < rules->conf->n_binds && opens(publish, rules); b++) {
			int err = add_bind(publish, rules, &rules->conf->binds[b]);

			if (err)
				return err;
		}
	}
	return 0;
}

/* When all are bound: nobody connects to what may still be taken back. */
static int listen_all(struct publish *publish)
{
	for (unsigned i = 0; i < publish->relay->n_workers; i++) {
		struct list *listeners = &publish->updates[i]->listeners;

		for (struct list *item = listeners->next; item != listeners; item = item->next) {
			struct listener *listener = container_of(item, struct listener, all);
			int err = listener_listen(listener);

			if (err) {
				publish->failed = listener->rules->conf->binds;
				publish->failed_addr = listener->addr;
				return err;
			}
		}
	}
	return 0;
}

static int allocate(struct publish *publish)
{
	const struct generation *generation = publish->generation;
	size_t n = generation->conf->n_listeners;

	publish->updates = calloc(publish->relay->n_workers, sizeof(struct worker_update *));
	if (!publish->updates)
		return -ENOMEM;
	for (unsigned i = 0; i < publish->relay->n_workers; i++) {
		struct worker_update *update = calloc(1, sizeof(*update) + n * sizeof(bool));

		if (!update)
			return -ENOMEM;
		publish->updates[i] = update;
		list_init(&update->listeners);
		update->generation = publish->generation;
		for (size_t k = 0; k < n; k++)
			update->open[k] = opens(publish, &generation->rules[k]);
	}
	return 0;
}

int publish_prepare(struct publish *publish)
{
	int err;

	publish->failed = NULL;
	publish->updates = NULL;
	if (!publish->relay->n_workers)
		return 0;
	err = allocate(publish);
	if (!err)
		err = add_binds(publish);
	if (!err)
		err = listen_all(publish);
	if (err)
		publish_cancel(publish);
	return err;
}

void publish_explain(const struct publish *publish, int err, char *buf, size_t size)
{
	const struct conf *conf = publish->generation->conf;
	char where[384] = "", text[ADDR_TEXT_MAX] = "";

	if (publish->failed) {
		(void)conf_where(conf->file, publish->failed->line, "bind", where, sizeof(where));
		addr_format(&publish->failed_addr, text, sizeof(text));
	}
	(void)snprintf(buf, size, "%s%s%s%s", where, text, *text ? ": " : "", strerror(-err));
}

void publish_cancel(struct publish *publish)
{
	for (unsigned i = 0; publish->updates && i < publish->relay->n_workers; i++) {
		if (publish->updates[i])
			listener_free_all(&publish->updates[i]->listeners);
		free(publish->updates[i]);
	}
	free(TAKE_PTR(publish->updates));
}

static void wait_taken(struct relay *relay)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += TAKEN_S;
	for (unsigned i = 0; i < relay->n_workers; i++) {
		while (sem_timedwait(&relay->updated, &until) < 0) {
			if (errno == EINTR)
				continue;
			log_warn("worker.slow seconds=%d reason=\"a worker has not taken the new "
				 "configuration yet\"",
				 TAKEN_S);
			return;
		}
	}
}

void publish_commit(struct publish *publish)
{
	struct relay *relay = publish->relay;

	if (relay->generations.newest != publish->generation)
		generation_publish(&relay->generations, publish->generation,
				   publish->updates ? relay->n_workers : 0);
	if (!publish->updates)
		return;
	while (sem_trywait(&relay->updated) == 0)
		; /* of one that was slow */
	for (unsigned i = 0; i < relay->n_workers; i++)
		worker_update(relay->workers[i], publish->updates[i]);
	free(TAKE_PTR(publish->updates));
	wait_taken(relay);
}
