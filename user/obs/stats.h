/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every figure of the daemon, as one snapshot: what status, metrics and doctor show. Plain
 * numbers and copies of names, so that it outlives what it was taken from. Who takes it is
 * snapshot/.
 */
#ifndef OBS_STATS_H
#define OBS_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "unproxy/abi.h"
#include "unproxy/flow_abi.h"
#include "unproxy/reason.h"

/* ---- what an engine counts while it runs ---- */

/* X(identifier, name): why a connection that was served is over. */
#define STATS_ENDS(X)                                     \
	X(CLIENT_FIN, "client_fin")                       \
	X(SERVER_FIN, "server_fin")                       \
	X(CLIENT_RESET, "client_reset")                   \
	X(SERVER_RESET, "server_reset")                   \
	X(CLIENT_UNREACHABLE, "client_unreachable")       \
	X(SERVER_UNREACHABLE, "server_unreachable")       \
	X(IDLE_TIMEOUT, "idle_timeout")                   \
	X(SHUTDOWN, "shutdown")                           \
	X(NO_RESOURCES, "no_resources")                   \
	X(OUT_OF_MEMORY, "out_of_memory")                 \
	X(BYTES_MISSING, "bytes_missing")                 \
	X(BYTE_COUNT_UNREADABLE, "byte_count_unreadable") \
	X(BYTES_UNREADABLE, "bytes_unreadable")           \
	X(TRIM_FAILED, "trim_failed")                     \
	X(GONE, "gone")                                   \
	X(REUSED, "reused")                               \
	X(KILLED, "killed")                               \
	X(NOT_TAKEN_OVER, "not_taken_over")               \
	X(OTHER, "other")

enum stats_end {
#define X(id, name) STATS_END_##id,
	STATS_ENDS(X)
#undef X
		STATS_END__MAX,
};

enum stats_way { STATS_UP, STATS_DOWN, STATS_WAY__MAX }; /* client -> server, and back */
enum stats_probe { STATS_PROBE_EMPTY, STATS_PROBE_LOCAL, STATS_PROBE__MAX };

#define STATS_VERSIONS 3                       /* of a header; 0: a client without one */
#define STATS_COMMANDS 2                       /* enum up_command */
#define STATS_PATHS (UP_PATH_INLINE + 1)       /* enum up_conn_path */
#define STATS_HANDBACKS (UP_HANDBACK_SHUT + 1) /* enum up_handback */

/* Upper bounds in microseconds; one more bucket holds what is longer. */
#define STATS_BUCKETS 16
extern const uint32_t stats_bounds_us[STATS_BUCKETS];

struct stats_histogram {
	uint64_t buckets[STATS_BUCKETS + 1]; /* each by itself, not cumulated */
	uint64_t sum_us;
};

/*
 * Counters of one engine, or of one of its workers. Each has one writer, which uses
 * stats_add(); whoever reads sums them with stats_sum(). 64-bit numbers alone. What was
 * accepted is refused, a probe, ended, or open.
 */
struct stats_counts {
	uint64_t accepted;
	uint64_t closed; /* were accepted and are no more, whatever they were */
	uint64_t refused[UP_REASON__MAX];
	uint64_t ended[STATS_END__MAX];
	uint64_t probes[STATS_PROBE__MAX];
	uint64_t headers[STATS_VERSIONS][STATS_COMMANDS]; /* taken off */
	uint64_t bytes[STATS_WAY__MAX][STATS_PATHS];      /* without headers */
	uint64_t promoted[STATS_PATHS];                   /* directions, to this path */
	uint64_t refused_path[STATS_PATHS];               /* directions that it did not take */
	uint64_t handbacks[STATS_HANDBACKS];              /* directions, from the kernel */
	uint64_t to_kernel;                               /* ... and to it, first or again */
	uint64_t accept_pauses; /* times that accept stopped for lack of descriptors or memory */
	struct stats_histogram header_us;  /* accept -> header complete */
	struct stats_histogram connect_us; /* header complete -> server connected */
};

/* By the one writer of the counter; anyone may read meanwhile. */
static inline void stats_add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* One more duration. As stats_add(). */
void stats_time(struct stats_histogram *histogram, uint64_t us);

/* The number of a reason's name; STATS_END_OTHER: none of the table. */
enum stats_end stats_end_find(const char *name);
const char *stats_end_name(enum stats_end end);

/* Of an enum up_conn_path: "copy". */
const char *stats_path_name(size_t path);

/* Add what another thread may be counting. */
void stats_sum(struct stats_counts *sum, const struct stats_counts *counts);

/* Of all reasons together. */
uint64_t stats_refused(const struct stats_counts *counts);
uint64_t stats_ended(const struct stats_counts *counts);
uint64_t stats_probes(const struct stats_counts *counts);
uint64_t stats_handbacks(const struct stats_counts *counts);

/* ---- the snapshot ---- */

#define STATS_WHY 384
#define STATS_MAPS 8
#define STATS_PROGRAMS 16

/* Something that a host may refuse. */
struct stats_part {
	bool wanted; /* by the configuration */
	bool on;
	char why[STATS_WHY]; /* not on: why */
};

struct stats_listener {
	char name[UP_TEXT_NAME];
	bool is_inline;
	bool open;            /* takes new connections */
	bool draining;        /* not open, and that was said at run time */
	uint16_t port;        /* of its first address */
	uint64_t connections; /* now */
	uint64_t accepted;    /* since the start */
	uint64_t refused;
	uint32_t backlog, backlog_max; /* relay: wait for accept(), and may; a second old */
	char backend_name[UP_TEXT_NAME];
	int backend; /* its first server in stats.servers; -1: it has none, as the app is there */
	size_t n_servers;
};

struct stats_server {
	char backend[UP_TEXT_NAME];
	char addr[UP_TEXT_ADDR];
	uint32_t weight;
	uint32_t connections; /* now */
	uint64_t total;       /* chosen for a connection, since the start */
	uint64_t failed;      /* connect() failed */
	bool resting;         /* after a failure */
	bool draining;        /* takes no new connections */
	bool removed;         /* ... and goes with its last one */
	bool usable;          /* neither */
};

/* How full something of fixed size is. */
struct stats_map {
	const char *name; /* static */
	uint64_t used, size;
};

struct stats_program {
	const char *engine; /* static */
	char name[16];
	uint64_t runs, run_ns; /* while kernel.bpf_stats_enabled is on */
};

struct stats_engine {
	bool on;              /* has a listener */
	uint64_t connections; /* now */
	struct stats_counts counts;
	struct stats_part hook; /* servers are told of their clients */
	struct up_hook_stats hook_stats;
	bool is_short; /* had no descriptor, memory or place for a connection, a minute ago or less */
};

struct stats_reload {
	uint64_t done, failed;
	uint64_t last_us;  /* CLOCK_REALTIME of the last one, done or not; 0: none yet */
	char error[512];   /* why the last one failed; "": it did not */
	char restart[256]; /* keys that the file has changed and that wait for a restart */
};

struct stats {
	uint64_t started_us; /* CLOCK_REALTIME */
	uint64_t uptime_us;
	bool draining;       /* takes no new connections and will end */
	uint32_t generation; /* of the configuration; 1: of the start */
	unsigned workers;
	uint32_t max_connections; /* of the relay */
	struct stats_engine relay, inl;
	struct stats_part kernel_path, io_uring;
	struct up_stats verdict;    /* zero without a kernel path */
	struct up_flow_stats flows; /* of the programs: older than the daemon, maybe */
	char interfaces[256];       /* that have the inline programs, with commas */
	bool log_on;
	uint64_t log_lines, log_dropped;
	struct stats_reload reload;
	bool programs_timed; /* kernel.bpf_stats_enabled */
	struct stats_map maps[STATS_MAPS];
	size_t n_maps;
	struct stats_program programs[STATS_PROGRAMS];
	size_t n_programs;
	struct stats_listener *listeners;
	size_t n_listeners;
	struct stats_server *servers; /* those of a backend follow one another */
	size_t n_servers;
};

/* Room for so many. NULL: no memory. End with stats_free(). */
struct stats *stats_new(size_t n_listeners, size_t n_servers);
void stats_free(struct stats *stats);

/* By who fills a snapshot; what does not fit is left out. */
void stats_add_map(struct stats *stats, const char *name, uint64_t used, uint64_t size);
void stats_add_program(struct stats *stats, const struct stats_program *program);

/* Why new connections would not be served, in one static word: "draining", "listener",
 * "backend"; NULL: they would. *ret_name: of the listener. */
const char *stats_unready(const struct stats *stats, const char **ret_name);

#endif
