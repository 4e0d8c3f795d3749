/* SPDX-License-Identifier: BSD-2-Clause */
/* What a service manager hears on NOTIFY_SOCKET; without one: nothing, and no error. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "obs/notify.h"

struct manager {
	int fd;
	char text[512];
	int passed; /* a descriptor that came along */
};

static int listen_for(void **state)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	static struct manager manager;
	socklen_t len;

	/* An abstract name: nothing to clean up. */
	manager = (struct manager){ .fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0),
				    .passed = -1 };
	(void)snprintf(sa.sun_path + 1, sizeof(sa.sun_path) - 1, "unproxy-notify-%d",
		       (int)getpid());
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(sa.sun_path + 1));
	assert_int_equal(bind(manager.fd, (struct sockaddr *)&sa, len), 0);
	sa.sun_path[0] = '@';
	(void)setenv("NOTIFY_SOCKET", sa.sun_path, 1);
	(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("WATCHDOG_PID");
	*state = &manager;
	return 0;
}

static int forget(void **state)
{
	struct manager *manager = *state;

	(void)close(manager->fd);
	if (manager->passed >= 0)
		(void)close(manager->passed);
	(void)unsetenv("NOTIFY_SOCKET");
	return 0;
}

/* One message, "" for none. */
static const char *heard(struct manager *manager)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { manager->text, sizeof(manager->text) - 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(manager->fd, &msg, 0);

	if (n < 0)
		return "";
	manager->text[n] = '\0';
	if (CMSG_FIRSTHDR(&msg))
		memcpy(&manager->passed, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	return manager->text;
}

static void states(void **state)
{
	struct manager *manager = *state;

	notify_ready("serving");
	assert_string_equal(heard(manager), "READY=1\nSTATUS=serving");
	notify_status("draining %d", 3);
	assert_string_equal(heard(manager), "STATUS=draining 3");
	notify_stopping();
	assert_string_equal(heard(manager), "STOPPING=1");
	notify_watchdog();
	assert_string_equal(heard(manager), "WATCHDOG=1");
}

static void a_reload_says_when_it_began(void **state)
{
	uint64_t before = clock_us(CLOCK_MONOTONIC), after;
	unsigned long long said = 0;

	notify_reloading();
	after = clock_us(CLOCK_MONOTONIC);
	assert_int_equal(sscanf(heard(*state), "RELOADING=1\nMONOTONIC_USEC=%llu", &said), 1);
	assert_in_range(said, before, after);
}

static void a_line_of_any_length_is_cut(void **state)
{
	struct manager *manager = *state;
	char text[1000];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	notify_ready(text);
	assert_int_equal(strlen(heard(manager)), strlen("READY=1\nSTATUS=") + 256);
	notify_status("%s", text);
	assert_int_equal(strlen(heard(manager)), strlen("STATUS=") + 255);
}

static void store(void **state)
{
	struct manager *manager = *state;
	struct stat ours, theirs;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_int_equal(notify_store("web", &fd, 1), 0);
	assert_string_equal(heard(manager), "FDSTORE=1\nFDPOLL=0\nFDNAME=web");
	assert_int_equal(fstat(fd, &ours), 0);
	assert_int_equal(fstat(manager->passed, &theirs), 0);
	assert_true(ours.st_rdev == theirs.st_rdev);
	notify_unstore("web");
	assert_string_equal(heard(manager), "FDSTOREREMOVE=1\nFDNAME=web");
	(void)close(fd);
}

static void *act_on_one(void *arg)
{
	struct manager *manager = arg;
	struct pollfd poll_fd = { .fd = manager->fd, .events = POLLIN };

	(void)poll(&poll_fd, 1, -1);
	(void)heard(manager);
	(void)close(manager->passed);
	manager->passed = -1;
	return NULL;
}

static void a_barrier_falls_when_the_manager_has_come_to_it(void **state)
{
	struct manager *manager = *state;
	pthread_t thread;

	assert_int_equal(notify_barrier(1000), -ETIMEDOUT);
	assert_string_equal(heard(manager), "BARRIER=1");
	(void)close(manager->passed);
	manager->passed = -1;
	assert_int_equal(pthread_create(&thread, NULL, act_on_one, manager), 0);
	assert_int_equal(notify_barrier(60 * 1000000ULL), 0);
	(void)pthread_join(thread, NULL);
	assert_string_equal(manager->text, "BARRIER=1");
}

static void watchdog(void **state)
{
	char pid[16];

	assert_int_equal(notify_watchdog_us(), 0);
	(void)setenv("WATCHDOG_USEC", "20000000", 1);
	assert_int_equal(notify_watchdog_us(), 20000000);
	(void)setenv("WATCHDOG_PID", "1", 1);
	assert_int_equal(notify_watchdog_us(), 0);
	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	(void)setenv("WATCHDOG_PID", pid, 1);
	assert_int_equal(notify_watchdog_us(), 20000000);
}

static void without_a_manager(void **state)
{
	int fd = STDERR_FILENO;

	(void)unsetenv("NOTIFY_SOCKET");
	notify_ready("serving");
	notify_reloading();
	notify_stopping();
	assert_string_equal(heard(*state), "");
	assert_int_equal(notify_store("web", &fd, 1), -ENOTCONN);
	assert_int_equal(notify_barrier(1000), -ENOTCONN);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, listen_for, forget)
	const struct CMUnitTest tests[] = {
		test(states),
		test(a_reload_says_when_it_began),
		test(a_line_of_any_length_is_cut),
		test(store),
		test(a_barrier_falls_when_the_manager_has_come_to_it),
		test(watchdog),
		test(without_a_manager),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
