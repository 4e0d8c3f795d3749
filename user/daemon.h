/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon: one struct owns everything; start and stop in mirror order. */
#ifndef DAEMON_H
#define DAEMON_H

#include "conf/conf.h"

/* Run until SIGTERM or SIGINT. conf is the caller's. Says itself what fails.
 * Returns 0 after an orderly end, or -errno. */
int daemon_run(const struct conf *conf);

#endif
