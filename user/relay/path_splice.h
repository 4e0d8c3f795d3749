/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Path `splice`: pages go from socket to socket through a pipe, without a copy to user
 * space. The bulk path where the kernel path may not be used.
 */
#ifndef RELAY_PATH_SPLICE_H
#define RELAY_PATH_SPLICE_H

#include "relay/session.h"

/* Pipes of one worker: taken when a flow has bytes to move, given back when it is empty,
 * so that an idle connection holds none. */
struct pipe_pool *pipe_pool_new(void);
void pipe_pool_free(struct pipe_pool *pool);

/* Move what can be moved. As copy_move(); where the kernel refuses splice() or there is no
 * pipe to be had, flow->splice_refused is set and copying goes on. */
enum relay_result splice_move(struct session *session, enum way way);

/* What the pipe holds becomes the flow's chunk, and the pipe goes. 0, or -errno: what it
 * still holds stays in it, behind the chunk. */
int splice_unload(struct session *session, enum way way);

/* Give the flow's pipe back: emptied ones are used again, others closed. */
void splice_free(struct session *session, enum way way);

#endif
