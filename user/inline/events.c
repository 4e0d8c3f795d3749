// SPDX-License-Identifier: BSD-2-Clause
#include "inline/events.h"

#include <errno.h>
#include <stdlib.h>

#include "inline/record.h"

int events_init(struct events *events)
{
	events->counters = calloc(events->policy->n_listeners + 1, sizeof(*events->counters));
	if (!events->counters)
		return -ENOMEM;
	return open_flows_new(events->conf->inline_flows, &events->open);
}

void events_free(struct events *events)
{
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

static struct record_around around(const struct events *events, int listener)
{
	return (struct record_around){
		.listener = listener < 0 ? NULL : events->policy->listeners[listener],
		.realtime_offset_us = events->realtime_offset_us,
	};
}

static void take_open(struct events *events, const struct up_flow_event *event, int listener,
		      const uint8_t *header)
{
	struct record_around with = around(events, listener);
	struct open_flow flow = {
		.key = event->key,
		.created_ns = event->created_ns,
		.listener = listener,
		.destination = record_destination(event),
		.header_len = event->header_len,
	};
	const uint8_t *tlvs = record_tlvs(event, header, &flow.tlv_len);

	counters_of(events, listener)->opened++;
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
	struct record_around with = around(events, listener);
	struct inline_counters *counters = counters_of(events, listener);
	struct record record;

	with.open = open;
	record = record_of_event(event, &with);
	if (record.event == RECORD_PROBE)
		counters->probes++;
	else if (record.event == RECORD_REFUSED)
		counters->refused++;
	if (event->opened_ns)
		counters->ended++;
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

void events_know(struct events *events, const struct up_flow_key *key, const struct up_flow *flow)
{
	struct open_flow *known = open_flows_find(events->open, key, flow->created_ns);
	struct open_flow fresh = {
		.key = *key,
		.created_ns = flow->created_ns,
		.listener = policy_find(events->policy, flow->listener),
		.header_len = flow->header_len,
	};

	if (flow->state != UP_FLOW_OPEN || (flow->marks & UP_FLOW_ENDED))
		return;
	if (!known)
		known = open_flows_add(events->open, &fresh, NULL);
	if (known)
		known->seen = true;
}
