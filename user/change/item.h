/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One thing that was said at run time, seen from the configuration: what status lists, a
 * reload overrides, and the next process is told.
 */
#ifndef CHANGE_ITEM_H
#define CHANGE_ITEM_H

#include <stddef.h>
#include <stdint.h>

#include "change/change.h"
#include "takeover/codec.h"

enum change_kind {
	CHANGE_SERVER_ADDED, /* with that weight */
	CHANGE_SERVER_REMOVED,
	CHANGE_SERVER_DRAINED,
	CHANGE_SERVER_WEIGHT,
	CHANGE_LISTENER_DRAINED,
	CHANGE_HOST_DRAINED,
	CHANGE__MAX,
};

struct change_item {
	enum change_kind kind;
	char name[CONF_NAME_MAX]; /* of the backend or listener */
	struct up_addr server;
	uint32_t weight;
};

/* Longest text of one. */
#define CHANGE_TEXT 256

typedef void change_item_fn(void *context, const struct change_item *item);

/* Each, in the order of the configuration: what makes a server be there comes before what
 * becomes of it. */
void change_each(const struct change *change, change_item_fn *fn, void *context);

/* "backend rails: server 10.0.0.1:80 drained" */
void change_item_text(const struct change_item *item, char *buf, size_t size);

void change_item_write(const struct change_item *item, struct writer *writer);

/* 0, or -EBADMSG: nothing that change_item_write() could have written. */
int change_item_read(struct reader *reader, struct change_item *ret);

/* Say it again, before the first configuration is published. What it has by itself is no error.
 * 0, or -errno with *error filled: -ENOENT it has no such backend, server or listener. */
int change_restore(struct change *change, const struct change_item *item, struct conf_error *error);

#endif
