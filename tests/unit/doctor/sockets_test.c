// SPDX-License-Identifier: BSD-2-Clause
/* Who listens, and what a connection meets: against sockets of this process. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/addr.h"
#include "base/socket.h"
#include "doctor/owner.h"
#include "doctor/probe.h"

#define BACKLOG 16
#define PATIENCE_MS 20000

/* A listening socket on a port of the kernel's choice. */
static int open_listener(const char *text, struct up_addr *ret)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	int fd;

	assert_int_equal(addr_parse_ip(text, ret), 0);
	fd = socket_listen(ret, BACKLOG);
	assert_true(fd >= 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	addr_from_sockaddr(ret, (struct sockaddr *)&sa);
	return fd;
}

static void the_owner_is_found(void **state)
{
	struct listenings all = { 0 };
	const struct listening *found;
	struct up_addr addr, other;
	struct owner owner;
	int fd = open_listener("127.0.0.1", &addr);

	assert_int_equal(listenings_read(&all), 0);
	found = listenings_find(&all, &addr);
	assert_non_null(found);
	assert_true(addr_equal(&found->addr, &addr));
	owner_find(found, &owner);
	assert_int_equal(owner.pid, getpid());
	assert_false(owner.ours);

	/* What would collide with it: wildcards, and no other address. */
	other = (struct up_addr){ .family = UP_FAMILY_IPV6, .port = addr.port };
	assert_ptr_equal(listenings_find(&all, &other), found);
	assert_int_equal(addr_parse_ip("127.0.0.2", &other), 0);
	other.port = addr.port;
	assert_null(listenings_find(&all, &other));
	other = addr;
	other.port = 1;
	assert_null(listenings_find(&all, &other));
	listenings_free(&all);
	(void)close(fd);
}

static void addresses_of_this_host(void **state)
{
	struct up_addr addr;

	assert_int_equal(addr_parse_ip("127.9.9.9", &addr), 0);
	assert_true(addr_is_local(&addr));
	assert_int_equal(addr_parse_ip("192.0.2.1", &addr), 0);
	assert_false(addr_is_local(&addr));
}

static void *reset_one(void *arg)
{
	int fd = accept(*(int *)arg, NULL, NULL);

	if (fd >= 0)
		socket_reset(fd);
	return NULL;
}

static void *answer_one(void *arg)
{
	int fd = accept(*(int *)arg, NULL, NULL);
	char buf[64];

	while (fd >= 0 && read(fd, buf, sizeof(buf)) > 0)
		;
	(void)!write(fd, "x", 1);
	(void)close(fd);
	return NULL;
}

static void *close_one(void *arg)
{
	int fd = accept(*(int *)arg, NULL, NULL);
	char buf[64];

	while (fd >= 0 && read(fd, buf, sizeof(buf)) > 0)
		;
	(void)close(fd);
	return NULL;
}

/* A probe of each, in that order: what ends by itself is waited for. */
enum { RESET, ANSWER, CLOSE, OPEN, NOBODY, N_PROBES };

static void what_a_connection_meets(void **state)
{
	static const uint8_t bytes[] = "hello";
	void *(*const peers[])(void *) = { reset_one, answer_one, close_one };
	const enum probe_end ends[N_PROBES] = { PROBE_RESET, PROBE_ANSWER, PROBE_CLOSED, PROBE_OPEN,
						PROBE_ERROR };
	struct probe probes[N_PROBES] = { 0 };
	pthread_t threads[3];
	int fds[NOBODY];

	for (int i = 0; i < NOBODY; i++) {
		fds[i] = open_listener("127.0.0.1", &probes[i].to);
		(void)fcntl(fds[i], F_SETFL, 0); /* the peers block */
		probes[i].bytes = i < OPEN ? bytes : NULL;
		probes[i].len = i < OPEN ? sizeof(bytes) : 0;
		probes[i].from = probes[i].to;
		probes[i].from.port = 0;
	}
	probes[NOBODY].to = probes[OPEN].to;
	probes[NOBODY].to.port = 1;
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, peers[i], &fds[i]), 0);
	probe_run(probes, N_PROBES, PATIENCE_MS);
	for (int i = 0; i < 3; i++)
		(void)pthread_join(threads[i], NULL);
	for (int i = 0; i < N_PROBES; i++)
		assert_int_equal(probes[i].end, ends[i]);
	assert_int_equal(probes[NOBODY].err, ECONNREFUSED);
	for (int i = 0; i < NOBODY; i++)
		(void)close(fds[i]);
}

static void nobody_answers(void **state)
{
	struct probe probe = { .bytes = (const uint8_t *)"x", .len = 1 };
	int fd = open_listener("127.0.0.1", &probe.to);

	probe_run(&probe, 1, 1);
	assert_int_equal(probe.end, PROBE_SILENT);
	(void)close(fd);
}

/* All are connected before the first is looked at: most have been reset by then. */
static void reset_at_once(void **state)
{
	struct probe probes[BACKLOG] = { 0 };
	pthread_t threads[BACKLOG];
	struct up_addr to;
	int fd = open_listener("127.0.0.1", &to);

	(void)fcntl(fd, F_SETFL, 0);
	for (int i = 0; i < BACKLOG; i++) {
		probes[i] = (struct probe){ .to = to };
		if (i % 2)
			probes[i].bytes = (const uint8_t *)"x";
		probes[i].len = 1;
		assert_int_equal(pthread_create(&threads[i], NULL, reset_one, &fd), 0);
	}
	probe_run(probes, BACKLOG, PATIENCE_MS);
	for (int i = 0; i < BACKLOG; i++) {
		(void)pthread_join(threads[i], NULL);
		assert_int_equal(probes[i].end, i % 2 ? PROBE_RESET : PROBE_OPEN);
	}
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_owner_is_found),      cmocka_unit_test(addresses_of_this_host),
		cmocka_unit_test(what_a_connection_meets), cmocka_unit_test(nobody_answers),
		cmocka_unit_test(reset_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
