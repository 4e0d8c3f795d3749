#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Install what the build, the tests, the demo and the benchmarks need, on Debian 12. Says nothing and
# changes nothing when all is there. No service is started, enabled, stopped or reconfigured by it.
set -euo pipefail
cd "$(dirname "$0")/.."

build=(build-essential pkg-config clang llvm bpftool libbpf-dev libelf-dev zlib1g-dev
	liburing-dev libinih-dev libjansson-dev libcap-ng-dev libsystemd-dev libseccomp-dev libmicrohttpd-dev)
check=(clang-format clang-tidy cppcheck shellcheck libclang-rt-14-dev libcmocka-dev mandoc groff-base
	bash-completion zsh)
packaging=(debhelper lintian logrotate)
run=(iproute2 ethtool systemd iputils-ping procps kmod util-linux jq curl openssl ca-certificates python3 python3-pytest
	python3-pytest-timeout python3-pytest-xdist python3-websockets python3-yaml tmux prometheus)
peers=(haproxy nginx libnginx-mod-stream wrk go-mmproxy)
apps=(nftables ruby openssh-server openssh-client redis-server redis-tools fail2ban)
services=(haproxy nginx go-mmproxy ssh redis-server fail2ban prometheus)

say() { printf 'setup: %s\n' "$*"; }

installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing=()
for package in "${build[@]}" "${check[@]}" "${run[@]}" "${peers[@]}" "${apps[@]}" "${packaging[@]}"; do
	installed "$package" || missing+=("$package")
done
# Any Node.js does; Debian's is taken only where there is none.
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)

# Packages of servers start their service when they are installed. dpkg asks this file first; whatever
# the host had in its place comes back.
policy=/usr/sbin/policy-rc.d
kept=$policy.unproxy-setup
forbid_services() {
	# A copy that is there already is the host's own, left by a run that was killed.
	[ -e "$kept" ] || [ ! -e "$policy" ] || mv "$policy" "$kept"
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 0755 "$policy"
}
allow_services() {
	if [ -e "$kept" ]; then mv "$kept" "$policy"; else rm -f "$policy"; fi
}

if [ ${#missing[@]} -gt 0 ]; then
	if [ "$(id -u)" -ne 0 ]; then
		say "these packages are missing; run as root: apt-get install ${missing[*]}" >&2
		exit 1
	fi
	say "installing ${missing[*]}"
	new_services=()
	for service in "${services[@]}"; do
		installed "$service" || new_services+=("$service")
	done

	trap allow_services EXIT
	forbid_services
	export DEBIAN_FRONTEND=noninteractive
	log=$(mktemp)
	apt=(apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120)
	if ! { "${apt[@]}" update && "${apt[@]}" install "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
		tail -n 40 "$log" >&2
		say "apt-get failed; this script is written for Debian 12" >&2
		exit 1
	fi
	rm -f "$log"
	allow_services
	trap - EXIT

	# Installed for the tests alone: they must not come up at the next boot, either.
	for service in ${new_services[@]+"${new_services[@]}"}; do
		[ ! -e "/lib/systemd/system/$service.service" ] || systemctl -q disable "$service" 2>/dev/null || true
	done
fi

# The JavaScript peers of the tests: a WebSocket server and an independent PROXY implementation.
if [ tests/package-lock.json -nt tests/node_modules/.package-lock.json ]; then
	say "npm: installing the tests' JavaScript peers"
	(cd tests && npm ci --omit=optional --ignore-scripts --loglevel=error >/dev/null </dev/null)
	touch tests/node_modules/.package-lock.json
fi
