/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef CTL_INTERNAL_H
#define CTL_INTERNAL_H

#include "base/list.h"
#include "ctl/ctl.h"
#include "ctl/socket.h"

/* Clients at a time. */
#define CTL_CLIENTS_MAX 64

struct ctl {
	struct ctl_context *context;
	char *path;
	struct ctl_socket socket;
	struct loop_source source;
	struct loop_timer accept_again; /* no descriptor was left */
	struct list clients;
	struct ctl_counters counters;
};

#endif
