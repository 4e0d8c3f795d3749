/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The address hook: what accept(), getpeername() and SO_PEERNAME of any server on this host
 * return. One for each engine, with a life of its own: the relay's goes with the daemon, the
 * inline engine's stays with its connections.
 */
#ifndef KERN_HOOK_H
#define KERN_HOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "obs/stats.h"
#include "unproxy/abi.h"

struct kern_hook;

enum kern_hook_engine { KERN_HOOK_RELAY, KERN_HOOK_INLINE };

struct kern_hook_params {
	enum kern_hook_engine engine;
	uint32_t connections; /* relay: on their way to servers, at most */
	int flows_fd;         /* inline: its maps */
	int aliases_fd;       /* ... */
	const char *pin_root; /* NULL: "/sys/fs/bpf/unproxy" */
	/* relay: a living instance's pins, locked by that descriptor, which it has given us, and
	 * which is still the caller's; NULL: pins of our own */
	const char *shared_path;
	int shared_fd;
	const char *cgroup; /* NULL: the root of all */
};

/* Load, attach at the cgroup root, and pin. What a dead instance left attached is replaced in
 * place: no moment without, none with two. Returns 0 and gives *ret to the caller, or -errno
 * with why in words. Inline: -EBUSY while another daemon has it. */
int kern_hook_open(const struct kern_hook_params *params, struct kern_hook **ret, char *why,
		   size_t why_size);

/* Relay: detach and remove, unless it is shared. Inline: leave it at work. NULL is allowed. */
void kern_hook_close(struct kern_hook *hook);

/* Relay: is somebody else to go on with it? Said by the one that gave its pins, of the one it
 * gave them to, and otherwise. */
void kern_hook_share(struct kern_hook *hook, bool shared);

/* The directory of its pins, locked by this descriptor. It is the hook's. */
int kern_hook_pin_fd(const struct kern_hook *hook);

/* Detach and remove what dead relays left. Returns how many they were. */
unsigned kern_hook_sweep(const char *pin_root);

/* Detach and remove the inline engine's hook, a live daemon's too, and what dead relays left.
 * 0 or -errno: nothing there is no error. */
int kern_hook_remove(const char *pin_root);

/* Where the pins are; where it is attached. */
/* As kern_give(). */
void kern_hook_give(const struct kern_hook *hook, uid_t uid, gid_t gid);

const char *kern_hook_pin_path(const struct kern_hook *hook);
const char *kern_hook_cgroup(const struct kern_hook *hook);

/* False: only servers in this process' container are told. */
bool kern_hook_whole_host(const struct kern_hook *hook);

/* Relay: the socket of that cookie will connect to a server for client. After socket() and
 * before connect(), whoever calls that; not a system call, from any thread. Returns NULL if
 * there is no place, else what kern_hook_hush() takes once connect() has returned: it had an
 * effect if connect() failed before it took the place. */
struct up_intent *kern_hook_announce(struct kern_hook *hook, uint64_t cookie,
				     const struct up_addr *client);
void kern_hook_hush(struct up_intent *intent, uint64_t cookie);

/* How often its programs ran, while kernel.bpf_stats_enabled was on. */
void kern_hook_runs(const struct kern_hook *hook, struct stats *ret);

/* The programs' counters, summed over CPUs. 0 or -errno. */
int kern_hook_stats(const struct kern_hook *hook, struct up_hook_stats *ret);

#endif
