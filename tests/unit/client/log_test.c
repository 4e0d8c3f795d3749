/* SPDX-License-Identifier: BSD-2-Clause */
/* The client log, whole: nothing is lost that is not counted, no worker waits, no call a record. */
/* LDFLAGS: -Wl,--wrap=write */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/cleanup.h"
#include "client/log.h"

#define LONG_MS 10000

static char path[] = "/tmp/unproxy-log-test-XXXXXX";
static char rotated[sizeof(path) + 2];

static _Atomic int file_error; /* writes to the file fail with this */
static _Atomic int n_wakes;    /* writes to an eventfd */
static _Atomic int n_file_writes;
static char said[8192]; /* on stderr */
static size_t said_len;
static pthread_mutex_t said_lock = PTHREAD_MUTEX_INITIALIZER;

ssize_t __real_write(int fd, const void *buf, size_t len);
ssize_t __wrap_write(int fd, const void *buf, size_t len);

ssize_t __wrap_write(int fd, const void *buf, size_t len)
{
	if (fd == STDERR_FILENO) {
		(void)pthread_mutex_lock(&said_lock);
		assert_true(said_len + len < sizeof(said));
		memcpy(said + said_len, buf, len);
		said_len += len;
		(void)pthread_mutex_unlock(&said_lock);
		return (ssize_t)len;
	}
	if (len == sizeof(uint64_t)) {
		atomic_fetch_add(&n_wakes, 1);
		return __real_write(fd, buf, len);
	}
	atomic_fetch_add(&n_file_writes, 1);
	if (atomic_load(&file_error)) {
		errno = atomic_load(&file_error);
		return -1;
	}
	return __real_write(fd, buf, len);
}

static int setup(void **state)
{
	int fd;

	strcpy(path + strlen(path) - 6, "XXXXXX");
	fd = mkstemp(path);
	if (fd < 0)
		return -1;
	(void)close(fd);
	(void)snprintf(rotated, sizeof(rotated), "%s.1", path);
	memset(said, 0, sizeof(said));
	file_error = n_wakes = n_file_writes = 0;
	said_len = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)unlink(path);
	(void)unlink(rotated);
	return 0;
}

static struct client_log *start(unsigned workers, uint32_t queue_bytes)
{
	const struct client_log_params params = {
		.path = path,
		.workers = workers,
		.queue_bytes = queue_bytes,
	};
	struct client_log *log;

	assert_int_equal(client_log_open(&params, &log), 0);
	assert_int_equal(client_log_run(log, ~UINT64_C(0)), 0);
	return log;
}

static void put(struct client_log *log, unsigned worker, uint64_t number)
{
	const struct record record = {
		.start_us = number,
		.bytes_up = number,
		.bytes_down = worker,
		.listener = "web",
		.version = 2,
		.tlv_len = 6,
	};

	client_log_put(log, worker, &record, (const uint8_t *)"\2\0\3abc");
}

static void sleep_ms(long ms)
{
	const struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	(void)nanosleep(&ts, NULL);
}

static size_t count_lines(const char *name)
{
	FILE *file = fopen(name, "re");
	size_t n = 0;
	int c;

	if (!file)
		return 0;
	while ((c = getc(file)) != EOF)
		n += c == '\n';
	(void)fclose(file);
	return n;
}

static bool wait_for_lines(const char *name, size_t n)
{
	for (int ms = 0; ms < LONG_MS && count_lines(name) < n; ms += 5)
		sleep_ms(5);
	return count_lines(name) == n;
}

static bool has_said(const char *words)
{
	bool found;

	(void)pthread_mutex_lock(&said_lock);
	found = strstr(said, words) != NULL;
	(void)pthread_mutex_unlock(&said_lock);
	return found;
}

static bool wait_for_words(const char *words)
{
	for (int ms = 0; ms < LONG_MS && !has_said(words); ms += 5)
		sleep_ms(5);
	return has_said(words);
}

/* Each worker's lines must be there in order. Returns how many there are. */
static size_t check_file(unsigned workers)
{
	json_int_t next[8] = { 0 };
	FILE *file = fopen(path, "re");
	char line[4096];
	size_t n = 0;

	assert_non_null(file);
	for (; fgets(line, sizeof(line), file); n++) {
		json_t *object = json_loads(line, 0, NULL);
		json_int_t worker = json_integer_value(json_object_get(object, "bytes_down"));

		assert_non_null(object);
		assert_in_range(worker, 0, workers - 1);
		assert_true(json_integer_value(json_object_get(object, "bytes_up")) >=
			    next[worker]);
		next[worker] = json_integer_value(json_object_get(object, "bytes_up")) + 1;
		json_decref(object);
	}
	(void)fclose(file);
	return n;
}

static void a_line_appears_by_itself(void **state)
{
	struct client_log *log = start(1, 0);

	put(log, 0, 1);
	assert_true(wait_for_lines(path, 1));
	sleep_ms(120); /* it has gone to sleep again */
	put(log, 0, 2);
	assert_true(wait_for_lines(path, 2));
	client_log_stop(log);
	assert_int_equal(check_file(1), 2);
	client_log_stop(NULL);
}

static void stop_writes_what_is_queued(void **state)
{
	struct client_log *log = start(2, 0);

	for (uint64_t i = 0; i < 1000; i++)
		put(log, i % 2, i);
	client_log_stop(log);
	assert_int_equal(check_file(2), 1000);
	assert_string_equal(said, "");
}

static void no_system_call_a_record(void **state)
{
	struct client_log *log = start(1, 4 << 20);

	for (uint64_t i = 0; i < 5000; i++)
		put(log, 0, i);
	assert_true(atomic_load(&n_wakes) <= 2);
	client_log_stop(log);
	assert_int_equal(check_file(1), 5000);
	/* 5000 lines of 300 bytes: not many more writes than 128 KiB go into it */
	assert_true(atomic_load(&n_file_writes) < 60);
}

static void an_idle_writer_sleeps(void **state)
{
	struct client_log *log = start(1, 0);
	struct timespec before, after;
	clockid_t clock = CLOCK_PROCESS_CPUTIME_ID;

	put(log, 0, 1);
	assert_true(wait_for_lines(path, 1));
	sleep_ms(150);
	(void)clock_gettime(clock, &before);
	sleep_ms(300);
	(void)clock_gettime(clock, &after);
	assert_true((after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec <
		    20000000);
	client_log_stop(log);
}

static void a_full_queue_drops_and_says_so_once(void **state)
{
	struct client_log *log = start(1, 4096);
	uint64_t dropped;

	atomic_store(&file_error, ENOSPC);
	for (uint64_t i = 0; i < 20000; i++)
		put(log, 0, i);
	sleep_ms(100);
	for (uint64_t i = 20000; i < 40000; i++)
		put(log, 0, i);
	assert_true(wait_for_words("warn: client_log.dropping lines="));
	dropped = client_log_dropped(log);
	assert_true(dropped > 0);

	/* stuck and full: still no call a record */
	atomic_store(&n_wakes, 0);
	for (uint64_t i = 40000; i < 50000; i++)
		put(log, 0, i);
	assert_true(atomic_load(&n_wakes) <= 2);

	atomic_store(&file_error, 0);
	assert_true(wait_for_words("info: client_log.write_recovered"));
	assert_true(wait_for_words("info: client_log.drops_over lines="));
	dropped = client_log_dropped(log);
	client_log_stop(log);
	assert_int_equal(check_file(1) + dropped, 50000);
	assert_null(strstr(strstr(said, "client_log.dropping") + 1, "client_log.dropping"));
	assert_null(strstr(strstr(said, "write_failed") + 1, "write_failed"));
}

static void what_cannot_be_written_at_the_end_is_counted(void **state)
{
	struct client_log *log = start(1, 0);

	atomic_store(&file_error, EIO);
	for (uint64_t i = 0; i < 10; i++)
		put(log, 0, i);
	client_log_stop(log);
	assert_non_null(strstr(said, "error: client_log.write_failed"));
	assert_non_null(strstr(said, "warn: client_log.lost lines=10\n"));
}

static void rotation(void **state)
{
	struct client_log *log = start(1, 0);

	put(log, 0, 1);
	assert_true(wait_for_lines(path, 1));
	assert_int_equal(rename(path, rotated), 0);
	client_log_reopen(log);
	assert_true(wait_for_words("info: client_log.reopened"));
	put(log, 0, 2);
	put(log, 0, 3);
	assert_true(wait_for_lines(path, 2));
	assert_int_equal(count_lines(rotated), 1);
	client_log_stop(log);
}

/* Rotated again and again under load: every line is in one of the files. */
static void rotation_under_load(void **state)
{
	struct client_log *log = start(1, 0);
	size_t n = 0;

	for (uint64_t i = 0; i < 3000; i++) {
		put(log, 0, i);
		if (i % 500 == 499) {
			assert_true(access(path, F_OK) == 0);
			assert_int_equal(rename(path, rotated), 0);
			client_log_reopen(log);
			for (int ms = 0; ms < LONG_MS && access(path, F_OK) != 0; ms++)
				sleep_ms(1);
			n += count_lines(rotated);
		}
	}
	client_log_stop(log);
	assert_int_equal(n + count_lines(path), 3000);
}

#define RECORDS 20000

struct producer {
	struct client_log *log;
	unsigned worker;
};

static void *produce(void *arg)
{
	const struct producer *producer = arg;

	for (uint64_t i = 0; i < RECORDS; i++) {
		put(producer->log, producer->worker, i);
		if (i % 64 == 0)
			sleep_ms(1);
	}
	return NULL;
}

static void two_workers(void **state)
{
	struct client_log *log = start(2, 64 << 10);
	struct producer producers[] = { { log, 0 }, { log, 1 } };
	pthread_t threads[2];
	uint64_t dropped;

	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	dropped = client_log_dropped(log);
	client_log_stop(log);
	assert_int_equal(check_file(2) + dropped, 2 * RECORDS);
}

static void the_longest_record(void **state)
{
	struct client_log *log = start(1, 0);
	struct record record = { .version = 2, .tlv_len = UINT16_MAX };
	uint8_t *tlvs = calloc(1, UINT16_MAX);

	assert_non_null(tlvs);
	memcpy(tlvs, "\2\xff\xfc", 3);
	for (int i = 0; i < 20; i++) {
		client_log_put(log, 0, &record, tlvs);
		assert_true(wait_for_lines(path, (size_t)i + 1));
	}
	client_log_stop(log);
	free(tlvs);
}

static void a_file_that_cannot_be_opened(void **state)
{
	const struct client_log_params params = { .path = "/nonexistent/log", .workers = 1 };
	struct client_log *log = NULL;

	assert_int_equal(client_log_open(&params, &log), -ENOENT);
	assert_null(log);
}

/* What is queued before the writer runs is written when it does. */
static void queued_before_the_writer_runs(void **state)
{
	const struct client_log_params params = { .path = path, .workers = 1 };
	struct client_log *log;

	assert_int_equal(client_log_open(&params, &log), 0);
	put(log, 0, 1);
	assert_int_equal(client_log_run(log, ~UINT64_C(0)), 0);
	client_log_stop(log);
	assert_int_equal(count_lines(path), 1);
}

static void closed_without_a_writer(void **state)
{
	const struct client_log_params params = { .path = path, .workers = 1 };
	struct client_log *log;

	assert_int_equal(client_log_open(&params, &log), 0);
	client_log_stop(log);
	assert_int_equal(access(path, F_OK), 0);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		test(a_line_appears_by_itself),
		test(stop_writes_what_is_queued),
		test(no_system_call_a_record),
		test(an_idle_writer_sleeps),
		test(a_full_queue_drops_and_says_so_once),
		test(what_cannot_be_written_at_the_end_is_counted),
		test(queued_before_the_writer_runs),
		test(closed_without_a_writer),
		test(rotation),
		test(rotation_under_load),
		test(two_workers),
		test(the_longest_record),
		test(a_file_that_cannot_be_opened),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
