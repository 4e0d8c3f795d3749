/* SPDX-License-Identifier: BSD-2-Clause */
/* Listeners with engine = inline: what they take, every refusal, and the flags. */
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

#define INLINE "[listener web]\nengine = inline\nport = 80\ntrust = 10.0.0.0/8\n"

static void assert_addr(const struct up_addr *addr, const char *expect)
{
	char text[ADDR_TEXT_MAX];

	addr_format_ip(addr, text, sizeof(text));
	assert_string_equal(text, expect);
	assert_int_equal(addr->port, 0);
}

static void smallest(void **state)
{
	_cleanup_conf_ struct conf *conf = load(INLINE);
	const struct conf_listener *web = &conf->listeners[0];

	assert_int_equal(web->engine, CONF_ENGINE_INLINE);
	assert_int_equal(web->port.wire, 80);
	assert_int_equal(web->port.app, 80);
	assert_int_equal(web->n_addresses, 0);
	assert_int_equal(web->n_interfaces, 0);
	assert_int_equal(web->untrusted, CONF_UNTRUSTED_RESET);
	assert_int_equal(web->header_max, 4095);
	assert_int_equal(web->header_timeout_ms, 5000);
	assert_null(web->backend);
	assert_false(conf->detach_on_exit);
	assert_int_equal(conf->inline_flows, 262144);
	assert_string_equal(conf->file, path);
}

static void every_key(void **state)
{
	_cleanup_conf_ struct conf *conf = load(
		"[unproxy]\ninline_flows = 1024\ndetach_on_exit = yes\n"
		"[listener web]\n"
		"port = 80->3000\n"
		"address = 192.0.2.1, 2001:db8::1, ::ffff:192.0.2.2\n"
		"interfaces = eth0,\n   lo\n"
		"trust = any\nheader = optional\nheader_timeout = 3s\nheader_max = 1500\n"
		"v1_ipv4_in_tcp6 = yes\nuntrusted = pass\nengine = inline\n");
	const struct conf_listener *web = &conf->listeners[0];

	assert_true(conf->detach_on_exit);
	assert_int_equal(conf->inline_flows, 1024);
	assert_int_equal(web->port.wire, 80);
	assert_int_equal(web->port.app, 3000);
	assert_int_equal(web->n_addresses, 3);
	assert_addr(&web->addresses[0], "192.0.2.1");
	assert_addr(&web->addresses[1], "2001:db8::1");
	assert_addr(&web->addresses[2], "192.0.2.2");
	assert_int_equal(web->n_interfaces, 2);
	assert_string_equal(web->interfaces[0].name, "eth0");
	assert_string_equal(web->interfaces[1].name, "lo");
	assert_int_equal(web->interfaces_line, 7);
	assert_true(web->trust.any);
	assert_int_equal(web->header, CONF_HEADER_OPTIONAL);
	assert_int_equal(web->header_timeout_ms, 3000);
	assert_int_equal(web->header_max, 1500);
	assert_true(web->v1_ipv4_in_tcp6);
	assert_int_equal(web->untrusted, CONF_UNTRUSTED_PASS);
}

static void both_engines(void **state)
{
	_cleanup_conf_ struct conf *conf =
		load(INLINE "[listener relay]\nbind = *:81\ntrust = any\nbackend = [::1]:3000\n");

	assert_int_equal(conf_count(conf, CONF_ENGINE_INLINE), 1);
	assert_int_equal(conf_count(conf, CONF_ENGINE_RELAY), 1);
	assert_non_null(conf->listeners[1].backend);
	assert_int_equal(conf->listeners[1].header_max, 4096);
}

struct refusal {
	const char *text, *error;
};

static void assert_refused(const struct refusal *refusal)
{
	struct conf *conf = (struct conf *)1;
	struct conf_error error = { "" };

	if (load_bytes(refusal->text, strlen(refusal->text), &conf, &error) >= 0)
		fail_msg("accepted:\n%s", refusal->text);
	assert_string_equal(error.text + strlen(path), refusal->error);
	assert_ptr_equal(conf, (struct conf *)1);
}

#define PORT_EXPECTED ": expected a port, such as 80, or 80 -> 3000"
#define ADDRESS_EXPECTED                                                                         \
	": expected an address, such as 192.0.2.1 or 2001:db8::1 (all of this host's: leave the" \
	" line out)"
#define INTERFACE_EXPECTED ": expected names of interfaces, such as eth0, lo"
#define HEAD "[listener web]\nengine = inline\n"

static void bad_values(void **state)
{
	static const struct refusal cases[] = {
		{ HEAD "port = 0\n", ":3: port: \"0\"" PORT_EXPECTED },
		{ HEAD "port = 65536\n", ":3: port: \"65536\"" PORT_EXPECTED },
		{ HEAD "port = 80-90\n", ":3: port: \"80-90\"" PORT_EXPECTED },
		{ HEAD "port = *:80\n", ":3: port: \"*:80\"" PORT_EXPECTED },
		{ HEAD "port = 80 ->\n", ":3: port: \"80 ->\"" PORT_EXPECTED },
		{ HEAD "port = -> 80\n", ":3: port: \"-> 80\"" PORT_EXPECTED },
		{ HEAD "port = 80 -> 0\n", ":3: port: \"80 -> 0\"" PORT_EXPECTED },
		{ HEAD "port = 80 -> 1 -> 2\n", ":3: port: \"80 -> 1 -> 2\"" PORT_EXPECTED },
		{ HEAD "port =\n", ":3: port: \"\"" PORT_EXPECTED },
		{ HEAD "address = web\n", ":3: address: \"web\"" ADDRESS_EXPECTED },
		{ HEAD "address = 0.0.0.0\n", ":3: address: \"0.0.0.0\"" ADDRESS_EXPECTED },
		{ HEAD "address = ::\n", ":3: address: \"::\"" ADDRESS_EXPECTED },
		{ HEAD "address = 10.0.0.1:80\n", ":3: address: \"10.0.0.1:80\"" ADDRESS_EXPECTED },
		{ HEAD "address = 10.0.0.1,, ::1\n", ":3: address: \"\"" ADDRESS_EXPECTED },
		{ HEAD "address = ::1, 0::1\n", ":3: address: 0::1 twice" },
		{ HEAD "interfaces =\n", ":3: interfaces: \"\"" INTERFACE_EXPECTED },
		{ HEAD "interfaces = eth0 eth1\n",
		  ":3: interfaces: \"eth0 eth1\"" INTERFACE_EXPECTED },
		{ HEAD "interfaces = abcdefghijklmnop\n",
		  ":3: interfaces: \"abcdefghijklmnop\"" INTERFACE_EXPECTED },
		{ HEAD "interfaces = ..\n", ":3: interfaces: \"..\"" INTERFACE_EXPECTED },
		{ HEAD "interfaces = lo, lo\n", ":3: interfaces: lo twice" },
		{ HEAD "untrusted = drop\n", ":3: untrusted: \"drop\": expected reset or pass" },
		{ "[unproxy]\ninline_flows = 1000\n",
		  ":2: inline_flows: 1000 is out of range: 1024 to 16777216" },
		{ "[unproxy]\ndetach_on_exit = maybe\n",
		  ":2: detach_on_exit: \"maybe\": expected yes or no" },
		{ INLINE "header_max = 4k\n",
		  ":5: header_max: 4096 is out of range: with engine = inline 4095 at most" },
		{ HEAD "trust = any\n", ":1: port: is missing" },
		{ HEAD "port = 80\n",
		  ":1: trust: is missing: which load balancers may speak PROXY? Addresses and "
		  "CIDRs, or any, spelled out" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_refused(&cases[i]);
}

#define NOT_INLINE ": is for engine = relay; this listener's engine is inline"
#define NOT_RELAY ": is for engine = inline; this listener's engine is relay"

static void keys_of_the_other_engine(void **state)
{
	static const struct refusal cases[] = {
		{ INLINE "bind = *:80\n", ":5: bind" NOT_INLINE },
		{ INLINE "backend = 127.0.0.1:1\n", ":5: backend" NOT_INLINE },
		{ INLINE "kernel_path = off\n", ":5: kernel_path" NOT_INLINE },
		{ INLINE "promote_bytes = 1\n", ":5: promote_bytes" NOT_INLINE },
		{ INLINE "splice = no\n", ":5: splice" NOT_INLINE },
		{ INLINE "max_connections = 1\n", ":5: max_connections" NOT_INLINE },
		{ INLINE "max_per_source = 1\n", ":5: max_per_source" NOT_INLINE },
		{ INLINE "backlog = 1\n", ":5: backlog" NOT_INLINE },
		{ INLINE "keepalive = 1s\n", ":5: keepalive" NOT_INLINE },
		{ INLINE "user_timeout = 1s\n", ":5: user_timeout" NOT_INLINE },
		{ INLINE "idle_timeout = 1s\n", ":5: idle_timeout" NOT_INLINE },
		{ LISTENER "port = 80\n", ":5: port" NOT_RELAY },
		{ LISTENER "address = ::1\n", ":5: address" NOT_RELAY },
		{ LISTENER "interfaces = lo\n", ":5: interfaces" NOT_RELAY },
		{ "[listener web]\nport = 80\nbackend = x\nengine = inline\n",
		  ":3: backend" NOT_INLINE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_refused(&cases[i]);
}

#define SECOND "[listener b]\nengine = inline\ntrust = any\n"

static void overlaps(void **state)
{
	static const struct refusal cases[] = {
		{ INLINE SECOND "port = 80\n",
		  ":8: port: overlaps with [::]:80 of [listener web]" },
		{ INLINE SECOND "port = 80 -> 81\naddress = 10.0.0.1\n",
		  ":8: port: overlaps with [::]:80 of [listener web]" },
		{ INLINE "address = 10.0.0.1\n" SECOND "port = 80\naddress = ::1, 10.0.0.1\n",
		  ":9: port: overlaps with 10.0.0.1:80 of [listener web]" },
		{ INLINE "[listener b]\nbind = *:79-81\ntrust = any\nbackend = 192.0.2.1:1\n",
		  ":6: bind: overlaps with [::]:80 of [listener web]" },
		{ LISTENER SECOND "port = 80\n",
		  ":8: port: overlaps with [::]:80 of [listener web]" },
	};
	_cleanup_conf_ struct conf *apart = load(INLINE "address = 10.0.0.1\n" SECOND
							"port = 80 -> 3000\naddress = 10.0.0.2\n");

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_refused(&cases[i]);
}

static void flags(void **state)
{
	struct conf_flags given = { .engine = "inline", .listen = ":80", .trust = "any" };
	_cleanup_conf_ struct conf *any = NULL, *one = NULL, *two = NULL;
	struct conf_error error;

	assert_int_equal(conf_from_flags(&given, &any, &error), 0);
	assert_null(any->file);
	assert_int_equal(any->listeners[0].port.wire, 80);
	assert_int_equal(any->listeners[0].n_addresses, 0);
	assert_int_equal(any->n_backends, 0);

	given.listen = "10.0.0.1:8080";
	given.interfaces = "eth0,lo";
	given.header_max = "1500";
	assert_int_equal(conf_from_flags(&given, &one, &error), 0);
	assert_int_equal(one->listeners[0].port.wire, 8080);
	assert_int_equal(one->listeners[0].n_addresses, 1);
	assert_addr(&one->listeners[0].addresses[0], "10.0.0.1");
	assert_int_equal(one->listeners[0].n_interfaces, 2);
	assert_int_equal(one->listeners[0].header_max, 1500);

	given.listen = "10.0.0.1:80,[2001:db8::1]:80";
	assert_int_equal(conf_from_flags(&given, &two, &error), 0);
	assert_int_equal(two->listeners[0].n_addresses, 2);
}

static void assert_flag_refused(size_t member, const char *value, const char *expect)
{
	struct conf_flags given = { .engine = "inline", .listen = ":80", .trust = "any" };
	struct conf_error error = { "" };
	struct conf *conf = NULL;

	*(const char **)(void *)((char *)&given + member) = value;
	assert_true(conf_from_flags(&given, &conf, &error) < 0);
	assert_string_equal(error.text, expect);
}

#define FLAG(name) offsetof(struct conf_flags, name)

static void bad_flags(void **state)
{
	char many[4096] = "10.0.0.1:80";

	assert_flag_refused(FLAG(backend), "10.0.0.1:1", "--backend" NOT_INLINE);
	assert_flag_refused(FLAG(kernel_path), "off", "--kernel-path" NOT_INLINE);
	assert_flag_refused(FLAG(listen), NULL, "--listen: is missing");
	assert_flag_refused(FLAG(listen), "80", "--listen: \"80\": expected :PORT or ADDR:PORT");
	assert_flag_refused(FLAG(listen), ":0", "--listen: \":0\": expected :PORT or ADDR:PORT");
	assert_flag_refused(FLAG(listen), "10.0.0.1:80,10.0.0.1:81",
			    "--listen: several ports with --engine inline: use a file");
	assert_flag_refused(FLAG(listen), "0.0.0.0:80", "--listen: \"0.0.0.0\"" ADDRESS_EXPECTED);
	assert_flag_refused(FLAG(listen), ":80,10.0.0.1:80", "--listen: \"::\"" ADDRESS_EXPECTED);
	assert_flag_refused(FLAG(header_max), "4096",
			    "--header-max: 4096 is out of range: with engine = inline 4095 at "
			    "most");
	assert_flag_refused(FLAG(interfaces), "", "--interfaces: \"\"" INTERFACE_EXPECTED);
	assert_flag_refused(FLAG(engine), "relay", "--backend: is missing");

	for (unsigned i = 2; i < 200; i++)
		(void)sprintf(many + strlen(many), ",10.0.0.%u:80", i);
	assert_flag_refused(FLAG(listen), many, "--listen: too many addresses: use a file");
}

static void relay_flags(void **state)
{
	const struct conf_flags given = {
		.listen = ":80", .backend = "[::1]:1", .trust = "any", .interfaces = "lo"
	};
	struct conf_error error = { "" };
	struct conf *conf = NULL;

	assert_true(conf_from_flags(&given, &conf, &error) < 0);
	assert_string_equal(error.text, "--interfaces" NOT_RELAY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(smallest),
		cmocka_unit_test(every_key),
		cmocka_unit_test(both_engines),
		cmocka_unit_test(bad_values),
		cmocka_unit_test(keys_of_the_other_engine),
		cmocka_unit_test(overlaps),
		cmocka_unit_test(flags),
		cmocka_unit_test(bad_flags),
		cmocka_unit_test(relay_flags),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
