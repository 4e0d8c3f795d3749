// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/upgrade.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "obs/log.h"

int upgrade_init(struct upgrade *upgrade, const char *control)
{
	if (!control)
		return 0;
	if (asprintf(&upgrade->path, "%s.takeover", control) >= 0)
		return 0;
	upgrade->path = NULL;
	return -ENOMEM;
}

static int ask_daemon(struct upgrade *upgrade, struct relay *relay)
{
	char why[256] = "";
	int err;

	if (!upgrade->path) {
		log_error(
			"takeover.refused reason=\"without a control socket daemons do not meet\"");
		return -ENOENT;
	}
	err = take_over_ask(upgrade->path, relay, &upgrade->from, why, sizeof(why));
	if (err == -ENOENT) {
		log_warn("takeover.none reason=\"no daemon at %s\" action=\"an ordinary start\"",
			 upgrade->path);
		return 0;
	}
	if (err)
		log_error("takeover.refused reason=\"%s\" action=\"the other daemon goes on\"",
			  why);
	return err;
}

static bool was_kept(const struct upgrade *upgrade)
{
	return upgrade->kept[STORE_PART_LISTENERS] >= 0 || upgrade->kept[STORE_PART_SESSIONS] >= 0;
}

int upgrade_begin(struct upgrade *upgrade, struct relay *relay, bool ask)
{
	int err = ask ? ask_daemon(upgrade, relay) : 0;

	if (err || upgrade->from || !was_kept(upgrade))
		return err;
	return take_over_kept(upgrade->kept, relay, &upgrade->from);
}

static int failed(int err, const char *why)
{
	if (err)
		log_error("takeover.failed reason=\"%s\" action=\"all stays where it is\"", why);
	return err;
}

int upgrade_prepared(struct upgrade *upgrade)
{
	char why[256] = "";
	int err;

	if (!upgrade->from)
		return 0;
	err = take_over_prepared(upgrade->from, why, sizeof(why));
	if (!err)
		err = take_over_workers(upgrade->from);
	return failed(err, why);
}

int upgrade_begun(struct upgrade *upgrade)
{
	char why[256] = "";

	return upgrade->from ? failed(take_over_begun(upgrade->from, why, sizeof(why)), why) : 0;
}

void upgrade_connections(struct upgrade *upgrade, struct totals *totals)
{
	if (upgrade->from)
		take_over_connections(upgrade->from, totals);
}

void upgrade_complete(struct upgrade *upgrade)
{
	if (upgrade->from)
		take_over_commit(upgrade->from);
	take_over_end(TAKE_PTR(upgrade->from));
}

void upgrade_open_door(struct upgrade *upgrade, const struct hand_over_host *host)
{
	int taken = take_over_socket(upgrade->from, TAKE_OVER_DOOR);
	int err = hand_over_open(upgrade->path, taken, host, &upgrade->door);

	if (err)
		log_warn("takeover.off path=\"%s\" reason=\"%s\" action=\"no daemon can take over "
			 "from this one\"",
			 upgrade->path, strerror(-err));
}

void upgrade_end(struct upgrade *upgrade)
{
	for (unsigned i = 0; i < STORE_PART__MAX; i++)
		cleanup_close(&upgrade->kept[i]);
	hand_over_close(upgrade->door);
	take_over_end(upgrade->from);
	free(upgrade->path);
}
