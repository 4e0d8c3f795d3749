// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/watchdog.h"

#include "base/list.h"
#include "obs/notify.h"

static void ask_all(struct watchdog *watchdog)
{
	for (unsigned i = 0; i < watchdog->relay->n_workers; i++)
		worker_ask(watchdog->relay->workers[i]);
}

static bool all_answered(struct watchdog *watchdog)
{
	bool all = true;

	for (unsigned i = 0; i < watchdog->relay->n_workers; i++)
		all &= worker_answered(watchdog->relay->workers[i]);
	return all;
}

/* Nobody is asked again before all have answered: the manager's patience is measured by its
 * own clock. */
static void on_time(struct loop_timer *timer)
{
	struct watchdog *watchdog = container_of(timer, struct watchdog, timer);

	if (all_answered(watchdog)) {
		notify_watchdog();
		ask_all(watchdog);
	}
	(void)loop_timer_arm(watchdog->loop, timer, watchdog->every_us);
}

void watchdog_start(struct watchdog *watchdog, struct loop *loop, const struct relay *relay)
{
	*watchdog = (struct watchdog){
		.loop = loop,
		.timer.fn = on_time,
		.relay = relay,
		.every_us = notify_watchdog_us() / 4,
	};
	if (!watchdog->every_us)
		return;
	ask_all(watchdog);
	(void)loop_timer_arm(loop, &watchdog->timer, watchdog->every_us);
}
