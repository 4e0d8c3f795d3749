// SPDX-License-Identifier: BSD-2-Clause
#include "cmd/top_rows.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cmd/ask.h"
#include "cmd/table.h"

/* ---- rows ---- */

static void name_backend(const json_t *item, struct top_row *row)
{
	const char *name = ask_text(item, "backend_name");

	if (name[0])
		(void)snprintf(row->backend, sizeof(row->backend), "%s", name);
	else /* inline: the app */
		table_endpoint(ask_text(item, "backend_ip"), ask_number(item, "backend_port"),
			       row->backend, sizeof(row->backend));
}

static void name_path(const json_t *item, struct top_row *row)
{
	const char *up = ask_text(item, "path_up"), *down = ask_text(item, "path_down");

	if (strcmp(up, down) == 0)
		(void)snprintf(row->path, sizeof(row->path), "%s", up);
	else
		(void)snprintf(row->path, sizeof(row->path), "%.4s/%.4s", up, down);
}

int top_add(struct top_rows *rows, const json_t *item)
{
	struct top_row *row;

	if (rows->n == TOP_ROWS_MAX) {
		rows->left_out++;
		return 0;
	}
	if (rows->n == rows->room) {
		size_t room = rows->room ? rows->room * 2 : 256;
		struct top_row *more = reallocarray(rows->rows, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		rows->rows = more;
		rows->room = room;
	}
	row = &rows->rows[rows->n++];
	*row = (struct top_row){
		.age = json_number_value(json_object_get(item, "duration")),
		.up = (uint64_t)ask_number(item, "bytes_up"),
		.down = (uint64_t)ask_number(item, "bytes_down"),
		.n = 1,
	};
	(void)snprintf(row->id, sizeof(row->id), "%s", ask_text(item, "conn"));
	(void)snprintf(row->client, sizeof(row->client), "%s", ask_text(item, "client_ip"));
	name_backend(item, row);
	name_path(item, row);
	return 0;
}

void top_free(struct top_rows *rows)
{
	free(rows->rows);
	*rows = (struct top_rows){ 0 };
}

static int by_id(const void *a, const void *b)
{
	return strcmp(((const struct top_row *)a)->id, ((const struct top_row *)b)->id);
}

static void sort(struct top_rows *rows, int (*compare)(const void *a, const void *b))
{
	if (rows->n > 1)
		qsort(rows->rows, rows->n, sizeof(*rows->rows), compare);
}

void top_rate(struct top_rows *rows, struct top_rows *before, double seconds)
{
	size_t at = 0;

	sort(rows, by_id);
	sort(before, by_id);
	for (size_t i = 0; seconds > 0 && i < rows->n; i++) {
		struct top_row *row = &rows->rows[i];
		uint64_t up = 0, down = 0;

		while (at < before->n && strcmp(before->rows[at].id, row->id) < 0)
			at++;
		if (at < before->n && strcmp(before->rows[at].id, row->id) == 0) {
			up = before->rows[at].up;
			down = before->rows[at].down;
		} else if (row->age > seconds) {
			continue; /* older than the last look, and not in it: what is new is not known */
		} else {
			rows->begun++;
		}
		row->up_s = row->up > up ? (double)(row->up - up) / seconds : 0;
		row->down_s = row->down > down ? (double)(row->down - down) / seconds : 0;
	}
}

void top_head(const struct top_head *head, char buf[TOP_HEAD_MAX])
{
	char age[16], n[16], new_s[16], up[16], down[16];

	table_age(head->uptime_s, age, sizeof(age));
	table_count(head->n, n, sizeof(n));
	table_count((uint64_t)head->new_s, new_s, sizeof(new_s));
	if (head->new_s < 10) /* "0" is nobody */
		(void)snprintf(new_s, sizeof(new_s), "%.1f", head->new_s);
	table_count((uint64_t)head->up_s, up, sizeof(up));
	table_count((uint64_t)head->down_s, down, sizeof(down));
	(void)snprintf(buf, TOP_HEAD_MAX,
		       "%s  uptime %s  %s connections  %s new/s  up %sB/s  down %sB/s",
		       head->paused ? "paused " : "unproxy", age, n, new_s, up, down);
}

/* ---- groups ---- */

static int by_client(const void *a, const void *b)
{
	return strcmp(((const struct top_row *)a)->client, ((const struct top_row *)b)->client);
}

static int by_backend(const void *a, const void *b)
{
	return strcmp(((const struct top_row *)a)->backend, ((const struct top_row *)b)->backend);
}

static void merge(struct top_row *group, const struct top_row *row)
{
	group->n += row->n;
	group->up += row->up;
	group->down += row->down;
	group->up_s += row->up_s;
	group->down_s += row->down_s;
	if (row->age > group->age)
		group->age = row->age;
}

void top_fold(struct top_rows *rows, enum top_group group)
{
	int (*compare)(const void *a, const void *b) = group == TOP_CLIENT ? by_client : by_backend;
	size_t n = 0;

	if (group == TOP_LIST)
		return;
	sort(rows, compare);
	for (size_t i = 0; i < rows->n; i++) {
		if (n > 0 && compare(&rows->rows[n - 1], &rows->rows[i]) == 0)
			merge(&rows->rows[n - 1], &rows->rows[i]);
		else
			rows->rows[n++] = rows->rows[i];
	}
	rows->n = n;
}

/* ---- order ---- */

static int greater(double a, double b)
{
	return (a < b) - (a > b);
}

static int by_rate(const void *a, const void *b)
{
	const struct top_row *one = a, *two = b;
	int order = greater(one->up_s + one->down_s, two->up_s + two->down_s);

	return order ? order : strcmp(one->id, two->id); /* lines that do not jump about */
}

static int by_bytes(const void *a, const void *b)
{
	const struct top_row *one = a, *two = b;
	int order = greater((double)one->up + (double)one->down,
			    (double)two->up + (double)two->down);

	return order ? order : strcmp(one->id, two->id);
}

static int by_age(const void *a, const void *b)
{
	const struct top_row *one = a, *two = b;
	int order = greater(one->age, two->age);

	return order ? order : strcmp(one->id, two->id);
}

void top_sort(struct top_rows *rows, enum top_order order)
{
	static int (*const orders[])(const void *a, const void *b) = {
		[TOP_RATE] = by_rate,
		[TOP_BYTES] = by_bytes,
		[TOP_AGE] = by_age,
	};

	sort(rows, orders[order]);
}

/* ---- lines ---- */

/* Columns of figures, right of the names: "   AGE  UP/s DN/s    UP  DOWN". */
#define FIGURES 31
#define PATH 12
#define COUNT 8

struct cells {
	char age[16], up_s[16], down_s[16], up[16], down[16], n[16];
};

static void fill_cells(const struct top_row *row, struct cells *cells)
{
	table_age((uint64_t)row->age, cells->age, sizeof(cells->age));
	table_count((uint64_t)row->up_s, cells->up_s, sizeof(cells->up_s));
	table_count((uint64_t)row->down_s, cells->down_s, sizeof(cells->down_s));
	table_count(row->up, cells->up, sizeof(cells->up));
	table_count(row->down, cells->down, sizeof(cells->down));
	table_count(row->n, cells->n, sizeof(cells->n));
}

/* A name that does not fit has a "~" where something is left out: in the midst, because addresses of one
 * network begin alike. */
static size_t put_name(char *buf, const char *name, size_t width)
{
	size_t len = strlen(name), head = width / 2;

	memset(buf, ' ', width);
	memcpy(buf, name, len <= width ? len : head);
	if (len <= width)
		return width;
	buf[head] = '~';
	memcpy(buf + head + 1, name + len - (width - head - 1), width - head - 1);
	return width;
}

void top_line(const struct top_row *row, enum top_group group, size_t width, char *buf)
{
	static const struct top_row headings = { .client = "CLIENT",
						 .backend = "BACKEND",
						 .path = "PATH" };
	struct cells cells = { "AGE", "UP/s", "DN/s", "UP", "DOWN", "CONNS" };
	size_t names = width - FIGURES - (group == TOP_LIST ? PATH : COUNT), at = 0;
	const struct top_row *shown = row ? row : &headings;

	if (row)
		fill_cells(row, &cells);
	if (group == TOP_LIST) {
		at += put_name(buf, shown->client, names * 3 / 5 - 1);
		buf[at++] = ' ';
		at += put_name(buf + at, shown->backend, names - at - 1);
		buf[at++] = ' ';
		at += put_name(buf + at, shown->path, PATH);
	} else {
		at += put_name(buf, group == TOP_CLIENT ? shown->client : shown->backend, names);
		at += (size_t)sprintf(buf + at, "%*.8s", COUNT, cells.n);
	}
	(void)snprintf(buf + at, width - at + 1, " %6.6s %5.5s %5.5s %5.5s %5.5s", cells.age,
		       cells.up_s, cells.down_s, cells.up, cells.down);
}
