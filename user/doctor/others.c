// SPDX-License-Identifier: BSD-2-Clause
/* What others have attached where our programs are, or would be. */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "doctor/checks.h"
#include "inline/interfaces.h"
#include "kern/cgroup.h"
#include "kern/survey.h"

#define ENTRIES 64

/* "2 of others: cil_from_netdev (tcx ingress, id 34), ..." */
static void describe(const struct survey *survey, char *buf, size_t size, unsigned *ret_others,
		     unsigned *ret_before)
{
	size_t at = 0;

	*ret_others = *ret_before = 0;
	buf[0] = '\0';
	for (size_t i = 0; i < survey->n && i < survey->room; i++) {
		const struct survey_entry *entry = &survey->entries[i];

		*ret_others += !entry->ours;
		*ret_before += entry->before;
		if (!entry->ours && at < size)
			at += (size_t)snprintf(buf + at, size - at, "%s%s (%s)", at ? ", " : "",
					       entry->name, entry->where);
	}
}

static unsigned count_ours(const struct survey *survey)
{
	unsigned n = 0;

	for (size_t i = 0; i < survey->n && i < survey->room; i++)
		n += survey->entries[i].ours;
	return n;
}

static void cannot_see(struct report *report, const char *name, int err)
{
	report_add(report, FINDING_SKIP, name, err == -EPERM ? "run doctor as root" : NULL,
		   "cannot be seen: %s", strerror(-err));
}

static void check_interface(struct report *report, const char *interface, bool wanted)
{
	struct survey_entry entries[ENTRIES];
	struct survey survey = { .entries = entries, .room = ENTRIES };
	char name[48], others[320], master[CONF_INTERFACE_MAX];
	struct kern_interface found;
	unsigned n_others, n_before, kind = 0;
	int err = interface_find(interface, &found, &kind);

	(void)snprintf(name, sizeof(name), "interface %s", interface);
	if (err) {
		report_add(report, wanted ? FINDING_FAIL : FINDING_OK, name,
			   wanted ? "interfaces = in the listener" : NULL, "%s",
			   err == -EOPNOTSUPP ? "of a kind that engine = inline cannot read"
					      : strerror(-err));
		return;
	}
	err = survey_interface(found.index, &survey);
	if (err) {
		cannot_see(report, name, err);
		return;
	}
	describe(&survey, others, sizeof(others), &n_others, &n_before);
	if (n_before)
		report_add(report, FINDING_WARN, name,
			   "they see packets before engine = inline does: connections whose "
			   "packets they take or send elsewhere do not work inline",
			   "others' programs stand first: %s", others);
	else if (interface_master(found.index, master))
		report_add(report, FINDING_OK, name, NULL, "a part of %s", master);
	else
		report_add(report, FINDING_OK, name, NULL, "%u programs of ours%s%s",
			   count_ours(&survey), n_others ? ", behind them: " : "", others);
}

/* Those that inline listeners name, or that are taken by default. */
void check_interfaces(struct report *report, const struct conf *conf)
{
	_cleanup_(interface_names_free) struct interface_names names = { 0 };
	size_t n_named;

	for (size_t i = 0; conf && i < conf->n_listeners; i++) {
		const struct conf_listener *listener = &conf->listeners[i];

		for (size_t k = 0; k < listener->n_interfaces; k++)
			(void)interface_names_add(&names, listener->interfaces[k].name,
						  strlen(listener->interfaces[k].name));
	}
	n_named = names.n;
	if (!n_named)
		(void)interface_names_default(&names);
	for (size_t i = 0; i < names.n; i++)
		check_interface(report, names.names[i].name, i < n_named);
}

void check_hooks(struct report *report)
{
	struct survey_entry entries[ENTRIES];
	struct survey survey = { .entries = entries, .room = ENTRIES };
	struct cgroup_root root = { .fd = -1 };
	char why[256], others[320];
	unsigned n_others, n_before;
	int err;

	if (cgroup_root_open(NULL, &root, why, sizeof(why)))
		return; /* said so: check_cgroup() */
	err = survey_cgroup(&root, &survey);
	cleanup_close(&root.fd);
	if (err) {
		cannot_see(report, "address hook", err);
		return;
	}
	describe(&survey, others, sizeof(others), &n_others, &n_before);
	if (n_others)
		report_add(report, FINDING_WARN, "address hook",
			   "the program that runs last has the last word on getpeername(): try "
			   "with an app, docs/address-hook.md",
			   "programs of others at the same place: %s", others);
	else
		report_add(report, FINDING_OK, "address hook", NULL,
			   "%u programs of ours, none of others", count_ours(&survey));
}

void check_sockmaps(struct report *report)
{
	struct survey_entry entries[ENTRIES];
	struct survey survey = { .entries = entries, .room = ENTRIES };
	char others[320];
	unsigned n_others, n_before;
	int err = survey_sockmaps(&survey);

	if (err) {
		cannot_see(report, "sockmaps", err);
		return;
	}
	describe(&survey, others, sizeof(others), &n_others, &n_before);
	if (n_others)
		report_add(report, FINDING_WARN, "sockmaps",
			   "a socket that another's program puts into its map on connect or "
			   "accept cannot take the kernel path: it is spliced",
			   "%u of others: %s", n_others, others);
	else
		report_add(report, FINDING_OK, "sockmaps", NULL, "%u of ours, none of others",
			   count_ours(&survey));
}
