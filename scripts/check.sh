#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The rules as code, one line a check. Goes on after one that failed; what it found stands below its line.
# Usage: check.sh [CHECK...]      names: rules rule_tests format headers headers_bpf cppcheck tidy shell python werror docs man
set -u
cd "$(dirname "$0")/.." || exit 1
PATH=$PATH:/usr/sbin:/sbin

build=${BUILD:-build}
out=$build/check
jobs=$(nproc)
mkdir -p "$out" "$build/results"
passed=0 failed=0

mapfile -t c_files < <(find bpf include user tests -name node_modules -prune -o -name '*.[ch]' -print | sort)
mapfile -t user_c < <(find user -name '*.c' | sort)
mapfile -t scripts < <(find scripts tests dist .ci -name node_modules -prune -o \( -name '*.sh' -o -name '*.bash' -o -path .ci/run \) -print | sort)
mapfile -t pythons < <(find scripts tests -name node_modules -prune -o -name '*.py' -print | sort)
cpp=(-std=gnu11 -D_GNU_SOURCE -Iinclude -Iuser "-I$build/gen")

check_rules() { scripts/check/rules.py; }

check_rule_tests() { /usr/bin/python3 -m pytest -q -p no:cacheprovider tests/check; }

check_format() {
	local file status=0
	for file in "${c_files[@]}"; do
		clang-format "$file" | cmp -s - "$file" || {
			echo "$file: not as clang-format writes it: make fmt"
			status=1
		}
	done
	return $status
}

# A header that leans on its includer works until somebody reorders a list.
check_headers() {
	local header status=0
	for header in $(find include user -name '*.h' | sort); do
		printf '#include "%s"\n' "${header#*/}" |
			gcc "${cpp[@]}" -Wall -Wextra -Wno-unused-parameter -Werror -fsyntax-only -x c - || {
			echo "$header: does not compile alone"
			status=1
		}
	done
	return $status
}

# The contracts compile into the programs too, behind vmlinux.h.
check_headers_bpf() {
	local header status=0
	for header in include/unproxy/*.h; do
		printf '#include "vmlinux.h"\n#include <bpf/bpf_helpers.h>\n#include "%s"\n' "${header#*/}" |
			clang -target bpf -mcpu=v3 -O2 -Wall -Werror -Wno-missing-declarations -Wno-unused-function \
				-Iinclude "-I$build/gen" -fsyntax-only -x c - || {
			echo "$header: does not compile for the kernel side"
			status=1
		}
	done
	return $status
}

# cppcheck does not know the cleanup attribute, hence no word from it on leaks: LeakSanitizer watches those.
check_cppcheck() {
	cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 -j "$jobs" -D__x86_64__ -D_GNU_SOURCE \
		--enable=warning,performance,portability --suppress=missingInclude --suppress=normalCheckLevelMaxBranches \
		--suppress=unknownMacro --suppress=memleak --suppress=resourceLeak --cppcheck-build-dir="$out" -Iinclude -Iuser user
}

# clang-tidy is slow, so a file is read again only when what the compiler sees of it has changed.
tidy_one() {
	local file=$1 key log
	key=$out/tidy/$({ cat .clang-tidy; clang "${cpp[@]}" -E "$file"; } 2>/dev/null | sha1sum | cut -c1-20)
	[ ! -e "$key" ] || return 0
	log=$(clang-tidy --quiet "$file" -- "${cpp[@]}" 2>/dev/null) && { touch "$key"; return 0; }
	printf '%s\n' "$log"
	return 1
}

check_tidy() {
	local file running=0 status=0
	mkdir -p "$out/tidy"
	for file in "${user_c[@]}"; do
		tidy_one "$file" &
		running=$((running + 1))
		if [ "$running" -ge "$jobs" ]; then
			wait -n || status=1
			running=$((running - 1))
		fi
	done
	while [ "$running" -gt 0 ]; do
		wait -n || status=1
		running=$((running - 1))
	done
	return $status
}

check_shell() { shellcheck "${scripts[@]}"; }

check_python() {
	/usr/bin/python3 - "${pythons[@]}" <<'PY'
import ast, sys
for path in sys.argv[1:]:
    ast.parse(open(path).read(), path)
PY
}

# What the docs show is what the program says.
check_docs() {
	local status=0
	"$build/unproxy" check -c examples/unproxy.conf || status=1
	"$build/unproxy" check --reference | diff -u docs/configuration.md - || status=1
	return $status
}

# What man(1) shows is what was meant: neither reader of the pages has a word to say.
check_man() {
	local page said status=0
	for page in "$build"/man/*.[58]; do
		said=$({ mandoc -T lint -W style "$page"; groff -ww -man -Tutf8 -z "$page"; } 2>&1)
		[ -z "$said" ] || { printf '%s\n' "$said"; status=1; }
	done
	return $status
}

# Everything that ships compiles without a warning, the programs included.
check_werror() { make -s WERROR=1 all; }

run() {
	local name=$1 about=$2 log=$out/$1.log start=$SECONDS
	if "check_$name" >"$log" 2>&1; then
		passed=$((passed + 1))
		printf '  ok   %-11s %s%s\n' "$name" "$about" "$([ $((SECONDS - start)) -lt 3 ] || echo " ($((SECONDS - start)) s)")"
	else
		failed=$((failed + 1))
		printf '  FAIL %-11s %s\n' "$name" "$about"
		head -n 60 "$log" | sed 's/^/       /'
	fi
}

all=(
	"werror:all that ships compiles without a warning"
	"docs:the example is valid, the reference is the program's own"
	"man:mandoc and groff have nothing to say of the man pages"
	"rules:licences, direction of includes, sizes, words"
	"rule_tests:each rule refuses its bad tree; install, completions"
	"format:clang-format"
	"headers:each header compiles alone"
	"headers_bpf:the contracts compile for the kernel side"
	"cppcheck:cppcheck"
	"tidy:clang-tidy"
	"shell:shellcheck"
	"python:every test and script parses"
)
for entry in "${all[@]}"; do
	name=${entry%%:*}
	if [ $# -eq 0 ] || [[ " $* " == *" $name "* ]]; then
		run "$name" "${entry#*:}"
	fi
done
scripts/check/rules.py --notes | sed 's/^/       /'

echo "$passed $failed 0" >"$build/results/check"
echo "check: $passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
