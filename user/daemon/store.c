// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/store.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/socket.h"
#include "base/why.h"
#include "obs/log.h"
#include "obs/notify.h"

/* The manager does little else meanwhile. */
#define BARRIER_US (5 * 1000000ULL)

const char *const store_names[STORE_PART__MAX] = {
	[STORE_PART_LISTENERS] = STORE_LISTENERS,
	[STORE_PART_SESSIONS] = STORE_SESSIONS,
};

static void close_all(struct store *store)
{
	for (unsigned i = 0; i < STORE_PART__MAX; i++) {
		cleanup_close(&store->ours[i]);
		cleanup_close(&store->theirs[i]);
		store->ours[i] = store->theirs[i] = -1;
	}
}

static int open_all(struct store *store)
{
	for (unsigned i = 0; i < STORE_PART__MAX; i++) {
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
			return -errno;
		store->ours[i] = pair[0];
		store->theirs[i] = pair[1];
		/* A limit, not memory. Unprivileged: as much as anybody may. */
		if (socket_set_int(pair[0], SOL_SOCKET, SO_SNDBUFFORCE, INT_MAX / 2) < 0)
			(void)socket_set_int(pair[0], SOL_SOCKET, SO_SNDBUF, INT_MAX / 2);
	}
	return 0;
}

void store_prepare(struct store *store)
{
	int err = getenv("NOTIFY_SOCKET") ? open_all(store) : 0;

	if (!err)
		return;
	log_warn("store.off reason=\"%s\" action=\"a restart ends connections\"", strerror(-err));
	close_all(store);
}

/* ---- the manager ---- */

void store_forget(void)
{
	for (unsigned i = 0; i < STORE_PART__MAX; i++)
		notify_unstore(store_names[i]);
}

/* It closes what it does not want, and then nobody is at the other end. */
static bool is_kept(int ours)
{
	struct pollfd poll_fd = { .fd = ours };

	return poll(&poll_fd, 1, 0) == 0;
}

/* Empty as they are: before anything is let go of. */
static int have_kept(struct store *store, char *why, size_t why_size)
{
	int err = 0;

	store_forget(); /* what another daemon may have left */
	for (unsigned i = 0; !err && i < STORE_PART__MAX; i++)
		err = notify_store(store_names[i], &store->theirs[i], 1);
	if (!err)
		err = notify_barrier(BARRIER_US);
	if (err)
		return why_error(why, why_size, "service manager", err);
	for (unsigned i = 0; i < STORE_PART__MAX; i++) {
		cleanup_close(&store->theirs[i]);
		store->theirs[i] = -1;
		if (!is_kept(store->ours[i])) {
			(void)snprintf(why, why_size,
				       "the service manager keeps no descriptors: is "
				       "FileDescriptorStoreMax= of the unit 2 or more?");
			err = -ENOSPC;
		}
	}
	return err;
}

/* ---- the end ---- */

static void on_stored(void *context, uint64_t connections)
{
	struct store *store = context;
	struct relay *relay = store->host->relay;
	int err = hand_over_totals(store->door, store->ours[STORE_PART_LISTENERS]);

	if (err)
		log_warn("store.totals reason=\"%s\" action=\"counters begin anew\"",
			 strerror(-err));
	log_info("store.done connections=%llu kept=%u", (unsigned long long)connections,
		 __atomic_load_n(&relay->connections, __ATOMIC_RELAXED));
	close_all(store);
	relay->served = TAKE_PTR(store->offered.sockets);
	relay->n_served = store->offered.n_sockets;
	store->host->retire(store->host->context);
}

static const char *objection(const struct store *store, const struct hand_over_door *door)
{
	if (store->begun || hand_over_is_busy(door))
		return "a takeover is under way";
	if (store->ours[STORE_PART_SESSIONS] < 0)
		return "no service manager has started this daemon";
	return NULL;
}

int store_begin(struct store *store, const struct hand_over_host *host, struct hand_over_door *door,
		char *why, size_t why_size)
{
	const char *no = objection(store, door);
	int err;

	if (no) {
		(void)snprintf(why, why_size, "%s", no);
		return -EBUSY;
	}
	err = have_kept(store, why, why_size);
	if (!err) {
		err = offer_all(host->relay, host->change, store->ours[STORE_PART_LISTENERS], false,
				&store->offered);
		if (err)
			(void)why_error(why, why_size, "listening sockets", err);
	}
	if (err) {
		store_forget();
		offered_free(&store->offered);
		close_all(store);
		store_prepare(store); /* for the next time, as large as they may be by now */
		return err;
	}
	store->host = host;
	store->door = door;
	store->begun = true;
	host->relay->kern_told = host->relay->kern;
	relay_share_pins(host->relay, true); /* what is in the kernel lives on without us */
	log_info("store.start connections=%u",
		 __atomic_load_n(&host->relay->connections, __ATOMIC_RELAXED));
	hand_over_store(door, store->ours[STORE_PART_SESSIONS], on_stored, store);
	return 0;
}

bool store_stops(struct store *store)
{
	bool first = store->begun && !store->stopped;

	store->stopped = true;
	return first;
}

void store_end(struct store *store)
{
	close_all(store);
	offered_free(&store->offered);
}
