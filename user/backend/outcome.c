// SPDX-License-Identifier: BSD-2-Clause
#include "backend/outcome.h"

#include <string.h>

#include "base/addr.h"
#include "obs/log.h"

void outcome_up(struct pool *pool, int server, const char *backend)
{
	char text[ADDR_TEXT_MAX];

	if (!pool_up(pool, server))
		return;
	addr_format(pool_addr(pool, server), text, sizeof(text));
	log_info("backend.up backend=%s server=%s", backend, text);
}

void outcome_down(struct pool *pool, int server, const char *backend, uint64_t now_ms, int err)
{
	char text[ADDR_TEXT_MAX];

	if (!pool_down(pool, server, now_ms))
		return;
	addr_format(pool_addr(pool, server), text, sizeof(text));
	log_warn("backend.down backend=%s server=%s error=\"%s\" action=\"trying others\"", backend,
		 text, strerror(err));
}
