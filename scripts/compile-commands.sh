#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Print compile_commands.json for clangd. Usage: compile-commands.sh USER_COMMAND BPF_COMMAND
set -eu
cd "$(dirname "$0")/.."

find user tests bpf -path tests/node_modules -prune -o -name '*.c' -print | sort | while read -r file; do
	command=$1
	case $file in *.bpf.c) command=$2 ;; esac
	jq -n --arg directory "$PWD" --arg file "$file" --arg command "$command -c $file" '$ARGS.named'
done | jq -s .
