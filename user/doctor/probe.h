/* SPDX-License-Identifier: BSD-2-Clause */
/* Connections made to see what happens, several at once, under one deadline. */
#ifndef DOCTOR_PROBE_H
#define DOCTOR_PROBE_H

#include <stddef.h>
#include <stdint.h>

#include "unproxy/addr.h"

#define PROBES_MAX 256

enum probe_end {
	PROBE_ERROR,  /* could not be made: err */
	PROBE_SILENT, /* made, and nothing came before the deadline */
	PROBE_OPEN,   /* made (connect_only) */
	PROBE_ANSWER, /* bytes came */
	PROBE_CLOSED, /* the end of the stream, and no bytes */
	PROBE_RESET,
};

struct probe {
	struct up_addr to;
	struct up_addr from;  /* family UP_FAMILY_NONE: whatever the routes say */
	const uint8_t *bytes; /* sent, and a FIN behind them; NULL: connect only */
	size_t len;
	enum probe_end end; /* returned */
	int err;            /* PROBE_ERROR: errno, ETIMEDOUT at the deadline */
	int fd;             /* private */
};

/* Run n probes (PROBES_MAX at most), and close them all. */
void probe_run(struct probe *probes, size_t n, unsigned timeout_ms);

#endif
