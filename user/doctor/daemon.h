/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon that runs, as whoever asked it found it. */
#ifndef DOCTOR_DAEMON_H
#define DOCTOR_DAEMON_H

#include <jansson.h>
#include <stdbool.h>

#include "conf/conf.h"
#include "doctor/report.h"

struct doctor_daemon {
	const char *control;  /* its socket; NULL: it has none */
	int err;              /* -errno of asking; 0: it answered */
	const json_t *status; /* ... this, the data of `status` */
};

/* What it says that should be known, with the mend. Looks at its /proc beside, no more. */
void check_daemon(struct report *report, const struct doctor_daemon *daemon);

/* Has it a listener of that name and engine? True if it was not asked. */
bool daemon_serves(const struct doctor_daemon *daemon, const struct conf_listener *listener);

/* Says so if it serves another file than this configuration's. */
void check_same_file(struct report *report, const struct doctor_daemon *daemon,
		     const struct conf *conf);

#endif
