/* SPDX-License-Identifier: BSD-2-Clause */
/* Networks, as text and as bits. No policy, no logging. */
#ifndef BASE_CIDR_H
#define BASE_CIDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CIDR_TEXT_MAX 64 /* of cidr_format(), with its NUL */
#define CIDR_MAPPED_BITS 96

struct cidr {
	uint8_t ip[16];     /* network order; v4-mapped for IPv4 */
	uint8_t prefix_len; /* 0..128, counted on the mapped form */
};

/* "192.0.2.1", "10.0.0.0/8", "2001:db8::/32". A v4-mapped network is IPv4. Returns NULL, or what
 * is wrong with the text (a static string, said of the text: "has bits set ..."), and then *ret
 * is untouched. */
const char *cidr_parse(const char *text, struct cidr *ret);

/* The prefix of one address alone is left out. Returns the length of the text. */
size_t cidr_format(const struct cidr *cidr, char *buf, size_t size);

/* An IPv4 address, as it is stored. */
bool cidr_is_mapped(const uint8_t ip[16]);

/* Is the address of the network? "::/8" is about IPv6: that IPv4 is stored inside it does not
 * matter. */
bool cidr_holds(const struct cidr *cidr, const uint8_t ip[16]);

#endif
