/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon's own log: stderr, "event key=value ...". With journald (JOURNAL_STREAM
 * set) each line carries a <priority> prefix. One write(2) per line, thread-safe, no allocation.
 */
#ifndef OBS_LOG_H
#define OBS_LOG_H

#include "unproxy/addr.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* The one global of the program: the threshold. Default info. */
void log_set_level(enum log_level level);

/* printf-like; text reads "event.name key=value key=\"v v\"". At most 1024 bytes. */
void log_event(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_event(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_event(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_event(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_event(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
