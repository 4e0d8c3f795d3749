/* SPDX-License-Identifier: BSD-2-Clause */
/* What this kernel and this host can do, and what stands in the way. Changes nothing: what it
 * loads, makes or connects to try it out is given back. */
#ifndef DOCTOR_DOCTOR_H
#define DOCTOR_DOCTOR_H

#include "conf/conf.h"
#include "doctor/daemon.h"
#include "doctor/report.h"

/* All checks, in order. conf: NULL: of the host and the daemon alone. */
void doctor_examine(const struct conf *conf, const struct doctor_daemon *daemon,
		    struct report *report);

#endif
