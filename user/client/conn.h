/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A live connection as it is shown: its record so far, in a copy that nothing else owns, an id,
 * and what it is asked for by. Both engines make them; no I/O.
 */
#ifndef CLIENT_CONN_H
#define CLIENT_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cidr.h"
#include "client/record.h"
#include "client/record_format.h"
#include "conf/conf.h"

#define CONN_ID_MAX 24
#define CONN_VPCE_MAX 64

struct conn {
	uint64_t number;      /* with the engine it is the id: relay, the cookie of the balancer's
			       * socket; inline, a hash of the flow's key and time */
	const char *state;    /* static */
	struct record record; /* its names are those below */
	char listener[CONF_NAME_MAX];
	char backend[CONF_NAME_MAX];
	const uint8_t *tlvs; /* record.tlv_len bytes, the maker's */
};

/* "r1a2b", "i0123456789abcdef". */
void conn_id(const struct conn *conn, char buf[CONN_ID_MAX]);

/* Copy the names that the record points to: they may go with their configuration. */
void conn_own_names(struct conn *conn);

/* Which connections; zeroed: all. Members that are set must all hold. */
struct conn_filter {
	uint64_t number; /* 0: any */
	uint64_t older_us;
	bool has_engine, has_client, has_balancer, has_server;
	uint8_t engine; /* enum conf_engine */
	struct cidr client, balancer, server;
	char listener[CONF_NAME_MAX];
	char backend[CONF_NAME_MAX];
	char vpce[CONN_VPCE_MAX];
	/* Set: only clients for which this says yes. Called by any thread. It is not asked of the
	 * balancer's own (a header that names nobody), nor before the client is known. */
	bool (*picks)(void *context, const uint8_t ip[16]);
	void *context; /* ... for that */
};

/* The names that conn_filter_set() takes, with a space between. */
#define CONN_FILTER_NAMES "conn client balancer server listener backend engine older vpce"

/* conn=r1a2b client=CIDR balancer=CIDR server=CIDR listener= backend= engine= older=1h vpce=. 0, or
 * -EINVAL with why; -ENOENT: no such name. */
int conn_filter_set(struct conn_filter *filter, const char *name, const char *value, char *why,
		    size_t why_size);

bool conn_matches(const struct conn *conn, const struct conn_filter *filter);

/* The most bytes its text may need, and the text: a JSON object without a newline, conn (the id) and
 * state, and then the keys of the client log. Returns its length. */
size_t conn_format_bound(const struct conn *conn);
size_t conn_format(struct record_formatter *formatter, const struct conn *conn, char *buf);

#endif
