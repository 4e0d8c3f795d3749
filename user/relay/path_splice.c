// SPDX-License-Identifier: BSD-2-Clause
#include "relay/path_splice.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "relay/path_copy.h"

/* Asked of F_SETPIPE_SZ; what is granted may be less (fs.pipe-max-size, pipe-user-pages-*). */
#define PIPE_BYTES (1 << 20)
#define PIPES_KEPT 64
#define SPLICE_ROUNDS 16

struct splice_pipe {
	struct splice_pipe *next; /* in the pool */
	int rd, wr;
	uint32_t held; /* bytes in the pipe: tells the two meanings of EAGAIN apart */
};

struct pipe_pool {
	struct splice_pipe *free;
	unsigned kept;
};

struct pipe_pool *pipe_pool_new(void)
{
	return calloc(1, sizeof(struct pipe_pool));
}

static void pipe_destroy(struct splice_pipe *pipe)
{
	(void)close(pipe->rd);
	(void)close(pipe->wr);
	free(pipe);
}

void pipe_pool_free(struct pipe_pool *pool)
{
	if (!pool)
		return;
	while (pool->free) {
		struct splice_pipe *pipe = pool->free;

		pool->free = pipe->next;
		pipe_destroy(pipe);
	}
	free(pool);
}

static struct splice_pipe *pipe_take(struct pipe_pool *pool)
{
	struct splice_pipe *pipe = pool->free;
	int fds[2];

	if (pipe) {
		pool->free = pipe->next;
		pool->kept--;
		return pipe;
	}
	pipe = calloc(1, sizeof(*pipe));
	if (!pipe)
		return NULL;
	if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0) {
		free(pipe);
		return NULL;
	}
	pipe->rd = fds[0];
	pipe->wr = fds[1];
	(void)fcntl(pipe->wr, F_SETPIPE_SZ, PIPE_BYTES); /* the default size works too */
	return pipe;
}

static void pipe_give(struct pipe_pool *pool, struct splice_pipe *pipe)
{
	if (pipe->held || pool->kept == PIPES_KEPT) {
		pipe_destroy(pipe);
		return;
	}
	pipe->next = pool->free;
	pool->free = pipe;
	pool->kept++;
}

void splice_free(struct session *session, enum way way)
{
	struct flow *flow = flow_of(session, way);

	if (flow->pipe)
		pipe_give(session->worker->pipes, TAKE_PTR(flow->pipe));
}

int splice_unload(struct session *session, enum way way)
{
	struct flow *flow = flow_of(session, way);
	struct splice_pipe *pipe = flow->pipe;
	_cleanup_free_ struct chunk *chunk = NULL;

	if (!pipe)
		return 0;
	chunk = malloc(sizeof(*chunk) + pipe->held);
	if (!chunk || flow->chunk) /* a pipe is filled when nothing was kept */
		return -ENOMEM;
	*chunk = (struct chunk){ .size = pipe->held };
	while (pipe->held) {
		ssize_t n = read(pipe->rd, chunk->data + chunk->len, pipe->held);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		chunk->len += (uint32_t)n;
		pipe->held -= (uint32_t)n;
	}
	if (chunk->len)
		flow->chunk = TAKE_PTR(chunk);
	if (pipe->held)
		return -EIO;
	splice_free(session, way);
	return 0;
}

/* Pipe -> target. True when the pipe is empty. */
static bool push(struct leg *target, struct splice_pipe *pipe)
{
	while (pipe->held && target->flags & LEG_WRITABLE) {
		ssize_t n = splice(pipe->rd, NULL, target->source.fd, NULL, pipe->held,
				   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

		if (n > 0) {
			pipe->held -= (uint32_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			leg_full(target, EAGAIN);
		} else if (n < 0 && errno != EINTR) {
			leg_died(target, errno); /* nobody is left to read it */
			return true;
		}
	}
	return !pipe->held;
}

static void refuse(struct session *session, struct flow *flow)
{
	flow->splice_refused = true;
	flow->wake_us = 1; /* it is copied from now on, and no edge will tell of what is there */
	stats_add(&session->worker->counts.refused_path[UP_PATH_SPLICE], 1);
}

/* Source -> pipe, which is empty: EAGAIN can only mean that the source is. */
static enum relay_result pull(struct session *session, enum way way)
{
	struct flow *flow = flow_of(session, way);
	struct leg *source = source_of(session, way);
	ssize_t n = splice(source->source.fd, NULL, flow->pipe->wr, NULL, PIPE_BYTES,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	if (n > 0) {
		flow->pipe->held = (uint32_t)n;
		flow->spliced += (uint64_t)n;
		stats_add(&session->worker->counts.bytes[way][UP_PATH_SPLICE], (uint64_t)n);
		return RELAY_AGAIN;
	}
	if (n == 0)
		return RELAY_EOF;
	switch (errno) {
	case EINTR:
		break;
	case EAGAIN:
		source->flags &= (uint16_t)~LEG_READABLE;
		break;
	case EINVAL:
	case ENOSYS:
	case ENOMEM:
		refuse(session, flow);
		break;
	default:
		source->flags &= (uint16_t)~LEG_READABLE;
		leg_died(source, errno);
	}
	return RELAY_AGAIN;
}

enum relay_result splice_move(struct session *session, enum way way)
{
	struct flow *flow = flow_of(session, way);
	struct leg *source = source_of(session, way);

	/* What was read by recv() goes first. */
	if (!copy_flush(session, way))
		return RELAY_AGAIN;
	for (int round = 0; round < SPLICE_ROUNDS; round++) {
		enum relay_result result;

		if (flow->pipe && !push(target_of(session, way), flow->pipe))
			return RELAY_AGAIN;
		if (target_of(session, way)->flags & LEG_DEAD)
			return RELAY_AGAIN;
		if (!(source->flags & LEG_READABLE) || flow->splice_refused) {
			splice_free(session, way);
			return RELAY_AGAIN;
		}
		if (!flow->pipe)
			flow->pipe = pipe_take(session->worker->pipes);
		if (!flow->pipe) {
			refuse(session, flow);
			return RELAY_AGAIN;
		}
		result = pull(session, way);
		if (result == RELAY_EOF) {
			splice_free(session, way);
			return RELAY_EOF;
		}
	}
	flow->wake_us = 1;
	return RELAY_AGAIN;
}
