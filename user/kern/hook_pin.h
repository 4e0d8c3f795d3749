/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Directories of pins below root (NULL: /sys/fs/bpf/unproxy, mounted if it is not). All
 * return 0 or -errno.
 */
#ifndef KERN_HOOK_PIN_H
#define KERN_HOOK_PIN_H

/* Locked while fd is open. */
struct pin_dir {
	int fd;
	char path[128];
};

/* Lock NAME, or NAME-1, NAME-2 ... where others live, as its owner left it. */
int pin_claim(const char *root, const char *name, struct pin_dir *ret);

/* NAME and no other: -EWOULDBLOCK if somebody has it. */
int pin_claim_only(const char *root, const char *name, struct pin_dir *ret);

/* Somebody else's, who has given us the descriptor that locks it: the lock is the open file's,
 * so with a copy we hold it, too. */
int pin_share(const char *path, int fd, struct pin_dir *ret);

/* Detach and remove what dead owners left. Returns how many they were. */
unsigned pin_sweep(const char *root, const char *name);

/* Detach and remove all that is pinned in NAME, whoever has it. Nothing there is no error. */
int pin_discard(const char *root, const char *name);

void pin_remove(struct pin_dir *dir); /* with all that is in it, and unlock */
void pin_leave(struct pin_dir *dir);  /* unlock, and leave the pins where they are */

#endif
