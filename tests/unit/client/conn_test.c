/* SPDX-License-Identifier: BSD-2-Clause */
/* Live connections: their ids, the filters, and the object that is told of them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "client/conn.h"

static const uint8_t vpce[] = "\xEA\x00\x07\x01vpce-1";

static struct conn sample(void)
{
	struct conn conn = {
		.number = 0x1a2b,
		.state = "relay",
		.tlvs = vpce,
		.record = { .event = RECORD_LIVE,
			    .duration_us = 90 * 1000000ULL,
			    .listener = "web",
			    .backend_name = "rails",
			    .version = 2,
			    .bytes_up = 5,
			    .path_up = UP_PATH_COPY,
			    .path_down = UP_PATH_SPLICE,
			    .tlv_len = sizeof(vpce) - 1 },
	};

	assert_int_equal(addr_parse("203.0.113.7:51234", &conn.record.client), 0);
	assert_int_equal(addr_parse("10.0.0.1:4242", &conn.record.balancer), 0);
	assert_int_equal(addr_parse("[2001:db8::1]:3000", &conn.record.backend), 0);
	return conn;
}

static bool matches(const char *name, const char *value)
{
	struct conn_filter filter = { 0 };
	struct conn conn = sample();
	char why[160] = "";

	if (conn_filter_set(&filter, name, value, why, sizeof(why)) != 0)
		fail_msg("%s=%s: %s", name, value, why);
	return conn_matches(&conn, &filter);
}

static void what_matches(void **state)
{
	static const char *const yes[][2] = {
		{ "conn", "r1a2b" },
		{ "client", "203.0.113.7" },
		{ "client", "203.0.0.0/16" },
		{ "client", "0.0.0.0/0" },
		{ "balancer", "10.0.0.0/8" },
		{ "server", "2001:db8::/32" },
		{ "listener", "web" },
		{ "backend", "rails" },
		{ "engine", "relay" },
		{ "older", "90s" },
		{ "older", "0" },
		{ "vpce", "vpce-1" },
	};
	static const char *const no[][2] = {
		{ "conn", "r1a2" },
		{ "conn", "i1a2b" },
		{ "client", "10.0.0.1" },
		{ "client", "::/0" },
		{ "balancer", "203.0.113.7" },
		{ "server", "2001:db9::/32" },
		{ "listener", "we" },
		{ "listener", "webb" },
		{ "backend", "web" },
		{ "engine", "inline" },
		{ "older", "91s" },
		{ "vpce", "vpce-" },
		{ "vpce", "vpce-10" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		if (!matches(yes[i][0], yes[i][1]))
			fail_msg("%s=%s should hold", yes[i][0], yes[i][1]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(no); i++) {
		if (matches(no[i][0], no[i][1]))
			fail_msg("%s=%s should not hold", no[i][0], no[i][1]);
	}
}

/* What is not known of a connection is not what was asked for. */
static void what_is_not_known(void **state)
{
	struct conn_filter filter = { 0 };
	struct conn conn = { .state = "header" };
	char why[160];

	assert_true(conn_matches(&conn, &filter));
	assert_int_equal(conn_filter_set(&filter, "server", "::/0", why, sizeof(why)), 0);
	assert_false(conn_matches(&conn, &filter));
	filter = (struct conn_filter){ 0 };
	assert_int_equal(conn_filter_set(&filter, "listener", "a", why, sizeof(why)), 0);
	assert_false(conn_matches(&conn, &filter));
	filter = (struct conn_filter){ 0 };
	assert_int_equal(conn_filter_set(&filter, "vpce", "a", why, sizeof(why)), 0);
	assert_false(conn_matches(&conn, &filter));
}

static void all_must_hold(void **state)
{
	struct conn_filter filter = { 0 };
	struct conn conn = sample();
	char why[160];

	assert_int_equal(conn_filter_set(&filter, "client", "203.0.113.7", why, sizeof(why)), 0);
	assert_int_equal(conn_filter_set(&filter, "listener", "web", why, sizeof(why)), 0);
	assert_true(conn_matches(&conn, &filter));
	assert_int_equal(conn_filter_set(&filter, "older", "2m", why, sizeof(why)), 0);
	assert_false(conn_matches(&conn, &filter));
}

static bool ends_in_seven(void *context, const uint8_t ip[16])
{
	++*(int *)context;
	return ip[15] == 7;
}

/* Clients alone are asked about, and after all else. */
static void picked(void **state)
{
	int asked = 0;
	struct conn_filter filter = { .picks = ends_in_seven, .context = &asked };
	struct conn conn = sample();

	assert_true(conn_matches(&conn, &filter));
	conn.record.client.ip[15] = 8;
	assert_false(conn_matches(&conn, &filter));
	conn.record.client.ip[15] = 7;
	filter.older_us = UINT64_MAX;
	assert_false(conn_matches(&conn, &filter));
	filter.older_us = 0;
	assert_int_equal(asked, 2);

	conn.state = "header"; /* who it will be is not known */
	assert_false(conn_matches(&conn, &filter));
	conn.state = "relay";
	conn.record.client = conn.record.balancer;
	conn.record.client.ip[15] = conn.record.balancer.ip[15] = 7;
	assert_false(conn_matches(&conn, &filter));
	assert_int_equal(asked, 2);
	conn.record.version = 0; /* without a header the sender is the client */
	assert_true(conn_matches(&conn, &filter));
}

static void what_is_refused(void **state)
{
	static const char *const wrong[][2] = {
		{ "conn", "" },
		{ "conn", "r" },
		{ "conn", "x1" },
		{ "conn", "r0" },
		{ "conn", "r1g" },
		{ "conn", "r12345678901234567" },
		{ "conn", "r-1" },
		{ "client", "" },
		{ "client", "10.0.0.1/8" },
		{ "client", "a" },
		{ "listener", "" },
		{ "engine", "both" },
		{ "older", "1" },
		{ "older", "-1s" },
		{ "vpce", "" },
		{ "backend", "01234567890123456789012345678901" },
	};
	struct conn_filter filter = { 0 };
	char why[160];

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		why[0] = '\0';
		if (conn_filter_set(&filter, wrong[i][0], wrong[i][1], why, sizeof(why)) != -EINVAL)
			fail_msg("%s=%s was taken", wrong[i][0], wrong[i][1]);
		assert_true(why[0]);
	}
	assert_int_equal(conn_filter_set(&filter, "colour", "red", why, sizeof(why)), -ENOENT);
}

/* The names that are listed are those that are taken. */
static void each_name_is_taken(void **state)
{
	char names[] = CONN_FILTER_NAMES, *rest = names, *name;
	struct conn_filter filter = { 0 };
	char why[160];

	while ((name = strsep(&rest, " ")))
		assert_int_not_equal(conn_filter_set(&filter, name, "?", why, sizeof(why)),
				     -ENOENT);
}

static void as_an_object(void **state)
{
	struct record_formatter formatter = { .format = CONF_LOG_JSON };
	struct conn conn = sample();
	char *text = malloc(conn_format_bound(&conn));
	size_t len = conn_format(&formatter, &conn, text);
	json_t *object = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);

	assert_int_equal(strlen(text), len);
	assert_non_null(object);
	assert_string_equal(json_string_value(json_object_get(object, "conn")), "r1a2b");
	assert_string_equal(json_string_value(json_object_get(object, "state")), "relay");
	assert_string_equal(json_string_value(json_object_get(object, "event")), "live");
	assert_string_equal(json_string_value(json_object_get(object, "client_ip")), "203.0.113.7");
	assert_string_equal(json_string_value(json_object_get(object, "path_down")), "splice");
	assert_string_equal(json_string_value(
				    json_object_get(json_object_get(object, "tlv"), "aws_vpce_id")),
			    "vpce-1");
	json_decref(object);
	free(text);
}

/* The names' owner, a configuration, may go. */
static void own_names(void **state)
{
	struct conn conn = sample();
	char name[] = "web";

	conn.record.listener = name;
	conn.record.backend_name = NULL;
	conn_own_names(&conn);
	name[0] = 'x';
	assert_string_equal(conn.record.listener, "web");
	assert_null(conn.record.backend_name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_matches),       cmocka_unit_test(what_is_not_known),
		cmocka_unit_test(all_must_hold),      cmocka_unit_test(what_is_refused),
		cmocka_unit_test(each_name_is_taken), cmocka_unit_test(as_an_object),
		cmocka_unit_test(own_names),          cmocka_unit_test(picked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
