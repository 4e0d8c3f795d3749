// SPDX-License-Identifier: BSD-2-Clause
/* Bytes cut out behind the TCP header: what is left, and its checksums, worked out here
 * from scratch. Both families, IPv4 options, every data offset, odd and even lengths. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "inline_cut.skel.h"
#include "inline_packets.h"
#include "unproxy/flow_abi.h"

/* linux/bpf.h, since 6.11: skb->csum is made, and judged after the run (EBADMSG). */
#define TEST_CHECKSUM_COMPLETE (1U << 2)
#define SEEN_UNNECESSARY 1
#define SEEN_COMPLETE 2
#define SEEN_NONE 3
#define PORT 80

static struct inline_cut_bpf *skel;

struct shape {
	int version;
	size_t ip_options, tcp_options, payload, padding;
};

/* The payload counts up, so that a byte out of its place is seen. */
static void make(struct frame *frame, const struct shape *shape, size_t cut, uint32_t seq)
{
	struct wire wire = wire_of(shape->version, PORT);
	struct segment segment = { .seq = seq,
				   .flags = PSH | ACK,
				   .options_len = shape->tcp_options,
				   .len = shape->payload - cut };
	static uint8_t payload[2048];

	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 31 + i / 256);
	segment.payload = payload + cut;
	memset(segment.options, 1, sizeof(segment.options));
	wire.ip_options = shape->ip_options;
	frame_make(frame, &wire, &segment);
	memset(frame->bytes + frame->len, 0, shape->padding);
}

/* Run a frame; what comes out is in *ret. Returns what the program returned. */
static int run(struct bpf_program *program, const struct frame *in, size_t len, uint32_t flags,
	       struct frame *ret)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in->bytes, .data_size_in = (uint32_t)len,
		    .data_out = ret->bytes, .data_size_out = sizeof(ret->bytes), .flags = flags);

	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(program), &opts), 0);
	ret->net = in->net;
	ret->l4 = in->l4;
	ret->data = in->data;
	ret->len = opts.data_size_out;
	return (int)opts.retval;
}

static void assert_cut(const struct shape *shape, size_t cut)
{
	static const struct {
		uint32_t flags;
		int seen;
		bool trusted;
	} states[] = { { 0, SEEN_NONE, false },
		       { 0, SEEN_UNNECESSARY, true },
		       { TEST_CHECKSUM_COMPLETE, SEEN_COMPLETE, false } };
	static struct frame in, expect, out;

	skel->bss->cut_bytes = (uint32_t)cut;
	skel->bss->cut_seq = 0x01020304;
	make(&in, shape, 0, 0xFFFFFFF0);
	make(&expect, shape, cut, 0x01020304);
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		/* __skb_trim_rcsum() makes NONE of COMPLETE: there is no sum left to judge. */
		if (shape->padding && states[i].seen == SEEN_COMPLETE)
			continue;
		assert_int_equal(run(states[i].trusted ? skel->progs.cut_trusted
						       : skel->progs.cut_packet,
				     &in, in.len + shape->padding, states[i].flags, &out),
				 0);
		assert_int_equal(skel->bss->seen_state, states[i].seen);
		assert_true(skel->bss->seen_verified);
		assert_frames_equal(&out, &expect);
	}
}

static void odd_and_even(void **state)
{
	const size_t cuts[] = { 1, 2, 15, 16, 28, 33, 34, 35, 52, 53, 54, 55, 107, 232, 1023, 1499 };

	for (size_t i = 0; i < ARRAY_SIZE(cuts); i++)
		for (size_t rest = 1; rest <= 4; rest++) {
			assert_cut(&(struct shape){ 4, 0, 12, cuts[i] + rest, 0 }, cuts[i]);
			assert_cut(&(struct shape){ 6, 0, 12, cuts[i] + rest, 0 }, cuts[i]);
		}
}

static void every_data_offset(void **state)
{
	for (size_t options = 0; options <= 40; options += 4) {
		assert_cut(&(struct shape){ 4, 0, options, 700, 0 }, 47);
		assert_cut(&(struct shape){ 6, 0, options, 700, 0 }, 47);
	}
}

static void ip_options(void **state)
{
	for (size_t options = 4; options <= 40; options += 4) {
		assert_cut(&(struct shape){ 4, options, 12, 700, 0 }, 47);
		assert_cut(&(struct shape){ 4, options, 40, 700, 0 }, 2);
	}
}

static void padding(void **state)
{
	assert_cut(&(struct shape){ 4, 0, 0, 5, 1 }, 3);
	assert_cut(&(struct shape){ 4, 0, 0, 5, 14 }, 2);
}

/* A damaged packet is known before anything in it is believed, and stays damaged. */
static void damage_is_kept(void **state)
{
	const struct shape shape = { 4, 0, 12, 300, 0 };
	static struct frame in, out;

	skel->bss->cut_bytes = 47;
	for (size_t at = 60; at < 340; at += 7) {
		make(&in, &shape, 0, 1000);
		in.bytes[ETH_HLEN + at] ^= 0x10;
		assert_int_equal(run(skel->progs.cut_packet, &in, in.len, 0, &out), 0);
		assert_false(skel->bss->seen_verified);
		assert_int_not_equal(tcp_sum(&out), 0xFFFF);
	}
}

/* What the urgent pointer pointed at stays; once that is cut, nothing is urgent. */
static void urgent_pointer(void **state)
{
	const struct shape shape = { 4, 0, 12, 300, 0 };
	const uint16_t pointers[] = { 46, 47, 48, 300 };
	static struct frame in, out;

	skel->bss->cut_bytes = 47;
	for (size_t i = 0; i < ARRAY_SIZE(pointers); i++) {
		uint16_t expect = pointers[i] > 47 ? (uint16_t)(pointers[i] - 47) : 0;
		uint8_t *tcp = in.bytes, *cut = out.bytes;

		make(&in, &shape, 0, 1000);
		tcp += in.l4;
		tcp[13] |= 0x20;
		put16(tcp + 18, pointers[i]);
		frame_seal(&in);
		assert_int_equal(run(skel->progs.cut_packet, &in, in.len, 0, &out), 0);
		cut += out.l4;
		assert_int_equal(cut[18] << 8 | cut[19], expect);
		assert_int_equal(cut[13] & 0x20, expect ? 0x20 : 0);
		assert_int_equal(tcp_sum(&out), 0xFFFF);
	}
}

static int set_up(void **state)
{
	uint32_t zero = 0;
	struct up_ports *roles = calloc(1, sizeof(*roles));
	int err;

	skel = inline_cut_bpf__open_and_load();
	if (!skel || !roles)
		return -1;
	roles->role[PORT] = UP_PORT_WIRE;
	err = bpf_map_update_elem(bpf_map__fd(skel->maps.ports), &zero, roles, BPF_ANY);
	free(roles);
	return err;
}

static int tear_down(void **state)
{
	inline_cut_bpf__destroy(skel);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(odd_and_even),   cmocka_unit_test(every_data_offset),
		cmocka_unit_test(ip_options),     cmocka_unit_test(padding),
		cmocka_unit_test(damage_is_kept), cmocka_unit_test(urgent_pointer),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
