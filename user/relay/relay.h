/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the workers share, and a worker. What workers look at here is written before they
 * start, or is an atomic; the rest is the main thread's: no lock on the data path.
 */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/caps.h"
#include "base/inherited.h"
#include "client/log.h"
#include "conf/conf.h"
#include "kern/hook.h"
#include "kern/kern.h"
#include "loop/loop.h"
#include "loop/mailbox.h"
#include "obs/stats.h"
#include "relay/generation.h"

struct deny;
struct limits;

/* Read at once in user space, by whichever path. */
#define RELAY_BUFFER 65536

/* What the kernel may hold of what the verdict redirects, in bytes as SO_SNDBUF takes them (the
 * kernel doubles it): never so much that its worker blocks, see has_room(). */
#define RELAY_TARGET_SNDBUF (2 * UP_ROOM_MAX)

/* Peeked at once; a source that holds more is copied first. */
#define RELAY_PEEK (4 << 20)

/* A listening socket that somebody else has opened. fd -1: it has been taken. */
struct adopted {
	struct up_addr addr;
	int fd;
};

struct relay {
	struct generations generations; /* the main thread's */
	struct kern *kern;              /* NULL: no kernel path on this host */
	struct stats_part kernel_path;
	struct kern_hook *hook; /* atomic; NULL: servers are not told of their clients */
	struct stats_part hook_part;
	struct inherited inherited; /* sockets that were open before us; the main thread's */
	struct client_log *log;     /* NULL: no client log */
	struct deny *deny;          /* clients to refuse */
	struct limits *limits;      /* connections per source and listener */
	bool io_uring;              /* may be used where the host has it */
	uint32_t max_connections;
	uint32_t connections; /* atomic: now */
	struct worker **workers;
	struct mailbox answers; /* letters to the main thread */
	unsigned n_workers;     /* 0: nothing is relayed yet */
	unsigned planned;       /* how many there will be, then */
	caps_set worker_caps;   /* what a worker keeps of the main thread's */
	int uring_error;        /* why there is no io_uring, -errno */
	sem_t updated;          /* each worker posts it when it has taken an update */
	int done_fd;            /* eventfd: each worker adds one when it has stopped */
	/* While another process takes over from this one */
	int handed_fd;          /* eventfd: each worker adds one when it has no more to give */
	uint64_t handed;        /* atomic: connections that the other one has by now */
	sem_t offered;          /* each worker posts it when it has told of its sockets */
	bool kern_told;         /* the other one shares kern's maps */
	bool storing;           /* ... is not there yet: the service manager keeps all for it */
	struct up_addr *served; /* what the other one listens on, too, in the end */
	size_t n_served;
	struct adopted *adopted; /* listening sockets from elsewhere; the caller's */
	size_t n_adopted;
	/* While this one takes on what the service manager has kept */
	int taken_fd;       /* eventfd: each worker adds one when there is no more */
	uint64_t taken;     /* atomic: connections */
	uint64_t not_taken; /* atomic: ... that were reset instead */
	uint64_t left;      /* atomic: ... that stay with a daemon that lives */
	int left_err;       /* atomic: why the last of these did */
};

/* Nothing is open yet. */
#define RELAY_NONE                                                                      \
	{                                                                               \
		.done_fd = -1, .handed_fd = -1, .taken_fd = -1, .answers.source.fd = -1 \
	}

struct pipe_pool;
struct uring_bytes;

/* What a worker is told of a new generation. */
struct worker_update {
	struct worker_update *next;
	struct generation *generation;
	struct list listeners; /* new ones, for the worker to have */
	bool open[];           /* one per listener of the generation: false closes it */
};

struct worker {
	struct relay *relay;
	unsigned index;
	struct loop *loop;
	pthread_t thread;
	struct list listeners;
	struct generation *newest;     /* that it was told of */
	struct mailbox inbox;          /* letters from the main thread */
	struct loop_source commands;   /* eventfd */
	uint32_t wanted;               /* atomic: enum worker_command bits not yet seen */
	struct worker_update *updates; /* atomic: not yet seen, last first */
	uint8_t answer;                /* atomic: enum worker_answer */
	struct loop_timer tick;        /* once a second: settle, show */
	struct loop_timer accept_again;
	uint64_t pause_logged_us;
	uint64_t short_us; /* atomic for readers: when it had no room for one, last; 0: never */
	struct hand_over *hand_over; /* another process takes over from this one, else NULL */
	struct list channels;        /* struct take_over: this one takes over from another */
	struct loop_timer look;      /* at the listeners, see worker_look() */
	unsigned looks;              /* ... so many times more */
	int channel;                 /* for WORKER_HAND_OVER, which takes it */
	struct offer *offer;         /* for WORKER_OFFER, to be filled */
	bool accepting;
	bool draining;
	bool stopping;
	struct kern_ring *ring;
	struct loop_source ring_source;
	struct list sessions;    /* all but those */
	struct list accelerated; /* with a socket under the verdict program */
	struct list young;       /* not settled yet, oldest first */
	struct list changed;     /* to be shown anew */
	struct list walks;       /* struct relay_walk: looks at all sessions that are under way */
	uint32_t n_sessions;
	struct stats_counts counts; /* this worker's alone */
	uint32_t n_shown;           /* atomic for readers: entries of `connections` */
	size_t backlog_next;        /* the listener whose backlog is looked at next */
	struct pipe_pool *pipes;
	uint64_t realtime_offset_us; /* CLOCK_REALTIME - CLOCK_MONOTONIC, taken each second */
	struct uring_bytes *arrived; /* what io_uring brought of a header, else NULL */
	uint8_t *peeked;             /* RELAY_PEEK bytes, with a kernel path only */
	uint8_t buffer[RELAY_BUFFER];
};

enum worker_command {
	WORKER_DRAIN = 1, /* stop accepting; stop when the last session is over */
	WORKER_STOP = 2,  /* reset what is left and stop */
	WORKER_ANSWER = 4,
	WORKER_HAND_OVER = 16, /* give all connections to another process, hand_over.h */
	WORKER_KEEP = 32,      /* ... or not, after all */
	WORKER_OFFER = 64,     /* tell of its listening sockets: offer.h */
};

/* All workers, in relay->workers; they have no listeners before their first update. On failure those that
 * came before are there. 0 or -errno. */
int workers_new(struct relay *relay);
int worker_start(struct worker *worker);
/* From any thread. */
void worker_command(struct worker *worker, enum worker_command command);
/* Is its loop alive? It has answered when worker_answered() says so, later; one that has
 * stopped has, too. From the main thread. */
void worker_ask(struct worker *worker);
bool worker_answered(const struct worker *worker);
/* By the main thread; the update is the worker's then. It posts relay->updated. */
void worker_update(struct worker *worker, struct worker_update *update);
void worker_join(struct worker *worker);
/* Sessions are gone by then. NULL is allowed. */
void worker_free(struct worker *worker);

/* Accept nothing until worker_unpause(). By the worker. */
void worker_pause(struct worker *worker);
void worker_unpause(struct worker *worker);

/* Accept what waits without being told of it, for some seconds: the io_uring of a process that
 * has died takes the wake-ups of a listening socket for a while (each goes to one alone). */
void worker_look(struct worker *worker);

/* A session came (1) or went (-1): the last one lets a draining worker stop. */
void worker_count(struct worker *worker, int change);

/* Whose are the pinned maps and programs, to be removed at the end? shared: another daemon's, too, or
 * the next one's; the maps if it has been told of them (kern_told). */
void relay_share_pins(const struct relay *relay, bool shared);

/* What the workers shared, when they are gone. */
void relay_end(struct relay *relay);

/* What all workers have counted; by the main thread. */
void relay_sum(const struct relay *relay, struct stats_counts *ret);

/* Connections that all workers show in the map of that name; any thread. */
uint64_t relay_shown(const struct relay *relay);

/* When a worker had last no descriptor, memory or place for a connection: CLOCK_MONOTONIC in
 * microseconds; 0: never. */
uint64_t relay_short_us(const struct relay *relay);

#endif
