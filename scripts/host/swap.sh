# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Shared by load and unload: find the users of the kvm modules in use, exchange the modules with
# the parameters kept, or go back to a record. Sourced after lib.sh; it sources record.sh,
# loaded.sh and module-set.sh.

# shellcheck source=scripts/host/record.sh
. "$TOP/scripts/host/record.sh"

# Exit codes: no kvm is loaded; it is loaded, and no VM proves that it works; the modules that were
# to be unloaded are still in use
EX_BROKEN=4
EX_UNPROVEN=5
EX_IN_USE=6
PROOF_SECONDS=60
# A program that opens /dev/kvm during an exchange makes the kernel load the distro's modules.
TRIES=3

RCU_LAZY=/sys/module/rcutree/parameters/enable_rcu_lazy
CMDLINE=/proc/cmdline

# The parameters that the new modules are to have: WANT[MODULE.NAME]=VALUE. Those in EXPLICIT
# ("MODULE.NAME") are passed to insmod.
declare -A WANT=() EXPLICIT=()

# want_parameters - set WANT from "param" lines on stdin
want_parameters()
{
	local kind module name value

	WANT=() EXPLICIT=()
	while read -r kind module name value; do
		[ "$kind" != param ] || WANT[$module.$name]=$value
	done
}

# configured MODULE - print its options in modprobe.d and on the kernel's command line
configured()
{
	modprobe --show-depends --ignore-install "$1" 2>/dev/null |
		sed -nE "s,^insmod [^ ]*/${1//_/[-_]}\.ko(\.[a-z]+)? +,,p"
}

# insert MODULE FILE - load the module with its parameters; after a failure print the kernel's log
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

# rcu_settles - wait for RCU callbacks of kvm.ko that the last VM has left, such as kvm_apic_map_free().
# Without the TDP MMU, which waits itself, nothing in kvm.ko or in rmmod does, and a callback whose code
# is gone panics the host (seen on 5.4 with one CPU). They run within some grace periods of 10 to 100 ms;
# where they are offloaded (rcu_nocbs=, nohz_full=) and lazy, within 10 s (LAZY_FLUSH_JIFFIES in
# kernel/rcu/tree_nocb.h).
rcu_settles()
{
	local seconds=0.5

	if grep -qsx Y "$RCU_LAZY" && grep -qE "rcu_nocbs|nohz_full" "$CMDLINE"; then
		seconds=11
	fi
	sleep "${RCU_SECONDS-$seconds}"
}

# unload_all - unload all kvm modules
unload_all()
{
	local module out

	for module in $(loaded_modules); do
		[ "$module" != kvm ] || rcu_settles
		out=$(rmmod "$module" 2>&1) && continue
		say "error: cannot unload $module: ${out#rmmod: ERROR: }"
		return 1
	done
}

# load_once KVM-FILE VENDOR VENDOR-FILE - unload the modules in use and load these
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
		# Try again only if another program has loaded other modules meanwhile.
		is_loaded_from kvm "$1" && { [ ! -e "/sys/module/$2" ] || is_loaded_from "$2" "$3"; } && break
		[ -n "$(loaded_modules)" ] || break
		say "another program had kvm loaded in between; trying again"
	done
	return 1
}

# lost_parameters - set the parameters of WANT that can be changed now, and print those that still
# have another value
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

# swap_in KVM-FILE VENDOR VENDOR-FILE - replace the modules in use by these, with the
# parameters of WANT; if all arguments are empty, only unload them. After a failure the old
# modules are not loaded again.
swap_in()
{
	local key file lost

	load_once "$@" || return
	[ -n "$1" ] || return 0
	lost=$(lost_parameters)
	if [ -n "$lost" ]; then
		# These were passed to insmod by hand, and can only be set that way.
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

# prove KVM-FILE VENDOR VENDOR-FILE - check that these modules are in use, and a VM runs on them
prove()
{
	local out

	if ! is_loaded_from kvm "$1" || ! is_loaded_from "$2" "$3"; then
		say "error: the modules in use are not those of ${1%/*}"
		return 1
	fi
	if [ -z "$TINYVM" ]; then
		say "error: the small VM for the proof is missing: load makes it, or gcc"
		return 1
	fi
	out=$(timeout $PROOF_SECONDS "$TINYVM" 2>&1 9>&-) && return
	say "error: a small VM does not run: ${out:-it did not end in $PROOF_SECONDS s}"
	return 1
}

# put_in RECORD - load the set of that record, with its parameters
put_in()
{
	local kvm vendor file

	kvm=$(record_file "$1" kvm)
	vendor=$(record_vendor "$1")
	file=$(record_file "$1" "$vendor")
	want_parameters <"$RUN/$1/parameters"
	if is_in_use "$1" && [ -z "$(lost_parameters)" ]; then
		return
	fi
	if [ -z "$vendor" ]; then
		unload_all || return
		[ -z "$kvm" ] || insert kvm "$kvm"
		return
	fi
	# A failed exchange may have unloaded the vendor module alone: then load only that again.
	if is_loaded_from kvm "$kvm" && [ ! -e "/sys/module/$vendor" ] && insert "$vendor" "$file" &&
	   [ -z "$(lost_parameters)" ]; then
		return
	fi
	swap_in "$kvm" "$vendor" "$file"
}

# taken - does anything use a loaded vendor module?
taken()
{
	local module

	for module in kvm_intel kvm_amd; do
		[ "$(cat "/sys/module/$module/refcnt" 2>/dev/null || echo 0)" = 0 ] || return 0
	done
	return 1
}

# bring_back RECORD... - load the first of these sets that can be loaded, and prove that it
# works; set BACK to its name. Returns 0, EX_BROKEN, EX_UNPROVEN or EX_IN_USE.
bring_back()
{
	local vendor rc=$EX_BROKEN

	# An interrupt leads here, too, and must not stop it; nor must a closed output.
	trap '' INT TERM HUP
	trap : PIPE
	for BACK; do
		[ -d "$RUN/$BACK" ] || continue
		if put_in "$BACK"; then
			vendor=$(record_vendor "$BACK")
			rc=0
			# Without a vendor module no VM ran before: there is nothing to prove.
			[ -z "$vendor" ] ||
				prove "$RUN/$BACK/kvm.ko" "$vendor" "$RUN/$BACK/$vendor.ko" || rc=$EX_UNPROVEN
			break
		fi
		if taken; then
			rc=$EX_IN_USE
			break
		fi
		say "the modules that were in use $([ "$BACK" = before ] && echo before || echo last) could not be loaded"
	done
	bring_surroundings last
	return $rc
}

# end_broken - print the state after no kvm could be loaded, and exit. The next load or unload tries
# again.
end_broken()
{
	die $EX_BROKEN "no kvm works now: neither set could be loaded, for the reasons above. Modules that are loaded:" \
		"$(loaded_modules | paste -sd ' ' | grep . || echo nothing). Copies of the modules from before are in" \
		"$RUN/before; try: modprobe -r kvm_intel kvm_amd kvm; modprobe $(vendor_module); or reboot:" \
		"nothing on the disk was changed"
}

# prove_now - check that a VM runs on the modules in use, if there are any
prove_now()
{
	local out

	[ -e /sys/module/kvm_intel ] || [ -e /sys/module/kvm_amd ] || return 0
	out=$(timeout $PROOF_SECONDS "$TINYVM" 2>&1 9>&-) && return
	say "error: no small VM runs here even now, on the modules in use: ${out:-it did not end in $PROOF_SECONDS s}." \
		"The same cause would hide whether the new ones work. Does another hypervisor use VMX or SVM?"
	return 1
}

# recover - if an earlier run was killed half-way, go back to the modules that it found
recover()
{
	local rc=0

	[ -e "$RUN/swapping" ] || return 0
	say "an earlier $(cat "$RUN/swapping") did not finish; going back to the modules from before it"
	check_unused || exit "$EX_USAGE"
	bring_back last before || rc=$?
	case $rc in
	0) ;;
	"$EX_BROKEN") end_broken ;;
	*) die $rc "the state that the earlier run left could not be mended, for the reason above" ;;
	esac
	rm -f "$RUN/swapping"
}

# check_unused - check that no process and no module uses kvm; print those that do
check_unused()
{
	local module holder pid use seen='' bad=''

	while read -r pid; do
		use="has /dev/kvm open"
		if [ -n "$(find "/proc/$pid/fd" -maxdepth 1 -lname 'anon_inode:kvm-vm' 2>/dev/null)" ]; then
			use="runs a VM"
		fi
		say "error: $(cat "/proc/$pid/comm" 2>/dev/null) (process $pid) $use; end it first"
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
			say "error: $module is in use $(cat "/sys/module/$module/refcnt") times," \
				"by neither a process nor a module that can be found; see lsmod"
			bad=yes
		fi
	done
	[ -z "$bad" ]
}

# open_state - make RUN, and take the lock, which allows one change at a time. demo-local holds the
# lock for all of its loads and unloads, which inherit it.
open_state()
{
	[ "$(id -u)" -eq 0 ] || die "$EX_USAGE" "this needs root: sudo make $PROG"
	make_run || exit "$EX_USAGE"
	[ /proc/self/fd/9 -ef "$RUN/lock" ] || exec 9>>"$RUN/lock" || exit "$EX_USAGE"
	flock -n 9 || die "$EX_USAGE" "another load, unload or demo is at work; wait until it has ended (fuser -v $RUN/lock)"
}

# runnable FILE - set TINYVM to FILE, or to a copy in a directory where programs may be run: /run
# often is mounted noexec
runnable()
{
	local dir

	TINYVM=$1
	[ ! -x "$TINYVM" ] || return 0
	for dir in /tmp /var/tmp /root /dev/shm; do
		SCRATCH=$(mktemp -d "$dir/kvm-racefix.XXXXXX" 2>/dev/null) || continue
		trap 'rm -rf "$SCRATCH"' EXIT
		TINYVM=$SCRATCH/tinyvm
		install -m 700 "$1" "$TINYVM" 2>/dev/null && [ -x "$TINYVM" ] && return
		rm -rf "$SCRATCH"
	done
	TINYVM=''
	return 1
}

# have_tinyvm DIR - set TINYVM to DIR/tinyvm, the copy in RUN, or the one in build/; fails if there
# is none
have_tinyvm()
{
	local file

	for file in "$1/tinyvm" "$RUN/tinyvm" "$BUILD/tinyvm"; do
		[ -f "$file" ] || continue
		[ "$file" != "$BUILD/tinyvm" ] || [ "$file" -nt "$TOP/src/tinyvm/tinyvm.c" ] || continue
		runnable "$file" && return
	done
	TINYVM=''
	return 1
}

# make_tinyvm - build tinyvm, and set TINYVM. It is built in RUN, which only root can write, as the
# checkout may be another user's
make_tinyvm()
{
	if ! gcc -O2 -Wall -static -o "$RUN/tinyvm.new" "$TOP/src/tinyvm/tinyvm.c" ||
	   ! mv "$RUN/tinyvm.new" "$RUN/tinyvm"; then
		say "error: cannot build $RUN/tinyvm"
		return 1
	fi
	runnable "$RUN/tinyvm"
}
