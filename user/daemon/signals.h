/* SPDX-License-Identifier: BSD-2-Clause */
/* What a daemon is told by signals: SIGTERM, SIGINT, SIGHUP. */
#ifndef DAEMON_SIGNALS_H
#define DAEMON_SIGNALS_H

/* Block them in this thread and all it starts: from now on they are read, signalfd(2). A closed
 * connection is no signal. Returns the descriptor, the caller's, or -errno. */
int signals_open(void);

/* Another one, that nobody reads: readable from the first SIGTERM or SIGINT on that waits. */
int signals_stop_open(void);

#endif
