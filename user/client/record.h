/* SPDX-License-Identifier: BSD-2-Clause */
/* What is told of a connection at its end: one record, one line in the client log. */
#ifndef CLIENT_RECORD_H
#define CLIENT_RECORD_H

#include <stdint.h>

#include "unproxy/abi.h"
#include "unproxy/addr.h"

enum record_event {
	RECORD_END,     /* the connection was relayed and is over */
	RECORD_START,   /* ... has just been connected to its backend */
	RECORD_REFUSED, /* never relayed: reason says why */
	RECORD_PROBE,   /* a health check: empty connect or LOCAL without data */
	RECORD_LIVE,    /* it goes on; not in the log, but in `unproxy conns` */
};

struct record {
	uint64_t start_us;          /* CLOCK_REALTIME at accept, microseconds */
	uint32_t header_us;         /* accept -> header complete */
	uint32_t connect_us;        /* header complete -> backend connected */
	uint64_t duration_us;       /* accept -> end */
	uint64_t bytes_up;          /* client -> backend, without the header */
	uint64_t bytes_down;        /* backend -> client */
	struct up_addr client;      /* from the header, else the socket's peer */
	struct up_addr balancer;    /* the socket's peer */
	struct up_addr destination; /* from the header, else the socket's own address */
	struct up_addr backend;     /* UP_FAMILY_NONE if never chosen */
	const char *listener;       /* lives until it is written: client_log_passed() */
	const char *backend_name;
	const char *
		reason; /* static string: close reason or refusal, "client_fin", "bad_signature", ... */
	const char *hint; /* static string or NULL: what a human can do about it */
	uint32_t header_len;
	uint32_t stacked;           /* 1: the payload begins with a second header */
	uint8_t event;              /* enum record_event */
	uint8_t version;            /* PROXY version, 0: none */
	uint8_t command;            /* enum up_command */
	uint8_t path_up, path_down; /* enum up_conn_path: what moved most of the bytes */
	uint8_t engine;             /* enum conf_engine */
	uint16_t tlv_len;           /* bytes of TLVs that follow the record in the log's queue */
};

#endif
