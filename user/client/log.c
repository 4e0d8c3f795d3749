/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client log's writer: takes records out of the workers' queues, has them formatted and
 * written. The workers are never made to wait: a queue that is full drops.
 *
 * Waking: an idle writer sleeps until a worker finds it sleeping and wakes it, one system
 * call then; it goes on to look every BATCH_MS, so that lines go out in large writes, until
 * it finds nothing. A queue more than half full wakes it early. So a worker makes at most
 * one system call in BATCH_MS or in half a queue.
 */
#include "client/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "client/log_output.h"
#include "client/queue.h"
#include "client/record_format.h"
#include "obs/log.h"

#define QUEUE_BYTES_DEFAULT (1u << 20)
#define BATCH_MS 50
#define CALM_MS 1000 /* without a drop for so long: the drops are over */
#define STOP_MS 1000 /* what a stuck output may delay the end */

enum writer_wish { WISH_STOP = 1, WISH_REOPEN = 2 };

struct client_log {
	struct queue **queues;
	unsigned n_queues;
	struct log_output *output;
	struct record_formatter formatter;
	uint8_t *tlvs; /* of the record being written; they may go round the queue's end */
	int wake_fd;
	pthread_t writer;
	_Atomic uint64_t lines;   /* by the writer */
	_Atomic uint64_t torn;    /* by the writer: lost by a rotation */
	bool running;             /* the writer */
	caps_set keep;            /* its capabilities */
	_Atomic unsigned wishes;  /* enum writer_wish: from other threads */
	_Atomic bool asleep;      /* the writer waits for wake_fd alone */
	_Atomic bool hurried;     /* it has been woken early already */
	uint64_t reported;        /* drops that have been seen */
	uint64_t reported_before; /* ... before the present run of them */
	bool dropping;            /* said so, and not yet that it is over */
	uint64_t calm_since_ms;   /* the last drop seen */
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void wake(struct client_log *log)
{
	uint64_t one = 1;
	ssize_t n = write(log->wake_fd, &one, sizeof(one));

	(void)n; /* can only fail because it is already raised */
}

/* ---- workers ---- */

void client_log_put(struct client_log *log, unsigned worker, const struct record *record,
		    const uint8_t *tlvs)
{
	struct queue *queue = log->queues[worker];

	if (!queue_put(queue, record, tlvs))
		return;
	/* Pairs with the fence in sleep_until_woken(): either we see it asleep, or it sees
	 * our record. */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&log->asleep, memory_order_relaxed)) {
		if (atomic_exchange_explicit(&log->asleep, false, memory_order_relaxed))
			wake(log);
	} else if (queue_is_half_full(queue) &&
		   !atomic_load_explicit(&log->hurried, memory_order_relaxed)) {
		if (!atomic_exchange_explicit(&log->hurried, true, memory_order_relaxed))
			wake(log);
	}
}

static uint64_t dropped_by_queues(const struct client_log *log)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < log->n_queues; i++)
		sum += queue_dropped(log->queues[i]);
	return sum;
}

uint64_t client_log_dropped(const struct client_log *log)
{
	return dropped_by_queues(log) + atomic_load_explicit(&log->torn, memory_order_relaxed);
}

void client_log_mark(const struct client_log *log, uint64_t *marks)
{
	for (unsigned i = 0; i < log->n_queues; i++)
		marks[i] = queue_head(log->queues[i]);
}

bool client_log_passed(const struct client_log *log, const uint64_t *marks)
{
	for (unsigned i = 0; i < log->n_queues; i++) {
		if (queue_tail(log->queues[i]) < marks[i])
			return false;
	}
	return true;
}

uint64_t client_log_lines(const struct client_log *log)
{
	return atomic_load_explicit(&log->lines, memory_order_relaxed);
}

/* ---- the writer ---- */

/* Everything in one queue, or as much as the output takes. Returns the number of lines. */
static size_t drain(struct client_log *log, struct queue *queue)
{
	struct record record;
	size_t n = 0;

	while (queue_peek(queue, &record)) {
		char *at = log_output_reserve(log->output, record_format_bound(&record));

		if (!at)
			break;
		if (record.tlv_len > 0)
			queue_peek_tlvs(queue, &record, log->tlvs);
		log_output_commit(log->output,
				  record_format(&log->formatter, &record, log->tlvs, at));
		queue_pop(queue, &record);
		n++;
	}
	return n;
}

static size_t drain_all(struct client_log *log)
{
	size_t n = 0;

	for (unsigned i = 0; i < log->n_queues; i++)
		n += drain(log, log->queues[i]);
	atomic_fetch_add_explicit(&log->lines, n, memory_order_relaxed);
	return n;
}

static bool all_empty(const struct client_log *log)
{
	for (unsigned i = 0; i < log->n_queues; i++) {
		if (!queue_is_empty(log->queues[i]))
			return false;
	}
	return true;
}

/* written: how the last flush went. While it is stuck a full queue has no need to wake us:
 * that would be a system call a record. */
static void wait_for_wake(struct client_log *log, int written, int timeout_ms)
{
	struct pollfd fds[] = {
		{ .fd = log->wake_fd, .events = POLLIN },
		{ .fd = log_output_fd(log->output), .events = POLLOUT },
	};
	uint64_t count;
	ssize_t n;

	atomic_store_explicit(&log->hurried, written < 0, memory_order_relaxed);
	(void)poll(fds, written == -EAGAIN ? 2 : 1, timeout_ms);
	if (fds[0].revents & POLLIN) {
		n = read(log->wake_fd, &count, sizeof(count));
		(void)n;
	}
}

/* Nothing to do: wait for the first record, then for those that follow it. */
static void sleep_until_woken(struct client_log *log)
{
	atomic_store_explicit(&log->asleep, true, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	if (all_empty(log) && atomic_load_explicit(&log->wishes, memory_order_relaxed) == 0)
		wait_for_wake(log, 0, log->dropping ? CALM_MS : -1);
	atomic_store_explicit(&log->asleep, false, memory_order_relaxed);
}

/* Once when drops begin, once when they are over, whatever their number. */
static void report_drops(struct client_log *log)
{
	uint64_t dropped = dropped_by_queues(log), now = now_ms();

	if (dropped > log->reported) {
		if (!log->dropping) {
			log_warn("client_log.dropping lines=%llu, lines come faster than they can "
				 "be written",
				 (unsigned long long)(dropped - log->reported));
			log->reported_before = log->reported;
		}
		log->dropping = true;
		log->reported = dropped;
		log->calm_since_ms = now;
	} else if (log->dropping && now - log->calm_since_ms >= CALM_MS) {
		log_info("client_log.drops_over lines=%llu",
			 (unsigned long long)(dropped - log->reported_before));
		log->dropping = false;
	}
}

static bool take_wish(struct client_log *log, enum writer_wish wish)
{
	return atomic_fetch_and_explicit(&log->wishes, ~(unsigned)wish, memory_order_acquire) &
	       wish;
}

/* The last lines, for as long as STOP_MS; the rest is lost and counted. */
static void finish(struct client_log *log)
{
	uint64_t deadline = now_ms() + STOP_MS;

	while (now_ms() < deadline) {
		struct pollfd pfd = { .fd = log_output_fd(log->output), .events = POLLOUT };
		int r;

		(void)drain_all(log);
		r = log_output_flush(log->output);
		if (r == 0 && all_empty(log))
			return;
		if (r == -EAGAIN)
			(void)poll(&pfd, 1, BATCH_MS);
		else if (r < 0)
			break;
	}
}

static void reopen(struct client_log *log)
{
	(void)log_output_reopen(log->output);
	atomic_store_explicit(&log->torn, log_output_torn(log->output), memory_order_relaxed);
}

static void *write_lines(void *arg)
{
	struct client_log *log = arg;

	(void)caps_keep(log->keep); /* of what there is: giving up cannot fail */
	for (;;) {
		size_t n = drain_all(log);
		int written = log_output_flush(log->output);

		if (take_wish(log, WISH_REOPEN))
			reopen(log);
		report_drops(log);
		if (take_wish(log, WISH_STOP))
			break;
		if (n == 0 && written == 0)
			sleep_until_woken(log);
		wait_for_wake(log, written, BATCH_MS);
	}
	finish(log);
	return NULL;
}

/* ---- life ---- */

static void free_log(struct client_log **arg)
{
	struct client_log *log = *arg;

	if (!log)
		return;
	for (unsigned i = 0; log->queues && i < log->n_queues; i++)
		queue_free(log->queues[i]);
	free(log->queues);
	log_output_close(log->output);
	free(log->tlvs);
	if (log->wake_fd >= 0)
		(void)close(log->wake_fd);
	free(log);
}

static int add_queues(struct client_log *log, const struct client_log_params *params)
{
	size_t size = params->queue_bytes ? params->queue_bytes : QUEUE_BYTES_DEFAULT;

	log->queues = calloc(params->workers, sizeof(*log->queues));
	if (!log->queues)
		return -ENOMEM;
	for (; log->n_queues < params->workers; log->n_queues++) {
		int r = queue_new(size, &log->queues[log->n_queues]);

		if (r < 0)
			return r;
	}
	return 0;
}

/* The writer takes no signal: they are the daemon's, and a closed pipe must be an error
 * of write(2) to it and not SIGPIPE. */
int client_log_run(struct client_log *log, caps_set keep)
{
	sigset_t all, old;
	int r;

	log->keep = keep;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&log->writer, NULL, write_lines, log);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r)
		return -r;
	(void)pthread_setname_np(log->writer, "client-log");
	log->running = true;
	return 0;
}

int client_log_open(const struct client_log_params *params, struct client_log **ret)
{
	_cleanup_(free_log) struct client_log *log = calloc(1, sizeof(*log));
	int r;

	if (!log)
		return -ENOMEM;
	log->formatter.format = params->format;
	log->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (log->wake_fd < 0)
		return -errno;
	log->tlvs = malloc(UINT16_MAX);
	if (!log->tlvs)
		return -ENOMEM;
	r = add_queues(log, params);
	if (r < 0)
		return r;
	r = log_output_open(params->path, &log->output);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(log);
	return 0;
}

void client_log_give(struct client_log *log, uid_t uid, gid_t gid)
{
	log_output_give(log->output, uid, gid);
}

void client_log_reopen(struct client_log *log)
{
	atomic_fetch_or_explicit(&log->wishes, WISH_REOPEN, memory_order_release);
	wake(log);
}

/* What is left when the writer has gone, in the queues and before the output. */
static uint64_t count_lost(struct client_log *log)
{
	uint64_t lines = log_output_lines(log->output);
	struct record record;

	for (unsigned i = 0; i < log->n_queues; i++) {
		for (; queue_peek(log->queues[i], &record); lines++)
			queue_pop(log->queues[i], &record);
	}
	return lines;
}

void client_log_stop(struct client_log *log)
{
	uint64_t lost;

	if (!log)
		return;
	if (log->running) {
		atomic_fetch_or_explicit(&log->wishes, WISH_STOP, memory_order_release);
		wake(log);
		(void)pthread_join(log->writer, NULL);
	}

	lost = count_lost(log);
	if (log->dropping)
		lost += dropped_by_queues(log) - log->reported_before;
	if (lost > 0)
		log_warn("client_log.lost lines=%llu", (unsigned long long)lost);
	free_log(&log);
}
