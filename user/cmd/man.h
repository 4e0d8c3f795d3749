/* SPDX-License-Identifier: BSD-2-Clause */
/* The man pages, from the tables that the program itself works by. */
#ifndef CMD_MAN_H
#define CMD_MAN_H

#include <stdio.h>

/* Print unproxy(8): every command, from its usage, and the topics. Returns 0 or -ENOMEM. */
int man_print_command(FILE *out);

/* Print unproxy.conf(5): every key. */
void man_print_conf(FILE *out);

#endif
