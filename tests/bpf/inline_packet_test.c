// SPDX-License-Identifier: BSD-2-Clause
/* Packets that are none of ours, or only half of them: strangers, fragments, other protocols,
 * padding. And the sweep. */
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "inline_script.h"

static struct frame frame, out;

/* As it is, to the last byte. */
static void untouched(void)
{
	assert_true(lab_in(&frame, &out));
	assert_frames_equal(&out, &frame);
	no_reply();
}

static void make(uint32_t at, uint8_t flags, const char *payload)
{
	struct segment in = sends(at, flags, payload, strlen(payload));

	frame_make(&frame, &lab.wire, &in);
}

static void other_ports(void)
{
	lab.wire.local_port = 81;
	make(0, SYN, "");
	untouched();
	make(0, PSH | ACK, HEADER_ODD);
	untouched();
}

/* A packet of a handshake that the host has finished by itself (a syncookie's last step, as a
 * rule) would open a connection past us. */
static void stranger(void)
{
	struct segment in = sends(0, PSH | ACK, HEADER_ODD, LEN(HEADER_ODD)), expect;

	make(0, RST, "");
	untouched();
	make(0, PSH, "x");
	untouched();
	if (lab.mode->moved) { /* the host has nothing at this port */
		make(0, ACK, "");
		untouched();
		return;
	}
	in_drops(&in);
	expect = owns(&in, 0, LEN(HEADER_ODD), RST | ACK);
	memset(expect.options, 1, sizeof(expect.options));
	expect.window = 0;
	replied(&expect);
	in = sends(0, ACK | FIN, NULL, 0);
	in_drops(&in);
	expect = owns(&in, 0, 1, RST | ACK);
	memset(expect.options, 1, sizeof(expect.options));
	expect.window = 0;
	replied(&expect);
	assert_int_equal(STAT(resets_sent), 2);
	lab.options = UP_FLOW_PASS_OTHERS;
	lab_listen();
	make(0, ACK, "");
	untouched();
}

/* Of a host that has no listener of ours any more. */
static void stranger_without_listener(void)
{
	struct up_listen_key key = { .port = WIRE_PORT };

	memcpy(key.ip, lab.wire.local, sizeof(key.ip));
	assert_int_equal(bpf_map_delete_elem(bpf_map__fd(lab.skel->maps.listeners), &key), 0);
	make(0, ACK, "");
	untouched();
	make(0, SYN, "");
	untouched();
}

/* No address given: what is local here. What comes in at lo is; elsewhere, where nothing is
 * forwarded, what is not local goes nowhere. */
static void listener_of_any_address(void)
{
	struct up_listen_key key = { .port = WIRE_PORT };
	struct up_listen listen;
	int map = bpf_map__fd(lab.skel->maps.listeners);
	struct segment first = syn();

	memcpy(key.ip, lab.wire.local, sizeof(key.ip));
	assert_int_equal(bpf_map_lookup_elem(map, &key, &listen), 0);
	assert_int_equal(bpf_map_delete_elem(map, &key), 0);
	memset(key.ip, 0, sizeof(key.ip));
	assert_int_equal(bpf_map_update_elem(map, &key, &listen, BPF_ANY), 0);
	in_passes(&first, &first);
	assert_int_equal(STAT(syns), 1);
}

static void for_another_machine(void)
{
	if (lab.mode->l3)
		return;
	make(0, SYN, "");
	frame.bytes[5] = 77;
	untouched();
}

/* Fragments cannot be taken apart: those of our connections are dropped, and counted. */
static void fragments(void)
{
	if (lab.mode->sums == SUMS_PARTIAL)
		return;
	lab.wire.fragment = lab.mode->version == 4 ? 0x2000 : 1;
	make((uint32_t)-1, SYN, "");
	assert_false(lab_in(&frame, &out));
	make(0, PSH | ACK, "of nobody");
	assert_true(lab_in(&frame, &out) || lab.unseen);
	lab.wire.fragment = 0;
	open_with(HEADER_ODD, "0123456789");
	lab.wire.fragment = lab.mode->version == 4 ? 0x2000 : 1;
	make(LEN(HEADER_ODD), PSH | ACK, "0123456789");
	assert_false(lab_in(&frame, &out));
	/* The header of TCP itself is in two. */
	make(LEN(HEADER_ODD), PSH | ACK, "");
	frame.bytes[frame.l4 + 12] = 0xF0;
	assert_false(lab_in(&frame, &out));
	assert_int_equal(STAT(fragments), 4);
	/* The second one has no ports: without the first the host cannot put it together. */
	lab.wire.fragment = lab.mode->version == 4 ? 2 : 16;
	make(LEN(HEADER_ODD), PSH | ACK, "0123456789");
	assert_true(lab_in(&frame, &out) || lab.unseen);
	no_reply();
}

/* A first fragment may be so short that it does not even say SYN. */
static void tiny_fragments(void)
{
	if (lab.mode->sums != SUMS_NONE || lab.mode->version != 4)
		return;
	for (size_t len = 4; len <= 16; len += 4) {
		make((uint32_t)-1, SYN, "");
		frame.len = frame.l4 + len;
		put16(frame.bytes + frame.net + 2, 20 + len);
		put16(frame.bytes + frame.net + 6, 0x2000);
		assert_false(lab_in(&frame, &out));
	}
	assert_int_equal(STAT(fragments), 4);
	lab.wire.local_port = 81;
	make((uint32_t)-1, SYN, "");
	frame.len = frame.l4 + 8;
	put16(frame.bytes + frame.net + 2, 28);
	put16(frame.bytes + frame.net + 6, 0x2000);
	assert_true(lab_in(&frame, &out));
}

/* Nobody hides a SYN behind more extension headers than we look through. */
static void many_extensions(void)
{
	struct segment first = syn();
	size_t tcp;

	if (lab.mode->version != 6 || lab.mode->sums != SUMS_NONE)
		return;
	lab.wire.extensions = 40;
	frame_make(&frame, &lab.wire, &first);
	tcp = frame.net + 40;
	for (int i = 0; i < 5; i++) /* five of eight bytes in place of one of forty */
		memcpy(frame.bytes + tcp + i * 8, (uint8_t[]){ 60, 0, 1, 4, 0, 0, 0, 0 }, 8);
	frame.bytes[tcp + 32] = IPPROTO_TCP;
	assert_false(lab_in(&frame, &out));
	assert_int_equal(STAT(syns), 0);
	assert_int_equal(STAT(failed), 1);
	lab_begin(lab.mode);
}

/* So broken that the host drops it by itself. */
static void broken(void)
{
	if (lab.mode->sums == SUMS_PARTIAL)
		return;
	handshake();
	make(0, PSH | ACK, HEADER_ODD);
	frame.bytes[frame.l4 + 12] = 0x40; /* a header of 16 bytes */
	assert_true(lab_in(&frame, &out) || lab.unseen);
	make(0, PSH | ACK, "");
	frame.bytes[frame.l4 + 12] = 0xF0; /* longer than the packet */
	assert_true(lab_in(&frame, &out) || lab.unseen);
	make(0, PSH | ACK, HEADER_ODD);
	frame.len -= 5; /* IP says more than there is */
	assert_true(lab_in(&frame, &out) || lab.unseen);
	assert_int_equal(flow_is(), UP_FLOW_HEADER);
	no_reply();
}

static void other_protocols(void)
{
	if (lab.mode->sums == SUMS_PARTIAL)
		return;
	make(0, SYN, "");
	frame.bytes[frame.net + (lab.mode->version == 4 ? 9 : 6)] = IPPROTO_UDP;
	assert_true(lab_in(&frame, &out) || lab.unseen);
	assert_int_equal(STAT(syns), 0);
}

/* What Ethernet pads is no payload, whatever is in it. */
static void padding(void)
{
	static struct frame expect;
	struct segment in, cut;
	size_t len;

	if (lab.mode->sums == SUMS_COMPLETE || lab.mode->sums == SUMS_PARTIAL)
		return;
	handshake();
	make(0, ACK, "");
	memset(frame.bytes + frame.len, 0xAA, 6);
	frame.len += 6;
	assert_false(lab_in(&frame, &out));
	assert_int_equal(STAT(acks_held), 1);
	in = sends(0, PSH | ACK, HEADER_ODD "ab", LEN(HEADER_ODD) + 2);
	frame_make(&frame, &lab.wire, &in);
	memset(frame.bytes + frame.len, 0xAA, 6);
	len = frame.len;
	frame.len += 6;
	assert_true(lab_in(&frame, &out));
	frame.len = len;
	event_is(UP_EVENT_OPEN);
	cut = moved(&in, 0, LEN(HEADER_ODD));
	lab.wire.local_port = lab.mode->moved ? APP_PORT : WIRE_PORT;
	frame_make(&expect, &lab.wire, &cut);
	assert_frames_equal(&out, &expect);
	lab.wire.local_port = WIRE_PORT;
}

/* A connection in the test's namespace with the flow's addresses and ports, so that the host
 * has it. *ret: both ends. */
static void connection(int ret[2])
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	ret[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(ret[0], SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	address.sin_port = htons(lab.mode->moved ? APP_PORT : WIRE_PORT);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	address.sin_port = htons(lab.wire.remote_port);
	assert_int_equal(bind(ret[0], (struct sockaddr *)&address, sizeof(address)), 0);
	address.sin_port = htons(lab.mode->moved ? APP_PORT : WIRE_PORT);
	assert_int_equal(connect(ret[0], (struct sockaddr *)&address, sizeof(address)), 0);
	ret[1] = accept(listener, NULL, NULL);
	assert_true(ret[1] >= 0);
	close(listener);
}

/* By RST: nothing waits. */
static void close_hard(int fds[2])
{
	const struct linger hard = { .l_onoff = 1 };

	for (int i = 0; i < 2; i++) {
		setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		close(fds[i]);
	}
	while (lab_reply(&out)) {
	}
}

static void on_loopback(void)
{
	memcpy(lab.wire.remote + 12, (uint8_t[]){ 127, 0, 0, 1 }, 4);
	memcpy(lab.wire.local + 12, (uint8_t[]){ 127, 0, 0, 1 }, 4);
	lab_listen();
}

/* A flow ends when its socket has been there, and is gone. */
static void swept(void)
{
	int fds[2];

	if (lab.mode->version == 6 || lab.mode->device)
		return;
	on_loopback();
	assert_int_equal(lab_sweep(), 0); /* no such flow */
	handshake();
	assert_int_equal(lab_sweep(), 0); /* not open */
	lab_begin(lab.mode);
	on_loopback();
	connection(fds);
	while (lab_reply(&out)) {
	}
	opened(HEADER_ODD, "0123456789");
	assert_int_equal(lab_sweep(), 0);
	assert_false(lab_event(false));
	lab.skel->bss->unheard = true;
	close_hard(fds);
	lab.skel->bss->unheard = false;
	assert_int_equal(lab_sweep(), 1);
	ended_by(UP_END_GONE, 10, 0);
	assert_int_equal(lab_sweep(), 0);
	assert_int_equal(STAT(collected), 1);
}

/* It may be in a container's namespace. */
static void not_swept_if_never_seen(void)
{
	opened(HEADER_ODD, "0123456789");
	assert_int_equal(lab_sweep(), 0);
	assert_int_equal(flow_is(), UP_FLOW_OPEN);
}

/* The host still has the connection that a SYN would replace: it decides, as it always does. */
static void syn_while_the_host_has_it(void)
{
	struct segment second = syn();
	int fds[2];

	if (lab.mode->version == 6 || lab.mode->device)
		return;
	on_loopback();
	connection(fds);
	while (lab_reply(&out)) {
	}
	opened(HEADER_ODD, "0123456789");
	second.seq += 70000;
	in_passes(&second, &second);
	assert_int_equal(flow_is(), UP_FLOW_OPEN);
	assert_false(lab_event(false));
	lab.skel->bss->unheard = true;
	close_hard(fds);
	lab.skel->bss->unheard = false;
	in_passes(&second, &second);
	ended_by(UP_END_REUSED, 10, 0);
	assert_int_equal(flow_is(), UP_FLOW_SYN);
}

/* A connection that is older than the engine. */
static void stranger_with_a_socket(void)
{
	int fds[2];

	if (lab.mode->version == 6 || lab.mode->device || lab.mode->moved)
		return;
	on_loopback();
	connection(fds);
	while (lab_reply(&out)) {
	}
	make(0, PSH | ACK, "hello");
	untouched();
	close_hard(fds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(other_ports),
		LAB_TEST(stranger),
		LAB_TEST(stranger_without_listener),
		LAB_TEST(listener_of_any_address),
		LAB_TEST(for_another_machine),
		LAB_TEST(fragments),
		LAB_TEST(tiny_fragments),
		LAB_TEST(many_extensions),
		LAB_TEST(broken),
		LAB_TEST(other_protocols),
		LAB_TEST(padding),
		LAB_TEST(swept),
		LAB_TEST(not_swept_if_never_seen),
		LAB_TEST(syn_while_the_host_has_it),
		LAB_TEST(stranger_with_a_socket),
	};

	return cmocka_run_group_tests(tests, lab_set_up, lab_tear_down);
}
