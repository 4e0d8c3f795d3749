/* SPDX-License-Identifier: BSD-2-Clause */
/* The devices of the inline engine's lab: lo, TAP and TUN in a namespace of the test's own. */
#ifndef TESTS_BPF_INLINE_DEVICES_H
#define TESTS_BPF_INLINE_DEVICES_H

#include <stdbool.h>

#include "inline_packets.h"

/* A namespace, the devices, the programs on them. Needs lab.skel. 0 or -errno. */
int devices_make(void);
void devices_remove(void);

/* As lab_in(), lab_out() and lab_reply() have it, over TAP or TUN. */
bool devices_in(const struct frame *in, struct frame *ret);
bool devices_out(const struct frame *in, struct frame *ret);
bool devices_reply(struct frame *ret);

/* What the host got by the last of them. */
bool devices_passed(struct frame *ret);

/* What went out at lo. */
bool devices_lo(struct frame *ret);

#endif
