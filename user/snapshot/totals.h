/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What daemons before this one had counted: told item by item, by name, and added to each
 * snapshot. So totals do not go back where one takes over from another, and where an engine
 * is let go of and had again.
 */
#ifndef SNAPSHOT_TOTALS_H
#define SNAPSHOT_TOTALS_H

#include <stddef.h>
#include <stdint.h>

#include "obs/stats.h"
#include "takeover/codec.h"

/* Whose two numbers they are. */
enum total_kind {
	TOTAL_LISTENER, /* accepted, refused */
	TOTAL_SERVER,   /* total, failed */
	TOTAL_LOG,      /* lines, dropped */
	TOTAL_RELOADS,  /* done, failed */
	TOTAL_RELAY,    /* as many as struct stats_counts has */
	TOTAL_INLINE,   /* ... */
	TOTAL__MAX,
};

struct total {
	enum total_kind kind;
	char name[UP_TEXT_NAME]; /* the listener, or the backend */
	char addr[UP_TEXT_ADDR]; /* the server */
	uint64_t numbers[2];
};

/* Zero-initialise. */
struct totals {
	struct stats_counts relay, inl;
	struct total *items;
	size_t n_items;
};

/* Longest item. */
#define TOTAL_BYTES (256 + sizeof(struct stats_counts))

/* How many items a snapshot makes, and the one of that number. */
size_t totals_count(const struct stats *stats);
void totals_write(const struct stats *stats, size_t which, struct writer *writer);

/* One more item. 0, -EBADMSG, or -ENOMEM. Counters of an engine that counts other things are left
 * out. */
int totals_read(struct reader *reader, struct totals *totals);

/* What a snapshot says of the inline engine is from now on what had been counted: the engine is
 * about to go. 0 or -ENOMEM. */
int totals_keep_inline(struct totals *totals, const struct stats *stats);

/* To what this daemon counts itself. */
void totals_add(const struct totals *totals, struct stats *stats);

void totals_free(struct totals *totals);

#endif
