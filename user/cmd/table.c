// SPDX-License-Identifier: BSD-2-Clause
#include "cmd/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void table_count(uint64_t n, char *buf, size_t size)
{
	static const char units[] = " kMGTPE";
	size_t unit = 0;
	uint64_t tenths;

	if (n < 1000) {
		(void)snprintf(buf, size, "%" PRIu64, n);
		return;
	}
	/* Rounded down: what is not there is not shown. */
	while (n >= 1000000) {
		n /= 1000;
		unit++;
	}
	tenths = n / 100;
	unit++;
	if (tenths < 100)
		(void)snprintf(buf, size, "%" PRIu64 ".%" PRIu64 "%c", tenths / 10, tenths % 10,
			       units[unit]);
	else
		(void)snprintf(buf, size, "%" PRIu64 "%c", tenths / 10, units[unit]);
}

void table_age(uint64_t seconds, char *buf, size_t size)
{
	uint64_t m = seconds / 60, h = m / 60;

	if (m == 0)
		(void)snprintf(buf, size, "%" PRIu64 "s", seconds);
	else if (h == 0)
		(void)snprintf(buf, size, "%" PRIu64 "m%02" PRIu64 "s", m, seconds % 60);
	else if (h < 24)
		(void)snprintf(buf, size, "%" PRIu64 "h%02" PRIu64 "m", h, m % 60);
	else
		(void)snprintf(buf, size, "%" PRIu64 "d%02" PRIu64 "h", h / 24, h % 24);
}

void table_endpoint(const char *ip, long long port, char *buf, size_t size)
{
	if (!ip[0])
		(void)snprintf(buf, size, "-");
	else if (strchr(ip, ':'))
		(void)snprintf(buf, size, "[%s]:%lld", ip, port);
	else
		(void)snprintf(buf, size, "%s:%lld", ip, port);
}
