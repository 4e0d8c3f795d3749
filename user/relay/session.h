/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A relayed connection: two legs, two flows, one state.
 *
 *   HEADER -> CONNECT -> RELAY -> HALF -> CLOSED
 *
 * Ownership: a session belongs to its worker and is freed by the loop after it reached
 * CLOSED. It is kept small (userland memory of an idle connection): buffers, pipes and
 * kernel directions hang off it only while they are in use.
 */
#ifndef RELAY_SESSION_H
#define RELAY_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "client/record.h"
#include "kern/kern.h"
#include "loop/loop.h"
#include "relay/generation.h"
#include "relay/leg.h"
#include "relay/relay.h"
#include "unproxy/reason.h"

enum session_state {
	SESSION_HEADER,  /* waiting for the whole PROXY header */
	SESSION_CONNECT, /* waiting for a server */
	SESSION_RELAY,   /* both flows open */
	SESSION_HALF,    /* one flow ended and was passed on */
	SESSION_CLOSED,
	SESSION__MAX,
};

/* FRONT -> BACK, BACK -> FRONT; a flow's source is legs[way] */
enum way { UP = STATS_UP, DOWN = STATS_DOWN };

/* Bytes read but not yet sent. */
struct chunk {
	uint32_t at, len; /* data[at..len) is left */
	uint32_t size;
	uint8_t data[];
};

struct listener;
struct splice_pipe;
struct accel;

struct flow {
	struct chunk *chunk;
	struct splice_pipe *pipe; /* splice path, only while it holds bytes */
	struct accel *accel;      /* kernel path, from promotion to the end */
	uint64_t copied;          /* bytes taken from the source by recv(); without header */
	uint64_t spliced;
	uint64_t bulk;    /* evidence of a bulk transfer, in bytes; see copy_count() */
	uint32_t wake_us; /* look again after so long; 0: an event will come */
	uint8_t path;     /* enum up_conn_path: what moves the next bytes */
	bool ended : 1;   /* the source ended and every byte was passed on */
	bool kernel_refused : 1;
	bool splice_refused : 1;
	bool sending : 1; /* io_uring has bytes for the target: nothing may overtake them */
	uint16_t buffer;  /* ... in this buffer of its */
};

struct session {
	union {
		struct list all;               /* worker->sessions or ->accelerated */
		struct loop_deferred deferred; /* CLOSED: of no list any more */
	};
	struct list turn; /* worker->young, ->changed, or none */
	struct loop_timer timer;
	struct worker *worker;
	const struct rules *rules; /* which it began with */
	struct leg legs[2];
	struct flow flows[2];
	uint64_t accepted_us; /* CLOCK_MONOTONIC */
	uint32_t header_us, connect_us;
	uint64_t cookie;        /* the front's, by which people know it; 0: not asked for yet */
	uint64_t idle_bytes;    /* total at the last look of the idle timer */
	uint64_t idle_since_us; /* when it last grew */
	uint8_t *tlvs;
	struct pool_tried *tried; /* only while connecting */
	struct chunk *early;      /* being sent by io_uring to a server that may be connected */
	struct up_addr client, balancer, destination;
	uint32_t header_len;
	uint32_t written_header; /* bytes of the header we wrote to the backend */
	uint16_t tlv_len;
	int16_t server; /* index in the pool, -1: none */
	uint8_t state;
	uint8_t version, command;
	uint8_t operations; /* of io_uring that have not said their last word, uring.h */
	bool limited : 1;   /* counted in the listener's per-source limit */
	bool plain : 1;     /* no header to come: a client of a listener of both kinds */
	uint8_t closes : 2; /* the end of both legs, enum leg_close */
	bool settled : 1;   /* no longer in worker->young */
	bool shown : 1;     /* in the `connections` map, or about to be */
	bool stacked : 1;   /* a second header behind the first */
	bool stays : 1;     /* not for the process that takes over */
	const char *reason; /* static string; set once, at the end */
};
/* With malloc()'s own 8 bytes, 376 is the most that takes 384. */
_Static_assert(sizeof(struct session) <= 376, "memory of an idle connection");

static inline struct flow *flow_of(struct session *session, enum way way)
{
	return &session->flows[way];
}

static inline struct leg *source_of(struct session *session, enum way way)
{
	return &session->legs[way == UP ? FRONT : BACK];
}

static inline struct leg *target_of(struct session *session, enum way way)
{
	return &session->legs[way == UP ? BACK : FRONT];
}

static inline struct session *session_of(struct leg *leg)
{
	return container_of(leg - leg->side, struct session, legs[0]);
}

/* Bytes that the kernel path has moved. */
uint64_t flow_redirected(const struct flow *flow);

static inline uint64_t flow_bytes(const struct flow *flow)
{
	return flow->copied + flow->spliced + flow_redirected(flow);
}

/* So many bytes were taken from a source by recv(). */
static inline void flow_copied(struct session *session, enum way way, uint64_t n)
{
	flow_of(session, way)->copied += n;
	/* What waits for a server is counted when there is one, and told of none otherwise. */
	if (session->state >= SESSION_RELAY)
		stats_add(&session->worker->counts.bytes[way][UP_PATH_COPY], n);
}

/* Bytes that were not for nobody. */
static inline uint64_t session_bytes(const struct session *session, enum way way)
{
	return session->state < SESSION_RELAY ? 0 : flow_bytes(&session->flows[way]);
}

/* What the connection came to, as a step of a path tells. */
enum relay_result {
	RELAY_AGAIN, /* nothing more to do until an event or wake_us */
	RELAY_EOF,   /* source ended, every byte passed on */
	RELAY_ERROR, /* certainty ended: session->reason is set, reset both sides */
};

/* Take over a freshly accepted socket, for which a place is taken. limited: it counts for the
 * per-source limit. 0, or -errno: the caller still owns fd. */
int session_new(struct listener *listener, int fd, const struct up_addr *peer, bool limited);

/* One with neither sockets nor a place among the worker's, by these rules. NULL: no memory.
 * Until session_enter() it is free()'s. */
struct session *session_make(struct worker *worker, const struct rules *rules);

/* It is one of the worker's from now on. */
void session_enter(struct session *session);

/* Forget one that stands still: another process has it, and its sockets by other descriptors. */
void session_let_go(struct session *session);

/* Run the state table until nothing moves. */
void session_run(struct session *session);

/* Leave at once. What is to be recorded has been. */
void session_close(struct session *session);

/* It is closed, and no operation is under way: close the sockets, free the rest. */
void session_release(struct session *session);

/* End a relayed connection with RST on both legs; reason is a static string, and stands instead
 * of that of a half that ended well before. */
void session_abort(struct session *session, const char *reason);

/* End any with RST on its legs: one that was not relayed yet is refused. */
void session_cut(struct session *session, enum up_reason reason);

/* "header", "connect", ... */
const char *session_state_name(enum session_state state);

/* For each second: set what only longer-lived connections need. */
void session_settle(struct session *session);

#endif
