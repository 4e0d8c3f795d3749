/* SPDX-License-Identifier: BSD-2-Clause */
/* Figures as a person reads them, in few columns. Pure. */
#ifndef CMD_TABLE_H
#define CMD_TABLE_H

#include <stddef.h>
#include <stdint.h>

/* "0", "999", "1.5k", "31M", "2.0T": powers of 1000, 4 characters at most. */
void table_count(uint64_t n, char *buf, size_t size);

/* "3s", "2m05s", "1h04m", "12d03h". */
void table_age(uint64_t seconds, char *buf, size_t size);

/* "192.0.2.1:80", "[2001:db8::1]:80", "-" for none. */
void table_endpoint(const char *ip, long long port, char *buf, size_t size);

#endif
