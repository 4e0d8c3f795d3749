// SPDX-License-Identifier: BSD-2-Clause
#include "inline/record.h"

#include <stddef.h>
#include <string.h>

#include "base/cleanup.h"
#include "client/reason.h"
#include "conf/conf.h"
#include "unproxy/proxy_types.h"

static const char *const end_names[] = {
	[UP_END_NONE] = "unknown",
	[UP_END_CLIENT_FIN] = "client_fin",
	[UP_END_SERVER_FIN] = "server_fin",
	[UP_END_CLIENT_RESET] = "client_reset",
	[UP_END_SERVER_RESET] = "server_reset",
	[UP_END_GONE] = "gone",
	[UP_END_REUSED] = "reused",
	[UP_END_KILLED] = "killed",
};

static struct up_addr endpoint(const uint8_t *ip, uint16_t port)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct up_addr addr = { .port = port };

	memcpy(addr.ip, ip, sizeof(addr.ip));
	addr.family = memcmp(ip, mapped, sizeof(mapped)) == 0 ? UP_FAMILY_IPV4 : UP_FAMILY_IPV6;
	return addr;
}

static uint64_t span_us(uint64_t from_ns, uint64_t to_ns)
{
	return to_ns > from_ns ? (to_ns - from_ns) / 1000 : 0;
}

/* As the relay's is_health_check(). */
static bool is_health_check(const struct record *record)
{
	bool own = record->command == UP_COMMAND_LOCAL ||
		   memcmp(record->client.ip, record->balancer.ip, sizeof(record->client.ip)) == 0;

	return record->version && own && !record->bytes_up;
}

static enum record_event kind_of(const struct up_flow_event *event, const struct record *record)
{
	switch (event->kind) {
	case UP_EVENT_OPEN:
		return RECORD_START;
	case UP_EVENT_REFUSED:
		return event->reason == UP_REASON_EMPTY ? RECORD_PROBE : RECORD_REFUSED;
	default:
		/* Never opened, and not refused: gone before the first byte. */
		return !event->opened_ns || is_health_check(record) ? RECORD_PROBE : RECORD_END;
	}
}

static const char *hint_of(const struct up_flow_event *event)
{
	size_t len = event->first.count;

	if (event->client.family)
		return up_reason_hint(event->reason);
	if (len > sizeof(event->first.bytes))
		len = sizeof(event->first.bytes);
	return reason_hint_for(event->reason, event->first.bytes, len);
}

static void name_reason(const struct up_flow_event *event, struct record *record)
{
	if (event->kind == UP_EVENT_REFUSED) {
		record->reason = up_reason_name(event->reason);
		if (record->event == RECORD_REFUSED)
			record->hint = hint_of(event);
	} else if (event->kind == UP_EVENT_END) {
		record->reason = event->end < ARRAY_SIZE(end_names) ? end_names[event->end]
								    : end_names[UP_END_NONE];
		if (!event->opened_ns)
			record->reason = up_reason_name(UP_REASON_EMPTY);
	}
}

struct up_addr record_destination(const struct up_flow_event *event)
{
	return event->has_addr ? event->destination : (struct up_addr){ 0 };
}

static void describe_open(const struct up_flow_event *event, const struct record_around *around,
			  struct record *record)
{
	const struct up_flow_key *key = &event->key;

	record->header_us = (uint32_t)span_us(event->created_ns, event->opened_ns);
	record->header_len = event->header_len;
	record->version = event->version;
	record->command = event->command;
	record->path_up = event->bytes_up ? UP_PATH_INLINE : UP_PATH_NONE;
	record->path_down = event->bytes_down ? UP_PATH_INLINE : UP_PATH_NONE;
	/* The app. Where it listens is not known of a listener that is gone. */
	if (around->listener)
		record->backend = endpoint(key->local_ip, around->listener->port.app);
}

struct record record_of_event(const struct up_flow_event *event, const struct record_around *around)
{
	const struct up_flow_key *key = &event->key;
	struct record record = {
		.engine = CONF_ENGINE_INLINE,
		.start_us = event->created_ns / 1000 + (uint64_t)around->realtime_offset_us,
		.duration_us = span_us(event->created_ns, event->now_ns),
		.bytes_up = event->bytes_up,
		.bytes_down = event->bytes_down,
		.balancer = endpoint(key->remote_ip, key->remote_port),
		.destination = record_destination(event),
		.listener = around->listener ? around->listener->name : NULL,
	};

	record.client = event->client.family ? event->client : record.balancer;
	if (around->open) {
		record.destination = around->open->destination;
		record.tlv_len = around->open->tlv_len;
	}
	if (!record.destination.family)
		record.destination = endpoint(key->local_ip, key->local_port);
	if (event->opened_ns)
		describe_open(event, around, &record);
	record.event = (uint8_t)kind_of(event, &record);
	name_reason(event, &record);
	return record;
}

/* As the programs fill an event, event_fill(). */
static struct up_flow_event event_of_flow(const struct up_flow_key *key, const struct up_flow *flow,
					  uint64_t now_ns)
{
	struct up_flow_event event = {
		.kind = UP_EVENT_OPEN,
		.listener = flow->listener,
		.key = *key,
		.now_ns = now_ns,
		.created_ns = flow->created_ns,
		.opened_ns = flow->opened_ns,
		.bytes_up = flow->acked_up,
		.bytes_down = flow->acked_down,
		.client = flow->client,
		.header_len = flow->state == UP_FLOW_OPEN ? flow->header_len : 0,
		.version = flow->version,
		.command = flow->command,
	};

	if (flow->marks & UP_FLOW_FIN_UP_ACKED && event.bytes_up)
		event.bytes_up--;
	if (flow->marks & UP_FLOW_FIN_DOWN_ACKED && event.bytes_down)
		event.bytes_down--;
	return event;
}

struct record record_of_flow(const struct up_flow_key *key, const struct up_flow *flow,
			     const struct record_around *around, uint64_t now_ns)
{
	struct up_flow_event event = event_of_flow(key, flow, now_ns);
	struct record record = record_of_event(&event, around);

	record.event = RECORD_LIVE;
	if (event.opened_ns)
		record.path_up = record.path_down = UP_PATH_INLINE;
	return record;
}

const char *record_flow_state(const struct up_flow *flow)
{
	static const char *const names[] = { "syn", "header", "open", "refused" };

	if (flow->state == UP_FLOW_OPEN && flow->marks & (UP_FLOW_FIN_UP | UP_FLOW_FIN_DOWN))
		return "half";
	return flow->state < ARRAY_SIZE(names) ? names[flow->state] : "unknown";
}

const uint8_t *record_tlvs(const struct up_flow_event *event, const uint8_t *header,
			   uint16_t *ret_len)
{
	*ret_len = 0;
	if (!header || event->tlv_len == 0 || event->tlv_at > event->header_len ||
	    event->tlv_len > event->header_len - event->tlv_at)
		return NULL;
	*ret_len = (uint16_t)event->tlv_len;
	return header + event->tlv_at;
}
