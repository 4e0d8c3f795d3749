/* SPDX-License-Identifier: BSD-2-Clause */
/* Configurations that are wrong: every message, with its line. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/conf_file.h"

/* The error without the file's name in front. */
static void assert_bytes_refused(const char *text, size_t len, const char *expect)
{
	struct conf *conf = (struct conf *)1;
	struct conf_error error = { "" };
	char whole[600];

	if (load_bytes(text, len, &conf, &error) >= 0)
		fail_msg("accepted:\n%s", text);
	(void)snprintf(whole, sizeof(whole), "%s%s", path, expect);
	assert_string_equal(error.text, whole);
	assert_ptr_equal(conf, (struct conf *)1);
}

static void assert_refused(const char *text, const char *expect)
{
	assert_bytes_refused(text, strlen(text), expect);
}

struct refusal {
	const char *text, *error;
};

static void assert_all_refused(const struct refusal *cases, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_refused(cases[i].text, cases[i].error);
}

static void bad_lines(void **state)
{
	static const struct refusal cases[] = {
		{ "", ": no [listener NAME] section: nothing to do" },
		{ "[unproxy]\n", ": no [listener NAME] section: nothing to do" },
		{ "bind = *:80\n", ":1: a key before the first [section]" },
		{ "\n\n[listener web\n", ":3: a section heading without its ]" },
		{ LISTENER "header\n", ":5: expected: key = value" },
		{ LISTENER "header = optional\n\n= 3\n", ":7: : unknown key in [listener]" },
		{ "[server x]\n", ":1: [server x] is no section: expected [unproxy], [listener "
				  "NAME] or [backend NAME]" },
		{ "[listner web]\n", ":1: [listner web] is no section; did you mean [listener]?" },
		{ "[]\n",
		  ":1: [] is no section: expected [unproxy], [listener NAME] or [backend NAME]" },
		{ "[listener]\n", ":1: [listener NAME]: a name is 1 to 31 letters, digits, _ . -" },
		{ "[backend a b]\n",
		  ":1: [backend NAME]: a name is 1 to 31 letters, digits, _ . -" },
		{ "[listener 12345678901234567890123456789012]\n",
		  ":1: [listener NAME]: a name is 1 to 31 letters, digits, _ . -" },
		{ "[listener a\"b]\n",
		  ":1: [listener NAME]: a name is 1 to 31 letters, digits, _ . -" },
		{ "[unproxy x]\n", ":1: [unproxy] takes no name" },
		{ "[unproxy]\n[unproxy]\n", ":2: [unproxy] twice, first in line 1" },
		{ LISTENER "\n" LISTENER, ":6: [listener web] twice, first in line 1" },
		{ "[backend a]\nserver=127.0.0.1:1\n[backend a]\n",
		  ":3: [backend a] twice, first in line 1" },
		{ "[listener web]\n[backend a]\n", ":1: bind: is missing" },
	};

	assert_all_refused(cases, ARRAY_SIZE(cases));
}

static void bad_keys(void **state)
{
	static const struct refusal cases[] = {
		{ LISTENER "turst = any\n", ":5: turst: unknown key; did you mean trust?" },
		{ LISTENER "timeout = 5s\n",
		  ":5: timeout: unknown key; did you mean user_timeout?" },
		{ LISTENER "frobnicate = 1\n", ":5: frobnicate: unknown key in [listener]" },
		{ LISTENER "workers = 1\n",
		  ":5: workers: belongs in a [unproxy] section, not in [listener]" },
		{ "[unproxy]\ntrust = any\n",
		  ":2: trust: belongs in a [listener] section, not in [unproxy]" },
		{ LISTENER "server = [::1]:1\n",
		  ":5: server: belongs in a [backend] section, not in [listener]" },
		{ LISTENER "header = optional\nheader = require\n",
		  ":6: header: given twice, first in line 5" },
		{ LISTENER "trust = any\n", ":5: trust: given twice, first in line 3" },
		{ LISTENER "backend = [::1]:1\n", ":5: backend: given twice, first in line 4" },
		{ "[listener a]\ntrust=any\nbackend=[::1]:1\n", ":1: bind: is missing" },
		{ "\n[listener a]\nbind=:1\nbackend=[::1]:1\n",
		  ":2: trust: is missing: which load balancers may speak PROXY? Addresses and "
		  "CIDRs, or any, spelled out" },
		{ "[listener a]\nbind=:1\ntrust=any\n", ":1: backend: is missing" },
		{ "[backend a]\n", ":1: server: is missing" },
		{ "[unproxy]\nmetrics = nowhere\n",
		  ":2: metrics: \"nowhere\": expected ADDR:PORT, such as 127.0.0.1:9180, or off" },
		{ LISTENER "engine = proxy\n", ":5: engine: \"proxy\": expected relay or inline" },
		{ "[backend a]\nclient_address = transparent\n",
		  ":2: client_address: transparent is not in this version: use hook, none, "
		  "proxy-v1 or proxy-v2" },
		{ "[backend a]\nbalance = source\n",
		  ":2: balance: source is not in this version: use roundrobin or leastconn" },
	};

	assert_all_refused(cases, ARRAY_SIZE(cases));
}

static void bad_values(void **state)
{
	static const struct refusal cases[] = {
		{ LISTENER "header = maybe\n",
		  ":5: header: \"maybe\": expected require or optional" },
		{ LISTENER "kernel_path = on\n",
		  ":5: kernel_path: \"on\": expected auto, always or off" },
		{ "[unproxy]\nformat = xml\n", ":2: format: \"xml\": expected json or text" },
		{ "[unproxy]\nlog_probes = maybe\n",
		  ":2: log_probes: \"maybe\": expected yes or no" },
		{ "[unproxy]\nlog_start =\n", ":2: log_start: \"\": expected yes or no" },
		{ "[unproxy]\nclient_log =\n", ":2: client_log: \"\": expected a path, - or off" },
		{ "[unproxy]\ncontrol = run/control.sock\n",
		  ":2: control: \"run/control.sock\": expected a path that begins with / and has "
		  "at most 96 bytes, or off" },
		{ "[unproxy]\ncontrol_group = no such group\n",
		  ":2: control_group: \"no such group\": expected the name of a group of this "
		  "host" },
		{ "[unproxy]\nworkers = many\n", ":2: workers: \"many\": expected a number" },
		{ "[unproxy]\nworkers = 257\n", ":2: workers: 257 is out of range: 0 to 256" },
		{ "[unproxy]\nworkers = -1\n", ":2: workers: \"-1\": expected a number" },
		{ "[unproxy]\nworkers = 2 # two\n", ":2: workers: \"2 # two\": expected a number" },
		{ "[unproxy]\ndrain_timeout = 30\n",
		  ":2: drain_timeout: \"30\": expected a duration with its unit, such as 5s, 250ms "
		  "or 2m" },
		{ "[unproxy]\ndrain_timeout = 25h\n",
		  ":2: drain_timeout: 25h is out of range: 0 to 24h" },
		{ LISTENER "header_timeout = 2999ms\n",
		  ":5: header_timeout: 2999ms is out of range: 3s to 10m" },
		{ LISTENER "header_timeout = off\n",
		  ":5: header_timeout: off is out of range: 3s to 10m" },
		{ LISTENER "header_max = 106\n",
		  ":5: header_max: 106 is out of range: 107 to 65551" },
		{ LISTENER "header_max = 64k1\n",
		  ":5: header_max: \"64k1\": expected a size in bytes, such as 4096 or 64k" },
		{ LISTENER "header_max = 65552\n",
		  ":5: header_max: 65552 is out of range: 107 to 65551" },
		{ LISTENER "promote_bytes = 2048g\n",
		  ":5: promote_bytes: 2048g is out of range: 0 to 1024g" },
		{ LISTENER "keepalive = 1500ms\n",
		  ":5: keepalive: \"1500ms\": expected whole seconds" },
		{ LISTENER "keepalive = 24h\n", ":5: keepalive: 24h is out of range: 0 to 32767s" },
		{ LISTENER "backlog = 0\n", ":5: backlog: 0 is out of range: 1 to 65535" },
		{ "[listener a]\ntrust = 10.0.0.1/8\n",
		  ":2: trust: \"10.0.0.1/8\" has bits set behind its prefix" },
		{ "[listener a]\ntrust =\n", ":2: trust: \"\" is empty: a CIDR is expected here" },
		{ "[listener a]\ntrust = 10.0.0.0/8,\nbind = *:80\n",
		  ":3: trust: \"bind = *:80\" not an address or CIDR" },
		{ "[backend a]\nretry = 2s\nretry_max = 1s\nserver = [::1]:1\n",
		  ":1: retry_max: is shorter than retry" },
		{ "[backend a]\nconnect_timeout = 0\n",
		  ":2: connect_timeout: 0 is out of range: 10ms to 10m" },
	};

	assert_all_refused(cases, ARRAY_SIZE(cases));
}

/* What is wrong in a list is told of its own line. */
static void bad_lists(void **state)
{
	static const struct refusal cases[] = {
		{ "[listener a]\ntrust = 10.0.0.0/8,\n\n  ; in between\n 172.16.0.0/33,\n ::1\n",
		  ":5: trust: \"172.16.0.0/33\" the prefix length is 0 to 32" },
		{ "[listener a]\ntrust = any,\n ::1\n",
		  ":3: trust: \"any\" leaves nothing for other rules to say" },
		{ "[listener a]\nbind = *:1,\n *:2, *:x\n", ":3: bind: \"*:x\"" BIND_EXPECTED },
		{ "[listener a]\nbind = *:1,\n *:2,\n *:1\ntrust=any\nbackend=[::1]:7\n",
		  ":4: bind: overlaps with [::]:1 of [listener a]" },
		{ "[listener a]\ntrust = ::1,",
		  ":2: trust: \"\" is empty: a CIDR is expected here" },
		{ "[listener a]\nbackend = b,\n\n[backend b]\nserver = [::1]:1\n",
		  ":4: [backend b] would be a part of what goes on behind the comma of line 2" },
		{ "[listener a]\ntrust = ::1,\n ::2,\n[unproxy] ; of it all\n",
		  ":4: [unproxy] would be a part of what goes on behind the comma of line 3" },
		{ "[unproxy]\nclient_log = /log,\nworkers = 1\n",
		  ":2: client_log: ends in a comma, so that line 3 would be a part of it" },
	};

	assert_all_refused(cases, ARRAY_SIZE(cases));
}

static void whose_user(void **state)
{
	static const struct refusal cases[] = {
		{ "[unproxy]\nworkers = 1\ngroup = nogroup\n" LISTENER,
		  ":3: group: goes with user, which is missing" },
		{ "[unproxy]\n\nuser = nobody\n[listener a]\nengine=inline\nport=80\ntrust=any\n",
		  ":3: user: is not for engine = inline, which goes on pinning programs as "
		  "interfaces come" },
	};

	assert_all_refused(cases, ARRAY_SIZE(cases));
}

static void bad_addresses(void **state)
{
	static const struct refusal cases[] = {
		{ "[listener a]\nbind = 80\n", ":2: bind: \"80\"" BIND_EXPECTED },
		{ "[listener a]\nbind = *:0\n", ":2: bind: \"*:0\"" BIND_EXPECTED },
		{ "[listener a]\nbind = localhost:80\n",
		  ":2: bind: \"localhost:80\"" BIND_EXPECTED },
		{ "[listener a]\nbind = *:90-80\n", ":2: bind: \"*:90-80\"" BIND_EXPECTED },
		{ "[listener a]\nbind = *:80,, *:81\n", ":2: bind: \"\"" BIND_EXPECTED },
		{ "[listener a]\nbind =\n", ":2: bind: \"\"" BIND_EXPECTED },
		{ "[backend a]\nserver = localhost:80\n",
		  ":2: server: \"localhost:80\"" SERVER_EXPECTED },
		{ "[backend a]\nserver =\n", ":2: server: \"\"" SERVER_EXPECTED },
		{ "[backend a]\nserver = :80\n", ":2: server: \":80\"" SERVER_EXPECTED },
		{ "[backend a]\nserver = 0.0.0.0:80\n",
		  ":2: server: \"0.0.0.0:80\"" SERVER_EXPECTED },
		{ "[backend a]\nserver = 10.0.0.1:0\n",
		  ":2: server: \"10.0.0.1:0\"" SERVER_EXPECTED },
		{ "[backend a]\nserver = 10.0.0.1:1 weight=0\n",
		  ":2: server: \"weight=0\": expected weight=N, 1 to 256, once" },
		{ "[backend a]\nserver = 10.0.0.1:1 weight=2 weight=3\n",
		  ":2: server: \"weight=3\": expected weight=N, 1 to 256, once" },
		{ "[backend a]\nserver = 10.0.0.1:1 weight=257\n",
		  ":2: server: \"weight=257\": expected weight=N, 1 to 256, once" },
		{ "[backend a]\nserver = 10.0.0.1:1 weight=\n",
		  ":2: server: \"weight=\": expected weight=N, 1 to 256, once" },
		{ "[backend a]\nserver = 10.0.0.1:1 backup\n",
		  ":2: server: \"backup\": expected weight=N, 1 to 256, once" },
		{ "[backend a]\nserver = 10.0.0.1:1\nserver = 10.0.0.1:1 weight=2\n",
		  ":3: server: the same server twice: give it a weight=" },
		{ "[listener a]\nbind=:1\ntrust=any\nbackend=rials\n[backend "
		  "rails]\nserver=[::1]:1\n",
		  ":4: backend: \"rials\": neither a [backend NAME] nor an ADDR:PORT" },
		{ "[listener a]\nbind=:1\ntrust=any\nbackend=:3000\n",
		  ":4: backend: \":3000\"" SERVER_EXPECTED },
	};

	assert_all_refused(cases, ARRAY_SIZE(cases));
}

#define REST "\ntrust=any\nbackend=192.0.2.9:1\n"

static void overlaps(void **state)
{
	static const struct refusal cases[] = {
		{ "[listener a]\nbind=:80,:80" REST,
		  ":2: bind: overlaps with [::]:80 of [listener a]" },
		{ "[listener a]\nbind=:80" REST "[listener b]\nbind=:80" REST,
		  ":6: bind: overlaps with [::]:80 of [listener a]" },
		{ "[listener a]\nbind=:80-89" REST "[listener b]\nbind=:89-99" REST,
		  ":6: bind: overlaps with [::]:80 of [listener a]" },
		{ "[listener a]\nbind=:80-89" REST "[listener b]\n\nbind=:1\nbind=:85" REST,
		  ":8: bind: overlaps with [::]:80 of [listener a]" },
		{ "[listener a]\nbind=10.0.0.1:80" REST "[listener b]\nbind=0.0.0.0:80" REST,
		  ":6: bind: overlaps with 10.0.0.1:80 of [listener a]" },
		{ "[listener a]\nbind=0.0.0.0:80" REST "[listener b]\nbind=10.0.0.1:80" REST,
		  ":6: bind: overlaps with 0.0.0.0:80 of [listener a]" },
		{ "[listener a]\nbind=*:80" REST "[listener b]\nbind=10.0.0.1:80" REST,
		  ":6: bind: overlaps with [::]:80 of [listener a]" },
		{ "[listener a]\nbind=[::1]:80" REST "[listener b]\nbind=*:80" REST,
		  ":6: bind: overlaps with [::1]:80 of [listener a]" },
		{ "[listener a]\nbind=10.0.0.1:80" REST
		  "[listener b]\nbind=[::ffff:10.0.0.1]:80" REST,
		  ":6: bind: overlaps with 10.0.0.1:80 of [listener a]" },
	};

	assert_all_refused(cases, ARRAY_SIZE(cases));
}

static void circles(void **state)
{
	static const char error[] =
		":2: bind: is a server of its own backend x: connections would go in a circle";
	static const struct refusal cases[] = {
		{ "[listener a]\nbind=10.0.0.1:80\ntrust=any\nbackend=x\n[backend "
		  "x]\nserver=[::1]:1\nserver=10.0.0.1:80\n",
		  error },
		{ "[listener a]\nbind=*:80-90\ntrust=any\nbackend=x\n[backend "
		  "x]\nserver=127.0.0.1:85\n",
		  error },
		{ "[listener a]\nbind=0.0.0.0:80\ntrust=any\nbackend=x\n[backend "
		  "x]\nserver=127.5.5.5:80\n",
		  error },
		{ "[listener a]\nbind=*:80\ntrust=any\nbackend=x\n[backend x]\nserver=[::1]:80\n",
		  error },
	};
	_cleanup_conf_ struct conf *conf = NULL;

	assert_all_refused(cases, ARRAY_SIZE(cases));
	conf = load("[listener a]\nbind=0.0.0.0:80\ntrust=any\nbackend=x\n"
		    "[backend x]\nserver=[::1]:80\nserver=10.0.0.1:80\nserver=127.0.0.1:81\n");
}

static void bad_files(void **state)
{
	struct conf_error error;
	struct conf *conf;
	char *large = calloc(1, 1 << 20);

	assert_non_null(large);
	assert_int_equal(conf_load("/nonexistent/x.conf", &conf, &error), -ENOENT);
	assert_string_equal(error.text, "/nonexistent/x.conf: No such file or directory");
	assert_int_equal(conf_load("/tmp", &conf, &error), -EISDIR);
	assert_string_equal(error.text, "/tmp: Is a directory");

	assert_bytes_refused(LISTENER "\0header=x\n", sizeof(LISTENER) + 9,
			     ": holds a NUL byte: not a text file");
	memset(large, '\n', 1 << 20);
	assert_bytes_refused(large, 1 << 20, ": File too large");
	free(large);
}

static void lines_too_long(void **state)
{
	char text[600];

	memset(text, 'x', sizeof(text));
	memcpy(text, "[unproxy]\nclient_log=/", 22);
	text[599] = '\n';
	assert_bytes_refused(text, sizeof(text), ":2: more than 190 bytes without a comma");
}

static void more_servers_than_fit(void **state)
{
	char text[16384];
	size_t at = (size_t)sprintf(text, "[backend a]\n");

	for (unsigned i = 0; i <= 256; i++)
		at += (size_t)sprintf(text + at, "server=10.0.0.1:%u\n", 1000 + i);
	assert_refused(text, ":258: server: more than 256 servers in a backend");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_lines),
		cmocka_unit_test(bad_keys),
		cmocka_unit_test(bad_values),
		cmocka_unit_test(bad_lists),
		cmocka_unit_test(whose_user),
		cmocka_unit_test(bad_addresses),
		cmocka_unit_test(overlaps),
		cmocka_unit_test(circles),
		cmocka_unit_test(bad_files),
		cmocka_unit_test(lines_too_long),
		cmocka_unit_test(more_servers_than_fit),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
