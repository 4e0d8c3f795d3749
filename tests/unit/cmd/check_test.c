/* SPDX-License-Identifier: BSD-2-Clause */
/* unproxy check: what it prints, where, and its exit codes. */
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

#include "base/cleanup.h"
#include "cmd/cmd.h"
#include "cmd/flags.h"

static char out[65536], err[4096];

/* Send a stream into a temporary file, and back. */
static int redirect(FILE *stream, FILE *to)
{
	int saved = dup(fileno(stream));

	(void)fflush(stream);
	assert_true(saved >= 0);
	assert_true(dup2(fileno(to), fileno(stream)) >= 0);
	return saved;
}

static void restore(FILE *stream, int saved, FILE *from, char *buf, size_t size)
{
	size_t n;

	(void)fflush(stream);
	(void)dup2(saved, fileno(stream));
	(void)close(saved);
	rewind(from);
	n = fread(buf, 1, size - 1, from);
	buf[n] = '\0';
	(void)fclose(from);
}

/* Run "check" with the words, which may be NULL from some point on; how: of the kind of
 * --offline. */
static int check_how(const char *how, const char *a, const char *b, const char *c, const char *d)
{
	const char *argv[] = { "check", how, a, b, c, d, NULL };
	FILE *out_file = tmpfile(), *err_file = tmpfile();
	int argc = 0, saved_out, saved_err, r;

	assert_true(out_file && err_file);
	while (argv[argc])
		argc++;
	saved_out = redirect(stdout, out_file);
	saved_err = redirect(stderr, err_file);
	r = cmd_check(argc, (char **)(void *)argv);
	restore(stdout, saved_out, out_file, out, sizeof(out));
	restore(stderr, saved_err, err_file, err, sizeof(err));
	return r;
}

/* What the host and the servers say is not of this test. */
static int check(const char *a, const char *b, const char *c, const char *d)
{
	return check_how("--offline", a, b, c, d);
}

static void a_good_one(void **state)
{
	assert_int_equal(check("--listen=0.0.0.0:80-89,*:443",
			       "--backend=127.0.0.1:1,127.0.0.1:2 weight=2",
			       "--trust=10.0.0.0/8,::1", "--header=optional"),
			 0);
	assert_string_equal(err, "");
	assert_string_equal(
		out,
		"listener main: 0.0.0.0:80-89, [::]:443, trusts 2 networks, header optional -> "
		"backend main\n"
		"backend main: 127.0.0.1:1, 127.0.0.1:2 weight=2, roundrobin\n"
		"client log: -\n");
	assert_int_equal(check("--listen=*:80", "--backend=127.0.0.1:1", "--trust=any",
			       "--client-log=off"),
			 0);
	assert_string_equal(
		out, "listener main: [::]:80, trusts anyone, header required -> backend main\n"
		     "backend main: 127.0.0.1:1\n"
		     "client log: off\n");
}

static void inline_flags(void **state)
{
	assert_int_equal(check("--engine=inline", "--listen=10.0.0.1:80,[::1]:80", "--trust=any",
			       "--interfaces=eth0,lo"),
			 0);
	assert_string_equal(err, "");
	assert_string_equal(out, "listener main: inline, port 80 on 10.0.0.1, ::1, interfaces "
				 "eth0, lo, trusts anyone, header required\n"
				 "client log: -\n");
	assert_int_equal(check("--engine=inline", "--listen=:80", "--trust=any", "--backend=:1"),
			 1);
	assert_string_equal(err,
			    "--backend: is for engine = relay; this listener's engine is inline\n");
}

static void a_file(void **state)
{
	char path[] = "/tmp/unproxy-check-test-XXXXXX";
	static const char text[] =
		"[unproxy]\nclient_log=/x\nformat=text\n[listener "
		"a]\nbind=:1\ntrust=::1\nbackend=b\n"
		"[backend b]\nserver=[::1]:2\nserver=[::1]:3\nbalance=leastconn\n"
		"[backend c]\nserver=[::1]:4\n[listener bad]\n";
	int fd = mkstemp(path);
	char expect[200];

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	assert_int_equal(check("-c", path, NULL, NULL), 1);
	(void)snprintf(expect, sizeof(expect), "%s:14: bind: is missing\n", path);
	assert_string_equal(err, expect);
	assert_string_equal(out, "");

	assert_int_equal(ftruncate(fd, (off_t)(strstr(text, "[listener bad]") - text)), 0);
	assert_int_equal(check("--config", path, NULL, NULL), 0);
	assert_string_equal(out,
			    "listener a: [::]:1, trusts 1 network, header required -> backend b\n"
			    "backend b: [::1]:2, [::1]:3, leastconn\n"
			    "backend c: [::1]:4 (no listener uses it)\n"
			    "client log: /x (text)\n");
	(void)close(fd);
	(void)unlink(path);
}

/* A server that refuses (nobody listens on port 1), and what is too wide. */
static void warnings(void **state)
{
	assert_int_equal(check_how("--strict", "--listen=127.0.0.1:65000", "--backend=127.0.0.1:1",
				   "--trust=128.0.0.0/1,10.0.0.0/8", NULL),
			 1);
	assert_string_equal(err, "--trust: warning: 128.0.0.0/1 is a large part of the internet, "
				 "and whoever is in it may claim to be any client: name the "
				 "balancers' networks\n"
				 "--backend: warning: 127.0.0.1:1 does not accept connections: "
				 "Connection refused\n");
	assert_int_equal(check_how("--trust=::/8", "--listen=127.0.0.1:65000",
				   "--backend=127.0.0.1:1", "--offline", NULL),
			 0);
	assert_non_null(strstr(err, "--trust: warning: ::/8 is"));
	assert_null(strstr(err, "--backend"));
}

static void bad_flags(void **state)
{
	assert_int_equal(check("--listen=80", "--backend=127.0.0.1:1", "--trust=any", NULL), 1);
	assert_string_equal(err, "--listen: \"80\": expected ADDR:PORT or ADDR:FIRST-LAST, such as "
				 "0.0.0.0:80, *:80 or "
				 "[::1]:80\n");
}

static void wrong_usage(void **state)
{
	assert_int_equal(check("--frob", NULL, NULL, NULL), EXIT_USAGE);
	assert_string_equal(err,
			    "unproxy check: unknown option --frob (see unproxy check --help)\n");
	assert_int_equal(check("-x", NULL, NULL, NULL), EXIT_USAGE);
	assert_int_equal(check("--listen", NULL, NULL, NULL), EXIT_USAGE);
	assert_string_equal(err,
			    "unproxy check: no value behind --listen (see unproxy check --help)\n");
	assert_int_equal(check("--trust=any", "--trust=any", NULL, NULL), EXIT_USAGE);
	assert_string_equal(err,
			    "unproxy check: given twice: --trust (see unproxy check --help)\n");
	assert_int_equal(check("-c", "a", "-c", "b"), EXIT_USAGE);
	assert_int_equal(check("x.conf", NULL, NULL, NULL), EXIT_USAGE);
	assert_string_equal(
		err, "unproxy check: one word too many: x.conf (see unproxy check --help)\n");
	assert_int_equal(check("-c", "x", "--workers=1", NULL), EXIT_USAGE);
	assert_int_equal(check("--control=/run/x.sock", NULL, NULL, NULL), EXIT_USAGE);
	assert_string_equal(err, "unproxy check: --control alone is no configuration: -c FILE, or "
				 "--listen and --trust beside it (see unproxy check --help)\n");
	assert_string_equal(out, "");
}

static void help_and_reference(void **state)
{
	assert_int_equal(check("--help", NULL, NULL, NULL), 0);
	assert_non_null(strstr(out, "usage: unproxy check"));
	assert_non_null(strstr(out, "--header-timeout"));
	assert_string_equal(err, "");
	assert_int_equal(check("--reference", NULL, NULL, NULL), 0);
	assert_non_null(strstr(out, "# Configuration\n"));
}

/* `run` asks for a conf and must not mistake --help for one. */
static void help_gives_no_conf(void **state)
{
	const char *argv[] = { "run", "--help", NULL };
	struct conf *conf = (struct conf *)1;
	FILE *file = tmpfile();
	int saved = redirect(stdout, file);

	assert_int_equal(flags_to_conf(2, (char **)(void *)argv, "text\n", &conf), 0);
	restore(stdout, saved, file, out, sizeof(out));
	assert_null(conf);
	assert_string_equal(out, "text\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_one),         cmocka_unit_test(a_file),
		cmocka_unit_test(bad_flags),          cmocka_unit_test(wrong_usage),
		cmocka_unit_test(inline_flags),       cmocka_unit_test(help_and_reference),
		cmocka_unit_test(help_gives_no_conf), cmocka_unit_test(warnings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
