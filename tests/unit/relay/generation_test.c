/* SPDX-License-Identifier: BSD-2-Clause */
/* Generations of a configuration: what they share, and when the last of one is gone. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/addr.h"
#include "client/log.h"
#include "conf/conf_file.h"
#include "relay/generation.h"

#define WORKERS 2
#define BACKEND(name, servers) "[backend " name "]\n" servers
#define LISTEN(name, bind, backend) \
	"[listener " name "]\nbind = " bind "\ntrust = any\nbackend = " backend "\n"
#define ONE BACKEND("one", "server = 127.0.0.1:1\n")
#define TWO BACKEND("two", "server = 127.0.0.1:2\n")

static struct generation *publish(struct generations *books, const char *text)
{
	struct generation *generation;

	assert_int_equal(generation_new(books, load(text), &generation), 0);
	generation_publish(books, generation, WORKERS);
	return generation;
}

static size_t count(const struct list *head)
{
	size_t n = 0;

	for (const struct list *item = head->next; item != head; item = item->next)
		n++;
	return n;
}

/* All workers have taken a newer one. */
static void move_on(struct generation *generation)
{
	for (unsigned i = 0; i < WORKERS; i++)
		generation_leave(generation, i);
}

static const struct rules *rules_at(const struct generation *generation, const char *address)
{
	struct up_addr addr;

	assert_int_equal(addr_parse(address, &addr), 0);
	return generation_rules(generation, &addr);
}

static void shares_by_name(void **state)
{
	struct generation *first, *second;
	struct generations books;

	generations_init(&books, WORKERS);
	first = publish(&books, LISTEN("a", "127.0.0.1:80", "one")
					LISTEN("b", "127.0.0.1:81", "two") ONE TWO);
	second = publish(&books,
			 LISTEN("b", "127.0.0.1:82", "one") LISTEN("c", "127.0.0.1:80", "one") ONE);
	assert_int_equal(first->number, 1);
	assert_int_equal(second->number, 2);
	assert_ptr_equal(books.newest, second);
	assert_ptr_equal(first->rules[0].pool, second->rules[0].pool);
	assert_ptr_equal(first->rules[1].state, second->rules[0].state);
	assert_ptr_not_equal(first->rules[0].state, second->rules[1].state);
	assert_int_equal(count(&books.pools), 2);
	assert_int_equal(count(&books.states), 3);

	move_on(first);
	generations_sweep(&books, NULL);
	assert_int_equal(count(&books.all), 1);
	assert_int_equal(count(&books.pools), 1);
	assert_int_equal(count(&books.states), 2);
	generations_free(&books);
	assert_int_equal(count(&books.pools), 0);
	assert_int_equal(count(&books.states), 0);
}

/* One session of one worker keeps it. */
static void the_last_use(void **state)
{
	struct generation *first;
	struct generations books;

	generations_init(&books, WORKERS);
	first = publish(&books, LISTEN("a", "127.0.0.1:80", "one") ONE);
	generations_sweep(&books, NULL);
	assert_int_equal(count(&books.all), 1); /* the newest is never swept */
	generation_enter(first, 1);
	(void)publish(&books, LISTEN("a", "127.0.0.1:80", "one") ONE);
	move_on(first);
	generations_sweep(&books, NULL);
	assert_int_equal(count(&books.all), 2);
	generation_leave(first, 1);
	generations_sweep(&books, NULL);
	assert_int_equal(count(&books.all), 1);
	generations_free(&books);
}

static void rules_of_an_address(void **state)
{
	struct generation *generation;
	struct generations books;

	generations_init(&books, WORKERS);
	generation = publish(&books, LISTEN("a", "127.0.0.1:80, 127.0.0.2:90-95", "one")
					     LISTEN("b", "[::1]:80", "one") ONE);
	assert_ptr_equal(rules_at(generation, "127.0.0.1:80"), &generation->rules[0]);
	assert_ptr_equal(rules_at(generation, "127.0.0.2:95"), &generation->rules[0]);
	assert_ptr_equal(rules_at(generation, "[::1]:80"), &generation->rules[1]);
	assert_null(rules_at(generation, "127.0.0.2:96"));
	assert_null(rules_at(generation, "127.0.0.2:80"));
	assert_null(rules_at(generation, "*:80"));
	generations_free(&books);
}

/* What was never published leaves no trace, and the living as they were. */
static void discarded(void **state)
{
	struct generation *generation;
	struct generations books;
	struct conf *conf = load(LISTEN("b", "127.0.0.1:80", "two") TWO);

	generations_init(&books, WORKERS);
	(void)publish(&books, LISTEN("a", "127.0.0.1:80", "one") ONE);
	assert_int_equal(generation_new(&books, conf, &generation), 0);
	assert_int_equal(count(&books.pools), 2);
	generation_discard(generation);
	assert_int_equal(count(&books.pools), 1);
	assert_int_equal(count(&books.states), 1);
	assert_int_equal(books.number, 1);
	generations_free(&books);
}

/* The client log refers to a generation's names until it has written them. */
static void names_are_written_first(void **state)
{
	const struct client_log_params params = { .path = path, .workers = WORKERS + 1 };
	struct record record = { .reason = "shutdown" };
	struct generations books;
	struct generation *first;
	struct client_log *log;

	assert_int_equal(client_log_open(&params, &log), 0);
	generations_init(&books, WORKERS);
	first = publish(&books, LISTEN("a", "127.0.0.1:80", "one") ONE);
	record.listener = first->conf->listeners[0].name;
	client_log_put(log, 1, &record, NULL);
	(void)publish(&books, LISTEN("a", "127.0.0.1:80", "one") ONE);
	move_on(first);
	for (int i = 0; i < 2; i++) {
		generations_sweep(&books, log);
		assert_int_equal(count(&books.all), 2);
	}
	assert_int_equal(client_log_run(log, ~UINT64_C(0)), 0);
	for (int i = 0; i < 5000 && count(&books.all) == 2; i++) {
		(void)usleep(1000);
		generations_sweep(&books, log);
	}
	assert_int_equal(count(&books.all), 1);
	client_log_stop(log);
	generations_free(&books);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shares_by_name),          cmocka_unit_test(the_last_use),
		cmocka_unit_test(rules_of_an_address),     cmocka_unit_test(discarded),
		cmocka_unit_test(names_are_written_first),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
