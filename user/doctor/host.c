// SPDX-License-Identifier: BSD-2-Clause
/* The kernel, what it lets us do, and the host around it. */
#include <cap-ng.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "doctor/checks.h"
#include "doctor/text.h"
#include "kern/cgroup.h"
#include "kern/kern.h"
#include "loop/uring.h"

#define BTF "/sys/kernel/btf/vmlinux"
#define BPFFS "/sys/fs/bpf"
/* Not the daemon's own: nothing that runs, or will, is touched. */
#define TRIAL_PINS BPFFS "/unproxy-doctor"
#define TRIAL_SLOTS 256

#define FILES_FEW 65536
#define DISK_LOW (100u << 20) /* bytes */

static bool older_than(const char *release, unsigned major, unsigned minor)
{
	unsigned a = 0, b = 0;

	(void)sscanf(release, "%u.%u", &a, &b);
	return a < major || (a == major && b < minor);
}

void check_kernel(struct report *report)
{
	struct utsname uts;
	char why[256] = "";

	if (uname(&uts) < 0)
		return;
	if (older_than(uts.release, 5, 11))
		report_add(report, FINDING_FAIL, "kernel", "Linux 6.1 or newer",
			   "%s has no epoll_pwait2: nothing runs", uts.release);
	else if (older_than(uts.release, 5, 17))
		report_add(report, FINDING_WARN, "kernel", "Linux 6.1 or newer",
			   "%s has no bpf_loop: only the relay, by splice", uts.release);
	else if (kern_gate(uts.release, why, sizeof(why)))
		report_add(
			report, FINDING_WARN, "kernel",
			"a newer release of its series; until then bulk is spliced, inline works",
			"kernel path: %s", why);
	else
		report_add(report, FINDING_OK, "kernel", NULL, "%s", uts.release);

	if (access(BTF, R_OK) == 0)
		report_add(report, FINDING_OK, "btf", NULL, BTF);
	else
		report_add(report, FINDING_WARN, "btf",
			   "a kernel with CONFIG_DEBUG_INFO_BTF: programs do not load without",
			   BTF ": %s", strerror(errno));
}

/* What each is for: docs/privileges.md has the whole. */
static const struct {
	unsigned number;
	const char *name;
} capabilities[] = {
	{ CAP_BPF, "CAP_BPF" },
	{ CAP_NET_ADMIN, "CAP_NET_ADMIN" },
	{ CAP_PERFMON, "CAP_PERFMON" },
};

static bool wants_low_port(const struct conf *conf)
{
	for (size_t i = 0; conf && i < conf->n_listeners; i++) {
		for (size_t k = 0; k < conf->listeners[i].n_binds; k++) {
			if (conf->listeners[i].binds[k].addr.port < 1024)
				return true;
		}
	}
	return false;
}

void check_privileges(struct report *report, const struct conf *conf)
{
	bool needed = conf && conf_count(conf, CONF_ENGINE_INLINE) > 0;
	char missing[128] = "";
	size_t at = 0;

	if (capng_get_caps_process() < 0) {
		report_add(report, FINDING_SKIP, "capabilities", NULL, "cannot be read");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++) {
		/* CAP_SYS_ADMIN stands for the first and the last. */
		if (!capng_have_capability(CAPNG_EFFECTIVE, capabilities[i].number) &&
		    !(capabilities[i].number != CAP_NET_ADMIN &&
		      capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN)))
			at += (size_t)snprintf(missing + at, sizeof(missing) - at, "%s%s",
					       at ? ", " : "", capabilities[i].name);
	}
	if (at)
		report_add(report, needed ? FINDING_FAIL : FINDING_WARN, "capabilities",
			   needed ? "run as root: engine = inline needs them"
				  : "run as root; without: no kernel path, no address hook, no "
				    "inline",
			   "this process lacks %s", missing);
	else
		report_add(report, FINDING_OK, "capabilities", NULL,
			   "CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON");
	if (wants_low_port(conf) && !capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_BIND_SERVICE))
		report_add(report, FINDING_WARN, "capabilities",
			   "CAP_NET_BIND_SERVICE, or sysctl net.ipv4.ip_unprivileged_port_start",
			   "a listener's port is below 1024");
}

/* The same steps as at the daemon's start. */
static void try_kernel_path(struct report *report)
{
	struct kern_params params = {
		.workers = 1, .slots = TRIAL_SLOTS, .shown = TRIAL_SLOTS, .pin_root = TRIAL_PINS
	};
	struct kern *kern = NULL;
	char why[384] = "";
	int err = kern_open(&params, &kern, why, sizeof(why));

	if (!err)
		err = kern_selftest(kern, why, sizeof(why));
	kern_close(kern);
	(void)rmdir(TRIAL_PINS);
	if (err)
		report_add(report, FINDING_WARN, "kernel path",
			   "none needed: bulk is spliced (README, Three ways to move a byte)", "%s",
			   why);
	else
		report_add(report, FINDING_OK, "kernel path", NULL,
			   "loaded and tried: early data, redirect, back-pressure, end of stream");
}

static void try_uring(struct report *report)
{
	static const struct uring_handlers handlers;
	struct uring *uring = NULL;
	int err = uring_new(&handlers, &uring);

	uring_free(uring);
	if (err)
		report_add(report, FINDING_WARN, "io_uring",
			   "epoll serves, small messages cost more; Linux 6.1, "
			   "kernel.io_uring_disabled=0, the container's seccomp profile",
			   "refused: %s", strerror(-err));
	else
		report_add(report, FINDING_OK, "io_uring", NULL, "made and given back");
}

void check_paths(struct report *report)
{
	struct statfs fs;
	bool mounted = statfs(BPFFS, &fs) == 0 && fs.f_type == BPF_FS_MAGIC;

	if (mounted)
		report_add(report, FINDING_OK, "bpffs", NULL, BPFFS);
	else
		report_add(report, FINDING_WARN, "bpffs",
			   "mount -t bpf bpf " BPFFS "; the daemon does that, where it may",
			   BPFFS ": not mounted");
	if (geteuid() != 0)
		report_add(report, FINDING_SKIP, "kernel path", "run doctor as root", "not tried");
	else if (mounted)
		try_kernel_path(report);
	else
		report_add(report, FINDING_SKIP, "kernel path", NULL, "not tried without bpffs");
	try_uring(report);
}

void check_cgroup(struct report *report)
{
	struct cgroup_root root = { .fd = -1 };
	char why[256] = "";

	if (cgroup_root_open(NULL, &root, why, sizeof(why)))
		report_add(report, FINDING_WARN, "cgroup2",
			   "mount -t cgroup2 none /sys/fs/cgroup: without it apps do not see "
			   "their clients",
			   "%s", why);
	else if (!root.whole_host)
		report_add(report, FINDING_WARN, "cgroup2",
			   "run on the host, or with its cgroup namespace: apps elsewhere do not "
			   "see their clients",
			   "%s is a container's root", root.path);
	else
		report_add(report, FINDING_OK, "cgroup2", NULL, "%s, the root of this host",
			   strcmp(root.path, "-") ? root.path : "mounted for us alone");
	cleanup_close(&root.fd);
}

void check_limits(struct report *report)
{
	struct rlimit files, memory;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		bool few = files.rlim_max < FILES_FEW;

		report_add(report, few ? FINDING_WARN : FINDING_OK, "nofile",
			   few ? "LimitNOFILE=1048576 in the unit, or ulimit -Hn" : NULL,
			   "%llu (hard limit), two for each connection of the relay",
			   (unsigned long long)files.rlim_max);
	}
	if (getrlimit(RLIMIT_MEMLOCK, &memory) == 0 && memory.rlim_cur == RLIM_INFINITY)
		report_add(report, FINDING_OK, "memlock", NULL, "unlimited");
	else
		/* Maps are charged to the memory cgroup since 5.11; io_uring's rings to this
		 * up to 5.12. */
		report_add(report, FINDING_OK, "memlock", NULL,
			   "%llu KiB: neither maps nor rings count against it on this kernel",
			   (unsigned long long)memory.rlim_cur >> 10);
}

static void check_synchronised(struct report *report)
{
	struct timex timex = { 0 };
	int state = adjtimex(&timex);

	if (state < 0)
		report_add(report, FINDING_SKIP, "clock", NULL, "adjtimex: %s", strerror(errno));
	else if (state == TIME_ERROR || timex.status & STA_UNSYNC)
		report_add(report, FINDING_WARN, "clock",
			   "run chrony or systemd-timesyncd: the client log's times are compared "
			   "with other hosts'",
			   "not synchronised");
	else
		report_add(report, FINDING_OK, "clock", NULL, "synchronised, within %ld ms",
			   timex.esterror / 1000);
}

void check_clock(struct report *report)
{
	char source[64];
	bool slow;

	check_synchronised(report);
	if (text_read("/sys/devices/system/clocksource/clocksource0/current_clocksource", source,
		      sizeof(source)))
		return;
	slow = strcmp(source, "hpet") == 0 || strcmp(source, "acpi_pm") == 0;
	report_add(report, slow ? FINDING_WARN : FINDING_OK, "clocksource",
		   slow ? "each look at the clock is a system call: tsc, kvm-clock or the like"
			: NULL,
		   "%s", source);
}

/* The folder that holds a file: "/var/log/x" -> "/var/log". */
static void folder_of(const char *path, char *buf, size_t size)
{
	char *slash;

	(void)snprintf(buf, size, "%s", path);
	slash = strrchr(buf, '/');
	if (!slash)
		(void)snprintf(buf, size, ".");
	else
		slash[slash == buf] = '\0';
}

static void check_disk(struct report *report, const char *path, const char *folder)
{
	struct statvfs fs;
	unsigned long long room;

	if (statvfs(folder, &fs) < 0)
		return;
	room = (unsigned long long)fs.f_bavail * fs.f_frsize;
	if (room < DISK_LOW)
		report_add(report, FINDING_WARN, "client log",
			   "make room, rotate it: lines are held back, then dropped and counted",
			   "%s: %llu MiB left", path, room >> 20);
	else
		report_add(report, FINDING_OK, "client log", NULL, "%s: %llu MiB left", path,
			   room >> 20);
}

void check_log(struct report *report, const struct conf *conf)
{
	char folder[512];
	struct stat st;

	if (!conf)
		return;
	if (!conf->client_log) {
		report_add(report, FINDING_OK, "client log", NULL, "off");
		return;
	}
	if (strcmp(conf->client_log, "-") == 0) {
		report_add(report, FINDING_OK, "client log", NULL, "standard output");
		return;
	}
	folder_of(conf->client_log, folder, sizeof(folder));
	if (stat(folder, &st) < 0)
		report_add(report, FINDING_FAIL, "client log", "mkdir -p that folder", "%s: %s",
			   folder, strerror(errno));
	else if (access(access(conf->client_log, F_OK) == 0 ? conf->client_log : folder, W_OK) < 0)
		report_add(report, FINDING_FAIL, "client log", "chown or chmod, or run as root",
			   "%s: %s", conf->client_log, strerror(errno));
	else
		check_disk(report, conf->client_log, folder);
}
