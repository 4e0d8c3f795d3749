// SPDX-License-Identifier: BSD-2-Clause
#include "relay/walk.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "relay/record.h"
#include "relay/session.h"
#include "relay/show.h"

/* A batch is over after so long, looked at each so many sessions. */
#define BATCH_US 500
#define CLOCK_EACH 32

/* Where each walk stands is the worker's own: a session that goes takes none with it. */
void walk_step_off(struct worker *worker, struct session *session)
{
	for (struct list *item = worker->walks.next; item != &worker->walks; item = item->next) {
		struct relay_walk *walk = container_of(item, struct relay_walk, link);

		if (walk->at == &session->all)
			walk->at = session->all.next;
	}
}

/* ---- by a worker ---- */

static void describe(struct session *session, struct conn *ret)
{
	*ret = (struct conn){
		.number = show_number(session),
		.state = session_state_name((enum session_state)session->state),
		.record = record_live(session),
		.tlvs = session->tlvs,
	};
}

static void keep(struct relay_walk *walk, struct session *session, const struct conn *conn)
{
	struct conn *copy = &walk->conns[walk->n++];

	*copy = *conn;
	conn_own_names(copy);
	if (!copy->record.destination.family)
		record_own_address(session, &copy->record.destination);
	copy->tlvs = walk->tlvs + walk->tlv_used;
	if (copy->record.tlv_len > 0)
		memcpy(walk->tlvs + walk->tlv_used, session->tlvs, copy->record.tlv_len);
	walk->tlv_used += copy->record.tlv_len;
}

static void visit(struct relay_walk *walk, struct session *session)
{
	struct conn conn;

	describe(session, &conn);
	if (!conn_matches(&conn, &walk->filter))
		return;
	if (!walk->kill) {
		keep(walk, session, &conn);
		return;
	}
	walk->n++;
	session_cut(session, UP_REASON_KILLED);
}

/* The next session, or NULL: all were seen. */
static struct session *next_session(struct worker *worker, struct relay_walk *walk)
{
	struct list *at;

	if (!walk->accelerated && walk->at == &worker->sessions) {
		walk->accelerated = true;
		walk->at = worker->accelerated.next;
	}
	at = walk->at;
	if (at == &worker->accelerated)
		return NULL;
	walk->at = at->next;
	return container_of(at, struct session, all);
}

static bool has_room(const struct relay_walk *walk, const struct session *session)
{
	return walk->kill ||
	       (walk->n < WALK_CONNS && walk->tlv_used + session->tlv_len <= sizeof(walk->tlvs));
}

/* True: this worker has no more. */
static bool fill(struct worker *worker, struct relay_walk *walk)
{
	uint64_t until_us = clock_us(CLOCK_MONOTONIC) + BATCH_US;

	for (unsigned looks = 1;; looks++) {
		struct session *session = next_session(worker, walk);

		if (!session)
			return true;
		if (!has_room(walk, session)) {
			walk->at = &session->all;
			return false;
		}
		visit(walk, session);
		if (looks % CLOCK_EACH == 0 && clock_us(CLOCK_MONOTONIC) >= until_us)
			return false;
	}
}

static void on_back(struct letter *letter);

static void on_asked(struct letter *letter)
{
	struct relay_walk *walk = container_of(letter, struct relay_walk, letter);
	struct worker *worker = walk->relay->workers[walk->worker];

	walk->n = walk->tlv_used = 0;
	if (!walk->linked) {
		list_append(&worker->walks, &walk->link);
		walk->linked = true;
		walk->accelerated = false;
		walk->at = worker->sessions.next;
	}
	if (__atomic_load_n(&walk->over, __ATOMIC_RELAXED) || fill(worker, walk)) {
		list_remove(&walk->link);
		walk->linked = false;
	}
	letter->fn = on_back;
	(void)mailbox_post(&walk->relay->answers, letter);
}

/* ---- by the main thread ---- */

bool relay_walk_next(struct relay_walk *walk)
{
	for (; walk->worker < walk->relay->n_workers; walk->worker++) {
		walk->letter.fn = on_asked;
		walk->asked = true;
		if (mailbox_post(&walk->relay->workers[walk->worker]->inbox, &walk->letter) == 0)
			return true;
		walk->asked = walk->linked = false; /* it has stopped, its sessions are over */
	}
	return false;
}

static void on_back(struct letter *letter)
{
	struct relay_walk *walk = container_of(letter, struct relay_walk, letter);

	walk->asked = false;
	if (!walk->linked)
		walk->worker++;
	if (walk->over)
		relay_walk_free(walk);
	else
		walk->fn(walk);
}

void relay_walk_free(struct relay_walk *walk)
{
	if (!walk)
		return;
	/* A worker may be at it; if it does not see this, it will be asked once more. */
	__atomic_store_n(&walk->over, true, __ATOMIC_RELAXED);
	if (walk->asked || (walk->linked && relay_walk_next(walk)))
		return;
	free(walk);
}
