// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* A map without programs: the daemon has it whichever engines run. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "deny_map.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
