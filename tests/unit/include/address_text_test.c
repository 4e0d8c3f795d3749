// SPDX-License-Identifier: BSD-2-Clause
/* The text of addresses in a version 1 line: the parser must say what inet_pton() says. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "unproxy/proxy_header.h"

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static void random_text(char *text, size_t max, const char *alphabet, uint32_t *seed)
{
	size_t n = 1 + next_random(seed) % max;

	for (size_t i = 0; i < n; i++)
		text[i] = alphabet[next_random(seed) % strlen(alphabet)];
	text[n] = '\0';
}

/* Does the parser agree with inet_pton() about this text? Returns whether it is valid. */
static bool assert_agrees(const char *text, int family)
{
	uint8_t expect[16] = { [10] = 0xFF, [11] = 0xFF };
	bool valid = inet_pton(family, text, family == AF_INET ? expect + 12 : expect) == 1;
	const struct up_header_limits limits = { .max_len = UP_HEADER_MAX };
	enum up_header_status status;
	struct up_header header;
	char line[128];

	snprintf(line, sizeof(line), "PROXY TCP%c %s %s 1 2\r\n", family == AF_INET ? '4' : '6',
		 text, family == AF_INET ? "0.0.0.0" : "::");
	status = up_header_parse((const __u8 *)line, (__u32)strlen(line), &limits, &header);
	if ((status == UP_HEADER_COMPLETE) != valid)
		fail_msg("\"%s\": the C library says %d", text, valid);
	if (valid)
		assert_memory_equal(header.src.ip, expect, sizeof(expect));
	return valid;
}

/* Four or so numbers with dots, some of them out of bounds or with a leading zero. */
static void chance_ipv4(void **state)
{
	static const char *const octets[] = { "0",   "1",   "9",  "10", "99",   "100", "199", "249",
					      "255", "256", "00", "01", "1000", "",    "a" };
	unsigned valid = 0;
	uint32_t seed = 1;

	for (unsigned i = 0; i < 200000; i++) {
		unsigned n = next_random(&seed) % 16 ? 4 : 1 + next_random(&seed) % 5;
		unsigned kinds = next_random(&seed) % 2 ? 9 : ARRAY_SIZE(octets);
		char text[64] = "";

		for (unsigned o = 0; o < n; o++) {
			if (o)
				strcat(text, ".");
			strcat(text, octets[next_random(&seed) % kinds]);
		}
		if (text[0])
			valid += assert_agrees(text, AF_INET);
	}
	assert_true(valid > 10000);
}

static void chance_ipv6(void **state)
{
	unsigned valid = 0;
	uint32_t seed = 1;
	char text[64];

	for (unsigned i = 0; i < 200000; i++) {
		random_text(text, 20, ":::::01fF:", &seed);
		valid += assert_agrees(text, AF_INET6);
		random_text(text, 24, ":::::12.a", &seed);
		valid += assert_agrees(text, AF_INET6);
	}
	assert_true(valid > 500);
}

/* Valid texts with one byte changed: nearer to the rules than chance gets. */
static void nearly_valid_ipv6(void **state)
{
	static const char *const texts[] = {
		"1:2:3:4:5:6:7:8",
		"::",
		"1::",
		"::8",
		"1:2:3:4:5:6:7::",
		"::2:3:4:5:6:7:8",
		"1:2:3::7:8",
		"::ffff:192.0.2.1",
		"1:2:3:4:5:6:255.254.0.9",
		"::1:2:3:4:5:1.2.3.4",
		"1:2:3:4:5::1.2.3.4",
		"abcd:ef01::192.168.100.200",
		"1:2:3:4:5:6:7::1",
	};
	uint32_t seed = 2;

	for (unsigned i = 0; i < 100000; i++) {
		char text[64];
		size_t n;

		strcpy(text, texts[i % ARRAY_SIZE(texts)]);
		n = strlen(text);
		text[next_random(&seed) % n] = ":.0129afF"[next_random(&seed) % 9];
		if (next_random(&seed) % 4 == 0)
			text[n - 1 - next_random(&seed) % 2] = '\0';
		if (text[0])
			(void)assert_agrees(text, AF_INET6);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chance_ipv4),
		cmocka_unit_test(chance_ipv6),
		cmocka_unit_test(nearly_valid_ipv6),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
