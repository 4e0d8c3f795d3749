/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by the files of kern/ alone. */
#ifndef KERN_INTERNAL_H
#define KERN_INTERNAL_H

#include "kern/kern.h"

struct relay_bpf;

/* The free slots of one worker: a ring of indexes, so that a slot rests for as long as
 * possible before it is used again. */
struct kern_slots {
	uint32_t *free;
	uint32_t head, used, size;
};

struct kern {
	struct relay_bpf *skel;
	struct up_direction *directions; /* mmap of the map */
	size_t directions_len;           /* bytes */
	uint32_t slots;
	unsigned workers;
	struct kern_slots *slots_of; /* [workers] */
	int *ring_fds;               /* [workers] */
	int pin_dir_fd;              /* locked while we live */
	char pin_path[128];
	bool attached;
};

/* pin.c: lock a directory of our own below root, empty it, remember it in kern. */
int kern_pin_claim(struct kern *kern, const char *root);
int kern_pin_maps(struct kern *kern);
void kern_pin_release(struct kern *kern);

#endif
