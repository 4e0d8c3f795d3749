// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "daemon/filter.h"
#include "deny/deny.h"
#include "obs/log.h"

/* ---- who ---- */

static bool parse_id(const char *text, uint32_t *ret)
{
	char *end;
	unsigned long id = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || id >= UINT32_MAX)
		return false;
	*ret = (uint32_t)id;
	return true;
}

static int fail(const char *key, const char *name)
{
	log_error("privileges.failed %s=\"%s\" error=\"there is no such %s\"", key, name, key);
	return -ENOENT;
}

static int find_user(const char *name, struct privileges *ret)
{
	const struct passwd *entry = getpwnam(name);

	if (!entry && parse_id(name, &ret->uid))
		entry = getpwuid(ret->uid);
	else if (!entry)
		return fail("user", name);
	if (entry) {
		ret->uid = entry->pw_uid;
		ret->gid = entry->pw_gid;
	} else { /* a number without a name: the group goes by the same one */
		ret->gid = ret->uid;
	}
	return 0;
}

static int find_group(const char *name, gid_t *ret)
{
	const struct group *entry = getgrnam(name);

	if (!entry)
		return parse_id(name, ret) ? 0 : fail("group", name);
	*ret = entry->gr_gid;
	return 0;
}

int privileges_prepare(const struct conf *conf, struct privileges *ret)
{
	int err = 0;

	*ret = (struct privileges){ .uid = getuid(), .gid = getgid() };
	if (conf->user)
		err = find_user(conf->user, ret);
	if (!err && conf->group)
		err = find_group(conf->group, &ret->gid);
	ret->change_user = ret->uid != getuid() || ret->gid != getgid();
	return err;
}

/* ---- what is kept ---- */

/* Until 5.19 bpf(2) wanted CAP_BPF even for a map's descriptor in hand, where it is not for
 * everyone (kernel.unprivileged_bpf_disabled, as Debian has it). */
static bool bpf_by_descriptor(void)
{
	unsigned major = 0, minor = 0;
	struct utsname uts;

	if (uname(&uts) < 0 || sscanf(uts.release, "%u.%u", &major, &minor) != 2)
		return false;
	return major > 5 || (major == 5 && minor >= 19);
}

static caps_set of_maps(void)
{
	return bpf_by_descriptor() ? 0 : CAPS_BIT(CAP_BPF);
}

static bool uses_bpf(const struct relay *relay, const struct inline_engine *engine)
{
	return relay->kern || relay->hook || engine ||
	       (relay->deny && deny_map_fd(relay->deny) >= 0);
}

/* Of a worker: its sockets' buffers where the kernel redirects, and maps. */
static caps_set of_workers(const struct relay *relay)
{
	return relay->kern ? CAPS_BIT(CAP_NET_ADMIN) | of_maps() : 0;
}

/* Of the main thread: that, ports below 1024 that a reload adds, and programs on interfaces
 * that come. They are loaded anew when a takeover fails, for which inline had been let go, and
 * when a listener comes after there was none: that alone takes CAP_BPF and CAP_PERFMON. */
static caps_set of_main(const struct relay *relay, const struct inline_engine *engine)
{
	caps_set keep = of_workers(relay);

	if (relay->n_workers)
		keep |= CAPS_BIT(CAP_NET_BIND_SERVICE);
	if (engine)
		keep |= CAPS_BIT(CAP_NET_ADMIN) | CAPS_BIT(CAP_BPF) | CAPS_BIT(CAP_PERFMON);
	if (uses_bpf(relay, engine))
		keep |= of_maps();
	return keep;
}

/* ---- giving up ---- */

/* What is written to or removed later must be the new user's. */
static void hand_over(const struct privileges *privileges, const struct relay *relay)
{
	if (relay->log)
		client_log_give(relay->log, privileges->uid, privileges->gid);
	kern_give(relay->kern, privileges->uid, privileges->gid);
	kern_hook_give(relay->hook, privileges->uid, privileges->gid);
	deny_give(relay->deny, privileges->uid, privileges->gid);
}

/* It can be opened again after a rotation: in its directory, or because it is there already. */
static void check_log(const struct conf *conf)
{
	char *copy = conf->client_log && conf->client_log[0] == '/' ? strdup(conf->client_log)
								    : NULL;

	if (copy && faccessat(AT_FDCWD, dirname(copy), W_OK | X_OK, AT_EACCESS) < 0)
		log_warn("privileges.client_log path=\"%s\" reason=\"uid %u may not write to its "
			 "directory: after a rotation the new file has to be there, and its own\"",
			 conf->client_log, (unsigned)geteuid());
	free(copy);
}

static int drop(const struct privileges *privileges, caps_set keep)
{
	int err;

	if (privileges->change_user)
		err = caps_keep_as(keep, privileges->uid, privileges->gid);
	else
		err = caps_keep(keep);
	if (err)
		log_error("privileges.failed uid=%u error=\"%s\"", privileges->uid, strerror(-err));
	return err;
}

static bool load_filter(const struct relay *relay, const struct inline_engine *engine)
{
	const struct filter_params params = { .bpf = uses_bpf(relay, engine),
					      .netlink = engine,
					      .load = engine };
	int err = filter_load(&params);

	if (err)
		log_warn("privileges.no_filter reason=\"%s\"", strerror(-err));
	return !err;
}

int privileges_enter(struct privileges *privileges, const struct conf *conf, struct relay *relay,
		     const struct inline_engine *engine)
{
	caps_set keep = conf->sandbox ? of_main(relay, engine) : ~UINT64_C(0);
	char text[CAPS_TEXT_MAX];
	bool filter = false;
	int err = 0;

	relay->worker_caps = conf->sandbox ? of_workers(relay) : keep;
	privileges->log_caps = conf->sandbox ? 0 : keep;
	if (privileges->change_user)
		hand_over(privileges, relay);
	if (conf->sandbox || privileges->change_user)
		err = drop(privileges, keep);
	if (err)
		return err;
	check_log(conf);
	if (conf->sandbox) {
		(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		filter = load_filter(relay, engine);
	}
	caps_text(caps_held(), text, sizeof(text));
	(void)snprintf(privileges->text, sizeof(privileges->text),
		       " uid=%u capabilities=%s sandbox=%s", (unsigned)geteuid(), text,
		       !conf->sandbox ? "off"
		       : filter       ? "on"
				      : "\"without a filter\"");
	return 0;
}
