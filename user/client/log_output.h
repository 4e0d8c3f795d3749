/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the client log's bytes go: a buffer in front of a file, a pipe or a terminal. What
 * cannot be written stays in the buffer, whole lines and in order. Private to the client log.
 */
#ifndef CLIENT_LOG_OUTPUT_H
#define CLIENT_LOG_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct log_output;

/* path: "-" is stdout. Returns 0 or -errno. */
int log_output_open(const char *path, struct log_output **ret);

/* Unwritten lines are lost; log_output_lines() tells how many. NULL is allowed. */
void log_output_close(struct log_output *output);

/* The file becomes theirs; stdout and what is no file stays as it is. */
void log_output_give(struct log_output *output, uid_t uid, gid_t gid);

/* Open the path again: a rotated file. On failure the old one stays in use. Returns 0 or -errno. */
int log_output_reopen(struct log_output *output);

/* Lines that were torn and lost so far: their head is in a file that was rotated. */
uint64_t log_output_torn(const struct log_output *output);

/* Room for a line of at most size bytes, after writing out what is there if need be.
 * NULL: no room now. */
char *log_output_reserve(struct log_output *output, size_t size);

/* A line of len bytes has been put where log_output_reserve() said. */
void log_output_commit(struct log_output *output, size_t len);

/* Write what is there, without waiting. Returns 0 when all of it is written, -EAGAIN when
 * the reader is slow, or another -errno. A change from well to failing and back is logged. */
int log_output_flush(struct log_output *output);

/* Lines (whole or in part) not yet written. */
uint64_t log_output_lines(const struct log_output *output);

/* To be polled for POLLOUT after -EAGAIN. */
int log_output_fd(const struct log_output *output);

#endif
