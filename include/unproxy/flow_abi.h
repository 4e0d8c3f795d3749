/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The contract of the inline engine: what its pinned maps hold and what its events say.
 * Field names are what `bpftool map dump` shows. Host byte order unless said otherwise.
 */
#ifndef UNPROXY_FLOW_ABI_H
#define UNPROXY_FLOW_ABI_H

#ifndef __bpf__
#include <linux/bpf.h> /* struct bpf_timer; the programs have it from vmlinux.h */
#endif

#include "unproxy/proxy_types.h"

/* A header longer than this is refused: adjust_room() takes 4095 bytes off at once. */
#define UP_INLINE_HEADER_MAX 4095

/* What a header that comes in parts is kept in. One segment adds UP_INLINE_TAKE at most,
 * so that place + length of a copy is in bounds by itself. */
#define UP_INLINE_TAKE 3584
#define UP_INLINE_BYTES (4096 + UP_INLINE_TAKE)

/* Two directions of a connection as the wire has it. Both maps and the hash compare it
 * byte by byte. */
struct up_flow_key {
	__u8 remote_ip[16]; /* the balancer's; network order, IPv4 as ::ffff:a.b.c.d */
	__u8 local_ip[16];  /* ours */
	__u16 remote_port;
	__u16 local_port; /* in `flows` as on the wire, in `aliases` the app's */
};
_Static_assert(sizeof(struct up_flow_key) == 36, "up_flow_key is map-key ABI");

enum up_flow_state {
	UP_FLOW_SYN = 0,     /* SYN passed on; no answer of the app's host yet */
	UP_FLOW_HEADER = 1,  /* SYN-ACK seen: the header is expected */
	UP_FLOW_OPEN = 2,    /* header cut, or none: bytes flow */
	UP_FLOW_REFUSED = 3, /* reset; the app never saw it */
};

/* up_flow.marks */
enum up_flow_mark {
	UP_FLOW_FIN_UP = 0x01, /* the client's side has said FIN */
	UP_FLOW_FIN_DOWN = 0x02,
	UP_FLOW_FIN_UP_ACKED = 0x04,
	UP_FLOW_FIN_DOWN_ACKED = 0x08,
	UP_FLOW_ENDED = 0x10, /* told in an event; translated until it is swept */
	UP_FLOW_LOCAL = 0x20, /* the sweep has seen the app's socket in its namespace */
	UP_FLOW_TIMED = 0x40, /* its timer has memory; else the next packet, or the sweep, tries */
	UP_FLOW_HEARD = 0x80, /* the sender knows the SYN-ACK's number */
	UP_FLOW_CHALLENGED = 0x100, /* half-open, and a SYN with another number has come */
	UP_FLOW_TIMER_DONE = 0x200, /* open, and its timer is over */
};

/* up_flow.options, up_listen.options */
enum up_flow_option {
	UP_FLOW_OPTIONAL = 0x01,    /* header = optional */
	UP_FLOW_V4_IN_TCP6 = 0x02,  /* v1_ipv4_in_tcp6 */
	UP_FLOW_TIMESTAMPS = 0x04,  /* the connection has TCP timestamps */
	UP_FLOW_PASS_OTHERS = 0x08, /* sources not in trust are left alone, not reset */
	UP_FLOW_DRAINING = 0x20,    /* the listener takes no new connections */
};

/* Why a flow is over. */
enum up_flow_end {
	UP_END_NONE = 0,
	UP_END_CLIENT_FIN = 1, /* both sides closed, the client's first */
	UP_END_SERVER_FIN = 2,
	UP_END_CLIENT_RESET = 3,
	UP_END_SERVER_RESET = 4,
	UP_END_GONE = 5,   /* silent for long, and no socket is left */
	UP_END_REUSED = 6, /* a new connection came from the same address and port */
	UP_END_KILLED = 7, /* `unproxy kill` */
};

/* What stood where a header should have: in the client's place, for want of one. */
struct up_first_bytes {
	__u8 bytes[16];
	__u16 count; /* of all that came; may be more than are here */
	__u8 family; /* UP_FAMILY_NONE, as the client's */
	__u8 pad;
};
_Static_assert(sizeof(struct up_first_bytes) == sizeof(struct up_addr), "one for the other");

/*
 * A connection. `up` is from the client to the app, `down` the other way. The app's
 * sequence space of the `up` direction begins at seq_start and lacks the header: wire =
 * app + header_len. 168 bytes keep an element of the map within 256.
 */
struct up_flow {
	__u16 state;      /* enum up_flow_state; with header_len written, and read, in one step */
	__u16 header_len; /* N: bytes cut out; valid once open */
	__u32 seq_start;  /* the client's ISN + 1: the header's first byte on the wire */
	__u32 down_start; /* the server's ISN + 1 */
	__u64 acked_up;   /* app space, extended: what the app's host has acknowledged */
	__u64 acked_down; /* extended: what the client's side has acknowledged */
	__u32 fin_up;     /* app space: the sequence number behind the FIN */
	__u32 fin_down;
	__u32 ts_down; /* the server's newest timestamp, as it stands in the packet */
	__u16 window;  /* of the SYN-ACK, scaled: for the ACKs we send */
	__u16 got;     /* bytes of the header kept in `partials` */
	__u16 header_max;
	__u16 app_port;
	__u32 busy; /* 1: a CPU is at the header */
	__u32 listener;
	__u64 created_ns;  /* CLOCK_MONOTONIC; with the key it names the flow in events */
	__u64 deadline_ns; /* of the header */
	__u64 opened_ns;
	__u64 seen_ns; /* the newest packet, to a second */
	__u32 marks;   /* enum up_flow_mark */
	__u8 options;  /* enum up_flow_option */
	__u8 version;  /* of the header; 0: none */
	__u8 command;
	__u8 end; /* enum up_flow_end */
	union {
		struct up_addr client; /* from the header; UP_FAMILY_NONE: the balancer itself */
		struct up_first_bytes first; /* of a header that was refused */
	};
	__u16 reason;           /* enum up_reason of a refusal */
	__u16 touched;          /* when seen_ns was looked at, in 64 jiffies */
	struct bpf_timer timer; /* the header's time, then the linger; zero to user space */
};
_Static_assert(sizeof(struct up_flow) <= 168, "one element of `flows` fits 256 bytes");
_Static_assert(__builtin_offsetof(struct up_flow, header_len) == 2, "one word with state");

/* Key of `listeners`: a wire address. All zero: any address of this host. */
struct up_listen_key {
	__u8 ip[16];
	__u16 port;
	__u16 pad;
};

struct up_listen {
	__u32 id;       /* of its trust list; comes back in events */
	__u16 app_port; /* where the app listens */
	__u16 header_max;
	__u32 timeout_ms; /* for the header */
	__u8 options;     /* enum up_flow_option */
	__u8 pad[3];
	char name[32]; /* for whoever looks in */
};

/* Key of `trust`, a longest-prefix map: prefix_len counts the 32 bits of the id, too. */
struct up_trust_key {
	__u32 prefix_len;
	__u32 listener; /* up_listen.id */
	__u8 ip[16];    /* network order; IPv4 mapped, so a /24 is 32 + 96 + 24 */
};

/* What a port means to the programs: one look that spares all other traffic the rest. */
enum up_port_role {
	UP_PORT_WIRE = 1,  /* some listener's */
	UP_PORT_APP = 2,   /* an app answers from it */
	UP_PORT_MOVED = 4, /* ... to a listener of another port: ask `aliases` */
};

struct up_ports {
	__u8 role[65536];
};

enum up_flow_event_kind { UP_EVENT_OPEN = 1, UP_EVENT_END = 2, UP_EVENT_REFUSED = 3 };

/* In the ring; behind it header_len bytes of the header itself when kind is OPEN. */
struct up_flow_event {
	__u32 kind; /* enum up_flow_event_kind */
	__u32 listener;
	struct up_flow_key key;
	__u32 pad;
	__u64 now_ns; /* CLOCK_MONOTONIC */
	__u64 created_ns;
	__u64 opened_ns;
	__u64 bytes_up; /* acknowledged by the other side, without header and FIN */
	__u64 bytes_down;
	union {
		struct up_addr client;
		struct up_first_bytes first; /* REFUSED, where the client has no family */
	};
	struct up_addr destination; /* from the header */
	__u16 header_len;
	__u16 reason; /* enum up_reason: REFUSED */
	__u8 end;     /* enum up_flow_end: END */
	__u8 version;
	__u8 command;
	__u8 has_addr;
	__u32 tlv_at; /* in the header */
	__u32 tlv_len;
};

/* What is pinned outlives the daemon. One that reads it in another way has another number. */
#define UP_FLOW_ABI 2

/* An interface that has our filters. Key of `attachments`: its index. */
struct up_attachment {
	char name[16];
	__u64 netns;      /* inode of its network namespace */
	__u32 abi;        /* UP_FLOW_ABI of who attached */
	__u8 made_clsact; /* the qdisc is ours, too: `unproxy detach` removes it */
	__u8 pad[3];
};

/* What the programs did, per CPU. */
struct up_flow_stats {
	__u64 syns;   /* flows created */
	__u64 opened; /* headers cut */
	__u64 plain;  /* opened without a header (header = optional) */
	__u64 ended;
	__u64 refused; /* for what the header says or lacks, or by a drained listener */
	__u64 untrusted;
	__u64 table_full;     /* SYNs refused for lack of a place */
	__u64 acks_held;      /* bare ACKs before the header */
	__u64 parts;          /* parts of headers kept */
	__u64 out_of_order;   /* segments before the header was whole: repeated by the sender */
	__u64 header_repeats; /* retransmissions of header bytes, cut or answered */
	__u64 acks_sent;
	__u64 resets_sent;
	__u64 bad_checksum;
	__u64 busy; /* two CPUs at one header: repeated by the sender */
	__u64 fragments;
	__u64 failed;      /* a rewrite that could not be done: dropped, never passed on */
	__u64 events_lost; /* ring full */
	__u64 collected;   /* flows whose end nobody saw, removed by the sweep */
};

#endif
