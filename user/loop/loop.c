// SPDX-License-Identifier: BSD-2-Clause
/* The event loop: wait, run due timers, run handlers, destroy what they gave up. */
#include "loop/loop.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/cleanup.h"
#include "loop/uring.h"

#define LOOP_BATCH 256

/* Measured with one connection: p50 44 us instead of 78. */
#define SPIN_US 50

/* An armed timer. The deadline is here and not in the timer: most connections have none
 * armed, and a walk through the heap stays in the heap. */
struct armed {
	uint64_t deadline_us;
	struct loop_timer *timer;
};

struct loop {
	int epoll_fd;
	bool stopping;
	bool may_spin;
	bool quick;          /* the last events came within SPIN_US */
	bool unread;         /* epoll may have more to tell, and io_uring not repeat it */
	struct uring *uring; /* NULL: epoll alone */
	uint64_t now_us;
	struct armed *heap; /* heap[1] is the next to fire */
	uint32_t heap_used, heap_size;
	struct loop_deferred *deferred;
	struct epoll_event events[LOOP_BATCH];
};

int loop_new(struct loop **ret)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return -ENOMEM;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0) {
		free(loop);
		return -errno;
	}
	loop->now_us = clock_us(CLOCK_MONOTONIC);
	*ret = loop;
	return 0;
}

static void run_deferred(struct loop *loop)
{
	while (loop->deferred) {
		struct loop_deferred *deferred = loop->deferred;

		loop->deferred = deferred->next;
		deferred->destroy(deferred);
	}
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	run_deferred(loop);
	uring_free(loop->uring);
	(void)close(loop->epoll_fd);
	free(loop->heap);
	free(loop);
}

int loop_add_uring(struct loop *loop, const struct uring_handlers *handlers)
{
	return uring_new(handlers, &loop->uring);
}

int loop_enable_uring(struct loop *loop)
{
	int err = loop->uring ? uring_enable(loop->uring, loop->epoll_fd) : 0;

	if (!err)
		return 0;
	uring_free(loop->uring);
	loop->uring = NULL;
	return err;
}

struct uring *loop_uring(const struct loop *loop)
{
	return loop->uring;
}

static int control(struct loop *loop, int op, struct loop_source *source, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	return epoll_ctl(loop->epoll_fd, op, source->fd, &event) < 0 ? -errno : 0;
}

int loop_add(struct loop *loop, struct loop_source *source, uint32_t events)
{
	return control(loop, EPOLL_CTL_ADD, source, events);
}

int loop_modify(struct loop *loop, struct loop_source *source, uint32_t events)
{
	return control(loop, EPOLL_CTL_MOD, source, events);
}

void loop_remove(struct loop *loop, struct loop_source *source)
{
	source->fn = NULL;
	(void)control(loop, EPOLL_CTL_DEL, source, 0);
}

static void heap_put(struct loop *loop, uint32_t place, struct armed armed)
{
	loop->heap[place] = armed;
	armed.timer->place = place;
}

static void heap_up(struct loop *loop, uint32_t place, struct armed armed)
{
	while (place > 1 && loop->heap[place / 2].deadline_us > armed.deadline_us) {
		heap_put(loop, place, loop->heap[place / 2]);
		place /= 2;
	}
	heap_put(loop, place, armed);
}

static void heap_down(struct loop *loop, uint32_t place, struct armed armed)
{
	for (;;) {
		uint32_t child = place * 2;

		if (child > loop->heap_used)
			break;
		if (child < loop->heap_used &&
		    loop->heap[child + 1].deadline_us < loop->heap[child].deadline_us)
			child++;
		if (loop->heap[child].deadline_us >= armed.deadline_us)
			break;
		heap_put(loop, place, loop->heap[child]);
		place = child;
	}
	heap_put(loop, place, armed);
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
	struct armed last;
	uint32_t place = timer->place;

	if (!place)
		return;
	timer->place = 0;
	last = loop->heap[loop->heap_used--];
	if (last.timer == timer)
		return;
	if (place > 1 && loop->heap[place / 2].deadline_us > last.deadline_us)
		heap_up(loop, place, last);
	else
		heap_down(loop, place, last);
}

uint64_t loop_timer_left(const struct loop *loop, const struct loop_timer *timer)
{
	uint64_t deadline = timer->place ? loop->heap[timer->place].deadline_us : 0;

	if (!timer->place)
		return 0;
	return deadline > loop->now_us ? deadline - loop->now_us : 1;
}

int loop_timer_arm(struct loop *loop, struct loop_timer *timer, uint64_t delay_us)
{
	loop_timer_cancel(loop, timer);
	if (loop->heap_used + 2 > loop->heap_size) {
		uint32_t size = loop->heap_size ? loop->heap_size * 2 : 64;
		struct armed *heap = realloc(loop->heap, size * sizeof(*heap));

		if (!heap)
			return -ENOMEM;
		loop->heap = heap;
		loop->heap_size = size;
	}
	heap_up(loop, ++loop->heap_used, (struct armed){ loop->now_us + delay_us, timer });
	return 0;
}

void loop_defer(struct loop *loop, struct loop_deferred *deferred)
{
	deferred->next = loop->deferred;
	loop->deferred = deferred;
}

uint64_t loop_now(const struct loop *loop)
{
	return loop->now_us;
}

/* Until the next timer is due; UINT64_MAX: there is none. */
static uint64_t idle_us(const struct loop *loop)
{
	uint64_t deadline;

	if (!loop->heap_used)
		return UINT64_MAX;
	deadline = loop->heap[1].deadline_us;
	return deadline > loop->now_us ? deadline - loop->now_us : 0;
}

/* To the microsecond, which epoll_wait() cannot. Returns events or -errno. */
static int wait_epoll(struct loop *loop, uint64_t timeout_us)
{
	struct timespec timeout = {
		.tv_sec = (time_t)(timeout_us / 1000000),
		.tv_nsec = (long)(timeout_us % 1000000) * 1000,
	};
	int n = epoll_pwait2(loop->epoll_fd, loop->events, LOOP_BATCH,
			     timeout_us == UINT64_MAX ? NULL : &timeout, NULL);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	return n;
}

/* Returns events, completions counting as one, or -errno. */
static int wait_once(struct loop *loop, uint64_t timeout_us)
{
	int err;

	if (!loop->uring)
		return wait_epoll(loop, timeout_us);
	err = uring_wait(loop->uring, timeout_us);
	return err ? err : uring_ready(loop->uring);
}

/*
 * Wait for events. In a quick dialogue the next one is there sooner than a sleep and a
 * wake-up take: look for it a little, giving the processor to whoever wants it. One longer
 * gap ends that, so an idle loop sleeps.
 */
static int wait_events(struct loop *loop)
{
	uint64_t start = loop->quick ? clock_us(CLOCK_MONOTONIC) : 0;
	int n = 0;

	if (loop->unread || (loop->uring && uring_ready(loop->uring)))
		return wait_once(loop, 0);
	while (loop->quick && !n && clock_us(CLOCK_MONOTONIC) - start < SPIN_US) {
		n = wait_once(loop, 0);
		if (!n)
			(void)sched_yield();
	}
	return n ? n : wait_once(loop, idle_us(loop));
}

static void handle_events(struct loop *loop, int n)
{
	for (int i = 0; i < n; i++) {
		struct loop_source *source = loop->events[i].data.ptr;

		/* Removed by an earlier handler of this batch. */
		if (source->fn)
			source->fn(source, loop->events[i].events);
	}
}

/* The completions, and what epoll has to tell beside them. */
static int handle_completions(struct loop *loop)
{
	int n = 0;

	if (uring_dispatch(loop->uring))
		loop->unread = true;
	if (loop->unread) {
		n = wait_epoll(loop, 0);
		loop->unread = n > 0;
	}
	if (n > 0)
		handle_events(loop, n);
	return n < 0 ? n : 0;
}

static void run_timers(struct loop *loop)
{
	/* A timer re-armed by its own handler waits for the next round. */
	uint64_t now_us = loop->now_us;

	while (loop->heap_used && loop->heap[1].deadline_us <= now_us) {
		struct loop_timer *timer = loop->heap[1].timer;

		loop_timer_cancel(loop, timer);
		timer->fn(timer);
		if (timer->place && loop->heap[timer->place].deadline_us <= now_us)
			break;
	}
}

/* A loop that has been stopped waits for the last words of what it cancelled. */
static bool goes_on(const struct loop *loop)
{
	return !loop->stopping || (loop->uring && uring_pending(loop->uring));
}

int loop_run(struct loop *loop)
{
	int err = 0;

	while (!err && goes_on(loop)) {
		uint64_t before = loop->now_us;
		int n = wait_events(loop);

		loop->now_us = clock_us(CLOCK_MONOTONIC);
		loop->quick = loop->may_spin && n > 0 && loop->now_us - before < SPIN_US;
		if (n < 0)
			err = n;
		else if (loop->uring)
			err = handle_completions(loop);
		else
			handle_events(loop, n);
		run_timers(loop);
		run_deferred(loop);
	}
	return err;
}

void loop_spin(struct loop *loop, bool may)
{
	loop->may_spin = may;
}

void loop_stop(struct loop *loop)
{
	loop->stopping = true;
}
