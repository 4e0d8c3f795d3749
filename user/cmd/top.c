// SPDX-License-Identifier: BSD-2-Clause
/* unproxy top: live connections, drawn anew every few seconds. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "cmd/ask.h"
#include "cmd/cmd.h"
#include "cmd/table.h"
#include "cmd/terminal.h"
#include "cmd/top_rows.h"

#define INTERVAL_US 2000000
#define COLUMNS_MIN 80
#define LINES_ABOVE 3
#define ONCE_LINES 40

/* A look at very many connections takes its time: it may take a quarter of all. */
#define REST 3

const char cmd_top_usage[] =
	"usage: unproxy top [once] [FILTER...]\n"
	"\n"
	"Live connections in the terminal, the busiest first, a new look every two seconds.\n"
	"\"once\": one look, two seconds long, as text. Filters: see unproxy conns --help.\n"
	"Keys:\n"
	"\n"
	"  r b a      sort by rate, bytes, age\n"
	"  l c k      a line each connection; a line each client; each backend\n"
	"  p          pause\n"
	"  q          quit\n"
	"\n" ASK_CONTROL_HELP ASK_HELP_HELP;

struct top {
	struct ask *ask;
	json_t *args; /* of each request */
	struct top_rows now, before;
	uint64_t looked_us, next_us;
	enum top_order order;
	enum top_group group;
	uint64_t accepted; /* by the daemon */
	struct top_head head;
};

static int add_item(void *context, json_t *item)
{
	return top_add(context, item);
}

/* Where all are looked at, the daemon knows of those, too, that came and went in between. */
static double new_per_second(const struct top *top, uint64_t accepted, double seconds)
{
	bool all = json_object_size(top->args) == 0;
	uint64_t n = top->now.begun;

	if (all && accepted >= top->accepted)
		n = accepted - top->accepted;
	return seconds > 0 ? (double)n / seconds : 0;
}

/* seconds since the last look; 0: it was the first. */
static void sum(struct top *top, const json_t *status, double seconds)
{
	uint64_t accepted = (uint64_t)ask_number(status, "connections.accepted");
	struct top_head head = { .uptime_s = (uint64_t)ask_number(status, "uptime_s"),
				 .n = top->now.n + top->now.left_out,
				 .paused = top->head.paused };

	head.new_s = new_per_second(top, accepted, seconds);
	for (size_t i = 0; i < top->now.n; i++) {
		head.up_s += top->now.rows[i].up_s;
		head.down_s += top->now.rows[i].down_s;
	}
	top->accepted = accepted;
	top->head = head;
}

static int ask_status(struct top *top, json_t **ret)
{
	int err = ask_send(top->ask, "status", NULL);

	return err ? err : ask_read(top->ask, NULL, NULL, ret);
}

/* Look at all connections. 0 or -errno, and the message is on stderr. */
static int look(struct top *top)
{
	uint64_t from_us = clock_us(CLOCK_MONOTONIC);
	uint64_t last_us = top->looked_us;
	json_t *end = NULL, *status = NULL;
	double seconds;
	int err;

	top_free(&top->before);
	top->before = top->now;
	top->now = (struct top_rows){ 0 };
	err = ask_send(top->ask, "conns", json_incref(top->args));
	if (!err)
		err = ask_read(top->ask, add_item, &top->now, &end);
	json_decref(end);
	if (!err)
		err = ask_status(top, &status);
	if (err)
		return err;
	top->looked_us = from_us;
	seconds = last_us ? (double)(from_us - last_us) / 1e6 : 0;
	top_rate(&top->now, &top->before, seconds);
	sum(top, json_object_get(status, "data"), seconds);
	json_decref(status);
	top->next_us = clock_us(CLOCK_MONOTONIC);
	top->next_us += (top->next_us - from_us) * REST;
	if (top->next_us < from_us + INTERVAL_US)
		top->next_us = from_us + INTERVAL_US;
	return 0;
}

static void key_line(const struct top *top, char *buf, size_t size)
{
	static const char *const orders[] = { "rate", "bytes", "age" };
	static const char *const groups[] = { "connections", "clients", "backends" };

	(void)snprintf(buf, size,
		       "%s by %s   r b a: rate bytes age  l c k: list client backend  p q",
		       groups[top->group], orders[top->order]);
}

typedef void line_fn(const char *text, bool reverse);

static void draw(const struct top *top, size_t columns, size_t lines, line_fn *line)
{
	char text[TERMINAL_COLUMNS_MAX + 1];
	_cleanup_(top_free) struct top_rows shown = { 0 };
	size_t width = columns < COLUMNS_MIN ? COLUMNS_MIN : columns;

	shown.rows = calloc(top->now.n + 1, sizeof(*shown.rows));
	if (!shown.rows)
		return;
	shown.n = top->now.n;
	if (shown.n > 0)
		memcpy(shown.rows, top->now.rows, shown.n * sizeof(*shown.rows));
	top_fold(&shown, top->group);
	top_sort(&shown, top->order);
	top_head(&top->head, text);
	line(text, false);
	key_line(top, text, sizeof(text));
	line(text, false);
	top_line(NULL, top->group, width, text);
	line(text, true);
	for (size_t i = 0; i < shown.n && i + LINES_ABOVE + 1 < lines; i++) {
		top_line(&shown.rows[i], top->group, width, text);
		line(text, false);
	}
}

/* True: quit. */
static bool take_key(struct top *top, int key)
{
	static const char orders[] = "rba", groups[] = "lck";
	const char *at;

	if (key == TERMINAL_QUIT || key == 'q')
		return true;
	if (key == 'p')
		top->head.paused = !top->head.paused;
	if (key > 0 && (at = strchr(orders, key)))
		top->order = (enum top_order)(at - orders);
	if (key > 0 && (at = strchr(groups, key)))
		top->group = (enum top_group)(at - groups);
	return false;
}

static int wait_ms(const struct top *top)
{
	uint64_t now_us = clock_us(CLOCK_MONOTONIC);

	return top->next_us > now_us ? (int)((top->next_us - now_us) / 1000) + 1 : 0;
}

static void show(const struct top *top)
{
	size_t columns, lines;

	terminal_size(&columns, &lines);
	terminal_begin();
	draw(top, columns, lines, terminal_line);
	terminal_end();
}

/* The first look comes before the terminal is ours: what the daemon has against it stays to be
 * read. */
static int run(struct top *top)
{
	int err;

	if (!terminal_is_here()) {
		(void)fprintf(stderr, "unproxy top: this is no terminal; see unproxy top once\n");
		return EXIT_USAGE;
	}
	err = look(top);
	if (err)
		return ask_exit_code(err);
	terminal_open();
	show(top);
	while (!err && !take_key(top, terminal_key(top->head.paused ? -1 : wait_ms(top)))) {
		if (!top->head.paused && clock_us(CLOCK_MONOTONIC) >= top->next_us)
			err = look(top);
		if (!err)
			show(top);
	}
	terminal_close();
	if (err)
		(void)fprintf(stderr, "unproxy top: the daemon does not answer any more: %s\n",
			      err == -EREMOTE ? "it refuses" : strerror(-err));
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void print_line(const char *text, bool reverse)
{
	(void)reverse;
	(void)puts(text);
}

static int run_once(struct top *top)
{
	const struct timespec pause = { .tv_sec = INTERVAL_US / 1000000 };
	int err = look(top);

	if (!err) {
		(void)nanosleep(&pause, NULL);
		err = look(top);
	}
	if (!err)
		draw(top, COLUMNS_MIN, ONCE_LINES, print_line);
	return ask_exit_code(err);
}

int cmd_top(int argc, char **argv)
{
	struct top top = { 0 };
	struct ask_flags flags;
	int code = ask_flags(argc, argv, cmd_top_usage, &flags);
	bool once;

	if (code)
		return code - 1;
	if (flags.json) {
		(void)fprintf(stderr, "unproxy top: for programs there is unproxy conns --json\n");
		return EXIT_USAGE;
	}
	once = flags.rest < argc && strcmp(argv[flags.rest], "once") == 0;
	flags.rest += once;
	top.args = ask_filter("top", argc - flags.rest, argv + flags.rest);
	if (!top.args)
		return EXIT_USAGE;
	code = EXIT_USAGE;
	if (ask_open(&flags, "top", &top.ask) == 0)
		code = once ? run_once(&top) : run(&top);
	ask_close(top.ask);
	json_decref(top.args);
	top_free(&top.now);
	top_free(&top.before);
	return code;
}
