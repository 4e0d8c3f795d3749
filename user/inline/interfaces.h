/* SPDX-License-Identifier: BSD-2-Clause */
/* Which interfaces the programs go on. */
#ifndef INLINE_INTERFACES_H
#define INLINE_INTERFACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"
#include "kern/inline.h"

/* 0, -ENODEV: no such interface, -EOPNOTSUPP: packets of such a kind the programs cannot
 * read (*ret_kind: its ARPHRD number). */
int interface_find(const char *name, struct kern_interface *ret, unsigned *ret_kind);

/* The bridge or bond whose part an interface is: its packets are its master's, too, and
 * must not be changed twice. False: it is none's, or only a VRF's. */
bool interface_master(uint32_t index, char ret_name[CONF_INTERFACE_MAX]);

/* A growing list of names, each once. Zero-initialised: empty. */
struct interface_names {
	struct conf_interface *names;
	size_t n;
};

bool interface_names_hold(const struct interface_names *names, const char *name);
int interface_names_add(struct interface_names *names, const char *name, size_t len);
void interface_names_remove(struct interface_names *names, const char *name);
void interface_names_free(struct interface_names *names);

/* The interfaces in the text of /proc/net/route, of /proc/net/ipv6_route. 0 or -ENOMEM. */
int interface_names_ipv4(struct interface_names *names, const char *text);
int interface_names_ipv6(struct interface_names *names, const char *text);

/* Those with a route that are nobody's part, and lo. 0 or -errno. */
int interface_names_default(struct interface_names *names);

#endif
