/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Letters to the thread that runs a loop, from any other one. Nobody waits: the sender goes on,
 * the receiver gets them in the order they were sent.
 */
#ifndef LOOP_MAILBOX_H
#define LOOP_MAILBOX_H

#include "loop/loop.h"

/* Embedded in its owner, who must not touch it from mailbox_post() until fn is called. */
struct letter {
	struct letter *next;
	void (*fn)(struct letter *letter); /* by the receiver's thread */
};

struct mailbox {
	struct loop_source source; /* eventfd */
	struct letter *head;       /* atomic: the newest first */
};

/* 0 or -errno. A zeroed mailbox with source.fd = -1 may be closed as well. */
int mailbox_open(struct mailbox *mailbox, struct loop *loop);

/* From any thread. 0, or -ESHUTDOWN: the receiver reads no more, the letter is still yours. */
int mailbox_post(struct mailbox *mailbox, struct letter *letter);

/* By the receiver: read what is there, and nothing from then on. */
void mailbox_shut(struct mailbox *mailbox);

/* Nobody posts any more. */
void mailbox_close(struct mailbox *mailbox);

#endif
