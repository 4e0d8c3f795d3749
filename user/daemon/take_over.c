// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/take_over.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/socket.h"
#include "base/why.h"
#include "change/item.h"
#include "daemon/signals.h"
#include "daemon/take_kept.h"
#include "daemon/take_offer.h"
#include "obs/log.h"
#include "relay/take_over.h"
#include "takeover/message.h"
#include "takeover/record.h"

#define CONNECTIONS_MS 300000 /* the other one bounds it, too */

/* ---- what comes first ---- */

/* The other one is gone: what it had is ours, or nobody's. True: go on without it. */
static bool goes_on_alone(struct take_over_all *all, int err)
{
	if (all->kept || (err != -ENOTCONN && err != -EPIPE))
		return false;
	log_warn("takeover.alone reason=\"the other daemon has died\" action=\"its connections are "
		 "lost, its listening sockets are kept\"");
	cleanup_close(&all->fd);
	all->fd = -1;
	relay_share_pins(all->relay, false);
	return true;
}

static int say_hello(const struct take_over_all *all)
{
	uint8_t buf[32];
	struct writer w = message_begin(TAKEOVER_HELLO, buf, sizeof(buf));

	write_u16(&w, TAKEOVER_VERSION);
	write_u16(&w, TAKEOVER_VERSION);
	return message_send(all->fd, &w, buf, NULL, 0);
}

static int knock(const char *path)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa;
	int err = fd < 0 ? -errno : socket_path(path, &sa);

	if (err)
		return err;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return errno == ECONNREFUSED ? -ENOENT : -errno;
	return message_peer_is_ours(fd) ? take_fd(&fd) : -EPERM;
}

static int new_all(struct relay *relay, struct take_over_all **ret)
{
	struct take_over_all *all = calloc(1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	all->relay = relay;
	all->fd = all->sessions = -1;
	all->stop = signals_stop_open();
	if (all->stop < 0) {
		int err = all->stop;

		free(all);
		return err;
	}
	for (size_t i = 0; i < TAKEOVER_PINS__MAX; i++)
		all->pins[i].fd = -1;
	for (unsigned i = 0; i < TAKE_OVER_SOCKETS; i++)
		all->sockets[i] = -1;
	*ret = all;
	return 0;
}

int take_over_ask(const char *path, struct relay *relay, struct take_over_all **ret, char *why,
		  size_t why_size)
{
	struct take_over_all *all;
	int err = new_all(relay, &all);

	if (err)
		return why_error(why, why_size, "memory", err);
	all->fd = knock(path);
	err = all->fd < 0 ? why_error(why, why_size, path, all->fd) : 0;
	if (!err)
		(void)say_hello(all); /* refused without a hearing: the answer tells */
	if (!err)
		err = take_offer(all, why, why_size);
	if (err) {
		take_over_end(all);
		return err;
	}
	*ret = all;
	return 0;
}

/* From the first one on: whoever looked before may have died of it. */
static int look(struct take_over_all *all, char *why, size_t why_size)
{
	int err = socket_set_int(all->fd, SOL_SOCKET, SO_PEEK_OFF, 0);

	return err ? why_error(why, why_size, "SO_PEEK_OFF", err) : take_offer(all, why, why_size);
}

int take_over_kept(int fds[STORE_PART__MAX], struct relay *relay, struct take_over_all **ret)
{
	struct take_over_all *all;
	char why[256] = "";
	int err = new_all(relay, &all);

	if (err)
		return err;
	all->kept = true;
	all->fd = take_fd(&fds[STORE_PART_LISTENERS]);
	all->sessions = take_fd(&fds[STORE_PART_SESSIONS]);
	if (all->fd >= 0 && look(all, why, sizeof(why))) {
		log_warn("takeover.refused reason=\"%s\" action=\"listening sockets are opened "
			 "anew\"",
			 why);
		take_drop(all);
		cleanup_close(&all->fd);
		all->fd = -1;
	}
	*ret = all;
	return 0;
}

const struct kern_shared *take_over_pins(const struct take_over_all *all, enum takeover_pins which)
{
	return all && all->pins[which].fd >= 0 ? &all->pins[which] : NULL;
}

/* ---- step by step ---- */

void take_over_changes(const struct take_over_all *all, struct change *change)
{
	for (uint32_t i = 0; all && i < all->n_changes; i++) {
		struct conf_error error;
		char text[CHANGE_TEXT];
		int err = change_restore(change, &all->changes[i], &error);

		change_item_text(&all->changes[i], text, sizeof(text));
		if (err)
			log_warn("takeover.change_dropped change=\"%s\" reason=\"%s\"", text,
				 error.text);
	}
}

/* Those that nobody listens on here are the other one's to serve on. */
static int say_prepared(struct take_over_all *all)
{
	struct writer w = message_begin(TAKEOVER_PREPARED, all->buf, sizeof(all->buf));
	const struct relay *relay = all->relay;
	_cleanup_free_ uint8_t *bits = calloc(relay->n_adopted / 8 + 1, 1);

	if (!bits)
		return -ENOMEM;
	for (size_t i = 0; i < relay->n_adopted; i++) {
		if (relay->adopted[i].fd < 0)
			bits[i / 8] |= (uint8_t)(1U << i % 8);
		cleanup_close(&relay->adopted[i].fd);
		relay->adopted[i].fd = -1;
	}
	write_u8(&w, relay->kern && kern_is_shared(relay->kern));
	write_bytes(&w, bits, (relay->n_adopted + 7) / 8);
	return message_send(all->fd, &w, all->buf, NULL, 0);
}

int take_over_prepared(struct take_over_all *all, char *why, size_t why_size)
{
	struct message message;
	int err;

	if (take_is_told(all))
		return take_called_off(why, why_size);
	if (all->kept) {
		kept_close(all->relay);
		return 0;
	}
	err = say_prepared(all);
	if (err)
		(void)why_error(why, why_size, "no answer", err);
	else
		err = take_await(all, TAKEOVER_CLEAR, TAKE_ANSWER_MS, &message, why, why_size);
	if (!err)
		message_close(&message);
	return goes_on_alone(all, err) ? 0 : err;
}

int take_over_begun(struct take_over_all *all, char *why, size_t why_size)
{
	if (take_is_told(all))
		return take_called_off(why, why_size);
	all->begun = true;
	return 0;
}

int take_over_workers(struct take_over_all *all)
{
	struct relay *relay = all->relay;

	if (all->kept)
		return kept_share(relay, all->sessions);

	for (unsigned i = 0; relay->n_workers && i < all->n_channels; i++) {
		int err = take_over_add(relay->workers[i % relay->n_workers], all->channels[i],
					false);

		if (err)
			return err;
		all->channels[i] = -1;
	}
	return 0;
}

static int receive_totals(struct take_over_all *all, struct message *message, char *why,
			  size_t why_size)
{
	uint64_t taken = read_u64(&message->body), kept = read_u64(&message->body);
	uint32_t n = read_u32(&message->body);
	int err = 0;

	read_addr(&message->body, &all->metrics);
	for (unsigned i = 0; i < TAKE_OVER_SOCKETS; i++)
		all->sockets[i] = message_take(message, i);
	message_close(message);
	if (!all->kept)
		log_info("takeover.taken connections=%llu kept_by_other=%llu",
			 (unsigned long long)taken, (unsigned long long)kept);
	for (uint32_t i = 0; !err && i < n; i++) {
		err = take_await(all, TAKEOVER_TOTAL, TAKE_ANSWER_MS, message, why, why_size);
		if (err)
			break;
		err = totals_read(&message->body, all->totals);
		message_close(message);
		if (err)
			(void)why_error(why, why_size, "counters", err);
	}
	return err;
}

static void take_kept(struct take_over_all *all)
{
	struct relay *relay = all->relay;
	struct message message;
	char why[256] = "no listening sockets were kept";
	bool told = false;
	int err = -ENOENT;

	if (all->fd >= 0)
		err = take_await(all, TAKEOVER_TOTALS, 0, &message, why, sizeof(why));
	told = !err;
	if (!err)
		err = receive_totals(all, &message, why, sizeof(why));
	if (err)
		log_warn("takeover.totals reason=\"%s\" action=\"counters begin anew\"", why);
	kept_await(relay, all->sessions);
	if (!told) /* what is open or was reset had been accepted */
		all->totals->relay.accepted = relay->taken + relay->not_taken;
	log_info("takeover.taken connections=%llu lost=%llu from=store",
		 (unsigned long long)__atomic_load_n(&relay->taken, __ATOMIC_RELAXED),
		 (unsigned long long)__atomic_load_n(&relay->not_taken, __ATOMIC_RELAXED));
}

void take_over_connections(struct take_over_all *all, struct totals *totals)
{
	struct message message;
	char why[256] = "";
	int err;

	all->totals = totals;
	if (all->kept) {
		take_kept(all);
		return;
	}
	if (all->fd < 0)
		return;
	/* No connections can come where there are no workers. */
	for (unsigned i = 0; i < all->n_channels; i++) {
		cleanup_close(&all->channels[i]);
		all->channels[i] = -1;
	}
	err = message_send_word(all->fd, TAKEOVER_BEGIN);
	if (err)
		(void)why_error(why, sizeof(why), "no answer", err);
	else
		err = take_await(all, TAKEOVER_TOTALS, CONNECTIONS_MS, &message, why, sizeof(why));
	if (!err)
		err = receive_totals(all, &message, why, sizeof(why));
	take_over_say_left(all->relay);
	if (err && !goes_on_alone(all, err))
		log_warn("takeover.unfinished reason=\"%s\"", why);
}

int take_over_socket(struct take_over_all *all, enum take_over_socket which)
{
	return all ? take_fd(&all->sockets[which]) : -1;
}

int take_over_metrics(struct take_over_all *all, const struct up_addr *addr)
{
	return addr_equal(addr, &all->metrics) ? take_over_socket(all, TAKE_OVER_METRICS) : -1;
}

void take_over_commit(struct take_over_all *all)
{
	if (all->kept)
		store_forget();
	else if (all->fd >= 0 && message_send_word(all->fd, TAKEOVER_COMMITTED))
		log_warn("takeover.unfinished reason=\"the other daemon does not listen\"");
	relay_share_pins(all->relay, false);
}

void take_over_end(struct take_over_all *all)
{
	if (!all)
		return;
	take_drop(all);
	for (unsigned i = 0; i < TAKE_OVER_SOCKETS; i++)
		cleanup_close(&all->sockets[i]);
	cleanup_close(&all->fd);
	cleanup_close(&all->sessions);
	cleanup_close(&all->stop);
	free(all);
}
