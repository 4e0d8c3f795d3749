// SPDX-License-Identifier: BSD-2-Clause
/* Clients on the deny list: the app never sees them. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cidr.h"
#include "base/clock.h"
#include "inline_script.h"
#include "unproxy/deny_abi.h"

#define V6_CLIENT "PROXY TCP6 2001:db8::7 2001:db8::1 1000 80\r\n"
#define UNKNOWN "PROXY UNKNOWN\r\n"
#define LOCAL "\r\n\r\n\0\r\nQUIT\n\x20\0\0"

static struct up_deny_key key_of(const char *text)
{
	struct up_deny_key key = { 0 };
	struct cidr cidr;

	assert_null(cidr_parse(text, &cidr));
	key.prefix_len = cidr.prefix_len;
	memcpy(key.ip, cidr.ip, sizeof(key.ip));
	return key;
}

static void put(const char *text, struct up_deny entry)
{
	struct up_deny_key key = key_of(text);

	entry.prefix_len = key.prefix_len;
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(lab.skel->maps.deny_list), &key, &entry,
					     BPF_ANY),
			 0);
}

static void deny(const char *text)
{
	put(text, (struct up_deny){ .control = UP_DENY_REFUSE });
}

static void allow(const char *text)
{
	put(text, (struct up_deny){ .control = UP_DENY_ALLOW });
}

static uint64_t hits(const char *text)
{
	struct up_deny_key key = key_of(text);
	struct up_deny entry;

	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(lab.skel->maps.deny_list), &key, &entry),
			 0);
	assert_int_equal(entry.prefix_len, key.prefix_len);
	return entry.hits;
}

static uint64_t in_an_hour(void)
{
	return clock_us(CLOCK_BOOTTIME) * 1000 + 3600 * UINT64_C(1000000000);
}

static void refused(const char *bytes, uint32_t len)
{
	struct segment in = sends(0, PSH | ACK, bytes, len);

	handshake();
	both_reset(&in, 0, len);
	refused_for(UP_REASON_DENIED);
	in = sends(len, PSH | ACK, "more", 4);
	both_reset(&in, 0, len + 4);
	assert_int_equal(STAT(refused), 1);
}

/* What the log is told: who it was, not what its bytes look like. */
static void a_client_of_a_network(void)
{
	struct cidr client;

	assert_null(cidr_parse("192.0.2.1", &client));
	deny("192.0.2.0/24");
	refused(HEADER_ODD "hello", LEN(HEADER_ODD) + 5);
	assert_int_equal(lab.event.client.family, UP_FAMILY_IPV4);
	assert_int_equal(lab.event.client.port, 1000);
	assert_memory_equal(lab.event.client.ip, client.ip, sizeof(client.ip));
	assert_int_equal(hits("192.0.2.0/24"), 1);
}

static void others_go_on(void)
{
	deny("192.0.2.0/32");
	deny("192.0.2.2/31");
	deny("198.51.100.2"); /* the destination */
	opened(HEADER_ODD, "payload");
}

static void the_longest_prefix_says(void)
{
	deny("192.0.2.0/24");
	allow("192.0.2.0/30");
	deny("192.0.2.0");
	opened(HEADER_ODD, "payload");
	assert_int_equal(hits("192.0.2.0/30"), 1);
	assert_int_equal(hits("192.0.2.0/24"), 0);
}

static void everyone_but(void)
{
	deny("0.0.0.0/0");
	refused(HEADER_ODD, LEN(HEADER_ODD));
	assert_int_equal(hits("0.0.0.0/0"), 1);
}

static void ipv6(void)
{
	deny("2001:db8::/33");
	allow("0.0.0.0/0");
	refused(V6_CLIENT, LEN(V6_CLIENT));
	assert_int_equal(lab.event.client.family, UP_FAMILY_IPV6);
}

/* That IPv4 is stored inside of it does not matter. */
static void all_of_ipv6_is_not_ipv4(void)
{
	deny("::/0");
	deny("::/80");
	opened(HEADER_ODD, "payload");
}

static void for_a_while(void)
{
	put("192.0.2.1",
	    (struct up_deny){ .control = UP_DENY_REFUSE, .control_until_ns = in_an_hour() });
	refused(HEADER_ODD, LEN(HEADER_ODD));
}

static void expired(void)
{
	put("192.0.2.1", (struct up_deny){ .control = UP_DENY_REFUSE, .control_until_ns = 1 });
	put("192.0.2.0/24", (struct up_deny){ .file = UP_DENY_REFUSE, .file_until_ns = 1 });
	opened(HEADER_ODD, "payload");
	assert_int_equal(hits("192.0.2.1"), 0);
}

/* However many there are of them. */
static void what_has_expired_hides_nothing(void)
{
	char text[CIDR_TEXT_MAX];
	struct cidr cidr;

	assert_null(cidr_parse("192.0.2.1", &cidr));
	for (int len = 128; len > 104; len--) {
		cidr.ip[len / 8 < 16 ? len / 8 : 15] &= len < 128 ? (uint8_t) ~(0x80 >> len % 8)
								  : 0xFF;
		cidr.prefix_len = (uint8_t)len;
		(void)cidr_format(&cidr, text, sizeof(text));
		put(text, (struct up_deny){ .control = UP_DENY_ALLOW, .control_until_ns = 1 });
	}
	deny("192.0.0.0/8");
	refused(HEADER_ODD, LEN(HEADER_ODD));
	assert_int_equal(hits("192.0.0.0/8"), 1);
}

/* What a person said goes before what the file says, for as long as it holds. */
static void a_person_before_the_file(void)
{
	put("192.0.2.1", (struct up_deny){ .control = UP_DENY_ALLOW,
					   .control_until_ns = in_an_hour(),
					   .file = UP_DENY_REFUSE });
	opened(HEADER_ODD, "payload");
}

static void the_file_behind_a_person(void)
{
	put("192.0.2.1", (struct up_deny){ .control = UP_DENY_ALLOW,
					   .control_until_ns = 1,
					   .file = UP_DENY_REFUSE });
	refused(HEADER_ODD, LEN(HEADER_ODD));
}

static void deny_balancer(void)
{
	struct up_deny entry = { .control = UP_DENY_REFUSE, .prefix_len = 128 };
	struct up_deny_key key = { .prefix_len = 128 };

	memcpy(key.ip, lab.wire.remote, sizeof(key.ip));
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(lab.skel->maps.deny_list), &key, &entry,
					     BPF_ANY),
			 0);
}

/* A header that names nobody is the balancer's own: refused, its health checks would take the
 * host out of service for all. */
static void the_balancers_own(void)
{
	struct segment in, expect;

	deny_balancer();
	opened(UNKNOWN, "payload");
	lab_begin(lab.mode);
	deny_balancer();
	handshake();
	in = sends(0, PSH | ACK, LOCAL, LEN(LOCAL) + 1);
	expect = answered(&in, PSH | ACK);
	in_passes(&in, &expect);
	expect = owns(&in, 0, LEN(LOCAL) + 1, ACK);
	replied(&expect);
	event_is(UP_EVENT_OPEN);
}

/* Without a header the sender is the client. */
static void a_plain_client(void)
{
	lab.options = UP_FLOW_OPTIONAL;
	lab_listen();
	deny_balancer();
	refused("GET / HTTP/1.1\r\n\r\n", LEN("GET / HTTP/1.1\r\n\r\n"));
}

static void a_plain_client_that_says_nothing(void)
{
	struct segment in = sends(0, ACK, NULL, 0);

	lab.options = UP_FLOW_OPTIONAL;
	lab_listen();
	deny_balancer();
	handshake();
	in_drops(&in);
	lab_expire();
	assert_true(lab_event(true));
	assert_int_equal(lab.event.kind, UP_EVENT_REFUSED);
	assert_int_equal(lab.event.reason, UP_REASON_DENIED);
	assert_int_equal(flow_is(), UP_FLOW_REFUSED);
}

/* untrusted = pass: those who come without a balancer. */
static void a_stranger(void)
{
	struct up_trust_key trust = { .prefix_len = 32 + 128, .listener = LISTENER };

	lab.options = UP_FLOW_PASS_OTHERS;
	lab_listen();
	memcpy(trust.ip, lab.wire.remote, sizeof(trust.ip));
	assert_int_equal(bpf_map_delete_elem(bpf_map__fd(lab.skel->maps.trust), &trust), 0);
	deny_balancer();
	syn_refused(UP_REASON_DENIED);
	assert_int_equal(STAT(refused), 1);
	assert_int_equal(STAT(untrusted), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(a_client_of_a_network),
		LAB_TEST(others_go_on),
		LAB_TEST(the_longest_prefix_says),
		LAB_TEST(everyone_but),
		LAB_TEST(ipv6),
		LAB_TEST(all_of_ipv6_is_not_ipv4),
		LAB_TEST(for_a_while),
		LAB_TEST(expired),
		LAB_TEST(what_has_expired_hides_nothing),
		LAB_TEST(a_person_before_the_file),
		LAB_TEST(the_file_behind_a_person),
		LAB_TEST(the_balancers_own),
		LAB_TEST(a_plain_client),
		LAB_TEST(a_plain_client_that_says_nothing),
		LAB_TEST(a_stranger),
	};

	return cmocka_run_group_tests(tests, lab_set_up, lab_tear_down);
}
