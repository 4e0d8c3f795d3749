/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * /metrics, /healthz and /readyz by HTTP, in a thread of its own. It reads and changes nothing;
 * however many clients come, and however slow: the newest are served, the rest of the daemon
 * does not notice.
 */
#ifndef OBS_METRICS_SERVER_H
#define OBS_METRICS_SERVER_H

#include "obs/stats.h"

struct metrics_server;

struct metrics_params {
	int fd; /* listens, and stays the caller's */
	/* A snapshot for the caller: 0, or -errno when none is to be had. Called by the
	 * server's thread, a few times a second at most. */
	int (*fetch)(void *context, struct stats **ret);
	void *context;
};

/* Nobody is served yet. Returns 0 and gives *ret to the caller, or -errno. */
int metrics_server_open(const struct metrics_params *params, struct metrics_server **ret);

/* Serve. 0 or -errno. */
int metrics_server_run(struct metrics_server *server);

/* fetch() must not wait any more. NULL is allowed. */
void metrics_server_close(struct metrics_server *server);

#endif
