// SPDX-License-Identifier: BSD-2-Clause
#include "relay/record.h"

#include <string.h>
#include <sys/socket.h>

#include "base/addr.h"
#include "client/reason.h"
#include "unproxy/proxy_types.h"

static void count_refused(struct worker *worker, const struct rules *rules, enum up_reason reason)
{
	stats_add(&worker->counts.refused[reason], 1);
	__atomic_fetch_add(&rules->state->refused, 1, __ATOMIC_RELAXED);
	/* Whoever comes next would meet the same: in the backlog it may wait for its end. */
	if (reason == UP_REASON_NO_RESOURCES)
		listeners_pause(worker, up_reason_hint(reason));
}

static void put(struct worker *worker, const struct record *record, const uint8_t *tlvs)
{
	if (worker->relay->log)
		client_log_put(worker->relay->log, worker->index, record, tlvs);
}

void record_own_address(const struct session *session, struct up_addr *ret)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	if (getsockname(session->legs[FRONT].source.fd, (struct sockaddr *)&sa, &len) == 0)
		addr_from_sockaddr(ret, (struct sockaddr *)&sa);
}

static void record_peer(const struct session *session, struct up_addr *ret)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	if (getpeername(session->legs[BACK].source.fd, (struct sockaddr *)&sa, &len) == 0)
		addr_from_sockaddr(ret, (struct sockaddr *)&sa);
}

void record_refused_at_accept(struct listener *listener, const struct up_addr *peer,
			      enum up_reason reason)
{
	struct worker *worker = listener->worker;
	struct record record = {
		.event = RECORD_REFUSED,
		.start_us = loop_now(worker->loop) + worker->realtime_offset_us,
		.client = *peer,
		.balancer = *peer,
		.listener = listener->rules->conf->name,
		.reason = up_reason_name(reason),
		.hint = up_reason_hint(reason),
	};

	count_refused(worker, listener->rules, reason);
	put(worker, &record, NULL);
}

/* What moved most of a flow's bytes. */
static enum up_conn_path main_path(const struct session *session, enum way way)
{
	const struct flow *flow = &session->flows[way];
	uint64_t redirected = flow_redirected(flow);

	if (!session_bytes(session, way))
		return UP_PATH_NONE;
	if (redirected >= flow->spliced && redirected >= flow->copied)
		return UP_PATH_KERNEL;
	return flow->spliced >= flow->copied ? UP_PATH_SPLICE : UP_PATH_COPY;
}

static struct record describe_known(struct session *session, enum record_event event)
{
	struct worker *worker = session->worker;
	struct record record = {
		.event = event,
		.start_us = session->accepted_us + worker->realtime_offset_us,
		.header_us = session->header_us,
		.connect_us = session->connect_us,
		.duration_us = loop_now(worker->loop) - session->accepted_us,
		.bytes_up = session_bytes(session, UP),
		.bytes_down = session_bytes(session, DOWN),
		.client = session->client,
		.balancer = session->balancer,
		.destination = session->destination,
		.listener = session->rules->conf->name,
		.backend_name = session->rules->conf->backend->name,
		.reason = session->reason,
		.header_len = session->header_len,
		.stacked = session->stacked,
		.version = session->version,
		.command = session->command,
		.path_up = main_path(session, UP),
		.path_down = main_path(session, DOWN),
		.tlv_len = session->tlv_len,
	};

	if (session->server >= 0)
		record.backend = *pool_addr(session->rules->pool, session->server);
	else if (session->state >= SESSION_RELAY) /* taken over, and not in our pool */
		record_peer(session, &record.backend);
	return record;
}

static struct record describe(struct session *session, enum record_event event)
{
	struct record record = describe_known(session, event);

	/* The header knew better; asked for only when there is a log to tell. */
	if (record.destination.family == UP_FAMILY_NONE)
		record_own_address(session, &record.destination);
	return record;
}

struct record record_live(struct session *session)
{
	struct record record = describe_known(session, RECORD_LIVE);

	record.path_up = session->flows[UP].path;
	record.path_down = session->flows[DOWN].path;
	return record;
}

/* A balancer's own health check: LOCAL, or a header that names the balancer itself (Classic
 * ELB, HAProxy with version 1), and nothing said. */
static bool is_health_check(const struct session *session)
{
	bool own = session->command == UP_COMMAND_LOCAL ||
		   memcmp(session->client.ip, session->balancer.ip, sizeof(session->client.ip)) ==
			   0;

	return session->version && own && !flow_bytes(&session->flows[UP]);
}

void record_refused(struct session *session, enum up_reason reason, const char *hint)
{
	struct record record;

	session->closes = LEG_CLOSE_RESET;
	if (reason == UP_REASON_RESET && is_health_check(session)) {
		session->reason = up_reason_name(reason);
		record_probe(session, STATS_PROBE_LOCAL);
		return;
	}
	count_refused(session->worker, session->rules, reason);
	if (!session->worker->relay->log)
		return;
	session->reason = up_reason_name(reason);
	record = describe(session, RECORD_REFUSED);
	record.hint = hint ? hint : up_reason_hint(reason);
	put(session->worker, &record, session->tlvs);
}

static void put_event(struct session *session, enum record_event event)
{
	struct record record;

	if (!session->worker->relay->log)
		return;
	record = describe(session, event);
	put(session->worker, &record, session->tlvs);
}

void record_started(struct session *session)
{
	if (session->rules->generation->conf->log_start)
		put_event(session, RECORD_START);
}

void record_probe(struct session *session, enum stats_probe kind)
{
	stats_add(&session->worker->counts.probes[kind], 1);
	if (session->rules->generation->conf->log_probes)
		put_event(session, RECORD_PROBE);
}

void record_ended(struct session *session)
{
	if (is_health_check(session)) {
		record_probe(session, STATS_PROBE_LOCAL);
		return;
	}
	stats_add(&session->worker->counts.ended[stats_end_find(session->reason)], 1);
	put_event(session, RECORD_END);
}
