// SPDX-License-Identifier: BSD-2-Clause
/* The relay's address hook beside, after and in place of others. */
#include "hooks.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "base/socket.h"
#include "kern/cgroup.h"

#define CLIENT4 "192.0.2.7:4711"

static void two_daemons(void **state)
{
	struct up_addr server, peer;
	_cleanup_close_ int listener = listen_on("127.0.0.1", false, &server);
	_cleanup_close_ int one = connect_for(&server, CLIENT4);
	_cleanup_close_ int accepted = accept_from(listener, &peer);
	struct kern_hook *first = hook, *second = hook_open_relay();
	int fd, again;

	assert_string_equal(kern_hook_pin_path(second), HOOK_TEST_PINS "/hook-1");
	assert_int_equal(attached(BPF_CGROUP_SOCK_OPS), 2);
	hook = second;
	fd = connect_for(&server, "198.51.100.9:9");
	again = accept_from(listener, &peer);
	assert_addr(peer, "198.51.100.9:9");
	assert_addr(peer_of(accepted), CLIENT4);
	hook = first;
	cleanup_close(&fd);
	cleanup_close(&again);
	fd = connect_for(&server, "198.51.100.8:8");
	again = accept_from(listener, &peer);
	assert_addr(peer, "198.51.100.8:8");
	kern_hook_close(second);
	assert_int_equal(attached(BPF_CGROUP_SOCK_OPS), 1);
	assert_addr(peer_of(again), "198.51.100.8:8");
	cleanup_close(&fd);
	cleanup_close(&again);
}

/* A daemon that dies leaves its hook attached; the next one takes it over. */
static void killed_and_restarted(void **state)
{
	struct up_addr server, peer;
	_cleanup_close_ int listener = listen_on("127.0.0.1", false, &server);
	_cleanup_close_ int accepted = -1, fd = -1, next = -1;
	int status;
	pid_t pid;

	kern_hook_close(hook);
	hook = NULL;
	pid = fork();
	if (pid == 0) {
		hook = hook_open_relay();
		(void)connect_for(&server, CLIENT4);
		_exit(0); /* without kern_hook_close() */
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(attached(BPF_CGROUP_SOCK_OPS), 1);
	accepted = accept_from(listener, &peer); /* late */
	assert_addr(peer, CLIENT4);

	hook = hook_open_relay();
	assert_string_equal(kern_hook_pin_path(hook), HOOK_TEST_PINS "/hook");
	assert_int_equal(attached(BPF_CGROUP_SOCK_OPS), 1);
	assert_int_equal(attached(BPF_CGROUP_INET4_GETPEERNAME), 1);
	assert_int_equal(attached(BPF_CGROUP_INET6_GETPEERNAME), 1);
	assert_addr(peer_of(accepted), CLIENT4);
	fd = connect_for(&server, "198.51.100.8:8");
	next = accept_from(listener, &peer);
	assert_addr(peer, "198.51.100.8:8");
}

/* The second of two was killed: the next start, which is the first, tidies up. */
static void leftovers_are_swept(void **state)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		(void)hook_open_relay();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(access(HOOK_TEST_PINS "/hook-1", F_OK), 0);
	assert_int_equal(attached(BPF_CGROUP_SOCK_OPS), 2);
	kern_hook_close(hook);
	hook = hook_open_relay();
	assert_int_equal(access(HOOK_TEST_PINS "/hook-1", F_OK), -1);
	assert_int_equal(attached(BPF_CGROUP_SOCK_OPS), 1);
}

static int foreign_program(void)
{
	const struct bpf_insn go_on[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_SOCK_OPS, "foreign", "GPL", go_on, ARRAY_SIZE(go_on),
			       NULL);

	assert_return_code(fd, errno);
	return fd;
}

static void foreign_programs_stay(void **state)
{
	_cleanup_close_ int foreign = foreign_program();

	kern_hook_close(hook);
	hook = NULL;
	assert_return_code(bpf_prog_attach(foreign, hook_cgroup, BPF_CGROUP_SOCK_OPS,
					   BPF_F_ALLOW_MULTI),
			   errno);
	hook = hook_open_relay();
	assert_int_equal(attached(BPF_CGROUP_SOCK_OPS), 2);
	kern_hook_close(hook);
	hook = NULL;
	assert_int_equal(attached(BPF_CGROUP_SOCK_OPS), 1);
	assert_return_code(bpf_prog_detach2(foreign, hook_cgroup, BPF_CGROUP_SOCK_OPS), errno);
}

static void refused_leaves_nothing(void **state)
{
	struct kern_hook_params params = { .engine = KERN_HOOK_RELAY,
					   .connections = 16,
					   .pin_root = HOOK_TEST_PINS,
					   .cgroup = hook_cgroup_path };
	_cleanup_close_ int foreign = foreign_program();
	char why[384] = "";

	kern_hook_close(hook);
	hook = NULL;
	assert_return_code(bpf_prog_attach(foreign, hook_cgroup, BPF_CGROUP_SOCK_OPS, 0), errno);
	assert_int_equal(kern_hook_open(&params, &hook, why, sizeof(why)), -EPERM);
	assert_null(hook);
	assert_non_null(strstr(why, "attach sockops"));
	assert_int_equal(attached(BPF_CGROUP_INET4_GETPEERNAME), 0);
	assert_int_equal(access(HOOK_TEST_PINS, F_OK), -1);
	assert_return_code(bpf_prog_detach2(foreign, hook_cgroup, BPF_CGROUP_SOCK_OPS), errno);

	params.cgroup = "/proc";
	assert_true(kern_hook_open(&params, &hook, why, sizeof(why)) < 0);
	assert_string_equal(why, "cgroup /proc: No such file or directory");
}

/* No cgroup2 in the list of mounts, or something else in its place: a mount of our own. */
static void cgroup_is_found(void **state)
{
	static const char *const lists[] = {
		"25 1 8:1 / / rw - ext4 /dev/sda1 rw\n",
		"30 25 0:26 / /proc rw,relatime shared:4 - cgroup2 cgroup2 rw\n",
		"30 25 0:26 / /no/such/place rw - cgroup2 cgroup2 rw\n",
	};
	struct cgroup_root found;
	char why[256];

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		char path[] = "/tmp/mountinfo-XXXXXX";
		_cleanup_close_ int fd = mkstemp(path);

		assert_return_code(fd, errno);
		assert_int_equal(write(fd, lists[i], strlen(lists[i])), strlen(lists[i]));
		assert_int_equal(cgroup_root_open(path, &found, why, sizeof(why)), 0);
		assert_string_equal(found.path, "-");
		assert_int_equal(faccessat(found.fd, "cgroup.procs", F_OK, 0), 0);
		cleanup_close(&found.fd);
		assert_return_code(unlink(path), errno);
	}
	assert_int_equal(cgroup_root_open(NULL, &found, why, sizeof(why)), 0);
	cleanup_close(&found.fd);
	assert_int_equal(cgroup_open(hook_cgroup_path, &found, why, sizeof(why)), 0);
	assert_false(found.whole_host);
	cleanup_close(&found.fd);
}

static void closed_is_gone(void **state)
{
	static const unsigned types[] = { BPF_CGROUP_SOCK_OPS, BPF_CGROUP_INET4_GETPEERNAME,
					  BPF_CGROUP_INET6_GETPEERNAME };
	struct up_addr server, peer;
	_cleanup_close_ int listener = listen_on("127.0.0.1", false, &server);
	_cleanup_close_ int fd = connect_for(&server, CLIENT4);
	_cleanup_close_ int accepted = accept_from(listener, &peer);

	assert_addr(peer, CLIENT4);
	kern_hook_close(hook);
	hook = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		assert_int_equal(attached(types[i]), 0);
	assert_same_addr(peer_of(accepted), local_of(fd));
	assert_int_equal(access(HOOK_TEST_PINS, F_OK), -1);
}

#define hook_test(name) cmocka_unit_test_setup_teardown(name, hook_set_up, hook_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		hook_test(two_daemons),
		hook_test(killed_and_restarted),
		hook_test(leftovers_are_swept),
		hook_test(foreign_programs_stay),
		hook_test(refused_leaves_nothing),
		hook_test(cgroup_is_found),
		hook_test(closed_is_gone),
	};

	return cmocka_run_group_tests(tests, hooks_set_up, hooks_tear_down);
}
