/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef INLINE_COMPLAIN_H
#define INLINE_COMPLAIN_H

#include "conf/conf.h"

/* An error to the log, and to *error, for whoever asked for what failed; NULL: nobody did. */
void complain(struct conf_error *error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
