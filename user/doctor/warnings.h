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

/* From what listens here, and the addresses and interfaces of this host. Sends nothing. */
void warnings_of_host(const struct conf *conf, warning_fn *fn, void *context);

/* Connects to each server, all at once, for at most a second; looks for inline's apps. */
void warnings_of_servers(const struct conf *conf, warning_fn *fn, void *context);

#endif
