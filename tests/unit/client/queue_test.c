/* SPDX-License-Identifier: BSD-2-Clause */
/* The records' queue: order, the way round the end, a full one, two threads. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "client/queue.h"

static void free_queue(struct queue **queue)
{
	queue_free(*queue);
}

#define _cleanup_queue_ _cleanup_(free_queue)

static struct queue *make(size_t size)
{
	struct queue *queue;

	assert_int_equal(queue_new(size, &queue), 0);
	return queue;
}

/* TLVs that can be told from any other record's. */
static void fill(uint8_t *tlvs, uint16_t len, uint64_t number)
{
	for (uint16_t i = 0; i < len; i++)
		tlvs[i] = (uint8_t)(number * 31 + i);
}

static bool put(struct queue *queue, uint64_t number, uint16_t tlv_len)
{
	struct record record = { .start_us = number, .tlv_len = tlv_len };
	uint8_t *tlvs = malloc(tlv_len + 1u);
	bool fits;

	assert_non_null(tlvs);
	fill(tlvs, tlv_len, number);
	fits = queue_put(queue, &record, tlvs);
	free(tlvs);
	return fits;
}

static void take(struct queue *queue, uint64_t number)
{
	static uint8_t found[UINT16_MAX], expect[UINT16_MAX];
	struct record record;

	assert_true(queue_peek(queue, &record));
	assert_int_equal(record.start_us, number);
	queue_peek_tlvs(queue, &record, found);
	fill(expect, record.tlv_len, number);
	assert_memory_equal(found, expect, record.tlv_len);
	queue_pop(queue, &record);
}

static void first_in_first_out(void **state)
{
	_cleanup_queue_ struct queue *queue = make(4096);
	struct record record;

	assert_true(queue_is_empty(queue));
	assert_false(queue_peek(queue, &record));
	for (uint64_t i = 0; i < 5; i++)
		assert_true(put(queue, i, (uint16_t)(i * 7)));
	assert_false(queue_is_empty(queue));
	for (uint64_t i = 0; i < 5; i++)
		take(queue, i);
	assert_true(queue_is_empty(queue));
	queue_free(NULL);
}

static void round_and_round(void **state)
{
	_cleanup_queue_ struct queue *queue = make(1000);

	for (uint64_t i = 0; i < 3000; i++) {
		assert_true(put(queue, 2 * i, (uint16_t)(i % 111)));
		assert_true(put(queue, 2 * i + 1, (uint16_t)(i % 97)));
		take(queue, 2 * i);
		take(queue, 2 * i + 1);
	}
}

static void a_full_one_drops_and_counts(void **state)
{
	_cleanup_queue_ struct queue *queue = make(1024);
	uint64_t n = 0;

	while (put(queue, n, 0))
		n++;
	assert_int_equal(n, 1024 / sizeof(struct record));
	assert_int_equal(queue_dropped(queue), 1);
	assert_true(queue_is_half_full(queue));
	assert_false(put(queue, 77, 0));
	assert_int_equal(queue_dropped(queue), 2);

	take(queue, 0);
	assert_true(put(queue, n, 0));
	assert_int_equal(queue_dropped(queue), 2);
	for (uint64_t i = 1; i <= n; i++)
		take(queue, i);
	assert_true(queue_is_empty(queue));
}

static void a_record_that_never_fits(void **state)
{
	_cleanup_queue_ struct queue *queue = make(1024);

	assert_false(put(queue, 0, 1024));
	assert_true(put(queue, 1, 0));
	take(queue, 1);
}

static void half_full(void **state)
{
	_cleanup_queue_ struct queue *queue = make(65536);

	for (int i = 0; i < 2; i++) {
		assert_true(put(queue, 0, 30000));
		assert_int_equal(queue_is_half_full(queue), i == 1);
	}
}

/* However many records have gone through: only those that are in it count. */
static void half_full_is_about_now(void **state)
{
	_cleanup_queue_ struct queue *queue = make(65536);

	for (uint64_t i = 0; i < 1000; i++) {
		assert_true(put(queue, i, 100));
		assert_false(queue_is_half_full(queue));
		take(queue, i);
	}
}

static void the_longest_tlvs(void **state)
{
	_cleanup_queue_ struct queue *queue = make(100000);

	for (uint64_t i = 0; i < 10; i++) {
		assert_true(put(queue, i, UINT16_MAX));
		take(queue, i);
	}
}

#define RECORDS 100000

static void *produce(void *arg)
{
	for (uint64_t i = 0; i < RECORDS;) {
		if (put(arg, i, (uint16_t)(i % 53)))
			i++;
		else
			sched_yield();
	}
	return NULL;
}

static void two_threads(void **state)
{
	_cleanup_queue_ struct queue *queue = make(8192);
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, produce, queue), 0);
	for (uint64_t i = 0; i < RECORDS; i++) {
		while (queue_is_empty(queue))
			sched_yield();
		take(queue, i);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(queue_is_empty(queue));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_in_first_out),
		cmocka_unit_test(round_and_round),
		cmocka_unit_test(a_full_one_drops_and_counts),
		cmocka_unit_test(a_record_that_never_fits),
		cmocka_unit_test(half_full),
		cmocka_unit_test(half_full_is_about_now),
		cmocka_unit_test(the_longest_tlvs),
		cmocka_unit_test(two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
