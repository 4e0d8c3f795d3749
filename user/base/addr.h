/* SPDX-License-Identifier: BSD-2-Clause */
/* Endpoints as text and as sockaddr. No policy, no logging. */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "unproxy/addr.h"

/* Longest text of addr_format(): "[" IPv6 "]:65535" and the NUL. */
#define ADDR_TEXT_MAX 56

/* sockaddr_in or sockaddr_in6 -> *ret. An IPv4-mapped IPv6 address becomes
 * IPv4: trust rules and logs must not depend on the listener's family.
 * Anything else gives UP_FAMILY_NONE. */
void addr_from_sockaddr(struct up_addr *ret, const struct sockaddr *sa);

/* *addr -> sockaddr of its own family (IPv4: sockaddr_in). Returns its length,
 * 0 for UP_FAMILY_NONE. */
socklen_t addr_to_sockaddr(const struct up_addr *addr, struct sockaddr_storage *ret);

/* "192.0.2.1:80", "[2001:db8::1]:80", "-" for none. Always NUL-terminated.
 * Returns the length of the text. */
size_t addr_format(const struct up_addr *addr, char *buf, size_t size);

/* The address alone: "192.0.2.1", "2001:db8::1", "-". */
size_t addr_format_ip(const struct up_addr *addr, char *buf, size_t size);

/* "1.2.3.4:80", "[::1]:80", ":80" and "*:80" (dual-stack any: [::]). No host
 * names. Returns 0 or -EINVAL; on failure *ret is untouched. */
int addr_parse(const char *text, struct up_addr *ret);

/* As addr_parse(), and "ADDR:LO-HI": a range of ports. */
int addr_parse_range(const char *text, struct up_addr *ret, uint16_t *ret_last_port);

/* The address alone: "192.0.2.1", "2001:db8::1"; its port is 0. */
int addr_parse_ip(const char *text, struct up_addr *ret);

/* 127.0.0.0/8, ::1. */
bool addr_is_loopback(const struct up_addr *addr);

/* Does a socket bound to wide take connections to addr, ports aside? [::] is dual-stack. */
bool addr_covers(const struct up_addr *wide, const struct up_addr *addr);

bool addr_equal(const struct up_addr *a, const struct up_addr *b);

#endif
