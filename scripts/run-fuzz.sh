#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Run each fuzzer for SECONDS from its corpus. New inputs go to build/, the committed corpus stays small.
# Usage: run-fuzz.sh SECONDS FUZZER...
set -u

seconds=$1
shift
build=${BUILD:-build}
passed=0 failed=0
mkdir -p "$build/results"

for bin in "$@"; do
	name=$(basename "$bin" _fuzz)
	corpus=tests/fuzz/corpus/$name
	grown=$build/fuzz/corpus/$name
	log=$bin.log
	mkdir -p "$grown"
	inputs=("$grown")
	[ -d "$corpus" ] && inputs+=("$corpus")
	extra=()
	[ -f "tests/fuzz/$name.dict" ] && extra+=("-dict=tests/fuzz/$name.dict")
	if timeout -k 5 $((seconds + 60)) "$bin" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
		-artifact_prefix="$build/fuzz/$name-" -print_final_stats=1 "${extra[@]}" "${inputs[@]}" >"$log" 2>&1 </dev/null; then
		passed=$((passed + 1))
		runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
		printf '  ok   %s: %s inputs in %s s\n' "$name" "${runs:-?}" "$seconds"
	else
		failed=$((failed + 1))
		printf '  FAIL %s\n' "$name"
		tail -n 60 "$log" | sed 's/^/       /'
	fi
done

echo "$passed $failed 0" >"$build/results/fuzz"
echo "fuzz: $passed passed, $failed failed"
[ $((passed + failed)) -gt 0 ] || { echo "fuzz: no fuzzer ran" >&2; exit 1; }
[ "$failed" -eq 0 ]
