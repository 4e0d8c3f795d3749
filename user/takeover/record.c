// SPDX-License-Identifier: BSD-2-Clause
#include "takeover/record.h"

#include <errno.h>

#include "unproxy/proxy_types.h"

static void write_flow(const struct handed_flow *flow, struct writer *w)
{
	const struct handed_accel *accel = &flow->accel;

	write_u64(w, flow->copied);
	write_u64(w, flow->spliced);
	write_u64(w, flow->bulk);
	write_u8(w, flow->path);
	write_u8(w, flow->ended);
	write_u8(w, flow->kernel_refused);
	write_u8(w, flow->splice_refused);
	write_u8(w, accel->used);
	write_u32(w, accel->slot);
	write_u64(w, accel->before);
	write_u32(w, accel->ahead);
	write_u8(w, accel->kernel_mode);
	write_u8(w, accel->waiting);
	write_u32(w, flow->pending_len);
}

static bool read_bool(struct reader *r)
{
	uint8_t value = read_u8(r);

	if (value > 1)
		r->overrun = true;
	return value == 1;
}

static void read_flow(struct reader *r, struct handed_flow *ret)
{
	struct handed_accel *accel = &ret->accel;

	ret->copied = read_u64(r);
	ret->spliced = read_u64(r);
	ret->bulk = read_u64(r);
	ret->path = read_u8(r);
	ret->ended = read_bool(r);
	ret->kernel_refused = read_bool(r);
	ret->splice_refused = read_bool(r);
	accel->used = read_bool(r);
	accel->slot = read_u32(r);
	accel->before = read_u64(r);
	accel->ahead = read_u32(r);
	accel->kernel_mode = read_bool(r);
	accel->waiting = read_bool(r);
	ret->pending_len = read_u32(r);
}

void handed_write(const struct handed *handed, struct writer *w)
{
	write_u16(w, TAKEOVER_VERSION);
	write_text(w, handed->listener);
	write_text(w, handed->backend);
	write_addr(w, &handed->client);
	write_addr(w, &handed->balancer);
	write_addr(w, &handed->destination);
	write_addr(w, &handed->server);
	write_u64(w, handed->accepted_us);
	write_u64(w, handed->idle_since_us);
	write_u64(w, handed->idle_bytes);
	write_u64(w, handed->timer_us);
	write_u64(w, handed->cookies[0]);
	write_u64(w, handed->cookies[1]);
	write_u32(w, handed->header_us);
	write_u32(w, handed->connect_us);
	write_u32(w, handed->header_len);
	write_u32(w, handed->written_header);
	write_u8(w, handed->state);
	write_u8(w, handed->fin);
	write_u8(w, handed->version);
	write_u8(w, handed->command);
	write_u8(w, handed->flags);
	write_flow(&handed->flows[0], w);
	write_flow(&handed->flows[1], w);
	write_u16(w, handed->tlv_len);
}

void handed_write_tail(const struct handed *handed, struct writer *w)
{
	write_bytes(w, handed->tlvs, handed->tlv_len);
	for (int way = 0; way < 2; way++)
		write_bytes(w, handed->flows[way].pending, handed->flows[way].pending_len);
}

static bool is_flow(const struct handed_flow *flow)
{
	return flow->path >= HANDED_COPY && flow->path < HANDED_PATH__MAX &&
	       flow->pending_len <= HANDED_PENDING_MAX;
}

/* What each state implies: a connection that is relayed has a server's socket. */
static bool is_whole(const struct handed *handed)
{
	bool relayed = handed->state == HANDED_RELAY || handed->state == HANDED_HALF;
	bool one_ended = handed->flows[0].ended != handed->flows[1].ended;

	if (handed->state >= HANDED__MAX || handed->fin >= HANDED_FIN__MAX || handed->version > 2 ||
	    handed->command > UP_COMMAND_PROXY || handed->flags & ~HANDED__FLAGS)
		return false;
	if (!is_flow(&handed->flows[0]) || !is_flow(&handed->flows[1]))
		return false;
	if (!handed->cookies[0] || (relayed && !handed->cookies[1]))
		return false;
	if (handed->state == HANDED_HEADER && handed->cookies[1])
		return false;
	if ((handed->state == HANDED_HALF) != one_ended)
		return false;
	return handed->listener[0] && handed->accepted_us;
}

int handed_read(struct reader *r, struct handed *ret)
{
	struct handed handed = { 0 };
	uint16_t version = read_u16(r);

	if (r->overrun)
		return -EBADMSG;
	if (version != TAKEOVER_VERSION)
		return -EPROTONOSUPPORT;
	read_text(r, handed.listener, sizeof(handed.listener));
	read_text(r, handed.backend, sizeof(handed.backend));
	read_addr(r, &handed.client);
	read_addr(r, &handed.balancer);
	read_addr(r, &handed.destination);
	read_addr(r, &handed.server);
	handed.accepted_us = read_u64(r);
	handed.idle_since_us = read_u64(r);
	handed.idle_bytes = read_u64(r);
	handed.timer_us = read_u64(r);
	handed.cookies[0] = read_u64(r);
	handed.cookies[1] = read_u64(r);
	handed.header_us = read_u32(r);
	handed.connect_us = read_u32(r);
	handed.header_len = read_u32(r);
	handed.written_header = read_u32(r);
	handed.state = read_u8(r);
	handed.fin = read_u8(r);
	handed.version = read_u8(r);
	handed.command = read_u8(r);
	handed.flags = read_u8(r);
	read_flow(r, &handed.flows[0]);
	read_flow(r, &handed.flows[1]);
	handed.tlv_len = read_u16(r);
	if (r->overrun || !is_whole(&handed))
		return -EBADMSG;
	*ret = handed;
	return 0;
}

int handed_attach_tail(struct handed *handed, const uint8_t *tail, size_t len)
{
	struct reader r = { .at = tail, .end = tail + len };

	if (len != handed_tail_len(handed))
		return -EBADMSG;
	handed->tlvs = read_view(&r, handed->tlv_len);
	for (int way = 0; way < 2; way++)
		handed->flows[way].pending = read_view(&r, handed->flows[way].pending_len);
	return 0;
}
