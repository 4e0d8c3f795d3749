#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Everything there is to test, from packages to namespaces. A ring that fails does not stop the next;
# the last line adds all rings up. Environment: FUZZ_SECONDS (20), E2E_TIMEOUT, TEST_TIMEOUT.
set -u
cd "$(dirname "$0")/.." || exit 1

build=${BUILD:-build}
export WERROR=1 FUZZ_SECONDS=${FUZZ_SECONDS:-20}
rm -rf "$build/results"
mkdir -p "$build/results"
status=0

headline() { printf '\n==== %s ====\n' "$*"; }

# A ring that does not count, or died before it could, is one test.
ring() {
	local name=$1 about=$2 start=$SECONDS
	shift 2
	headline "$name: $about"
	if "$@" </dev/null; then
		[ -e "$build/results/$name" ] || echo "1 0 0" >"$build/results/$name"
	else
		status=1
		[ -e "$build/results/$name" ] || echo "0 1 0" >"$build/results/$name"
	fi
	printf '%s took %d s\n' "$name" $((SECONDS - start))
}

headline "setup: packages"
scripts/setup.sh || { echo "0 passed, 1 failed"; exit 1; }

ring check "style, lint, rules as code" make check
ring unit "no root needed, ASan and UBSan on" make -j"$(nproc)" test-unit
ring fuzz "$FUZZ_SECONDS s for each fuzzer, ASan and UBSan on" make -j"$(nproc)" fuzz
ring differential "the parser against an independent one" make test-diff
if [ "$(id -u)" -eq 0 ]; then
	ring bpf "loaded programs over real sockets" make -j"$(nproc)" test-bpf
	ring demo "the main job, each shown result checked" scripts/demo.sh
	ring e2e "real balancers, servers and clients in network namespaces" make -j"$(nproc)" test-e2e
else
	headline "bpf, demo, e2e: left out, they need root"
	echo "0 0 3" >"$build/results/root"
fi

headline "summary after $((SECONDS / 60)) min $((SECONDS % 60)) s"
total=(0 0 0)
for name in check unit fuzz differential bpf demo e2e root; do
	[ -e "$build/results/$name" ] || continue
	read -r passed failed skipped <"$build/results/$name"
	printf '  %-12s %5d passed %3d failed %3d skipped\n' "$name" "$passed" "$failed" "$skipped"
	total=($((total[0] + passed)) $((total[1] + failed)) $((total[2] + skipped)))
done
[ "${total[1]}" -eq 0 ] || status=1
echo
echo "${total[0]} passed, ${total[1]} failed, ${total[2]} skipped"
exit $status
