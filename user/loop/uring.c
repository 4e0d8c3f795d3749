// SPDX-License-Identifier: BSD-2-Clause
#include "loop/uring.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

#define SUBMISSIONS 512
#define COMPLETIONS 4096
#define BATCH 256

/* Of each worker, touched only as far as the traffic needs it: what is received goes on to
 * its target in the same round, so a buffer is never held for long. */
#define BUFFER_BYTES 16384
#define BUFFER_GROUP 0

/* user_data of what is nobody's operation. */
#define TAG_EPOLL 0
#define TAG_CANCEL 1

/* A send, by the number of its buffer. */
struct sending {
	struct uring_bytes bytes;
	struct io_uring_sqe *sqe; /* the send's own until the round's submission */
	uint32_t round;
};

struct uring {
	struct io_uring ring;
	const struct uring_handlers *handlers;
	struct io_uring_buf_ring *group;
	uint8_t *buffers;
	int epoll_fd;
	bool watching; /* epoll_fd, or it will be with the next submission */
	uint32_t pending;
	uint32_t round; /* submissions so far */
	struct sending sends[URING_BUFFERS];
};

static void offer(struct uring *uring, uint16_t buffer)
{
	io_uring_buf_ring_add(uring->group, uring->buffers + (size_t)buffer * BUFFER_BYTES,
			      BUFFER_BYTES, buffer, io_uring_buf_ring_mask(URING_BUFFERS), 0);
	io_uring_buf_ring_advance(uring->group, 1);
}

static void *map(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			    0);

	return memory == MAP_FAILED ? NULL : memory;
}

static int offer_all(struct uring *uring)
{
	struct io_uring_buf_reg reg = { .ring_entries = URING_BUFFERS, .bgid = BUFFER_GROUP };
	int err;

	uring->group = map(URING_BUFFERS * sizeof(struct io_uring_buf));
	uring->buffers = map((size_t)URING_BUFFERS * BUFFER_BYTES);
	if (!uring->group || !uring->buffers)
		return -ENOMEM;
	io_uring_buf_ring_init(uring->group);
	reg.ring_addr = (uintptr_t)uring->group;
	err = io_uring_register_buf_ring(&uring->ring, &reg, 0);
	for (uint16_t i = 0; !err && i < URING_BUFFERS; i++)
		offer(uring, i);
	return err;
}

/* Nothing but what is used here may be asked of the ring, by whoever writes into it: its
 * operations pass no seccomp filter. */
static int restrict_to_ours(struct uring *uring)
{
	static const uint8_t operations[] = { IORING_OP_POLL_ADD, IORING_OP_ACCEPT, IORING_OP_RECV,
					      IORING_OP_SEND, IORING_OP_ASYNC_CANCEL };
	struct io_uring_restriction rules[ARRAY_SIZE(operations) + 1] = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
		rules[i].opcode = IORING_RESTRICTION_SQE_OP;
		rules[i].sqe_op = operations[i];
	}
	rules[ARRAY_SIZE(operations)].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
	rules[ARRAY_SIZE(operations)].sqe_flags = IOSQE_BUFFER_SELECT;
	/* As with enabling: declared by liburing 2.3, and not exported. */
	return syscall(__NR_io_uring_register, uring->ring.ring_fd, IORING_REGISTER_RESTRICTIONS,
		       rules, ARRAY_SIZE(rules)) < 0
		       ? -errno
		       : 0;
}

int uring_new(const struct uring_handlers *handlers, struct uring **ret)
{
	/* One thread submits and reaps, when it asks to: no interrupts, no locks (6.1). It is
	 * not this one, so the ring starts disabled. */
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			 IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE |
			 IORING_SETUP_SUBMIT_ALL, /* one that fails stops no others */
		.cq_entries = COMPLETIONS,
	};
	_cleanup_free_ struct uring *uring = calloc(1, sizeof(*uring));
	int err;

	if (!uring)
		return -ENOMEM;
	uring->handlers = handlers;
	err = io_uring_queue_init_params(SUBMISSIONS, &uring->ring, &params);
	if (err)
		return err;
	err = offer_all(uring);
	if (!err)
		err = restrict_to_ours(uring);
	if (err) {
		uring_free(TAKE_PTR(uring));
		return err;
	}
	*ret = TAKE_PTR(uring);
	return 0;
}

void uring_free(struct uring *uring)
{
	if (!uring)
		return;
	io_uring_queue_exit(&uring->ring);
	if (uring->group)
		(void)munmap(uring->group, URING_BUFFERS * sizeof(struct io_uring_buf));
	if (uring->buffers)
		(void)munmap(uring->buffers, (size_t)URING_BUFFERS * BUFFER_BYTES);
	free(uring);
}

static void submit(struct uring *uring)
{
	uring->round++;
	(void)io_uring_submit(&uring->ring);
}

static struct io_uring_sqe *take_sqe(struct uring *uring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);

	if (sqe)
		return sqe;
	submit(uring); /* full */
	return io_uring_get_sqe(&uring->ring);
}

/* Submitted, it tells at once of what is there already. */
static void watch_epoll(struct uring *uring)
{
	struct io_uring_sqe *sqe = take_sqe(uring);

	if (!sqe)
		return;
	io_uring_prep_poll_multishot(sqe, uring->epoll_fd, POLLIN);
	sqe->user_data = TAG_EPOLL;
	uring->watching = true;
}

int uring_enable(struct uring *uring, int epoll_fd)
{
	/* liburing 2.3 declares io_uring_enable_rings() and does not export it. */
	if (syscall(__NR_io_uring_register, uring->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL,
		    0) < 0)
		return -errno;
	uring->epoll_fd = epoll_fd;
	return 0;
}

int uring_accept(struct uring *uring, struct uring_op *op, int fd)
{
	struct io_uring_sqe *sqe = take_sqe(uring);

	if (!sqe)
		return -EBUSY;
	io_uring_prep_multishot_accept(sqe, fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	sqe->user_data = (uintptr_t)op;
	op->kind = URING_ACCEPT;
	uring->pending++;
	return 0;
}

int uring_receive(struct uring *uring, struct uring_op *op, int fd)
{
	struct io_uring_sqe *sqe = take_sqe(uring);

	if (!sqe)
		return -EBUSY;
	io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
	sqe->ioprio |= IORING_RECVSEND_POLL_FIRST; /* the caller has read it empty */
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = BUFFER_GROUP;
	sqe->user_data = (uintptr_t)op;
	op->kind = URING_RECEIVE;
	uring->pending++;
	return 0;
}

/* NULL: not taken. */
static struct io_uring_sqe *send_from(struct uring *uring, struct uring_op *op, int fd,
				      const void *data, uint32_t len)
{
	struct io_uring_sqe *sqe = take_sqe(uring);

	if (!sqe)
		return NULL;
	io_uring_prep_send(sqe, fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	sqe->user_data = (uintptr_t)op;
	op->kind = URING_SEND;
	uring->pending++;
	return sqe;
}

int uring_send(struct uring *uring, struct uring_op *op, int fd, const struct uring_bytes *bytes)
{
	struct io_uring_sqe *sqe = send_from(uring, op, fd, bytes->data, bytes->len);

	if (!sqe)
		return -EBUSY;
	uring->sends[bytes->buffer] = (struct sending){ *bytes, sqe, uring->round };
	return 0;
}

int uring_send_from(struct uring *uring, struct uring_op *op, int fd, const void *data,
		    uint32_t len)
{
	return send_from(uring, op, fd, data, len) ? 0 : -EBUSY;
}

struct uring_bytes uring_sent(const struct uring *uring, uint16_t buffer)
{
	return uring->sends[buffer].bytes;
}

void uring_cork(struct uring *uring, uint16_t buffer)
{
	if (uring->sends[buffer].round == uring->round)
		uring->sends[buffer].sqe->msg_flags |= MSG_MORE;
}

int uring_cancel(struct uring *uring, struct uring_op *op)
{
	struct io_uring_sqe *sqe = take_sqe(uring);

	if (!sqe)
		return -EBUSY;
	io_uring_prep_cancel64(sqe, (uintptr_t)op, 0);
	sqe->user_data = TAG_CANCEL;
	return 0;
}

void uring_give(struct uring *uring, uint16_t buffer)
{
	offer(uring, buffer);
}

uint32_t uring_pending(const struct uring *uring)
{
	return uring->pending;
}

bool uring_ready(const struct uring *uring)
{
	return io_uring_cq_ready(&uring->ring);
}

int uring_wait(struct uring *uring, uint64_t timeout_us)
{
	struct __kernel_timespec timeout;
	struct io_uring_cqe *first;
	int err;

	if (!uring->watching)
		watch_epoll(uring);
	if (!uring->watching) /* no room for it: nobody would tell of epoll's events */
		timeout_us = 0;
	timeout.tv_sec = (long long)(timeout_us / 1000000);
	timeout.tv_nsec = (long long)(timeout_us % 1000000) * 1000;
	uring->round++;
	if (!timeout_us)
		err = io_uring_submit_and_get_events(&uring->ring);
	else
		err = io_uring_submit_and_wait_timeout(&uring->ring, &first, 1,
						       timeout_us == UINT64_MAX ? NULL : &timeout,
						       NULL);
	/* EBUSY, EAGAIN: reap first, then submit the rest. */
	return err >= 0 || err == -ETIME || err == -EINTR || err == -EBUSY || err == -EAGAIN ? 0
											     : err;
}

static void complete(struct uring *uring, const struct io_uring_cqe *cqe)
{
	struct uring_op *op = (struct uring_op *)(uintptr_t)cqe->user_data;
	bool more = cqe->flags & IORING_CQE_F_MORE;
	struct uring_bytes bytes;

	if (!more)
		uring->pending--;
	if (op->kind == URING_ACCEPT) {
		uring->handlers->accepted(op, cqe->res, more);
		return;
	}
	if (op->kind == URING_SEND) {
		uring->handlers->sent(op, cqe->res);
		return;
	}
	bytes.buffer = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
	if (cqe->flags & IORING_CQE_F_BUFFER && cqe->res <= 0)
		uring_give(uring, bytes.buffer); /* 6.1 picks one for the end of a stream, too */
	if (!(cqe->flags & IORING_CQE_F_BUFFER) || cqe->res <= 0) {
		uring->handlers->received(op, cqe->res, more, NULL);
		return;
	}
	bytes.data = uring->buffers + (size_t)bytes.buffer * BUFFER_BYTES;
	bytes.len = (uint32_t)cqe->res;
	uring->handlers->received(op, cqe->res, more, &bytes);
}

bool uring_dispatch(struct uring *uring)
{
	struct io_uring_cqe *cqes[BATCH];
	unsigned n = io_uring_peek_batch_cqe(&uring->ring, cqes, BATCH);
	bool epoll_ready = false;

	for (unsigned i = 0; i < n; i++) {
		const struct io_uring_cqe *cqe = cqes[i];

		if (cqe->user_data == TAG_CANCEL)
			continue;
		if (cqe->user_data != TAG_EPOLL) {
			complete(uring, cqe);
			continue;
		}
		epoll_ready = true;
		uring->watching = cqe->flags & IORING_CQE_F_MORE;
	}
	io_uring_cq_advance(&uring->ring, n);
	return epoll_ready;
}
