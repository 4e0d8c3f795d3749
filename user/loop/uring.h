/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * io_uring beside epoll: a socket's bytes arrive together with the news of them, and what
 * is to be sent to many sockets goes out with one system call. Single-threaded: all calls
 * but uring_new() are made by the thread that called uring_enable().
 *
 * Nothing is handed to the kernel before the loop's next wait, and what is under way keeps
 * its file open: so a descriptor is closed when its operations have said their last word.
 * Before, an operation could meet the descriptor's next owner, and close() would tell the
 * peer nothing.
 */
#ifndef LOOP_URING_H
#define LOOP_URING_H

#include <stdbool.h>
#include <stdint.h>

struct uring;
struct uring_op;

/* What a receive brought. The bytes are the receiver's until uring_give(). */
struct uring_bytes {
	uint8_t *data;
	uint32_t len;
	uint16_t buffer; /* the one they lie in, a number below URING_BUFFERS */
};

#define URING_BUFFERS 256U

/* Who is told. result: bytes, 0 at the end of the stream, or -errno. */
struct uring_handlers {
	/* more: the operation goes on; else this was its last word and *op may be reused or
	 * freed. bytes: with result > 0, else NULL. */
	void (*received)(struct uring_op *op, int result, bool more,
			 const struct uring_bytes *bytes);
	/* Its last word. */
	void (*sent)(struct uring_op *op, int result);
	/* result: a descriptor or -errno; more as above. */
	void (*accepted)(struct uring_op *op, int result, bool more);
};

enum uring_kind { URING_RECEIVE, URING_SEND, URING_ACCEPT };

/* Embedded in its owner, which lives until the operation's last word. */
struct uring_op {
	uint8_t kind; /* enum uring_kind */
};

/* 0, or -errno where the host has no io_uring for us (old, refused by sysctl or seccomp).
 * *handlers is static. */
int uring_new(const struct uring_handlers *handlers, struct uring **ret);
void uring_free(struct uring *uring);

/* The calling thread is its user from now on; epoll_fd's readiness ends uring_wait().
 * 0, or -errno: of no use then. */
int uring_enable(struct uring *uring, int epoll_fd);

/* Accept whatever comes on a listening fd, non-blocking and close-on-exec, until an error or
 * uring_cancel(); result: the descriptor. 0 or -errno. */
int uring_accept(struct uring *uring, struct uring_op *op, int fd);

/* Receive whatever comes on fd until the stream ends, an error, uring_cancel(), or -ENOBUFS:
 * no buffer was free. 0 or -errno. */
int uring_receive(struct uring *uring, struct uring_op *op, int fd);

/* Send on fd what a receive brought, or what of it fits at once: the result tells how much.
 * 0, or -errno: not taken. */
int uring_send(struct uring *uring, struct uring_op *op, int fd, const struct uring_bytes *bytes);

/* Send on fd from memory that stays as it is until the last word; else like uring_send(). */
int uring_send_from(struct uring *uring, struct uring_op *op, int fd, const void *data,
		    uint32_t len);

/* The bytes of the send from that buffer. */
struct uring_bytes uring_sent(const struct uring *uring, uint16_t buffer);

/* A FIN follows at once: it shares that send's last packet, if it is not submitted yet. */
void uring_cork(struct uring *uring, uint16_t buffer);

/* Ask an operation to end; its last word comes later (-ECANCELED, or what it just met). */
int uring_cancel(struct uring *uring, struct uring_op *op);

/* The buffer may take new bytes. */
void uring_give(struct uring *uring, uint16_t buffer);

/* Operations that have not said their last word. */
uint32_t uring_pending(const struct uring *uring);

/* Submit, and wait for completions: at most timeout_us (0: look only, UINT64_MAX: for ever).
 * 0 or -errno. */
int uring_wait(struct uring *uring, uint64_t timeout_us);

/* Is there anything for uring_dispatch()? */
bool uring_ready(const struct uring *uring);

/* Call the handlers of what completed, a batch at most. Returns true if epoll_fd has become
 * readable, edge-triggered: read it until it has nothing. */
bool uring_dispatch(struct uring *uring);

#endif
