// SPDX-License-Identifier: BSD-2-Clause
/* Settings of the kernel that matter here, each with what it is and what it ought to be. */
#include <stdbool.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "doctor/checks.h"
#include "doctor/text.h"

/* A listener's backlog unless configured: the kernel cuts it to somaxconn. */
#define BACKLOG 4096
#define PORTS_FEW 16384

/* NULL: fine. */
typedef const char *judge_fn(const long long *values, int n);

static const char *judge_somaxconn(const long long *v, int n)
{
	return n > 0 && v[0] < BACKLOG ? "bursts of connections overflow the backlog: "
					 "sysctl net.core.somaxconn=4096"
				       : NULL;
}

static const char *judge_syn_backlog(const long long *v, int n)
{
	return n > 0 && v[0] < 1024 ? "sysctl net.ipv4.tcp_max_syn_backlog=4096" : NULL;
}

static const char *judge_syncookies(const long long *v, int n)
{
	return n > 0 && v[0] == 0 ? "a SYN flood shuts everybody out: sysctl "
				    "net.ipv4.tcp_syncookies=1"
				  : NULL;
}

static const char *judge_overflow(const long long *v, int n)
{
	return n > 0 && v[0] != 0 ? "a full backlog resets clients, in place of letting them try "
				    "again: sysctl net.ipv4.tcp_abort_on_overflow=0"
				  : NULL;
}

static const char *judge_ports(const long long *v, int n)
{
	return n == 2 && v[1] - v[0] + 1 < PORTS_FEW
		       ? "so many connections to one server, no more: sysctl "
			 "net.ipv4.ip_local_port_range=\"10240 65535\""
		       : NULL;
}

static const char *judge_unprivileged(const long long *v, int n)
{
	return n > 0 && v[0] == 0 ? "any user may load programs: sysctl "
				    "kernel.unprivileged_bpf_disabled=2"
				  : NULL;
}

static const char *judge_uring(const long long *v, int n)
{
	return n > 0 && v[0] != 0 ? "epoll serves, small messages cost more: sysctl "
				    "kernel.io_uring_disabled=0"
				  : NULL;
}

static const char *judge_stats(const long long *v, int n)
{
	return n > 0 && v[0] != 0 ? "each run of each program is timed, which costs: sysctl "
				    "kernel.bpf_stats_enabled=0 when done"
				  : NULL;
}

static const char *judge_jit(const long long *v, int n)
{
	return n > 0 && v[0] == 0 ? "programs are interpreted, several times slower: sysctl "
				    "net.core.bpf_jit_enable=1"
				  : NULL;
}

static const char *judge_harden(const long long *v, int n)
{
	return n > 0 && v[0] == 2 ? "programs of root are blinded, too, which costs: sysctl "
				    "net.core.bpf_jit_harden=1"
				  : NULL;
}

/* Of min, default, max: how far a connection over a long line may grow. */
static const char *judge_rmem(const long long *v, int n)
{
	return n == 3 && v[2] < 1 << 20 ? "a connection over a long line is slow: sysctl "
					  "net.ipv4.tcp_rmem=\"4096 131072 6291456\""
					: NULL;
}

static const char *judge_wmem(const long long *v, int n)
{
	return n == 3 && v[2] < 1 << 20 ? "a connection over a long line is slow: sysctl "
					  "net.ipv4.tcp_wmem=\"4096 16384 4194304\""
					: NULL;
}

static const struct {
	const char *name, *path;
	judge_fn *judge;
} sysctls[] = {
	{ "net.core.bpf_jit_enable", "/proc/sys/net/core/bpf_jit_enable", judge_jit },
	{ "net.core.bpf_jit_harden", "/proc/sys/net/core/bpf_jit_harden", judge_harden },
	{ "kernel.unprivileged_bpf_disabled", "/proc/sys/kernel/unprivileged_bpf_disabled",
	  judge_unprivileged },
	{ "kernel.bpf_stats_enabled", "/proc/sys/kernel/bpf_stats_enabled", judge_stats },
	{ "kernel.io_uring_disabled", "/proc/sys/kernel/io_uring_disabled", judge_uring },
	{ "net.core.somaxconn", "/proc/sys/net/core/somaxconn", judge_somaxconn },
	{ "net.ipv4.tcp_max_syn_backlog", "/proc/sys/net/ipv4/tcp_max_syn_backlog",
	  judge_syn_backlog },
	{ "net.ipv4.tcp_syncookies", "/proc/sys/net/ipv4/tcp_syncookies", judge_syncookies },
	{ "net.ipv4.tcp_abort_on_overflow", "/proc/sys/net/ipv4/tcp_abort_on_overflow",
	  judge_overflow },
	{ "net.ipv4.ip_local_port_range", "/proc/sys/net/ipv4/ip_local_port_range", judge_ports },
	{ "net.ipv4.tcp_rmem", "/proc/sys/net/ipv4/tcp_rmem", judge_rmem },
	{ "net.ipv4.tcp_wmem", "/proc/sys/net/ipv4/tcp_wmem", judge_wmem },
};

void check_sysctls(struct report *report)
{
	for (size_t i = 0; i < ARRAY_SIZE(sysctls); i++) {
		long long values[4];
		char text[128];
		int n = text_numbers(sysctls[i].path, values, ARRAY_SIZE(values));
		const char *mend = n > 0 ? sysctls[i].judge(values, n) : NULL;

		/* bpf_jit_enable is hidden from network namespaces, the older kernels do not
		 * have io_uring_disabled. */
		if (n <= 0 || text_read(sysctls[i].path, text, sizeof(text)))
			report_add(report, FINDING_SKIP, sysctls[i].name, NULL,
				   "cannot be read here");
		else
			report_add(report, mend ? FINDING_WARN : FINDING_OK, sysctls[i].name, mend,
				   "%s", text);
	}
}

/* Both of them full means that no new connection comes. */
static void check_fill(struct report *report, const char *name, long long used, long long room,
		       const char *mend)
{
	bool tight = used > room / 10 * 8;

	report_add(report, tight ? FINDING_WARN : FINDING_OK, name, tight ? mend : NULL,
		   "%lld of %lld in use", used, room);
}

void check_conntrack(struct report *report)
{
	long long used, room;

	if (text_numbers("/proc/sys/net/netfilter/nf_conntrack_count", &used, 1) != 1 ||
	    text_numbers("/proc/sys/net/netfilter/nf_conntrack_max", &room, 1) != 1) {
		report_add(report, FINDING_OK, "conntrack", NULL, "not loaded");
		return;
	}
	check_fill(report, "conntrack", used, room,
		   "new connections are dropped when it is full: sysctl "
		   "net.netfilter.nf_conntrack_max, or notrack for the listeners' ports");
}

/* "TCP: inuse 5 orphan 0 tw 3 alloc 7 mem 1" */
void check_ports(struct report *report)
{
	long long range[2] = { 0, 0 }, in_use = 0, waiting = 0;
	char line[256];
	FILE *file = fopen("/proc/thread-self/net/sockstat", "re");

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "TCP: inuse %lld orphan %*d tw %lld", &in_use, &waiting) == 2)
			break;
	}
	if (file)
		(void)fclose(file);
	if (!file || text_numbers("/proc/sys/net/ipv4/ip_local_port_range", range, 2) != 2) {
		report_add(report, FINDING_SKIP, "ports", NULL, "/proc/net cannot be read");
		return;
	}
	check_fill(report, "ports", in_use + waiting, range[1] - range[0] + 1,
		   "TCP sockets and those in TIME_WAIT against ports for connections: widen "
		   "net.ipv4.ip_local_port_range, or add servers to the backend");
}

void check_files(struct report *report)
{
	long long values[3];

	if (text_numbers("/proc/sys/fs/file-nr", values, 3) != 3)
		report_add(report, FINDING_SKIP, "files", NULL, "/proc/sys/fs/file-nr: no such");
	else
		check_fill(report, "files", values[0], values[2], "sysctl fs.file-max");
}
