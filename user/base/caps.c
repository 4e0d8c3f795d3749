// SPDX-License-Identifier: BSD-2-Clause
#include "base/caps.h"

#include <cap-ng.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

void caps_text(caps_set caps, char *buf, size_t size)
{
	size_t at = 0;

	(void)snprintf(buf, size, "none");
	for (unsigned cap = 0; cap < 64; cap++) {
		const char *name = caps & CAPS_BIT(cap) ? capng_capability_to_name(cap) : NULL;

		if (name && at < size)
			at += (size_t)snprintf(buf + at, size - at, "%s%s", at ? "," : "", name);
	}
}

caps_set caps_held(void)
{
	caps_set held = 0;

	if (capng_get_caps_process() < 0)
		return 0;
	for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++) {
		if (capng_have_capability(CAPNG_EFFECTIVE, cap))
			held |= CAPS_BIT(cap);
	}
	return held;
}

/* Tell libcap-ng of the set; what of it is held. Ambient ones go with the inheritable. */
static caps_set choose(caps_set caps)
{
	caps_set held = caps_held(), keep = caps & held;

	capng_clear(CAPNG_SELECT_BOTH);
	for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++) {
		if (keep & CAPS_BIT(cap))
			(void)capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, cap);
	}
	return held;
}

int caps_keep(caps_set caps)
{
	caps_set held = choose(caps);
	bool bounds = held & CAPS_BIT(CAP_SETPCAP);

	return capng_apply(bounds ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS) < 0 ? -EPERM : 0;
}

int caps_keep_as(caps_set caps, uid_t uid, gid_t gid)
{
	caps_set held = choose(caps);
	int flags = CAPNG_DROP_SUPP_GRP;

	if (!(held & CAPS_BIT(CAP_SETUID)) || !(held & CAPS_BIT(CAP_SETGID)))
		return -EPERM;
	if (held & CAPS_BIT(CAP_SETPCAP))
		flags |= CAPNG_CLEAR_BOUNDING;
	return capng_change_id((int)uid, (int)gid, (capng_flags_t)flags) < 0 ? -EPERM : 0;
}
