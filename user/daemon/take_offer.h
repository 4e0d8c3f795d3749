/* SPDX-License-Identifier: BSD-2-Clause */
/* A takeover under way, and what the other daemon offers. For take_over.c alone. */
#ifndef DAEMON_TAKE_OFFER_H
#define DAEMON_TAKE_OFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "change/item.h"
#include "daemon/take_over.h"
#include "relay/relay.h"
#include "takeover/message.h"

#define TAKE_ANSWER_MS 30000

struct take_over_all {
	struct relay *relay;
	int fd;        /* -1: the other one is gone */
	int stop;      /* readable: told to stop */
	bool begun;    /* ... which is too late now: first it takes all */
	bool kept;     /* what is read is there, and stays there */
	int sessions;  /* kept: all connections; -1: none */
	int *channels; /* of its workers */
	unsigned n_channels;
	struct kern_shared pins[TAKEOVER_PINS__MAX]; /* .fd -1: it has none */
	char paths[TAKEOVER_PINS__MAX][128];
	struct change_item *changes;
	uint32_t n_changes;
	struct totals *totals;          /* of the other one, the daemon's */
	int sockets[TAKE_OVER_SOCKETS]; /* -1: none */
	struct up_addr metrics;         /* where that one listens */
	uint8_t buf[MESSAGE_MAX];
};

/* Has a signal told this process to stop? It waits for whoever reads it. */
bool take_is_told(const struct take_over_all *all);

/* Say so in why. Returns -ECANCELED. */
int take_called_off(char *why, size_t why_size);

/* Wait for a packet of that kind. 0; -EACCES: refused, and why; -ECANCELED: told to stop; or another
 * -errno with why. */
int take_await(struct take_over_all *all, enum takeover_kind kind, int timeout_ms,
	       struct message *ret, char *why, size_t why_size);

/* The greeting and all that it announces; relay->adopted is filled. 0, or -errno with why, and what
 * has come is still there. */
int take_offer(struct take_over_all *all, char *why, size_t why_size);

/* Close and forget what was offered. */
void take_drop(struct take_over_all *all);

#endif
