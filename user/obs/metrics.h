/* SPDX-License-Identifier: BSD-2-Clause */
/* A snapshot in Prometheus' text format: one table says what there is. */
#ifndef OBS_METRICS_H
#define OBS_METRICS_H

#include <stdint.h>
#include <stdio.h>

#include "obs/stats.h"

/* What /proc/self tells of the process. */
struct metrics_process {
	double cpu_seconds;
	uint64_t resident_bytes;
	uint64_t open_fds, max_fds;
};

void metrics_process_read(struct metrics_process *ret);

/* Write all metrics. Returns 0 or -errno of the stream. */
int metrics_write(FILE *out, const struct stats *stats, const struct metrics_process *process);

#endif
