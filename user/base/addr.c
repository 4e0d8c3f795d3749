/* SPDX-License-Identifier: BSD-2-Clause */
/* Endpoints as text and as sockaddr. No host names, no policy, no logging. */
#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static void set_ipv4(struct up_addr *ret, const void *ip, uint16_t port)
{
	*ret = (struct up_addr){ .port = port, .family = UP_FAMILY_IPV4 };
	memcpy(ret->ip, mapped_prefix, sizeof(mapped_prefix));
	memcpy(ret->ip + 12, ip, 4);
}

static void set_ipv6(struct up_addr *ret, const void *ip, uint16_t port)
{
	if (memcmp(ip, mapped_prefix, sizeof(mapped_prefix)) == 0) {
		set_ipv4(ret, (const uint8_t *)ip + 12, port);
		return;
	}
	*ret = (struct up_addr){ .port = port, .family = UP_FAMILY_IPV6 };
	memcpy(ret->ip, ip, 16);
}

void addr_from_sockaddr(struct up_addr *ret, const struct sockaddr *sa)
{
	/* Copied: the caller's buffer may be aligned for bytes only. */
	struct sockaddr_in6 in6;
	struct sockaddr_in in;

	switch (sa->sa_family) {
	case AF_INET:
		memcpy(&in, sa, sizeof(in));
		set_ipv4(ret, &in.sin_addr, ntohs(in.sin_port));
		break;
	case AF_INET6:
		memcpy(&in6, sa, sizeof(in6));
		set_ipv6(ret, &in6.sin6_addr, ntohs(in6.sin6_port));
		break;
	default:
		*ret = (struct up_addr){ .family = UP_FAMILY_NONE };
	}
}

socklen_t addr_to_sockaddr(const struct up_addr *addr, struct sockaddr_storage *ret)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(addr->port) };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(addr->port) };

	memset(ret, 0, sizeof(*ret));
	switch (addr->family) {
	case UP_FAMILY_IPV4:
		memcpy(&in.sin_addr, addr->ip + 12, 4);
		memcpy(ret, &in, sizeof(in));
		return sizeof(in);
	case UP_FAMILY_IPV6:
		memcpy(&in6.sin6_addr, addr->ip, 16);
		memcpy(ret, &in6, sizeof(in6));
		return sizeof(in6);
	default:
		return 0;
	}
}

static char *put_number(char *at, unsigned value)
{
	char digits[5];
	int n = 0;

	do
		digits[n++] = (char)('0' + value % 10);
	while ((value /= 10) > 0);
	while (n > 0)
		*at++ = digits[--n];
	return at;
}

/* IPv4 by hand: the client log formats up to eight addresses a line, and inet_ntop(3)
 * goes through sprintf. */
static char *put_ip(char *at, const struct up_addr *addr)
{
	switch (addr->family) {
	case UP_FAMILY_IPV4:
		for (int i = 12; i < 16; i++) {
			at = put_number(at, addr->ip[i]);
			*at++ = '.';
		}
		return at - 1;
	case UP_FAMILY_IPV6:
		if (!inet_ntop(AF_INET6, addr->ip, at, INET6_ADDRSTRLEN))
			break;
		return at + strlen(at);
	default:
		break;
	}
	*at++ = '-';
	return at;
}

static size_t copy_text(char *buf, size_t size, const char *text, size_t len)
{
	if (size == 0)
		return 0;
	if (len > size - 1)
		len = size - 1;
	memcpy(buf, text, len);
	buf[len] = '\0';
	return len;
}

size_t addr_format(const struct up_addr *addr, char *buf, size_t size)
{
	bool bracket = addr->family == UP_FAMILY_IPV6;
	char text[ADDR_TEXT_MAX], *at = text;

	if (bracket)
		*at++ = '[';
	at = put_ip(at, addr);
	if (bracket)
		*at++ = ']';
	if (bracket || addr->family == UP_FAMILY_IPV4) {
		*at++ = ':';
		at = put_number(at, addr->port);
	}
	return copy_text(buf, size, text, (size_t)(at - text));
}

size_t addr_format_ip(const struct up_addr *addr, char *buf, size_t size)
{
	char text[ADDR_TEXT_MAX];
	char *end = put_ip(text, addr);

	return copy_text(buf, size, text, (size_t)(end - text));
}

/* One to five digits up to *ret_end; strtoul(3) would take signs and spaces. */
static int parse_port(const char *text, const char **ret_end, uint16_t *ret)
{
	unsigned value = 0;
	int n = 0;

	while (text[n] >= '0' && text[n] <= '9' && n < 6)
		value = value * 10 + (unsigned)(text[n++] - '0');
	if (n == 0 || n > 5 || value > UINT16_MAX)
		return -EINVAL;
	*ret_end = text + n;
	*ret = (uint16_t)value;
	return 0;
}

/* The part before the port: "1.2.3.4", "[::1]", "*" or nothing. */
static int parse_host(const char *host, size_t len, struct up_addr *ret)
{
	char text[INET6_ADDRSTRLEN];
	uint8_t ip[16] = { 0 };
	bool bracket = len >= 2 && host[0] == '[' && host[len - 1] == ']';

	if (len == 0 || (len == 1 && host[0] == '*')) {
		set_ipv6(ret, ip, 0);
		return 0;
	}
	if (bracket) {
		host++;
		len -= 2;
	}
	if (len >= sizeof(text))
		return -EINVAL;
	memcpy(text, host, len);
	text[len] = '\0';

	if (inet_pton(bracket ? AF_INET6 : AF_INET, text, ip) != 1)
		return -EINVAL;
	if (bracket)
		set_ipv6(ret, ip, 0);
	else
		set_ipv4(ret, ip, 0);
	return 0;
}

int addr_parse_range(const char *text, struct up_addr *ret, uint16_t *ret_last_port)
{
	const char *colon = strrchr(text, ':');
	uint16_t first, last;
	struct up_addr addr;
	const char *end;

	if (!colon || parse_host(text, (size_t)(colon - text), &addr) < 0)
		return -EINVAL;
	if (parse_port(colon + 1, &end, &first) < 0)
		return -EINVAL;
	last = first;
	if (*end == '-' && parse_port(end + 1, &end, &last) < 0)
		return -EINVAL;
	if (*end != '\0' || last < first)
		return -EINVAL;

	addr.port = first;
	*ret = addr;
	*ret_last_port = last;
	return 0;
}

int addr_parse(const char *text, struct up_addr *ret)
{
	struct up_addr addr;
	uint16_t last;

	/* "80-80" is a range that happens to hold one port: not an endpoint. */
	if (addr_parse_range(text, &addr, &last) < 0 || strchr(text, '-'))
		return -EINVAL;
	*ret = addr;
	return 0;
}

int addr_parse_ip(const char *text, struct up_addr *ret)
{
	uint8_t ip[16];

	if (inet_pton(AF_INET, text, ip) == 1)
		set_ipv4(ret, ip, 0);
	else if (inet_pton(AF_INET6, text, ip) == 1)
		set_ipv6(ret, ip, 0);
	else
		return -EINVAL;
	return 0;
}

bool addr_is_loopback(const struct up_addr *addr)
{
	static const uint8_t one[16] = { [15] = 1 };

	if (addr->family == UP_FAMILY_IPV4)
		return addr->ip[12] == 127;
	return memcmp(addr->ip, one, sizeof(one)) == 0;
}

static bool is_any(const struct up_addr *addr, enum up_family family)
{
	static const uint8_t zero[16];
	size_t host = family == UP_FAMILY_IPV4 ? 12 : 0;

	return addr->family == family && memcmp(addr->ip + host, zero, 16 - host) == 0;
}

bool addr_covers(const struct up_addr *wide, const struct up_addr *addr)
{
	if (is_any(wide, UP_FAMILY_IPV6))
		return true;
	if (is_any(wide, UP_FAMILY_IPV4))
		return addr->family == UP_FAMILY_IPV4;
	return memcmp(wide->ip, addr->ip, sizeof(wide->ip)) == 0;
}

bool addr_equal(const struct up_addr *a, const struct up_addr *b)
{
	return a->family == b->family && a->port == b->port &&
	       memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}
