// SPDX-License-Identifier: BSD-2-Clause
#include "base/version.h"
#include "cmd/cmd.h"
#include "kern/kern.h"

/* The Makefile says; a tool that reads this file alone does not. */
#ifndef BUILT_KERNEL
#define BUILT_KERNEL "?"
#endif
#ifndef BUILT_LIBURING
#define BUILT_LIBURING "?"
#endif

void cmd_print_version(FILE *out)
{
	(void)fprintf(out, "unproxy %s\n", UNPROXY_VERSION);
	(void)fprintf(out, "programs: CO-RE, built with the types of Linux %s\n", BUILT_KERNEL);
	(void)fprintf(out, "libbpf: %s\n", kern_libbpf_version());
	(void)fprintf(out, "liburing: %s\n", BUILT_LIBURING);
}
