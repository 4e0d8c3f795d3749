/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The list of denied clients in the kernel: for the inline engine's programs, and for the next
 * daemon. Pinned as /sys/fs/bpf/unproxy/deny/list. Returns errors, does not log.
 */
#ifndef KERN_DENY_H
#define KERN_DENY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "unproxy/deny_abi.h"

struct kern_deny;

struct kern_deny_params {
	uint32_t entries;     /* there is room for; memory is taken as they come */
	const char *pin_root; /* NULL: "/sys/fs/bpf/unproxy" */
};

/* Make the map, or take over the pinned one with all that is in it; if that has another size,
 * by a copy. Where another daemon has the pin, the map is ours alone, and ends with us and our
 * programs. Returns 0 and gives *ret to the caller, or -errno with *ret untouched and why:
 * -ENOSPC what is pinned does not fit into so many entries. */
int kern_deny_open(const struct kern_deny_params *params, struct kern_deny **ret, char *why,
		   size_t why_size);

/* keep: the pin stays, for daemons to come; it does, too, as long as programs of the inline engine
 * are attached. NULL is allowed. */
void kern_deny_close(struct kern_deny *deny, bool keep);

/* Another daemon takes the pinned list over: it is not ours until kern_deny_take_back(), and is not
 * to be written meanwhile. */
void kern_deny_let_go(struct kern_deny *deny);

/* It did not, after all; nothing is loaded for that. Where it has put another list in its place, or
 * none is left, that one is ours, or ours is pinned anew; where it still has the pin, the map
 * is ours alone. 0, or -errno and why. */
int kern_deny_take_back(struct kern_deny *deny, const char *pin_root, char *why, size_t why_size);

/* For kern_inline_params. Its own, not the caller's. */
int kern_deny_fd(const struct kern_deny *deny);

/* As kern_give(). */
void kern_deny_give(const struct kern_deny *deny, uid_t uid, gid_t gid);

/* False: nobody will find it when we are gone. */
bool kern_deny_is_pinned(const struct kern_deny *deny);

/* An earlier daemon's list has been taken over. NULL is allowed. */
bool kern_deny_found(const struct kern_deny *deny);

/* Write an entry; the hits that the map has are kept. -ENOSPC: full. */
int kern_deny_set(struct kern_deny *deny, const uint8_t ip[16], const struct up_deny *entry);

/* -ENOENT: it is not there. */
int kern_deny_remove(struct kern_deny *deny, const uint8_t ip[16], uint32_t prefix_len);

/* What the programs have counted; 0 if there is no such entry. */
uint64_t kern_deny_hits(const struct kern_deny *deny, const uint8_t ip[16], uint32_t prefix_len);

/* All entries. fn's error ends it and is returned; so does -errno of the map. It may not be
 * written meanwhile. */
typedef int kern_deny_fn(void *context, const struct up_deny_key *key, const struct up_deny *entry);
int kern_deny_each(const struct kern_deny *deny, kern_deny_fn *fn, void *context);

/* Remove what a dead daemon has left. A live one's stays. Returns whether it had. */
unsigned kern_deny_sweep(const char *pin_root);

#endif
