// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/take_offer.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/why.h"
#include "daemon/capacity.h"
#include "takeover/record.h"

#define SOCKETS_MAX (1U << 20)
#define CHANGES_MAX (1U << 20)
#define WORKERS_MAX 4096U

/* ---- one word ---- */

bool take_is_told(const struct take_over_all *all)
{
	struct pollfd poll_fd = { .fd = all->stop, .events = POLLIN };

	return poll(&poll_fd, 1, 0) > 0;
}

int take_called_off(char *why, size_t why_size)
{
	(void)snprintf(why, why_size, "told to stop before anything was taken");
	return -ECANCELED;
}

int take_await(struct take_over_all *all, enum takeover_kind kind, int timeout_ms,
	       struct message *ret, char *why, size_t why_size)
{
	struct pollfd poll_fds[] = {
		{ .fd = all->fd, .events = POLLIN },
		{ .fd = all->begun ? -1 : all->stop, .events = POLLIN },
	};
	int err = -EAGAIN;

	if (!all->kept && poll(poll_fds, ARRAY_SIZE(poll_fds), timeout_ms) == 0)
		return why_error(why, why_size, "no answer", -ETIMEDOUT);
	if (poll_fds[1].revents)
		return take_called_off(why, why_size);
	err = (all->kept ? message_peek : message_receive)(all->fd, all->buf, sizeof(all->buf),
							   ret);
	if (err)
		return why_error(why, why_size, "no answer", err);
	if (ret->kind == kind)
		return 0;
	message_close(ret);
	if (ret->kind != TAKEOVER_REFUSED)
		return why_error(why, why_size, "not the word that was due", -EBADMSG);
	read_text(&ret->body, why, why_size);
	return -EACCES;
}

/* ---- what there is ---- */

static int receive_socket(struct take_over_all *all, char *why, size_t why_size)
{
	struct adopted *socket = &all->relay->adopted[all->relay->n_adopted];
	struct message message;
	int err = take_await(all, TAKEOVER_LISTENER, TAKE_ANSWER_MS, &message, why, why_size);

	if (err)
		return err;
	read_addr(&message.body, &socket->addr);
	socket->fd = message_take(&message, 0);
	message_close(&message);
	if (message.body.overrun || socket->fd < 0)
		return why_error(why, why_size, "listening socket", -EBADMSG);
	all->relay->n_adopted++;
	return 0;
}

static int receive_pins(struct take_over_all *all, char *why, size_t why_size)
{
	struct message message;
	int err = take_await(all, TAKEOVER_PINS, TAKE_ANSWER_MS, &message, why, why_size);
	struct kern_shared *pins;
	uint8_t which;

	if (err)
		return err;
	which = read_u8(&message.body);
	if (which < TAKEOVER_PINS__MAX && all->pins[which].fd < 0) {
		pins = &all->pins[which];
		read_text(&message.body, all->paths[which], sizeof(all->paths[which]));
		pins->path = all->paths[which];
		pins->abi = read_u32(&message.body);
		pins->workers = read_u32(&message.body);
		pins->fd = message_take(&message, 0);
	} else {
		message.body.overrun = true;
	}
	message_close(&message);
	return message.body.overrun ? why_error(why, why_size, "pins", -EBADMSG) : 0;
}

static int receive_change(struct take_over_all *all, char *why, size_t why_size)
{
	struct message message;
	int err = take_await(all, TAKEOVER_CHANGE, TAKE_ANSWER_MS, &message, why, why_size);

	if (err)
		return err;
	err = change_item_read(&message.body, &all->changes[all->n_changes]);
	message_close(&message);
	if (err)
		return why_error(why, why_size, "change", err);
	all->n_changes++;
	return 0;
}

static int receive_channel(struct take_over_all *all, char *why, size_t why_size)
{
	struct message message;
	int err = take_await(all, TAKEOVER_CHANNEL, TAKE_ANSWER_MS, &message, why, why_size);

	if (err)
		return err;
	all->channels[all->n_channels] = message_take(&message, 0);
	message_close(&message);
	if (all->channels[all->n_channels] < 0)
		return why_error(why, why_size, "channel", -EBADMSG);
	all->n_channels++;
	return 0;
}

int take_offer(struct take_over_all *all, char *why, size_t why_size)
{
	uint32_t sockets, pins, changes, workers, connections;
	uint16_t version;
	struct message message;
	int err = take_await(all, TAKEOVER_WELCOME, TAKE_ANSWER_MS, &message, why, why_size);

	if (err)
		return err;
	version = read_u16(&message.body);
	sockets = read_u32(&message.body);
	pins = read_u32(&message.body);
	changes = read_u32(&message.body);
	workers = read_u32(&message.body);
	connections = read_u32(&message.body);
	message_close(&message);
	if (version != TAKEOVER_VERSION)
		return why_error(why, why_size, "greeting", -EPROTONOSUPPORT);
	if (message.body.overrun || sockets > SOCKETS_MAX || workers > WORKERS_MAX ||
	    changes > CHANGES_MAX || pins > TAKEOVER_PINS__MAX)
		return why_error(why, why_size, "greeting", -EBADMSG);
	if (!all->kept && connections > capacity_room()) {
		(void)snprintf(why, why_size,
			       "it has %u connections, and the limit of open files here is enough "
			       "for %u",
			       connections, capacity_room());
		return -EMFILE;
	}
	all->relay->adopted = calloc(sockets + 1, sizeof(struct adopted));
	all->channels = calloc(workers + 1, sizeof(*all->channels));
	all->changes = calloc(changes + 1, sizeof(*all->changes));
	if (!all->relay->adopted || !all->channels || !all->changes)
		return why_error(why, why_size, "memory", -ENOMEM);
	for (uint32_t i = 0; !err && i < sockets; i++)
		err = receive_socket(all, why, why_size);
	for (uint32_t i = 0; !err && i < pins; i++)
		err = receive_pins(all, why, why_size);
	for (uint32_t i = 0; !err && i < changes; i++)
		err = receive_change(all, why, why_size);
	for (uint32_t i = 0; !err && i < workers; i++)
		err = receive_channel(all, why, why_size);
	return err;
}

void take_drop(struct take_over_all *all)
{
	for (size_t i = 0; i < all->relay->n_adopted; i++)
		cleanup_close(&all->relay->adopted[i].fd);
	free(TAKE_PTR(all->relay->adopted));
	all->relay->n_adopted = 0;
	for (unsigned i = 0; i < all->n_channels; i++)
		cleanup_close(&all->channels[i]);
	free(TAKE_PTR(all->channels));
	all->n_channels = 0;
	free(TAKE_PTR(all->changes));
	all->n_changes = 0;
	for (size_t i = 0; i < TAKEOVER_PINS__MAX; i++) {
		cleanup_close(&all->pins[i].fd);
		all->pins[i].fd = -1;
	}
}
