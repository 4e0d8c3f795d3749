/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * LD_PRELOAD library: an unmodified client speaks PROXY, as if it were the load balancer
 * (docs/proxy-preload.md). It sits between the program and libc's connect() and write()
 * family; a connection it has done with costs one look at a byte a call.
 *
 * Not reached: programs that make their system calls without libc (Go), io_uring, stdio on
 * sockets, and descriptors duplicated between connect() and the first byte.
 */
#undef _FORTIFY_SOURCE /* its inline read() would clash with ours */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "proxy_preload_config.h"

#define FD_MAX (1 << 20)
#define HEADER_MAX 4096

/* ---- the header ---- */

/* Add n to the low bits of an address; those above stay. */
static void count_up(uint8_t *ip, unsigned bits, uint32_t n)
{
	uint64_t carry = n;

	if (bits < 32)
		carry &= (UINT64_C(1) << bits) - 1;
	for (int at = 15; at >= 0 && carry > 0; at--) {
		carry += ip[at];
		ip[at] = (uint8_t)carry;
		carry >>= 8;
	}
}

static bool from_sockaddr(const struct sockaddr *sa, struct endpoint *ret)
{
	const struct sockaddr_in6 *in6 = (const void *)sa;
	const struct sockaddr_in *in = (const void *)sa;

	switch (sa->sa_family) {
	case AF_INET:
		memcpy(ret->ip, mapped, sizeof(mapped));
		memcpy(ret->ip + 12, &in->sin_addr, 4);
		ret->port = ntohs(in->sin_port);
		return true;
	case AF_INET6:
		memcpy(ret->ip, &in6->sin6_addr, 16);
		ret->port = ntohs(in6->sin6_port);
		return true;
	default:
		return false;
	}
}

static bool own_name(int fd, bool peer, struct endpoint *ret)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int r = peer ? getpeername(fd, (void *)&ss, &len) : getsockname(fd, (void *)&ss, &len);

	return r == 0 && from_sockaddr((const void *)&ss, ret);
}

/* The client of the n-th connection: the same however often its header is built. */
static bool choose_source(int fd, uint32_t n, struct endpoint *ret)
{
	if (!config.has_source)
		return own_name(fd, false, ret);
	*ret = config.source;
	if (config.source_bits > 0)
		count_up(ret->ip, config.source_bits, n);
	if (ret->port == 0)
		ret->port = (uint16_t)(1024 + n % (65536 - 1024));
	return true;
}

static const char *ip_text(const struct endpoint *endpoint, bool ipv4, char *buf)
{
	return inet_ntop(ipv4 ? AF_INET : AF_INET6, endpoint->ip + (ipv4 ? 12 : 0), buf,
			 INET6_ADDRSTRLEN);
}

static size_t build_v1(const struct endpoint *src, const struct endpoint *dst, bool ipv4, char *buf)
{
	char src_text[INET6_ADDRSTRLEN], dst_text[INET6_ADDRSTRLEN];

	return (size_t)snprintf(buf, HEADER_MAX, "PROXY TCP%c %s %s %u %u\r\n", ipv4 ? '4' : '6',
				ip_text(src, ipv4, src_text), ip_text(dst, ipv4, dst_text),
				src->port, dst->port);
}

static size_t build_v2(const struct endpoint *src, const struct endpoint *dst, bool ipv4, char *buf)
{
	static const uint8_t signature[] = "\r\n\r\n\0\r\nQUIT\n";
	size_t ip_len = ipv4 ? 4 : 16, skip = 16 - ip_len;
	uint16_t len = htons((uint16_t)(2 * ip_len + 4 + config.tlv_len));
	uint16_t ports[] = { htons(src->port), htons(dst->port) };
	char *at = buf;

	at = mempcpy(at, signature, 12);
	*at++ = 0x21;
	*at++ = ipv4 ? 0x11 : 0x21;
	at = mempcpy(at, &len, 2);
	at = mempcpy(at, src->ip + skip, ip_len);
	at = mempcpy(at, dst->ip + skip, ip_len);
	at = mempcpy(at, ports, 4);
	at = mempcpy(at, config.tlvs, config.tlv_len);
	return (size_t)(at - buf);
}

/* Two families in one header: the IPv4 one is written mapped. Returns 0 if there are no names. */
static size_t build_header(int fd, uint32_t n, char *buf)
{
	struct endpoint src, dst = config.destination;
	bool ipv4;

	if (!choose_source(fd, n, &src))
		return 0;
	if (!config.has_destination && !own_name(fd, true, &dst))
		return 0;
	ipv4 = is_ipv4(&src) && is_ipv4(&dst);
	return config.version == 1 ? build_v1(&src, &dst, ipv4, buf)
				   : build_v2(&src, &dst, ipv4, buf);
}

/* ---- connections ---- */

enum fd_state { FD_NONE, FD_OWES, FD_PAID };

/* By descriptor; written by the thread that has it. Untouched pages cost nothing. */
static struct {
	uint8_t state; /* enum fd_state */
	uint16_t sent; /* bytes of the header */
	uint32_t n;    /* which connection it is, counted over the process */
} fds[FD_MAX];

static _Atomic uint32_t n_connections;

/* libc's own function, looked up at its first call: others' constructors may run before ours. */
#define REAL(name)                                               \
	({                                                       \
		static __typeof__(name) *real_;                  \
		if (!real_)                                      \
			real_ = (void *)dlsym(RTLD_NEXT, #name); \
		real_;                                           \
	})

static inline bool owes_header(int fd)
{
	return __builtin_expect((unsigned)fd < FD_MAX && fds[fd].state == FD_OWES, 0);
}

static const uint8_t any[16];

static bool is_target(int fd, const struct sockaddr *sa)
{
	struct endpoint to;
	socklen_t len = sizeof(int);
	int type = 0;

	if (config.version == 0 || (unsigned)fd >= FD_MAX || !from_sockaddr(sa, &to))
		return false;
	for (size_t i = 0; i < config.n_targets; i++) {
		const struct endpoint *target = &config.targets[i];

		if (target->port != 0 && target->port != to.port)
			continue;
		if (memcmp(target->ip, any, 16) == 0 || memcmp(target->ip, to.ip, 16) == 0)
			return true;
	}
	if (config.n_targets > 0)
		return false;
	return REAL(getsockopt)(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

/* Send the header, and len bytes of data behind it, in one system call. Returns the bytes
 * of data that were sent; -1 with errno if none and the header is not whole. */
static ssize_t send_behind_header(int fd, const void *data, size_t len, int flags)
{
	char header[HEADER_MAX];
	size_t header_len = build_header(fd, fds[fd].n, header);

	if (header_len == 0) { /* no names: not connected. The kernel knows why. */
		if (REAL(send)(fd, NULL, 0, flags) == 0)
			errno = EAGAIN;
		return -1;
	}
	for (;;) {
		size_t left = header_len - fds[fd].sent;
		struct iovec iov[] = { { header + fds[fd].sent, left }, { (void *)data, len } };
		struct msghdr msg = { .msg_iov = iov, .msg_iovlen = len > 0 ? 2 : 1 };
		ssize_t n = REAL(sendmsg)(fd, &msg, flags);

		if (n < 0)
			return -1;
		if ((size_t)n >= left) {
			fds[fd].state = FD_PAID;
			return n - (ssize_t)left;
		}
		fds[fd].sent = (uint16_t)(fds[fd].sent + n);
	}
}

/* The header alone. flags: MSG_MORE where data follows at once, so that it shares a segment. */
static bool pay(int fd, int flags)
{
	return send_behind_header(fd, NULL, 0, flags) == 0;
}

/* As pay(), where the caller does not mean to send: a failure is for the next call to tell. */
static void try_to_pay(int fd)
{
	int saved = errno;

	(void)pay(fd, MSG_DONTWAIT | MSG_NOSIGNAL);
	errno = saved;
}

/* ---- in libc's place ---- */

int socket(int domain, int type, int protocol)
{
	int fd = REAL(socket)(domain, type, protocol);

	if ((unsigned)fd < FD_MAX)
		fds[fd].state = FD_NONE;
	return fd;
}

int close(int fd)
{
	if ((unsigned)fd < FD_MAX)
		fds[fd].state = FD_NONE;
	return REAL(close)(fd);
}

int connect(int fd, const struct sockaddr *sa, socklen_t len)
{
	int r = REAL(connect)(fd, sa, len);
	int saved = errno;

	/* A second connect() of a non-blocking socket only asks how the first one went. */
	if ((r == 0 || saved == EINPROGRESS) && is_target(fd, sa) && fds[fd].state == FD_NONE) {
		fds[fd].n = atomic_fetch_add_explicit(&n_connections, 1, memory_order_relaxed);
		fds[fd].sent = 0;
		fds[fd].state = FD_OWES;
	}
	if (r == 0 && config.eager && owes_header(fd))
		try_to_pay(fd);
	errno = saved;
	return r;
}

/* How programs learn that their non-blocking connect() has worked. */
int getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	int r = REAL(getsockopt)(fd, level, name, value, len);

	if (config.eager && r == 0 && level == SOL_SOCKET && name == SO_ERROR && owes_header(fd))
		try_to_pay(fd);
	return r;
}

static ssize_t send_first(int fd, const void *data, size_t len, int flags)
{
	ssize_t n = send_behind_header(fd, data, len, flags);

	/* All of the header and nothing behind it: what would be a short write of 0 bytes. */
	return n == 0 && len > 0 ? REAL(send)(fd, data, len, flags) : n;
}

ssize_t write(int fd, const void *data, size_t len)
{
	return owes_header(fd) ? send_first(fd, data, len, 0) : REAL(write)(fd, data, len);
}

ssize_t send(int fd, const void *data, size_t len, int flags)
{
	return owes_header(fd) ? send_first(fd, data, len, flags)
			       : REAL(send)(fd, data, len, flags);
}

ssize_t sendto(int fd, const void *data, size_t len, int flags, const struct sockaddr *sa,
	       socklen_t sa_len)
{
	if (owes_header(fd))
		return send_first(fd, data, len, flags);
	return REAL(sendto)(fd, data, len, flags, sa, sa_len);
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
	if (owes_header(fd) && !pay(fd, MSG_MORE))
		return -1;
	return REAL(writev)(fd, iov, n);
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	if (owes_header(fd) && !pay(fd, (flags & (MSG_DONTWAIT | MSG_NOSIGNAL)) | MSG_MORE))
		return -1;
	return REAL(sendmsg)(fd, msg, flags);
}

int sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
	if (owes_header(fd) && !pay(fd, (flags & (MSG_DONTWAIT | MSG_NOSIGNAL)) | MSG_MORE))
		return -1;
	return REAL(sendmmsg)(fd, msgs, n, flags);
}

ssize_t sendfile(int fd, int from, off_t *offset, size_t len)
{
	if (owes_header(fd) && !pay(fd, MSG_MORE))
		return -1;
	return REAL(sendfile)(fd, from, offset, len);
}

ssize_t sendfile64(int fd, int from, off64_t *offset, size_t len)
{
	if (owes_header(fd) && !pay(fd, MSG_MORE))
		return -1;
	return REAL(sendfile64)(fd, from, offset, len);
}

/* A client that listens first, or only says that it has nothing to say. */

ssize_t read(int fd, void *buf, size_t len)
{
	if (owes_header(fd))
		try_to_pay(fd);
	return REAL(read)(fd, buf, len);
}

ssize_t recv(int fd, void *buf, size_t len, int flags)
{
	if (owes_header(fd))
		try_to_pay(fd);
	return REAL(recv)(fd, buf, len, flags);
}

ssize_t recvfrom(int fd, void *restrict buf, size_t len, int flags, struct sockaddr *restrict sa,
		 socklen_t *restrict sa_len)
{
	if (owes_header(fd))
		try_to_pay(fd);
	return REAL(recvfrom)(fd, buf, len, flags, sa, sa_len);
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	if (owes_header(fd))
		try_to_pay(fd);
	return REAL(recvmsg)(fd, msg, flags);
}

int shutdown(int fd, int how)
{
	if (how != SHUT_RD && owes_header(fd))
		try_to_pay(fd);
	return REAL(shutdown)(fd, how);
}
