/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Encode a PROXY header toward a backend (client_address = proxy-v1 | proxy-v2).
 * Pure: bytes into the caller's buffer, no I/O.
 */
#ifndef CLIENT_HEADER_WRITE_H
#define CLIENT_HEADER_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "unproxy/proxy_types.h"

struct header_write {
	enum up_command command; /* LOCAL: the connection is the balancer's own */
	struct up_addr src;      /* the client; UP_FAMILY_NONE (or in dst): not known */
	struct up_addr dst;      /* where the client connected to */
	const uint8_t *tlvs;     /* version 2: passed through; may be NULL if tlv_len is 0 */
	size_t tlv_len;
};

/* Both return the header's length, or -ENOBUFS if size is too small; on failure buf is
 * untouched. 107 bytes are always enough for version 1, 52 + tlv_len for version 2.
 *
 * Addresses of two families are written as IPv6, the IPv4 one v4-mapped. LOCAL and
 * unknown addresses become UNKNOWN in version 1 and LOCAL, without TLVs, in version 2.
 *
 * Version 2 writes a CRC32C if there is one among the TLVs, computed anew: the addresses
 * may be other ones than it was made for. -EBADMSG: the TLVs do not tile. -EMSGSIZE: with
 * them the header would be longer than its length field can say. */
int header_write_v1(const struct header_write *in, uint8_t *buf, size_t size);
int header_write_v2(const struct header_write *in, uint8_t *buf, size_t size);

#endif
