/* SPDX-License-Identifier: BSD-2-Clause */
/* Smooth weighted round robin, played once in advance. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/pool_internal.h"
#include "base/cleanup.h"

static uint32_t gcd(uint32_t a, uint32_t b)
{
	while (b) {
		uint32_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* At each turn every server gains its weight, the richest is chosen and pays the sum. 5:1:1
 * gives A A B A C A A. */
static void play(struct plan *plan, const uint32_t *weights, uint32_t common)
{
	int64_t credit[POOL_SERVERS_MAX] = { 0 };

	for (size_t turn = 0; turn < plan->n_turns; turn++) {
		size_t best = 0;

		for (size_t i = 0; i < plan->n_servers; i++) {
			credit[i] += weights[plan->servers[i]] / common;
			if (credit[i] > credit[best])
				best = i;
		}
		credit[best] -= (int64_t)plan->n_turns;
		plan->turns[turn] = (uint8_t)best;
	}
}

int plan_new(const uint16_t *servers, size_t n_servers, const uint32_t *weights, struct plan **ret)
{
	uint32_t common = 0, sum = 0;
	struct plan *plan;

	for (size_t i = 0; i < n_servers; i++)
		common = gcd(weights[servers[i]], common);
	for (size_t i = 0; i < n_servers; i++)
		sum += weights[servers[i]] / common;
	plan = calloc(1, sizeof(*plan) + sum);
	if (!plan)
		return -ENOMEM;
	plan->n_servers = n_servers;
	plan->n_turns = sum;
	if (n_servers > 0)
		memcpy(plan->servers, servers, n_servers * sizeof(*servers));
	play(plan, weights, common);
	*ret = plan;
	return 0;
}
