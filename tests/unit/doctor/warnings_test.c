// SPDX-License-Identifier: BSD-2-Clause
/* What is valid in a configuration, and probably not meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/socket.h"
#include "doctor/warnings.h"

static char said[4096];

static void on_warning(void *context, unsigned line, const char *key, const char *text)
{
	size_t at = strlen(said);

	(void)context;
	(void)snprintf(said + at, sizeof(said) - at, "%u:%s:%s\n", line, key, text);
}

static char path[] = "/tmp/unproxy-warnings-test-XXXXXX";

typedef void warnings_fn(const struct conf *conf, warning_fn *fn, void *context);

/* The warnings of a file of that text, written so many days ago. */
static void warn_of(const char *text, int days, warnings_fn *warnings)
{
	struct timespec times[2] = { { .tv_sec = time(NULL) - days * 86400 } };
	struct conf_error error = { "" };
	struct conf *conf = NULL;
	int fd;

	memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	times[1] = times[0];
	assert_int_equal(futimens(fd, times), 0);
	(void)close(fd);
	if (conf_load(path, &conf, &error))
		fail_msg("%s", error.text);
	said[0] = '\0';
	warnings(conf, on_warning, NULL);
	conf_free(conf);
	(void)unlink(path);
}

static void warn(const char *text, int days, bool host)
{
	warn_of(text, days, host ? warnings_of_host : warnings_of_conf);
}

#define BACKEND "\n[backend b]\nserver=127.0.0.1:1\n"
#define LISTENER "[listener a]\nbind=127.0.0.1:65001\nbackend=b\ntrust="

static void wide_trust(void **state)
{
	static const struct {
		const char *rule;
		bool wide;
	} rules[] = {
		{ "0.0.0.0/1", true },      { "8.0.0.0/8", true },
		{ "104.16.0.0/13", false }, { "104.0.0.0/11", true },
		{ "10.0.0.0/8", false },    { "172.16.0.0/12", false },
		{ "172.0.0.0/8", true },    { "100.64.0.0/10", false },
		{ "2000::/3", true },       { "2a06:98c0::/29", false },
		{ "fc00::/7", false },      { "fd00::/8", false },
		{ "any", false },           { "192.0.2.1", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		char text[256], expect[64];

		(void)snprintf(text, sizeof(text), LISTENER "%s" BACKEND, rules[i].rule);
		(void)snprintf(expect, sizeof(expect), "4:trust:%s is a large part", rules[i].rule);
		warn(text, 0, false);
		if (!rules[i].wide)
			assert_string_equal(said, "");
		else
			assert_non_null(strstr(said, expect));
	}
}

static void a_long_migration(void **state)
{
	static const char text[] = LISTENER "::1\nheader=optional" BACKEND;

	warn(text, 13, false);
	assert_string_equal(said, "");
	warn(text, 20, false);
	assert_non_null(strstr(said, "5:header:optional for 20 days"));
	warn(LISTENER "::1\nheader=require" BACKEND, 20, false);
	assert_string_equal(said, "");
}

static void a_chain(void **state)
{
	static const char text[] =
		"[listener a]\nbind=127.0.0.1:65001\nbackend=b\ntrust=::1\n"
		"[listener c]\nbind=127.0.0.1:65002\nbackend=127.0.0.1:1\ntrust=::1\n"
		"[backend b]\nserver=127.0.0.1:65002\n";
	char with_header[512];

	warn(text, 0, true);
	assert_non_null(strstr(said, "10:server:is [listener c], which requires a header"));
	(void)snprintf(with_header, sizeof(with_header), "%sclient_address=proxy-v2\n", text);
	warn(with_header, 0, true);
	assert_string_equal(said, "");
}

#define TO_INLINE                                                             \
	"[listener a]\nbind=127.0.0.1:65001\nbackend=b\ntrust=::1\n[backend " \
	"b]\nserver=127.0.0.1:65002\n"
#define INLINE "[listener c]\nengine=inline\nport=65002\n"

/* A relay's server on this host, whose packets inline looks at. */
static void a_chain_into_inline(void **state)
{
	warn(TO_INLINE INLINE "trust=127.0.0.1\n", 0, true);
	assert_string_equal(said, "6:server:is [listener c], which requires a header, and none is "
				  "sent to it: client_address = proxy-v2\n");
	warn(TO_INLINE "client_address=proxy-v2\n" INLINE "trust=127.0.0.1\n", 0, true);
	assert_string_equal(said, "");
	warn(TO_INLINE INLINE "trust=127.0.0.1\nheader=optional\n", 0, true);
	assert_string_equal(said, "");
	warn(TO_INLINE "client_address=proxy-v2\n" INLINE "trust=10.0.0.0/8\n", 0, true);
	assert_string_equal(said, "6:server:is [listener c], which does not trust 127.0.0.1, where "
				  "these connections come from, and resets them\n");
	warn(TO_INLINE INLINE "trust=10.0.0.0/8\nuntrusted=pass\n", 0, true);
	assert_string_equal(said, "");
}

/* Those packets do not pass where inline looks, or are another address' or host's. */
static void no_chain_into_inline(void **state)
{
	warn(TO_INLINE INLINE "trust=10.0.0.0/8\naddress=127.0.0.2\n", 0, true);
	assert_string_equal(said, "");
	warn("[listener a]\nbind=127.0.0.1:65001\nbackend=192.0.2.1:65002\ntrust=::1\n" INLINE
	     "trust=10.0.0.0/8\n",
	     0, true);
	assert_string_equal(said, "");
	warn(TO_INLINE INLINE "trust=10.0.0.0/8\ninterfaces=nosuch0\n", 0, true);
	assert_null(strstr(said, "server:"));
	warn(TO_INLINE INLINE "trust=10.0.0.0/8\ninterfaces=nosuch0,lo\n", 0, true);
	assert_non_null(strstr(said, "server:is [listener c]"));
}

static void what_is_not_there(void **state)
{
	warn(INLINE "trust=::1\ninterfaces=lo,nosuch0\n", 0, true);
	assert_string_equal(said, "5:interfaces:nosuch0 is not there: its packets are looked at "
				  "once it is\n");
	warn("[listener a]\nbind=127.0.0.1:65001,\n192.0.2.1:65001-65002\nbackend=127.0.0.1:1\n"
	     "trust=::1\n",
	     0, true);
	assert_string_equal(said, "3:bind:192.0.2.1:65001 cannot be bound: Cannot assign requested "
				  "address\n");
	warn(LISTENER "::1" BACKEND, 0, true);
	assert_string_equal(said, "");
}

/* What a server that takes no connections is to the relay. */
static void an_app_that_is_not_there(void **state)
{
	struct up_addr any = { .ip = { [10] = 0xff, [11] = 0xff, 127, 0, 0, 1 },
			       .family = UP_FAMILY_IPV4 };
	_cleanup_close_ int app = socket_listen(&any, 1);
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	char text[256];

	assert_true(app >= 0);
	assert_int_equal(getsockname(app, (struct sockaddr *)&sa, &len), 0);
	addr_from_sockaddr(&any, (struct sockaddr *)&sa);
	(void)snprintf(text, sizeof(text),
		       "[listener c]\nengine=inline\ntrust=::1\nport=80 -> %u\n", any.port);
	warn_of(text, 0, warnings_of_sockets);
	assert_string_equal(said, "");
	(void)strcat(text, "address=127.0.0.1,192.0.2.1\n");
	warn_of(text, 0, warnings_of_sockets);
	(void)snprintf(text, sizeof(text), "4:port:no app listens on 192.0.2.1:%u\n", any.port);
	assert_string_equal(said, text);
	warn_of(INLINE "trust=::1\n", 0, warnings_of_sockets);
	assert_string_equal(said, "3:port:no app listens on port 65002\n");
}

/* An address that is no balancer on this host. */
static void balancer_and_server(void **state)
{
	warn(LISTENER "192.0.2.1\n[backend b]\nserver=192.0.2.1:80\n", 0, true);
	assert_non_null(strstr(said, "6:server:192.0.2.1 is a balancer of [listener a], too"));
	warn(LISTENER "192.0.2.0/31\n[backend b]\nserver=192.0.2.1:80\n", 0, true);
	assert_string_equal(said, "");
	warn(LISTENER "127.0.0.1\n[backend b]\nserver=127.0.0.1:80\n", 0, true);
	assert_string_equal(said, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wide_trust),
		cmocka_unit_test(a_long_migration),
		cmocka_unit_test(a_chain),
		cmocka_unit_test(a_chain_into_inline),
		cmocka_unit_test(no_chain_into_inline),
		cmocka_unit_test(what_is_not_there),
		cmocka_unit_test(an_app_that_is_not_there),
		cmocka_unit_test(balancer_and_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
