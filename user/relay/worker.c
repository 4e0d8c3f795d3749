// SPDX-License-Identifier: BSD-2-Clause
/* A worker: one thread, one loop, its own listening sockets (SO_REUSEPORT). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/caps.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "obs/log.h"
#include "relay/hand_over.h"
#include "relay/listener.h"
#include "relay/offer.h"
#include "relay/path_kernel.h"
#include "relay/path_splice.h"
#include "relay/path_uring.h"
#include "relay/relay.h"
#include "relay/session.h"
#include "relay/show.h"
#include "relay/take_over.h"

#define TICK_US 1000000

/* Five seconds. */
#define LOOK_US 20000
#define LOOKS 250
/* Listening sockets whose backlog is looked at in a second. */
#define BACKLOGS_SEEN 64

/* With no more sessions than these the loop may spin for the next event. */
#define SPIN_SESSIONS 2

/* ANSWERED is the first: nobody has asked. */
enum worker_answer { ANSWERED, ASKED, GONE };

static void stop_when_empty(struct worker *worker)
{
	if (worker->draining && !worker->n_sessions)
		loop_stop(worker->loop);
}

void worker_count(struct worker *worker, int change)
{
	worker->n_sessions += (uint32_t)change;
	loop_spin(worker->loop, worker->n_sessions > 0 && worker->n_sessions <= SPIN_SESSIONS);
	stop_when_empty(worker);
}

/* What it takes connections by from now on; NULL: none any more. */
static const struct rules *next_rules(const struct worker_update *update,
				      const struct listener *listener)
{
	const struct rules *rules;

	if (!update)
		return NULL;
	rules = generation_rules(update->generation, &listener->addr);
	return rules && update->open[rules - update->generation->rules] ? rules : NULL;
}

/* Take an update's rules for listeners that go on, close the others; NULL: close all. */
static void close_listeners(struct worker *worker, const struct worker_update *update)
{
	struct list *item = worker->listeners.next;

	while (item != &worker->listeners) {
		struct listener *listener = container_of(item, struct listener, all);
		const struct rules *rules = next_rules(update, listener);

		item = item->next;
		if (rules && !listener->closing)
			listener_switch(listener, rules);
		else
			listener_close(listener);
	}
}

static void take_update(struct worker *worker, struct worker_update *update)
{
	struct generation *before = worker->newest;

	close_listeners(worker, update);
	while (!list_empty(&update->listeners))
		listener_begin(container_of(update->listeners.next, struct listener, all));
	worker->newest = update->generation;
	if (before && before != update->generation)
		generation_leave(before, worker->index);
	if (!before) /* what comes needs its rules */
		take_over_begin(worker);
	free(update);
	(void)sem_post(&worker->relay->updated);
}

/* The oldest first. */
static struct worker_update *take_updates(struct worker *worker)
{
	struct worker_update *update = __atomic_exchange_n(&worker->updates, NULL,
							   __ATOMIC_ACQUIRE);
	struct worker_update *sorted = NULL;

	while (update) {
		struct worker_update *next = update->next;

		update->next = sorted;
		sorted = update;
		update = next;
	}
	return sorted;
}

void worker_pause(struct worker *worker)
{
	worker->accepting = false;
	loop_timer_cancel(worker->loop, &worker->accept_again);
	for (struct list *item = worker->listeners.next; item != &worker->listeners;
	     item = item->next)
		listener_pause(container_of(item, struct listener, all));
}

void worker_unpause(struct worker *worker)
{
	if (worker->draining)
		return;
	worker->accepting = true;
	for (struct list *item = worker->listeners.next;
	     worker->accepting && item != &worker->listeners; item = item->next)
		listener_resume(container_of(item, struct listener, all));
}

void worker_look(struct worker *worker)
{
	worker->looks = LOOKS;
	(void)loop_timer_arm(worker->loop, &worker->look, LOOK_US);
}

static void on_look(struct loop_timer *timer)
{
	struct worker *worker = container_of(timer, struct worker, look);

	for (struct list *item = worker->listeners.next; item != &worker->listeners;
	     item = item->next)
		listener_look(container_of(item, struct listener, all));
	if (--worker->looks)
		(void)loop_timer_arm(worker->loop, timer, LOOK_US);
}

static void drain(struct worker *worker)
{
	if (worker->draining)
		return;
	if (worker->hand_over) /* for what waits where the other process does not listen */
		worker->accepting = true;
	close_listeners(worker, NULL);
	loop_timer_cancel(worker->loop, &worker->accept_again);
	loop_timer_cancel(worker->loop, &worker->look);
	worker->accepting = false;
	worker->draining = true;
	stop_when_empty(worker);
}

static void abort_all(struct list *sessions)
{
	while (!list_empty(sessions))
		session_cut(container_of(sessions->next, struct session, all), UP_REASON_SHUTDOWN);
}

static void stop(struct worker *worker)
{
	worker->stopping = true;
	hand_over_abandon(worker);
	drain(worker);
	abort_all(&worker->sessions);
	abort_all(&worker->accelerated);
}

static void on_command(struct loop_source *source, uint32_t events)
{
	struct worker *worker = container_of(source, struct worker, commands);
	uint32_t wanted = __atomic_exchange_n(&worker->wanted, 0, __ATOMIC_ACQ_REL);
	uint64_t count;

	(void)events;
	(void)!read(source->fd, &count, sizeof(count));
	for (struct worker_update *update = take_updates(worker), *next; update; update = next) {
		next = update->next;
		take_update(worker, update);
	}
	if (wanted & WORKER_OFFER)
		offer_fill(worker);
	if (wanted & WORKER_HAND_OVER)
		hand_over_begin(worker, take_fd(&worker->channel));
	if (wanted & WORKER_KEEP)
		hand_over_undo(worker);
	if (wanted & WORKER_DRAIN)
		drain(worker);
	if (wanted & WORKER_STOP)
		stop(worker);
	if (wanted & WORKER_ANSWER)
		__atomic_store_n(&worker->answer, ANSWERED, __ATOMIC_RELAXED);
}

static void wake(struct worker *worker)
{
	uint64_t one = 1;

	(void)!write(worker->commands.fd, &one, sizeof(one));
}

void worker_command(struct worker *worker, enum worker_command command)
{
	__atomic_fetch_or(&worker->wanted, command, __ATOMIC_ACQ_REL);
	wake(worker);
}

void worker_update(struct worker *worker, struct worker_update *update)
{
	update->next = __atomic_load_n(&worker->updates, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&worker->updates, &update->next, update, true,
					    __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
	wake(worker);
}

void worker_ask(struct worker *worker)
{
	uint8_t before = ANSWERED;

	if (__atomic_compare_exchange_n(&worker->answer, &before, ASKED, false, __ATOMIC_RELAXED,
					__ATOMIC_RELAXED))
		worker_command(worker, WORKER_ANSWER);
}

bool worker_answered(const struct worker *worker)
{
	return __atomic_load_n(&worker->answer, __ATOMIC_RELAXED) != ASKED;
}

static void on_ring(struct loop_source *source, uint32_t events)
{
	(void)events;
	kern_ring_consume(container_of(source, struct worker, ring_source)->ring);
}

static void on_accept_again(struct loop_timer *timer)
{
	worker_unpause(container_of(timer, struct worker, accept_again));
}

/* Some of them each time: there may be a port range of thousands. */
static void see_backlogs(struct worker *worker)
{
	const struct list *last = worker->listeners.prev;

	for (int i = 0; i < BACKLOGS_SEEN && !list_empty(&worker->listeners); i++) {
		struct list *item = worker->listeners.next;

		listener_see_backlog(container_of(item, struct listener, all));
		list_remove(item);
		list_append(&worker->listeners, item);
		if (item == last)
			break;
	}
}

static void on_tick(struct loop_timer *timer)
{
	struct worker *worker = container_of(timer, struct worker, tick);

	worker->realtime_offset_us = clock_us(CLOCK_REALTIME) - clock_us(CLOCK_MONOTONIC);
	show_tick(worker);
	see_backlogs(worker);
	(void)loop_timer_arm(worker->loop, &worker->tick, TICK_US);
}

/* Optional: epoll does everything where io_uring is refused. */
static void add_uring(struct worker *worker)
{
	if (worker->relay->io_uring)
		worker->relay->uring_error = loop_add_uring(worker->loop, &uring_path_handlers);
}

/* By its own thread, and before anything is asked of it. */
static void enable_uring(struct worker *worker)
{
	int err = loop_enable_uring(worker->loop);

	if (err)
		log_warn("io_uring.off worker=%u reason=\"%s\" events=epoll", worker->index,
			 strerror(-err));
}

static int open_ring(struct worker *worker)
{
	struct kern *kern = worker->relay->kern;
	int err;

	if (!kern)
		return 0;
	worker->peeked = malloc(RELAY_PEEK);
	if (!worker->peeked)
		return -ENOMEM;
	err = kern_ring_open(kern, worker->index, kernel_on_event, worker, &worker->ring);
	if (err)
		return err;
	worker->ring_source = (struct loop_source){ .fn = on_ring,
						    .fd = kern_ring_fd(worker->ring) };
	return loop_add(worker->loop, &worker->ring_source, EPOLLIN);
}

static int open_commands(struct worker *worker)
{
	worker->commands.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (worker->commands.fd < 0)
		return -errno;
	worker->commands.fn = on_command;
	return loop_add(worker->loop, &worker->commands, EPOLLIN);
}

static int worker_new(struct relay *relay, unsigned index, struct worker **ret)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	int err;

	if (!worker)
		return -ENOMEM;
	worker->relay = relay;
	worker->index = index;
	worker->commands.fd = -1;
	worker->inbox.source.fd = -1;
	worker->channel = -1;
	worker->tick.fn = on_tick;
	worker->look.fn = on_look;
	worker->accept_again.fn = on_accept_again;
	list_init(&worker->listeners);
	list_init(&worker->sessions);
	list_init(&worker->young);
	list_init(&worker->changed);
	list_init(&worker->walks);
	list_init(&worker->accelerated);
	list_init(&worker->channels);
	worker->pipes = pipe_pool_new();
	err = worker->pipes ? loop_new(&worker->loop) : -ENOMEM;
	if (!err)
		add_uring(worker);
	if (!err)
		err = open_commands(worker);
	if (!err)
		err = mailbox_open(&worker->inbox, worker->loop);
	if (!err)
		err = open_ring(worker);
	if (err) {
		worker_free(worker);
		return err;
	}
	*ret = worker;
	return 0;
}

int workers_new(struct relay *relay)
{
	for (unsigned i = 0; i < relay->n_workers; i++) {
		int err = worker_new(relay, i, &relay->workers[i]);

		if (err)
			return err;
	}
	return 0;
}

static void *run(void *arg)
{
	struct worker *worker = arg;
	uint64_t one = 1;
	char name[16];
	int err;

	snprintf(name, sizeof(name), "relay-%u", worker->index);
	(void)pthread_setname_np(pthread_self(), name);
	(void)caps_keep(worker->relay->worker_caps); /* of what there is: giving up cannot fail */
	enable_uring(worker);
	on_tick(&worker->tick);
	on_accept_again(&worker->accept_again);
	err = loop_run(worker->loop);
	if (err)
		log_error("worker.failed worker=%u errno=%d", worker->index, -err);
	__atomic_store_n(&worker->answer, GONE, __ATOMIC_RELAXED);
	mailbox_shut(&worker->inbox);
	(void)!write(worker->relay->done_fd, &one, sizeof(one));
	return NULL;
}

int worker_start(struct worker *worker)
{
	return -pthread_create(&worker->thread, NULL, run, worker);
}

void relay_share_pins(const struct relay *relay, bool shared)
{
	if (relay->hook)
		kern_hook_share(relay->hook, shared);
	if (relay->kern && (relay->kern_told || !shared))
		kern_share(relay->kern, shared);
}

void relay_end(struct relay *relay)
{
	free(TAKE_PTR(relay->served));
	(void)sem_destroy(&relay->updated);
	(void)sem_destroy(&relay->offered);
	cleanup_close(&relay->taken_fd);
}

void relay_sum(const struct relay *relay, struct stats_counts *ret)
{
	*ret = (struct stats_counts){ 0 };
	for (unsigned i = 0; i < relay->n_workers; i++)
		stats_sum(ret, &relay->workers[i]->counts);
}

uint64_t relay_shown(const struct relay *relay)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < relay->n_workers; i++)
		sum += __atomic_load_n(&relay->workers[i]->n_shown, __ATOMIC_RELAXED);
	return sum;
}

uint64_t relay_short_us(const struct relay *relay)
{
	uint64_t last = 0;

	for (unsigned i = 0; i < relay->n_workers; i++) {
		uint64_t at = __atomic_load_n(&relay->workers[i]->short_us, __ATOMIC_RELAXED);

		if (at > last)
			last = at;
	}
	return last;
}

void worker_join(struct worker *worker)
{
	(void)pthread_join(worker->thread, NULL);
}

void worker_free(struct worker *worker)
{
	if (!worker)
		return;
	for (struct worker_update *update = take_updates(worker), *next; update; update = next) {
		next = update->next;
		listener_free_all(&update->listeners);
		free(update);
	}
	listener_free_all(&worker->listeners);
	hand_over_free(worker);
	take_over_free(worker);
	cleanup_close(&worker->channel);
	loop_free(worker->loop);
	kern_ring_close(worker->ring);
	pipe_pool_free(worker->pipes);
	free(worker->peeked);
	mailbox_close(&worker->inbox);
	if (worker->commands.fd >= 0)
		(void)close(worker->commands.fd);
	free(worker);
}
