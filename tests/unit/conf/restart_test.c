/* SPDX-License-Identifier: BSD-2-Clause */
/* What only a restart changes stays as it runs, and is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conf/keys.h"
#include "conf/restart.h"
#include "conf/conf_file.h"

#define REST LISTENER

/* Load both, and check what is named. */
static struct conf *keep(const char *running, const char *next, const char *expect)
{
	_cleanup_conf_ struct conf *before = load(running);
	struct conf *after = load(next);
	char names[256];

	assert_int_equal(conf_keep_running(after, before, names, sizeof(names)), 0);
	assert_string_equal(names, expect);
	return after;
}

static void nothing_to_keep(void **state)
{
	conf_free(keep("[unproxy]\nworkers = 2\n" REST,
		       "[unproxy]\nworkers = 2\ndrain_timeout = 1s\nlog_start = yes\n" REST, ""));
}

static void numbers_and_switches(void **state)
{
	struct conf *conf = keep("[unproxy]\nworkers = 2\nio_uring = no\n" REST,
				 "[unproxy]\nworkers = 3\ndrain_timeout = 1s\n" REST,
				 "workers, io_uring");

	assert_int_equal(conf->workers, 2);
	assert_false(conf->io_uring);
	assert_int_equal(conf->drain_timeout_ms, 1000);
	conf_free(conf);
}

static void paths_and_words(void **state)
{
	struct conf *conf = keep("[unproxy]\nclient_log = /a\nformat = text\n" REST,
				 "[unproxy]\nclient_log = /b\n" REST, "client_log, format");

	assert_string_equal(conf->client_log, "/a");
	assert_int_equal(conf->log_format, CONF_LOG_TEXT);
	conf_free(conf);
	conf = keep("[unproxy]\nclient_log = off\n" REST, "[unproxy]\nclient_log = /b\n" REST,
		    "client_log");
	assert_null(conf->client_log);
	conf_free(conf);
	conf = keep("[unproxy]\nclient_log = /b\n" REST, "[unproxy]\nclient_log = off\n" REST,
		    "client_log");
	assert_string_equal(conf->client_log, "/b");
	conf_free(conf);
}

/* A buffer that is too short ends the list, and nothing else. */
static void many_names(void **state)
{
	_cleanup_conf_ struct conf *before =
		load("[unproxy]\nworkers = 2\nio_uring = no\nformat = text\n" REST);
	_cleanup_conf_ struct conf *after = load(REST);
	char names[8];

	assert_int_equal(conf_keep_running(after, before, names, sizeof(names)), 0);
	assert_int_equal(strlen(names), sizeof(names) - 1);
	assert_int_equal(after->workers, 2);
}

/* Of other sections a reload takes everything. */
static void only_of_the_process(void **state)
{
	for (size_t i = 0; i < n_keys; i++) {
		if (keys[i].restart)
			assert_int_equal(keys[i].section, KEY_UNPROXY);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_to_keep),     cmocka_unit_test(numbers_and_switches),
		cmocka_unit_test(paths_and_words),     cmocka_unit_test(many_names),
		cmocka_unit_test(only_of_the_process),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
