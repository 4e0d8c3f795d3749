/* SPDX-License-Identifier: BSD-2-Clause */
/* Why something did not work, for a person: a buffer of the caller's, filled on failure alone. */
#ifndef BASE_WHY_H
#define BASE_WHY_H

#include <stddef.h>

/* Write "what: error". Returns err, which is -errno. */
int why_error(char *why, size_t size, const char *what, int err);

#endif
