// SPDX-License-Identifier: BSD-2-Clause
/* Encode a PROXY header toward a backend. What is written here, our own parser accepts. */
#include "client/header_write.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "unproxy/proxy_header.h"
#include "unproxy/proxy_tlv.h"

#define V2_ADDRESSES4 12
#define V2_ADDRESSES6 36

static const uint8_t signature[UP_V2_SIGNATURE_LEN] = UP_V2_SIGNATURE;

/* The family both addresses can be written in; NONE if there is nothing to tell. */
static enum up_family family_of(const struct header_write *in)
{
	if (in->command != UP_COMMAND_PROXY || in->src.family == UP_FAMILY_NONE ||
	    in->dst.family == UP_FAMILY_NONE)
		return UP_FAMILY_NONE;
	if (in->src.family == UP_FAMILY_IPV4 && in->dst.family == UP_FAMILY_IPV4)
		return UP_FAMILY_IPV4;
	return UP_FAMILY_IPV6;
}

int header_write_v1(const struct header_write *in, uint8_t *buf, size_t size)
{
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN], line[UP_HEADER_V1_MAX + 1];
	enum up_family family = family_of(in);
	int af = family == UP_FAMILY_IPV4 ? AF_INET : AF_INET6;
	size_t at = family == UP_FAMILY_IPV4 ? 12 : 0;
	int len;

	if (family == UP_FAMILY_NONE) {
		len = snprintf(line, sizeof(line), "PROXY UNKNOWN\r\n");
	} else {
		(void)inet_ntop(af, in->src.ip + at, src, sizeof(src));
		(void)inet_ntop(af, in->dst.ip + at, dst, sizeof(dst));
		len = snprintf(line, sizeof(line), "PROXY TCP%d %s %s %u %u\r\n", family, src, dst,
			       in->src.port, in->dst.port);
	}
	if ((size_t)len > size)
		return -ENOBUFS;
	memcpy(buf, line, (size_t)len);
	return len;
}

static void put_be16(uint8_t *p, size_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static void put_be32(uint8_t *p, uint32_t value)
{
	put_be16(p, value >> 16);
	put_be16(p + 2, value & 0xFFFF);
}

/* src, dst, ports; returns the end. */
static uint8_t *put_addresses(uint8_t *p, const struct header_write *in, enum up_family family)
{
	size_t skip = family == UP_FAMILY_IPV4 ? 12 : 0, n = 16 - skip;

	memcpy(p, in->src.ip + skip, n);
	memcpy(p + n, in->dst.ip + skip, n);
	put_be16(p + 2 * n, in->src.port);
	put_be16(p + 2 * n + 2, in->dst.port);
	return p + 2 * n + 4;
}

/* How many bytes put_tlvs() will write, or -EBADMSG if they do not tile. */
static long tlvs_len(const struct header_write *in)
{
	struct up_tlv_walk walk = { in->tlvs, in->tlvs + in->tlv_len };
	bool has_crc = false;
	struct up_tlv tlv;
	long len = 0;

	while (up_tlv_next(&walk, &tlv)) {
		if (tlv.type == UP_TLV_CRC32C && has_crc)
			continue;
		if (tlv.type == UP_TLV_CRC32C && tlv.len != 4)
			return -EBADMSG;
		has_crc = has_crc || tlv.type == UP_TLV_CRC32C;
		len += UP_TLV_HEAD + tlv.len;
	}
	return walk.at == walk.end ? len : -EBADMSG;
}

/* Copy the TLVs; of several checksums the first, zeroed. Returns where that is, or NULL. */
static uint8_t *put_tlvs(uint8_t *p, const struct header_write *in)
{
	struct up_tlv_walk walk = { in->tlvs, in->tlvs + in->tlv_len };
	uint8_t *crc = NULL;
	struct up_tlv tlv;

	while (up_tlv_next(&walk, &tlv)) {
		if (tlv.type == UP_TLV_CRC32C && crc)
			continue;
		p[0] = tlv.type;
		put_be16(p + 1, tlv.len);
		memcpy(p + UP_TLV_HEAD, tlv.value, tlv.len);
		if (tlv.type == UP_TLV_CRC32C) {
			crc = p + UP_TLV_HEAD;
			memset(crc, 0, 4);
		}
		p += UP_TLV_HEAD + tlv.len;
	}
	return crc;
}

static uint32_t crc32c(const uint8_t *bytes, size_t len)
{
	uint32_t crc = UP_CRC32C_INIT;

	for (size_t i = 0; i < len; i++)
		crc = up_crc32c_byte(crc, bytes[i]);
	return ~crc;
}

static int write_local(uint8_t *buf, size_t size)
{
	static const uint8_t local[UP_V2_FIXED_LEN] = UP_V2_SIGNATURE "\x20\0\0";

	if (size < sizeof(local))
		return -ENOBUFS;
	memcpy(buf, local, sizeof(local));
	return (int)sizeof(local);
}

int header_write_v2(const struct header_write *in, uint8_t *buf, size_t size)
{
	enum up_family family = family_of(in);
	size_t block = family == UP_FAMILY_IPV4 ? V2_ADDRESSES4 : V2_ADDRESSES6;
	long tlvs = in->tlv_len ? tlvs_len(in) : 0;
	uint8_t *crc = NULL;

	if (family == UP_FAMILY_NONE)
		return write_local(buf, size);
	if (tlvs < 0)
		return (int)tlvs;
	block += (size_t)tlvs;
	if (block > UINT16_MAX)
		return -EMSGSIZE;
	if (UP_V2_FIXED_LEN + block > size)
		return -ENOBUFS;
	memcpy(buf, signature, sizeof(signature));
	buf[12] = 0x20 | UP_COMMAND_PROXY;
	buf[13] = (family == UP_FAMILY_IPV4 ? UP_V2_INET : UP_V2_INET6) << 4 | UP_V2_STREAM;
	put_be16(buf + 14, block);
	if (in->tlv_len)
		crc = put_tlvs(put_addresses(buf + UP_V2_FIXED_LEN, in, family), in);
	else
		(void)put_addresses(buf + UP_V2_FIXED_LEN, in, family);
	if (crc)
		put_be32(crc, crc32c(buf, UP_V2_FIXED_LEN + block));
	return (int)(UP_V2_FIXED_LEN + block);
}
