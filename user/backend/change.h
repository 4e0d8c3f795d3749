/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Changes to a pool's servers while workers pick from it. What may fail comes first; to
 * apply a change cannot fail, so that a whole configuration is applied or none of it.
 * By the owner's thread alone. No I/O, no logging.
 */
#ifndef BACKEND_CHANGE_H
#define BACKEND_CHANGE_H

#include "backend/pool.h"

struct pool_change;

enum pool_action { POOL_ADD, POOL_REMOVE, POOL_DRAIN, POOL_UNDRAIN, POOL_WEIGH };

/* To be exactly what the configuration says: servers of the same address stay, with their
 * connections and their health. Returns 0 and gives *ret to the caller, -ENOMEM, or -ENOSPC:
 * too many, or too many that were removed still have connections. */
int pool_change_to(struct pool *pool, const struct conf_backend *conf, struct pool_change **ret);

/* One server. weight (1..256) is of POOL_ADD and POOL_WEIGH. 0, -ENOMEM, -ENOSPC as above,
 * -EEXIST: it is there already, -ENOENT: it is not. */
int pool_change_one(struct pool *pool, enum pool_action action, const struct conf_server *server,
		    struct pool_change **ret);

/* Both free it; NULL is allowed. */
void pool_change_apply(struct pool_change *change);
void pool_change_free(struct pool_change *change);

#endif
