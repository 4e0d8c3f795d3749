/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client's side of a connection of tcp_fuzz: which segment goes next, and what becomes of
 * it on the way: lost, held back, doubled, damaged. Every choice is the connection's own draw.
 */
#ifndef FUZZ_SEND_H
#define FUZZ_SEND_H

#include <errno.h>
#include <unistd.h>

#include "fuzz_check.h"

static inline uint32_t clock_ts(const struct conn *c)
{
	return (uint32_t)(uint64_t)now_ms() + (uint32_t)stream_mix(fuzz.options.seed) +
	       0 * c->number;
}

static inline void wire_write(struct conn *c, const uint8_t *bytes, size_t len)
{
	fuzz.totals.packets_out++;
	if (write(fuzz.tun, bytes, len) != (ssize_t)len)
		wrong(c, "the device does not take a packet of %zu bytes: %s", len,
		      strerror(errno));
}

/* From here on the host has it. */
static inline void deliver(struct conn *c, const struct held *p)
{
	if (p->counts && p->end > p->pos) {
		if (!ranges_room(&c->arrived))
			return;
		ranges_add(&c->arrived, p->pos, p->end);
	}
	wire_write(c, p->bytes, p->len);
}

static inline bool hold(struct conn *c, const struct held *p)
{
	for (unsigned i = 0; i < HELD_MAX; i++) {
		struct held *held = &c->held[i];

		if (held->bytes)
			continue;
		*held = *p;
		held->bytes = malloc(p->len);
		memcpy(held->bytes, p->bytes, p->len);
		fuzz.totals.held++;
		return true;
	}
	return false;
}

static inline bool release(struct conn *c, unsigned per_mille)
{
	bool any = false;

	for (unsigned i = 0; i < HELD_MAX; i++) {
		struct held held = c->held[i];

		if (!held.bytes || (held.opens && (c->rst_sent || c->app.finished)) ||
		    !chance(&c->random, per_mille))
			continue;
		trace_add(c, 'A', NULL, "(one that was held back goes)");
		c->held[i].bytes = NULL;
		deliver(c, &held);
		free(held.bytes);
		any = true;
	}
	return any;
}

/* Put the segment for [pos, end) on the line; certain: nothing happens to it. */
static inline void send_segment(struct conn *c, struct segment *s, int64_t pos, int64_t end,
				bool certain)
{
	static uint8_t out[PACKET_MAX + 256];
	struct held packet = { .bytes = out,
			       .pos = pos,
			       .end = end,
			       .counts = s->sum != SUM_WRONG && !(s->flags & TCP_SYN),
			       .opens = s->flags & TCP_SYN };
	const char *note = s->sum == SUM_WRONG ? "(damaged)" : NULL;

	packet.len = segment_build(&fuzz.options.wire, s, out);
	if (!certain && chance(&c->random, c->loss)) {
		trace_add(c, 'C', s, "(lost)");
		fuzz.totals.lost++;
		return;
	}
	if (!certain && chance(&c->random, c->hold) && hold(c, &packet)) {
		trace_add(c, 'C', s, "(held back)");
		return;
	}
	trace_add(c, 'C', s, note);
	deliver(c, &packet);
	if (!certain && chance(&c->random, c->twice)) {
		trace_add(c, 'C', s, "(again)");
		fuzz.totals.twice++;
		deliver(c, &packet);
	}
}

/* The window we offer: its right edge never goes back, and moves in fits and starts. */
static inline uint16_t own_window(struct conn *c, int64_t ack)
{
	int scale = c->scale < 0 || !c->host_scale ? 0 : c->scale;
	unsigned mood = (unsigned)draw(&c->random, 100);
	int64_t room = mood < 3    ? 0
		       : mood < 15 ? (int64_t)draw(&c->random, 600)
				   : 2000 + (int64_t)draw(&c->random, 200000);
	int64_t field;

	if (c->told_edge > ack + room)
		room = c->told_edge - ack;
	field = (room + (1 << scale) - 1) >> scale;
	if (field > 65535)
		field = 65535;
	if (ack + (field << scale) > c->told_edge)
		c->told_edge = ack + (field << scale);
	return (uint16_t)field;
}

/* SACK blocks for what we hold beyond a gap; now and then a D-SACK before them. */
static inline void own_sacks(struct conn *c, struct segment *s, int64_t ack)
{
	unsigned max = s->has_ts ? 3 : 4;

	if (!c->sack)
		return;
	if (ack > 10 && chance(&c->random, c->odd / 2))
		s->sack[s->sacks++] = (struct sack){ c->irs + 1 + (uint32_t)ack - 9,
						     c->irs + 1 + (uint32_t)ack - 1 };
	for (unsigned i = c->got.n; i-- > 0 && s->sacks < max && c->got.at[i].from > ack;)
		s->sack[s->sacks++] = (struct sack){ c->irs + 1 + (uint32_t)c->got.at[i].from,
						     c->irs + 1 + (uint32_t)c->got.at[i].to };
}

static inline void add_odd_options(struct conn *c, struct segment *s)
{
	static const uint8_t unknown[] = { 253, 6, 0x12, 0x34, 0xff, 0xff };
	uint8_t room[80];
	size_t left = 40 - put_options(s, room);

	while (s->odd_len < left && chance(&c->random, 800)) {
		if (left - s->odd_len >= sizeof(unknown) && chance(&c->random, 300)) {
			memcpy(s->odd + s->odd_len, unknown, sizeof(unknown));
			s->odd_len += sizeof(unknown);
		} else {
			s->odd[s->odd_len++] = 1;
		}
	}
}

static inline struct segment own_segment(struct conn *c, uint8_t flags, int64_t pos)
{
	struct segment s = { .v6 = c->v6, .remote_port = c->port, .scale = -1, .flags = flags };
	int64_t ack = app_whole(c) > c->told && !chance(&c->random, c->odd) ? app_whole(c)
									    : c->told;

	s.seq = c->isn + 1 + (uint32_t)pos;
	s.ack = c->irs + 1 + (uint32_t)ack;
	s.window = own_window(c, ack);
	s.has_ts = c->ts;
	s.tsval = c->last_ts = c->ts ? clock_ts(c) : c->last_ts;
	s.tsecr = c->host_ts;
	s.packed_ts = chance(&c->random, c->odd);
	s.ecn = c->ecn ? (uint8_t)(chance(&c->random, 50) ? 3 : 2) : 0;
	own_sacks(c, &s, ack);
	if (chance(&c->random, c->odd))
		add_odd_options(c, &s);
	s.pad_v4 = chance(&c->random, c->odd) ? 4 * (1 + draw(&c->random, 5)) : 0;
	if (fuzz.options.vnet && chance(&c->random, 600))
		s.sum = SUM_PARTIAL;
	c->told = ack;
	c->ack_due = ack < app_whole(c);
	return s;
}

static inline void send_ack(struct conn *c, bool certain)
{
	struct segment s = own_segment(c, TCP_ACK, c->sent);

	if (certain && app_whole(c) > c->told) {
		c->told = app_whole(c);
		s.ack = c->irs + 1 + (uint32_t)c->told;
	}
	send_segment(c, &s, 0, 0, certain);
}

static inline void send_syn(struct conn *c)
{
	static const uint8_t fast_open[] = { 34, 2 }, multipath[] = { 30, 4, 1, 0x81 };
	uint8_t flags = c->ecn ? TCP_SYN | TCP_ECE | TCP_CWR : TCP_SYN;
	struct segment s = { .v6 = c->v6,
			     .remote_port = c->port,
			     .scale = c->scale,
			     .flags = flags,
			     .seq = c->isn };
	uint8_t data[1024];

	s.mss = c->mss;
	s.sack_ok = c->offers_sack;
	s.has_ts = c->offers_ts;
	s.tsval = c->last_ts = clock_ts(c);
	if (!c->first_ts)
		c->first_ts = s.tsval;
	s.window = c->told_edge ? (uint16_t)c->told_edge : (uint16_t)(1 + draw(&c->random, 65535));
	c->told_edge = s.window;
	if (c->odd && chance(&c->random, 300)) {
		s.odd_len = chance(&c->random, 500) ? 2 : 4;
		memcpy(s.odd, s.odd_len == 2 ? fast_open : multipath, s.odd_len);
	}
	if (c->syn_data) {
		s.len = c->syn_data < c->total ? c->syn_data : (size_t)c->total;
		up_fill(c, 0, data, s.len);
		s.data = data;
		c->sent = (int64_t)s.len > c->sent ? (int64_t)s.len : c->sent;
	}
	send_segment(c, &s, 0, (int64_t)s.len, false);
}

/* Bytes of the stream, and its FIN where they end. */
static inline void send_range(struct conn *c, int64_t pos, int64_t len)
{
	static uint8_t data[PACKET_MAX];
	struct segment s = own_segment(c, TCP_ACK, pos);
	uint8_t room[80];
	int64_t most = (int64_t)c->host_mss - (int64_t)put_options(&s, room) - (int64_t)s.pad_v4;
	int64_t end, limit = c->edge > c->acked ? c->edge : c->acked + 1;

	if (fuzz.options.gso && s.sum == SUM_PARTIAL && chance(&c->random, 300)) {
		s.gso_size = (uint16_t)(200 + draw(&c->random, (uint64_t)most - 199));
		most = 60000;
	}
	len = len > most ? most : len;
	len = pos + len > limit ? limit - pos : len;
	len = pos + len > c->total ? c->total - pos : len;
	end = pos + (len > 0 ? len : 0);
	s.len = len > 0 ? (size_t)len : 0;
	s.gso_size = s.len > s.gso_size ? s.gso_size : 0;
	s.data = data;
	up_fill(c, pos, data, s.len);
	if (chance(&c->random, 300))
		s.flags |= TCP_PSH;
	if (s.len && chance(&c->random, c->odd / 3)) {
		s.flags |= TCP_URG;
		s.urgent = (uint16_t)(1 + draw(&c->random, s.len));
	}
	if (end == c->total && sends_fin(c) && (!c->client_waits_eof || c->fin_got) &&
	    chance(&c->random, 800)) {
		s.flags |= TCP_FIN;
		end++;
	}
	c->sent = end > c->sent ? end : c->sent;
	if (s.sum == SUM_WHOLE && chance(&c->random, c->odd / 4)) {
		s.sum = SUM_WRONG;
		s.wrong_bit = (unsigned)draw(&c->random, 8 * (20 + s.len));
		fuzz.totals.wrong_sum++;
	}
	send_segment(c, &s, pos, end, false);
}

/* Where the RST of a sender that is believed stands: at what the host expects next. */
static inline void send_rst(struct conn *c)
{
	int64_t pos = chance(&c->random, 500) ? ranges_whole(&c->arrived) : c->acked;
	struct segment s = own_segment(c, TCP_RST | (chance(&c->random, 500) ? TCP_ACK : 0), pos);

	s.sacks = 0;
	c->rst_sent++;
	send_segment(c, &s, 0, 0, true);
}

/* An RST or SYN of somebody who guesses: the connection goes on. */
static inline void send_blind(struct conn *c)
{
	int64_t pos = c->edge + 70000 + (int64_t)draw(&c->random, 1 << 20);
	struct segment s = own_segment(c, chance(&c->random, 500) ? TCP_RST : TCP_RST | TCP_ACK,
				       pos);

	if (chance(&c->random, 500)) {
		s.flags = TCP_SYN;
		if (chance(&c->random, 400))
			s.seq = c->isn;
	}
	s.sacks = 0;
	send_segment(c, &s, 0, 0, true);
}

/* One byte before what is acknowledged, or none: asks whether the host is still there. */
static inline void send_keepalive(struct conn *c)
{
	struct segment s = own_segment(c, TCP_ACK, c->acked - 1);
	uint8_t byte = (uint8_t)draw(&c->random, 256);

	s.data = &byte;
	s.len = chance(&c->random, 400);
	send_segment(c, &s, 0, 0, false);
}

/* How long a segment at pos shall be: the header's edge is where the interesting things are. */
static inline int64_t draw_segment(struct conn *c, int64_t pos)
{
	int64_t left = (int64_t)c->header.len - pos;
	unsigned what = (unsigned)draw(&c->random, 100);

	if (left > 0 && what < 30)
		return left;
	if (left > 0 && what < 50)
		return 1 + (int64_t)draw(&c->random, 5);
	if (left > 0 && what < 60)
		return left + 1;
	return 1 + (int64_t)draw(&c->random, what < 80                       ? 1460
					     : what < 95 || fuzz.options.gso ? 60000
									     : 3);
}

/* Send something of the stream. Returns whether anything new was there to send. */
static inline bool send_some(struct conn *c)
{
	int64_t limit = c->fate == FATE_CLIENT_RST ? (int64_t)c->abort_at : c->total;
	bool fin_missing = sends_fin(c) && c->sent <= c->total &&
			   (!c->client_waits_eof || c->fin_got);
	unsigned what = (unsigned)draw(&c->random, 100);
	int64_t pos = c->sent < limit ? c->sent : limit, back;

	limit = limit < c->edge ? limit : c->edge;
	if (what < 12 + (pos >= limit ? 40 : 0))
		pos = c->acked < pos ? c->acked : pos;
	else if (what < 20 && pos < limit)
		pos += (int64_t)draw(&c->random, (uint64_t)(limit - pos));
	else if (what < 26 && c->sent) {
		back = c->sent < 3000 || chance(&c->random, 100) ? c->sent : 3000;
		pos = c->sent - (int64_t)draw(&c->random, (uint64_t)back + 1);
		pos = pos > limit ? limit : pos;
	}
	if (pos >= limit && !fin_missing && pos >= c->sent)
		return false;
	send_range(c, pos,
		   c->fate == FATE_CLIENT_RST && limit - pos < 60000
			   ? (limit > pos ? 1 + (int64_t)draw(&c->random, (uint64_t)(limit - pos))
					  : 0)
			   : draw_segment(c, pos));
	return c->sent < limit;
}

#endif
