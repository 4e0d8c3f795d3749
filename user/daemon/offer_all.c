// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/offer_all.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/socket.h"
#include "change/item.h"
#include "relay/offer.h"
#include "snapshot/totals.h"
#include "takeover/message.h"
#include "takeover/record.h"

/* Room for what is on its way: the kernel doubles it. */
#define CHANNEL_BYTES (1 << 20)

#define PATIENCE_MS 2000

/* Of these messages. */
#define SMALL 512

/* To a guest that reads meanwhile. */
static int say(int fd, const struct writer *w, const uint8_t *buf, const int *fds, unsigned n)
{
	struct pollfd room = { .fd = fd, .events = POLLOUT };
	int err;

	do {
		err = message_send(fd, w, buf, fds, n);
	} while (err == -EAGAIN && poll(&room, 1, PATIENCE_MS) > 0);
	return err;
}

static int send_socket(int fd, struct offered *offered, const struct adopted *socket)
{
	uint8_t buf[SMALL];
	struct writer w = message_begin(TAKEOVER_LISTENER, buf, sizeof(buf));

	write_addr(&w, &socket->addr);
	offered->sockets[offered->n_sockets++] = socket->addr;
	return say(fd, &w, buf, &socket->fd, 1);
}

static int send_sockets(const struct relay *relay, int fd, struct offered *offered,
			const struct offer *offers)
{
	for (unsigned i = 0; i < relay->n_workers; i++) {
		for (size_t k = 0; k < offers[i].n_sockets; k++) {
			int err = send_socket(fd, offered, &offers[i].sockets[k]);

			if (err)
				return err;
		}
	}
	return 0;
}

static int send_pins(int fd, enum takeover_pins which, const struct kern_shared *told)
{
	uint8_t buf[SMALL];
	struct writer w = message_begin(TAKEOVER_PINS, buf, sizeof(buf));

	write_u8(&w, (uint8_t)which);
	write_text(&w, told->path);
	write_u32(&w, told->abi);
	write_u32(&w, told->workers);
	return say(fd, &w, buf, &told->fd, 1);
}

static unsigned count_pins(const struct relay *relay)
{
	return (relay->hook ? 1U : 0) + (relay->kern ? 1U : 0);
}

static int send_all_pins(const struct relay *relay, int fd)
{
	struct kern_shared told;
	int err = 0;

	if (relay->hook) {
		told = (struct kern_shared){ .path = kern_hook_pin_path(relay->hook),
					     .fd = kern_hook_pin_fd(relay->hook) };
		err = send_pins(fd, TAKEOVER_PINS_HOOK, &told);
	}
	if (!err && relay->kern) {
		told = kern_tell(relay->kern);
		err = send_pins(fd, TAKEOVER_PINS_RELAY, &told);
	}
	return err;
}

static int send_channel(int fd, int *ret_ours)
{
	uint8_t buf[SMALL];
	struct writer w = message_begin(TAKEOVER_CHANNEL, buf, sizeof(buf));
	_cleanup_close_ int theirs = -1;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	*ret_ours = pair[0];
	theirs = pair[1];
	(void)socket_set_int(pair[0], SOL_SOCKET, SO_SNDBUFFORCE, CHANNEL_BYTES);
	return say(fd, &w, buf, &theirs, 1);
}

struct telling {
	int fd;
	uint32_t n;
	int err;
};

static void count_change(void *context, const struct change_item *item)
{
	struct telling *telling = context;

	(void)item;
	telling->n++;
}

static void send_change(void *context, const struct change_item *item)
{
	struct telling *telling = context;
	uint8_t buf[SMALL];
	struct writer w = message_begin(TAKEOVER_CHANGE, buf, sizeof(buf));

	change_item_write(item, &w);
	if (!telling->err)
		telling->err = say(telling->fd, &w, buf, NULL, 0);
}

static uint32_t count_changes(const struct change *change)
{
	struct telling telling = { 0 };

	change_each(change, count_change, &telling);
	return telling.n;
}

static int send_changes(const struct change *change, int fd)
{
	struct telling telling = { .fd = fd };

	change_each(change, send_change, &telling);
	return telling.err;
}

/* How many of each follow. */
struct counts {
	uint32_t sockets, pins, changes, channels;
	uint32_t connections; /* there are now */
};

static int send_greeting(int fd, const struct counts *counts)
{
	uint8_t buf[SMALL];
	struct writer w = message_begin(TAKEOVER_WELCOME, buf, sizeof(buf));

	write_u16(&w, TAKEOVER_VERSION);
	write_u32(&w, counts->sockets);
	write_u32(&w, counts->pins);
	write_u32(&w, counts->changes);
	write_u32(&w, counts->channels);
	write_u32(&w, counts->connections);
	return say(fd, &w, buf, NULL, 0);
}

static int send_all(const struct relay *relay, const struct change *change, int fd,
		    const struct counts *counts, const struct offer *offers, struct offered *ret)
{
	int err;

	ret->sockets = calloc(counts->sockets + 1, sizeof(*ret->sockets));
	ret->channels = malloc((counts->channels + 1) * sizeof(*ret->channels));
	if (!ret->sockets || !ret->channels)
		return -ENOMEM;
	err = send_greeting(fd, counts);
	if (!err)
		err = send_sockets(relay, fd, ret, offers);
	if (!err)
		err = send_all_pins(relay, fd);
	if (!err)
		err = send_changes(change, fd);
	while (!err && ret->n_channels < counts->channels) {
		ret->channels[ret->n_channels] = -1;
		err = send_channel(fd, &ret->channels[ret->n_channels++]);
	}
	return err;
}

int offer_all(struct relay *relay, const struct change *change, int fd, bool connections,
	      struct offered *ret)
{
	struct offer *offers = calloc(relay->n_workers + 1, sizeof(*offers));
	struct counts counts = { .pins = count_pins(relay),
				 .changes = count_changes(change),
				 .channels = connections ? relay->n_workers : 0,
				 .connections = __atomic_load_n(&relay->connections,
								__ATOMIC_RELAXED) };
	int err;

	if (!offers)
		return -ENOMEM;
	err = offers_gather(relay, offers);
	if (err == -ETIMEDOUT)
		return err; /* a worker that hangs may still write to it */
	for (unsigned i = 0; i < relay->n_workers; i++)
		counts.sockets += (uint32_t)offers[i].n_sockets;
	if (!err)
		err = send_all(relay, change, fd, &counts, offers, ret);
	offers_free(offers, relay->n_workers);
	free(offers);
	return err;
}

static int send_total(int fd, const struct stats *stats, size_t which)
{
	uint8_t buf[SMALL + TOTAL_BYTES];
	struct writer w = message_begin(TAKEOVER_TOTAL, buf, sizeof(buf));

	totals_write(stats, which, &w);
	return say(fd, &w, buf, NULL, 0);
}

int offer_totals(const struct offer_last *last, int fd)
{
	const int sockets[] = { last->control, last->door, last->metrics };
	unsigned n_sockets = last->metrics < 0 ? 2 : 3;
	size_t n = totals_count(last->stats);
	uint8_t buf[SMALL];
	struct writer w = message_begin(TAKEOVER_TOTALS, buf, sizeof(buf));
	int err;

	write_u64(&w, last->handed);
	write_u64(&w, __atomic_load_n(&last->relay->connections, __ATOMIC_RELAXED));
	write_u32(&w, (uint32_t)n);
	write_addr(&w, &last->metrics_addr);
	err = say(fd, &w, buf, sockets, last->control >= 0 ? n_sockets : 0);
	for (size_t i = 0; !err && i < n; i++)
		err = send_total(fd, last->stats, i);
	return err;
}

void offered_free(struct offered *offered)
{
	for (unsigned i = 0; i < offered->n_channels; i++)
		cleanup_close(&offered->channels[i]);
	free(offered->channels);
	free(offered->sockets);
	*offered = (struct offered){ 0 };
}
