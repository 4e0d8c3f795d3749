// SPDX-License-Identifier: BSD-2-Clause
#include "takeover/message.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

/* "UPTO": whoever sends something else has come to the wrong door. */
#define MAGIC 0x4f545055U

struct writer message_begin(enum takeover_kind kind, uint8_t *buf, size_t size)
{
	struct writer writer = { .at = buf, .end = buf + size };

	write_u32(&writer, MAGIC);
	write_u16(&writer, (uint16_t)kind);
	return writer;
}

int message_send(int fd, const struct writer *writer, const uint8_t *buf, const int *fds,
		 unsigned n_fds)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(MESSAGE_FDS * sizeof(int))] = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf,
			     .iov_len = (size_t)(writer->at - buf) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;

	if (writer->overrun || n_fds > MESSAGE_FDS)
		return -EMSGSIZE;
	if (n_fds) {
		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, n_fds * sizeof(int));
	}
	while (sendmsg(fd, &msg, MSG_NOSIGNAL) < 0) {
		if (errno == ETOOMANYREFS || errno == ENOBUFS)
			return -EAGAIN;
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

int message_send_word(int fd, enum takeover_kind kind)
{
	uint8_t buf[16];
	struct writer writer = message_begin(kind, buf, sizeof(buf));

	return message_send(fd, &writer, buf, NULL, 0);
}

/* All of them, also those we did not ask for. */
static void take_fds(struct msghdr *msg, struct message *ret)
{
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		size_t n;

		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n && ret->n_fds < MESSAGE_FDS; i++)
			memcpy(&ret->fds[ret->n_fds++], CMSG_DATA(cmsg) + i * sizeof(int),
			       sizeof(int));
	}
}

void message_close(struct message *message)
{
	for (unsigned i = 0; i < message->n_fds; i++)
		cleanup_close(&message->fds[i]);
	message->n_fds = 0;
}

int message_take(struct message *message, unsigned which)
{
	return which < message->n_fds ? take_fd(&message->fds[which]) : -1;
}

static int receive(int fd, int flags, uint8_t *buf, size_t size, struct message *ret)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(MESSAGE_FDS * sizeof(int))];
	struct iovec iov = { .iov_base = buf, .iov_len = size };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t got;

	*ret = (struct message){ 0 };
	do {
		got = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC | flags);
		/* ECONNRESET is told once, before what the other end said last: it did not read all. */
	} while (got < 0 && (errno == EINTR || errno == ECONNRESET));
	if (got < 0)
		return -errno;
	take_fds(&msg, ret);
	if (got == 0)
		return -ENOTCONN;
	ret->body = (struct reader){ .at = buf, .end = buf + got };
	if (read_u32(&ret->body) != MAGIC)
		ret->body.overrun = true;
	ret->kind = (enum takeover_kind)read_u16(&ret->body);
	if (!(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) && !ret->body.overrun && ret->kind > 0 &&
	    ret->kind < TAKEOVER__MAX)
		return 0;
	message_close(ret);
	return -EBADMSG;
}

int message_receive(int fd, uint8_t *buf, size_t size, struct message *ret)
{
	return receive(fd, 0, buf, size, ret);
}

int message_peek(int fd, uint8_t *buf, size_t size, struct message *ret)
{
	return receive(fd, MSG_PEEK, buf, size, ret);
}

bool message_peer_is_ours(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}
