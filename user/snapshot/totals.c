// SPDX-License-Identifier: BSD-2-Clause
#include "snapshot/totals.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_COUNTS (sizeof(struct stats_counts) / sizeof(uint64_t))

/* Behind these come the listeners, and then the servers. */
static const enum total_kind single[] = { TOTAL_RELAY, TOTAL_INLINE, TOTAL_LOG, TOTAL_RELOADS };

#define N_SINGLE (sizeof(single) / sizeof(single[0]))

/* ---- items ---- */

static struct total of_listener(const struct stats_listener *listener)
{
	struct total total = { .kind = TOTAL_LISTENER,
			       .numbers = { listener->accepted, listener->refused } };

	(void)snprintf(total.name, sizeof(total.name), "%s", listener->name);
	return total;
}

static struct total of_server(const struct stats_server *server)
{
	struct total total = { .kind = TOTAL_SERVER, .numbers = { server->total, server->failed } };

	(void)snprintf(total.name, sizeof(total.name), "%s", server->backend);
	(void)snprintf(total.addr, sizeof(total.addr), "%s", server->addr);
	return total;
}

static struct total of_daemon(const struct stats *stats, enum total_kind kind)
{
	struct total total = { .kind = kind };

	if (kind == TOTAL_LOG) {
		total.numbers[0] = stats->log_lines;
		total.numbers[1] = stats->log_dropped;
	}
	if (kind == TOTAL_RELOADS) {
		total.numbers[0] = stats->reload.done;
		total.numbers[1] = stats->reload.failed;
	}
	return total;
}

static struct total item_of(const struct stats *stats, size_t which)
{
	if (which < N_SINGLE)
		return of_daemon(stats, single[which]);
	which -= N_SINGLE;
	if (which < stats->n_listeners)
		return of_listener(&stats->listeners[which]);
	return of_server(&stats->servers[which - stats->n_listeners]);
}

static struct total *find(const struct totals *totals, const struct total *like)
{
	for (size_t i = 0; i < totals->n_items; i++) {
		struct total *item = &totals->items[i];

		if (item->kind == like->kind && strcmp(item->name, like->name) == 0 &&
		    strcmp(item->addr, like->addr) == 0)
			return item;
	}
	return NULL;
}

static int keep(struct totals *totals, const struct total *item)
{
	struct total *place = find(totals, item);

	if (!place) {
		place = realloc(totals->items, (totals->n_items + 1) * sizeof(*place));
		if (!place)
			return -ENOMEM;
		totals->items = place;
		place += totals->n_items++;
	}
	*place = *item;
	return 0;
}

/* ---- told ---- */

size_t totals_count(const struct stats *stats)
{
	return N_SINGLE + stats->n_listeners + stats->n_servers;
}

static void write_numbers(struct writer *writer, const void *numbers, size_t n)
{
	write_u32(writer, (uint32_t)n);
	write_bytes(writer, numbers, n * sizeof(uint64_t));
}

void totals_write(const struct stats *stats, size_t which, struct writer *writer)
{
	struct total item = item_of(stats, which);

	write_u8(writer, (uint8_t)item.kind);
	write_text(writer, item.name);
	write_text(writer, item.addr);
	if (item.kind == TOTAL_RELAY)
		write_numbers(writer, &stats->relay.counts, N_COUNTS);
	else if (item.kind == TOTAL_INLINE)
		write_numbers(writer, &stats->inl.counts, N_COUNTS);
	else
		write_numbers(writer, item.numbers, 2);
}

static int read_counts(struct reader *reader, uint32_t n, struct stats_counts *ret)
{
	struct stats_counts counts;

	if (n != N_COUNTS)
		return 0;
	read_bytes(reader, &counts, sizeof(counts));
	if (reader->overrun)
		return -EBADMSG;
	*ret = counts;
	return 0;
}

int totals_read(struct reader *reader, struct totals *totals)
{
	struct total item = { .kind = (enum total_kind)read_u8(reader) };
	uint32_t n;

	read_text(reader, item.name, sizeof(item.name));
	read_text(reader, item.addr, sizeof(item.addr));
	n = read_u32(reader);
	if (reader->overrun || item.kind >= TOTAL__MAX)
		return -EBADMSG;
	if (item.kind == TOTAL_RELAY)
		return read_counts(reader, n, &totals->relay);
	if (item.kind == TOTAL_INLINE)
		return read_counts(reader, n, &totals->inl);
	read_bytes(reader, item.numbers, sizeof(item.numbers));
	return reader->overrun || n != 2 ? -EBADMSG : keep(totals, &item);
}

int totals_keep_inline(struct totals *totals, const struct stats *stats)
{
	totals->inl = stats->inl.counts;
	for (size_t i = 0; i < stats->n_listeners; i++) {
		struct total item = of_listener(&stats->listeners[i]);
		int err = stats->listeners[i].is_inline ? keep(totals, &item) : 0;

		if (err)
			return err;
	}
	return 0;
}

/* ---- added ---- */

static void add_item(const struct totals *totals, struct total like, uint64_t *first,
		     uint64_t *second)
{
	const struct total *before = find(totals, &like);

	if (!before)
		return;
	*first += before->numbers[0];
	*second += before->numbers[1];
}

void totals_add(const struct totals *totals, struct stats *stats)
{
	stats_sum(&stats->relay.counts, &totals->relay);
	stats_sum(&stats->inl.counts, &totals->inl);
	add_item(totals, of_daemon(stats, TOTAL_LOG), &stats->log_lines, &stats->log_dropped);
	add_item(totals, of_daemon(stats, TOTAL_RELOADS), &stats->reload.done,
		 &stats->reload.failed);
	for (size_t i = 0; i < stats->n_listeners; i++) {
		struct stats_listener *listener = &stats->listeners[i];

		add_item(totals, of_listener(listener), &listener->accepted, &listener->refused);
	}
	for (size_t i = 0; i < stats->n_servers; i++) {
		struct stats_server *server = &stats->servers[i];

		add_item(totals, of_server(server), &server->total, &server->failed);
	}
}

void totals_free(struct totals *totals)
{
	free(totals->items);
	*totals = (struct totals){ 0 };
}
