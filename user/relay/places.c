// SPDX-License-Identifier: BSD-2-Clause
#include "relay/places.h"

/* One more of at most max; 0: no limit. Returns false when there are so many. */
static bool count_in(uint32_t *count, uint32_t max)
{
	uint32_t now = __atomic_load_n(count, __ATOMIC_RELAXED);

	do {
		if (max && now >= max)
			return false;
	} while (!__atomic_compare_exchange_n(count, &now, now + 1, true, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	return true;
}

static void count_out(uint32_t *count)
{
	__atomic_fetch_sub(count, 1, __ATOMIC_RELAXED);
}

bool rules_take_place(struct relay *relay, const struct rules *rules)
{
	if (!count_in(&relay->connections, relay->max_connections))
		return false;
	if (count_in(&rules->state->connections, rules->conf->max_connections))
		return true;
	count_out(&relay->connections);
	return false;
}

void rules_force_place(struct relay *relay, const struct rules *rules)
{
	(void)count_in(&relay->connections, 0);
	(void)count_in(&rules->state->connections, 0);
}

void rules_give_place(struct relay *relay, const struct rules *rules)
{
	count_out(&relay->connections);
	count_out(&rules->state->connections);
}
