/* SPDX-License-Identifier: BSD-2-Clause */
/* Events as records: what the line says, what is a probe, what is refused and why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "client/reason.h"
#include "conf/conf.h"
#include "inline/record.h"
#include "unproxy/proxy_types.h"

static const struct conf_listener web = { .name = "web", .port = { 80, 3000 } };
static const struct record_around plain = { .listener = &web, .realtime_offset_us = 1000000 };

static struct up_addr addr(const char *text)
{
	struct up_addr ret;

	assert_int_equal(addr_parse(text, &ret), 0);
	return ret;
}

/* 10.0.0.1:4242 -> 192.0.2.1:80, opened after 1 ms, at its end after 2 s. */
static struct up_flow_event event(uint32_t kind)
{
	struct up_addr remote = addr("10.0.0.1:4242"), local = addr("192.0.2.1:80");
	struct up_flow_event event = {
		.kind = kind,
		.key = { .remote_port = 4242, .local_port = 80 },
		.created_ns = 5000000000,
		.opened_ns = 5001000000,
		.now_ns = 7000000000,
		.bytes_up = 10,
		.bytes_down = 20,
		.header_len = 44,
		.version = 1,
		.command = UP_COMMAND_PROXY,
		.end = UP_END_CLIENT_FIN,
		.client = addr("203.0.113.7:5555"),
		.has_addr = 1,
	};

	memcpy(event.key.remote_ip, remote.ip, 16);
	memcpy(event.key.local_ip, local.ip, 16);
	return event;
}

static void assert_addr(const struct up_addr *found, const char *expect)
{
	char text[ADDR_TEXT_MAX];

	addr_format(found, text, sizeof(text));
	assert_string_equal(text, expect);
}

static void the_end(void **state)
{
	struct up_flow_event end = event(UP_EVENT_END);
	struct record record = record_of_event(&end, &plain);

	assert_int_equal(record.event, RECORD_END);
	assert_int_equal(record.engine, CONF_ENGINE_INLINE);
	assert_int_equal(record.start_us, 6000000);
	assert_int_equal(record.header_us, 1000);
	assert_int_equal(record.connect_us, 0);
	assert_int_equal(record.duration_us, 2000000);
	assert_int_equal(record.bytes_up, 10);
	assert_int_equal(record.bytes_down, 20);
	assert_addr(&record.client, "203.0.113.7:5555");
	assert_addr(&record.balancer, "10.0.0.1:4242");
	assert_addr(&record.destination, "192.0.2.1:80");
	assert_addr(&record.backend, "192.0.2.1:3000");
	assert_string_equal(record.listener, "web");
	assert_null(record.backend_name);
	assert_string_equal(record.reason, "client_fin");
	assert_null(record.hint);
	assert_int_equal(record.header_len, 44);
	assert_int_equal(record.version, 1);
	assert_int_equal(record.path_up, UP_PATH_INLINE);
	assert_int_equal(record.path_down, UP_PATH_INLINE);
	assert_int_equal(record.tlv_len, 0);
}

static void what_the_open_told(void **state)
{
	struct open_flow open = { .destination = addr("198.51.100.1:443"), .tlv_len = 7 };
	struct record_around with = { .listener = &web, .open = &open };
	struct up_flow_event end = event(UP_EVENT_END);
	struct record record = record_of_event(&end, &with);

	assert_addr(&record.destination, "198.51.100.1:443");
	assert_int_equal(record.tlv_len, 7);

	open.destination = (struct up_addr){ 0 }; /* UNKNOWN, LOCAL: where it came in */
	record = record_of_event(&end, &with);
	assert_addr(&record.destination, "192.0.2.1:80");
}

static void every_end(void **state)
{
	static const char *const names[] = {
		"unknown", "client_fin", "server_fin", "client_reset", "server_reset",
		"gone",    "reused",     "killed",     "unknown",
	};

	for (uint8_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct up_flow_event end = event(UP_EVENT_END);
		struct record record;

		end.end = i;
		record = record_of_event(&end, &plain);
		assert_string_equal(record.reason, names[i]);
	}
}

static void the_start(void **state)
{
	struct up_flow_event open = event(UP_EVENT_OPEN);
	struct record record;

	open.destination = addr("[2001:db8::1]:443");
	open.bytes_up = open.bytes_down = 0;
	record = record_of_event(&open, &plain);
	assert_int_equal(record.event, RECORD_START);
	assert_addr(&record.destination, "[2001:db8::1]:443");
	assert_null(record.reason);
	assert_int_equal(record.path_up, UP_PATH_NONE);
}

static void without_header_and_listener(void **state)
{
	const struct record_around nothing = { 0 };
	struct up_flow_event end = event(UP_EVENT_END);
	struct record record;

	end.client = (struct up_addr){ 0 };
	end.has_addr = end.version = 0;
	end.header_len = 0;
	record = record_of_event(&end, &nothing);
	assert_int_equal(record.event, RECORD_END);
	assert_addr(&record.client, "10.0.0.1:4242");
	assert_addr(&record.backend, "-");
	assert_null(record.listener);
	assert_int_equal(record.version, 0);
}

static void every_refusal(void **state)
{
	for (unsigned reason = 1; reason < UP_REASON__MAX; reason++) {
		struct up_flow_event refused = event(UP_EVENT_REFUSED);
		struct record record;

		refused.opened_ns = refused.bytes_up = refused.bytes_down = 0;
		refused.client = (struct up_addr){ 0 };
		refused.reason = (uint16_t)reason;
		record = record_of_event(&refused, &plain);
		assert_string_equal(record.reason, up_reason_name(reason));
		assert_addr(&record.client, "10.0.0.1:4242");
		assert_addr(&record.backend, "-");
		assert_int_equal(record.path_up, UP_PATH_NONE);
		if (reason == UP_REASON_EMPTY) {
			assert_int_equal(record.event, RECORD_PROBE);
			assert_null(record.hint);
		} else {
			assert_int_equal(record.event, RECORD_REFUSED);
			assert_string_equal(record.hint, up_reason_hint(reason));
		}
	}
}

/* The first bytes of what was refused come in the client's place. */
static void what_it_looked_like(void **state)
{
	struct up_flow_event refused = event(UP_EVENT_REFUSED);
	struct record record;

	refused.opened_ns = 0;
	refused.reason = UP_REASON_NO_HEADER;
	refused.client = (struct up_addr){ 0 };
	memcpy(refused.first.bytes, "GET / HTTP/1.1\r\n", 16);
	refused.first.count = 78;
	record = record_of_event(&refused, &plain);
	assert_non_null(strstr(record.hint, "plain HTTP"));
	assert_addr(&record.client, "10.0.0.1:4242");
	refused.first.count = 3; /* behind them is what another left */
	assert_string_equal(record_of_event(&refused, &plain).hint,
			    up_reason_hint(UP_REASON_NO_HEADER));
	refused.first.count = 78;
	refused.reason = UP_REASON_TLV_TAIL;
	assert_string_equal(record_of_event(&refused, &plain).hint,
			    up_reason_hint(UP_REASON_TLV_TAIL));
}

static void health_checks(void **state)
{
	struct up_flow_event end = event(UP_EVENT_END);

	end.bytes_up = 0;
	end.command = UP_COMMAND_LOCAL;
	assert_int_equal(record_of_event(&end, &plain).event, RECORD_PROBE);
	end.bytes_up = 1;
	assert_int_equal(record_of_event(&end, &plain).event, RECORD_END);

	end = event(UP_EVENT_END);
	end.bytes_up = 0;
	end.client = addr("10.0.0.1:9");
	assert_int_equal(record_of_event(&end, &plain).event, RECORD_PROBE);
	end.version = 0; /* no header: nobody's check */
	assert_int_equal(record_of_event(&end, &plain).event, RECORD_END);

	end = event(UP_EVENT_END);
	end.opened_ns = end.bytes_up = 0;
	assert_int_equal(record_of_event(&end, &plain).event, RECORD_PROBE);
	assert_string_equal(record_of_event(&end, &plain).reason, "empty");
}

static void tlvs(void **state)
{
	static const uint8_t header[44];
	struct up_flow_event open = event(UP_EVENT_OPEN);
	uint16_t len = 9;

	assert_null(record_tlvs(&open, header, &len));
	assert_int_equal(len, 0);
	open.tlv_at = 28;
	open.tlv_len = 16;
	assert_ptr_equal(record_tlvs(&open, header, &len), header + 28);
	assert_int_equal(len, 16);
	assert_null(record_tlvs(&open, NULL, &len));
	open.tlv_len = 17;
	assert_null(record_tlvs(&open, header, &len));
	open.tlv_at = 45;
	open.tlv_len = 1;
	assert_null(record_tlvs(&open, header, &len));
	open.tlv_at = UINT32_MAX;
	assert_null(record_tlvs(&open, header, &len));
	assert_int_equal(len, 0);
}

/* What the kernel keeps of a connection is told as its end would be. */
static void what_lives(void **state)
{
	struct up_flow_event like = event(UP_EVENT_END);
	struct up_flow flow = {
		.state = UP_FLOW_OPEN,
		.header_len = 44,
		.acked_up = 11, /* with its FIN */
		.acked_down = 20,
		.marks = UP_FLOW_FIN_UP | UP_FLOW_FIN_UP_ACKED,
		.created_ns = like.created_ns,
		.opened_ns = like.opened_ns,
		.version = 1,
		.command = UP_COMMAND_PROXY,
		.client = like.client,
	};
	struct record record = record_of_flow(&like.key, &flow, &plain, like.now_ns);

	assert_int_equal(record.event, RECORD_LIVE);
	assert_int_equal(record.duration_us, 2000000);
	assert_int_equal(record.bytes_up, 10);
	assert_int_equal(record.bytes_down, 20);
	assert_int_equal(record.header_len, 44);
	assert_int_equal(record.path_up, UP_PATH_INLINE);
	assert_null(record.reason);
	assert_addr(&record.client, "203.0.113.7:5555");
	assert_addr(&record.balancer, "10.0.0.1:4242");
	assert_string_equal(record_flow_state(&flow), "half");
	flow.marks = 0;
	assert_string_equal(record_flow_state(&flow), "open");

	flow = (struct up_flow){ .state = UP_FLOW_HEADER, .created_ns = like.created_ns };
	record = record_of_flow(&like.key, &flow, &plain, like.now_ns);
	assert_int_equal(record.path_up, UP_PATH_NONE);
	assert_addr(&record.client, "10.0.0.1:4242");
	assert_string_equal(record_flow_state(&flow), "header");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_end),
		cmocka_unit_test(what_the_open_told),
		cmocka_unit_test(every_end),
		cmocka_unit_test(the_start),
		cmocka_unit_test(every_refusal),
		cmocka_unit_test(without_header_and_listener),
		cmocka_unit_test(what_it_looked_like),
		cmocka_unit_test(health_checks),
		cmocka_unit_test(tlvs),
		cmocka_unit_test(what_lives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
