/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The only contract between the kernel side and the daemon: what the pinned maps hold.
 * Field names are what `bpftool map dump` shows. Host byte order unless said otherwise.
 */
#ifndef UNPROXY_ABI_H
#define UNPROXY_ABI_H

#include "unproxy/addr.h"

/* Counts up whenever a program and a daemon of different versions could not share the relay's
 * maps: another layout, or another meaning. */
#define UP_RELAY_ABI 1

#define UP_TEXT_ADDR 56 /* "[ffff:...:ffff]:65535" and a NUL, rounded up */
#define UP_TEXT_NAME 32

/* Bit 63 of up_direction.word: user space moves the bytes of this direction. */
#define UP_WORD_USER (1ULL << 63)

/* up_direction.peer: the other direction is not under the program. */
#define UP_NO_PEER 0xffffffffU

/* Segments that may wait in a target's queue; beyond, user space takes over. The kernel
 * neither bounds nor charges that queue. */
#define UP_BACKLOG_SEGMENTS 256

/*
 * Bytes that may be on their way in a target: at least UP_ROOM_BASE, and what its reader
 * took in the last UP_ROOM_SPAN_NS, up to UP_ROOM_MAX. So a slow or stopped reader costs no
 * more than the base, and the sum of the rest is what the host moves in that time.
 */
#define UP_ROOM_BASE (1U << 20)
#define UP_ROOM_MAX (8U << 20)
#define UP_ROOM_SPAN_NS 4000000U

/* A source's receive buffer, as SO_RCVBUF takes it (the kernel doubles it). It holds what waits
 * for user space, and bounds what the program may have to trim. Bytes. */
#define UP_SOURCE_RCVBUF (1U << 20)

/* What the verdict does with the first segment of a source. */
enum up_stage {
	UP_STAGE_HEADER = 0, /* parse a PROXY header in it */
	UP_STAGE_PARSED = 1, /* done: .parse_* hold the result */
	UP_STAGE_STREAM = 2, /* no header expected: only bytes */
};

/* Why user space was asked to move the bytes of a direction again. */
enum up_handback {
	UP_HANDBACK_NONE = 0,
	UP_HANDBACK_CONGESTED = 1, /* the target has no room: true back-pressure is needed */
	UP_HANDBACK_NO_TARGET = 2, /* the target is gone from the map */
	UP_HANDBACK_BROKEN = 3,    /* a consumed part could not be trimmed: reset the pair */
	UP_HANDBACK_COUPLED = 4,   /* the pair's other direction was handed back */
	UP_HANDBACK_SHUT = 5,      /* the source's window is shut, and reading opens it */
};

/*
 * One direction of an accelerated pair: bytes from a source to its target. Lives in an
 * mmap-able array, so that the hand-over between the program and the daemon needs no
 * system call. The program runs under the source's socket lock, one run at a time.
 */
struct up_direction {
	/* UP_WORD_USER | bytes of the source the program has seen. The program adds and
	 * reads the mode in one step; the daemon takes UP_WORD_USER off by compare-and-swap
	 * only when it has consumed and sent every byte seen. */
	__u64 word;
	__u64 redirected;   /* bytes sent to the target by the kernel */
	__u64 segments;     /* ... in so many segments */
	__u64 token;        /* the daemon's; comes back in events */
	__u32 next_seq;     /* next sequence number that belongs to the target */
	__u32 expected_seq; /* the target's write_seq once its queue is sent */
	__u32 ring;         /* which worker's ring gets the events */
	__u32 stage;        /* enum up_stage */
	__u32 handback;     /* enum up_handback of the last switch to user mode */
	__u32 handbacks;    /* how often */
	__u8 synced;        /* next_seq is valid */
	__u8 resumed;       /* set by the daemon: take expected_seq from the target anew */
	__u16 parse_reason; /* enum up_reason */
	__u8 parse_status;  /* enum up_header_status */
	__u8 parse_version;
	__u8 keeps;         /* set by the daemon: a byte of the source is unread, see `shut` */
	__u8 shut;          /* the source's window is shut; the daemon peeks at that byte */
	__u32 parse_len;    /* bytes of the header */
	__u32 header_max;   /* bytes; the listener's limit, for UP_STAGE_HEADER */
	__u32 header_flags; /* UP_HEADER_V1_* */
	__u32 room;         /* bytes that may be in the target now */
	__u32 acked_seq;    /* the target's snd_una at acked_ns */
	__u64 acked_ns;     /* CLOCK_MONOTONIC */
	__u64 cookie;       /* of the source: its key in the other maps */
	__u32 peer;         /* the pair's other direction, UP_NO_PEER: none */
	__u32 pad2[3];
	__u64 counted; /* the daemon's: bytes of `redirected` that its counters have */
};
/* Two cache lines: workers and CPUs do not share one. */
_Static_assert(sizeof(struct up_direction) == 128, "up_direction is mmap ABI");

/* A direction went to user mode, or, UP_HANDBACK_NONE, its `shut` was set. */
struct up_event {
	__u64 token;
	__u32 direction; /* index into `directions` */
	__u32 handback;  /* enum up_handback */
};

enum up_conn_state {
	UP_CONN_HEADER = 0,
	UP_CONN_CONNECT = 1,
	UP_CONN_RELAY = 2,
	UP_CONN_HALF = 3,
	UP_CONN_CLOSED = 4,
};

enum up_conn_path {
	UP_PATH_NONE = 0,
	UP_PATH_COPY = 1,
	UP_PATH_SPLICE = 2,
	UP_PATH_KERNEL = 3,
	UP_PATH_INLINE = 4,
};

/* A live connection as people see it. Key: the socket cookie of the balancer's leg. */
struct up_conn {
	char client[UP_TEXT_ADDR];   /* from the header, else the socket's peer */
	char balancer[UP_TEXT_ADDR]; /* the socket's peer */
	char backend[UP_TEXT_ADDR];  /* the server chosen; empty before CONNECT */
	char listener[UP_TEXT_NAME];
	enum up_conn_state state;
	enum up_conn_path path_up; /* client -> backend */
	enum up_conn_path path_down;
	__u32 header_version; /* 0: no PROXY header */
	__u64 bytes_up;       /* without the header; refreshed every second */
	__u64 bytes_down;
	__u64 accepted; /* seconds since 1970; 0 while only the kernel knows it */
};

/* A server of a backend. Key: its number, in the order of the configuration. */
struct up_backend {
	char backend[UP_TEXT_NAME];
	char server[UP_TEXT_ADDR];
	__u32 weight;
	__u32 active;  /* connections now */
	__u64 total;   /* connections ever */
	__u64 failed;  /* connects that failed */
	__u32 resting; /* 1: refused lately, tried again later */
	__u32 pad;
};

/* What the verdict program did, per CPU. */
struct up_stats {
	__u64 redirected_bytes;
	__u64 redirected_segments;
	__u64 passed_segments; /* to user space, in user mode */
	__u64 fins;            /* bare FINs held back */
	__u64 duplicates;      /* segments whose every byte was consumed before */
	__u64 trimmed;         /* segments that lost a consumed part */
	__u64 congested;       /* switches to user mode for lack of room */
	__u64 shut;            /* windows that only user space could open again */
	__u64 no_target;
	__u64 trim_failed;
	__u64 unknown_source; /* a socket without a direction: passed up */
	__u64 events_lost;    /* ring full: cannot be, it has a place for each slot */
	__u64 headers_complete;
	__u64 headers_incomplete;
	__u64 headers_invalid;
};

/*
 * The address hook: what an unmodified server is told of its client.
 */

/* Whom a socket of the daemon will connect for: written by the daemon before connect(), taken
 * by the program inside it. In an mmap-able array; the socket's place is found by its cookie,
 * or within UP_INTENT_PROBES behind it. */
struct up_intent {
	__u64 cookie;          /* of the socket; 0: free, UP_INTENT_BUSY: being written */
	struct up_addr client; /* what the server is to see as its peer */
	__u32 pad;
};
_Static_assert(sizeof(struct up_intent) == 32, "up_intent is mmap ABI");

#define UP_INTENTS 1024U /* a power of two; as many connect() calls at a time are few */
#define UP_INTENT_PROBES 4U
#define UP_INTENT_BUSY (~0ULL)

/* A connection to a server, named alike at both its ends. The SYN's sequence number tells it
 * from one with the same addresses in another network namespace, and so needs no cookie of
 * the namespace: the server's may be another one than ours. */
struct up_tuple {
	__u8 from_ip[16]; /* the daemon's end; network order, IPv4 v4-mapped */
	__u8 to_ip[16];   /* the server's */
	__u16 from_port;
	__u16 to_port;
	__u32 isn; /* sequence number of the daemon's SYN */
};
_Static_assert(sizeof(struct up_tuple) == 40, "up_tuple is a map key without holes");

/* What the hook did, per CPU. */
struct up_hook_stats {
	__u64 announced;    /* connections to servers, with a client to be shown */
	__u64 shown;        /* server's sockets that know their client */
	__u64 full;         /* not shown: no room in `handshakes` */
	__u64 no_memory;    /* not shown: none for a socket's client */
	__u64 ipv6_on_ipv4; /* not shown: the server's socket cannot hold such an address */
	__u64 collected;    /* failed, or the server is not on this host */
};

#endif
