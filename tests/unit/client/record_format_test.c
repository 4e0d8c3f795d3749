/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of the client log: read back with jansson, whatever a TLV holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/addr.h"
#include "client/record_format.h"
#include "unproxy/proxy_header.h"

static struct record sample(void)
{
	struct record record = {
		.start_us = UINT64_C(1700000000123456),
		.header_us = 120,
		.connect_us = 333,
		.duration_us = 1234567,
		.bytes_up = 1234,
		.bytes_down = UINT64_C(99887766554433),
		.listener = "web",
		.backend_name = "rails",
		.reason = "client_fin",
		.header_len = 47,
		.event = RECORD_END,
		.version = 2,
		.command = UP_COMMAND_PROXY,
		.path_up = UP_PATH_COPY,
		.path_down = UP_PATH_KERNEL,
	};

	assert_int_equal(addr_parse("203.0.113.7:51234", &record.client), 0);
	assert_int_equal(addr_parse("10.0.0.1:4242", &record.balancer), 0);
	assert_int_equal(addr_parse("[2001:db8::1]:443", &record.destination), 0);
	assert_int_equal(addr_parse("127.0.0.1:3000", &record.backend), 0);
	return record;
}

/* The line in a buffer of exactly the size that was said to suffice. Valid until the next one. */
static const char *format(enum conf_log_format kind, const struct record *record, const void *tlvs)
{
	static char *line;
	struct record_formatter formatter = { .format = kind };
	size_t bound = record_format_bound(record), len;
	uint8_t *copy = malloc(record->tlv_len + 1u);

	free(line);
	line = malloc(bound);
	assert_true(line && copy);
	if (record->tlv_len > 0)
		memcpy(copy, tlvs, record->tlv_len);
	len = record_format(&formatter, record, copy, line);
	free(copy);
	assert_true(len < bound);
	assert_int_equal(line[len - 1], '\n');
	assert_null(memchr(line, '\n', len - 1));
	line[len] = '\0';
	return line;
}

static json_t *parse(const struct record *record, const void *tlvs)
{
	const char *line = format(CONF_LOG_JSON, record, tlvs);
	json_error_t error;
	json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, &error);

	if (!object)
		fail_msg("%s: %s", error.text, line);
	return object;
}

static void a_whole_line(void **state)
{
	struct record record = sample();

	assert_string_equal(
		format(CONF_LOG_JSON, &record, NULL),
		"{\"time\":\"2023-11-14T22:13:21.358023Z\",\"event\":\"end\",\"listener\":\"web\","
		"\"engine\":\"relay\","
		"\"client_ip\":\"203.0.113.7\",\"client_port\":51234,\"balancer_ip\":\"10.0.0.1\","
		"\"balancer_port\":4242,"
		"\"destination_ip\":\"2001:db8::1\",\"destination_port\":443,"
		"\"version\":2,\"command\":\"PROXY\",\"header_len\":47,"
		"\"backend_name\":\"rails\",\"backend_ip\":\"127.0.0.1\",\"backend_port\":3000,"
		"\"bytes_up\":1234,\"bytes_down\":99887766554433,"
		"\"header_time\":0.000120,\"connect_time\":0.000333,\"duration\":1.234567,"
		"\"path_up\":\"copy\",\"path_down\":\"kernel\",\"reason\":\"client_fin\"}\n");
}

static void a_refusal(void **state)
{
	struct record record = {
		.event = RECORD_REFUSED,
		.listener = "web",
		.reason = "no_header",
		.hint = "no PROXY header: is PROXY protocol \"on\"?",
	};
	json_t *object;

	assert_int_equal(addr_parse("10.0.0.1:4242", &record.balancer), 0);
	record.client = record.balancer;
	object = parse(&record, NULL);
	assert_string_equal(json_string_value(json_object_get(object, "event")), "refused");
	assert_string_equal(json_string_value(json_object_get(object, "reason")), "no_header");
	assert_string_equal(json_string_value(json_object_get(object, "hint")),
			    "no PROXY header: is PROXY protocol \"on\"?");
	assert_string_equal(json_string_value(json_object_get(object, "time")),
			    "1970-01-01T00:00:00.000000Z");
	assert_null(json_object_get(object, "version"));
	assert_null(json_object_get(object, "backend_ip"));
	assert_null(json_object_get(object, "backend_name"));
	assert_null(json_object_get(object, "tlv"));
	json_decref(object);
}

static void nothing_known(void **state)
{
	const struct record record = { 0 };
	json_t *object = parse(&record, NULL);

	assert_null(json_object_get(object, "client_ip"));
	assert_null(json_object_get(object, "reason"));
	json_decref(object);
	assert_non_null(format(CONF_LOG_TEXT, &record, NULL));
}

static void events_and_commands(void **state)
{
	static const char *const events[] = { "end", "start", "refused", "probe", "live" };
	struct record record = sample();

	for (uint8_t i = 0; i < 5; i++) {
		json_t *object;

		record.event = i;
		record.command = UP_COMMAND_LOCAL;
		record.stacked = 1;
		object = parse(&record, NULL);
		assert_string_equal(json_string_value(json_object_get(object, "event")), events[i]);
		assert_string_equal(json_string_value(json_object_get(object, "command")), "LOCAL");
		assert_true(json_is_true(json_object_get(object, "stacked")));
		/* a start is told when the backend has answered */
		assert_string_equal(json_string_value(json_object_get(object, "time")),
				    i == RECORD_START ? "2023-11-14T22:13:20.123909Z"
						      : "2023-11-14T22:13:21.358023Z");
		json_decref(object);
	}
}

static void paths(void **state)
{
	static const char *const names[] = { "none", "copy", "splice", "kernel", "inline" };
	struct record record = sample();

	for (uint8_t i = 0; i < 5; i++) {
		json_t *object;

		record.path_up = i;
		record.path_down = (uint8_t)(4 - i);
		object = parse(&record, NULL);
		assert_string_equal(json_string_value(json_object_get(object, "path_up")),
				    names[i]);
		assert_string_equal(json_string_value(json_object_get(object, "path_down")),
				    names[4 - i]);
		json_decref(object);
	}
}

/* One TLV. Returns its size. */
static uint16_t make_tlv(uint8_t *buf, uint8_t type, const void *value, size_t len)
{
	buf[0] = type;
	buf[1] = (uint8_t)(len >> 8);
	buf[2] = (uint8_t)len;
	memcpy(buf + 3, value, len);
	return (uint16_t)(len + 3);
}

static json_t *parse_tlv(uint8_t type, const void *value, size_t len)
{
	struct record record = sample();
	uint8_t *buf = malloc(len + 3);
	json_t *object;

	assert_non_null(buf);
	record.tlv_len = make_tlv(buf, type, value, len);
	object = parse(&record, buf);
	free(buf);
	return object;
}

static const char *tlv_text(json_t *object, const char *key)
{
	return json_string_value(json_object_get(json_object_get(object, "tlv"), key));
}

static void from_hex(const char *hex, uint8_t *buf)
{
	for (size_t i = 0; hex[2 * i]; i++) {
		unsigned byte;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
		buf[i] = (uint8_t)byte;
	}
}

/* A value comes back the same, as text or as hex; never both, never broken. */
static void assert_survives(const uint8_t *value, size_t len)
{
	json_t *object = parse_tlv(0x02, value, len);
	const char *text = tlv_text(object, "authority");
	const char *hex = tlv_text(object, "authority_hex");

	assert_true((text == NULL) != (hex == NULL));
	if (text) {
		assert_int_equal(strlen(text), len);
		assert_memory_equal(text, value, len);
	} else {
		uint8_t back[16];

		assert_int_equal(strlen(hex), 2 * len);
		from_hex(hex, back);
		assert_memory_equal(back, value, len);
	}
	json_decref(object);
}

static void every_byte(void **state)
{
	for (unsigned i = 0; i < 256; i++) {
		const uint8_t alone[] = { (uint8_t)i }, inside[] = { 'a', (uint8_t)i, 'b' };
		const uint8_t lead[] = { 0xc2, (uint8_t)i, 'x' };

		assert_survives(alone, sizeof(alone));
		assert_survives(inside, sizeof(inside));
		assert_survives(lead, sizeof(lead));
	}
}

static void every_type(void **state)
{
	uint8_t value[300];

	for (size_t i = 0; i < sizeof(value); i++)
		value[i] = (uint8_t)i;
	for (unsigned type = 0; type < 256; type++) {
		json_decref(parse_tlv((uint8_t)type, value, sizeof(value)));
		json_decref(parse_tlv((uint8_t)type, value + 1, 5));
		json_decref(parse_tlv((uint8_t)type, value, 0));
	}
}

static void vendors(void **state)
{
	json_t *object = parse_tlv(0xea, "\1vpce-08d2bf15fac5001c9", 23);

	assert_string_equal(tlv_text(object, "aws_vpce_id"), "vpce-08d2bf15fac5001c9");
	json_decref(object);

	object = parse_tlv(0xee, "\1\x44\x33\x22\x91", 5);
	assert_int_equal(json_integer_value(
				 json_object_get(json_object_get(object, "tlv"), "azure_link_id")),
			 0x91223344);
	json_decref(object);

	/* 64 bits survive readers that hold numbers as doubles */
	object = parse_tlv(0xe0, "\xff\xff\xff\xff\xff\xff\xff\xfe", 8);
	assert_string_equal(tlv_text(object, "gcp_psc_id"), "18446744073709551614");
	json_decref(object);

	object = parse_tlv(0xf1, "\0\1", 2);
	assert_string_equal(json_string_value(json_object_get(
				    json_object_get(json_object_get(object, "tlv"), "other"),
				    "0xf1")),
			    "0001");
	json_decref(object);

	/* padding is not worth a key */
	object = parse_tlv(0x04, "\0\0\0", 3);
	assert_null(json_object_get(object, "tlv"));
	json_decref(object);
}

static void tls(void **state)
{
	static const uint8_t value[] =
		"\x05\0\0\0\0\x21\0\7TLSv1.3\x22\0\3J\xff!\x23\0\3AES\x28\0\2\x30\x82";
	json_t *object = parse_tlv(0x20, value, sizeof(value) - 1);
	json_t *ssl = json_object_get(json_object_get(object, "tlv"), "ssl");

	assert_true(json_is_true(json_object_get(ssl, "tls")));
	assert_true(json_is_false(json_object_get(ssl, "cert_conn")));
	assert_true(json_is_true(json_object_get(ssl, "cert_sess")));
	assert_int_equal(json_integer_value(json_object_get(ssl, "verify")), 0);
	assert_string_equal(json_string_value(json_object_get(ssl, "version")), "TLSv1.3");
	assert_string_equal(json_string_value(json_object_get(ssl, "cn_hex")), "4aff21");
	assert_string_equal(json_string_value(json_object_get(ssl, "cipher")), "AES");
	assert_string_equal(json_string_value(json_object_get(ssl, "cert_hex")), "3082");
	json_decref(object);

	object = parse_tlv(0x20, "\0\0\0\0\1", 5);
	ssl = json_object_get(json_object_get(object, "tlv"), "ssl");
	assert_int_equal(json_object_size(ssl), 4);
	json_decref(object);
}

/* As many bytes as a header holds, of the kind that grows most. */
static void the_longest_lines(void **state)
{
	static const uint8_t fills[] = { 0x01, 0x7f, 'a', 0x00, 0xff };
	struct record record = sample();
	uint8_t *tlvs = malloc(65535), *value = malloc(65535);

	record.hint = record.reason =
		"\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1";
	assert_true(tlvs && value);
	for (size_t i = 0; i < sizeof(fills); i++) {
		uint16_t at = 0;

		memset(value, fills[i], 65535);
		record.tlv_len = make_tlv(tlvs, 0x02, value, 65532);
		json_decref(parse(&record, tlvs));
		(void)format(CONF_LOG_TEXT, &record, tlvs);

		for (unsigned type = 0; type < 256; type++)
			at = (uint16_t)(at + make_tlv(tlvs + at, (uint8_t)type, value, 250));
		record.tlv_len = at;
		json_decref(parse(&record, tlvs));

		for (record.tlv_len = 0; record.tlv_len < 65530;
		     record.tlv_len = (uint16_t)(record.tlv_len + 3))
			(void)make_tlv(tlvs + record.tlv_len, (uint8_t)(record.tlv_len / 3), value,
				       0);
		json_decref(parse(&record, tlvs));
	}
	free(tlvs);
	free(value);
}

/* The daemon would have refused them; the log must not fall over them. */
static void tlvs_that_do_not_tile(void **state)
{
	struct record record = sample();
	json_t *object;

	record.tlv_len = 8;
	object = parse(&record, "\2\0\2ab\2\0\xff");
	assert_string_equal(tlv_text(object, "authority"), "ab");
	json_decref(object);
	record.tlv_len = 1;
	json_decref(parse(&record, "\2"));
}

static void text_lines(void **state)
{
	struct record record = sample();
	uint8_t tlv[] = "\2\0\6a\"b\\\n\xff";

	assert_string_equal(format(CONF_LOG_TEXT, &record, NULL),
			    "203.0.113.7 - - [14/Nov/2023:22:13:21 +0000] \"PROXY "
			    "[2001:db8::1]:443 PROXY/2\" 200 "
			    "99887766554433 \"-\" \"event=end listener=web balancer=10.0.0.1:4242 "
			    "backend=rails/127.0.0.1:3000 up=1234 time=1.234567 path=copy/kernel "
			    "reason=client_fin\"\n");
	record.tlv_len = sizeof(tlv) - 1;
	assert_non_null(strstr(format(CONF_LOG_TEXT, &record, tlv),
			       " \"a\\x22b\\x5c\\x0a\\xff\" \"event="));
}

static void text_status(void **state)
{
	struct record record = sample();

	record.event = RECORD_REFUSED;
	assert_non_null(strstr(format(CONF_LOG_TEXT, &record, NULL), "\" 502 "));
	record.version = 0;
	assert_non_null(
		strstr(format(CONF_LOG_TEXT, &record, NULL), "\"TCP [2001:db8::1]:443\" 400 "));
	record.reason = "untrusted";
	assert_non_null(strstr(format(CONF_LOG_TEXT, &record, NULL), "\" 403 "));
	record.reason = "draining";
	assert_non_null(strstr(format(CONF_LOG_TEXT, &record, NULL), "\" 503 "));
	record.version = 1;
	record.reason = "denied";
	assert_non_null(strstr(format(CONF_LOG_TEXT, &record, NULL), "\" 403 "));
	record = sample();
	record.command = UP_COMMAND_LOCAL;
	record.event = RECORD_PROBE;
	record.backend = (struct up_addr){ 0 };
	record.backend_name = NULL;
	assert_non_null(strstr(format(CONF_LOG_TEXT, &record, NULL),
			       "\"LOCAL [2001:db8::1]:443 PROXY/2\" 200 "));
	assert_non_null(strstr(format(CONF_LOG_TEXT, &record, NULL), " backend=-/- "));
}

/* A writer's formatter remembers the second: the next one must be noticed. */
static void the_calendar_is_not_stale(void **state)
{
	struct record_formatter formatter = { 0 };
	struct record record = sample();
	char *line = malloc(record_format_bound(&record));

	assert_non_null(line);
	for (uint64_t s = 0; s < 200000; s += 7919) {
		char expect[64];

		record.duration_us = s * 1000000;
		(void)record_format(&formatter, &record, NULL, line);
		(void)snprintf(expect, sizeof(expect), "%02u:%02u:%02u.123456Z",
			       (unsigned)((80000 + s) / 3600 % 24),
			       (unsigned)((80000 + s) / 60 % 60), (unsigned)((80000 + s) % 60));
		assert_memory_equal(line + strlen("{\"time\":\"2023-11-14T"), expect,
				    strlen(expect));
	}
	free(line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_line),  cmocka_unit_test(a_refusal),
		cmocka_unit_test(nothing_known), cmocka_unit_test(events_and_commands),
		cmocka_unit_test(paths),         cmocka_unit_test(every_byte),
		cmocka_unit_test(every_type),    cmocka_unit_test(vendors),
		cmocka_unit_test(tls),           cmocka_unit_test(the_longest_lines),
		cmocka_unit_test(text_lines),    cmocka_unit_test(tlvs_that_do_not_tile),
		cmocka_unit_test(text_status),   cmocka_unit_test(the_calendar_is_not_stale),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
