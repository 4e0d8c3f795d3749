/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One epoll instance, with io_uring beside it where the host has it, timers, and a queue of
 * things to destroy. Single-threaded: every call is made by the thread that runs the loop.
 * No policy, no logging.
 */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct loop;
struct loop_source;
struct loop_timer;
struct uring;
struct uring_handlers;

/* events: EPOLL* bits. A handler may remove any source, but must not free memory that
 * holds one: hand it to loop_defer(). */
typedef void loop_event_fn(struct loop_source *source, uint32_t events);

/* Embedded in its owner. fn == NULL: removed; its late events are skipped. */
struct loop_source {
	loop_event_fn *fn;
	int fd;
};

typedef void loop_timer_fn(struct loop_timer *timer);

/* Embedded in its owner. Zero-initialised: not armed. */
struct loop_timer {
	loop_timer_fn *fn;
	uint32_t place; /* in the heap, from 1; 0: not armed */
};

/* Embedded in what is to be destroyed after the batch of events. */
struct loop_deferred {
	struct loop_deferred *next;
	void (*destroy)(struct loop_deferred *deferred);
};

int loop_new(struct loop **ret);
void loop_free(struct loop *loop);

/* Add io_uring to it: 0, or -errno where the host has none for us. Before loop_run(). */
int loop_add_uring(struct loop *loop, const struct uring_handlers *handlers);
/* The calling thread will run the loop, and io_uring is its own from now on; before the first
 * operation. 0, or -errno: refused, and epoll is left alone. */
int loop_enable_uring(struct loop *loop);
/* NULL: there is none. */
struct uring *loop_uring(const struct loop *loop);

/* Watch source->fd for EPOLL* bits. 0 or -errno. */
int loop_add(struct loop *loop, struct loop_source *source, uint32_t events);
/* Change the bits; the present state is reported anew, also edge-triggered. */
int loop_modify(struct loop *loop, struct loop_source *source, uint32_t events);
/* Stop watching. Needed only where the descriptor lives on: close() does it otherwise. */
void loop_remove(struct loop *loop, struct loop_source *source);

/* Fire once at now + delay_us; arming an armed timer moves it. -ENOMEM on failure. */
int loop_timer_arm(struct loop *loop, struct loop_timer *timer, uint64_t delay_us);
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer);
/* Microseconds until it fires, at least 1; 0: it is not armed. */
uint64_t loop_timer_left(const struct loop *loop, const struct loop_timer *timer);

void loop_defer(struct loop *loop, struct loop_deferred *deferred);

/* CLOCK_MONOTONIC in microseconds, read once per batch. */
uint64_t loop_now(const struct loop *loop);

/* May the loop look for events for some microseconds before it sleeps? For a handful of
 * connections that is latency gained; with many it takes the processor from their peers
 * (measured with 50: a third of the requests/s). Off at first. */
void loop_spin(struct loop *loop, bool may);

/* Handle events until loop_stop(). 0 or -errno of epoll_wait(). */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

#endif
