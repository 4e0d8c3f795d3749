/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Version 2, the binary header. The first 16 bytes are judged as they come; addresses,
 * TLVs and checksum once the whole header is there, so that a sender of single bytes
 * does not make us walk its TLVs again for each. Private to proxy_header.h.
 */
#ifndef UNPROXY_PROXY_V2_H
#define UNPROXY_PROXY_V2_H

#include "unproxy/crc32c.h"
#include "unproxy/proxy_state.h"

#define UP_V2_SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define UP_V2_SIGNATURE_LEN 12
#define UP_V2_FIXED_LEN 16
#define UP_TLV_HEAD 3     /* type and length */
#define UP_TLV_SSL_HEAD 5 /* client bits and verify */
#define UP_UNIQUE_ID_MAX 128

/* Bytes of the address block that a family brings. */
static inline __u32 up_v2_addresses_len(__u8 transport)
{
	switch (transport >> 4) {
	case UP_V2_INET:
		return 12;
	case UP_V2_INET6:
		return 36;
	case UP_V2_UNIX:
		return 216;
	default:
		return 0;
	}
}

/* LOCAL and UNSPEC: the block may hold anything. If it happens to be TLVs they are
 * used, if not that is no reason to refuse. */
static inline int up_v2_block_is_free(const struct up_parser *parser)
{
	return parser->out.command == UP_COMMAND_LOCAL ||
	       parser->out.transport >> 4 == UP_V2_UNSPEC;
}

/* Byte 12 and 13. */
static inline enum up_reason up_v2_command(struct up_parser *parser, __u8 byte)
{
	if (byte >> 4 != 2)
		return UP_REASON_V2_VERSION;
	if ((byte & 15) > UP_COMMAND_PROXY)
		return UP_REASON_V2_COMMAND;
	parser->out.version = 2;
	parser->out.command = byte & 15;
	return UP_REASON_NONE;
}

static inline enum up_reason up_v2_transport(struct up_parser *parser, __u8 byte)
{
	parser->out.transport = byte;
	if (parser->out.command == UP_COMMAND_LOCAL) /* "including the family which is ignored" */
		return UP_REASON_NONE;
	if (byte >> 4 > UP_V2_UNIX)
		return UP_REASON_V2_FAMILY;
	if ((byte & 15) > UP_V2_DGRAM)
		return UP_REASON_V2_PROTOCOL;
	return UP_REASON_NONE;
}

static inline enum up_reason up_v2_length(struct up_parser *parser, __u32 block)
{
	parser->end = UP_V2_FIXED_LEN + block;
	if (parser->end > parser->max_len)
		return UP_REASON_TOO_LONG;
	if (parser->out.command == UP_COMMAND_PROXY &&
	    block < up_v2_addresses_len(parser->out.transport))
		return UP_REASON_V2_LENGTH;
	return UP_REASON_NONE;
}

/* The first 16 bytes, as far as they are there. Sets out.need. */
static inline enum up_match up_v2_fixed(const struct up_cursor *cursor)
{
	struct up_parser *parser = cursor->parser;
	enum up_reason reason = UP_REASON_NONE;
	enum up_match match;
	__u32 at = 12;

	parser->out.need = UP_V2_FIXED_LEN;
	match = up_match(cursor, 0, UP_V2_SIGNATURE, UP_V2_SIGNATURE_LEN, UP_REASON_NO_HEADER);
	if (match != UP_MATCH_YES)
		return match;
	if (parser->len > 12)
		reason = up_v2_command(parser, up_byte(cursor, 12));
	if (!reason && parser->len > 13) {
		at = 13;
		reason = up_v2_transport(parser, up_byte(cursor, 13));
	}
	if (!reason && parser->len >= UP_V2_FIXED_LEN) {
		at = 14;
		reason = up_v2_length(parser, up_be16(cursor, 14));
	}
	if (reason) {
		up_refuse(parser, at, reason);
		return UP_MATCH_NO;
	}
	return parser->len < UP_V2_FIXED_LEN ? UP_MATCH_MORE : UP_MATCH_YES;
}

static inline void up_v2_address4(const struct up_cursor *cursor, __u32 ip_at, __u32 port_at,
				  struct up_addr *ret)
{
	ret->ip[10] = 0xFF;
	ret->ip[11] = 0xFF;
	for (__u32 i = 0; i < 4; i++)
		ret->ip[12 + i] = up_byte(cursor, ip_at + i);
	ret->port = (__u16)up_be16(cursor, port_at);
	ret->family = UP_FAMILY_IPV4;
}

static inline void up_v2_address6(const struct up_cursor *cursor, __u32 ip_at, __u32 port_at,
				  struct up_addr *ret)
{
	for (__u32 i = 0; i < 16; i++)
		ret->ip[i] = up_byte(cursor, ip_at + i);
	ret->port = (__u16)up_be16(cursor, port_at);
	ret->family = UP_FAMILY_IPV6;
}

/* Only TCP over IP says who a client of ours is; the rest is valid and not used. */
static inline void up_v2_addresses(const struct up_cursor *cursor)
{
	struct up_header *out = &cursor->parser->out;

	if (out->command != UP_COMMAND_PROXY || (out->transport & 15) != UP_V2_STREAM)
		return;
	if (out->transport >> 4 == UP_V2_INET) {
		up_v2_address4(cursor, 16, 24, &out->src);
		up_v2_address4(cursor, 20, 26, &out->dst);
		out->has_addr = 1;
	} else if (out->transport >> 4 == UP_V2_INET6) {
		up_v2_address6(cursor, 16, 48, &out->src);
		up_v2_address6(cursor, 32, 50, &out->dst);
		out->has_addr = 1;
	}
}

/* The rules for one TLV's value; enters an SSL TLV. */
static inline enum up_reason up_v2_tlv_rule(struct up_parser *parser, __u8 type, __u32 value_len)
{
	__u32 value_at = parser->pos + UP_TLV_HEAD;

	switch (type) {
	case UP_TLV_CRC32C:
		if (value_len != 4)
			return UP_REASON_CRC32C_LENGTH;
		if (!parser->crc_at)
			parser->crc_at = value_at;
		return UP_REASON_NONE;
	case UP_TLV_UNIQUE_ID:
		return value_len > UP_UNIQUE_ID_MAX ? UP_REASON_UNIQUE_ID_LENGTH : UP_REASON_NONE;
	case UP_TLV_SSL:
		if (value_len < UP_TLV_SSL_HEAD)
			return UP_REASON_SSL_LENGTH;
		parser->ssl_end = value_at + value_len;
		return UP_REASON_NONE;
	default:
		return UP_REASON_NONE;
	}
}

/* One TLV, or the end of an SSL TLV; 1 when decided. The TLVs inside of an SSL TLV are
 * walked by the same loop, one level deep: a type means nothing special in there. */
static UP_NOINLINE long up_v2_tlv_step(__u32 turn, void *ctx)
{
	const struct up_cursor *cursor = ctx;
	struct up_parser *parser = cursor->parser;
	__u32 inside = parser->ssl_end, left = (inside ? inside : parser->end) - parser->pos,
	      value_len;
	enum up_reason reason = UP_REASON_NONE;

	(void)turn;
	if (!left) {
		parser->ssl_end = 0;
		return !inside;
	}
	if (left < UP_TLV_HEAD) {
		up_refuse(parser, parser->pos, inside ? UP_REASON_SSL_TLV : UP_REASON_TLV_TAIL);
		return 1;
	}
	value_len = up_be16(cursor, parser->pos + 1);
	if (value_len > left - UP_TLV_HEAD)
		reason = inside ? UP_REASON_SSL_TLV : UP_REASON_TLV_OVERRUN;
	else if (!inside)
		reason = up_v2_tlv_rule(parser, up_byte(cursor, parser->pos), value_len);
	if (reason) {
		up_refuse(parser, parser->pos, reason);
		return 1;
	}
	parser->pos += UP_TLV_HEAD;
	parser->pos += parser->ssl_end && !inside ? UP_TLV_SSL_HEAD : value_len;
	return 0;
}

/* Walk all TLVs. A block that may hold anything and is no TLVs is left alone. */
static inline void up_v2_tlvs(struct up_cursor *cursor)
{
	struct up_parser *parser = cursor->parser;
	__u32 at = UP_V2_FIXED_LEN;

	if (!up_v2_block_is_free(parser))
		at += up_v2_addresses_len(parser->out.transport);
	parser->out.tlv_at = at;
	parser->out.tlv_len = parser->end - at;
	parser->pos = at;
	/* A TLV takes three bytes at least, the end of an SSL TLV a turn of its own, and there
	 * is at most one such in eight bytes: half as many turns as bytes are enough. */
	up_loop(parser->out.tlv_len / 2 + 2, up_v2_tlv_step, cursor);
	if (parser->status == UP_HEADER_INVALID && up_v2_block_is_free(parser)) {
		parser->status = UP_HEADER_INCOMPLETE;
		parser->out.reason = UP_REASON_NONE;
		parser->out.error_at = 0;
		parser->out.tlv_len = 0;
		parser->crc_at = 0;
	}
}

/* One byte of the checksum, the checksum's own bytes taken as zero. */
static UP_NOINLINE long up_v2_crc_step(__u32 turn, void *ctx)
{
	const struct up_cursor *cursor = ctx;
	struct up_parser *parser = cursor->parser;
	__u32 pos = parser->pos;
	__u8 byte = up_byte(cursor, pos);

	(void)turn;
	if (pos - parser->crc_at < 4)
		byte = 0;
	parser->crc = up_crc32c_byte(parser->crc, byte);
	parser->pos = pos + 1;
	return 0;
}

static inline void up_v2_checksum(struct up_cursor *cursor)
{
	struct up_parser *parser = cursor->parser;
	__u32 at = parser->crc_at;

	if (!at)
		return;
	parser->crc = UP_CRC32C_INIT;
	parser->pos = 0;
	up_loop(parser->end, up_v2_crc_step, cursor);
	if ((up_be16(cursor, at) << 16 | up_be16(cursor, at + 2)) != ~parser->crc)
		up_refuse(parser, at, UP_REASON_CRC32C_MISMATCH);
}

/* The caller has seen a CR. */
static inline void up_v2_parse(struct up_cursor *cursor)
{
	struct up_parser *parser = cursor->parser;

	if (up_v2_fixed(cursor) != UP_MATCH_YES)
		return;
	parser->out.need = parser->end;
	if (parser->len < parser->end)
		return;
	up_v2_tlvs(cursor);
	if (parser->status == UP_HEADER_INCOMPLETE)
		up_v2_checksum(cursor);
	if (parser->status == UP_HEADER_INVALID)
		return;
	up_v2_addresses(cursor);
	parser->out.len = parser->end;
	parser->status = UP_HEADER_COMPLETE;
}

#endif
