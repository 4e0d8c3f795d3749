/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by the files of kern/ alone. */
#ifndef KERN_INTERNAL_H
#define KERN_INTERNAL_H

#include "kern/kern.h"

struct bpf_map;
struct bpf_object;
struct relay_bpf;

/* `rings` is of sets: one for each instance that shares the maps, with room for so many. Those
 * that handed over may still have some of their connections. */
#define KERN_RINGS 512U
#define KERN_RING_SETS 32U

/* The slots of one worker, taken in turn, so that each rests for as long as possible before it
 * is used again. Free is what has no token: an instance that shares the maps may take it, too. */
struct kern_slots {
	uint32_t first, size;
	uint32_t next; /* to look at, from first */
	uint64_t full; /* kern->given when none was found, plus one */
};

struct kern {
	struct relay_bpf *skel;
	struct up_direction *directions; /* mmap of the map */
	size_t directions_len;           /* bytes */
	uint32_t slots;
	unsigned workers;
	struct kern_slots *slots_of; /* [workers] */
	int *ring_fds;               /* [workers] */
	uint64_t given;              /* atomic: slots given back so far */
	uint32_t ring_base;          /* of its first ring in `rings` */
	int pin_dir_fd;              /* locked while we live */
	char pin_path[128];
	bool attached;
	bool shared; /* another instance goes on with maps and pins */
};

/* Keep libbpf quiet; kern_fail() says what it said last. Before there are threads. */
void kern_quiet(void);

/* "step: error: what libbpf said" into why. Returns err. */
int kern_fail(char *why, size_t why_size, const char *step, int err);

/* pin.c: the folder of all pins (root, NULL: below /sys/fs/bpf, which is mounted if need
 * be), made if it is not there. Returns its path, or NULL with *ret_err. */
const char *kern_pin_root(const char *root, int *ret_err);

/* Lock one directory, and with create make it. Returns its descriptor; -EWOULDBLOCK: it has
 * an owner; -ENOENT: it is not there, or was removed while we waited at its door. */
int kern_pin_lock(const char *path, bool create);

/* Unlink every pin in a directory of ours. */
void kern_pin_empty(int dir_fd);

/* pin.c: lock a directory of our own below root, empty it, remember it in kern. */
int kern_pin_claim(struct kern *kern, const char *root);
int kern_pin_maps(struct kern *kern);

/* Hold the lock, too, and use the maps pinned there in the opened object. -ESTALE: they are of
 * another shape. */
int kern_pin_adopt(struct kern *kern, const struct kern_shared *shared);
void kern_pin_release(struct kern *kern);

/* show.c: how often the programs of an object ran. */
void kern_object_runs(const struct bpf_object *object, const char *engine, struct stats *ret);

/* show.c: the one value of a per-CPU array of 64-bit counters, summed. 0 or -errno. */
int kern_sum(const struct bpf_map *map, void *ret, size_t size);

#endif
