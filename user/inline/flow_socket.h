/* SPDX-License-Identifier: BSD-2-Clause */
/* The app's own socket of a flow, by sock_diag(7): found, and reset. */
#ifndef INLINE_FLOW_SOCKET_H
#define INLINE_FLOW_SOCKET_H

#include <linux/inet_diag.h>
#include <stdint.h>

#include "unproxy/flow_abi.h"

struct flow_socket {
	uint8_t family;
	struct inet_diag_sockid id; /* with its cookie: no other one is ever meant */
};

/* The connection's socket in this network namespace. 0; -EXDEV: there is none here; or
 * -errno. */
int flow_socket_find(const struct up_flow_key *key, uint16_t app_port, struct flow_socket *ret);

/* End it: a RST to the peer, ECONNABORTED to the app. 0, -ENOENT: it was gone; -EOPNOTSUPP: the
 * kernel was built without (CONFIG_INET_DIAG_DESTROY); or -errno. */
int flow_socket_destroy(const struct flow_socket *socket);

#endif
