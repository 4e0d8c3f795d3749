// SPDX-License-Identifier: BSD-2-Clause
/* The parser as the kernel runs it: every vector through a real socket pair, and the same
 * answer, field by field, as the native build gives for the same bytes. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>

#include "../vectors/vectors.h"
#include "base/cleanup.h"
#include "parse_skb.h"
#include "parse_skb.skel.h"
#include "unproxy/proxy_header.h"

#define WAIT_MS 2000
/* What the verifier needed when this was written was 4,059. Ten times that is no reason
 * to worry; more means that it began to walk bytes one by one. */
#define VERIFIED_INSNS_MAX 40000

static struct parse_skb_bpf *skel;
static struct vectors vectors;

struct pair {
	int sender, receiver;
};

static void pair_close(struct pair *pair)
{
	cleanup_close(&pair->sender);
	cleanup_close(&pair->receiver);
}

/* A connection over loopback whose receiving end runs the verdict. */
static void pair_open(struct pair *ret)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	_cleanup_close_ int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t key = 1, value;

	assert_return_code(bind(listener, (struct sockaddr *)&addr, len), errno);
	assert_return_code(listen(listener, 1), errno);
	assert_return_code(getsockname(listener, (struct sockaddr *)&addr, &len), errno);
	ret->sender = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_return_code(connect(ret->sender, (struct sockaddr *)&addr, len), errno);
	ret->receiver = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(ret->receiver >= 0);
	value = (uint64_t)ret->receiver;
	assert_return_code(bpf_map_update_elem(bpf_map__fd(skel->maps.sockets), &key, &value,
					       BPF_ANY),
			   errno);
}

static void result_get(struct parse_result *ret)
{
	uint32_t zero = 0;

	assert_return_code(bpf_map_lookup_elem(bpf_map__fd(skel->maps.results), &zero, ret), errno);
}

static void result_reset(const struct up_header_limits *limits)
{
	const struct parse_result fresh = { .limits = *limits, .status = -1 };
	uint32_t zero = 0;

	assert_return_code(bpf_map_update_elem(bpf_map__fd(skel->maps.results), &zero, &fresh,
					       BPF_ANY),
			   errno);
}

/* Send bytes in one go and wait until the program has seen a segment. */
static void through_kernel(const struct vector *vector, const struct up_header_limits *limits,
			   struct parse_result *ret)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	_cleanup_(pair_close) struct pair pair = { -1, -1 };

	pair_open(&pair);
	result_reset(limits);
	assert_int_equal(send(pair.sender, vector->bytes, vector->len, MSG_NOSIGNAL), vector->len);
	for (int waited = 0; waited < WAIT_MS; waited++) {
		result_get(ret);
		if (ret->done)
			return;
		(void)nanosleep(&ms, NULL);
	}
	fail_msg("%s: the program did not run", vector->name);
}

static void assert_as_native(const struct vector *vector, const struct up_header_limits *limits)
{
	struct parse_result result;
	struct up_header native;
	enum up_header_status status;
	uint32_t seen;

	through_kernel(vector, limits, &result);
	seen = result.skb_len < UP_KERN_HEADER_MAX ? result.skb_len : UP_KERN_HEADER_MAX;
	status = up_header_parse(vector->bytes, seen, limits, &native);
	if (result.status != (int)status || memcmp(&result.header, &native, sizeof(native)))
		fail_msg("%s: the kernel says status %d reason %u at %u, natively it is %d %u %u",
			 vector->name, result.status, result.header.reason, result.header.error_at,
			 status, native.reason, native.error_at);
	if (vector->len <= UP_KERN_HEADER_MAX && limits->max_len == UP_HEADER_MAX) {
		assert_int_equal(seen, vector->len); /* one send, one segment */
		assert_int_equal(result.status, vector->expect);
	}
}

static void vectors_as_native(void **state)
{
	const struct up_header_limits limits = { .max_len = UP_HEADER_MAX };

	for (size_t i = 0; i < vectors.n; i++)
		if (vectors.at[i].len)
			assert_as_native(&vectors.at[i], &limits);
}

static void limits_reach_the_program(void **state)
{
	const struct up_header_limits short_ones = { .max_len = 107 };
	const struct up_header_limits compatible = { .max_len = UP_HEADER_MAX,
						     .flags = UP_HEADER_V1_IPV4_IN_TCP6 };

	for (size_t i = 0; i < vectors.n; i++) {
		if (!strncmp(vectors.at[i].name, "v2-size-", 8))
			assert_as_native(&vectors.at[i], &short_ones);
		if (!strcmp(vectors.at[i].name, "v1-reject-v4-in-tcp6")) {
			struct vector vector = vectors.at[i];

			vector.expect = UP_HEADER_COMPLETE;
			assert_as_native(&vector, &compatible);
		}
	}
}

/* Every prefix of a header of each kind, as a first segment that is cut there. */
static void prefixes_as_native(void **state)
{
	static const char *const names[] = { "v1-tcp6-mapped", "v2-crc32c-middle", "v2-tlv-ssl" };
	const struct up_header_limits limits = { .max_len = UP_HEADER_MAX };

	for (size_t i = 0; i < vectors.n; i++) {
		struct vector vector = vectors.at[i];

		for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
			if (strcmp(vector.name, names[n]) != 0)
				continue;
			vector.expect = UP_HEADER_INCOMPLETE;
			for (vector.len = 1; vector.len < vectors.at[i].len; vector.len++)
				assert_as_native(&vector, &limits);
		}
	}
}

static void verifier_effort(void **state)
{
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info);

	assert_return_code(bpf_obj_get_info_by_fd(bpf_program__fd(skel->progs.parse_verdict), &info,
						  &len),
			   errno);
	print_message("verified instructions: %u\n", info.verified_insns);
	assert_in_range(info.verified_insns, 1, VERIFIED_INSNS_MAX);
}

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, args) : 0;
}

static int set_up(void **state)
{
	libbpf_set_print(quiet);
	vectors_load(&vectors);
	skel = parse_skb_bpf__open_and_load();
	if (!skel)
		return -1;
	return bpf_prog_attach(bpf_program__fd(skel->progs.parse_verdict),
			       bpf_map__fd(skel->maps.sockets), BPF_SK_SKB_STREAM_VERDICT, 0);
}

static int tear_down(void **state)
{
	parse_skb_bpf__destroy(skel);
	vectors_free(&vectors);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_as_native),
		cmocka_unit_test(limits_reach_the_program),
		cmocka_unit_test(prefixes_as_native),
		cmocka_unit_test(verifier_effort),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
