/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/cidr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const uint8_t mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };

bool cidr_is_mapped(const uint8_t ip[16])
{
	return memcmp(ip, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

static bool prefix_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned bytes = bits / 8, rest = bits % 8;

	if (memcmp(a, b, bytes) != 0)
		return false;
	return rest == 0 || ((a[bytes] ^ b[bytes]) >> (8 - rest)) == 0;
}

static bool host_bits_set(const struct cidr *cidr)
{
	for (unsigned bit = cidr->prefix_len; bit < 128; bit++) {
		if (cidr->ip[bit / 8] & (0x80 >> bit % 8))
			return true;
	}
	return false;
}

/* "/LEN" -> *ret, which holds the longest already. Digits only, no leading zero. */
static int parse_prefix(const char *text, unsigned *ret)
{
	unsigned len = 0;
	size_t n = strlen(text);

	if (n == 0 || n > 3 || (n > 1 && text[0] == '0'))
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		len = len * 10 + (unsigned)(*text - '0');
	}
	if (len > *ret)
		return -EINVAL;
	*ret = len;
	return 0;
}

const char *cidr_parse(const char *text, struct cidr *ret)
{
	struct cidr cidr = { 0 };
	char ip[CIDR_TEXT_MAX];
	char *slash;
	unsigned len;
	bool v4;

	(void)snprintf(ip, sizeof(ip), "%s", text);
	slash = strchr(ip, '/');
	if (slash)
		*slash++ = '\0';

	v4 = inet_pton(AF_INET, ip, cidr.ip + 12) == 1;
	if (v4)
		memcpy(cidr.ip, mapped_prefix, sizeof(mapped_prefix));
	else if (inet_pton(AF_INET6, ip, cidr.ip) != 1)
		return "not an address or CIDR";

	len = v4 ? 32 : 128;
	if (slash && parse_prefix(slash, &len) < 0)
		return v4 ? "the prefix length is 0 to 32" : "the prefix length is 0 to 128";
	cidr.prefix_len = (uint8_t)(v4 ? len + CIDR_MAPPED_BITS : len);
	if (host_bits_set(&cidr))
		return "has bits set behind its prefix";
	*ret = cidr;
	return NULL;
}

size_t cidr_format(const struct cidr *cidr, char *buf, size_t size)
{
	bool v4 = cidr->prefix_len >= CIDR_MAPPED_BITS && cidr_is_mapped(cidr->ip);
	char ip[INET6_ADDRSTRLEN];
	int n;

	(void)inet_ntop(v4 ? AF_INET : AF_INET6, cidr->ip + (v4 ? 12 : 0), ip, sizeof(ip));
	if (cidr->prefix_len == 128)
		n = snprintf(buf, size, "%s", ip);
	else
		n = snprintf(buf, size, "%s/%d", ip,
			     cidr->prefix_len - (v4 ? CIDR_MAPPED_BITS : 0));
	return n < 0 ? 0 : (size_t)n;
}

bool cidr_holds(const struct cidr *cidr, const uint8_t ip[16])
{
	if (cidr->prefix_len < CIDR_MAPPED_BITS && cidr_is_mapped(ip))
		return false;
	return prefix_equal(cidr->ip, ip, cidr->prefix_len);
}
