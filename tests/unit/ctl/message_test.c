/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of the control protocol: what is understood, and the name of each refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/message.h"

static int nothing(struct ctl_request *request)
{
	return 0;
}

static const struct ctl_command commands[] = {
	{ "plain", nothing, "", "takes nothing" },
	{ "kill", nothing, "client older", "takes two" },
	{ 0 },
};

static struct ctl_message parse(const char *line)
{
	return ctl_parse(line, strlen(line), commands);
}

static void refused(const char *line, const char *error, const char *text)
{
	struct ctl_message message = parse(line);

	if (!message.error || strcmp(message.error, error) != 0)
		fail_msg("%s: %s, not %s", line, message.error ? message.error : "taken", error);
	if (!strstr(message.text, text))
		fail_msg("%s: %s", line, message.text);
	json_decref(message.args);
}

static void a_request(void **state)
{
	struct ctl_message message =
		parse("{\"v\":1,\"id\":[7],\"cmd\":\"kill\",\"older\":\"1h\"}\r");

	assert_null(message.error);
	assert_ptr_equal(message.command, &commands[1]);
	assert_int_equal(json_array_size(message.id), 1);
	assert_string_equal(json_string_value(json_object_get(message.args, "older")), "1h");
	json_decref(message.args);
}

static void each_refusal_has_a_name(void **state)
{
	refused("", "bad_json", "column");
	refused("{\"v\":1", "bad_json", "column");
	refused("{\"v\":1,\"cmd\":\"plain\"} {}", "bad_json", "end of file");
	refused("{\"v\":1,\"v\":1,\"cmd\":\"plain\"}", "bad_json", "duplicate");
	refused("{\"v\":1,\"cmd\":\"\xff\"}", "bad_json", "unable to decode");
	refused("[]", "bad_request", "not an object");
	refused("{\"cmd\":\"plain\"}", "unsupported_version", "\"v\":1");
	refused("{\"v\":2,\"cmd\":\"plain\"}", "unsupported_version", "\"v\":1");
	refused("{\"v\":\"1\",\"cmd\":\"plain\"}", "unsupported_version", "\"v\":1");
	refused("{\"v\":1}", "bad_request", "no cmd");
	refused("{\"v\":1,\"cmd\":7}", "bad_request", "no cmd");
	refused("{\"v\":1,\"cmd\":\"plai\"}", "unknown_command", "plai");
}

/* `kill` with a mistyped filter must not kill all. */
static void unknown_arguments(void **state)
{
	refused("{\"v\":1,\"cmd\":\"plain\",\"older\":1}", "bad_request", "older");
	refused("{\"v\":1,\"cmd\":\"kill\",\"olde\":1}", "bad_request", "olde");
	refused("{\"v\":1,\"cmd\":\"kill\",\"clientolder\":1}", "bad_request", "clientolder");
	refused("{\"v\":1,\"cmd\":\"kill\",\"\":1}", "bad_request", "argument");
}

/* What is said of it can be said in JSON, wherever it was cut. */
static void half_characters(void **state)
{
	struct ctl_message message =
		parse("{\"v\":1,\"cmd\":\"0123456789012345678901234567890\xc3\xa4\"}");
	char *line = ctl_line(NULL, json_pack("{s:s}", "message", message.text));

	assert_string_equal(message.error, "unknown_command");
	assert_non_null(line);
	free(line);
	json_decref(message.args);
}

/* What a file says may be in any encoding: it is shown as far as it can be. */
static void texts_that_are_not_utf8(void **state)
{
	json_t *text = ctl_string("f:1: caf\xe9: unknown key"), *whole = ctl_string("\xc3\xa4");

	assert_string_equal(json_string_value(text), "f:1: caf?: unknown key");
	assert_string_equal(json_string_value(whole), "\xc3\xa4");
	json_decref(text);
	json_decref(whole);
}

static void items(void **state)
{
	json_t *id = json_pack("[i]", 7);
	char *line = ctl_item_line(id, "{\"a\":1}");

	assert_string_equal(line, "{\"v\":1,\"id\":[7],\"item\":{\"a\":1}}\n");
	free(line);
	line = ctl_item_line(NULL, "{}");
	assert_string_equal(line, "{\"v\":1,\"item\":{}}\n");
	free(line);
	json_decref(id);
}

static void long_ids(void **state)
{
	struct ctl_message message;
	char line[300];

	(void)snprintf(line, sizeof(line), "{\"v\":1,\"id\":\"%0126d\",\"cmd\":\"plain\"}", 1);
	message = parse(line);
	assert_null(message.error);
	json_decref(message.args);
	(void)snprintf(line, sizeof(line), "{\"v\":1,\"id\":\"%0127d\",\"cmd\":\"plain\"}", 1);
	refused(line, "bad_request", "128");
}

/* No prefix of a request is one, and none is read beyond its end. */
static void every_prefix(void **state)
{
	static const char whole[] =
		"{\"v\":1,\"id\":\"\\u00e4\",\"cmd\":\"kill\",\"client\":\"::/0\"}";

	for (size_t len = 0; len < strlen(whole); len++) {
		char *copy = malloc(len + 1);
		struct ctl_message message;

		memcpy(copy, whole, len);
		message = ctl_parse(copy, len, commands);
		assert_string_equal(message.error, "bad_json");
		json_decref(message.args);
		free(copy);
	}
}

static void lines(void **state)
{
	json_t *id = json_string("a\nb");
	char *line = ctl_line(id, json_pack("{s:b}", "ok", 1));

	assert_string_equal(line, "{\"v\":1,\"id\":\"a\\nb\",\"ok\":true}\n");
	free(line);
	line = ctl_line(NULL, json_pack("{s:i}", "count", 3));
	assert_string_equal(line, "{\"v\":1,\"count\":3}\n");
	free(line);
	assert_null(ctl_line(id, NULL));
	json_decref(id);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request),
		cmocka_unit_test(each_refusal_has_a_name),
		cmocka_unit_test(unknown_arguments),
		cmocka_unit_test(long_ids),
		cmocka_unit_test(every_prefix),
		cmocka_unit_test(lines),
		cmocka_unit_test(half_characters),
		cmocka_unit_test(items),
		cmocka_unit_test(texts_that_are_not_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
