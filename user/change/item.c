// SPDX-License-Identifier: BSD-2-Clause
#include "change/item.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/addr.h"

#define WEIGHT_MAX 256

void change_item_text(const struct change_item *item, char *buf, size_t size)
{
	static const char *const what[] = {
		[CHANGE_SERVER_ADDED] = "added",
		[CHANGE_SERVER_REMOVED] = "removed",
		[CHANGE_SERVER_DRAINED] = "drained",
	};
	char server[ADDR_TEXT_MAX];

	if (item->kind == CHANGE_HOST_DRAINED) {
		(void)snprintf(buf, size, "host: drained");
		return;
	}
	if (item->kind == CHANGE_LISTENER_DRAINED) {
		(void)snprintf(buf, size, "listener %s: drained", item->name);
		return;
	}
	addr_format(&item->server, server, sizeof(server));
	if (item->kind == CHANGE_SERVER_WEIGHT)
		(void)snprintf(buf, size, "backend %s: server %s weight %u", item->name, server,
			       item->weight);
	else
		(void)snprintf(buf, size, "backend %s: server %s %s", item->name, server,
			       what[item->kind]);
}

void change_item_write(const struct change_item *item, struct writer *writer)
{
	write_u8(writer, (uint8_t)item->kind);
	write_text(writer, item->name);
	write_addr(writer, &item->server);
	write_u32(writer, item->weight);
}

/* Of a server: all of it; a weight that a file could have, too. */
static bool is_whole(const struct change_item *item)
{
	bool server = item->kind <= CHANGE_SERVER_WEIGHT;

	if (item->kind >= CHANGE__MAX || !!item->name[0] == (item->kind == CHANGE_HOST_DRAINED))
		return false;
	return server ? item->server.family != UP_FAMILY_NONE && item->server.port &&
				item->weight >= 1 && item->weight <= WEIGHT_MAX
		      : item->server.family == UP_FAMILY_NONE && !item->weight;
}

int change_item_read(struct reader *reader, struct change_item *ret)
{
	struct change_item item = { .kind = (enum change_kind)read_u8(reader) };

	read_text(reader, item.name, sizeof(item.name));
	read_addr(reader, &item.server);
	item.weight = read_u32(reader);
	if (reader->overrun || reader->at != reader->end || !is_whole(&item))
		return -EBADMSG;
	*ret = item;
	return 0;
}

static int restore_server(struct change *change, const struct change_item *item,
			  struct conf_error *error)
{
	static const enum pool_action actions[] = {
		[CHANGE_SERVER_ADDED] = POOL_ADD,
		[CHANGE_SERVER_REMOVED] = POOL_REMOVE,
		[CHANGE_SERVER_DRAINED] = POOL_DRAIN,
		[CHANGE_SERVER_WEIGHT] = POOL_WEIGH,
	};
	const struct conf_server server = { .addr = item->server, .weight = item->weight };

	return change_server(change, item->name, actions[item->kind], &server, error);
}

int change_restore(struct change *change, const struct change_item *item, struct conf_error *error)
{
	int err = 0;

	if (item->kind == CHANGE_HOST_DRAINED)
		err = change_host(change, true, error);
	else if (item->kind == CHANGE_LISTENER_DRAINED)
		err = change_listener(change, item->name, true, error);
	else
		err = restore_server(change, item, error);
	if (err == -EEXIST || (err == -ENOENT && item->kind == CHANGE_SERVER_REMOVED))
		return 0;
	return err;
}
