/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client log: one line per connection, written by a thread of its own.
 * Workers put binary records into a bounded queue each (single producer, no lock, no
 * system call); the writer formats and writes in batches. Full: dropped and counted.
 */
#ifndef CLIENT_LOG_H
#define CLIENT_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/caps.h"
#include "client/record.h"
#include "conf/conf.h"

struct client_log;

struct client_log_params {
	const char *path; /* "-": stdout */
	enum conf_log_format format;
	unsigned workers;     /* queues; worker 0..workers-1 */
	uint32_t queue_bytes; /* per worker; 0: default (1 MiB) */
};

/* Open the file (append, created 0640). Nothing is written before client_log_run(), and
 * records may be queued. Returns 0 and gives *ret to the caller, or -errno. */
int client_log_open(const struct client_log_params *params, struct client_log **ret);

/* The open file becomes uid's and gid's, who will open it again after a rotation. */
void client_log_give(struct client_log *log, uid_t uid, gid_t gid);

/* Start the writer, which gives up the capabilities that are not in keep. Returns 0 or -errno. */
int client_log_run(struct client_log *log, caps_set keep);

/* Queue one record with its TLV bytes (record->tlv_len of them). Called by the worker
 * alone that owns the queue. Never blocks. */
void client_log_put(struct client_log *log, unsigned worker, const struct record *record,
		    const uint8_t *tlvs);

/* Ask the writer to reopen the file (SIGHUP). Async-signal-unsafe; returns at once. */
void client_log_reopen(struct client_log *log);

/* How far each queue is filled: one number per queue. Any thread. */
void client_log_mark(const struct client_log *log, uint64_t *marks);

/* Has the writer taken all that was queued then? The strings it names may go. */
bool client_log_passed(const struct client_log *log, const uint64_t *marks);

/* Lines given to the output so far; any thread. */
uint64_t client_log_lines(const struct client_log *log);

/* Records dropped so far (queue full, write error); any thread. */
uint64_t client_log_dropped(const struct client_log *log);

/* Write what is queued if the writer runs, stop it, close. NULL is allowed. */
void client_log_stop(struct client_log *log);

#endif
