/* SPDX-License-Identifier: BSD-2-Clause */
/* Configurations that are right, from files and from flags: what they mean. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/addr.h"
#include "conf/conf_file.h"

static void assert_addr(const struct up_addr *addr, const char *expect)
{
	char text[ADDR_TEXT_MAX];

	(void)addr_format(addr, text, sizeof(text));
	assert_string_equal(text, expect);
}

static void smallest_and_its_defaults(void **state)
{
	_cleanup_conf_ struct conf *conf = load(LISTENER);
	const struct conf_listener *listener = &conf->listeners[0];
	const struct conf_backend *backend = listener->backend;

	assert_string_equal(conf->client_log, "-");
	assert_int_equal(conf->log_format, CONF_LOG_JSON);
	assert_false(conf->log_probes);
	assert_false(conf->log_start);
	assert_int_equal(conf->workers, 0);
	assert_int_equal(conf->drain_timeout_ms, 30000);
	assert_int_equal(conf->max_connections, 0);
	assert_int_equal(conf->n_listeners, 1);
	assert_int_equal(conf->n_backends, 1);

	assert_string_equal(listener->name, "web");
	assert_int_equal(listener->line, 1);
	assert_int_equal(listener->n_binds, 1);
	assert_addr(&listener->binds[0].addr, "[::]:80");
	assert_int_equal(listener->binds[0].last_port, 80);
	assert_int_equal(listener->header, CONF_HEADER_REQUIRE);
	assert_int_equal(listener->kernel_path, CONF_KERNEL_AUTO);
	assert_true(listener->splice);
	assert_false(listener->v1_ipv4_in_tcp6);
	assert_int_equal(listener->header_timeout_ms, 5000);
	assert_int_equal(listener->header_max, 4096);
	assert_int_equal(listener->max_connections, 0);
	assert_int_equal(listener->max_per_source, 0);
	assert_int_equal(listener->backlog, 4096);
	assert_int_equal(listener->keepalive_s, 60);
	assert_int_equal(listener->user_timeout_ms, 0);
	assert_int_equal(listener->idle_timeout_ms, 0);
	assert_int_equal(listener->promote_bytes, 65536);

	assert_string_equal(backend->name, "127.0.0.1:3000");
	assert_true(backend->literal);
	assert_int_equal(backend->balance, CONF_BALANCE_ROUNDROBIN);
	assert_int_equal(backend->client_address, CONF_CLIENT_HOOK);
	assert_int_equal(backend->connect_timeout_ms, 5000);
	assert_int_equal(backend->retry_ms, 1000);
	assert_int_equal(backend->retry_max_ms, 30000);
	assert_int_equal(backend->n_servers, 1);
	assert_int_equal(backend->servers[0].weight, 1);
}

static const char full[] = "; a comment\n"
			   "# another\n"
			   "[unproxy]\n"
			   "client_log = /var/log/clients.log ; JSON\n"
			   "format = text\n"
			   "log_probes = yes\n"
			   "log_start = on\n"
			   "workers = 4\n"
			   "drain_timeout = 2m\n"
			   "max_connections = 10000\n"
			   "\n"
			   "[listener a]\n"
			   "  engine = relay\n"
			   "  bind = 0.0.0.0:80, [::1]:8000-8010\n"
			   "  bind = 10.0.0.1:443\n"
			   "  trust = 10.0.0.0/8,\n"
			   "\n"
			   "     ; in between\n"
			   "     192.0.2.1 ; the second\n"
			   "  header = optional\n"
			   "  header_timeout = 3s\n"
			   "  header_max = 65551\n"
			   "  v1_ipv4_in_tcp6 = yes\n"
			   "  kernel_path = always\n"
			   "  promote_bytes = 1m\n"
			   "  splice = no\n"
			   "  max_connections = 5\n"
			   "  max_per_source = 6\n"
			   "  backlog = 7\n"
			   "  keepalive = 2m\n"
			   "  user_timeout = 30s\n"
			   "  idle_timeout = 1h\n"
			   "  backend = rails\n"
			   "[backend rails] ; its servers\n"
			   "balance = leastconn\n"
			   "client_address = proxy-v2\n"
			   "connect_timeout = 250ms\n"
			   "retry = 100ms\n"
			   "retry_max = 100ms\n"
			   "server = 127.0.0.1:3000\n"
			   "server = [::1]:3000   weight=2\n"
			   "[listener b]\n"
			   "bind = *:9000\n"
			   "trust = any\n"
			   "backend = rails\n"
			   "[backend spare]\n"
			   "server = 10.0.0.9:1 weight=256\n";

static void every_key(void **state)
{
	_cleanup_conf_ struct conf *conf = load(full);
	const struct conf_listener *a = &conf->listeners[0], *b = &conf->listeners[1];
	const struct conf_backend *rails = &conf->backends[0];

	assert_string_equal(conf->client_log, "/var/log/clients.log");
	assert_int_equal(conf->log_format, CONF_LOG_TEXT);
	assert_true(conf->log_probes);
	assert_true(conf->log_start);
	assert_int_equal(conf->workers, 4);
	assert_int_equal(conf->drain_timeout_ms, 120000);
	assert_int_equal(conf->max_connections, 10000);

	assert_int_equal(a->n_binds, 3);
	assert_addr(&a->binds[0].addr, "0.0.0.0:80");
	assert_addr(&a->binds[1].addr, "[::1]:8000");
	assert_int_equal(a->binds[1].last_port, 8010);
	assert_int_equal(a->binds[1].line, 14);
	assert_addr(&a->binds[2].addr, "10.0.0.1:443");
	assert_int_equal(a->binds[2].line, 15);
	assert_int_equal(a->trust.n_rules, 2);
	assert_int_equal(a->header, CONF_HEADER_OPTIONAL);
	assert_int_equal(a->header_timeout_ms, 3000);
	assert_int_equal(a->header_max, 65551);
	assert_true(a->v1_ipv4_in_tcp6);
	assert_int_equal(a->kernel_path, CONF_KERNEL_ALWAYS);
	assert_int_equal(a->promote_bytes, 1048576);
	assert_false(a->splice);
	assert_int_equal(a->max_connections, 5);
	assert_int_equal(a->max_per_source, 6);
	assert_int_equal(a->backlog, 7);
	assert_int_equal(a->keepalive_s, 120);
	assert_int_equal(a->user_timeout_ms, 30000);
	assert_int_equal(a->idle_timeout_ms, 3600000);
	assert_ptr_equal(a->backend, rails);
	assert_ptr_equal(b->backend, rails);
	assert_true(b->trust.any);

	assert_string_equal(rails->name, "rails");
	assert_false(rails->literal);
	assert_int_equal(rails->balance, CONF_BALANCE_LEASTCONN);
	assert_int_equal(rails->client_address, CONF_CLIENT_PROXY_V2);
	assert_int_equal(rails->connect_timeout_ms, 250);
	assert_int_equal(rails->retry_ms, 100);
	assert_int_equal(rails->n_servers, 2);
	assert_addr(&rails->servers[1].addr, "[::1]:3000");
	assert_int_equal(rails->servers[1].weight, 2);
	assert_int_equal(conf->backends[1].servers[0].weight, 256);
	assert_int_equal(conf->n_backends, 2);
}

static void words_for_nothing(void **state)
{
	_cleanup_conf_ struct conf *conf = load(
		"[unproxy]\nclient_log=off\nworkers=auto\nmax_connections=auto\ndrain_timeout=0\n"
		"[listener "
		"a]\nkeepalive=off\nidle_timeout=0\nbackend=[::1]:7\nbind=:1\ntrust=any\nheader_"
		"max=107\n");

	assert_null(conf->client_log);
	assert_int_equal(conf->workers, 0);
	assert_int_equal(conf->drain_timeout_ms, 0);
	assert_int_equal(conf->listeners[0].keepalive_s, 0);
	assert_int_equal(conf->listeners[0].header_max, 107);
}

static void literal_backends_are_shared(void **state)
{
	_cleanup_conf_ struct conf *conf = load(
		"[listener a]\nbind=*:1\ntrust=any\nbackend=127.0.0.1:3000\n"
		"[listener b]\nbind=*:2\ntrust=any\nbackend=127.0.0.1:3000\n"
		"[listener c]\nbind=*:3\ntrust=any\nbackend=127.0.0.1:3001\n");

	assert_int_equal(conf->n_backends, 2);
	assert_ptr_equal(conf->listeners[0].backend, conf->listeners[1].backend);
	assert_ptr_not_equal(conf->listeners[0].backend, conf->listeners[2].backend);
}

static void a_long_literal_name_is_cut(void **state)
{
	_cleanup_conf_ struct conf *conf = load(
		"[listener "
		"a]\nbind=*:1\ntrust=any\nbackend=[2001:db8:1111:2222:3333:4444:5555:6666]:3000\n");

	assert_string_equal(conf->backends[0].name, "[2001:db8:1111:2222:3333:4444:5");
}

static void windows_text(void **state)
{
	_cleanup_conf_ struct conf *conf = load(
		"\xef\xbb\xbf[listener web]\r\nbind = *:80\r\ntrust = any\r\nbackend "
		"= 127.0.0.1:1\r\n");

	assert_string_equal(conf->listeners[0].name, "web");
	assert_int_equal(conf->listeners[0].line, 1);
	assert_int_equal(conf->listeners[0].binds[0].line, 2);
}

/* What people copy. Runs in the project's root. */
static void the_example_is_right(void **state)
{
	_cleanup_conf_ struct conf *conf = NULL;
	struct conf_error error;

	if (conf_load("examples/unproxy.conf", &conf, &error) < 0)
		fail_msg("%s", error.text);
}

/* libinih cuts lines at 200 bytes; trust lists made by a program are longer. */
static void long_lists(void **state)
{
	char text[8192];
	size_t at = (size_t)sprintf(text, "[listener a]\nbind=*:1\nbackend=[::1]:7\ntrust=");

	for (unsigned i = 0; i < 250; i++)
		at += (size_t)sprintf(text + at, "%s10.%u.0.0/16", i ? (i % 2 ? "," : ",  ") : "",
				      i);
	(void)sprintf(text + at, " ; all of them, and a comma,\nheader=optional\n");

	_cleanup_conf_ struct conf *conf = load(text);

	assert_int_equal(conf->listeners[0].trust.n_rules, 250);
	assert_int_equal(conf->listeners[0].trust.rules[249].ip[13], 249);
	assert_int_equal(conf->listeners[0].header, CONF_HEADER_OPTIONAL);
}

/* A bracket does not make a heading: IPv6. */
static void lists_over_lines(void **state)
{
	_cleanup_conf_ struct conf *conf = load("[listener a]\nbind=*:1,\n[::2]:2,\n\n[::3]:3\n"
						"trust=::1,\n ::2, 192.0.2.0/24,\n ::3\n"
						"backend=[::1]:7\n");
	const struct conf_listener *listener = &conf->listeners[0];

	assert_int_equal(listener->n_binds, 3);
	assert_int_equal(listener->binds[0].line, 2);
	assert_int_equal(listener->binds[1].line, 3);
	assert_int_equal(listener->binds[2].line, 5);
	assert_int_equal(listener->trust.n_rules, 4);
	assert_int_equal(listener->trust_line, 6);
}

static void long_comments(void **state)
{
	char text[2048];

	memset(text, 'x', sizeof(text));
	text[0] = '#';
	text[1000] = '\n';
	memcpy(text + 1001, LISTENER, sizeof(LISTENER));

	_cleanup_conf_ struct conf *conf = load(text);

	assert_int_equal(conf->listeners[0].line, 2);
}

static void overlap_is_about_address_and_port(void **state)
{
	_cleanup_conf_ struct conf *conf = load(
		"[listener "
		"a]\nbind=0.0.0.0:80-89,[::1]:80,10.0.0.1:90\ntrust=any\nbackend=127.0.0.1:1\n"
		"[listener "
		"b]\nbind=0.0.0.0:91-99,[::2]:80,10.0.0.2:90\ntrust=any\nbackend=127.0.0.1:1\n");

	assert_int_equal(conf->n_listeners, 2);
}

/* Nothing is half-applied and nothing leaks, wherever the file ends. */
static void every_prefix_of_a_file(void **state)
{
	for (size_t len = 0; len < sizeof(full); len++) {
		struct conf *conf = NULL;
		struct conf_error error = { "" };

		if (load_bytes(full, len, &conf, &error) < 0) {
			assert_null(conf);
			assert_memory_equal(error.text, path, strlen(path));
		}
		conf_free(conf);
	}
}

/* ---- flags ---- */

static void flags(void **state)
{
	const struct conf_flags given = {
		.listen = "0.0.0.0:80,[::1]:81-82",
		.backend = "127.0.0.1:3000, 127.0.0.1:3001 weight=3",
		.trust = "10.0.0.0/8,192.0.2.1",
		.header = "optional",
		.header_timeout = "4s",
		.header_max = "8k",
		.kernel_path = "off",
		.client_log = "x.log",
		.workers = "3",
		.engine = "relay",
	};
	_cleanup_conf_ struct conf *conf = NULL;
	struct conf_error error;

	assert_int_equal(conf_from_flags(&given, &conf, &error), 0);
	assert_string_equal(conf->client_log, "x.log");
	assert_int_equal(conf->workers, 3);
	assert_int_equal(conf->n_listeners, 1);
	assert_string_equal(conf->listeners[0].name, "main");
	assert_int_equal(conf->listeners[0].n_binds, 2);
	assert_int_equal(conf->listeners[0].trust.n_rules, 2);
	assert_int_equal(conf->listeners[0].header, CONF_HEADER_OPTIONAL);
	assert_int_equal(conf->listeners[0].header_timeout_ms, 4000);
	assert_int_equal(conf->listeners[0].header_max, 8192);
	assert_int_equal(conf->listeners[0].kernel_path, CONF_KERNEL_OFF);
	assert_string_equal(conf->listeners[0].backend->name, "main");
	assert_int_equal(conf->backends[0].n_servers, 2);
	assert_int_equal(conf->backends[0].servers[1].weight, 3);
}

static void assert_flags_refused(const struct conf_flags *given, const char *expect)
{
	struct conf *conf = (struct conf *)1;
	struct conf_error error = { "" };

	assert_true(conf_from_flags(given, &conf, &error) < 0);
	assert_string_equal(error.text, expect);
	assert_ptr_equal(conf, (struct conf *)1);
}

/* Flags that are right but for one. */
static void assert_flag_refused(size_t member, const char *value, const char *expect)
{
	struct conf_flags given = { .listen = ":80", .backend = "127.0.0.1:1", .trust = "any" };

	*(const char **)(void *)((char *)&given + member) = value;
	assert_flags_refused(&given, expect);
}

#define FLAG(name) offsetof(struct conf_flags, name)

static void bad_flags(void **state)
{
	char many[2048] = "127.0.0.1:1";

	assert_flags_refused(&(struct conf_flags){ 0 }, "--listen: is missing");
	assert_flags_refused(&(struct conf_flags){ .listen = ":80", .trust = "any" },
			     "--backend: is missing");
	assert_flags_refused(&(struct conf_flags){ .listen = ":80", .backend = "127.0.0.1:1" },
			     "--trust: is missing: which load balancers may speak PROXY? Addresses "
			     "and CIDRs, or any, spelled out");
	assert_flag_refused(FLAG(listen), "80", "--listen: \"80\"" BIND_EXPECTED);
	assert_flag_refused(FLAG(listen), ":80,:80",
			    "--listen: overlaps with [::]:80 of [listener main]");
	assert_flag_refused(FLAG(backend), "web:1", "--backend: \"web:1\"" SERVER_EXPECTED);
	assert_flag_refused(FLAG(backend), "127.0.0.1:1,", "--backend: \"\"" SERVER_EXPECTED);
	assert_flag_refused(FLAG(trust), "0.0.0.0/0",
			    "--trust: \"0.0.0.0/0\" is everyone: if you mean that, spell out: any");
	assert_flag_refused(FLAG(header), "x", "--header: \"x\": expected require or optional");
	assert_flag_refused(FLAG(header_timeout), "1s",
			    "--header-timeout: 1s is out of range: 3s to 10m");
	assert_flag_refused(FLAG(header_max), "1", "--header-max: 1 is out of range: 107 to 65551");
	assert_flag_refused(FLAG(kernel_path), "x",
			    "--kernel-path: \"x\": expected auto, always or off");
	assert_flag_refused(FLAG(workers), "x", "--workers: \"x\": expected a number");
	assert_flag_refused(FLAG(client_log), "", "--client-log: \"\": expected a path, - or off");
	assert_flag_refused(FLAG(engine), "x", "--engine: \"x\": expected relay or inline");

	for (unsigned i = 0; i < 64; i++)
		(void)sprintf(many + strlen(many), ",127.0.0.1:%u", i + 2);
	assert_flag_refused(FLAG(backend), many, "--backend: more than 64 servers: use a file");
}

static void nothing_to_free(void **state)
{
	conf_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(smallest_and_its_defaults),
		cmocka_unit_test(every_key),
		cmocka_unit_test(words_for_nothing),
		cmocka_unit_test(literal_backends_are_shared),
		cmocka_unit_test(a_long_literal_name_is_cut),
		cmocka_unit_test(windows_text),
		cmocka_unit_test(the_example_is_right),
		cmocka_unit_test(long_lists),
		cmocka_unit_test(lists_over_lines),
		cmocka_unit_test(long_comments),
		cmocka_unit_test(overlap_is_about_address_and_port),
		cmocka_unit_test(every_prefix_of_a_file),
		cmocka_unit_test(flags),
		cmocka_unit_test(bad_flags),
		cmocka_unit_test(nothing_to_free),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
