/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * One address type for kernel and user space: an IP address with a port.
 * No functions that need libc; text conversion lives in user/base/addr.h.
 */
#ifndef UNPROXY_ADDR_H
#define UNPROXY_ADDR_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

enum up_family {
	UP_FAMILY_NONE = 0, /* no address known */
	UP_FAMILY_IPV4 = 4, /* stored as ::ffff:a.b.c.d */
	UP_FAMILY_IPV6 = 6,
};

/* An endpoint of a TCP connection. */
struct up_addr {
	__u8 ip[16]; /* network order; IPv4 is stored v4-mapped */
	__u16 port;  /* host order */
	__u8 family; /* enum up_family */
	__u8 pad;    /* zero: map keys are compared byte by byte */
};
_Static_assert(sizeof(struct up_addr) == 20, "up_addr is part of the map ABI");

#endif
