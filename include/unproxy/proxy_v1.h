/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Version 1, the line of text. Each byte is judged when it comes: what cannot become a
 * valid line any more is refused there. Private to proxy_header.h.
 */
#ifndef UNPROXY_PROXY_V1_H
#define UNPROXY_PROXY_V1_H

#include "unproxy/proxy_state.h"

#define UP_V1_NO_GAP 0xFF

enum up_v1_field {
	UP_V1_SRC,
	UP_V1_DST,
	UP_V1_SPORT,
	UP_V1_DPORT,
	UP_V1_LF,         /* behind the CR that must end the line */
	UP_V1_UNKNOWN,    /* right behind the word */
	UP_V1_IGNORED,    /* anything up to CR LF */
	UP_V1_IGNORED_CR, /* ... behind a CR, which may end the line */
	UP_V1_DONE,
};

/* The refusal of a byte that has no place in a field. */
static inline enum up_reason up_v1_stray(__u8 ch, enum up_reason field_reason)
{
	if (ch == ' ' || ch == '\t')
		return UP_REASON_V1_SEPARATOR;
	if (ch == '\r' || ch == '\n')
		return UP_REASON_V1_LINE_END;
	return field_reason;
}

static inline int up_v1_is_digit(__u8 ch)
{
	return ch >= '0' && ch <= '9';
}

/* The value of a hexadecimal digit, 16 for any other byte. */
static inline __u32 up_v1_hex(__u8 ch)
{
	if (up_v1_is_digit(ch))
		return (__u32)ch - '0';
	ch |= 0x20;
	return ch >= 'a' && ch <= 'f' ? (__u32)ch - 'a' + 10 : 16;
}

/* One more digit of a decimal up to max; 0 if it does not fit or follows a leading zero. */
static inline int up_v1_decimal(struct up_parser *parser, __u8 ch, __u32 max)
{
	if (parser->digits && !parser->value)
		return 0;
	parser->value = parser->value * 10 + (ch - '0');
	parser->digits++;
	return parser->value <= max;
}

static inline void up_v1_next_number(struct up_parser *parser)
{
	parser->value = 0;
	parser->digits = 0;
}

static inline void up_v1_begin_field(struct up_parser *parser, __u32 field)
{
	parser->field = (__u8)field;
	up_v1_next_number(parser);
	parser->octets = 0;
	parser->groups = 0;
	parser->colons = 0;
	parser->gap = UP_V1_NO_GAP;
	parser->dotted = parser->family == 4;
	parser->ip_at = 12;
	__builtin_memset(parser->ip, 0, sizeof(parser->ip));
}

static inline void up_v1_store_octet(struct up_parser *parser)
{
	parser->ip[up_bounded((__u32)parser->ip_at + parser->octets, 15)] = (__u8)parser->value;
	parser->octets++;
	up_v1_next_number(parser);
}

static inline enum up_reason up_v1_address_reason(const struct up_parser *parser)
{
	return parser->family == 4 ? UP_REASON_V1_IPV4 : UP_REASON_V1_IPV6;
}

static inline enum up_reason up_v1_dotted_byte(struct up_parser *parser, __u8 ch)
{
	if (up_v1_is_digit(ch))
		return up_v1_decimal(parser, ch, 255) ? UP_REASON_NONE
						      : up_v1_address_reason(parser);
	if (ch == '.' && parser->digits && parser->octets < 3) {
		up_v1_store_octet(parser);
		return UP_REASON_NONE;
	}
	if (ch == ':' && parser->family == 4)
		return UP_REASON_V1_FAMILY;
	return up_v1_stray(ch, up_v1_address_reason(parser));
}

static inline void up_v1_store_group(struct up_parser *parser)
{
	__u32 at = (__u32)parser->groups * 2;

	parser->ip[up_bounded(at, 15)] = (__u8)(parser->value >> 8);
	parser->ip[up_bounded(at + 1, 15)] = (__u8)parser->value;
	parser->groups++;
	up_v1_next_number(parser);
}

static inline int up_v1_has_gap(const struct up_parser *parser)
{
	return parser->gap != UP_V1_NO_GAP;
}

/* A dot behind what was read as a group: that was the first octet of an IPv4 tail, or
 * (with the compatibility switch) of an IPv4 address. */
static inline enum up_reason up_v1_first_dot(struct up_parser *parser)
{
	__u32 hundreds = parser->value >> 8, tens = parser->value >> 4 & 15,
	      ones = parser->value & 15;

	if (!parser->digits)
		return UP_REASON_V1_IPV6;
	if (!parser->groups && !up_v1_has_gap(parser)) {
		if (!(parser->flags & UP_HEADER_V1_IPV4_IN_TCP6))
			return UP_REASON_V1_FAMILY;
		parser->ip_at = 12;
	} else if (up_v1_has_gap(parser) ? parser->groups <= 5 : parser->groups == 6) {
		parser->ip_at = parser->groups * 2;
	} else {
		return UP_REASON_V1_IPV6;
	}
	if (tens > 9 || ones > 9) /* too many hundreds are beyond 255 anyhow */
		return UP_REASON_V1_IPV6;
	if ((parser->digits == 3 && !hundreds) || (parser->digits == 2 && !tens))
		return UP_REASON_V1_IPV6;
	parser->value = hundreds * 100 + tens * 10 + ones;
	if (parser->value > 255 || parser->digits > 3)
		return UP_REASON_V1_IPV6;
	parser->dotted = 1;
	up_v1_store_octet(parser);
	return UP_REASON_NONE;
}

static inline enum up_reason up_v1_colon(struct up_parser *parser)
{
	if (parser->digits) {
		up_v1_store_group(parser);
		parser->colons = 1;
		/* Another group, or "::" for at least one, must still fit. */
		return parser->groups + up_v1_has_gap(parser) <= 7 ? UP_REASON_NONE
								   : UP_REASON_V1_IPV6;
	}
	if (parser->colons == 2 || (parser->colons == 1 && up_v1_has_gap(parser)))
		return UP_REASON_V1_IPV6;
	parser->colons++;
	if (parser->colons == 2)
		parser->gap = parser->groups;
	return UP_REASON_NONE;
}

static inline enum up_reason up_v1_ipv6_byte(struct up_parser *parser, __u8 ch)
{
	__u32 digit = up_v1_hex(ch);

	if (ch == ':')
		return up_v1_colon(parser);
	if (ch == '.')
		return up_v1_first_dot(parser);
	if (digit == 16)
		return up_v1_stray(ch, UP_REASON_V1_IPV6);
	if (parser->digits == 4 || parser->groups + up_v1_has_gap(parser) > 7)
		return UP_REASON_V1_IPV6;
	if (parser->colons == 1 && !parser->groups) /* ":1": an address may begin with "::" only */
		return UP_REASON_V1_IPV6;
	parser->value = parser->value << 4 | digit;
	parser->digits++;
	parser->colons = 0;
	return UP_REASON_NONE;
}

/* Move the groups behind "::" to the end of the address. */
static inline void up_v1_expand_gap(struct up_parser *parser)
{
	__u32 end = (__u32)parser->groups * 2, moved = end - (__u32)parser->gap * 2;

	for (__u32 i = 0; i < 14 && i < moved; i++) {
		__u32 from = up_bounded(end - 1 - i, 15);

		parser->ip[15 - i] = parser->ip[from];
		parser->ip[from] = 0;
	}
}

/* The address ends here: is it whole? Completes ip[] and tells its family. */
static inline enum up_family up_v1_finish_address(struct up_parser *parser)
{
	if (parser->dotted) {
		if (parser->octets != 3 || !parser->digits)
			return UP_FAMILY_NONE;
		up_v1_store_octet(parser);
		if (!parser->groups && !up_v1_has_gap(parser)) {
			parser->ip[10] = 0xFF;
			parser->ip[11] = 0xFF;
			return UP_FAMILY_IPV4;
		}
		parser->groups += 2;
	} else if (parser->digits) {
		up_v1_store_group(parser);
	} else if (parser->colons != 2) {
		return UP_FAMILY_NONE;
	}
	if (up_v1_has_gap(parser))
		up_v1_expand_gap(parser);
	else if (parser->groups != 8)
		return UP_FAMILY_NONE;
	return UP_FAMILY_IPV6;
}

static inline enum up_reason up_v1_end_address(struct up_parser *parser, struct up_addr *ret)
{
	enum up_family family;

	if (!parser->digits && !parser->colons && !parser->octets)
		return UP_REASON_V1_SEPARATOR;
	family = up_v1_finish_address(parser);
	if (family == UP_FAMILY_NONE)
		return up_v1_address_reason(parser);
	__builtin_memcpy(ret->ip, parser->ip, sizeof(ret->ip));
	ret->family = (__u8)family;
	up_v1_begin_field(parser, parser->field + 1);
	return UP_REASON_NONE;
}

/* One byte of an address, the space behind it included. */
static inline enum up_reason up_v1_address_byte(struct up_parser *parser, __u8 ch,
						struct up_addr *ret)
{
	if (ch == ' ')
		return up_v1_end_address(parser, ret);
	return parser->dotted ? up_v1_dotted_byte(parser, ch) : up_v1_ipv6_byte(parser, ch);
}

/* One byte of a port, the byte that must follow it included. */
static inline enum up_reason up_v1_port_byte(struct up_parser *parser, __u8 ch, __u16 *ret,
					     __u8 terminator)
{
	if (up_v1_is_digit(ch))
		return up_v1_decimal(parser, ch, 65535) ? UP_REASON_NONE : UP_REASON_V1_PORT;
	if (ch == terminator && parser->digits) {
		*ret = (__u16)parser->value;
		up_v1_begin_field(parser, parser->field + 1);
		return UP_REASON_NONE;
	}
	if (ch == ' ' && parser->digits)
		return UP_REASON_V1_LINE_END;
	return up_v1_stray(ch, UP_REASON_V1_PORT);
}

/* One byte behind the word UNKNOWN. What follows a space is ignored, a lone CR too. */
static inline enum up_reason up_v1_unknown_byte(struct up_parser *parser, __u8 ch)
{
	if (parser->field == UP_V1_UNKNOWN && ch != ' ' && ch != '\r')
		return UP_REASON_V1_PROTOCOL;
	if (parser->field == UP_V1_UNKNOWN && ch == '\r')
		parser->field = UP_V1_LF;
	else if (parser->field == UP_V1_IGNORED_CR && ch == '\n')
		parser->field = UP_V1_DONE;
	else
		parser->field = ch == '\r' ? UP_V1_IGNORED_CR : UP_V1_IGNORED;
	return UP_REASON_NONE;
}

static inline enum up_reason up_v1_byte(struct up_parser *parser, __u8 ch)
{
	switch (parser->field) {
	case UP_V1_SRC:
		return up_v1_address_byte(parser, ch, &parser->out.src);
	case UP_V1_DST:
		return up_v1_address_byte(parser, ch, &parser->out.dst);
	case UP_V1_SPORT:
		return up_v1_port_byte(parser, ch, &parser->out.src.port, ' ');
	case UP_V1_DPORT:
		return up_v1_port_byte(parser, ch, &parser->out.dst.port, '\r');
	case UP_V1_LF:
		if (ch != '\n')
			return UP_REASON_V1_LINE_END;
		parser->field = UP_V1_DONE;
		return UP_REASON_NONE;
	default:
		return up_v1_unknown_byte(parser, ch);
	}
}

/* Behind the byte at pos: can the line still end in time? */
static inline enum up_reason up_v1_check_room(const struct up_parser *parser)
{
	__u32 max = parser->max_len < UP_HEADER_V1_MAX ? parser->max_len : UP_HEADER_V1_MAX;
	__u32 missing = 2;

	if (parser->field == UP_V1_DONE)
		missing = 0;
	else if (parser->field == UP_V1_LF || parser->field == UP_V1_IGNORED_CR)
		missing = 1;
	if (parser->pos + 1 + missing <= max)
		return UP_REASON_NONE;
	return max < UP_HEADER_V1_MAX ? UP_REASON_TOO_LONG : UP_REASON_V1_TOO_LONG;
}

/* One byte of the line behind "PROXY TCPn " or "PROXY UNKNOWN"; 1 when decided. */
static UP_NOINLINE long up_v1_step(__u32 turn, void *ctx)
{
	const struct up_cursor *cursor = ctx;
	struct up_parser *parser = cursor->parser;
	enum up_reason reason;

	(void)turn;
	if (parser->pos >= parser->len)
		return 1;
	reason = up_v1_byte(parser, up_byte(cursor, parser->pos));
	if (reason == UP_REASON_NONE)
		reason = up_v1_check_room(parser);
	if (reason != UP_REASON_NONE) {
		up_refuse(parser, parser->pos, reason);
		return 1;
	}
	parser->pos++;
	return parser->field == UP_V1_DONE;
}

/* The word behind "PROXY ": sets pos to what follows it, or refuses. */
static inline enum up_match up_v1_protocol(const struct up_cursor *cursor)
{
	struct up_parser *parser = cursor->parser;
	enum up_match match;

	if (parser->len < 7)
		return UP_MATCH_MORE;
	if (up_byte(cursor, 6) == 'U') {
		parser->pos = 13;
		parser->field = UP_V1_UNKNOWN;
		return up_match(cursor, 6, "UNKNOWN", 7, UP_REASON_V1_PROTOCOL);
	}
	match = up_match(cursor, 6, "TCP", 3, UP_REASON_V1_PROTOCOL);
	if (match != UP_MATCH_YES)
		return match;
	if (parser->len < 10)
		return UP_MATCH_MORE;
	parser->family = up_byte(cursor, 9) == '4' ? 4 : 6;
	parser->pos = 11;
	up_v1_begin_field(parser, UP_V1_SRC);
	return up_match(cursor, 9, parser->family == 4 ? "4 " : "6 ", 2, UP_REASON_V1_PROTOCOL);
}

/* The caller has seen a 'P'. */
static inline void up_v1_parse(struct up_cursor *cursor)
{
	struct up_parser *parser = cursor->parser;

	if (up_match(cursor, 0, "PROXY", 5, UP_REASON_NO_HEADER) != UP_MATCH_YES)
		return;
	parser->out.version = 1;
	if (up_match(cursor, 5, " ", 1, UP_REASON_V1_SEPARATOR) != UP_MATCH_YES ||
	    up_v1_protocol(cursor) != UP_MATCH_YES)
		return;
	up_loop(UP_HEADER_V1_MAX, up_v1_step, cursor);
	if (parser->status != UP_HEADER_INCOMPLETE || parser->field != UP_V1_DONE)
		return;
	parser->status = UP_HEADER_COMPLETE;
	parser->out.len = parser->pos;
	parser->out.command = UP_COMMAND_PROXY;
	parser->out.has_addr = parser->family != 0;
}

#endif
