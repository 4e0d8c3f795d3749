/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A load balancer's TCP, packet by packet, on a TUN or TAP device, and the app behind it:
 * random segments against a model of both streams. Every packet of the host's is held
 * against the model (fuzz_check.h); the app's sockets see the stream without its header.
 *
 *   tcp_fuzz DEVICE [--option VALUE]...      in the namespace the device is in
 *     --host4/--remote4/--host6/--remote6 ADDR  --port WIRE  --app-port N (the port the app listens on)
 *     --seed N  --first N  --show N (that one's packets)  --count N  --parallel N  --header-max N  --mtu N
 *     --refuse PER_MILLE   connections that must be refused: bad headers, a FIN or RST before its end
 *     --mode tun|tap|vnet|gso|napi (the last three: TUN with partial checksums, + GSO, + GRO)
 *     --strips 1   the app takes the header off by itself: the bare kernel, no unproxy in between
 *     --hook 1     accept() has to show the header's client
 *     --calm 1     nothing is lost, held back, doubled or damaged
 *
 * Same seed, same choices; what the host's own timers do is its own. On the first thing that is
 * wrong: a line with the seed, the connection's last packets, exit 1.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz_app.h"
#include "fuzz_send.h"

#define HANG_MS 60000
#define CLEARS_MS 3000

static void die(const char *what)
{
	fprintf(stderr, "tcp_fuzz: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void open_device(struct options *o)
{
	struct ifreq ifr = { .ifr_flags = (short)(IFF_NO_PI | (o->tap ? IFF_TAP : IFF_TUN)) };
	int size = sizeof(struct virtio_net_hdr);

	o->wire.vnet = o->vnet || o->gso || o->napi;
	o->wire.ethernet = o->tap;
	if (o->wire.vnet)
		ifr.ifr_flags |= IFF_VNET_HDR;
	if (o->napi)
		ifr.ifr_flags |= IFF_NAPI;
	fuzz.tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fuzz.tun < 0)
		die("/dev/net/tun");
	snprintf(ifr.ifr_name, IFNAMSIZ, "%s", o->device);
	if (ioctl(fuzz.tun, TUNSETIFF, &ifr) < 0)
		die(o->device);
	if (o->wire.vnet && ioctl(fuzz.tun, TUNSETVNETHDRSZ, &size) < 0)
		die("TUNSETVNETHDRSZ");
	if (o->gso && ioctl(fuzz.tun, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) < 0)
		die("TUNSETOFFLOAD");
	if (o->tap && ioctl(fuzz.tun, SIOCGIFHWADDR, &ifr) < 0)
		die("SIOCGIFHWADDR");
	memcpy(o->wire.host_mac, ifr.ifr_hwaddr.sa_data, 6);
	memcpy(o->wire.remote_mac, "\2\0\0\0\0\2", 6);
}

/* Read what the host has sent. */
static bool drain(void)
{
	static uint8_t in[PACKET_MAX + 256];
	struct segment s;
	bool any = false;
	ssize_t n;

	while ((n = read(fuzz.tun, in, sizeof(in))) > 0) {
		const char *error = segment_parse(&fuzz.options.wire, &s, in, (size_t)n);
		struct conn *c = fuzz.by_port[s.v6][s.remote_port];

		if (error && !*error)
			continue;
		fuzz.totals.packets_in++;
		if (error && !c) {
			fprintf(stderr,
				"tcp_fuzz: WRONG: %s, a packet for no connection (port %u)\n",
				error, s.remote_port);
			exit(1);
		}
		if (!c) {
			fuzz.totals.strays++; /* to one that is over */
			continue;
		}
		if (error) {
			trace_add(c, 'H', &s, NULL);
			wrong(c, "%s", error);
		}
		check_packet(c, &s);
		any = true;
	}
	return any;
}

static void conn_start(struct conn *c)
{
	conn_plan(c, fuzz.started++);
	fuzz.by_port[c->v6][c->port] = c;
}

static void conn_finish(struct conn *c)
{
	for (unsigned i = 0; i < HELD_MAX; i++) {
		if (c->held[i].bytes && !c->held[i].opens && c->fate == FATE_FINISH &&
		    chance(&c->random, 300))
			wire_write(c, c->held[i].bytes,
				   c->held[i].len); /* an old one turns up late */
		free(c->held[i].bytes);
	}
	if (c->app.fd >= 0)
		close(c->app.fd);
	drain();
	fuzz.by_port[c->v6][c->port] = NULL;
	fuzz.used_isn[c->v6][c->port] = c->isn + 2 + (uint32_t)c->total;
	fuzz.was_used[c->v6][c->port] = true;
	fuzz.used_by[c->v6][c->port] = c->number;
	if (fuzz.options.show == c->number) {
		fprintf(stderr, "connection %u, fate %d:\n", c->number, c->fate);
		trace_print(c);
	}
	fuzz.past[c->v6][fuzz.ended[c->v6] % PAST_MAX] = *c;
	fuzz.recent[c->v6][fuzz.ended[c->v6]++ % 64] = c->port;
	fuzz.totals.fates[c->fate]++;
	fuzz.totals.conns++;
	fuzz.totals.bytes_up += (unsigned long)c->acked;
	fuzz.totals.bytes_down += (unsigned long)ranges_whole(&c->got);
	fuzz.done++;
	c->used = false;
}

/* Has the model reached its end? */
static bool conn_over(struct conn *c)
{
	bool all_up = c->acked == c->total + 1,
	     all_down = c->fin_got && app_whole(c) == c->app_fin + 1;

	switch (c->fate) {
	case FATE_FINISH:
		if (!all_up || !all_down || !c->app.eof || c->app.fd >= 0)
			return false;
		send_ack(c, true);
		return true;
	case FATE_CLIENT_RST:
		/* Those that the app's host had not taken in yet are never seen by the app. */
		return c->app.reset || (c->rst_sent > 6 && !c->app.accepted);
	case FATE_EARLY_RST: /* in the window is enough: no half-open connection asks for more */
		return c->rst_sent;
	case FATE_EARLY_FIN:
		return c->rst_got || (all_up && all_down);
	default:
		return c->rst_got;
	}
}

/* The client gives up where its plan says so. */
static bool step_rst(struct conn *c)
{
	int64_t at = c->fate == FATE_EARLY_RST ? c->total : (int64_t)c->abort_at;

	if (c->fate == FATE_CLIENT_RST && ranges_whole(&c->arrived) < (int64_t)c->header.len)
		return false;
	if (!c->rst_sent && (ranges_whole(&c->arrived) < at || chance(&c->random, 300)))
		return false;
	send_rst(c);
	return true;
}

static bool step_up(struct conn *c)
{
	bool any = release(c, 150);

	if ((c->fate == FATE_CLIENT_RST || c->fate == FATE_EARLY_RST) && step_rst(c))
		return true;
	if (c->rst_sent)
		return any;
	/* Not only when it is due: a window that has opened is told by a bare ACK alone once all is sent. */
	if (chance(&c->random, c->ack_due ? 600 : 60))
		send_ack(c, false);
	if (chance(&c->random, c->odd / 4))
		send_keepalive(c);
	if (c->fate == FATE_FINISH && c->acked > (int64_t)c->header.len && !c->app.finished &&
	    chance(&c->random, c->odd / 6))
		send_blind(c);
	return send_some(c) || any;
}

static bool step_client(struct conn *c)
{
	bool any;

	if (now_ms() < c->next_ms)
		return false;
	if (now_ms() - c->begun_ms > CLEARS_MS)
		c->loss = c->hold = 0;
	if (now_ms() - c->begun_ms > HANG_MS)
		wrong(c, "no end after %d s", HANG_MS / 1000);
	if (c->phase == PHASE_SYN) {
		send_syn(c);
		any = false;
		c->next_ms = now_ms() + 20 + (double)draw(&c->random, 200);
	} else {
		any = step_up(c);
		if (!any)
			c->next_ms = now_ms() + (double)draw(&c->random, c->ack_due ? 3 : 12);
	}
	return drain() || any;
}

static bool step(struct conn *c)
{
	bool any = step_client(c);

	any |= app_step(c);
	drain();
	if (c->phase == PHASE_UP && conn_over(c)) {
		c->phase = PHASE_DONE;
		conn_finish(c);
		return true;
	}
	return any;
}

static void run(void)
{
	struct pollfd pfd = { .fd = fuzz.tun, .events = POLLIN };
	unsigned idle = 0;

	while (fuzz.done < fuzz.options.count) {
		struct conn *c = &fuzz.conns[draw(&fuzz.random, fuzz.options.parallel)];

		accept_all();
		if (!c->used && fuzz.started < fuzz.options.first + fuzz.options.count)
			conn_start(c);
		idle = c->used && step(c) ? 0 : idle + 1;
		if (idle > 2 * fuzz.options.parallel) {
			poll(&pfd, 1, 1);
			drain();
			idle = 0;
		}
	}
}

static void parse_address(const char *name, const char *value)
{
	struct wire *w = &fuzz.options.wire;
	bool v6 = strchr(name, '6') != NULL;

	if (inet_pton(v6 ? AF_INET6 : AF_INET, value,
		      name[2] == 'h' ? w->host[v6] : w->remote[v6]) != 1)
		errno = EINVAL, die(name);
}

static void parse_mode(const char *value)
{
	struct options *o = &fuzz.options;

	o->tap = !strcmp(value, "tap");
	o->vnet = !strcmp(value, "vnet");
	o->gso = !strcmp(value, "gso");
	o->napi = !strcmp(value, "napi");
	if (strcmp(value, "tun") && !o->tap && !o->vnet && !o->gso && !o->napi)
		errno = EINVAL, die(value);
	o->vnet |= o->gso;
}

static void parse_option(const char *name, const char *value)
{
	struct options *o = &fuzz.options;
	const struct {
		const char *name;
		unsigned *number;
		bool *flag;
	} all[] = {
		{ "--first", &o->first, NULL },       { "--show", &o->show, NULL },
		{ "--count", &o->count, NULL },       { "--parallel", &o->parallel, NULL },
		{ "--app-port", &o->app_port, NULL }, { "--refuse", &o->refuse, NULL },
		{ "--mtu", &o->mtu, NULL },           { "--header-max", &o->header_max, NULL },
		{ "--strips", NULL, &o->strips },     { "--hook", NULL, &o->hook },
		{ "--calm", NULL, &o->calm },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (strcmp(name, all[i].name))
			continue;
		if (all[i].number)
			*all[i].number = (unsigned)strtoul(value, NULL, 0);
		else
			*all[i].flag = *value == '1';
		return;
	}
	if (!strcmp(name, "--seed"))
		o->seed = strtoull(value, NULL, 0);
	else if (!strcmp(name, "--port"))
		o->wire.port = (uint16_t)atoi(value);
	else if (!strcmp(name, "--mode"))
		parse_mode(value);
	else if (strchr(name, '4') || strchr(name, '6'))
		parse_address(name, value);
	else
		errno = EINVAL, die(name);
}

static void report(double begun)
{
	const struct totals *t = &fuzz.totals;

	printf("{\"seed\":%llu,\"connections\":%lu,\"finished\":%lu,\"client_rst\":%lu,\"app_rst\":"
	       "%lu,\"bad_header\":%lu,"
	       "\"early_fin\":%lu,\"early_rst\":%lu,\"packets_out\":%lu,\"packets_in\":%lu,"
	       "\"lost\":%lu,\"held\":%lu,\"twice\":%lu,"
	       "\"damaged\":%lu,\"sacks\":%lu,\"dsacks\":%lu,\"strays\":%lu,\"syn_ack_repeats\":%"
	       "lu,\"bytes_up\":%lu,\"bytes_down\":%lu,\"ms\":%.0f}\n",
	       (unsigned long long)fuzz.options.seed, t->conns, t->fates[FATE_FINISH],
	       t->fates[FATE_CLIENT_RST], t->fates[FATE_APP_RST], t->fates[FATE_BAD],
	       t->fates[FATE_EARLY_FIN], t->fates[FATE_EARLY_RST], t->packets_out, t->packets_in,
	       t->lost, t->held, t->twice, t->wrong_sum, t->sacks, t->dsacks, t->strays,
	       t->syn_repeats, t->bytes_up, t->bytes_down, now_ms() - begun);
}

int main(int argc, char **argv)
{
	struct options *o = &fuzz.options;
	double begun = now_ms();

	*o = (struct options){ .seed = 1,
			       .show = UINT32_MAX,
			       .count = 1000,
			       .parallel = 128,
			       .app_port = 3000,
			       .header_max = 1500,
			       .refuse = 150,
			       .mtu = 1500 };
	o->wire.port = 8080;
	if (argc < 2 || argc % 2) {
		fprintf(stderr, "usage: tcp_fuzz DEVICE [--option VALUE]...\n");
		return 2;
	}
	o->device = argv[1];
	for (int i = 2; i + 1 < argc; i += 2)
		parse_option(argv[i], argv[i + 1]);
	o->refuse = o->strips ? 0 : o->refuse;
	o->parallel = o->parallel < o->count ? o->parallel : o->count;
	fuzz.random = stream_mix(o->seed);
	fuzz.started = o->first;
	fuzz.conns = calloc(o->parallel, sizeof(*fuzz.conns));
	open_device(o);
	if (!fuzz.conns || listen_all() < 0)
		die("listen");
	run();
	report(begun);
	return 0;
}
