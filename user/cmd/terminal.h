/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A screen that is drawn anew, by the few sequences that every terminal has known since the
 * VT100: no terminal library is needed for that.
 */
#ifndef CMD_TERMINAL_H
#define CMD_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

#define TERMINAL_COLUMNS_MAX 512

/* Are standard input and output one? To be asked first. */
bool terminal_is_here(void);

/* Take it; what was on the screen comes back with terminal_close(), also after SIGINT, SIGTERM and
 * SIGHUP, which terminal_key() tells of. */
void terminal_open(void);
void terminal_close(void);

void terminal_size(size_t *ret_columns, size_t *ret_lines);

/* From the top, or to the end: nothing of the last drawing is left. */
void terminal_begin(void);
void terminal_end(void);

/* A line, cut at the screen's right. */
void terminal_line(const char *text, bool reverse);

#define TERMINAL_NOTHING 0 /* the time is over, or the size has changed */
#define TERMINAL_QUIT (-1) /* a signal, or the terminal is gone */

/* A key, waiting for so long at most. */
int terminal_key(int timeout_ms);

#endif
