/* SPDX-License-Identifier: BSD-2-Clause */
/* The flags that `run` and `check` share. */
#ifndef CMD_FLAGS_H
#define CMD_FLAGS_H

#include <stdbool.h>

#include "conf/conf.h"

#define FLAGS_DEFAULT_FILE "/etc/unproxy/unproxy.conf"

/* For the usage text of a command that takes these flags. */
#define FLAGS_HELP                                                                               \
	"  -c, --config FILE          the configuration (" FLAGS_DEFAULT_FILE ")\n"              \
	"or, instead of a file, one listener:\n"                                                 \
	"  --listen ADDR:PORT,...     where to listen; *:PORT is every address; PORT-PORT\n"     \
	"  --backend ADDR:PORT,...    where to go; a server each\n"                              \
	"  --trust CIDR,...           the load balancers that may speak PROXY, or: any\n"        \
	"  --header require|optional  refuse connections without a header, or not (require)\n"   \
	"  --header-timeout TIME      how long a header may take (5s)\n"                         \
	"  --header-max SIZE          the longest header (4k)\n"                                 \
	"  --kernel-path auto|always|off\n"                                                      \
	"                             move bytes in the kernel (auto)\n"                         \
	"  --client-log FILE          one JSON line a connection; -: stdout; off (-)\n"          \
	"  --workers N                threads; auto: one per core (auto)\n"                      \
	"  --engine relay|inline      how connections are served (relay); inline takes the\n"    \
	"                             header out on its way to an app on this host: no\n"        \
	"                             --backend, and one port behind --listen\n"                 \
	"  --interfaces NAME,...      inline: where the packets pass (those with a route, lo)\n" \
	"  --control FILE             the control socket; off (/run/unproxy/control.sock)\n"     \
	"  -h, --help                 this text\n"

/* Read argv (argv[0] is the subcommand) and the configuration it stands for. Returns 0
 * with *ret, which the caller frees; *ret is NULL when --help has been answered.
 * Else an exit code, and what was wrong is on stderr. */
int flags_to_conf(int argc, char **argv, const char *usage, struct conf **ret);

/* The same, and what is wrong with the configuration is in *error, not on stderr. */
int flags_try_conf(int argc, char **argv, const char *usage, struct conf **ret,
		   struct conf_error *error);

/* Take a command's own switch ("--json") out of argv, before the rest is read as above.
 * True if it was there. */
bool flags_take(int *argc, char **argv, const char *word);

/* The same of one with a value ("--control PATH", "--control=PATH"): it, or NULL. */
const char *flags_take_value(int *argc, char **argv, const char *word);

#endif
