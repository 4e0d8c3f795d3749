/* SPDX-License-Identifier: BSD-2-Clause */
/* Endpoints: every spelling, both ways. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/addr.h"
#include "base/cleanup.h"

static struct up_addr parse(const char *text)
{
	struct up_addr addr;

	memset(&addr, 0xaa, sizeof(addr));
	assert_int_equal(addr_parse(text, &addr), 0);
	return addr;
}

static void assert_text(const char *text, const char *expect)
{
	struct up_addr addr = parse(text);
	char buf[ADDR_TEXT_MAX];

	assert_int_equal(addr_format(&addr, buf, sizeof(buf)), strlen(expect));
	assert_string_equal(buf, expect);
}

static void text_and_back(void **state)
{
	assert_text("1.2.3.4:80", "1.2.3.4:80");
	assert_text("255.255.255.255:65535", "255.255.255.255:65535");
	assert_text("0.0.0.0:0", "0.0.0.0:0");
	assert_text("[::1]:80", "[::1]:80");
	assert_text("[2001:DB8::1]:443", "[2001:db8::1]:443");
	assert_text("[1111:2222:3333:4444:5555:6666:7777:8888]:65535",
		    "[1111:2222:3333:4444:5555:6666:7777:8888]:65535");
	assert_text(":80", "[::]:80");
	assert_text("*:80", "[::]:80");
	assert_text("[::ffff:10.0.0.1]:80", "10.0.0.1:80");
}

static void refused(void **state)
{
	static const char *const texts[] = {
		"",
		"1.2.3.4",
		"1.2.3.4:",
		"1.2.3.4:65536",
		"1.2.3.4:-1",
		"1.2.3.4:+1",
		"1.2.3.4: 1",
		"1.2.3.4:1 ",
		"1.2.3.4:000001",
		"1.2.3:80",
		"1.2.3.4.5:80",
		"::1:80",
		"::1",
		"[::1]",
		"[::1]80",
		"[1.2.3.4]:80",
		"[]:80",
		"[:80",
		"localhost:80",
		"**:80",
		"[fe80::1%lo]:80",
		"1.2.3.4:80-90",
		"1.2.3.4:80-80",
		"1.2.3.4:0x50",
		":",
		"[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb]:1",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct up_addr addr, untouched;

		memset(&addr, 0x55, sizeof(addr));
		untouched = addr;
		if (addr_parse(texts[i], &addr) != -EINVAL)
			fail_msg("accepted: \"%s\"", texts[i]);
		assert_memory_equal(&addr, &untouched, sizeof(addr));
	}
}

static void ranges(void **state)
{
	struct up_addr addr;
	uint16_t last = 7;

	assert_int_equal(addr_parse_range("10.0.0.1:80-90", &addr, &last), 0);
	assert_int_equal(addr.port, 80);
	assert_int_equal(last, 90);
	assert_int_equal(addr_parse_range("[::1]:80", &addr, &last), 0);
	assert_int_equal(last, 80);
	assert_int_equal(addr_parse_range("*:1-65535", &addr, &last), 0);
	assert_int_equal(last, 65535);

	last = 7;
	assert_int_equal(addr_parse_range("*:90-80", &addr, &last), -EINVAL);
	assert_int_equal(addr_parse_range("*:80-", &addr, &last), -EINVAL);
	assert_int_equal(addr_parse_range("*:-80", &addr, &last), -EINVAL);
	assert_int_equal(addr_parse_range("*:80-90-95", &addr, &last), -EINVAL);
	assert_int_equal(last, 7);
}

static void sockaddr_both_ways(void **state)
{
	static const char *const texts[] = { "192.0.2.1:80", "[2001:db8::1]:443" };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct up_addr from = parse(texts[i]), back;
		struct sockaddr_storage ss;
		socklen_t len = addr_to_sockaddr(&from, &ss);

		assert_int_equal(ss.ss_family, i == 0 ? AF_INET : AF_INET6);
		assert_int_equal(len,
				 i == 0 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
		addr_from_sockaddr(&back, (const struct sockaddr *)&ss);
		assert_true(addr_equal(&from, &back));
		assert_memory_equal(&from, &back, sizeof(back));
	}
}

static void mapped_sockaddr_is_ipv4(void **state)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(9) };
	struct up_addr addr, same = parse("10.1.2.3:9");

	assert_int_equal(inet_pton(AF_INET6, "::ffff:10.1.2.3", &in6.sin6_addr), 1);
	addr_from_sockaddr(&addr, (const struct sockaddr *)&in6);
	assert_int_equal(addr.family, UP_FAMILY_IPV4);
	assert_true(addr_equal(&addr, &same));
}

static void no_address(void **state)
{
	struct sockaddr sa = { .sa_family = AF_UNIX };
	struct sockaddr_storage ss;
	struct up_addr addr;
	char buf[8];

	addr_from_sockaddr(&addr, &sa);
	assert_int_equal(addr.family, UP_FAMILY_NONE);
	assert_int_equal(addr_to_sockaddr(&addr, &ss), 0);
	assert_int_equal(addr_format(&addr, buf, sizeof(buf)), 1);
	assert_string_equal(buf, "-");
	assert_int_equal(addr_format_ip(&addr, buf, sizeof(buf)), 1);
	assert_string_equal(buf, "-");
}

static void ip_alone(void **state)
{
	struct up_addr v4 = parse("192.0.2.1:80"), v6 = parse("[2001:db8::1]:80");
	char buf[ADDR_TEXT_MAX];

	assert_int_equal(addr_format_ip(&v4, buf, sizeof(buf)), 9);
	assert_string_equal(buf, "192.0.2.1");
	assert_int_equal(addr_format_ip(&v6, buf, sizeof(buf)), 11);
	assert_string_equal(buf, "2001:db8::1");
}

static void small_buffers(void **state)
{
	struct up_addr addr = parse("192.0.2.1:80");
	char buf[5] = "xxxx";

	assert_int_equal(addr_format(&addr, buf, 0), 0);
	assert_string_equal(buf, "xxxx");
	assert_int_equal(addr_format(&addr, buf, sizeof(buf)), 4);
	assert_string_equal(buf, "192.");
	assert_int_equal(addr_format(&addr, buf, 1), 0);
	assert_string_equal(buf, "");
}

static void equality(void **state)
{
	struct up_addr a = parse("192.0.2.1:80"), b = a;

	assert_true(addr_equal(&a, &b));
	b.port = 81;
	assert_false(addr_equal(&a, &b));
	b = a;
	b.ip[15] = 2;
	assert_false(addr_equal(&a, &b));
	b = a;
	b.family = UP_FAMILY_NONE;
	assert_false(addr_equal(&a, &b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_and_back), cmocka_unit_test(refused),
		cmocka_unit_test(ranges),        cmocka_unit_test(sockaddr_both_ways),
		cmocka_unit_test(no_address),    cmocka_unit_test(mapped_sockaddr_is_ipv4),
		cmocka_unit_test(ip_alone),      cmocka_unit_test(small_buffers),
		cmocka_unit_test(equality),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
