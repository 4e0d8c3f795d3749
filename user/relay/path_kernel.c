// SPDX-License-Identifier: BSD-2-Clause
#include "relay/path_kernel.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/socket.h"
#include "obs/log.h"
#include "relay/accel.h"
#include "relay/law.h"
#include "relay/listener.h"
#include "relay/path_copy.h"
#include "relay/show.h"
#include "relay/walk.h"
#include "unproxy/proxy_types.h"

/* At the end of a stream: without any progress for so long, the law is broken. */
#define LAW_PATIENCE_US (10 * 1000000ULL)

uint64_t flow_redirected(const struct flow *flow)
{
	return flow->accel ? kern_direction_redirected(&flow->accel->dir) : 0;
}

void bulk_bound_source(struct session *session, enum way way)
{
	int fd = source_of(session, way)->source.fd;

	/* Without the privilege the kernel's own limits bound it. */
	(void)socket_set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, UP_SOURCE_RCVBUF);
}

/* The target takes what the program redirects at once, or the worker would sleep. */
static int prepare_target(struct session *session, enum way way)
{
	int fd = target_of(session, way)->source.fd;
	int err;

	err = socket_set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, RELAY_TARGET_SNDBUF);
	if (err)
		return err;
	/* A small net.ipv4.tcp_notsent_lowat would make a socket with room look full. */
	return socket_set_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, -1);
}

/* An idle connection keeps them, so the pair's are one allocation: made for the first of
 * the two, freed with the last. */
static struct accel *take_one(const struct session *session, enum way way)
{
	enum way back = way == UP ? DOWN : UP;
	struct accel *pair = session->flows[back].accel;

	if (pair)
		pair -= back;
	else
		pair = malloc(2 * sizeof(*pair));
	if (!pair)
		return NULL;
	pair[way] = (struct accel){ .before = session->flows[way].copied };
	return &pair[way];
}

static void give_one(const struct session *session, enum way way, struct accel *accel)
{
	if (!session->flows[way == UP ? DOWN : UP].accel)
		free(accel - way);
}

static int accel_new(struct session *session, enum way way, enum up_stage stage)
{
	struct kern *kern = session->worker->relay->kern;
	const struct conf_listener *conf = session->rules->conf;
	struct accel *accel = take_one(session, way);
	struct kern_source source = {
		.fd = source_of(session, way)->source.fd,
		.worker = session->worker->index,
		.token = (uint64_t)(uintptr_t)session,
		.stage = stage,
		.header_max = conf->header_max,
		.header_flags = conf->v1_ipv4_in_tcp6 ? UP_HEADER_V1_IPV4_IN_TCP6 : 0,
	};
	int err;

	if (!accel)
		return -ENOMEM;
	err = kern_direction_new(kern, &source, &accel->dir);
	if (err) {
		give_one(session, way, accel);
		return err;
	}
	flow_of(session, way)->accel = accel;
	return 0;
}

void kernel_describe(const struct session *session, enum way way, struct handed_accel *ret)
{
	const struct accel *accel = session->flows[way].accel;

	if (!accel)
		return;
	*ret = (struct handed_accel){
		.used = true,
		.slot = kern_direction_slot(session->worker->relay->kern, &accel->dir),
		.before = accel->before,
		.ahead = accel->ahead,
		.kernel_mode = accel->kernel_mode,
		.waiting = accel->waiting,
	};
}

int kernel_adopt(struct session *session, enum way way, const struct handed_accel *from)
{
	struct kern *kern = session->worker->relay->kern;
	struct leg *source = source_of(session, way);
	struct accel *accel;
	int err;

	if (!kern || !kern_is_shared(kern))
		return -EOPNOTSUPP;
	accel = take_one(session, way);
	if (!accel)
		return -ENOMEM;
	err = kern_direction_adopt(kern, from->slot, socket_cookie(source->source.fd), &accel->dir);
	if (err) {
		give_one(session, way, accel);
		return err;
	}
	accel->before = from->before;
	accel->ahead = from->ahead;
	accel->kernel_mode = from->kernel_mode;
	accel->waiting = from->waiting;
	flow_of(session, way)->accel = accel;
	source->flags |= LEG_DRAIN;
	if (from->kernel_mode)
		source->flags |= LEG_NO_INPUT;
	return 0;
}

void kernel_park(const struct session *session)
{
	for (enum way way = UP; way <= DOWN; way++) {
		if (session->flows[way].accel)
			kern_direction_park(&session->flows[way].accel->dir);
	}
}

void kernel_unpark(const struct session *session)
{
	struct worker *worker = session->worker;

	for (enum way way = UP; way <= DOWN; way++) {
		if (session->flows[way].accel)
			kern_direction_unpark(worker->relay->kern, &session->flows[way].accel->dir,
					      worker->index, (uint64_t)(uintptr_t)session);
	}
}

void kernel_forget(struct session *session)
{
	for (enum way way = UP; way <= DOWN; way++) {
		if (session->flows[way].accel)
			give_one(session, way, TAKE_PTR(session->flows[way].accel));
	}
}

void kernel_count(struct session *session, enum way way)
{
	struct accel *accel = flow_of(session, way)->accel;

	if (accel)
		stats_add(&session->worker->counts.bytes[way][UP_PATH_KERNEL],
			  kern_direction_uncounted(&accel->dir));
}

static void accel_drop(struct session *session, enum way way)
{
	struct flow *flow = flow_of(session, way);

	kernel_count(session, way);
	kern_direction_free(session->worker->relay->kern, &flow->accel->dir);
	give_one(session, way, TAKE_PTR(flow->accel));
}

static int start(struct session *session, enum way way)
{
	struct flow *flow = flow_of(session, way);
	struct leg *source = source_of(session, way);
	int err;

	err = kern_direction_start(session->worker->relay->kern, &flow->accel->dir,
				   source->source.fd);
	if (err)
		return err;
	/* recv() gives one segment at a time now: only EAGAIN means empty. */
	source->flags |= LEG_DRAIN | LEG_READABLE;
	walk_step_off(session->worker, session);
	list_remove(&session->all);
	list_append(&session->worker->accelerated, &session->all);
	return 0;
}

int kernel_begin(struct session *session)
{
	int err = accel_new(session, UP, UP_STAGE_HEADER);

	if (err)
		return err;
	err = start(session, UP);
	if (err)
		accel_drop(session, UP);
	else /* the program shows what it parses */
		show_begun(session);
	return err;
}

/* Read the source empty, keeping the bytes: a segment of which a part has been read would
 * have to be trimmed, and a coalesced one is too large for that. -EAGAIN: too much came, or
 * the stream ended. */
static int drain_source(struct session *session, enum way way)
{
	struct flow *flow = flow_of(session, way);
	struct leg *source = source_of(session, way);
	uint8_t *buffer = session->worker->peeked;
	uint32_t held = 0;
	ssize_t got;

	do {
		got = recv(source->source.fd, buffer + held, RELAY_PEEK - held, MSG_DONTWAIT);
		if (got > 0)
			held += (uint32_t)got;
	} while ((got > 0 && held < RELAY_PEEK) || (got < 0 && errno == EINTR));
	/* recv() tells of an error once, and of a plain end from then on. */
	if (got < 0 && errno != EAGAIN)
		leg_died(source, errno);
	if (got == 0)
		source->flags |= LEG_READABLE | LEG_HUP; /* copy_move() passes it on */
	flow_copied(session, way, held);
	if (held && copy_keep(flow, buffer, held)) {
		leg_died(source, ENOMEM);
		return -ENOMEM;
	}
	return got < 0 && !(source->flags & LEG_DEAD) ? 0 : -EAGAIN;
}

int kernel_promote(struct session *session, enum way way)
{
	struct flow *flow = flow_of(session, way);
	bool begun = flow->accel;
	int err;

	if (!begun) {
		err = drain_source(session, way);
		if (err)
			return err;
	}
	err = prepare_target(session, way);
	if (!err && !begun)
		err = accel_new(session, way, UP_STAGE_STREAM);
	if (!err)
		err = kern_direction_target(session->worker->relay->kern, &flow->accel->dir,
					    target_of(session, way)->source.fd);
	if (!err && !begun)
		err = start(session, way);
	if (!err && flow_of(session, way == UP ? DOWN : UP)->accel)
		kern_direction_couple(session->worker->relay->kern, &flow->accel->dir,
				      &flow_of(session, way == UP ? DOWN : UP)->accel->dir);
	if (err) {
		flow->kernel_refused = true;
		stats_add(&session->worker->counts.refused_path[UP_PATH_KERNEL], 1);
		/* Begun at accept: the socket stays under the program, in user mode. */
		if (!begun && flow->accel)
			accel_drop(session, way);
		return err;
	}
	bulk_bound_source(session, way);
	flow->path = UP_PATH_KERNEL;
	stats_add(&session->worker->counts.promoted[UP_PATH_KERNEL], 1);
	return 0;
}

void kernel_header_consumed(struct session *session, uint32_t header_len)
{
	struct accel *accel = flow_of(session, UP)->accel;

	/* Seen by the program, read by us, but no part of the flow's bytes. */
	if (accel)
		accel->before -= header_len;
}

void kernel_free(struct session *session, enum way way)
{
	if (flow_of(session, way)->accel)
		accel_drop(session, way);
}

/* Has the target taken more since the last look? */
static bool progressed(struct session *session, struct accel *accel, uint64_t written)
{
	uint64_t now = loop_now(session->worker->loop);

	if ((uint32_t)written != accel->written || !accel->progress_us) {
		accel->written = (uint32_t)written;
		accel->progress_us = now;
		accel->wait_us = 0;
		return true;
	}
	return now - accel->progress_us < LAW_PATIENCE_US;
}

/* The source ended: is every byte of it in the target's send queue or beyond? */
enum relay_result accel_finish(struct session *session, enum way way)
{
	struct flow *flow = flow_of(session, way);
	uint64_t received, written;
	bool dead;

	if (law_received(session, way, &received) || law_written(session, way, &written)) {
		session->reason = "byte_count_unreadable";
		return RELAY_ERROR;
	}
	if (written == received || target_of(session, way)->flags & LEG_DEAD)
		return RELAY_EOF;
	dead = source_of(session, way)->flags & LEG_DEAD || law_hides_reset(session, way);
	/* A reset source may or may not have sent a FIN before: one more or less. It ends in a
	 * RST anyway. */
	if (dead && written + 1 >= received)
		return RELAY_EOF;
	if (written < received && progressed(session, flow->accel, written))
		return accel_wait(flow);
	if (dead)
		return RELAY_EOF;

	log_error("relay.bytes_missing listener=%s received=%llu written=%llu action=reset",
		  session->rules->conf->name, (unsigned long long)received,
		  (unsigned long long)written);
	session->reason = "bytes_missing";
	return RELAY_ERROR;
}

/* User mode, first part: everything redirected must be in the target before a byte of ours
 * may follow it, and the target should have room for what was kept. */
static bool ready_to_move(struct session *session, enum way way)
{
	struct flow *flow = flow_of(session, way);
	struct accel *accel = flow->accel;
	const struct leg *target = target_of(session, way);
	uint32_t queued = law_queued(target);
	uint64_t written;

	if (target->flags & LEG_DEAD || law_written(session, way, &written))
		return true; /* nobody waits for the order; the leg's own event ends it */
	if (queued != accel->queued)
		accel->wait_us = 0; /* it drains: look again soon */
	accel->queued = queued;
	return written == flow_bytes(flow) && queued <= RESUME_QUEUED;
}

void accel_to_kernel(struct session *session, enum way way)
{
	struct accel *accel = flow_of(session, way)->accel;

	accel->kernel_mode = true;
	stats_add(&session->worker->counts.to_kernel, 1);
	accel->ready = false;
	accel->wait_us = 0;
	leg_watch_input(session, source_of(session, way), false);
}

static void count_handback(struct session *session, const struct accel *accel)
{
	uint32_t why = __atomic_load_n(&accel->dir.shared->handback, __ATOMIC_RELAXED);

	stats_add(&session->worker->counts.handbacks[why < STATS_HANDBACKS ? why : 0], 1);
}

void accel_to_user(struct session *session, enum way way)
{
	struct accel *accel = flow_of(session, way)->accel;

	/* What waits for us is charged with whole packets, small ones with twice their bytes:
	 * a window of all the buffer would overflow it, and the kernel would drop what it has
	 * promised room for. tcp_measure_rcv_mss() forgets it, hence each time. */
	(void)socket_set_int(source_of(session, way)->source.fd, IPPROTO_TCP, TCP_WINDOW_CLAMP,
			     UP_SOURCE_RCVBUF);
	accel->kernel_mode = false;
	accel->waiting = true;
	accel->wait_us = 0;
	count_handback(session, accel);
}

enum relay_result kernel_move(struct session *session, enum way way)
{
	struct flow *flow = flow_of(session, way);
	struct leg *source = source_of(session, way);
	struct accel *accel = flow->accel;
	enum relay_result result;

	if (accel->dir.shared->handback == UP_HANDBACK_BROKEN) {
		session->reason = "trim_failed";
		return RELAY_ERROR;
	}
	if (accel->kernel_mode) {
		if (!kern_direction_user(&accel->dir))
			return source->flags & (LEG_HUP | LEG_DEAD)
				       ? accel_finish(session, way)
				       : accel_open_window(session, way);
		accel_to_user(session, way);
	}
	if (accel->waiting) {
		if (!ready_to_move(session, way))
			return accel_wait(flow);
		accel->waiting = false;
		accel->wait_us = 0;
	}
	if (!copy_flush(session, way))
		return RELAY_AGAIN;
	if (flow->kernel_refused) {
		/* An end is told though bytes may wait yet, in the program's queue. */
		result = copy_move(session, way);
		if (result == RELAY_EOF)
			source->flags |= LEG_READABLE;
		return result == RELAY_EOF ? accel_finish(session, way) : result;
	}
	result = accel_move_kept(session, way);
	if (result == RELAY_AGAIN && accel->kernel_mode && source->flags & (LEG_HUP | LEG_DEAD))
		return accel_finish(session, way);
	return result;
}

void kernel_on_event(void *context, const struct up_event *event)
{
	struct worker *worker = context;

	/* The session may have ended since. */
	if (kern_event_is_current(worker->relay->kern, event))
		session_run((struct session *)(uintptr_t)event->token);
}
