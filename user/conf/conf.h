/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration as one immutable tree. Who parses it is conf/parse. */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "conf/trust.h"
#include "unproxy/addr.h"

#define CONF_NAME_MAX 32
#define CONF_INTERFACE_MAX 16 /* IFNAMSIZ */

enum conf_engine { CONF_ENGINE_RELAY, CONF_ENGINE_INLINE };
enum conf_untrusted { CONF_UNTRUSTED_RESET, CONF_UNTRUSTED_PASS };
enum conf_header { CONF_HEADER_REQUIRE, CONF_HEADER_OPTIONAL };
enum conf_kernel_path { CONF_KERNEL_AUTO, CONF_KERNEL_ALWAYS, CONF_KERNEL_OFF };
enum conf_balance { CONF_BALANCE_ROUNDROBIN, CONF_BALANCE_LEASTCONN };
enum conf_client_address {
	CONF_CLIENT_HOOK,
	CONF_CLIENT_NONE,
	CONF_CLIENT_PROXY_V1,
	CONF_CLIENT_PROXY_V2,
};
enum conf_log_format { CONF_LOG_JSON, CONF_LOG_TEXT };

struct conf_server {
	struct up_addr addr;
	uint32_t weight; /* 1..256 */
	unsigned line;   /* for messages */
};

struct conf_backend {
	char name[CONF_NAME_MAX];
	enum conf_balance balance;
	enum conf_client_address client_address;
	uint32_t connect_timeout_ms; /* default 5000 */
	uint32_t retry_ms;           /* first pause of a server that refused; default 1000 */
	uint32_t retry_max_ms;       /* the pause doubles up to this; default 30000 */
	struct conf_server *servers;
	size_t n_servers;
	bool literal;  /* not a section: a listener's backend = ADDR:PORT */
	unsigned line; /* of the section, for messages */
};

struct conf_bind {
	struct up_addr addr; /* port = first of the range; [::] is dual-stack */
	uint16_t last_port;
	unsigned line; /* for messages */
};

/* "80 -> 3000": the port on the wire, and the one where the app listens. */
struct conf_port {
	uint16_t wire, app;
};

struct conf_interface {
	char name[CONF_INTERFACE_MAX];
};

struct conf_listener {
	char name[CONF_NAME_MAX];
	enum conf_engine engine;
	struct conf_bind *binds;
	size_t n_binds;
	struct trust trust;
	enum conf_header header;
	enum conf_kernel_path kernel_path;
	bool splice; /* default yes: may be refused for tests and diagnosis */
	bool v1_ipv4_in_tcp6;
	uint32_t header_timeout_ms;         /* default 5000, floor 3000 */
	uint32_t header_max;                /* bytes; default 4096, 107..65551 */
	uint32_t max_connections;           /* of this listener; 0: no limit */
	uint32_t max_per_source;            /* per source address; 0: no limit */
	uint32_t backlog;                   /* listen(2); default 4096 */
	uint32_t keepalive_s;               /* both legs; default 60; 0: off */
	uint32_t user_timeout_ms;           /* TCP_USER_TIMEOUT; default 0: the kernel's */
	uint32_t idle_timeout_ms;           /* default 0: off */
	uint64_t promote_bytes;             /* default 65536 */
	const struct conf_backend *backend; /* NULL: engine = inline */
	/* engine = inline alone; what it shares: trust, header* and v1_ipv4_in_tcp6 */
	struct conf_port port;
	struct up_addr *addresses; /* without port; none: all that are local */
	size_t n_addresses;
	struct conf_interface *interfaces; /* none: those with a route, and lo */
	size_t n_interfaces;
	enum conf_untrusted untrusted;
	unsigned port_line, interfaces_line; /* for messages */
	unsigned trust_line, header_line;    /* ... */
	unsigned line;
};

struct conf {
	char *file;        /* NULL: flags */
	char *client_log;  /* path, "-" is stdout, NULL is off */
	char *control;     /* path, NULL is off */
	gid_t control_gid; /* who may use it beside root; 0: nobody */
	enum conf_log_format log_format;
	bool log_probes;           /* default no */
	bool log_start;            /* a line at a connection's start, too; default no */
	char *user, *group;        /* NULL: not changed */
	bool sandbox;              /* default yes: give up what is not needed after the start */
	bool io_uring;             /* default yes: used where the host has it */
	struct up_addr metrics;    /* where they are served; family 0: not */
	uint32_t workers;          /* 0: one per core */
	uint32_t drain_timeout_ms; /* default 30000 */
	uint32_t max_connections;  /* in all; 0: from the fd limit */
	uint32_t inline_flows;     /* connections the inline engine has room for */
	char *deny_file;           /* path, NULL is off */
	uint32_t deny_entries;     /* networks that can be denied or allowed, in all */
	bool detach_on_exit;       /* its programs go when the daemon goes; default no */
	bool tcx;                  /* its programs use tcx, where the kernel has it; default yes */
	struct conf_listener *listeners;
	size_t n_listeners;
	struct conf_backend *backends;
	size_t n_backends;
};

/* Where and why a configuration was refused: "file:line: message". */
struct conf_error {
	char text[512];
};

/* Read an INI file. Returns 0 and gives *ret to the caller (conf_free()), or
 * -errno with *error filled and *ret untouched. Every value is checked;
 * nothing is half-applied. Does not log. */
int conf_load(const char *path, struct conf **ret, struct conf_error *error);

/* The flags of "unproxy run" and "unproxy check" that stand for a file with one listener. */
struct conf_flags {
	const char *listen, *backend, *trust, *header, *header_timeout, *header_max;
	const char *kernel_path, *client_log, *workers, *engine, *interfaces;
	const char *control;
};

/* One listener "main" and, for the relay, one backend "main" from flags; NULL members take the
 * defaults. The same table of keys checks them; errors read "--flag: message". */
int conf_from_flags(const struct conf_flags *flags, struct conf **ret, struct conf_error *error);

/* Is it one of the listener's own, as its bind lines have it? */
bool conf_binds(const struct conf_listener *listener, const struct up_addr *addr);

/* Does what connects to the server come back to the listener? A server of such an address has
 * connections go in a circle. Behind a wildcard only loopback is known to be this host. */
bool conf_is_circle(const struct conf_listener *listener, const struct up_addr *server);

/* How many listeners of an engine there are. */
size_t conf_count(const struct conf *conf, enum conf_engine engine);

/* Is there a listener that may use the kernel path; a backend whose servers are told of their
 * clients by the address hook? */
bool conf_wants_kernel(const struct conf *conf);
bool conf_wants_hook(const struct conf *conf);

/* What a message about a key begins with: "file:line: key: ", or "--flag: ". */
size_t conf_where(const char *file, unsigned line, const char *key, char *buf, size_t size);

/* Free *conf and all it owns; NULL is allowed. */
void conf_free(struct conf *conf);

/* For _cleanup_(). */
static inline void conf_freep(struct conf **conf)
{
	conf_free(*conf);
}

#endif
