// SPDX-License-Identifier: BSD-2-Clause
#include "cmd/topics.h"

#include "base/cleanup.h"
#include "cmd/flags.h"

const struct topic topics[] = {
	{ "overview", "DESCRIPTION",
	  "Load balancers in TCP mode say who the real client is in the stream itself: the PROXY "
	  "protocol, one line or one block of bytes in front of the client's first byte. A server "
	  "that does not know of it answers with an error. `unproxy` takes off exactly those "
	  "bytes, version 1 or 2, in front of an unmodified server on this host or others, and "
	  "shows the server its real client in `accept`(2) and `getpeername`(2).\n"
	  "\n"
	  "There are two engines. `relay` accepts the balancer's connection, connects to a "
	  "server, and has the kernel move the bytes between the two. `inline` cuts the header "
	  "out of the packets on their way to a server on this host, which has the balancer's own "
	  "connection then; it goes on without the daemon until `unproxy detach`.\n"
	  "\n"
	  "Whoever may send a PROXY header may claim to be anybody: every listener names the load "
	  "balancers it trusts.\n" },
	{ "signals", "SIGNALS",
	  "To `unproxy run`:\n"
	  "\n"
	  "- `SIGTERM`, `SIGINT`: accept nothing more, and let connections end for "
	  "`drain_timeout`. A second one closes them at once.\n"
	  "- `SIGHUP`: read the configuration again and go by it, if there is nothing wrong with "
	  "it; "
	  "reopen the client log, as after its rotation.\n" },
	{ "exit", "EXIT STATUS",
	  "- `0`: well.\n"
	  "- `1`: it failed; the reason is on standard error.\n"
	  "- `2`: called in a wrong way; or no daemon answers, of commands that ask one.\n" },
	{ "files", "FILES",
	  "- `" FLAGS_DEFAULT_FILE "`: the configuration, `unproxy.conf`(5). Nothing is started "
	  "before it is there.\n"
	  "- `/var/log/unproxy/clients.log`: the client log, where the example has it.\n"
	  "- `/run/unproxy/`: what a running daemon is asked through.\n"
	  "- `/sys/fs/bpf/unproxy/`: maps and programs, for `bpftool`(8); gone with the daemon, "
	  "or after `unproxy detach`.\n" },
	{ "see-also", "SEE ALSO", "`unproxy.conf`(5), `bpftool`(8), `tc`(8), `systemd`(1)\n" },
};
const size_t n_topics = ARRAY_SIZE(topics);
