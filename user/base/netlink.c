// SPDX-License-Identifier: BSD-2-Clause
#include "base/netlink.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/cleanup.h"

#define PATIENCE_S 5

/* The kernel answers a dump in messages of up to 32 KiB. */
#define DUMP_BYTES 32768

/* A socket on which the request has been sent, or -errno. */
static int begin(int protocol, const void *request, size_t len)
{
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return send(fd, request, len, 0) < 0 ? -errno : take_fd(&fd);
}

ssize_t netlink_ask(int protocol, const void *request, size_t len, struct nlmsghdr *answer,
		    size_t room)
{
	_cleanup_close_ int fd = begin(protocol, request, len);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = recv(fd, answer, room, 0);
	if (n < 0)
		return -errno;
	if (!NLMSG_OK(answer, (size_t)n))
		return -EPROTO;
	if (answer->nlmsg_type == NLMSG_ERROR)
		return ((const struct nlmsgerr *)NLMSG_DATA(answer))->error;
	return n;
}

/* Those of one datagram. *ret_done: it had the last one. */
static int tell(struct nlmsghdr *at, size_t len, netlink_fn *fn, void *context, bool *ret_done)
{
	for (; NLMSG_OK(at, len); at = NLMSG_NEXT(at, len)) {
		int err;

		*ret_done = at->nlmsg_type == NLMSG_DONE;
		if (*ret_done)
			return 0;
		err = at->nlmsg_type == NLMSG_ERROR ? -EPROTO : fn(context, at);
		if (err)
			return err;
	}
	return 0;
}

int netlink_dump(int protocol, const void *request, size_t len, netlink_fn *fn, void *context)
{
	_cleanup_close_ int fd = begin(protocol, request, len);
	struct nlmsghdr buf[DUMP_BYTES / sizeof(struct nlmsghdr)];
	bool done = false;
	int err = fd < 0 ? fd : 0;

	while (!err && !done) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);

		if (n <= 0)
			return n < 0 ? -errno : -EPROTO;
		err = tell(buf, (size_t)n, fn, context, &done);
	}
	return err;
}

static const struct rtattr *find(const struct rtattr *at, int len, unsigned type)
{
	for (; RTA_OK(at, len); at = RTA_NEXT(at, len)) {
		if ((at->rta_type & NLA_TYPE_MASK) == type)
			return at;
	}
	return NULL;
}

const struct rtattr *netlink_attr(const struct nlmsghdr *message, size_t own, unsigned type)
{
	const char *from = (const char *)NLMSG_DATA(message) + NLMSG_ALIGN(own);

	return find((const struct rtattr *)from, (int)message->nlmsg_len - (int)NLMSG_SPACE(own),
		    type);
}

const struct rtattr *netlink_nested(const struct rtattr *in, unsigned type)
{
	return in ? find(RTA_DATA(in), (int)RTA_PAYLOAD(in), type) : NULL;
}
