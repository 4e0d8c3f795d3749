/* SPDX-License-Identifier: BSD-2-Clause */
/* One who asks: bytes in, lines, bytes out. Both are bounded. */
#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "ctl/internal.h"
#include "ctl/request.h"

/* The longest request, with its newline. */
#define CTL_LINE_MAX 65536

/* So much waits to be read before a list is told to pause; a single object may be longer. */
#define CTL_QUEUE_ENOUGH (256U << 10)
#define CTL_QUEUE_MAX (16U << 20)

/* Nothing was read for so long, though there was something to read: dropped. */
#define CTL_STALL_US 5000000

struct ctl_client {
	struct list all; /* ctl->clients, the one that was silent longest first */
	struct ctl *ctl;
	struct loop_source source;
	struct loop_timer stall;       /* armed while there is something to read */
	struct loop_timer again;       /* lines are left, and it is others' turn */
	struct loop_deferred deferred; /* a step, or the end, after the batch of events */
	struct ctl_request request;    /* pending, or the last one */
	char *out;                     /* out[out_at..out_len) waits to be read */
	size_t out_at, out_len, out_size;
	size_t in_len;
	bool scheduled;
	bool eof;  /* it says no more, but may still read */
	bool dead; /* nobody is there, or to be dropped */
	char in[CTL_LINE_MAX];
};

/* Take over a connected socket. 0, or -errno: the caller still owns fd. */
int ctl_client_new(struct ctl *ctl, int fd);

/* It goes after the batch of events. */
void ctl_client_drop(struct ctl_client *client);

/* At once, outside of the loop. */
void ctl_client_free(struct ctl_client *client);

/* Nothing under way, and nothing to read. */
bool ctl_client_idle(const struct ctl_client *client);

#endif
