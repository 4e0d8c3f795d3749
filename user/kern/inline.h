/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel side of the inline engine as the daemon sees it: programs on interfaces, and
 * pinned maps that outlive the daemon. Returns errors, does not log.
 */
#ifndef KERN_INLINE_H
#define KERN_INLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "obs/stats.h"
#include "unproxy/flow_abi.h"

struct kern_inline;

/* header: event->header_len bytes behind an OPEN, else NULL. */
typedef void kern_inline_event_fn(void *context, const struct up_flow_event *event,
				  const uint8_t *header);

struct kern_inline_params {
	uint32_t flows;       /* connections there is room for */
	int deny_fd;          /* of kern_deny_fd() */
	bool tcx;             /* where the kernel has it; else clsact */
	const char *pin_root; /* NULL: "/sys/fs/bpf/unproxy" */
	kern_inline_event_fn *fn;
	void *context;
};

/* Load, and take over the maps of an earlier instance with all their connections. Its
 * programs go on until kern_inline_attach(). Returns 0 and gives *ret to the caller, or
 * -errno with *ret untouched and why telling what failed: -EWOULDBLOCK another instance
 * runs, -ESTALE what is pinned cannot be taken over. */
int kern_inline_open(const struct kern_inline_params *params, struct kern_inline **ret, char *why,
		     size_t why_size);

/* Let go. Programs, maps and connections stay, unless detach is said, or nothing was
 * attached. NULL is allowed. */
void kern_inline_close(struct kern_inline *kern, bool detach);

/* The maps that the address hook reads: see kern_hook_params. Theirs, not the caller's. */
int kern_inline_flows_fd(const struct kern_inline *kern);
int kern_inline_aliases_fd(const struct kern_inline *kern);

bool kern_inline_adopted(const struct kern_inline *kern);
const char *kern_inline_pin_path(const struct kern_inline *kern);

struct kern_interface {
	char name[16];
	uint32_t index;
	bool ethernet; /* packets begin with an Ethernet header */
};

/* Put the programs on an interface, in place of those of an earlier instance at once: no
 * packet passes between. *ret_behind: another filter stands before ours, and what it takes
 * we do not see. 0, or -errno and why. */
int kern_inline_attach(struct kern_inline *kern, const struct kern_interface *interface,
		       bool *ret_behind, char *why, size_t why_size);

enum kern_attached {
	KERN_ATTACHED,
	KERN_REMOVED, /* was attached: others removed our filters, or the qdisc */
	KERN_NEW,
};

enum kern_attached kern_inline_is_attached(const struct kern_inline *kern, uint32_t index);

/* Interfaces that have our programs, those of earlier instances too. */
size_t kern_inline_interfaces(const struct kern_inline *kern, struct kern_interface *ret,
			      size_t room);

/* An interface that is gone. */
void kern_inline_forget(struct kern_inline *kern, uint32_t index);

/* What the programs are told. Written in an order that never opens more than either the
 * old or the new one does. */
struct kern_inline_policy {
	const struct up_listen_key *keys;
	const struct up_listen *listens;
	size_t n_listens;
	const struct up_trust_key *trust;
	size_t n_trust;
	const struct up_ports *ports; /* roles the listeners need; others are left */
};

int kern_inline_set_policy(struct kern_inline *kern, const struct kern_inline_policy *policy);

int kern_inline_get_ports(const struct kern_inline *kern, struct up_ports *ret);
int kern_inline_set_ports(struct kern_inline *kern, const struct up_ports *ports);

/* Each connection there is; some may be missed or seen twice that come or go meanwhile. */
typedef void kern_flow_fn(void *context, const struct up_flow_key *key, const struct up_flow *flow);
int kern_inline_each_flow(const struct kern_inline *kern, kern_flow_fn *fn, void *context);

/* Is there none, not even one that has ended and lingers? A look at each bucket: milliseconds. */
bool kern_inline_is_empty(const struct kern_inline *kern);

/* A walk in steps, over so many of them each time. Zeroed: at the beginning. */
struct kern_flow_walk {
	uint32_t place;
	bool begun, over;
};

/* 0, with walk->over behind the last ones; or -errno. */
int kern_inline_next_flows(const struct kern_inline *kern, struct kern_flow_walk *walk,
			   kern_flow_fn *fn, void *context);

/* It has been ended by us: its END event says so, and its packets are translated for as long as
 * any flow's that ended. Whoever calls resets its socket. 0, -ENOENT: it is not open (any
 * more), or -errno. */
int kern_inline_end(const struct kern_inline *kern, const struct up_flow_key *key);

/* Readable: kern_inline_consume() calls the event function, for so many at most. True: that
 * many there were, and maybe more. */
int kern_inline_events_fd(const struct kern_inline *kern);
bool kern_inline_consume(struct kern_inline *kern, unsigned max);

/* Look at some connections, the next ones each time: those silent for long may have ended
 * unseen. 0 or -errno. */
int kern_inline_sweep(struct kern_inline *kern);

/* The programs' counters, summed over CPUs. 0 or -errno. */
int kern_inline_stats(const struct kern_inline *kern, struct up_flow_stats *ret);

/* Connections there is room for; an earlier daemon may have decided that. */
uint32_t kern_inline_room(const struct kern_inline *kern);

/* How often its programs ran, while kernel.bpf_stats_enabled was on. */
void kern_inline_runs(const struct kern_inline *kern, struct stats *ret);

struct kern_inline_detached {
	unsigned programs, qdiscs, pins;
};

/* Remove all programs of ours in this network namespace, the qdiscs that we made and nobody
 * else uses, and the pins. Others' programs and filters stay. -EWOULDBLOCK: a daemon runs; -EXDEV: the
 * pins belong to another network namespace, and force is not said. */
int kern_inline_detach(const char *pin_root, bool force, struct kern_inline_detached *ret,
		       char *why, size_t why_size);

#endif
