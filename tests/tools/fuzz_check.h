/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What tcp_fuzz holds against every packet of the host's: does it fit what was sent, what
 * has arrived, and what the app has written? Then the model takes it in.
 */
#ifndef FUZZ_CHECK_H
#define FUZZ_CHECK_H

#include "fuzz_conn.h"

/* A RST has a reason: the plan, or that the host's socket may be gone: both FINs are acknowledged. */
static inline bool rst_allowed(const struct conn *c)
{
	if (c->fate != FATE_FINISH)
		return c->fate != FATE_CLIENT_RST || c->rst_sent;
	return c->app.finished && c->fin_got && c->told == c->app_fin + 1 &&
	       ranges_whole(&c->arrived) == c->total + 1;
}

static inline void check_rst(struct conn *c, const struct segment *s)
{
	int64_t pos = down_pos(c, s->seq);

	if (!rst_allowed(c))
		wrong(c, "an RST that nothing asked for");
	if (c->phase != PHASE_UP)
		return;
	if (c->fate >= FATE_BAD && c->irs_known && pos != 0)
		wrong(c,
		      "the RST of a refusal has sequence number %lld: no sender would believe it",
		      (long long)pos);
	if (c->fate == FATE_APP_RST && (pos < 0 || pos > (int64_t)c->app.sent))
		wrong(c, "the app's RST has sequence number %lld", (long long)pos);
	if (s->flags & TCP_ACK && up_pos(c, s->ack) > c->sent)
		wrong(c, "the RST acknowledges what was never sent");
}

static inline void check_syn_ack(struct conn *c, const struct segment *s)
{
	/* One that is repeated may know of the header already. */
	if (!(s->flags & TCP_ACK) || (up_pos(c, s->ack) != 0 && !c->irs_known))
		wrong(c, "a SYN-ACK that acknowledges %lld", (long long)up_pos(c, s->ack));
	if (c->irs_known && s->seq != c->irs)
		wrong(c, "a second SYN-ACK with another sequence number");
	if (s->len)
		wrong(c, "a SYN-ACK with data");
	if ((s->sack_ok && !c->offers_sack) || (s->has_ts && !c->offers_ts) ||
	    (s->scale >= 0 && !c->offers_scale))
		wrong(c, "the SYN-ACK has an option that was not offered");
	if (c->irs_known)
		return;
	c->irs_known = true;
	c->irs = s->seq;
	c->ts = s->has_ts;
	c->sack = s->sack_ok;
	c->host_scale = s->scale > 0 && c->offers_scale ? s->scale : 0;
	c->host_mss = s->mss ? s->mss : c->v6 ? 1220 : 536;
	if (c->phase == PHASE_SYN)
		c->phase = PHASE_UP;
}

static inline void check_timestamps(struct conn *c, const struct segment *s)
{
	if (s->flags & TCP_RST)
		return;
	if (s->has_ts != c->ts)
		wrong(c, c->ts ? "no timestamp" : "a timestamp that was not agreed on");
	if (!s->has_ts)
		return;
	if ((int32_t)(s->tsecr - c->first_ts) < 0 || (int32_t)(s->tsecr - c->last_ts) > 0)
		wrong(c, "the timestamp that is echoed was never sent: %u not in %u..%u", s->tsecr,
		      c->first_ts, c->last_ts);
	if (c->host_ts_known && (int32_t)(s->tsval - c->host_ts) < 0)
		wrong(c, "the timestamp goes back by %d: PAWS would drop this segment",
		      c->host_ts - s->tsval);
	if (!c->host_ts_known || (int32_t)(s->tsval - c->host_ts) > 0)
		c->host_ts = s->tsval;
	c->host_ts_known = true;
}

static inline void check_sack(struct conn *c, const struct segment *s, int64_t ack)
{
	if (s->sacks && !c->sack)
		wrong(c, "SACK blocks without consent");
	for (unsigned i = 0; i < s->sacks; i++) {
		int64_t left = up_pos(c, s->sack[i].left), right = up_pos(c, s->sack[i].right);
		/* Below the acknowledgement: a D-SACK, or one the kernel has not cleared at a FIN. */
		bool again = right <= ack ||
			     (i == 0 && s->sacks > 1 && left >= up_pos(c, s->sack[1].left) &&
			      right <= up_pos(c, s->sack[1].right));

		if (left >= right)
			wrong(c, "SACK block %lld-%lld is empty or backwards", (long long)left,
			      (long long)right);
		if (!ranges_have(&c->arrived, left < 0 ? left + 1 : left, right) && right > 0)
			wrong(c, "SACK block %lld-%lld of bytes that did not arrive",
			      (long long)left, (long long)right);
		if (!again && left <= ack)
			wrong(c, "SACK block %lld-%lld begins below the acknowledgement %lld",
			      (long long)left, (long long)right, (long long)ack);
		fuzz.totals.sacks += !again;
		fuzz.totals.dsacks += again;
	}
}

/* Acknowledgement and window. */
static inline void check_ack(struct conn *c, const struct segment *s)
{
	int64_t ack = up_pos(c, s->ack), edge;
	bool syn = s->flags & TCP_SYN;

	if (!(s->flags & TCP_ACK))
		wrong(c, "a segment without ACK");
	if (ack < 0 || ack > c->sent)
		wrong(c, "acknowledges %lld of %lld sent", (long long)ack, (long long)c->sent);
	if (ack > ranges_whole(&c->arrived))
		wrong(c, "acknowledges %lld, of which only %lld have arrived", (long long)ack,
		      (long long)ranges_whole(&c->arrived));
	/* A host that waits for the end of the handshake answers a late SYN with its first ACK again: old, and harmless. */
	if (ack == 0 && c->acked > 0 && !c->app.accepted)
		return;
	if (!syn && ack < c->acked)
		wrong(c, "acknowledgement goes back from %lld to %lld", (long long)c->acked,
		      (long long)ack);
	edge = ack + ((int64_t)s->window << (syn ? 0 : c->host_scale));
	/* Behind the FIN nothing comes: TIME_WAIT shows the window's lowest 16 bits. */
	if (!syn && c->edge_known && ack <= c->total && edge < c->edge - (1ll << c->host_scale))
		wrong(c, "the window's right edge goes back from %lld to %lld", (long long)c->edge,
		      (long long)edge);
	check_sack(c, s, ack);
	/* A sender drops a segment without data that is older than what it has told last. */
	if (!s->len && !syn && down_pos(c, s->seq) < c->told - 1)
		return;
	c->acked = ack > c->acked ? ack : c->acked;
	c->edge = edge > c->edge || !c->edge_known ? edge : c->edge;
	c->edge_known = true;
}

static inline void check_bytes(struct conn *c, const struct segment *s, int64_t pos)
{
	static uint8_t want[PACKET_MAX];

	stream_fill(c->app_seed, (uint64_t)pos, want, s->len);
	for (size_t i = 0; i < s->len; i++)
		if (want[i] != s->data[i])
			wrong(c, "byte %lld of the app's stream is wrong: %02x, not %02x",
			      (long long)(pos + (int64_t)i), s->data[i], want[i]);
}

static inline void check_data(struct conn *c, const struct segment *s)
{
	int64_t pos = down_pos(c, s->seq), end = pos + (int64_t)s->len;
	uint32_t mss = c->mss ? c->mss : c->v6 ? 1220 : 536;
	bool fin = s->flags & TCP_FIN;

	if (pos < -1 || end > (int64_t)c->app.sent + (s->len ? 0 : c->app.finished))
		wrong(c, "sequence numbers %lld-%lld of an app that has sent %llu", (long long)pos,
		      (long long)end, (unsigned long long)c->app.sent);
	/* A FIN before the header is whole may be answered with one in the app's name. */
	if (fin && c->fate == FATE_EARLY_FIN && end == 0 && c->acked == c->total + 1)
		c->app.finished = true;
	if (fin && (!c->app.finished || end != (int64_t)c->app.sent))
		wrong(c, "a FIN at %lld; the app %s at %llu", (long long)end,
		      c->app.finished ? "closed" : "is not finished",
		      (unsigned long long)c->app.sent);
	if (s->len && pos < 0)
		wrong(c, "data before the first byte");
	if (s->len > mss && (!s->gso_size || s->gso_size > mss))
		wrong(c, "%zu bytes (GSO size %u) for an MSS of %u", s->len, s->gso_size, mss);
	check_bytes(c, s, pos);
	if (!s->len && !fin)
		return;
	c->ack_due = true;
	if (chance(&c->random, c->loss) || !ranges_room(&c->got)) {
		trace_add(c, 'A', NULL, "(we lose that one)");
		return;
	}
	if (end > c->told_edge)
		end = c->told_edge > pos ? c->told_edge : pos; /* a window probe: no room for it */
	else if (fin) {
		c->fin_got = true;
		c->app_fin = end;
	}
	ranges_add(&c->got, pos, end);
}

/* What of the app's stream is to be acknowledged. */
static inline int64_t app_whole(const struct conn *c)
{
	int64_t whole = ranges_whole(&c->got);

	return whole + (c->fin_got && whole == c->app_fin);
}

/* A packet of the host's for this connection. */
static inline void check_packet(struct conn *c, const struct segment *s)
{
	trace_add(c, 'H', s, c->phase == PHASE_DONE ? "(over)" : NULL);
	if (s->flags & TCP_RST) {
		check_rst(c, s);
		c->rst_got = c->rst_got || c->phase == PHASE_UP;
		return;
	}
	if (c->fate == FATE_CLIENT_RST && c->phase == PHASE_DONE)
		return;
	if (s->flags & TCP_SYN) {
		fuzz.totals.syn_repeats += c->irs_known;
		check_syn_ack(c, s);
	} else if (!c->irs_known)
		wrong(c, "a segment before the SYN-ACK");
	check_timestamps(c, s);
	check_ack(c, s);
	if (s->flags & TCP_SYN)
		c->ack_due = true;
	else
		check_data(c, s);
}

#endif
