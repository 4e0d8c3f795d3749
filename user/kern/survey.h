/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who else has programs and maps where ours are, or would be. Changes nothing, returns
 * errors, does not log.
 */
#ifndef KERN_SURVEY_H
#define KERN_SURVEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kern/cgroup.h"

struct survey_entry {
	uint32_t id;    /* of the program or map; 0: none (a filter that is no program) */
	char name[24];  /* its name, or the filter's kind */
	char where[32]; /* "tc ingress 1", "tcx ingress", "getpeername4", "sockhash" */
	bool ours;      /* by its name */
	bool before;    /* of an interface: sees a packet before ours would */
};

struct survey {
	struct survey_entry *entries;
	size_t room, n; /* n > room: so many there are, room of them are told */
};

/* All add to *ret and return 0, or -errno if something could not be seen: -EPERM without
 * privilege. */
int survey_interface(uint32_t index, struct survey *ret); /* tc filters and tcx programs */
int survey_cgroup(const struct cgroup_root *root, struct survey *ret); /* getpeername */
int survey_sockmaps(struct survey *ret);                               /* all of the host */

#endif
