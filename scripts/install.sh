#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Put files below a prefix, or take exactly these away again. make install and uninstall call it with their list.
# Usage: install.sh install|uninstall DESTDIR MODE:SOURCE:TARGET...      environment: PREFIX
set -euo pipefail
cd "$(dirname "$0")/.."
action=$1 destdir=$2
shift 2

# What stands in the files as /usr/sbin stands where PREFIX has it.
content() {
	case $1 in
	*.service) sed "s,/usr/sbin/unproxy,$PREFIX/sbin/unproxy,g" "$1" ;;
	*) cat "$1" ;;
	esac
}

install_one() {
	local mode=$1 source=$2 target=$3
	# What an administrator may have changed below /etc stays as it is.
	if [[ $source = *.logrotate && -e $target ]]; then
		content "$source" | cmp -s - "$target" || echo "kept: $target differs from $source"
		return
	fi
	mkdir -p "$(dirname "$target")"
	content "$source" >"$target.new"
	chmod "$mode" "$target.new"
	mv -f "$target.new" "$target"
}

uninstall_one() {
	local source=$2 target=$3
	if [[ $source = *.logrotate && -e $target ]] && ! content "$source" | cmp -s - "$target"; then
		echo "kept: $target has been changed"
		return
	fi
	rm -f "$target"
	# Folders of its own go with their last file.
	case $target in */unproxy/*) rmdir -p --ignore-fail-on-non-empty "${target%/*}" 2>/dev/null || true ;; esac
}

for entry in "$@"; do
	IFS=: read -r mode source target <<<"$entry"
	"${action}_one" "$mode" "$source" "$destdir$target"
done
