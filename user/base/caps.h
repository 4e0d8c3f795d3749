/* SPDX-License-Identifier: BSD-2-Clause */
/* Capabilities as a set of bits, 1 << CAP_X. They are each thread's own, and a thread begins
 * with those of its maker. No policy, no logging. */
#ifndef BASE_CAPS_H
#define BASE_CAPS_H

#include <linux/capability.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef uint64_t caps_set;

#define CAPS_BIT(cap) (UINT64_C(1) << (cap))

/* "net_bind_service,net_admin", or "none". */
#define CAPS_TEXT_MAX 640
void caps_text(caps_set caps, char *buf, size_t size);

/* What this thread may use. */
caps_set caps_held(void);

/* Give up, for this thread and those it makes, all but these; of the bounding set, too, where
 * that is allowed. What is not held is not gained. 0 or -errno. */
int caps_keep(caps_set caps);

/* The same, and become uid and gid without any other group. Before there are other threads.
 * 0 or -errno: nothing is certain then but that the process must end. */
int caps_keep_as(caps_set caps, uid_t uid, gid_t gid);

#endif
