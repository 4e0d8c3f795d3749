/* SPDX-License-Identifier: BSD-2-Clause */
/* The checks, each adds what it finds. Private to doctor/. */
#ifndef DOCTOR_CHECKS_H
#define DOCTOR_CHECKS_H

#include <stdbool.h>

#include "conf/conf.h"
#include "doctor/daemon.h"
#include "doctor/report.h"

/* host.c */
void check_kernel(struct report *report);
void check_privileges(struct report *report, const struct conf *conf);
void check_paths(struct report *report); /* the kernel path and io_uring, tried out */
void check_cgroup(struct report *report);
void check_limits(struct report *report);
void check_clock(struct report *report);
void check_log(struct report *report, const struct conf *conf);

/* sysctls.c */
void check_sysctls(struct report *report);
void check_conntrack(struct report *report);
void check_ports(struct report *report);
void check_files(struct report *report);

/* others.c: who else is attached */
void check_interfaces(struct report *report, const struct conf *conf);
void check_hooks(struct report *report);
void check_sockmaps(struct report *report);

/* listeners.c */
void check_servers(struct report *report, const struct conf *conf);
void check_listeners(struct report *report, const struct conf *conf,
		     const struct doctor_daemon *daemon);

#endif
