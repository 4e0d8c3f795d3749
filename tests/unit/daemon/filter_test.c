/* SPDX-License-Identifier: BSD-2-Clause */
/* The system call filter, each case in a child of its own: what kills, what is refused, what passes. */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/netlink.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "daemon/filter.h"

#define OK 0
#define DIES (-1) /* else: the errno */

typedef long call_fn(void);

/* What a child says of its call: 0, an errno, or DIES. */
static int outcome(const struct filter_params *params, call_fn *call)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		/* Dying is expected: no core file of it. */
		(void)prctl(PR_SET_DUMPABLE, 0);
		if (filter_load(params))
			_exit(200);
		_exit(call() < 0 ? errno : 0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		return DIES;
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static long call_execve(void)
{
	char *argv[] = { "true", NULL };

	return execve("/bin/true", argv, argv + 1);
}

static long call_execveat(void)
{
	return syscall(__NR_execveat, -1, "/bin/true", NULL, NULL, 0);
}

static long call_ptrace(void)
{
	return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static long call_write_into_parent(void)
{
	return syscall(__NR_process_vm_writev, getppid(), NULL, 0, NULL, 0, 0);
}

static long call_mount(void)
{
	return syscall(__NR_mount, "none", "/tmp", "tmpfs", 0, NULL);
}

static long call_init_module(void)
{
	return syscall(__NR_init_module, NULL, 0, "");
}

static long call_unshare(void)
{
	return syscall(__NR_unshare, 0);
}

static long call_packet_socket(void)
{
	return socket(AF_PACKET, SOCK_RAW, 0);
}

static long call_fork(void)
{
	return syscall(__NR_clone, SIGCHLD, 0, 0, 0, 0);
}

static long call_bluetooth_socket(void)
{
	return socket(AF_BLUETOOTH, SOCK_STREAM, 0);
}

static long call_route_socket(void)
{
	return socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
}

static long call_audit_socket(void)
{
	return socket(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT);
}

static long call_uring_setup(void)
{
	struct io_uring_params params = { 0 };

	return syscall(__NR_io_uring_setup, 4, &params);
}

static long bpf_call(int command)
{
	union bpf_attr attr = { 0 };

	attr.map_fd = (uint32_t)-1;
	return syscall(__NR_bpf, command, &attr, sizeof(attr));
}

static long call_bpf_load(void)
{
	return bpf_call(BPF_PROG_LOAD);
}

static long call_bpf_lookup(void)
{
	return bpf_call(BPF_MAP_LOOKUP_ELEM);
}

static long call_setuid(void)
{
	return syscall(__NR_setuid, 0);
}

static long call_kill(void)
{
	return kill(getppid(), 0);
}

static long call_run_memory(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return 0; /* not what is expected */
	return mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

static long call_unknown(void)
{
	return syscall(100000);
}

static void *nothing(void *arg)
{
	return arg;
}

static long call_thread(void)
{
	pthread_t thread;
	int err = pthread_create(&thread, NULL, nothing, NULL);

	if (!err)
		err = pthread_join(thread, NULL);
	errno = err;
	return err ? -1 : 0;
}

static long call_files(void)
{
	char path[] = "/tmp/unproxy-filter-XXXXXX";
	int fd = mkstemp(path);

	return fd < 0 || write(fd, "x", 1) != 1 || unlink(path) < 0 ? -1 : 0;
}

static long call_connection(void)
{
	int fds[2];

	if (socket(AF_INET6, SOCK_STREAM, 0) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
		return -1;
	return write(fds[0], "x", 1) == 1 && shutdown(fds[0], SHUT_WR) == 0 ? 0 : -1;
}

static const struct {
	const char *what;
	call_fn *call;
	int plain, full; /* without and with bpf and netlink */
} cases[] = {
	{ "execve", call_execve, DIES, DIES },
	{ "execveat", call_execveat, DIES, DIES },
	{ "ptrace", call_ptrace, DIES, DIES },
	{ "process_vm_writev", call_write_into_parent, DIES, DIES },
	{ "mount", call_mount, DIES, DIES },
	{ "init_module", call_init_module, DIES, DIES },
	{ "unshare", call_unshare, DIES, DIES },
	{ "AF_PACKET", call_packet_socket, DIES, DIES },
	{ "a child process", call_fork, ENOSYS, ENOSYS },
	{ "AF_BLUETOOTH", call_bluetooth_socket, ENOSYS, ENOSYS },
	{ "AF_NETLINK of the routes", call_route_socket, ENOSYS, OK },
	{ "AF_NETLINK of the audit", call_audit_socket, ENOSYS, ENOSYS },
	{ "a new io_uring", call_uring_setup, EPERM, EPERM },
	{ "a new program", call_bpf_load, EPERM, EPERM },
	{ "a map's entry", call_bpf_lookup, EPERM, EBADF },
	{ "setuid", call_setuid, EPERM, EPERM },
	{ "a signal to another process", call_kill, EPERM, EPERM },
	{ "code in memory", call_run_memory, ENOSYS, ENOSYS },
	{ "a call of a later kernel", call_unknown, ENOSYS, ENOSYS },
	{ "a thread", call_thread, OK, OK },
	{ "files", call_files, OK, OK },
	{ "connections", call_connection, OK, OK },
};

static void check(const struct filter_params *params, bool full)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int wanted = full ? cases[i].full : cases[i].plain;
		int got = outcome(params, cases[i].call);

		if (got != wanted)
			fail_msg("%s: outcome %d, wanted %d", cases[i].what, got, wanted);
	}
}

static void plain(void **state)
{
	check(&(struct filter_params){ 0 }, false);
}

static void with_bpf_and_netlink(void **state)
{
	check(&(struct filter_params){ .bpf = true, .netlink = true }, true);
}

static int gate[2];

static void *wait_and_execute(void *arg)
{
	char byte;

	(void)!read(gate[0], &byte, 1);
	(void)call_execve();
	_exit(0);
}

/* A thread that was there before is caught, too. */
static long call_execve_elsewhere(void)
{
	char byte = 1;

	if (write(gate[1], &byte, 1) != 1)
		return -1;
	return poll(NULL, 0, 10000);
}

static void every_thread(void **state)
{
	const struct filter_params params = { 0 };
	pid_t pid = fork();
	pthread_t thread;
	int status;

	if (pid == 0) {
		(void)prctl(PR_SET_DUMPABLE, 0);
		if (pipe(gate) < 0 || pthread_create(&thread, NULL, wait_and_execute, NULL) ||
		    filter_load(&params))
			_exit(200);
		(void)call_execve_elsewhere();
		_exit(201);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain),
		cmocka_unit_test(with_bpf_and_netlink),
		cmocka_unit_test(every_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
