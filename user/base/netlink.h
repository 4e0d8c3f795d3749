/* SPDX-License-Identifier: BSD-2-Clause */
/* Questions to the kernel by netlink: one with one answer, one with many. Nothing waits for
 * longer than five seconds. */
#ifndef BASE_NETLINK_H
#define BASE_NETLINK_H

#include <linux/rtnetlink.h>
#include <stddef.h>
#include <sys/types.h>

/* Send a request of len bytes, and read the one message that answers it into answer. Returns
 * its length; 0: it is an acknowledgement; or -errno, also of an answer that is an error. */
ssize_t netlink_ask(int protocol, const void *request, size_t len, struct nlmsghdr *answer,
		    size_t room);

/* Other than 0 ends the dump, and is what it returns. */
typedef int netlink_fn(void *context, const struct nlmsghdr *message);

/* Send a request of len bytes for a dump, and tell each of its messages. 0 or -errno: some
 * may have been told by then. */
int netlink_dump(int protocol, const void *request, size_t len, netlink_fn *fn, void *context);

/* The attributes behind a message's own header of `own` bytes: the one of that type, whether it
 * nests others or not; NULL: none. */
const struct rtattr *netlink_attr(const struct nlmsghdr *message, size_t own, unsigned type);

/* The same among those that an attribute nests. NULL is allowed. */
const struct rtattr *netlink_nested(const struct rtattr *in, unsigned type);

#endif
