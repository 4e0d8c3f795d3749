#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Run cmocka binaries one after another and add up their tests.
# Usage: run-cmocka.sh RING BINARY...   Fails when a test fails, a binary dies, or none ran.
set -u

ring=$1
shift
build=${BUILD:-build}
limit=${TEST_TIMEOUT:-180}
passed=0 failed=0 skipped=0
mkdir -p "$build/results"

count() { grep -c "$1" "$2" || true; }

for bin in "$@"; do
	log=$bin.log
	start=$(date +%s%N)
	CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 5 "$limit" "$bin" >"$log" 2>&1 </dev/null
	status=$?
	ms=$((($(date +%s%N) - start) / 1000000))
	# cmocka 1.1 writes a skipped test as "not ok 2 # SKIP name".
	skip=$(count '^\(not \)\?ok .*# SKIP' "$log")
	ok=$(grep '^ok ' "$log" | grep -vc '# SKIP')
	bad=$(grep '^not ok ' "$log" | grep -vc '# SKIP')
	# A crash, a sanitiser report or a time-out is a failure, too, whatever was counted before it.
	if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
		bad=1
		[ "$status" -eq 124 ] && echo "not ok - timed out after $limit s" >>"$log"
	fi
	passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
	verdict=ok
	[ "$bad" -eq 0 ] || verdict=FAIL
	printf '  %-4s %4d tests %6d ms  %s\n' "$verdict" $((ok + bad + skip)) "$ms" "${bin#"$build"/}"
	grep '^\(not \)\?ok .*# SKIP' "$log" | sed 's/^/       /'
	[ "$bad" -eq 0 ] || sed 's/^/       /' "$log" | tail -n 120
done

echo "$passed $failed $skipped" >"$build/results/$ring"
echo "$ring: $passed passed, $failed failed, $skipped skipped"
[ $((passed + failed + skipped)) -gt 0 ] || { echo "$ring: no test ran" >&2; exit 1; }
[ "$failed" -eq 0 ]
