// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/show.h"

#include <stdio.h>

#include "base/addr.h"

#define EVERY_US 1000000

static void show_pool(struct backend_show *show, const char *name, const struct pool *pool,
		      uint32_t *number)
{
	for (size_t i = 0; i < pool_size(pool); i++) {
		struct up_backend shown = { 0 };
		struct pool_stat stat;

		if (!pool_stat(pool, (int)i, &stat))
			continue;
		snprintf(shown.backend, sizeof(shown.backend), "%s", name);
		addr_format(&stat.addr, shown.server, sizeof(shown.server));
		shown.weight = stat.weight;
		shown.active = stat.active;
		shown.total = stat.total;
		shown.failed = stat.failed;
		shown.resting = stat.resting;
		kern_show_backend(show->relay->kern, (*number)++, &shown);
	}
}

static void on_time(struct loop_timer *timer)
{
	struct backend_show *show = container_of(timer, struct backend_show, timer);
	const struct generation *generation = show->relay->generations.newest;
	uint32_t number = 0;

	for (size_t i = 0; i < generation->conf->n_backends; i++)
		show_pool(show, generation->conf->backends[i].name, generation_pool(generation, i),
			  &number);
	for (uint32_t i = number; i < show->shown; i++)
		kern_hide_backend(show->relay->kern, i);
	show->shown = number;
	(void)loop_timer_arm(show->loop, timer, EVERY_US);
}

void backend_show_start(struct backend_show *show, struct loop *loop, struct relay *relay)
{
	*show = (struct backend_show){ .loop = loop, .relay = relay, .timer.fn = on_time };
	on_time(&show->timer);
}
