/* SPDX-License-Identifier: BSD-2-Clause */
/* Small files of /proc and /sys. */
#ifndef DOCTOR_TEXT_H
#define DOCTOR_TEXT_H

#include <stddef.h>

/* The file's first bytes, NUL-terminated, without the newline at the end; tabs become spaces.
 * 0 or -errno. */
int text_read(const char *path, char *buf, size_t size);

/* The first `max` numbers in it. Returns how many, or -errno. */
int text_numbers(const char *path, long long *ret, int max);

#endif
