/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon: one struct owns everything; start and stop in mirror order. */
#ifndef DAEMON_H
#define DAEMON_H

#include <stdbool.h>

#include "conf/conf.h"

/* Run until SIGTERM or SIGINT. conf is the daemon's from now on; takeover: with all that a
 * daemon that runs has, which ends then. Says itself what fails.
 * Returns 0 after an orderly end, or -errno. */
int daemon_run(struct conf *conf, bool takeover);

#endif
