#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Compare the parser with an independent one over generated headers (see compare.js).
# Usage: run.sh [COUNT [SEED]]     Needs node and tests/node_modules; builds what else it needs.
set -eu
cd "$(dirname "$0")/../../.."

build=${BUILD:-build}
out=$build/fuzz/differential
mkdir -p "$out" "$build/results"
echo "0 1 0" >"$build/results/differential"

${CC:-gcc} -std=gnu11 -O2 -g -Wall -Wextra -Iinclude -Iuser tests/fuzz/differential/batch.c user/client/reason.c -o "$out/batch"
NODE_PATH=tests/node_modules timeout 120 node tests/fuzz/differential/compare.js "$out/batch" "$@"
echo "1 0 0" >"$build/results/differential"
