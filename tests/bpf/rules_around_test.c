// SPDX-License-Identifier: BSD-2-Clause
/*
 * What surrounds the program: TCP's counters, the sockets it may be put on, its helpers and
 * names: K11 to K14 of the kernel path's rules. Each test says by which change of the
 * product it was seen to fail ("Mutation").
 */
#include "pairs.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "kern/internal.h"
#include "relay.skel.h"
#include "relay/law.h"
#include "relay/session.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#ifndef ENOTSUPP
#define ENOTSUPP 524 /* the kernel's own, in no header of user space */
#endif

static uint64_t received(const struct session *session, enum way way)
{
	uint64_t n = 0;

	assert_int_equal(law_received(session, way, &n), 0);
	return n;
}

static uint64_t written(const struct session *session, enum way way)
{
	uint64_t n = 0;

	assert_int_equal(law_written(session, way, &n), 0);
	return n;
}

static void session_of_rig(struct session *ret, const struct rig *rig)
{
	*ret = (struct session){ 0 };
	ret->legs[FRONT].source.fd = rig->front;
	ret->legs[BACK].source.fd = rig->back;
}

/* K11: the law's constants, on connections that nobody accelerates: what each side counts
 * for SYN, FIN, the header read and the header written. Mutation: each constant of law.c in
 * turn (the 1 of the FIN, of the SYN, header_len, written_header) -> off by that. */
static void k11_law_calibrated(void **state)
{
	char header[30], text[20];
	struct session session;
	struct rig *rig = *state;

	session_of_rig(&session, rig);
	for (int way = UP; way <= DOWN; way++) {
		assert_int_equal(received(&session, way), 0);
		assert_int_equal(written(&session, way), 0);
	}
	memset(header, 'h', sizeof(header));
	assert_int_equal(send(rig->client, header, sizeof(header), 0), sizeof(header));
	assert_true(poll_for(rig->front, POLLIN) & POLLIN);
	assert_int_equal(recv(rig->front, header, sizeof(header), 0), sizeof(header));
	session.header_len = sizeof(header);
	assert_int_equal(received(&session, UP), 0);
	memset(text, 'w', sizeof(text));
	assert_int_equal(send(rig->back, text, sizeof(text), 0), sizeof(text));
	session.written_header = sizeof(text);
	assert_int_equal(written(&session, UP), 0);

	/* Unread bytes count as received; unacknowledged ones as written, at once. */
	stream_send_all(&rig->up, 12345);
	assert_soon(received(&session, UP) == 12345);
	stream_send_all(&rig->down, 54321);
	assert_soon(received(&session, DOWN) == 54321);
	assert_int_equal(send(rig->back, rig, 100, 0), 100);
	assert_int_equal(send(rig->front, rig, 200, 0), 200);
	assert_soon(written(&session, UP) == 100);
	assert_soon(written(&session, DOWN) == 200);

	/* A FIN is one more, and LEG_HUP says that it is in. */
	for (int side = FRONT; side <= BACK; side++) {
		int peer = side == FRONT ? rig->client : rig->server;

		assert_return_code(shutdown(peer, SHUT_WR), errno);
		assert_true(poll_for(session.legs[side].source.fd, POLLRDHUP) & POLLRDHUP);
		session.legs[side].flags |= LEG_HUP;
	}
	assert_int_equal(received(&session, UP), 12345);
	assert_int_equal(received(&session, DOWN), 54321);
	assert_int_equal(written(&session, UP), 100);
	assert_int_equal(written(&session, DOWN), 200);
}

/* K11, through the kernel path: never more written than received, in the end the same, the
 * reader stopped or not. Mutation: law_written() without SIOCOUTQ -> not reached. */
static void k11_law_holds_for_the_kernel(void **state)
{
	struct session session;
	struct rig *rig = *state;

	session_of_rig(&session, rig);
	assert_int_equal(socket_set_int(rig->server, SOL_SOCKET, SO_RCVBUF, 16 << 10), 0);
	stream_accelerate(&rig->up);
	stream_accelerate(&rig->down);
	for (int i = 0; i < 64; i++) {
		uint64_t out;

		stream_send_all(&rig->up, 4096);
		out = written(&session, UP); /* first: the other one only grows */
		assert_true(out <= received(&session, UP));
	}
	stream_send_all(&rig->down, MANY);
	stream_arrives(&rig->down);
	assert_int_equal(written(&session, DOWN), MANY);
	assert_return_code(shutdown(rig->client, SHUT_WR), errno);
	assert_true(poll_for(rig->front, POLLRDHUP) & POLLRDHUP);
	session.legs[FRONT].flags |= LEG_HUP;
	assert_int_equal(received(&session, UP), MANY);
	assert_soon(written(&session, UP) == MANY);
	assert_true(rig->up.received < MANY);
	stream_arrives(&rig->up);
	assert_int_equal(written(&session, UP), MANY);
}

/* The program refuses fd as a source, and the slot comes back. */
static void assert_refused(int fd, const char *what)
{
	struct kern_source source = { .fd = fd, .token = 1 << 21, .stage = UP_STAGE_STREAM };
	struct kern_direction dir;
	int err;

	assert_int_equal(kern_direction_new(kern, &source, &dir), 0);
	err = kern_direction_start(kern, &dir, fd);
	print_message("K12: %s: %s\n", what, err ? strerror(-err) : "accepted");
	if (!err)
		fail_msg("%s was accepted", what);
	assert_false(in_map(kern->skel->maps.sources, dir.shared->cookie));
	kern_direction_free(kern, &dir);
}

/* K12: half-closed, closed and unconnected sockets are refused, in both directions of a
 * FIN, and stay usable for a path that copies. Mutation: kern_direction_start() returns 0
 * whatever update() said -> "was accepted". */
static void k12_only_established(void **state)
{
	struct rig *rig = *state;
	char byte;
	int fd;

	stream_send_all(&rig->up, 1);
	assert_return_code(shutdown(rig->client, SHUT_WR), errno);
	assert_true(poll_for(rig->front, POLLRDHUP) & POLLRDHUP);
	assert_refused(rig->front, "half-closed by the peer");
	assert_int_equal(recv(rig->front, &byte, 1, MSG_DONTWAIT), 1);
	assert_int_equal(recv(rig->front, &byte, 1, MSG_DONTWAIT), 0);
	stream_send_all(&rig->down, 10);
	assert_int_equal(send(rig->front, "downwards!", 10, MSG_DONTWAIT), 10);
	assert_refused(rig->client, "half-closed by us");
	assert_return_code(shutdown(rig->front, SHUT_WR), errno);
	assert_true(poll_for(rig->client, POLLRDHUP) & POLLRDHUP);
	assert_refused(rig->front, "closed");

	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_refused(fd, "never connected");
	cleanup_close(&fd);
}

/* K12: MPTCP and kTLS sockets are refused; where this kernel has none, that is printed (tried
 * on 6.18 without the tls module: ENOENT). Mutation: as above. */
static void k12_other_protocols(void **state)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	_cleanup_close_ int listener = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
	struct rig *rig = *state;

	if (listener < 0 || fd < 0) {
		print_message("K12: no MPTCP here: %s\n", strerror(errno));
	} else {
		assert_return_code(bind(listener, (struct sockaddr *)&addr, len), errno);
		assert_return_code(listen(listener, 1), errno);
		assert_return_code(getsockname(listener, (struct sockaddr *)&addr, &len), errno);
		assert_return_code(connect(fd, (struct sockaddr *)&addr, len), errno);
		assert_refused(fd, "MPTCP");
	}
	if (setsockopt(rig->front, IPPROTO_TCP, TCP_ULP, "tls", 3) < 0)
		print_message("K12: no kTLS here: %s\n", strerror(errno));
	else
		assert_refused(rig->front, "kTLS");
}

static bool calls(const struct bpf_program *program, int helper)
{
	const struct bpf_insn *insns = bpf_program__insns(program);

	for (size_t i = 0; i < bpf_program__insn_cnt(program); i++) {
		if (insns[i].code == (BPF_JMP | BPF_CALL) && insns[i].src_reg == 0 &&
		    insns[i].imm == helper)
			return true;
	}
	return false;
}

/* K13: the program is loaded, with the helpers the rules need and without those that
 * SK_SKB has not. BPF_PROG_TEST_RUN cannot run it: hence real socket pairs in these tests.
 * Mutation: redirect() without bpf_sk_release() -> kern_open() fails, and so all tests. */
static void k13_helpers(void **state)
{
	static const int needed[] = {
		BPF_FUNC_map_lookup_elem, BPF_FUNC_sk_redirect_hash,  BPF_FUNC_sk_release,
		BPF_FUNC_skc_to_tcp_sock, BPF_FUNC_get_socket_cookie, BPF_FUNC_skb_adjust_room,
		BPF_FUNC_ringbuf_reserve, BPF_FUNC_ringbuf_submit,
	};
	static const int without[] = { BPF_FUNC_sk_storage_get, BPF_FUNC_map_delete_elem };
	const struct bpf_program *program = kern->skel->progs.up_verdict;
	LIBBPF_OPTS(bpf_test_run_opts, run);
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info);
	char data[64] = "";

	assert_return_code(bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &len), errno);
	assert_int_equal(info.type, BPF_PROG_TYPE_SK_SKB);
	assert_true(info.verified_insns > 0 && info.jited_prog_len > 0);
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		if (!calls(program, needed[i]))
			fail_msg("helper %d is not called", needed[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(without); i++)
		assert_false(calls(program, without[i]));
	run.data_in = data;
	run.data_size_in = sizeof(data);
	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(program), &run), -ENOTSUPP);
}

/* K14: no name is cut off (15 characters), the maps are pinned under the names they have,
 * and the verdict is on `sources` alone: a target without a source must not run it.
 * Mutation: attach() to targets, or a map renamed to 16 characters -> fails. */
static void k14_names_and_attachment(void **state)
{
	struct bpf_prog_info prog = { 0 };
	uint32_t len = sizeof(prog), id = 0, n = 1, flags;
	const struct bpf_map *map;
	unsigned pinned = 0;
	char path[256];

	bpf_object__for_each_map (map, kern->skel->obj) {
		struct bpf_map_info info = { 0 };
		uint32_t info_len = sizeof(info);
		int fd;

		assert_return_code(bpf_obj_get_info_by_fd(bpf_map__fd(map), &info, &info_len),
				   errno);
		if (strchr(bpf_map__name(map), '.'))
			continue; /* libbpf's own, shortened by libbpf */
		assert_string_equal(info.name, bpf_map__name(map));
		if (!bpf_map__is_pinned(map))
			continue; /* the program's alone */
		pinned++;
		snprintf(path, sizeof(path), "%s/%s", kern_pin_path(kern), info.name);
		fd = bpf_obj_get(path);
		assert_return_code(fd, errno);
		cleanup_close(&fd);
	}
	assert_true(pinned >= 8);
	assert_return_code(bpf_obj_get_info_by_fd(bpf_program__fd(kern->skel->progs.up_verdict),
						  &prog, &len),
			   errno);
	assert_string_equal(prog.name, bpf_program__name(kern->skel->progs.up_verdict));
	assert_return_code(bpf_prog_query(bpf_map__fd(kern->skel->maps.sources),
					  BPF_SK_SKB_STREAM_VERDICT, 0, &flags, &id, &n),
			   errno);
	assert_int_equal(id, prog.id);
	id = 0;
	n = 1;
	assert_return_code(bpf_prog_query(bpf_map__fd(kern->skel->maps.targets),
					  BPF_SK_SKB_STREAM_VERDICT, 0, &flags, &id, &n),
			   errno);
	assert_int_equal(n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(k11_law_calibrated),   rig_test(k11_law_holds_for_the_kernel),
		rig_test(k12_only_established), rig_test(k12_other_protocols),
		cmocka_unit_test(k13_helpers),  cmocka_unit_test(k14_names_and_attachment),
	};

	return cmocka_run_group_tests(tests, kern_set_up, kern_tear_down);
}
