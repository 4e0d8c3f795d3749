/* SPDX-License-Identifier: BSD-2-Clause */
/* Keys of [unproxy] that a running process cannot change: key.restart. */
#ifndef CONF_RESTART_H
#define CONF_RESTART_H

#include "conf/conf.h"

/* Where *next differs from *running in such a key, it keeps what runs. names: which, with commas;
 * "" if none. Returns 0 or -ENOMEM, and then *next is of no use. */
int conf_keep_running(struct conf *next, const struct conf *running, char *names, size_t size);

#endif
