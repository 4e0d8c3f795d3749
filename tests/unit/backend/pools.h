/* SPDX-License-Identifier: BSD-2-Clause */
/* Pools of made-up servers: 10.0.0.1, ports from 1 on. */
#ifndef TEST_POOLS_H
#define TEST_POOLS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/pool.h"
#include "base/addr.h"
#include "base/cleanup.h"

#define RETRY_MS 1000
#define RETRY_MAX_MS 8000
#define CONNECT_MS 5000

static inline void free_pool(struct pool **pool)
{
	pool_free(*pool);
}

#define _cleanup_pool_ _cleanup_(free_pool)

static inline struct conf_server server_at(unsigned port, uint32_t weight)
{
	struct conf_server server = { .weight = weight };

	assert_int_equal(addr_parse("10.0.0.1:1", &server.addr), 0);
	server.addr.port = (uint16_t)port;
	return server;
}

/* weights NULL: each is 1. */
static inline struct pool *make_pool(enum conf_balance balance, const uint32_t *weights, size_t n)
{
	struct conf_server servers[POOL_SERVERS_MAX];
	const struct conf_backend conf = {
		.balance = balance,
		.retry_ms = RETRY_MS,
		.retry_max_ms = RETRY_MAX_MS,
		.connect_timeout_ms = CONNECT_MS,
		.servers = servers,
		.n_servers = n,
	};
	struct pool *pool;

	for (size_t i = 0; i < n; i++)
		servers[i] = server_at(1 + (unsigned)i, weights ? weights[i] : 1);
	assert_int_equal(pool_new(&conf, &pool), 0);
	return pool;
}

#define MAKE(balance, ...)                                                   \
	make_pool(CONF_BALANCE_##balance, (const uint32_t[]){ __VA_ARGS__ }, \
		  sizeof((const uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t))

/* A connection that tries one server. */
static inline int pick_one(struct pool *pool, uint64_t now_ms)
{
	struct pool_tried tried = { 0 };

	return pool_pick(pool, &tried, now_ms);
}

#endif
