// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/capacity.h"

#include <sched.h>
#include <sys/resource.h>

#include "obs/log.h"

/* Descriptors that are not connections: logs, maps, rings, listeners, pipes in use. */
#define FDS_RESERVED 256

/* Processors that it may run on. */
static unsigned cpus(void)
{
	cpu_set_t set;

	/* Not the host's number: a container or taskset may allow fewer. */
	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	return (unsigned)CPU_COUNT(&set);
}

/* Raised as far as it may be. */
static uint32_t descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > UINT32_MAX)
		return 1 << 20;
	return (uint32_t)limit.rlim_cur;
}

uint32_t capacity_room(void)
{
	uint32_t n = descriptors();

	return n > 2 * FDS_RESERVED ? (n - FDS_RESERVED) / 2 : n / 4;
}

uint32_t capacity_connections(const struct conf *conf)
{
	uint32_t room = capacity_room();

	if (conf->max_connections > room)
		log_warn("limit.lowered max_connections=%u to=%u reason=\"RLIMIT_NOFILE is %u\"",
			 conf->max_connections, room, descriptors());
	return conf->max_connections && conf->max_connections < room ? conf->max_connections : room;
}

void capacity_plan(struct relay *relay, const struct conf *conf)
{
	relay->planned = conf->workers ? conf->workers : cpus();
	relay->max_connections = capacity_connections(conf);
	relay->io_uring = conf->io_uring;
}
