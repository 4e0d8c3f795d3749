/* SPDX-License-Identifier: BSD-2-Clause */
/* Events in order, and lost ones: counters, what stays in the table, and the lines. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "inline/events.h"
#include "unproxy/proxy_types.h"

static struct conf_listener listener = {
	.name = "web",
	.engine = CONF_ENGINE_INLINE,
	.port = { 80, 80 },
	.trust.any = true,
};

struct bench {
	struct conf conf;
	struct policy policy;
	struct events events;
	char path[64];
};

static void start(struct bench *bench)
{
	struct client_log_params params = { .format = CONF_LOG_JSON, .workers = 1 };
	int fd;

	bench->conf.listeners = &listener;
	bench->conf.n_listeners = 1;
	bench->conf.inline_flows = 1024;
	assert_int_equal(policy_build(&bench->policy, &bench->conf, NULL, NULL), 0);
	(void)snprintf(bench->path, sizeof(bench->path), "/tmp/unproxy-events-test-XXXXXX");
	fd = mkstemp(bench->path);
	assert_true(fd >= 0);
	(void)close(fd);
	params.path = bench->path;
	bench->events = (struct events){ .conf = &bench->conf, .policy = &bench->policy };
	assert_int_equal(client_log_open(&params, &bench->events.log), 0);
	assert_int_equal(client_log_run(bench->events.log, ~UINT64_C(0)), 0);
	assert_int_equal(events_init(&bench->events), 0);
}

/* The log's lines as an array; the caller's. */
static json_t *stop(struct bench *bench)
{
	json_t *lines = json_array(), *line;
	FILE *in;

	client_log_stop(bench->events.log);
	in = fopen(bench->path, "r");
	assert_non_null(in);
	while ((line = json_loadf(in, JSON_DISABLE_EOF_CHECK, NULL)))
		json_array_append_new(lines, line);
	(void)fclose(in);
	(void)unlink(bench->path);
	events_free(&bench->events);
	policy_free(&bench->policy);
	return lines;
}

static const char *text_of(json_t *lines, size_t i, const char *key)
{
	const char *text = json_string_value(json_object_get(json_array_get(lines, i), key));

	return text ? text : "";
}

static struct up_flow_event event(const struct bench *bench, uint32_t kind, uint16_t port)
{
	struct up_flow_event event = {
		.kind = kind,
		.listener = bench->policy.ids[0],
		.key = { .remote_ip = { [10] = 0xff, [11] = 0xff, 10, 0, 0, 1 },
			 .local_ip = { [10] = 0xff, [11] = 0xff, 10, 0, 0, 2 },
			 .remote_port = port,
			 .local_port = 80 },
		.created_ns = 1000000000,
		.opened_ns = 1000000001,
		.now_ns = 2000000000,
		.client = { .ip = { [10] = 0xff, [11] = 0xff, 198, 51, 100, 7 },
			    .family = UP_FAMILY_IPV4,
			    .port = 5 },
		.has_addr = 1,
		.version = 2,
		.command = UP_COMMAND_PROXY,
		.end = UP_END_SERVER_FIN,
		.bytes_up = 1,
	};

	return event;
}

/* PROXY header bytes are not looked at but for their TLVs. */
static void open_with_authority(struct bench *bench, uint16_t port)
{
	static const uint8_t header[] = "################\x02\x00\x07x.test.";
	struct up_flow_event open = event(bench, UP_EVENT_OPEN, port);

	open.header_len = 26;
	open.tlv_at = 16;
	open.tlv_len = 10;
	open.destination = open.client;
	open.destination.port = 443;
	events_take(&bench->events, &open, header);
}

static void open_then_end(void **state)
{
	struct bench bench = { 0 };
	struct up_flow_event end;
	json_t *lines;

	start(&bench);
	open_with_authority(&bench, 1);
	assert_int_equal(open_flows_count(bench.events.open), 1);
	end = event(&bench, UP_EVENT_END, 1);
	events_take(&bench.events, &end, NULL);
	assert_int_equal(open_flows_count(bench.events.open), 0);
	assert_int_equal(bench.events.counters[0].opened, 1);
	assert_int_equal(bench.events.counters[0].ended, 1);

	lines = stop(&bench);
	assert_int_equal(json_array_size(lines), 1);
	assert_string_equal(text_of(lines, 0, "event"), "end");
	assert_string_equal(text_of(lines, 0, "engine"), "inline");
	assert_string_equal(text_of(lines, 0, "path_up"), "inline");
	assert_string_equal(text_of(lines, 0, "client_ip"), "198.51.100.7");
	assert_string_equal(text_of(lines, 0, "reason"), "server_fin");
	assert_string_equal(json_string_value(json_object_get(
				    json_object_get(json_array_get(lines, 0), "tlv"), "authority")),
			    "x.test.");
	json_decref(lines);
}

static void start_lines(void **state)
{
	struct bench bench = { 0 };
	json_t *lines;

	start(&bench);
	bench.conf.log_start = true;
	open_with_authority(&bench, 1);
	lines = stop(&bench);
	assert_int_equal(json_array_size(lines), 1);
	assert_string_equal(text_of(lines, 0, "event"), "start");
	assert_non_null(json_object_get(json_array_get(lines, 0), "tlv"));
	json_decref(lines);
}

/* An end whose OPEN was lost, or came to an earlier daemon that logged to nowhere. */
static void end_alone(void **state)
{
	struct bench bench = { 0 };
	struct up_flow_event end;
	json_t *lines;

	start(&bench);
	end = event(&bench, UP_EVENT_END, 1);
	end.listener++;
	events_take(&bench.events, &end, NULL);
	assert_int_equal(bench.events.counters[1].ended, 1);
	lines = stop(&bench);
	assert_int_equal(json_array_size(lines), 1);
	assert_null(json_object_get(json_array_get(lines, 0), "listener"));
	assert_string_equal(text_of(lines, 0, "destination_ip"), "10.0.0.2");
	json_decref(lines);
}

static void refusals_and_probes(void **state)
{
	struct bench bench = { 0 };
	struct up_flow_event refused;
	json_t *lines;

	start(&bench);
	refused = event(&bench, UP_EVENT_REFUSED, 1);
	refused.opened_ns = 0;
	refused.reason = UP_REASON_TIMEOUT;
	events_take(&bench.events, &refused, NULL);
	refused.reason = UP_REASON_EMPTY;
	events_take(&bench.events, &refused, NULL);
	bench.conf.log_probes = true;
	events_take(&bench.events, &refused, NULL);
	refused.kind = 99;
	events_take(&bench.events, &refused, NULL);
	assert_int_equal(bench.events.counters[0].refused, 1);
	assert_int_equal(bench.events.counters[0].probes, 2);
	assert_int_equal(bench.events.counters[0].ended, 0);
	assert_int_equal(bench.events.counters[0].accepted, 3);
	assert_int_equal(bench.events.counts.accepted, 3);
	lines = stop(&bench);
	assert_int_equal(json_array_size(lines), 2);
	assert_string_equal(text_of(lines, 0, "reason"), "timeout");
	assert_string_equal(text_of(lines, 1, "event"), "probe");
	json_decref(lines);
}

/* What was open has been counted already when it turns out to be a probe, or to be refused. */
static void each_is_accepted_once(void **state)
{
	struct bench bench = { 0 };
	struct up_flow_event local, other;

	start(&bench);
	local = event(&bench, UP_EVENT_OPEN, 1);
	local.command = UP_COMMAND_LOCAL;
	local.header_len = 16;
	events_take(&bench.events, &local, NULL);
	local.kind = UP_EVENT_END;
	events_take(&bench.events, &local, NULL);
	other = event(&bench, UP_EVENT_REFUSED, 2);
	events_take(&bench.events, &other, NULL);
	assert_int_equal(bench.events.counters[0].accepted, bench.events.counts.accepted);
	assert_int_equal(bench.events.counters[0].accepted,
			 bench.events.counters[0].opened + (other.opened_ns == 0));
	json_decref(stop(&bench));
}

/* The map knows what goes on; what it does not know has ended unheard. */
static void known_from_the_map(void **state)
{
	struct up_flow flow = { .state = UP_FLOW_OPEN, .created_ns = 1000000000, .header_len = 26 };
	struct bench bench = { 0 };
	struct up_flow_event one;

	start(&bench);
	open_with_authority(&bench, 1);
	open_with_authority(&bench, 2);
	flow.listener = bench.policy.ids[0];

	one = event(&bench, UP_EVENT_END, 1);
	events_know(&bench.events, &one.key, &flow); /* known already: keeps its TLVs */
	one.key.remote_port = 3;
	events_know(&bench.events, &one.key, &flow);
	one.key.remote_port = 4;
	flow.marks = UP_FLOW_ENDED;
	events_know(&bench.events, &one.key, &flow);
	one.key.remote_port = 5;
	flow.marks = 0;
	flow.state = UP_FLOW_REFUSED;
	events_know(&bench.events, &one.key, &flow);
	assert_int_equal(open_flows_count(bench.events.open), 3);

	open_flows_remove_unseen(bench.events.open);
	assert_int_equal(open_flows_count(bench.events.open), 2);
	one.key.remote_port = 1;
	assert_int_equal(open_flows_find(bench.events.open, &one.key, 1000000000)->tlv_len, 10);
	json_decref(stop(&bench));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(open_then_end),
		cmocka_unit_test(start_lines),
		cmocka_unit_test(end_alone),
		cmocka_unit_test(refusals_and_probes),
		cmocka_unit_test(each_is_accepted_once),
		cmocka_unit_test(known_from_the_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
