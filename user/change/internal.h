/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef CHANGE_INTERNAL_H
#define CHANGE_INTERNAL_H

#include "change/change.h"

/* change_list() without the host: what a reload overrides. */
json_t *change_differences(const struct change *change);

/* May anything be changed? 0 or -errno with *error filled. */
int change_allowed(const struct change *change, struct conf_error *error);

/* Fill *error. Returns err. */
int change_fail(struct conf_error *error, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
