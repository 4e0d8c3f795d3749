/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What two daemons say to each other while one takes over from the other: packets on
 * AF_UNIX SOCK_SEQPACKET sockets, some with descriptors. The order is that of enum
 * takeover_kind; who says what is in takeover.h.
 */
#ifndef TAKEOVER_MESSAGE_H
#define TAKEOVER_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "takeover/codec.h"

/* Of a packet, header included. The kernel takes no longer ones than SO_SNDBUF, 208 KiB. */
#define MESSAGE_MAX 65536U

/* Descriptors with a packet at most. */
#define MESSAGE_FDS 4

enum takeover_kind {
	TAKEOVER_HELLO = 1, /* new: versions it speaks, lowest and highest */
	TAKEOVER_REFUSED,   /* old: why, a text; nothing follows */
	TAKEOVER_WELCOME,   /* old: the version to speak, what follows */
	TAKEOVER_LISTENER,  /* old: a listening socket and its address */
	TAKEOVER_PINS,      /* old: a directory of pins, locked, and whose */
	TAKEOVER_CHANGE,    /* old: something that was said at run time */
	TAKEOVER_CHANNEL,   /* old: one of its workers' sockets for connections */
	TAKEOVER_PREPARED,  /* new: it can serve; which listening sockets it serves */
	TAKEOVER_CLEAR,     /* old: it has let go of the inline engine */
	TAKEOVER_BEGIN,     /* new: it serves; connections may come */
	TAKEOVER_TOTALS,    /* old: no more connections; how many it keeps, and what follows */
	TAKEOVER_TOTAL,     /* old: some of its counters, by name */
	TAKEOVER_COMMITTED, /* new: it has taken on everything else */
	/* on channels */
	TAKEOVER_SESSION, /* old: a connection */
	TAKEOVER_TAKEN,   /* new: ... has it; in the order they came */
	TAKEOVER_LEFT,    /* new: ... does not want it */
	TAKEOVER__MAX,
};

/* Whose pins: the address hook's, the relay's maps with what kern_tell() says. */
enum takeover_pins { TAKEOVER_PINS_HOOK, TAKEOVER_PINS_RELAY, TAKEOVER_PINS__MAX };

/* A packet that was received. Its descriptors are the receiver's: message_close(). */
struct message {
	enum takeover_kind kind;
	struct reader body; /* into the caller's buffer */
	int fds[MESSAGE_FDS];
	unsigned n_fds;
};

/* Begin a packet of that kind in buf. */
struct writer message_begin(enum takeover_kind kind, uint8_t *buf, size_t size);

/* Send what message_begin() and the writer put into buf. fds stay the caller's. 0 or -errno:
 * -EAGAIN nothing was sent (also where too many descriptors are on their way), -EMSGSIZE. */
int message_send(int fd, const struct writer *writer, const uint8_t *buf, const int *fds,
		 unsigned n_fds);

/* Without body. */
int message_send_word(int fd, enum takeover_kind kind);

/* Receive one into buf. 0 or -errno: -EAGAIN there is none, -ENOTCONN the other end is gone,
 * -EBADMSG not a packet of ours. On failure there are no descriptors. */
int message_receive(int fd, uint8_t *buf, size_t size, struct message *ret);

/* The same, but it stays there: the next one is told next. SO_PEEK_OFF of fd is 0 before the
 * first. */
int message_peek(int fd, uint8_t *buf, size_t size, struct message *ret);

void message_close(struct message *message);

/* The descriptor becomes the caller's. -1 if there is none at that place. */
int message_take(struct message *message, unsigned which);

/* Is the other end root or of our own user? */
bool message_peer_is_ours(int fd);

#endif
