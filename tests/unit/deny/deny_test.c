/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of denied clients: what people and the file say of one network, expiry, reload; and a
 * kernel's map that has no room. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "deny/deny.h"
#include "fake_map.h"

/* LDFLAGS: -Wl,--wrap=kern_deny_open,--wrap=kern_deny_close,--wrap=kern_deny_set,--wrap=kern_deny_remove,--wrap=kern_deny_hits,--wrap=kern_deny_each,--wrap=kern_deny_is_pinned,--wrap=kern_deny_let_go,--wrap=kern_deny_take_back,--wrap=kern_deny_found,--wrap=kern_deny_fd,--wrap=clock_gettime */

#define SECOND UINT64_C(1000000)

static struct deny *deny;
static char path[] = "/tmp/unproxy-deny-XXXXXX";
static uint64_t passed_s; /* that the clocks are ahead */

int __real_clock_gettime(clockid_t id, struct timespec *ts);
int __wrap_clock_gettime(clockid_t id, struct timespec *ts);
int __wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
	int r = __real_clock_gettime(id, ts);

	ts->tv_sec += (time_t)passed_s;
	return r;
}

static void write_file(const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static struct loop *loop;

static int start(const char *file, uint32_t entries)
{
	const struct deny_params params = { .loop = loop, .file = file, .entries = entries };

	return deny_start(&params, &deny);
}

static bool refuses(const char *ip)
{
	struct up_addr addr;

	assert_int_equal(addr_parse_ip(ip, &addr), 0);
	return deny_refuses(deny, addr.ip);
}

static int add(const char *text)
{
	struct deny_rule rule;
	char why[256];

	assert_int_equal(deny_rule_parse(text, clock_us(CLOCK_REALTIME), &rule, why, sizeof(why)),
			 0);
	return deny_add(deny, &rule);
}

static int del(const char *text)
{
	struct cidr cidr;

	assert_null(cidr_parse(text, &cidr));
	return deny_del(deny, &cidr);
}

static int reload(const char *file, char *why, size_t size)
{
	struct deny_reload *fresh;
	int err = deny_reload_prepare(deny, file, &fresh, why, size);

	if (!err)
		deny_reload_commit(deny, fresh);
	return err;
}

static uint64_t entries(enum deny_source source)
{
	struct deny_stats stats;

	deny_stats(deny, &stats);
	return stats.entries[source];
}

static void nobody(void **state)
{
	struct deny_stats stats;

	assert_int_equal(start(NULL, 10), 0);
	assert_false(refuses("192.0.2.1"));
	deny_stats(deny, &stats);
	assert_int_equal(stats.lookups, 0);
	assert_false(stats.kept);
	assert_int_equal(deny_map_fd(deny), -1);
	assert_int_equal(del("192.0.2.1"), -ENOENT);
}

static void said_and_taken_back(void **state)
{
	struct deny_item item;
	struct up_addr addr;
	struct deny_stats stats;

	assert_int_equal(start(NULL, 10), 0);
	assert_int_equal(add("192.0.2.0/24"), 0);
	assert_int_equal(add("192.0.2.7 allow"), 0);
	assert_true(addr_parse_ip("192.0.2.1", &addr) == 0 && deny_would_refuse(deny, addr.ip));
	assert_true(refuses("192.0.2.1"));
	assert_false(refuses("192.0.2.7"));
	assert_true(addr_parse_ip("192.0.2.7", &addr) == 0 && !deny_would_refuse(deny, addr.ip));
	assert_false(refuses("192.0.3.1"));
	deny_stats(deny, &stats);
	assert_int_equal(stats.lookups, 3);
	assert_int_equal(stats.refused, 1);
	assert_int_equal(deny_count(deny), 2);
	assert_true(deny_item(deny, 0, DENY_CONTROL, &item));
	assert_false(deny_item(deny, 0, DENY_FILE, &item));
	assert_true(deny_item(deny, 1, DENY_CONTROL, &item));
	assert_int_equal(item.hits, 1);
	assert_int_equal(item.verdict, UP_DENY_ALLOW);
	assert_int_equal(del("192.0.2.0/25"), -ENOENT);
	assert_int_equal(del("192.0.2.0/24"), 0);
	assert_false(refuses("192.0.2.1"));
	assert_int_equal(entries(DENY_CONTROL), 1);
	assert_int_equal(add("192.0.2.7"), 0);
	assert_int_equal(entries(DENY_CONTROL), 1);
	assert_true(refuses("192.0.2.7"));
}

static void expiry(void **state)
{
	struct deny_item item;

	assert_int_equal(start(NULL, 10), 0);
	assert_int_equal(add("192.0.2.0/24 for 1h"), 0);
	assert_int_equal(add("192.0.2.1 allow for 10m"), 0);
	assert_int_equal(add("192.0.2.1 until 2020-01-01"), -ETIME);
	assert_false(refuses("192.0.2.1"));
	assert_true(deny_item(deny, 0, DENY_CONTROL, &item));
	assert_in_range(item.until_us, clock_us(CLOCK_REALTIME) + 3599 * SECOND,
			clock_us(CLOCK_REALTIME) + 3600 * SECOND);
	passed_s += 601;
	assert_true(refuses("192.0.2.1"));
	assert_int_equal(del("192.0.2.1"), -ENOENT);
	passed_s += 3600;
	assert_false(refuses("192.0.2.1"));
	assert_false(deny_item(deny, 0, DENY_CONTROL, &item));
}

static void what_has_expired_makes_room(void **state)
{
	assert_int_equal(start(NULL, 2), 0);
	assert_int_equal(add("192.0.2.1 for 1s"), 0);
	assert_int_equal(add("192.0.2.2"), 0);
	assert_int_equal(add("192.0.2.3"), -ENOSPC);
	passed_s += 2;
	assert_int_equal(add("192.0.2.3"), 0);
	assert_int_equal(deny_count(deny), 2);
	assert_int_equal(entries(DENY_CONTROL), 2);
	assert_true(refuses("192.0.2.2"));
	assert_true(refuses("192.0.2.3"));
}

static void file_and_people(void **state)
{
	char why[256];

	write_file("192.0.2.0/24\n192.0.2.7 allow\n");
	assert_int_equal(start(path, 10), 0);
	assert_true(refuses("192.0.2.1"));
	assert_false(refuses("192.0.2.7"));
	assert_int_equal(del("192.0.2.0/24"), -EROFS);
	assert_int_equal(add("192.0.2.0/24 allow for 1h"), 0);
	assert_false(refuses("192.0.2.1"));
	assert_int_equal(add("198.51.100.1"), 0);
	assert_int_equal(entries(DENY_FILE), 2);
	assert_int_equal(entries(DENY_CONTROL), 2);

	/* Another file changes nothing of what people said. */
	write_file("203.0.113.1\n");
	assert_int_equal(reload(path, why, sizeof(why)), 0);
	assert_true(refuses("203.0.113.1"));
	assert_true(refuses("198.51.100.1"));
	assert_false(refuses("192.0.2.1"));
	assert_int_equal(entries(DENY_FILE), 1);
	assert_int_equal(entries(DENY_CONTROL), 2);

	/* A bad one changes nothing at all. */
	write_file("203.0.113.2\n203.0.113.1/24\n");
	assert_int_equal(reload(path, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, ":2: \"203.0.113.1/24\" has bits set"));
	assert_true(refuses("203.0.113.1"));
	assert_false(refuses("203.0.113.2"));
	write_file("203.0.113.2\n203.0.113.2 allow\n");
	assert_int_equal(reload(path, why, sizeof(why)), -EEXIST);
	assert_non_null(strstr(why, ":2: an earlier line says the opposite"));

	assert_int_equal(reload(NULL, why, sizeof(why)), 0);
	assert_false(refuses("203.0.113.1"));
	assert_true(refuses("198.51.100.1"));
	assert_int_equal(entries(DENY_FILE), 0);
	assert_int_equal(del("192.0.2.0/24"), 0);
}

static void the_file_behind_a_person(void **state)
{
	write_file("192.0.2.1\n");
	assert_int_equal(start(path, 10), 0);
	assert_int_equal(add("192.0.2.1 allow for 1m"), 0);
	assert_false(refuses("192.0.2.1"));
	passed_s += 61;
	assert_true(refuses("192.0.2.1"));
	assert_int_equal(add("192.0.2.1 allow"), 0);
	assert_int_equal(del("192.0.2.1"), 0);
	assert_true(refuses("192.0.2.1"));
}

static void bad_file_at_start(void **state)
{
	write_file("x\n");
	assert_int_equal(start(path, 10), -EINVAL);
	assert_null(deny);
}

/* The next daemon has what people said, and the file as it is now. */
static void taken_over(void **state)
{
	has_map = true;
	write_file("192.0.2.1\n192.0.2.2\n192.0.2.3 for 1h\n");
	assert_int_equal(start(path, 10), 0);
	assert_int_equal(n_map, 3);
	assert_int_equal(add("198.51.100.1 for 1h"), 0);
	assert_int_equal(add("198.51.100.2 for 1m"), 0);
	assert_int_equal(n_map, 5);
	deny_stop(deny);
	assert_true(kept);

	passed_s += 120;
	map_writes = 0;
	write_file("192.0.2.2\n192.0.2.4\n192.0.2.3 for 1h\n");
	assert_int_equal(start(path, 10), 0);
	assert_true(refuses("198.51.100.1"));
	assert_false(refuses("198.51.100.2"));
	assert_false(refuses("192.0.2.1"));
	assert_true(refuses("192.0.2.2"));
	assert_true(refuses("192.0.2.4"));
	assert_int_equal(n_map, 4);
	assert_true(map_writes <= 2); /* what is new, and an end that is another one */
	assert_int_equal(entries(DENY_CONTROL), 1);
	assert_int_equal(del("198.51.100.1"), 0);
	deny_stop(deny);
	assert_false(kept);
	deny = NULL;
}

/* To another daemon, which says something else, and dies. */
static void given_and_taken_back(void **state)
{
	has_map = true;
	write_file("192.0.2.1\n");
	assert_int_equal(start(path, 10), 0);
	assert_int_equal(add("198.51.100.1"), 0);
	deny_let_go(deny);
	assert_true(kept);
	assert_int_equal(deny_map_fd(deny), -1);
	assert_true(refuses("192.0.2.1"));
	assert_int_equal(add("198.51.100.2"), 0);
	assert_int_equal(n_map, 2);
	keys[0].ip[15] = 77;
	assert_int_equal(deny_take_back(deny), 0);
	assert_int_equal(deny_map_fd(deny), 5);
	assert_int_equal(n_map, 3);
	for (size_t i = 0; i < n_map; i++)
		assert_int_not_equal(keys[i].ip[15], 77);
	assert_true(refuses("192.0.2.1"));
	assert_true(refuses("198.51.100.2"));
}

/* A kernel without memory: said, and taken back. */
static void no_room_in_the_kernel(void **state)
{
	struct deny_item item;
	char why[256];

	has_map = true;
	assert_int_equal(start(NULL, 10), 0);
	map_room = 2;
	assert_int_equal(add("192.0.2.1"), 0);
	assert_int_equal(add("192.0.2.2"), 0);
	assert_int_equal(add("192.0.2.3"), -ENOSPC);
	assert_false(refuses("192.0.2.3"));
	assert_int_equal(deny_count(deny), 2);
	assert_int_equal(entries(DENY_CONTROL), 2);
	assert_int_equal(del("192.0.2.2"), 0);
	assert_int_equal(n_map, 1);
	write_file("198.51.100.1\n");
	assert_int_equal(reload(path, why, sizeof(why)), 0);
	/* Room for the old and the new at a time there is not: the new come behind. */
	write_file("198.51.100.2\n");
	assert_int_equal(reload(path, why, sizeof(why)), 0);
	assert_int_equal(n_map, 2);
	assert_true(refuses("198.51.100.2"));
	assert_true(refuses("192.0.2.1"));
	assert_true(deny_item(deny, 0, DENY_CONTROL, &item));
	assert_int_equal(item.hits, 41);
}

static bool over;

static void *ask(void *arg)
{
	uint64_t *wrong = arg;

	while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE))
		*wrong += !refuses("192.0.2.1") || refuses("198.51.100.1");
	return NULL;
}

/* Workers ask while the list grows, shrinks, and is another one. */
static void asked_meanwhile(void **state)
{
	pthread_t threads[2];
	uint64_t wrong[2] = { 0 };
	char why[256], text[64];

	write_file("192.0.2.0/24\n198.51.100.0/24 allow\n");
	assert_int_equal(start(path, 5000), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask, &wrong[i]), 0);
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 1000; i++) {
			(void)snprintf(text, sizeof(text), "10.0.%d.%d", i / 250, i % 250);
			assert_int_equal(add(text), 0);
		}
		assert_int_equal(reload(path, why, sizeof(why)), 0);
		for (int i = 0; i < 1000; i++) {
			(void)snprintf(text, sizeof(text), "10.0.%d.%d", i / 250, i % 250);
			assert_int_equal(del(text), 0);
		}
	}
	__atomic_store_n(&over, true, __ATOMIC_RELEASE);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(wrong[0] + wrong[1], 0);
}

static int before(void **state)
{
	has_map = kept = over = false;
	n_map = 0;
	map_room = sizeof(map) / sizeof(map[0]);
	passed_s = 0;
	deny = NULL;
	return loop_new(&loop);
}

static int after(void **state)
{
	if (deny)
		deny_stop(deny);
	loop_free(loop);
	return 0;
}

static int make_path(void **state)
{
	int fd = mkstemp(path);

	return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state)
{
	return unlink(path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, before, after)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nobody),
		TEST(said_and_taken_back),
		TEST(expiry),
		TEST(what_has_expired_makes_room),
		TEST(file_and_people),
		TEST(the_file_behind_a_person),
		TEST(bad_file_at_start),
		TEST(taken_over),
		TEST(given_and_taken_back),
		TEST(no_room_in_the_kernel),
		TEST(asked_meanwhile),
	};

	return cmocka_run_group_tests(tests, make_path, remove_path);
}
