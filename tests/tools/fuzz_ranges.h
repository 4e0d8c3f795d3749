/* SPDX-License-Identifier: BSD-2-Clause */
/* A set of stream positions as sorted, disjoint ranges: what has arrived somewhere. Pure. */
#ifndef FUZZ_RANGES_H
#define FUZZ_RANGES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define RANGES_MAX 512

struct range {
	int64_t from, to;
};

struct ranges {
	struct range at[RANGES_MAX];
	unsigned n;
};

/* Whether there is room for one more range; a caller that finds none keeps the bytes to itself. */
static inline bool ranges_room(const struct ranges *r)
{
	return r->n < RANGES_MAX;
}

static inline void ranges_add(struct ranges *r, int64_t from, int64_t to)
{
	unsigned i = 0, j;

	if (from >= to)
		return;
	while (i < r->n && r->at[i].to < from)
		i++;
	for (j = i; j < r->n && r->at[j].from <= to; j++) {
		from = r->at[j].from < from ? r->at[j].from : from;
		to = r->at[j].to > to ? r->at[j].to : to;
	}
	memmove(&r->at[i + 1], &r->at[j], (r->n - j) * sizeof(r->at[0]));
	r->n += i + 1 - j;
	r->at[i] = (struct range){ from, to };
}

/* The end of what is there without a gap from 0 on. */
static inline int64_t ranges_whole(const struct ranges *r)
{
	return r->n && r->at[0].from <= 0 ? r->at[0].to : 0;
}

static inline bool ranges_have(const struct ranges *r, int64_t from, int64_t to)
{
	for (unsigned i = 0; i < r->n; i++)
		if (r->at[i].from <= from && to <= r->at[i].to)
			return true;
	return false;
}

#endif
