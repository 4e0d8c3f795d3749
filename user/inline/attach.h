/* SPDX-License-Identifier: BSD-2-Clause */
/* The programs' places: on which interfaces they are put, and kept. */
#ifndef INLINE_ATTACH_H
#define INLINE_ATTACH_H

#include "conf/conf.h"
#include "inline/interfaces.h"
#include "inline/policy.h"
#include "kern/inline.h"

struct attach {
	const struct conf *conf;
	const struct policy *policy;
	struct kern_inline *kern;            /* for all but attach_check() */
	struct interface_names gone, failed; /* said so already */
	struct conf_error *error;            /* where to leave what is wrong, too; or NULL */
};

void attach_free(struct attach *attach);

/* Is every interface there that the configuration names? Says what is wrong, with its line. */
int attach_check(const struct attach *attach);

/* The interfaces of the configuration, and those of an earlier daemon: their connections go
 * on, and two versions of the programs at work on one table would be one too many. Says
 * what fails. */
int attach_all(struct attach *attach);

/* Of another configuration, the interfaces that this daemon is not on yet. As attach_all(). */
int attach_more(struct attach *attach);

/* Every two seconds: interfaces that came (back), and programs that others removed. */
void attach_heal(struct attach *attach);

/* Names of all that have our programs, with commas. */
void attach_names(const struct attach *attach, char *buf, size_t size);

#endif
