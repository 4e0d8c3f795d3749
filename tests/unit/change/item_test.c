/* SPDX-License-Identifier: BSD-2-Clause */
/* What was said at run time, from one process to the next. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/addr.h"
#include "change/item.h"
#include "conf/conf_file.h"

#define WORKERS 1
#define RAILS(servers) "[backend rails]\n" servers
#define LISTEN(name, port) \
	"[listener " name "]\nbind = 127.0.0.1:" port "\ntrust = any\nbackend = rails\n"
#define THREE                       \
	"server = 127.0.0.1:3001\n" \
	"server = 127.0.0.1:3002\n" \
	"server = 127.0.0.1:3003\n"
#define FILE_OF_OLD RAILS(THREE) LISTEN("web", "8080") LISTEN("mail", "8025")

/* A daemon that has not published its first configuration. */
struct half {
	struct relay relay;
	struct change change;
};

static void begin(struct half *half, const char *text)
{
	*half = (struct half){ .change.relay = &half->relay };
	generations_init(&half->relay.generations, WORKERS);
	assert_int_equal(generation_new(&half->relay.generations, load(text), &half->change.first),
			 0);
}

static void publish(struct half *half)
{
	generation_publish(&half->relay.generations, half->change.first, WORKERS);
	half->change.first = NULL;
}

static void end(struct half *half)
{
	generations_free(&half->relay.generations);
}

static struct conf_server server_of(const char *text, uint32_t weight)
{
	struct conf_server server = { .weight = weight };

	assert_int_equal(addr_parse(text, &server.addr), 0);
	return server;
}

static void say(struct half *half, enum pool_action action, const char *text, uint32_t weight)
{
	const struct conf_server server = server_of(text, weight);
	struct conf_error error;

	assert_int_equal(change_server(&half->change, "rails", action, &server, &error), 0);
}

/* Everything there is. */
static void say_all(struct half *half)
{
	struct conf_error error;

	say(half, POOL_ADD, "127.0.0.1:3009", 7);
	say(half, POOL_DRAIN, "127.0.0.1:3009", 1);
	say(half, POOL_DRAIN, "127.0.0.1:3001", 1);
	say(half, POOL_WEIGH, "127.0.0.1:3002", 5);
	say(half, POOL_REMOVE, "127.0.0.1:3003", 1);
	assert_int_equal(change_listener(&half->change, "mail", true, &error), 0);
	assert_int_equal(change_host(&half->change, true, &error), 0);
}

struct hearing {
	struct half *half;
	char refused[1024];
};

/* Through the bytes, as another process gets it. */
static void hear(void *context, const struct change_item *said)
{
	struct hearing *hearing = context;
	struct change_item item;
	struct conf_error error;
	uint8_t buf[128];
	struct writer w = { .at = buf, .end = buf + sizeof(buf) };
	struct reader r = { .at = buf };

	change_item_write(said, &w);
	assert_false(w.overrun);
	for (r.end = buf; r.end < w.at; r.end++) {
		r.at = buf;
		r.overrun = false;
		assert_int_equal(change_item_read(&r, &item), -EBADMSG);
	}
	r.at = buf;
	r.overrun = false;
	assert_int_equal(change_item_read(&r, &item), 0);
	if (change_restore(&hearing->half->change, &item, &error) == 0)
		return;
	(void)strncat(hearing->refused, error.text,
		      sizeof(hearing->refused) - strlen(hearing->refused) - 2);
	(void)strcat(hearing->refused, "\n");
}

/* The successor's list; the caller's. */
static char *hand_over(const char *text, struct hearing *hearing)
{
	struct half old, new;
	json_t *list;
	char *said;

	begin(&old, FILE_OF_OLD);
	begin(&new, text);
	say_all(&old);
	publish(&old);
	*hearing = (struct hearing){ .half = &new };
	change_each(&old.change, hear, hearing);
	publish(&new);
	list = change_list(&new.change);
	said = json_dumps(list, JSON_INDENT(1));
	json_decref(list);
	end(&old);
	end(&new);
	return said;
}

static void the_same_file(void **state)
{
	struct hearing hearing;
	char *said = hand_over(FILE_OF_OLD, &hearing);

	(void)state;
	assert_string_equal(said, "[\n \"backend rails: server 127.0.0.1:3001 drained\",\n"
				  " \"backend rails: server 127.0.0.1:3002 weight 5\",\n"
				  " \"backend rails: server 127.0.0.1:3009 added\",\n"
				  " \"backend rails: server 127.0.0.1:3009 drained\",\n"
				  " \"backend rails: server 127.0.0.1:3003 removed\",\n"
				  " \"listener mail: drained\",\n"
				  " \"host: drained\"\n]");
	assert_string_equal(hearing.refused, "");
	free(said);
}

/* The file says so itself by now: nothing to tell. */
static void a_file_that_has_it(void **state)
{
	struct hearing hearing;
	char *said = hand_over(RAILS("server = 127.0.0.1:3001\nserver = 127.0.0.1:3002 weight=5\n"
				     "server = 127.0.0.1:3009 weight=2\n") LISTEN("web", "8080")
				       LISTEN("mail", "8025"),
			       &hearing);

	(void)state;
	assert_string_equal(said, "[\n \"backend rails: server 127.0.0.1:3001 drained\",\n"
				  " \"backend rails: server 127.0.0.1:3009 drained\",\n"
				  " \"listener mail: drained\",\n"
				  " \"host: drained\"\n]");
	assert_string_equal(hearing.refused, "");
	free(said);
}

static void a_file_that_contradicts(void **state)
{
	struct hearing hearing;
	char *said = hand_over(RAILS("server = 127.0.0.1:3002\n") LISTEN("circle", "3009"),
			       &hearing);

	(void)state;
	assert_string_equal(said, "[\n \"backend rails: server 127.0.0.1:3002 weight 5\",\n"
				  " \"host: drained\"\n]");
	assert_string_equal(
		hearing.refused,
		"backend rails has no server 127.0.0.1:3001\n"
		"server 127.0.0.1:3009 is listener circle: connections would go in a circle\n"
		"backend rails has no server 127.0.0.1:3009\n"
		"there is no listener mail\n");
	free(said);
}

static void what_nobody_could_have_said(void **state)
{
	static const struct change_item items[] = {
		{ .kind = CHANGE__MAX, .name = "rails" },
		{ .kind = CHANGE_HOST_DRAINED, .name = "rails" },
		{ .kind = CHANGE_LISTENER_DRAINED },
		{ .kind = CHANGE_LISTENER_DRAINED, .name = "web", .weight = 1 },
		{ .kind = CHANGE_SERVER_ADDED, .name = "rails", .weight = 1 },
		{ .kind = CHANGE_SERVER_WEIGHT,
		  .name = "rails",
		  .weight = 257,
		  .server = { .family = UP_FAMILY_IPV4, .port = 1 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++) {
		struct change_item item;
		uint8_t buf[128];
		struct writer w = { .at = buf, .end = buf + sizeof(buf) };
		struct reader r = { .at = buf };

		change_item_write(&items[i], &w);
		r.end = w.at;
		assert_int_equal(change_item_read(&r, &item), -EBADMSG);
	}
}

/* Whoever has been told of all would not hear of it. */
static void nothing_changes_while_another_one_takes_over(void **state)
{
	const struct conf_server server = server_of("127.0.0.1:3001", 1);
	struct conf_error error;
	struct half half;

	(void)state;
	begin(&half, FILE_OF_OLD);
	half.change.told = true;
	assert_int_equal(change_server(&half.change, "rails", POOL_DRAIN, &server, &error), -EBUSY);
	assert_int_equal(change_listener(&half.change, "web", true, &error), -EBUSY);
	assert_int_equal(change_host(&half.change, true, &error), -EBUSY);
	assert_string_equal(error.text, "another daemon takes over: ask that one");
	half.change.stopping = true;
	assert_int_equal(change_host(&half.change, true, &error), -ESHUTDOWN);
	publish(&half);
	end(&half);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_file),
		cmocka_unit_test(a_file_that_has_it),
		cmocka_unit_test(a_file_that_contradicts),
		cmocka_unit_test(what_nobody_could_have_said),
		cmocka_unit_test(nothing_changes_while_another_one_takes_over),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
