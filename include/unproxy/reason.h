/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Why a header or a connection was refused: one table for kernel and user space. The
 * name is what log, metrics and "unproxy explain" show; the hint is for a human.
 * The texts are expanded in user/client/reason.c alone.
 */
#ifndef UNPROXY_REASON_H
#define UNPROXY_REASON_H

/* X(identifier, name, hint): first what the parser refuses, then what its callers do. */
#define UP_REASONS(X)                                                                              \
	X(NO_HEADER, "no_header", "no PROXY header: is PROXY protocol on at the load balancer?")   \
	X(TOO_LONG, "too_long", "header longer than the configured maximum (header_max)")          \
	X(V1_PROTOCOL, "v1_protocol", "PROXY must be followed by TCP4, TCP6 or UNKNOWN")           \
	X(V1_SEPARATOR, "v1_separator", "fields are separated by exactly one space")               \
	X(V1_IPV4, "v1_ipv4", "not an IPv4 address: four decimals 0 to 255 without leading zeros") \
	X(V1_IPV6, "v1_ipv6",                                                                      \
	  "not an IPv6 address: eight groups or one \"::\", no zone, no brackets")                 \
	X(V1_FAMILY, "v1_family",                                                                  \
	  "address of the other family (IPv4 in TCP6: see v1_ipv4_in_tcp6)")                       \
	X(V1_PORT, "v1_port", "not a port: a decimal 0 to 65535 without sign or leading zero")     \
	X(V1_LINE_END, "v1_line_end",                                                              \
	  "the line ends with CR LF, right behind the destination port")                           \
	X(V1_TOO_LONG, "v1_too_long", "no CR LF within the 107 bytes of a version 1 line")         \
	X(V2_VERSION, "v2_version", "binary header of a version other than 2")                     \
	X(V2_COMMAND, "v2_command", "command is neither LOCAL nor PROXY")                          \
	X(V2_FAMILY, "v2_family", "address family is none of UNSPEC, INET, INET6, UNIX")           \
	X(V2_PROTOCOL, "v2_protocol", "transport is none of UNSPEC, STREAM, DGRAM")                \
	X(V2_LENGTH, "v2_length", "length field is shorter than the addresses of its family")      \
	X(TLV_TAIL, "tlv_tail", "one or two bytes left over behind the last TLV")                  \
	X(TLV_OVERRUN, "tlv_overrun", "a TLV is longer than what is left of the header")           \
	X(CRC32C_LENGTH, "crc32c_length", "the CRC32C TLV must hold four bytes")                   \
	X(CRC32C_MISMATCH, "crc32c_mismatch",                                                      \
	  "checksum is wrong: the header was altered or damaged on its way")                       \
	X(UNIQUE_ID_LENGTH, "unique_id_length", "the unique id TLV holds at most 128 bytes")       \
	X(SSL_LENGTH, "ssl_length", "the SSL TLV must hold five bytes at least")                   \
	X(SSL_TLV, "ssl_tlv", "the TLVs inside of the SSL TLV do not fill it exactly")             \
	X(EMPTY, "empty", "closed before the first byte: a health check or port scan")             \
	X(TRUNCATED, "truncated", "closed in the middle of the header")                            \
	X(RESET, "reset", "connection reset before the header was complete")                       \
	X(TIMEOUT, "timeout",                                                                      \
	  "no complete header in time: is PROXY protocol on at the load balancer?")                \
	X(UNTRUSTED, "untrusted",                                                                  \
	  "source is not in trust: add the load balancer's network if this is it")                 \
	X(DENIED, "denied",                                                                        \
	  "the client is on the deny list: unproxy deny list ADDRESS says by what")                \
	X(CONNECTION_LIMIT, "connection_limit", "max_connections reached")                         \
	X(SOURCE_LIMIT, "source_limit", "max_per_source reached for this address")                 \
	X(NO_BACKEND, "no_backend", "no server of the backend could be reached")                   \
	X(NO_RESOURCES, "no_resources", "out of file descriptors or memory")                       \
	X(SHUTDOWN, "shutdown", "unproxy is stopping")                                             \
	X(FLOWS_FULL, "flows_full", "the flow table has no room for one more connection")          \
	X(DRAINING, "draining",                                                                    \
	  "the listener was told to take no new connections: unproxy listener NAME ready")         \
	X(KILLED, "killed", "unproxy kill ended it")

enum up_reason {
	UP_REASON_NONE = 0,
#define X(id, name, hint) UP_REASON_##id,
	UP_REASONS(X)
#undef X
		UP_REASON__MAX,
};

#endif
