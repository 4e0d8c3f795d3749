/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel side as the daemon sees it: loaded, pinned, one handle. The only folder that
 * calls libbpf. Returns errors, does not log.
 */
#ifndef KERN_KERN_H
#define KERN_KERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "obs/stats.h"
#include "unproxy/abi.h"

struct kern;

struct kern_params {
	unsigned workers;     /* each has its own ring and its own share of the slots */
	uint32_t slots;       /* accelerated directions in all; 0: KERN_SLOTS */
	uint32_t shown;       /* connections shown at most; 0: KERN_SHOWN */
	const char *pin_root; /* NULL: "/sys/fs/bpf/unproxy" */
	/* A living instance's, which shares its maps: its directions go on under this one. */
	const struct kern_shared *shared; /* NULL: maps of our own */
};

/* What one instance tells another that is to share its maps. */
struct kern_shared {
	const char *path; /* of its pins */
	int fd;           /* the directory, locked; still the caller's */
	uint32_t abi;     /* UP_RELAY_ABI of its programs */
	uint32_t workers;
};

#define KERN_SLOTS 32768U
#define KERN_SHOWN 65536U

/* Load, attach and pin. What a dead instance left is removed first; a live one's is left
 * alone (its directory is locked) and the next free name is taken. Returns 0 and gives
 * *ret to the caller, or -errno with *ret untouched and *ret_why (static or in `why`)
 * telling what failed: -EPERM without privilege, -EOPNOTSUPP where the kernel is refused. */
int kern_open(const struct kern_params *params, struct kern **ret, char *why, size_t why_size);

/* Detach, unpin, unload, unless it is shared. No socket may be in the maps any more. NULL is
 * allowed. */
void kern_close(struct kern *kern);

/* What another instance needs to know; it points into kern. */
struct kern_shared kern_tell(const struct kern *kern);

/* Is somebody else to go on with the maps? Said by the one that told, of the one that was told,
 * and otherwise. */
void kern_share(struct kern *kern, bool shared);
bool kern_is_shared(const struct kern *kern);

/* Its pins may be removed by uid, who the process is about to become. NULL is allowed. */
void kern_give(const struct kern *kern, uid_t uid, gid_t gid);

/* The directory of the pinned maps. */
const char *kern_pin_path(const struct kern *kern);

/* Remove what dead daemons have left below root (NULL: see kern_params). A live one's stays.
 * Returns how many they were. */
unsigned kern_sweep(const char *pin_root);

/* May this kernel use the path at all? Data-integrity fixes came late: 6.1.165, 6.12.75,
 * 6.18.16, and newer series. 0, or -EOPNOTSUPP and why. */
int kern_gate(const char *release, char *why, size_t why_size);

/* Run the path over loopback pairs: early data, redirect, back-pressure, end of stream.
 * Uses worker 0's slots; call before the workers run. 0, or -errno and which step failed. */
int kern_selftest(struct kern *kern, char *why, size_t why_size);

/*
 * One direction: from a source socket to its target. Owned by one worker.
 */
struct kern_direction {
	struct up_direction *shared; /* NULL: none */
};

struct kern_source {
	int fd;
	unsigned worker;
	uint64_t token;                    /* comes back in events */
	enum up_stage stage;               /* UP_STAGE_HEADER or UP_STAGE_STREAM */
	uint32_t header_max, header_flags; /* for UP_STAGE_HEADER */
};

/* Take a slot, in user mode. Without effect on the socket. -ENOSPC: no slot left. */
int kern_direction_new(struct kern *kern, const struct kern_source *source,
		       struct kern_direction *ret);

/* Say where the bytes go. Before kern_direction_start(), or while in user mode. */
int kern_direction_target(struct kern *kern, const struct kern_direction *dir, int target_fd);

/* Put the source under the program, and have it process what has arrived already. From
 * here on only plain recv() may read the socket, never blocking, never splice().
 * -EOPNOTSUPP: not ESTABLISHED any more, or a socket that cannot be accelerated. */
int kern_direction_start(struct kern *kern, const struct kern_direction *dir, int source_fd);

/* The two directions of a pair: one handed back takes the other along. Both in user mode. */
void kern_direction_couple(const struct kern *kern, const struct kern_direction *a,
			   const struct kern_direction *b);

/* Give the slot back. Call after close() of the source: then no program can run on it. */
void kern_direction_free(struct kern *kern, struct kern_direction *dir);

/* Its index, for kern_direction_adopt(). */
uint32_t kern_direction_slot(const struct kern *kern, const struct kern_direction *dir);

/* Its events are nobody's, until kern_direction_unpark(). */
void kern_direction_park(const struct kern_direction *dir);

/* Another instance's parked direction, of the source with that cookie. -EBADMSG: it is not. */
int kern_direction_adopt(struct kern *kern, uint32_t slot, uint64_t cookie,
			 struct kern_direction *ret);

/* Events go to the worker from now on. What it missed its word tells. */
void kern_direction_unpark(struct kern *kern, const struct kern_direction *dir, unsigned worker,
			   uint64_t token);

/* User space moves the bytes now. */
bool kern_direction_user(const struct kern_direction *dir);

/* Bytes of the source the program has seen / that the kernel sent to the target. */
uint64_t kern_direction_seen(const struct kern_direction *dir);
uint64_t kern_direction_redirected(const struct kern_direction *dir);

/* Bytes that the kernel sent to the target since this was asked last. By the owner alone. */
uint64_t kern_direction_uncounted(const struct kern_direction *dir);

/* Let the kernel move the bytes from here on. Only valid once everything user space was
 * given (`consumed` bytes in all) has been sent; fails if more has arrived meanwhile. */
bool kern_direction_resume(const struct kern_direction *dir, uint64_t consumed);

/* Before a resume: is a byte of the source left unread, for a shut window to be opened by? */
void kern_direction_keeps(const struct kern_direction *dir, bool byte_unread);

/* Has the source's window been shut? Asked once. */
bool kern_direction_shut(const struct kern_direction *dir);

/* Take the direction to user mode: undoes kern_direction_resume(). */
void kern_direction_take(const struct kern_direction *dir);

/* Does the event's token still belong to a direction that is in use? */
bool kern_event_is_current(const struct kern *kern, const struct up_event *event);

/* Events of one worker. */
typedef void kern_event_fn(void *context, const struct up_event *event);
struct kern_ring;
int kern_ring_open(struct kern *kern, unsigned worker, kern_event_fn *fn, void *context,
		   struct kern_ring **ret);
int kern_ring_fd(const struct kern_ring *ring); /* readable: kern_ring_consume() */
void kern_ring_consume(struct kern_ring *ring);
void kern_ring_close(struct kern_ring *ring);

/* What people see with bpftool. Errors (map full) are not the data path's: ignored. */
void kern_show(struct kern *kern, const uint64_t *cookies, const struct up_conn *conns,
	       uint32_t count);
void kern_hide(struct kern *kern, const uint64_t *cookies, uint32_t count);
void kern_show_backend(struct kern *kern, uint32_t number, const struct up_backend *backend);
void kern_hide_backend(struct kern *kern, uint32_t number);

/* The program's counters, summed over CPUs. 0 or -errno. */
int kern_stats(const struct kern *kern, struct up_stats *ret);

/* Of the library that is loaded now: "v1.1". */
const char *kern_libbpf_version(void);

/* Accelerated directions: how many there are, and may be. Any thread. */
void kern_slots(const struct kern *kern, uint32_t *ret_used, uint32_t *ret_size);

/* How often its programs ran, while kernel.bpf_stats_enabled was on. */
void kern_runs(const struct kern *kern, struct stats *ret);

/* How many connections can be shown. */
uint32_t kern_shown_max(const struct kern *kern);

#endif
