#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Build the Debian package from a copy of the tree, and ask lintian. The package, and what lintian had to say,
# are in $BUILD/deb. Usage: deb.sh VERSION
set -euo pipefail
cd "$(dirname "$0")/.."

out=$(realpath -m "${BUILD:-build}/deb")
tree=$out/unproxy-$1
rm -rf "$out"
mkdir -p "$tree"
# Not what git has, but what is here: a release need not come by git.
tar -cf - --exclude='./build*' --exclude=./.git --exclude=node_modules --exclude=__pycache__ --exclude=./dist/debian \
	--exclude=./tests --exclude="./${BUILD:-build}" . | tar -xf - -C "$tree"
cp -r dist/debian "$tree/debian"

changelog=$(sed -n '1s/.*(\(.*\)).*/\1/p' dist/debian/changelog)
if [ "$changelog" != "$1" ]; then
	echo "deb: dist/debian/changelog is of version $changelog, user/base/version.h of $1" >&2
	exit 1
fi
log=$out/build.log
# The flags of the make that called this are not for the package.
if ! (cd "$tree" && env -u MAKEFLAGS -u MAKELEVEL -u BUILD -u WERROR -u V \
	DEB_BUILD_OPTIONS="parallel=$(nproc) nocheck" dpkg-buildpackage -b -us -uc) >"$log" 2>&1 </dev/null; then
	tail -n 40 "$log" >&2
	exit 1
fi
rm -rf "$tree"
ls -l "$out"/*.deb
command -v lintian >/dev/null || { echo "deb: lintian is not installed, and was not asked"; exit; }
lintian --tag-display-limit 0 --info --fail-on error,warning "$out"/*.changes | tee "$out/lintian.txt"
