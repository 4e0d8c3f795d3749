#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Run the end-to-end tests under a time limit. Arguments go to pytest. Without any, files are spread over
# E2E_JOBS (2) processes: tests mostly wait, and each has namespaces, mounts and pins of its own.
set -u

build=${BUILD:-build}
xml=$build/results/e2e.xml
limit=${E2E_TIMEOUT:-900}
mkdir -p "$build/results"
rm -f "$xml"

jobs=()
[ $# -gt 0 ] || jobs=(-n "${E2E_JOBS:-2}" --dist loadfile)

# An interrupted pytest still reports what it has; a job in the background would ignore the signal.
env --default-signal=INT timeout -s INT -k 60 "$limit" /usr/bin/python3 -m pytest tests/e2e -p no:cacheprovider -q --junitxml="$xml" "${jobs[@]}" "$@" </dev/null
status=$?
[ "$status" -ne 124 ] || echo "e2e: stopped after $limit s" >&2

/usr/bin/python3 - "$xml" "$build/results/e2e" "$status" <<'PY'
import sys
import xml.etree.ElementTree as ET

xml, result, status = sys.argv[1], sys.argv[2], int(sys.argv[3])
total = bad = skipped = 0
try:
    for suite in ET.parse(xml).getroot().iter("testsuite"):
        total += int(suite.get("tests"))
        bad += int(suite.get("failures")) + int(suite.get("errors"))
        skipped += int(suite.get("skipped"))
except (OSError, ET.ParseError):
    pass
passed = max(total - bad - skipped, 0)
if status and not bad:
    bad = 1  # stopped, or nothing was collected
open(result, "w").write(f"{passed} {bad} {skipped}\n")
PY
exit "$status"
