/* SPDX-License-Identifier: BSD-2-Clause */
/* What `unproxy top` shows of two looks at all connections: rates, groups, order, lines. Pure. */
#ifndef CMD_TOP_ROWS_H
#define CMD_TOP_ROWS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOP_NAME_MAX 64

/* A connection, or a group of them. */
struct top_row {
	char id[24];
	char client[TOP_NAME_MAX];
	char backend[TOP_NAME_MAX];
	char path[24];
	double age;          /* seconds; of a group, the oldest */
	uint64_t up, down;   /* bytes */
	double up_s, down_s; /* bytes per second, since the last look */
	uint64_t n;          /* connections: 1, but of a group */
};

struct top_rows {
	struct top_row *rows;
	size_t n, room;
	uint64_t left_out; /* more than TOP_ROWS_MAX */
	uint64_t begun;    /* since the last look; those that are over already are not seen */
};

#define TOP_ROWS_MAX 200000

enum top_order { TOP_RATE, TOP_BYTES, TOP_AGE };
enum top_group { TOP_LIST, TOP_CLIENT, TOP_BACKEND, TOP_GROUP__MAX };

/* Add what an item of `conns` says. 0 or -ENOMEM. */
int top_add(struct top_rows *rows, const json_t *item);

void top_free(struct top_rows *rows);

/* Rates: what has moved since `before`, which was so long ago. Sorts both by id. */
void top_rate(struct top_rows *rows, struct top_rows *before, double seconds);

/* Of all connections that are looked at, over the rows. */
struct top_head {
	uint64_t uptime_s; /* of the daemon */
	uint64_t n;
	double new_s;        /* connections per second */
	double up_s, down_s; /* bytes per second */
	bool paused;
};

/* The first line: at most 80 columns, as far as figures fit into them, and its NUL. */
#define TOP_HEAD_MAX 160
void top_head(const struct top_head *head, char buf[TOP_HEAD_MAX]);

/* Make groups of the rows, in place; their ids are gone. */
void top_fold(struct top_rows *rows, enum top_group group);

/* The greatest first. */
void top_sort(struct top_rows *rows, enum top_order order);

/* One line of exactly `width` columns (80 at least) and its NUL; row NULL: the headings. */
void top_line(const struct top_row *row, enum top_group group, size_t width, char *buf);

#endif
