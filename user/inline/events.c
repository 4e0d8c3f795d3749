// SPDX-License-Identifier: BSD-2-Clause
#include "inline/events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "inline/record.h"
#include "obs/log.h"

#define FORMER_MAX 1024U

int events_init(struct events *events)
{
	events->counters = calloc(events->policy->n_listeners + 1, sizeof(*events->counters));
	if (!events->counters)
		return -ENOMEM;
	return open_flows_new(events->conf->inline_flows, &events->open);
}

static int find_name(const struct policy *policy, const char *name)
{
	for (size_t i = 0; i < policy->n_listeners; i++) {
		if (strcmp(policy->listeners[i]->name, name) == 0)
			return (int)i;
	}
	return -1;
}

struct inline_counters *events_counters(const struct events *events, const struct policy *next)
{
	const struct policy *policy = events->policy;
	struct inline_counters *counters = calloc(next->n_listeners + 1, sizeof(*counters));

	for (size_t i = 0; counters && i <= policy->n_listeners; i++) {
		int to = i < policy->n_listeners ? find_name(next, policy->listeners[i]->name) : -1;
		struct inline_counters *sum = &counters[to < 0 ? next->n_listeners : (size_t)to];

		sum->accepted += events->counters[i].accepted;
		sum->opened += events->counters[i].opened;
		sum->ended += events->counters[i].ended;
		sum->refused += events->counters[i].refused;
		sum->probes += events->counters[i].probes;
	}
	return counters;
}

/* Bounded: who makes up new names for ever has lines without a name at last. */
static void keep_former(struct events *events, size_t which)
{
	const struct conf_listener *listener = events->policy->listeners[which];
	struct former_listener *former;

	if (events->n_former == FORMER_MAX)
		return;
	former = calloc(1, sizeof(*former));
	if (!former)
		return;
	former->id = events->policy->ids[which];
	memcpy(former->listener.name, listener->name, sizeof(listener->name));
	former->listener.port = listener->port;
	former->next = events->former;
	events->former = former;
	events->n_former++;
}

static const struct conf_listener *find_former(const struct events *events, uint32_t id)
{
	const struct former_listener *former = events->former;

	while (former && former->id != id)
		former = former->next;
	return former ? &former->listener : NULL;
}

void events_switch(struct events *events, const struct conf *conf, const struct policy *next,
		   struct inline_counters *counters)
{
	const struct policy *policy = events->policy;

	for (size_t i = 0; i < policy->n_listeners; i++) {
		if (policy_find(next, policy->ids[i]) < 0 && !find_former(events, policy->ids[i]))
			keep_former(events, i);
	}
	free(events->counters);
	events->counters = counters;
	events->conf = conf;
}

void events_free(struct events *events)
{
	while (events->former) {
		struct former_listener *former = events->former;

		events->former = former->next;
		free(former);
	}
	open_flows_free(events->open);
	free(events->counters);
}

static struct inline_counters *counters_of(struct events *events, int listener)
{
	return &events->counters[listener < 0 ? events->policy->n_listeners : (size_t)listener];
}

static void put(struct events *events, const struct record *record, const uint8_t *tlvs)
{
	if (events->log)
		client_log_put(events->log, events->log_queue, record, tlvs);
}

static struct record_around around(const struct events *events, int listener, uint32_t id)
{
	return (struct record_around){
		.listener = listener < 0 ? find_former(events, id)
					 : events->policy->listeners[listener],
		.realtime_offset_us = events->realtime_offset_us,
	};
}

static void count_open(struct events *events, const struct up_flow_event *event)
{
	struct stats_counts *counts = &events->counts;

	stats_add(&counts->accepted, 1);
	if (event->version < STATS_VERSIONS && event->command < STATS_COMMANDS)
		stats_add(&counts->headers[event->version][event->command], 1);
	if (event->opened_ns >= event->created_ns)
		stats_time(&counts->header_us, (event->opened_ns - event->created_ns) / 1000);
}

/* What has not been opened before is met here for the first time. */
static void count_end(struct events *events, const struct up_flow_event *event,
		      const struct record *record)
{
	struct stats_counts *counts = &events->counts;

	if (!event->opened_ns)
		stats_add(&counts->accepted, 1);
	stats_add(&counts->closed, 1);
	if (record->event == RECORD_PROBE)
		stats_add(&counts->probes[event->opened_ns ? STATS_PROBE_LOCAL : STATS_PROBE_EMPTY],
			  1);
	else if (record->event == RECORD_REFUSED)
		stats_add(&counts->refused[event->reason < UP_REASON__MAX ? event->reason : 0], 1);
	else
		stats_add(&counts->ended[stats_end_find(record->reason)], 1);
}

/* A connection has moved so much since its beginning. known: what of it was counted before;
 * NULL: nothing. */
static void count_bytes(struct events *events, struct open_flow *known, uint64_t up, uint64_t down)
{
	uint64_t none[STATS_WAY__MAX] = { 0 };
	uint64_t *counted = known ? known->bytes : none;
	uint64_t now[STATS_WAY__MAX] = { up, down };

	for (int way = 0; way < STATS_WAY__MAX; way++) {
		if (now[way] <= counted[way])
			continue;
		stats_add(&events->counts.bytes[way][UP_PATH_INLINE], now[way] - counted[way]);
		counted[way] = now[way];
	}
}

static void take_open(struct events *events, const struct up_flow_event *event, int listener,
		      const uint8_t *header)
{
	struct record_around with = around(events, listener, event->listener);
	struct open_flow flow = {
		.key = event->key,
		.created_ns = event->created_ns,
		.listener = listener,
		.destination = record_destination(event),
		.header_len = event->header_len,
	};
	const uint8_t *tlvs = record_tlvs(event, header, &flow.tlv_len);

	counters_of(events, listener)->accepted++;
	counters_of(events, listener)->opened++;
	count_open(events, event);
	(void)open_flows_add(events->open, &flow, tlvs);
	if (events->conf->log_start) {
		struct record record = record_of_event(event, &with);

		record.tlv_len = flow.tlv_len;
		put(events, &record, tlvs);
	}
}

static void take_end(struct events *events, const struct up_flow_event *event, int listener)
{
	struct open_flow *open = open_flows_find(events->open, &event->key, event->created_ns);
	struct record_around with = around(events, listener, event->listener);
	struct inline_counters *counters = counters_of(events, listener);
	struct record record;

	with.open = open;
	record = record_of_event(event, &with);
	if (record.event == RECORD_PROBE)
		counters->probes++;
	else if (record.event == RECORD_REFUSED)
		counters->refused++;
	count_end(events, event, &record);
	count_bytes(events, open, event->bytes_up, event->bytes_down);
	if (event->opened_ns)
		counters->ended++;
	else
		counters->accepted++;
	if (record.event != RECORD_PROBE || events->conf->log_probes)
		put(events, &record, open ? open->tlvs : NULL);
	if (open)
		open_flows_remove(events->open, open);
}

void events_take(struct events *events, const struct up_flow_event *event, const uint8_t *header)
{
	int listener = policy_find(events->policy, event->listener);

	events->taken++;
	if (event->kind == UP_EVENT_OPEN)
		take_open(events, event, listener, header);
	else if (event->kind == UP_EVENT_END || event->kind == UP_EVENT_REFUSED)
		take_end(events, event, listener);
}

/* An acknowledged FIN counts as one. */
static uint64_t bytes_of(const struct up_flow *flow, enum stats_way way)
{
	uint64_t acked = way == STATS_UP ? flow->acked_up : flow->acked_down;
	uint32_t fin = way == STATS_UP ? UP_FLOW_FIN_UP_ACKED : UP_FLOW_FIN_DOWN_ACKED;

	return acked - (acked && flow->marks & fin);
}

void events_settle(struct events *events, const struct up_flow_key *key, const struct up_flow *flow)
{
	struct open_flow *known = open_flows_find(events->open, key, flow->created_ns);

	if (known)
		count_bytes(events, known, bytes_of(flow, STATS_UP), bytes_of(flow, STATS_DOWN));
}

void events_know(struct events *events, const struct up_flow_key *key, const struct up_flow *flow)
{
	struct open_flow *known = open_flows_find(events->open, key, flow->created_ns);
	struct open_flow fresh = {
		.key = *key,
		.created_ns = flow->created_ns,
		.listener = policy_find(events->policy, flow->listener),
		.header_len = flow->header_len,
		/* An earlier daemon's counters had them. */
		.bytes = { bytes_of(flow, STATS_UP), bytes_of(flow, STATS_DOWN) },
	};

	if (flow->state != UP_FLOW_OPEN || (flow->marks & UP_FLOW_ENDED))
		return;
	if (!known)
		known = open_flows_add(events->open, &fresh, NULL);
	if (known)
		known->seen = true;
}

bool events_live(const struct events *events, const struct up_flow_key *key,
		 const struct up_flow *flow, struct conn *ret)
{
	const struct open_flow *open = open_flows_find(events->open, key, flow->created_ns);
	struct record_around with = around(events, policy_find(events->policy, flow->listener),
					   flow->listener);

	if (flow->state == UP_FLOW_REFUSED || flow->marks & UP_FLOW_ENDED)
		return false;
	with.open = open;
	*ret = (struct conn){
		.number = flow_number(key, flow->created_ns),
		.state = record_flow_state(flow),
		.record = record_of_flow(key, flow, &with, clock_us(CLOCK_MONOTONIC) * 1000),
		.tlvs = open ? open->tlvs : NULL,
	};
	return true;
}

void events_say(const struct events *events)
{
	for (size_t i = 0; i < events->policy->n_listeners; i++) {
		const struct inline_counters *c = &events->counters[i];

		log_info("inline.listener listener=%s opened=%llu ended=%llu refused=%llu "
			 "probes=%llu",
			 events->policy->listeners[i]->name, (unsigned long long)c->opened,
			 (unsigned long long)c->ended, (unsigned long long)c->refused,
			 (unsigned long long)c->probes);
	}
}
