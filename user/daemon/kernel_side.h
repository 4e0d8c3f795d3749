/* SPDX-License-Identifier: BSD-2-Clause */
/* What there is of the kernel on this host: the relay's path, the address hook, the deny list. */
#ifndef DAEMON_KERNEL_SIDE_H
#define DAEMON_KERNEL_SIDE_H

#include "daemon/take_over.h"
#include "relay/relay.h"

/* Fill relay->kern and relay->hook, or leave them NULL and say in one line each why. Where
 * nothing is relayed it does nothing. from: the daemon we take over from shares its own, or
 * NULL. */
void kernel_side_open(struct relay *relay, const struct conf *conf,
		      const struct take_over_all *from);

/* What a reload may need beside: the hook, where it was not asked for before. */
void kernel_side_add(struct relay *relay, const struct conf *conf);

/* The list of clients to refuse, as the configuration has it. 0 or -errno: see deny_start(). */
int kernel_side_deny(const struct conf *conf, struct loop *loop, struct deny **ret);

#endif
