// SPDX-License-Identifier: BSD-2-Clause
/* The state table, and what moves a session through it. */
#include "relay/places.h"
#include "relay/session.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/socket.h"
#include "client/reason.h"
#include "obs/log.h"
#include "relay/connect.h"
#include "relay/header.h"
#include "relay/law.h"
#include "relay/limits.h"
#include "relay/listener.h"
#include "relay/path_copy.h"
#include "relay/path_kernel.h"
#include "relay/path_splice.h"
#include "relay/path_uring.h"
#include "relay/record.h"
#include "relay/show.h"
#include "relay/walk.h"

#define NEVER_US UINT64_MAX

/* A reset source: so long may the kernel path take to deliver what came before. */
#define RESET_GRACE_US 16000

static void on_timer(struct loop_timer *timer);

static void destroy(struct loop_deferred *deferred)
{
	struct session *session = container_of(deferred, struct session, deferred);

	generation_leave(session->rules->generation, session->worker->index);
	free(session->early);
	free(session);
}

struct session *session_make(struct worker *worker, const struct rules *rules)
{
	struct session *session = calloc(1, sizeof(*session));

	if (!session)
		return NULL;
	session->worker = worker;
	session->rules = rules;
	session->timer.fn = on_timer;
	session->server = -1;
	session->flows[UP].path = session->flows[DOWN].path = UP_PATH_COPY;
	session->legs[FRONT].source.fd = session->legs[BACK].source.fd = -1;
	session->legs[FRONT].side = FRONT;
	session->legs[BACK].side = BACK;
	return session;
}

void session_enter(struct session *session)
{
	struct worker *worker = session->worker;

	generation_enter(session->rules->generation, worker->index);
	list_append(&worker->sessions, &session->all);
	list_append(&worker->young, &session->turn);
	worker_count(worker, 1);
}

int session_new(struct listener *listener, int fd, const struct up_addr *peer, bool limited)
{
	struct worker *worker = listener->worker;
	const struct conf_listener *conf = listener->rules->conf;
	struct relay *relay = worker->relay;
	struct session *session = session_make(worker, listener->rules);
	struct leg *front;

	if (!session)
		return -ENOMEM;
	session->accepted_us = loop_now(worker->loop);
	session->client = session->balancer = *peer;
	session->limited = limited;
	session->plain = conf->untrusted == CONF_UNTRUSTED_PASS && !trust_match(&conf->trust, peer);
	front = &session->legs[FRONT];
	front->source.fd = fd;
	front->flags = LEG_READABLE | LEG_WRITABLE;
	if (loop_timer_arm(worker->loop, &session->timer,
			   (uint64_t)conf->header_timeout_ms * 1000)) {
		free(session);
		return -ENOMEM;
	}
	session_enter(session);
	if (relay->kern && conf->kernel_path == CONF_KERNEL_ALWAYS)
		session->flows[UP].kernel_refused = kernel_begin(session) != 0;
	session_run(session); /* the header is often here already */
	return 0;
}

static void free_flow(struct session *session, enum way way)
{
	struct flow *flow = flow_of(session, way);

	kernel_free(session, way);
	splice_free(session, way);
	free(TAKE_PTR(flow->chunk));
}

void session_release(struct session *session)
{
	leg_close(&session->legs[FRONT], session->closes);
	leg_close(&session->legs[BACK], session->closes);
	free_flow(session, UP);
	free_flow(session, DOWN);
	session->deferred.destroy = destroy;
	loop_defer(session->worker->loop, &session->deferred);
}

/* Give all places up, and be in no list any more. */
static void leave(struct session *session)
{
	struct worker *worker = session->worker;
	const struct rules *rules = session->rules;

	session->state = SESSION_CLOSED;
	loop_timer_cancel(worker->loop, &session->timer);
	leg_leave(session, &session->legs[FRONT]);
	leg_leave(session, &session->legs[BACK]);
	if (session->server >= 0)
		pool_release(rules->pool, session->server);
	if (session->limited)
		limits_give(worker->relay->limits, rules->state, &session->balancer);
	show_gone(session);
	walk_step_off(worker, session);
	list_remove(&session->all);
	list_remove(&session->turn);
	free(session->tried);
	free(session->tlvs);
	worker_count(worker, -1);
	rules_give_place(worker->relay, rules);
}

void session_let_go(struct session *session)
{
	kernel_forget(session);
	if (session->worker->relay->kern_told)
		show_let_go(session);
	leave(session);
	session->closes = LEG_CLOSE_LET_GO;
	session_release(session);
}

void session_close(struct session *session)
{
	leave(session);
	stats_add(&session->worker->counts.closed, 1);
	if (!session->operations) /* else with the last one's last word */
		session_release(session);
}

void session_abort(struct session *session, const char *reason)
{
	session->reason = reason;
	record_ended(session);
	session->closes = LEG_CLOSE_RESET;
	session_close(session);
}

void session_cut(struct session *session, enum up_reason reason)
{
	if (session->state >= SESSION_RELAY) {
		session_abort(session, up_reason_name(reason));
		return;
	}
	record_refused(session, reason, NULL);
	session_close(session);
}

/* Only ESTABLISHED sockets can enter a sockhash. And one direction of a pair at a time:
 * with both, what one passes up would queue behind what the other sends. */
static bool may_accelerate(const struct session *session, enum way way)
{
	uint8_t flags = session->legs[FRONT].flags | session->legs[BACK].flags;

	return session->worker->relay->kern &&
	       session->rules->conf->kernel_path != CONF_KERNEL_OFF &&
	       session->state == SESSION_RELAY && !(flags & (LEG_HUP | LEG_DEAD)) &&
	       !session->flows[way].kernel_refused && !session->flows[way == UP ? DOWN : UP].accel;
}

/* A flow has moved a lot: give it to the path that does it best. */
static enum relay_result promote(struct session *session, enum way way)
{
	struct flow *flow = flow_of(session, way);
	int err;

	/* Before the kernel path: it costs less wherever the sender is faster than the reader
	 * (docs/benchmarks.md), because what a full target cannot take is copied there. */
	if (session->rules->conf->splice && !flow->splice_refused) {
		bulk_bound_source(session, way);
		flow->path = UP_PATH_SPLICE;
		stats_add(&session->worker->counts.promoted[UP_PATH_SPLICE], 1);
		return splice_move(session, way);
	}
	if (!may_accelerate(session, way))
		return RELAY_AGAIN;
	err = kernel_promote(session, way);
	if (!err)
		return kernel_move(session, way);
	if (err == -EAGAIN || flow->chunk) /* bytes in hand: no event will come */
		flow->wake_us = 1;
	return RELAY_AGAIN;
}

static enum relay_result flow_move(struct session *session, enum way way)
{
	struct flow *flow = flow_of(session, way);
	enum relay_result result;

	flow->wake_us = 0;
	if (flow->accel)
		return kernel_move(session, way);
	if (flow->path == UP_PATH_SPLICE && !flow->splice_refused)
		return splice_move(session, way);
	result = copy_move(session, way);
	if (result == RELAY_AGAIN && !flow->chunk && !flow->sending &&
	    !(source_of(session, way)->flags & LEG_URING) &&
	    flow->bulk >= session->rules->conf->promote_bytes)
		return promote(session, way);
	return result;
}

/* `always`: the pair goes to the kernel as soon as there is one. */
static void promote_pair(struct session *session)
{
	if (!session->worker->relay->kern ||
	    session->rules->conf->kernel_path != CONF_KERNEL_ALWAYS)
		return;
	if (!session->flows[UP].kernel_refused)
		(void)kernel_promote(session, UP);
	if (!session->flows[DOWN].kernel_refused)
		(void)kernel_promote(session, DOWN);
}

/* The source ended and its last byte is with the target: tell the target. */
static void pass_end(struct session *session, enum way way)
{
	flow_of(session, way)->ended = true;
	if (!session->reason)
		session->reason = way == UP ? "client_fin" : "server_fin";
	/* The second end is told by the close() that follows. */
	if (!session->flows[way == UP ? DOWN : UP].ended)
		(void)shutdown(target_of(session, way)->source.fd, SHUT_WR);
}

/* A reset leg has had its last chance to deliver what it sent before. */
static bool is_over(const struct session *session, enum way way, enum relay_result result)
{
	const struct flow *flow = &session->flows[way];

	return result == RELAY_EOF || !flow->accel || !flow->wake_us ||
	       flow->wake_us > RESET_GRACE_US;
}

/* Move one flow. Returns false when the session ended by it. */
static bool run_flow(struct session *session, enum way way)
{
	struct leg *source = source_of(session, way);
	enum relay_result result;

	if (flow_of(session, way)->ended && !(source->flags & LEG_DEAD))
		return true;
	result = flow_of(session, way)->ended ? RELAY_EOF : flow_move(session, way);
	if (result == RELAY_EOF && law_hides_reset(session, way))
		leg_died(source, ECONNRESET);
	if (result == RELAY_ERROR) {
		session_abort(session, session->reason);
		return false;
	}
	if (source->flags & LEG_DEAD && is_over(session, way, result)) {
		session_abort(session, leg_death_reason(source));
		return false;
	}
	if (result == RELAY_EOF)
		pass_end(session, way);
	return true;
}

/* Microseconds until the idle limit, from what has moved by whichever path; 0: reached. */
static uint64_t idle_left_us(struct session *session)
{
	uint64_t idle_us = (uint64_t)session->rules->conf->idle_timeout_ms * 1000;
	uint64_t now = loop_now(session->worker->loop);
	uint64_t bytes, passed;

	if (!idle_us)
		return NEVER_US;
	bytes = flow_bytes(&session->flows[UP]) + flow_bytes(&session->flows[DOWN]);
	if (bytes != session->idle_bytes || !session->idle_since_us) {
		session->idle_bytes = bytes;
		session->idle_since_us = now;
	}
	passed = now - session->idle_since_us;
	return passed < idle_us ? idle_us - passed : 0;
}

/* One timer serves both: what a flow asked for, and the idle limit. */
static int set_timer(struct session *session)
{
	uint64_t wake_us = idle_left_us(session);

	for (enum way way = UP; way <= DOWN; way++) {
		const struct flow *flow = flow_of(session, way);

		if (!flow->ended && flow->wake_us && flow->wake_us < wake_us)
			wake_us = flow->wake_us;
	}
	if (wake_us != NEVER_US)
		return loop_timer_arm(session->worker->loop, &session->timer, wake_us);
	loop_timer_cancel(session->worker->loop, &session->timer);
	return 0;
}

/* Move both. Returns false when the session ended by it. */
static bool run_flows(struct session *session)
{
	const struct leg *front = &session->legs[FRONT];
	bool dead;

	if (!run_flow(session, UP))
		return false;
	dead = front->flags & LEG_DEAD;
	if (!run_flow(session, DOWN))
		return false;
	/* DOWN may be the first to meet the client's death, and no event need tell of it. */
	return dead || !(front->flags & LEG_DEAD) || run_flow(session, UP);
}

static enum session_state relay_step(struct session *session)
{
	if (!run_flows(session))
		return SESSION_CLOSED;
	if (session->flows[UP].ended && session->flows[DOWN].ended) {
		record_ended(session);
		return SESSION_CLOSED;
	}
	if (set_timer(session)) {
		session_cut(session, UP_REASON_NO_RESOURCES);
		return SESSION_CLOSED;
	}
	return session->flows[UP].ended || session->flows[DOWN].ended ? SESSION_HALF
								      : session->state;
}

typedef enum session_state step_fn(struct session *session);

static const struct {
	const char *name;
	step_fn *step;      /* returns the next state; never frees the session */
	uint32_t may_go_to; /* bits */
} states[] = {
	[SESSION_HEADER] = { "header", header_step, 1U << SESSION_CONNECT | 1U << SESSION_CLOSED },
	[SESSION_CONNECT] = { "connect", connect_step, 1U << SESSION_RELAY | 1U << SESSION_CLOSED },
	[SESSION_RELAY] = { "relay", relay_step, 1U << SESSION_HALF | 1U << SESSION_CLOSED },
	[SESSION_HALF] = { "half", relay_step, 1U << SESSION_CLOSED },
	[SESSION_CLOSED] = { "closed", NULL, 0 },
};
_Static_assert(ARRAY_SIZE(states) == SESSION__MAX, "a state without a row");

const char *session_state_name(enum session_state state)
{
	return states[state].name;
}

static void enter(struct session *session, enum session_state next)
{
	if (!(states[session->state].may_go_to & 1U << next))
		log_error("session.bad_transition from=%s to=%s", states[session->state].name,
			  states[next].name);
	session->state = (uint8_t)next;
	if (next == SESSION_CONNECT)
		loop_timer_cancel(session->worker->loop, &session->timer);
	if (next == SESSION_RELAY) {
		stats_add(&session->worker->counts.bytes[UP][UP_PATH_COPY],
			  session->flows[UP].copied);
		promote_pair(session);
	}
}

/* What is not watched would be silent for ever. Returns false when the session ended by it. */
static bool watch(struct session *session)
{
	if (!leg_watch(session, &session->legs[FRONT]) && !leg_watch(session, &session->legs[BACK]))
		return true;
	session_cut(session, UP_REASON_NO_RESOURCES);
	return false;
}

void session_run(struct session *session)
{
	while (session->state != SESSION_CLOSED) {
		enum session_state next = states[session->state].step(session);

		if (next == session->state)
			break;
		enter(session, next);
		if (next == SESSION_CLOSED)
			session_close(session);
	}
	/* The result of the early data's send runs the session again, and soon. */
	if (session->state != SESSION_CLOSED && !session->early)
		(void)watch(session);
}

static void on_timer(struct loop_timer *timer)
{
	struct session *session = container_of(timer, struct session, timer);

	switch (session->state) {
	case SESSION_HEADER:
		header_timeout(session);
		break;
	case SESSION_CONNECT:
		connect_timeout(session);
		break;
	default:
		if (!idle_left_us(session))
			session_abort(session, "idle_timeout");
		else
			session_run(session);
	}
}

void session_settle(struct session *session)
{
	const struct conf_listener *conf = session->rules->conf;
	int fd = session->legs[BACK].source.fd;

	session->settled = true;
	/* io_uring, up to 6.18 at least, does not tell of an RST that came with the last bytes it
	 * received (tcp_inq_hint() knows of FINs alone), so epoll looks out for errors. Short
	 * connections are spared that; theirs are met now. */
	if (!watch(session))
		return;
	/* It may have been accepted before the listening socket was ours. */
	(void)socket_set_loud(session->legs[FRONT].source.fd, true);
	if (fd < 0)
		return;
	(void)socket_set_keepalive(fd, conf->keepalive_s);
	if (conf->user_timeout_ms)
		(void)socket_set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)conf->user_timeout_ms);
}
