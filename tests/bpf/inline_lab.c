// SPDX-License-Identifier: BSD-2-Clause
#include "inline_lab.h"

#include <errno.h>
#include <stdlib.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "inline_devices.h"

/* linux/bpf.h, since 6.11: skb->csum is made, and judged after the run (EBADMSG). */
#define TEST_CHECKSUM_COMPLETE (1U << 2)
#define PASSED ((uint32_t)-1) /* TC_ACT_UNSPEC */
#define DROPPED 2             /* TC_ACT_SHOT */
#define EVENT_WAIT_MS 50
#define EVENT_WAITS 200

struct lab lab;
static struct ring_buffer *ring;

/* Events come at once, and are asked for one by one. */
static struct kept_event {
	struct up_flow_event event;
	uint8_t header[UP_INLINE_HEADER_MAX];
} events[32];
static size_t n_events, taken;

static const struct lab_mode modes[] = {
	{ .name = "IPv4, NONE", .version = 4, .start = 1000, .down = 5000 },
	{ .name = "IPv6, NONE", .version = 6, .start = 1000, .down = 5000, .timestamps = true },
	{ .name = "IPv4, COMPLETE", .version = 4, .sums = SUMS_COMPLETE, .start = 1, .down = 2 },
	{ .name = "IPv6, COMPLETE", .version = 6, .sums = SUMS_COMPLETE, .start = 7, .down = 8 },
	{ .name = "IPv4, UNNECESSARY, moved, seq wraps in the header",
	  .version = 4,
	  .sums = SUMS_VOUCHED,
	  .moved = true,
	  .timestamps = true,
	  .start = 0xFFFFFFF5,
	  .down = 0xFFFFFFFF },
	{ .name = "IPv6, UNNECESSARY, moved, seq wraps at the header",
	  .version = 6,
	  .sums = SUMS_VOUCHED,
	  .moved = true,
	  .start = 0,
	  .down = 0 },
	{ .name = "TAP, IPv4, PARTIAL",
	  .version = 4,
	  .sums = SUMS_PARTIAL,
	  .device = true,
	  .timestamps = true,
	  .start = 1000,
	  .down = 0x80000000 },
	{ .name = "TAP, IPv6, PARTIAL, moved",
	  .version = 6,
	  .sums = SUMS_PARTIAL,
	  .device = true,
	  .moved = true,
	  .start = 0x7FFFFFF5,
	  .down = 1 },
	{ .name = "TUN, IPv4, NONE, moved",
	  .version = 4,
	  .device = true,
	  .l3 = true,
	  .moved = true,
	  .start = 0xFFFFFFFF,
	  .down = 77 },
	{ .name = "TUN, IPv6, PARTIAL",
	  .version = 6,
	  .sums = SUMS_PARTIAL,
	  .device = true,
	  .l3 = true,
	  .timestamps = true,
	  .start = 3,
	  .down = 4 },
	{ .name = "TUN, IPv4, UNNECESSARY",
	  .version = 4,
	  .sums = SUMS_VOUCHED,
	  .device = true,
	  .l3 = true,
	  .start = 3,
	  .down = 4 },
};

static void update(struct bpf_map *map, const void *key, const void *value)
{
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(map), key, value, BPF_ANY), 0);
}

static void empty(struct bpf_map *map)
{
	uint8_t key[64];

	while (!bpf_map_get_next_key(bpf_map__fd(map), NULL, key))
		assert_int_equal(bpf_map_delete_elem(bpf_map__fd(map), key), 0);
}

static int on_event(void *ctx, void *data, size_t size)
{
	struct kept_event *kept = &events[n_events++ % ARRAY_SIZE(events)];

	assert_true(size <= sizeof(*kept));
	memcpy(kept, data, size);
	assert_int_equal(size,
			 sizeof(kept->event) +
				 (kept->event.kind == UP_EVENT_OPEN ? kept->event.header_len : 0));
	return 0;
}

bool lab_event(bool wait)
{
	const struct kept_event *kept;

	assert_true(ring_buffer__consume(ring) >= 0);
	for (int i = 0; taken == n_events && wait && i < EVENT_WAITS; i++) {
		assert_true(ring_buffer__poll(ring, EVENT_WAIT_MS) >= 0);
		if (taken == n_events)
			(void)lab_sweep();
	}
	if (taken == n_events)
		return false;
	kept = &events[taken++ % ARRAY_SIZE(events)];
	lab.event = kept->event;
	memcpy(lab.event_header, kept->header, sizeof(kept->header));
	return true;
}

uint64_t lab_stat(size_t offset)
{
	static struct up_flow_stats stats[256];
	uint32_t zero = 0;
	uint64_t sum = 0;

	assert_true(libbpf_num_possible_cpus() <= (int)ARRAY_SIZE(stats));
	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(lab.skel->maps.flow_stats), &zero, stats),
			 0);
	for (int i = 0; i < libbpf_num_possible_cpus(); i++)
		sum += *(const uint64_t *)((const char *)&stats[i] + offset);
	return sum;
}

static void forget_stats(void)
{
	static struct up_flow_stats zero[256];
	uint32_t key = 0;

	update(lab.skel->maps.flow_stats, &key, zero);
}

struct up_flow_key lab_key(uint16_t local_port)
{
	struct up_flow_key key = { .remote_port = lab.wire.remote_port, .local_port = local_port };

	memcpy(key.remote_ip, lab.wire.remote, sizeof(key.remote_ip));
	memcpy(key.local_ip, lab.wire.local, sizeof(key.local_ip));
	return key;
}

bool lab_flow(struct up_flow *ret)
{
	struct up_flow_key key = lab_key(lab.wire.local_port);

	return !bpf_map_lookup_elem(bpf_map__fd(lab.skel->maps.flows), &key, ret);
}

static int run_on_flow(const struct bpf_program *program)
{
	uint8_t bytes[64] = { 0 };
	struct up_flow_key key = lab_key(lab.wire.local_port);
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = bytes, .data_size_in = sizeof(bytes));

	memcpy(bytes + ETH_HLEN, &key, sizeof(key));
	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(program), &opts), 0);
	return (int)opts.retval;
}

int lab_sweep(void)
{
	return run_on_flow(lab.skel->progs.up_sweep);
}

int lab_kill(void)
{
	return run_on_flow(lab.skel->progs.up_kill);
}

/* A value that user space writes has no timer. */
void lab_expire(void)
{
	struct up_flow_key key = lab_key(lab.wire.local_port);
	struct up_flow flow;

	assert_true(lab_flow(&flow));
	flow.marks &= ~(uint32_t)UP_FLOW_TIMED;
	flow.deadline_ns = 0;
	update(lab.skel->maps.flows, &key, &flow);
	(void)lab_sweep();
}

void lab_listen(void)
{
	struct up_trust_key sender = { .prefix_len = 32 + 128, .listener = LISTENER };
	struct up_listen_key key = { .port = WIRE_PORT };
	struct up_listen listen = { .id = LISTENER,
				    .app_port = lab.mode->moved ? APP_PORT : WIRE_PORT,
				    .header_max = lab.header_max,
				    .timeout_ms = lab.timeout_ms,
				    .options = lab.options };
	static struct up_ports ports;
	uint32_t zero = 0, one = 1;

	memset(&ports, 0, sizeof(ports));
	ports.role[WIRE_PORT] = UP_PORT_WIRE;
	ports.role[listen.app_port] |= UP_PORT_APP | (lab.mode->moved ? UP_PORT_MOVED : 0);
	update(lab.skel->maps.ports, &zero, &ports);
	memcpy(key.ip, lab.wire.local, sizeof(key.ip));
	update(lab.skel->maps.listeners, &key, &listen);
	memcpy(sender.ip, lab.wire.remote, sizeof(sender.ip));
	update(lab.skel->maps.trust, &sender, &one);
}

void lab_begin(const struct lab_mode *mode)
{
	static struct frame rest;

	lab.mode = mode;
	lab.wire = wire_of(mode->version, WIRE_PORT);
	lab.wire.l3 = mode->l3;
	lab.options = 0;
	lab.timeout_ms = 60000;
	lab.header_max = UP_INLINE_HEADER_MAX;
	empty(lab.skel->maps.flows);
	empty(lab.skel->maps.aliases);
	empty(lab.skel->maps.partials);
	empty(lab.skel->maps.listeners);
	empty(lab.skel->maps.trust);
	empty(lab.skel->maps.deny_list);
	forget_stats();
	while (lab_reply(&rest)) {
	}
	while (lab_event(false)) {
	}
	lab_listen();
}

void lab_end(void)
{
	static struct frame rest;

	assert_false(lab_reply(&rest));
	assert_false(lab_event(false));
	assert_int_equal(STAT(failed), 0);
	lab.mode = NULL;
}

void lab_each(void **state)
{
	const struct lab_test *test = *state;

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		lab_begin(&modes[i]);
		test->body();
		lab_end();
	}
}

int lab_after(void **state)
{
	if (lab.mode)
		print_message("mode: %s; failed %llu\n", lab.mode->name,
			      (unsigned long long)STAT(failed));
	lab.mode = NULL;
	return 0;
}

/*
 * Test runs.
 */

static bool run(struct bpf_program *program, const struct frame *in, struct frame *ret)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in->bytes,
		    .data_size_in = (uint32_t)in->len, .data_out = ret->bytes,
		    .data_size_out = sizeof(ret->bytes));
	int err;

	if (lab.mode->sums == SUMS_COMPLETE)
		opts.flags = TEST_CHECKSUM_COMPLETE;
	err = bpf_prog_test_run_opts(bpf_program__fd(program), &opts);
	lab.unseen = err == -EBADMSG && lab.mode->sums == SUMS_COMPLETE && in->len > in->data;
	if (lab.unseen)
		return false;
	assert_int_equal(err, 0);
	ret->net = in->net;
	ret->l4 = in->l4;
	ret->data = in->data;
	ret->len = opts.data_size_out;
	assert_true(opts.retval == PASSED || opts.retval == DROPPED);
	return opts.retval == PASSED;
}

bool lab_in(const struct frame *in, struct frame *ret)
{
	lab.unseen = false;
	if (lab.mode->device)
		return devices_in(in, ret);
	return run(lab.mode->sums == SUMS_VOUCHED ? lab.skel->progs.vouched_in
						  : lab.skel->progs.up_in_eth,
		   in, ret);
}

bool lab_out(const struct frame *in, struct frame *ret)
{
	lab.unseen = false;
	if (lab.mode->device)
		return devices_out(in, ret);
	return run(lab.mode->sums == SUMS_VOUCHED ? lab.skel->progs.vouched_out
						  : lab.skel->progs.up_out_eth,
		   in, ret);
}

bool lab_reply(struct frame *ret)
{
	return lab.mode->device ? devices_reply(ret) : devices_lo(ret);
}

/*
 * Fixture.
 */

int lab_set_up(void **state)
{
	int err;

	lab.skel = inline_engine_bpf__open();
	if (!lab.skel)
		return -1;
	err = bpf_map__set_max_entries(lab.skel->maps.flows, MAX_FLOWS);
	if (!err)
		err = bpf_map__set_max_entries(lab.skel->maps.aliases, MAX_FLOWS);
	if (!err)
		err = bpf_map__set_max_entries(lab.skel->maps.partials, MAX_FLOWS);
	if (!err)
		err = bpf_map__set_max_entries(lab.skel->maps.deny_list, MAX_DENIED);
	if (!err)
		err = bpf_map__set_max_entries(lab.skel->maps.flow_events, 1 << 16);
	if (!err)
		err = inline_engine_bpf__load(lab.skel);
	if (!err)
		err = devices_make();
	if (err)
		return err;
	ring = ring_buffer__new(bpf_map__fd(lab.skel->maps.flow_events), on_event, NULL, NULL);
	return ring ? 0 : -1;
}

int lab_tear_down(void **state)
{
	devices_remove();
	ring_buffer__free(ring);
	inline_engine_bpf__destroy(lab.skel);
	return 0;
}
