# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Shared by load and unload: who uses the kvm modules that are loaded, and how to put
# others in their place with the same parameters, or go back. Sourced after lib.sh,
# module-set.sh and loaded.sh.

# 4 as exit code: kvm does not work now
EX_BROKEN=4
PROOF_SECONDS=60
# A program that opens /dev/kvm in between makes the kernel load the distro's.
TRIES=3

# remember - write what is in use to RUN/before, unless it is ours: then what was
# before it is known already, or is the distro's
remember()
{
	local module

	[ -e "$RUN/before" ] && is_ours kvm && return
	{
		for module in $(loaded_modules | tac); do
			if is_ours "$module"; then
				printf 'file %s %s\n' "$module" "$(distro_module "$KVER" "${module//_/-}")"
			else
				printf 'file %s %s\n' "$module" "$(file_of "$module")"
			fi
		done
		read_parameters
	} >"$RUN/before.new" && mv "$RUN/before.new" "$RUN/before"
}

# Parameters that modules are to have: WANT[MODULE.NAME]=VALUE. Those in EXPLICIT
# ("MODULE.NAME") are given to insmod.
declare -A WANT=() EXPLICIT=()

# want_parameters - set WANT from "param" lines on stdin
want_parameters()
{
	local what module name value

	WANT=() EXPLICIT=()
	while read -r what module name value; do
		[ "$what" != param ] || WANT[$module.$name]=$value
	done
}

# configured MODULE - its options in modprobe.d and on the kernel's command line
configured()
{
	modprobe --show-depends --ignore-install "$1" 2>/dev/null |
		sed -nE "s,^insmod [^ ]*/${1//_/[-_]}\.ko(\.[a-z]+)? +,,p"
}

# insert MODULE FILE - insmod, with its parameters; a line of the kernel's why not
insert()
{
	local module=$1 file=$2 key out args=()

	read -ra args <<<"$(configured "$module")"
	for key in "${!EXPLICIT[@]}"; do
		[ "${key%%.*}" != "$module" ] || args+=("${key#*.}=${WANT[$key]}")
	done
	out=$(insmod "$file" "${args[@]}" 2>&1) && return
	say "error: ${out#insmod: ERROR: }"
	[[ $out = *"File exists"* ]] || dmesg | tail -n 3 | sed 's/^/    /' >&2
	return 1
}

# unload_all - no kvm module is loaded any more
unload_all()
{
	local module out

	for module in $(loaded_modules); do
		out=$(rmmod "$module" 2>&1) && continue
		say "error: cannot unload $module: ${out#rmmod: ERROR: }"
		return 1
	done
}

# load_once KVM-FILE VENDOR VENDOR-FILE - unload what is there and load these
load_once()
{
	local try dep file

	for ((try = 1; try <= TRIES; try++)); do
		unload_all || return
		[ -n "$1" ] || return 0
		for file in "$1" "$3"; do
			for dep in $(modinfo -F depends "$file" | tr , ' '); do
				[ "$dep" = kvm ] || modprobe "$dep"
			done
		done
		insert kvm "$1" && insert "$2" "$3" && return
		# Somebody else's modules in our place: once more.
		is_loaded_from kvm "$1" && { [ ! -e "/sys/module/$2" ] || is_loaded_from "$2" "$3"; } && break
		[ -n "$(loaded_modules)" ] || break
		say "another program had kvm loaded in between; trying again"
	done
	return 1
}

# lost_parameters - those of WANT that the loaded modules have with another value,
# after setting what can be set now
lost_parameters()
{
	local key file mode

	for key in "${!WANT[@]}"; do
		file=/sys/module/${key%%.*}/parameters/${key#*.}
		[ -e "$file" ] || continue
		value_of "$file"
		[ "$REPLY" != "${WANT[$key]}" ] || continue
		mode=$(stat -c %a "$file")
		case $mode in
		[2367]*) (printf '%s\n' "${WANT[$key]}" >"$file") 2>/dev/null || : ;;
		esac
		value_of "$file"
		[ "$REPLY" = "${WANT[$key]}" ] || printf '%s\n' "$key"
	done
}

# swap_in KVM-FILE VENDOR VENDOR-FILE - put these in place of what is loaded, with
# the parameters of WANT; all arguments empty: only unload. What was loaded is not
# brought back after a failure.
swap_in()
{
	local key file lost

	load_once "$@" || return
	[ -n "$1" ] || return 0
	lost=$(lost_parameters)
	if [ -n "$lost" ]; then
		# Given to insmod by hand: only loading with them brings them back.
		for key in $lost; do
			EXPLICIT[$key]=1
		done
		load_once "$@" || return
		lost=$(lost_parameters)
	fi
	for key in "${!WANT[@]}"; do
		file=/sys/module/${key%%.*}/parameters
		if [ -d "$file" ] && [ ! -e "$file/${key#*.}" ]; then
			warn "the ${key%%.*} that is loaded now has no parameter ${key#*.} (it was ${WANT[$key]})"
		fi
	done
	[ -n "$lost" ] || return 0
	for key in $lost; do
		say "error: the parameter $key should be ${WANT[$key]}, and is" \
			"$(cat "/sys/module/${key%%.*}/parameters/${key#*.}")"
	done
	return 1
}

# prove KVM-FILE VENDOR VENDOR-FILE - these are what is in use, and a VM runs on them
prove()
{
	local out

	if ! is_loaded_from kvm "$1" || ! is_loaded_from "$2" "$3"; then
		say "error: the modules in use are not those of ${1%/*}"
		return 1
	fi
	out=$(timeout $PROOF_SECONDS "$TINYVM" 2>&1 9>&-) && return
	say "error: a small VM does not run: ${out:-it did not end in $PROOF_SECONDS s}"
	return 1
}

# go_back - load what RUN/before says and prove that it works
go_back()
{
	local kvm vendor file

	kvm=$(sed -n 's/^file kvm //p' "$RUN/before")
	vendor=$(sed -nE 's/^file (kvm_(intel|amd)) .*/\1/p' "$RUN/before")
	file=$(sed -n "s/^file $vendor //p" "$RUN/before")
	want_parameters <"$RUN/before"
	if [ -z "$vendor" ]; then
		# No VM could run before, so there is nothing to prove.
		unload_all || return
		[ -z "$kvm" ] || insert kvm "$kvm" || return
	else
		# What could not be unloaded is still there.
		if is_loaded_from kvm "$kvm" && [ ! -e "/sys/module/$vendor" ]; then
			insert "$vendor" "$file"
		fi
		if ! is_loaded_from kvm "$kvm" || ! is_loaded_from "$vendor" "$file" ||
		   [ -n "$(lost_parameters)" ]; then
			swap_in "$kvm" "$vendor" "$file" || return
		fi
		prove "$kvm" "$vendor" "$file" || return
	fi
	rm -f "$RUN/swapping" "$RUN/before" "$RUN/loaded"
}

# go_back_or_die - the same; what to do where that fails
go_back_or_die()
{
	# It is what an interrupt should lead to; nobody need be there to read of it.
	trap '' INT TERM HUP
	trap : PIPE
	go_back && return
	die $EX_BROKEN "kvm does not work now: the modules from before could not be loaded again;" \
		"what was in use is in $RUN/before; try: modprobe -r kvm_intel kvm_amd kvm;" \
		"modprobe $(vendor_module); or reboot: nothing on the disk was changed"
}

# recover - if an earlier run was killed half-way: go back to what it found
recover()
{
	[ -e "$RUN/swapping" ] || return 0
	say "an earlier $(cat "$RUN/swapping") was killed before it ended; going back to the modules from before it"
	check_unused || exit "$EX_USAGE"
	go_back_or_die
}

# check_unused - nobody uses kvm; otherwise say who does
check_unused()
{
	local module holder pid what seen='' bad=''

	while read -r pid; do
		what="has /dev/kvm open"
		if [ -n "$(find "/proc/$pid/fd" -maxdepth 1 -lname 'anon_inode:kvm-vm' 2>/dev/null)" ]; then
			what="runs a VM"
		fi
		say "error: $(cat "/proc/$pid/comm" 2>/dev/null) (process $pid) $what; end it first"
		bad=yes seen=yes
	done < <(find /proc/[0-9]*/fd -maxdepth 1 \
			\( -lname /dev/kvm -o -lname 'anon_inode:kvm-*' \) 2>/dev/null |
		cut -d / -f 3 | sort -un)
	for module in $(loaded_modules); do
		for holder in "/sys/module/$module/holders"/*; do
			[ -e "$holder" ] || continue
			holder=${holder##*/}
			case $holder in kvm_intel|kvm_amd) continue ;; esac
			say "error: the module $holder uses $module; unload it first: modprobe -r $holder"
			bad=yes seen=yes
		done
		if [ -z "$seen" ] && [ "$module" != kvm ] && [ "$(cat "/sys/module/$module/refcnt")" -gt 0 ]; then
			say "error: $module is in use $(cat "/sys/module/$module/refcnt") times by something" \
				"that is neither a process nor a module that can be named; see lsmod"
			bad=yes
		fi
	done
	[ -z "$bad" ]
}

# open_state - the directory, and the lock: one change at a time. demo-local holds it for
# all of its loads and unloads, which inherit it.
open_state()
{
	[ "$(id -u)" -eq 0 ] || die "$EX_USAGE" "this needs root: sudo make $PROG"
	mkdir -p "$RUN" /run/lock || die "$EX_USAGE" "cannot create $RUN"
	[ /proc/self/fd/9 -ef /run/lock/kvm-racefix.lock ] || exec 9>>/run/lock/kvm-racefix.lock
	flock -n 9 || die "$EX_USAGE" "another load, unload or install is at work; wait until it has ended"
}

# find_tinyvm DIR - set TINYVM: DIR/tinyvm where it is built already, or make it
find_tinyvm()
{
	TINYVM=$1/tinyvm
	[ ! -x "$TINYVM" ] || return 0
	TINYVM=$BUILD/tinyvm
	[ "$TINYVM" -nt "$TOP/src/tinyvm/tinyvm.c" ] && return
	if ! command -v gcc >/dev/null || ! [ -e /usr/include/stdio.h ]; then
		need_packages gcc libc6-dev
	fi
	mkdir -p "$BUILD"
	if ! { gcc -O2 -Wall -static -o "$TINYVM.$$" "$TOP/src/tinyvm/tinyvm.c" &&
		mv "$TINYVM.$$" "$TINYVM"; }; then
		die "$EX_USAGE" "cannot build $TINYVM"
	fi
}
