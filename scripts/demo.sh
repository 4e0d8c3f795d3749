#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The main job on one machine: client -> HAProxy -> unproxy -> apps that know nothing of PROXY.
# All of it lives in namespaces that end with this process, however it ends: nothing is left behind.
set -eu
cd "$(dirname "$0")/.."

[ "$(id -u)" -eq 0 ] || { echo "demo: needs root, for network namespaces and BPF" >&2; exit 1; }
export PATH="$PATH:/usr/sbin:/sbin" UNPROXY="${UNPROXY:-$PWD/${BUILD:-build}/unproxy}" NODE_PATH="$PWD/tests/node_modules"
[ -x "$UNPROXY" ] || { echo "demo: no $UNPROXY; run make first" >&2; exit 1; }

# The first process of the PID namespace is the demo: when it ends, the kernel ends the rest.
exec unshare --net --mount --pid --fork --kill-child --mount-proc /usr/bin/python3 -B scripts/demo/demo.py "$@"
