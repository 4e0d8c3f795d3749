# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# bash completion for unproxy(8). It knows no command by itself: `unproxy help --words` tells it.

# sbin is not on everybody's path.
_unproxy_ask() {
	PATH=$PATH:/usr/local/sbin:/usr/sbin command unproxy help "$@" 2>/dev/null
}

# The names of all [listener NAME] or [backend NAME] of the configuration, where it may be read.
_unproxy_sections() {
	sed -n "s/^\[$1  *\([^] ]*\) *\].*/\1/p" "${UNPROXY_CONF:-/etc/unproxy/unproxy.conf}" 2>/dev/null
}

# Offer what a word of a usage stands for: words as they are, a|b both, FILE, NAME, COMMAND, TOPIC, KEY, FILTER.
_unproxy_offer() {
	local command=$1 token=$2 current=$3 kind
	local -a kinds=()
	IFS='|' read -ra kinds <<<"${token%...}"
	for kind in "${kinds[@]}"; do
		case $kind in
		FILE | PATH)
			compopt -o filenames 2>/dev/null
			mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$current")
			continue
			;;
		NAME) kind=$(_unproxy_sections "$command") ;;
		COMMAND) kind=$(_unproxy_ask --words | sed -n 's/^command\t\([^\t]*\).*/\1/p') ;;
		TOPIC | KEY) kind=$(_unproxy_ask --words | sed -n "s/^${kind,,}\t//p") ;;
		# One list for all commands that take them; what stands behind the = is not known.
		FILTER)
			kind=$(_unproxy_ask --words conns | sed -n 's/^filter\t\([^\t]*\).*/\1/p')
			compopt -o nospace 2>/dev/null
			;;
		*[[:upper:]]*) continue ;;
		esac
		mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W "$kind" -- "$current")
	done
}

# Whether the words so far go with a form; its next word is then in $next.
_unproxy_fits() {
	local -a tokens=()
	local i token
	read -ra tokens <<<"$1"
	shift
	for ((i = 0; i <= $#; i++)); do
		token=${tokens[i]-}
		# The last word may stand any number of times.
		if [ -z "$token" ] && [ $i -gt 0 ] && [[ ${tokens[-1]} = *... ]]; then token=${tokens[-1]}; fi
		next=$token
		[ $i -lt $# ] || return 0
		[ -n "$token" ] || return 1
		case $token in
		*[[:upper:]]*) ;;
		*) case "|${token%...}|" in *"|${*:i+1:1}|"*) ;; *) return 1 ;; esac ;;
		esac
	done
}

_unproxy() {
	# shellcheck disable=SC2034  # _init_completion sets prev, too
	local cur prev words cword kind name value next command i
	local -a told=() given=() forms=()
	COMPREPLY=()
	if ! declare -F _init_completion >/dev/null || ! _init_completion -n :=; then
		words=("${COMP_WORDS[@]}") cword=$COMP_CWORD cur=${COMP_WORDS[COMP_CWORD]}
	fi
	if [ "$cword" -le 1 ]; then
		_unproxy_offer "" COMMAND "$cur"
		mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W "--help --version" -- "$cur")
		return
	fi
	command=${words[1]}
	mapfile -t told < <(_unproxy_ask --words "$command")
	local -A takes=()
	for i in "${!told[@]}"; do
		IFS=$'\t' read -r kind name value <<<"${told[i]//$'\t\t'/$'\t-\t'}"
		case $kind in
		flag) takes[$name]=${value%%$'\t'*} ;;
		form) forms+=("${told[i]#*$'\t'}") ;;
		esac
	done
	for ((i = 2; i < cword; i++)); do
		if [[ ${words[i]} != -?* ]]; then
			given+=("${words[i]}")
		elif [ "${takes[${words[i]}]:--}" != - ]; then
			i=$((i + 1))
			if [ $i -eq "$cword" ]; then
				_unproxy_offer "$command" "${takes[${words[i - 1]}]}" "$cur"
				return
			fi
		fi
	done
	if [[ $cur = -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "${!takes[*]}" -- "$cur")
		return
	fi
	for name in "${forms[@]}"; do
		if _unproxy_fits "$name" "${given[@]}"; then _unproxy_offer "$command" "$next" "$cur"; fi
	done
	mapfile -t COMPREPLY < <(printf '%s\n' "${COMPREPLY[@]}" | sort -u | sed '/^$/d')
}

complete -F _unproxy unproxy
