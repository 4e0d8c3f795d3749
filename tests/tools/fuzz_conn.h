/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A connection of tcp_fuzz: its plan, the model of both streams, and the trace that is shown
 * when the two differ. Positions count from 0: the client's stream is header, then data; a
 * FIN stands at the position behind the last byte.
 */
#ifndef FUZZ_CONN_H
#define FUZZ_CONN_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "fuzz_header.h"
#include "fuzz_ranges.h"

#define TRACE_MAX 160 /* the first 64 packets and the last 96 */
#define TRACE_FIRST 64
#define HELD_MAX 6
#define PAST_MAX 512

enum phase { PHASE_SYN, PHASE_UP, PHASE_DONE };

/* What becomes of the connection. */
enum fate {
	FATE_FINISH, /* both streams whole, both FINs */
	FATE_CLIENT_RST,
	FATE_APP_RST,
	FATE_BAD,       /* a header to be refused */
	FATE_EARLY_FIN, /* a FIN before the header is whole */
	FATE_EARLY_RST,
	FATE__MAX,
};

struct trace {
	double ms;
	char from; /* C: we to the host, H: the host to us, A: the app's own doings */
	const char *note;
	uint8_t flags;
	int64_t pos, ack;
	size_t len;
	uint32_t window;
	unsigned sacks;
	int64_t sack[2 * SACK_MAX];
};

struct held {
	uint8_t *bytes;
	size_t len;
	int64_t pos, end;
	bool counts; /* its bytes arrive with it; a SYN's do not, nobody takes them */
	bool opens;  /* a SYN: late, it would begin another connection */
};

struct app {
	int fd; /* -1: not accepted yet, or closed */
	bool accepted, eof, reset, finished;
	uint64_t sent, got, skipped; /* skipped: of the header, when nobody takes it off */
};

struct conn {
	bool used, v6;
	unsigned number;
	uint64_t random;
	uint16_t port;
	enum phase phase;
	enum fate fate;
	double begun_ms, next_ms;
	struct header header;
	/* plan */
	uint64_t seed, data_len, app_seed, app_len, abort_at;
	bool app_waits_eof, client_waits_eof, offers_ts, offers_sack, offers_scale, ecn;
	unsigned loss, hold, twice, odd;
	uint16_t mss; /* announced; 0: none */
	int scale;
	uint32_t syn_data;
	/* the client's stream: what was sent, what has reached the host */
	uint32_t isn;
	int64_t total, acked, sent, edge, sent_acked;
	bool edge_known;
	unsigned rst_sent;
	struct ranges arrived;
	uint32_t first_ts, last_ts;
	/* the app's stream: what has reached us */
	uint32_t irs;
	bool irs_known, ts, sack, fin_got, rst_got, ack_due;
	int host_scale;
	uint16_t host_mss;
	int64_t app_fin, told, told_edge;
	uint32_t host_ts;
	bool host_ts_known;
	struct ranges got;
	struct app app;
	struct held held[HELD_MAX];
	struct trace trace[TRACE_MAX];
	unsigned traced;
};

struct options {
	struct wire wire;
	const char *device;
	uint64_t seed;
	unsigned first, show, count, parallel, app_port, header_max, refuse, mtu;
	bool strips, hook, calm, gso, napi, tap, vnet, verbose;
};

struct totals {
	unsigned long conns, fates[FATE__MAX], packets_out, packets_in, lost, held, twice,
		wrong_sum;
	unsigned long sacks, dsacks, strays, bytes_up, bytes_down, syn_repeats;
};

static struct {
	struct options options;
	struct totals totals;
	int tun, listeners[2];
	unsigned started, done;
	uint64_t random;
	struct conn *conns;
	struct conn *by_port[2][65536];
	uint32_t used_isn[2][65536]; /* the end of the last connection from this port */
	bool was_used[2][65536];
	unsigned used_by[2][65536];
	uint16_t recent[2][64]; /* ports of connections that ended lately */
	struct conn past[2][PAST_MAX];
	unsigned ended[2];
} fuzz;

static inline double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1000 + (double)ts.tv_nsec / 1000000;
}

static inline int64_t up_pos(const struct conn *c, uint32_t seq)
{
	return (int32_t)(seq - (c->isn + 1));
}

static inline int64_t down_pos(const struct conn *c, uint32_t seq)
{
	return (int32_t)(seq - (c->irs + 1));
}

/* Whether the client's bytes end with a FIN. */
static inline bool sends_fin(const struct conn *c)
{
	return c->fate == FATE_FINISH || c->fate == FATE_EARLY_FIN;
}

static inline unsigned trace_at(unsigned n)
{
	return n < TRACE_FIRST ? n : TRACE_FIRST + (n - TRACE_FIRST) % (TRACE_MAX - TRACE_FIRST);
}

static inline void trace_add(struct conn *c, char from, const struct segment *s, const char *note)
{
	struct trace *t = &c->trace[trace_at(c->traced++)];

	*t = (struct trace){ .ms = now_ms() - c->begun_ms, .from = from, .note = note };
	if (!s)
		return;
	t->flags = s->flags;
	t->len = s->len;
	t->window = s->window;
	t->pos = from == 'H' ? down_pos(c, s->seq) : up_pos(c, s->seq);
	t->ack = from == 'H' ? up_pos(c, s->ack) : down_pos(c, s->ack);
	t->sacks = s->sacks;
	for (unsigned i = 0; i < s->sacks; i++) {
		t->sack[2 * i] = from == 'H' ? up_pos(c, s->sack[i].left)
					     : down_pos(c, s->sack[i].left);
		t->sack[2 * i + 1] = from == 'H' ? up_pos(c, s->sack[i].right)
						 : down_pos(c, s->sack[i].right);
	}
}

static inline void trace_print(const struct conn *c)
{
	static const char letters[] = "FSRPAUEC";

	for (unsigned i = 0; i < c->traced; i++) {
		const struct trace *t = &c->trace[trace_at(i)];

		if (i >= TRACE_FIRST && i + TRACE_MAX - TRACE_FIRST < c->traced)
			continue;
		fprintf(stderr, "%9.2f %c ", t->ms, t->from);
		for (int bit = 0; bit < 8 && t->from != 'A'; bit++)
			if (t->flags & 1 << bit)
				fputc(letters[bit], stderr);
		if (t->from != 'A')
			fprintf(stderr, " pos %lld+%zu ack %lld win %u", (long long)t->pos, t->len,
				(long long)t->ack, t->window);
		for (unsigned s = 0; s < t->sacks; s++)
			fprintf(stderr, " sack %lld-%lld", (long long)t->sack[2 * s],
				(long long)t->sack[2 * s + 1]);
		fprintf(stderr, "%s%s\n", t->note ? "  " : "", t->note ? t->note : "");
	}
}

/* The end of the run: says what is wrong, with which seed, and what was on the wire. */
__attribute__((format(printf, 2, 3), noreturn)) static inline void wrong(struct conn *c,
									 const char *format, ...)
{
	static const char *const fates[] = { "finish",     "client resets", "app resets",
					     "bad header", "early fin",     "early rst" };
	va_list ap;

	fprintf(stderr, "tcp_fuzz: WRONG: ");
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fprintf(stderr,
		"\nseed %llu, connection %u (--seed %llu --first %u --count 1), IPv%d, port %u, "
		"isn %u, plan: %s\n",
		(unsigned long long)fuzz.options.seed, c->number,
		(unsigned long long)fuzz.options.seed, c->number, c->v6 ? 6 : 4, c->port, c->isn,
		fates[c->fate]);
	fprintf(stderr,
		"header %s of %zu bytes, data %llu, app %llu, abort at %llu; acked %lld sent %lld "
		"whole %lld of %lld, edge %lld\n",
		c->header.kind, c->header.len, (unsigned long long)c->data_len,
		(unsigned long long)c->app_len, (unsigned long long)c->abort_at,
		(long long)c->acked, (long long)c->sent, (long long)ranges_whole(&c->arrived),
		(long long)c->total, (long long)c->edge);
	for (size_t i = 0; i < c->header.len && i < 96; i++)
		fprintf(stderr, "%02x%s", c->header.bytes[i],
			i + 1 == c->header.len || i == 95 ? "\n" : "");
	fprintf(stderr,
		"app: fd %d accepted %d got %llu sent %llu eof %d reset %d; from the app %lld, fin "
		"%d, rst %d\n",
		c->app.fd, c->app.accepted, (unsigned long long)c->app.got,
		(unsigned long long)c->app.sent, c->app.eof, c->app.reset,
		(long long)ranges_whole(&c->got), c->fin_got, c->rst_got);
	if (fuzz.was_used[c->v6][c->port])
		fprintf(stderr,
			"the connection before, from this port: %u (--show shows its packets)\n",
			fuzz.used_by[c->v6][c->port]);
	for (unsigned i = 0; i < PAST_MAX && c->number != fuzz.past[c->v6][i].number; i++) {
		if (fuzz.past[c->v6][i].port != c->port)
			continue;
		fprintf(stderr, "the connection before, from this port (%s, %.0f ms ago):\n",
			fates[fuzz.past[c->v6][i].fate],
			c->begun_ms - fuzz.past[c->v6][i].begun_ms);
		trace_print(&fuzz.past[c->v6][i]);
		fprintf(stderr, "this one:\n");
	}
	trace_print(c);
	fflush(NULL);
	_exit(1);
}

/* The bytes of the client's stream: the header's, then the data's. */
static inline void up_fill(const struct conn *c, int64_t pos, uint8_t *out, size_t len)
{
	while (len && (size_t)pos < c->header.len) {
		*out++ = c->header.bytes[pos++];
		len--;
	}
	stream_fill(c->seed, (uint64_t)pos - c->header.len, out, len);
}

static inline uint64_t draw_length(uint64_t *random)
{
	unsigned what = (unsigned)draw(random, 100);

	if (what < 8)
		return draw(random, 3);
	return draw(random, what < 65 ? 3000 : what < 97 ? 20000 : 150000);
}

static inline void plan_weather(struct conn *c)
{
	if (fuzz.options.calm || chance(&c->random, 300))
		return;
	c->loss = (unsigned)draw(&c->random, chance(&c->random, 200) ? 250 : 80);
	c->hold = (unsigned)draw(&c->random, 200);
	c->twice = (unsigned)draw(&c->random, 150);
	c->odd = (unsigned)draw(&c->random, 120);
}

static inline void plan_fate(struct conn *c)
{
	unsigned what = (unsigned)draw(&c->random, 1000);

	if (what < fuzz.options.refuse)
		c->fate = FATE_BAD + (enum fate)draw(&c->random, 3);
	else if (what < fuzz.options.refuse + 40)
		c->fate = FATE_CLIENT_RST;
	else if (what < fuzz.options.refuse + 80)
		c->fate = FATE_APP_RST;
	if (c->fate == FATE_BAD)
		header_bad(&c->header, &c->random, c->port);
	else
		header_valid(&c->header, &c->random, c->port, fuzz.options.header_max);
	c->total = (int64_t)(c->header.len + c->data_len);
	if (c->fate == FATE_EARLY_FIN || c->fate == FATE_EARLY_RST)
		c->total = (int64_t)draw(&c->random, chance(&c->random, 300) ? 1 : c->header.len);
	if (c->fate == FATE_CLIENT_RST)
		c->abort_at = c->header.len + draw(&c->random, c->data_len + 1);
	if (c->fate == FATE_APP_RST)
		c->abort_at = draw(&c->random, c->app_len + 1);
}

/* One in five comes from a port whose last connection is hardly over: TIME_WAIT, or what a flow table keeps. */
static inline uint16_t draw_port(uint64_t *random, bool v6)
{
	/* Drawn in any case: what is drawn next must not depend on what others have left. */
	bool again = chance(random, 200);
	uint16_t port = fuzz.recent[v6][draw(random, 64)];

	if (!again)
		port = 0;
	while (!port || fuzz.by_port[v6][port])
		port = (uint16_t)(1024 + draw(random, 64000));
	return port;
}

/* Everything about connection `number` that does not depend on what the host does. */
static inline void conn_plan(struct conn *c, unsigned number)
{
	uint64_t *random = &c->random;

	*c = (struct conn){ .used = true,
			    .number = number,
			    .random = stream_mix(fuzz.options.seed * 1000003 + number),
			    .app.fd = -1 };
	c->begun_ms = now_ms();
	c->v6 = chance(random, 500);
	c->port = draw_port(random, c->v6);
	c->seed = stream_mix(*random + 1);
	c->app_seed = stream_mix(*random + 2);
	c->data_len = draw_length(random);
	c->app_len = draw_length(random);
	plan_weather(c);
	plan_fate(c);
	c->isn = chance(random, 500) ? (uint32_t)-1 - (uint32_t)draw(random, 3000)
				     : (uint32_t)draw(random, 1ull << 32);
	if (fuzz.was_used[c->v6][c->port])
		c->isn = fuzz.used_isn[c->v6][c->port] + 1 + (uint32_t)draw(random, 100000);
	c->app_waits_eof = chance(random, 400);
	c->client_waits_eof = !c->app_waits_eof && chance(random, 400) && c->fate == FATE_FINISH;
	c->offers_ts = chance(random, 600);
	c->offers_sack = chance(random, 700);
	c->offers_scale = chance(random, 700);
	c->ecn = chance(random, 100);
	c->scale = c->offers_scale ? (int)draw(random, 15) : -1;
	c->mss = chance(random, 100)   ? 0
		 : chance(random, 150) ? 88
				       : (uint16_t)(88 + draw(random, fuzz.options.mtu - 40 - 88));
	c->syn_data = chance(random, 50) ? (uint32_t)draw(random, 600) : 0;
}

#endif
