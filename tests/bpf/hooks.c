// SPDX-License-Identifier: BSD-2-Clause
#include "hooks.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/stat.h>

#include <bpf/bpf.h>

#include "base/clock.h"
#include "base/socket.h"
#include "kern/cgroup.h"

#define DEADLINE_US 5000000

int hook_cgroup = -1;
char hook_cgroup_path[320];

struct kern_hook *hook;

static int root = -1;

static int move_to(int cgroup)
{
	_cleanup_close_ int fd = openat(cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, "0", 1) != 1 ? -errno : 0;
}

int hooks_leave(void)
{
	return move_to(root);
}

int hooks_set_up(void **state)
{
	struct cgroup_root found;
	char why[256], name[64];

	if (cgroup_root_open(NULL, &found, why, sizeof(why))) {
		print_error("%s\n", why);
		return -1;
	}
	root = found.fd;
	snprintf(name, sizeof(name), "unproxy-test-%d", getpid());
	snprintf(hook_cgroup_path, sizeof(hook_cgroup_path), "/proc/%d/fd/%d/%s", getpid(), root,
		 name);
	if (mkdir(hook_cgroup_path, 0700) < 0)
		return -errno;
	hook_cgroup = open(hook_cgroup_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return hook_cgroup < 0 ? -errno : move_to(hook_cgroup);
}

int hooks_tear_down(void **state)
{
	int err = move_to(root);

	(void)kern_hook_remove(HOOK_TEST_PINS);
	cleanup_close(&hook_cgroup);
	if (rmdir(hook_cgroup_path) < 0)
		err = -errno;
	cleanup_close(&root);
	return err;
}

struct kern_hook *hook_open(const struct kern_hook_params *params)
{
	struct kern_hook_params mine = *params;
	struct kern_hook *opened = NULL;
	char why[384] = "";

	mine.pin_root = HOOK_TEST_PINS;
	mine.cgroup = hook_cgroup_path;
	if (kern_hook_open(&mine, &opened, why, sizeof(why)))
		fail_msg("%s", why);
	return opened;
}

struct kern_hook *hook_open_relay(void)
{
	return hook_open(
		&(struct kern_hook_params){ .engine = KERN_HOOK_RELAY, .connections = 64 });
}

struct up_addr addr_of(const char *text)
{
	struct up_addr addr;

	assert_int_equal(addr_parse(text, &addr), 0);
	return addr;
}

struct up_addr local_of(int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct up_addr addr;

	assert_return_code(getsockname(fd, (struct sockaddr *)&sa, &len), errno);
	addr_from_sockaddr(&addr, (struct sockaddr *)&sa);
	return addr;
}

int listen_on(const char *ip, bool both, struct up_addr *ret)
{
	char text[ADDR_TEXT_MAX];
	int fd;

	snprintf(text, sizeof(text), "%s:0", both ? "*" : ip);
	*ret = addr_of(text);
	fd = socket_listen(ret, 64);
	assert_true(fd >= 0);
	assert_return_code(fcntl(fd, F_SETFL, 0), errno); /* accept() waits */
	if (both) {
		uint16_t port = local_of(fd).port;

		snprintf(text, sizeof(text), "%s:%u", ip, port);
		*ret = addr_of(text);
	} else {
		*ret = local_of(fd);
	}
	return fd;
}

int accept_from(int listener, struct up_addr *ret_peer)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	int fd = accept4(listener, (struct sockaddr *)&sa, &len, SOCK_CLOEXEC);

	assert_return_code(fd, errno);
	addr_from_sockaddr(ret_peer, (struct sockaddr *)&sa);
	return fd;
}

struct up_addr peer_of(int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct up_addr addr;

	assert_return_code(getpeername(fd, (struct sockaddr *)&sa, &len), errno);
	addr_from_sockaddr(&addr, (struct sockaddr *)&sa);
	return addr;
}

unsigned attached(unsigned type)
{
	uint32_t ids[64], n = ARRAY_SIZE(ids), flags;

	assert_return_code(bpf_prog_query(hook_cgroup, type, 0, &flags, ids, &n), errno);
	return n;
}

int hook_set_up(void **state)
{
	hook = hook_open_relay();
	return 0;
}

int hook_tear_down(void **state)
{
	kern_hook_close(hook);
	hook = NULL;
	return 0;
}

/* As the relay does it. The socket does not block. */
int socket_named(const struct up_addr *server, const char *client_text)
{
	struct up_addr client = addr_of(client_text);
	int fd = socket_for(server);

	assert_return_code(fd, errno);
	assert_non_null(kern_hook_announce(hook, socket_cookie(fd), &client));
	return fd;
}

int connect_for(const struct up_addr *server, const char *client)
{
	int fd = socket_named(server, client);
	int err = socket_start(fd, server, false);

	if (!err)
		return fd;
	(void)close(fd);
	return err;
}

struct up_hook_stats hook_stats_now(void)
{
	struct up_hook_stats stats;

	assert_int_equal(kern_hook_stats(hook, &stats), 0);
	return stats;
}

unsigned handshakes(void)
{
	_cleanup_close_ int fd = bpf_obj_get(HOOK_TEST_PINS "/hook/handshakes");
	struct up_tuple key, next;
	unsigned n = 0;

	assert_true(fd >= 0);
	for (void *at = NULL; bpf_map_get_next_key(fd, at, &next) == 0; at = &key) {
		key = next;
		n++;
	}
	return n;
}

void wait_for_no_handshake(void)
{
	uint64_t end = clock_us(CLOCK_MONOTONIC) + DEADLINE_US;

	while (handshakes() && clock_us(CLOCK_MONOTONIC) < end)
		(void)poll(NULL, 0, 1);
	assert_int_equal(handshakes(), 0);
}
