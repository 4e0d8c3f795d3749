// SPDX-License-Identifier: BSD-2-Clause
#include "doctor/doctor.h"

#include "base/clock.h"
#include "doctor/checks.h"
#include "doctor/warnings.h"

/* A step of the clock while we looked, beyond what NTP slews. */
#define STEP_US 100000

static int64_t clock_offset_us(void)
{
	return (int64_t)(clock_us(CLOCK_REALTIME) - clock_us(CLOCK_MONOTONIC));
}

static void on_warning(void *context, unsigned line, const char *key, const char *text)
{
	struct report *report = context;

	if (line)
		report_add(report, FINDING_WARN, "configuration", NULL, "line %u: %s: %s", line,
			   key, text);
	else
		report_add(report, FINDING_WARN, "configuration", NULL, "%s: %s", key, text);
}

/* What the checks of servers and listeners do not say. */
static void check_configuration(struct report *report, const struct conf *conf)
{
	if (!conf)
		return;
	report_add(report, FINDING_OK, "configuration", NULL, "%s, %zu listeners, %zu backends",
		   conf->file ? conf->file : "flags", conf->n_listeners, conf->n_backends);
	warnings_of_conf(conf, on_warning, report);
	warnings_of_host(conf, on_warning, report);
}

void doctor_examine(const struct conf *conf, const struct doctor_daemon *daemon,
		    struct report *report)
{
	int64_t before = clock_offset_us(), moved;

	check_kernel(report);
	check_privileges(report, conf);
	check_paths(report);
	check_cgroup(report);
	check_hooks(report);
	check_sockmaps(report);
	check_interfaces(report, conf);
	check_limits(report);
	check_files(report);
	check_sysctls(report);
	check_conntrack(report);
	check_ports(report);
	check_clock(report);
	check_configuration(report, conf);
	check_same_file(report, daemon, conf);
	check_log(report, conf);
	check_daemon(report, daemon);
	check_servers(report, conf);
	check_listeners(report, conf, daemon);
	moved = clock_offset_us() - before;
	if (moved > STEP_US || moved < -STEP_US)
		report_add(report, FINDING_WARN, "clock",
			   "who sets it? Times in the client log jump with it, durations do not",
			   "it was set while doctor ran, by %lld ms", (long long)moved / 1000);
}
