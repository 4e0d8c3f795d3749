// SPDX-License-Identifier: BSD-2-Clause
/*
 * LD_PRELOAD library: system calls of an unmodified program fail on demand. A test maps the
 * file that UNPROXY_FAULTS names, too, and says there which calls fail, how often and with
 * which error, and by how much the wall clock is off; it reads there how many were made.
 *
 * Reached is what goes through libc: io_uring's and the vDSO's own ways do not. write() counts
 * and fails for regular files alone: the client log, and never a socket or an eventfd.
 */
#undef _FORTIFY_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum call {
	ACCEPT4,
	CONNECT,
	SOCKET,
	PIPE2,
	EPOLL_CTL,
	WRITE,
	BPF,
	THREAD,
	EPOLL_ERROR,
	RECV,
	SEND,
	SPLICE,
	CALL__MAX
};

#define ANY (-1)

/* tests/e2e/harness/faults.py writes the same. */
struct fault {
	_Atomic int32_t skip;  /* so many more go well first */
	_Atomic int32_t times; /* then so many fail */
	_Atomic int32_t error; /* errno of those */
	_Atomic int32_t only;  /* epoll_ctl()'s operation, bpf()'s command; ANY */
	_Atomic uint32_t calls, failed;
};

struct faults {
	struct fault calls[CALL__MAX];
	_Atomic int64_t clock_off_us; /* added to CLOCK_REALTIME */
};

static struct faults nothing;
static struct faults *faults = &nothing;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("UNPROXY_FAULTS");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *page;

	if (fd < 0)
		return;
	page = mmap(NULL, sizeof(*faults), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page != MAP_FAILED)
		faults = page;
	(void)close(fd);
}

static void *next(_Atomic(void *) *kept, const char *name)
{
	void *fn = atomic_load_explicit(kept, memory_order_relaxed);

	if (!fn) {
		fn = dlsym(RTLD_NEXT, name);
		atomic_store_explicit(kept, fn, memory_order_relaxed);
	}
	return fn;
}

#define NEXT(name)                                        \
	({                                                \
		static _Atomic(void *) kept_;             \
		(__typeof__(&(name)))next(&kept_, #name); \
	})

/* One down, if there are any. */
static bool take(_Atomic int32_t *count)
{
	int32_t now = atomic_load(count);

	while (now > 0) {
		if (atomic_compare_exchange_weak(count, &now, now - 1))
			return true;
	}
	return false;
}

/* Does this call fail? Then errno says why. */
static bool fails(enum call call, int detail)
{
	struct fault *fault = &faults->calls[call];
	int32_t only = atomic_load(&fault->only);

	if (only != ANY && only != detail)
		return false;
	atomic_fetch_add(&fault->calls, 1);
	if (!atomic_load(&fault->times) || take(&fault->skip) || !take(&fault->times))
		return false;
	atomic_fetch_add(&fault->failed, 1);
	errno = atomic_load(&fault->error);
	return true;
}

int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	return fails(ACCEPT4, 0) ? -1 : NEXT(accept4)(fd, addr, len, flags);
}

int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	return fails(CONNECT, 0) ? -1 : NEXT(connect)(fd, addr, len);
}

int socket(int domain, int type, int protocol)
{
	return fails(SOCKET, 0) ? -1 : NEXT(socket)(domain, type, protocol);
}

int pipe2(int fds[2], int flags)
{
	return fails(PIPE2, 0) ? -1 : NEXT(pipe2)(fds, flags);
}

int epoll_ctl(int epoll_fd, int op, int fd, struct epoll_event *event)
{
	return fails(EPOLL_CTL, op) ? -1 : NEXT(epoll_ctl)(epoll_fd, op, fd, event);
}

ssize_t write(int fd, const void *bytes, size_t len)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && fails(WRITE, 0))
		return -1;
	return NEXT(write)(fd, bytes, len);
}

/* It does not fail: somebody else was told of a socket's error first, and its end alone is left. */
int epoll_pwait2(int epoll_fd, struct epoll_event *events, int n, const struct timespec *timeout,
		 const sigset_t *mask)
{
	int got = NEXT(epoll_pwait2)(epoll_fd, events, n, timeout, mask);

	for (int i = 0; i < got; i++) {
		if (events[i].events & EPOLLERR && fails(EPOLL_ERROR, 0))
			events[i].events &= ~(uint32_t)EPOLLERR;
	}
	return got;
}

/* Those that do not wait: of a connection's bytes. */
ssize_t recv(int fd, void *bytes, size_t len, int flags)
{
	return flags & MSG_DONTWAIT && fails(RECV, 0) ? -1 : NEXT(recv)(fd, bytes, len, flags);
}

ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
	return flags & MSG_DONTWAIT && fails(SEND, 0) ? -1 : NEXT(send)(fd, bytes, len, flags);
}

ssize_t splice(int from, off64_t *from_at, int to, off64_t *to_at, size_t len, unsigned flags)
{
	return fails(SPLICE, 0) ? -1 : NEXT(splice)(from, from_at, to, to_at, len, flags);
}

int pthread_create(pthread_t *ret, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	return fails(THREAD, 0) ? errno : NEXT(pthread_create)(ret, attr, fn, arg);
}

/* libbpf's way into the kernel. */
long syscall(long number, ...)
{
	long a[6];
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_bpf && fails(BPF, (int)a[0]))
		return -1;
	return NEXT(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	int64_t off_us = atomic_load(&faults->clock_off_us);
	int r = NEXT(clock_gettime)(clock, ret);

	if (r == 0 && off_us && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		ret->tv_sec += off_us / 1000000;
	return r;
}
