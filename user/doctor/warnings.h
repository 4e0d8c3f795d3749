/* SPDX-License-Identifier: BSD-2-Clause */
/* What is valid in a configuration, and probably not meant. */
#ifndef DOCTOR_WARNINGS_H
#define DOCTOR_WARNINGS_H

#include <stdbool.h>

#include "conf/conf.h"

/* line: 0 for flags. key: of the configuration. */
typedef void warning_fn(void *context, unsigned line, const char *key, const char *text);

/* From the configuration and its file's age alone. */
void warnings_of_conf(const struct conf *conf, warning_fn *fn, void *context);

/* From the addresses and interfaces of this host. Sends nothing. */
void warnings_of_host(const struct conf *conf, warning_fn *fn, void *context);

/* Who listens already; which app or server does not: connects to each server, all at once, for at
 * most a second. */
void warnings_of_sockets(const struct conf *conf, warning_fn *fn, void *context);

#endif
