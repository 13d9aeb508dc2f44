# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Which kvm modules this machine uses, from which files, with which parameters.
# Nothing is changed. Sourced after lib.sh; KVER is set.
#
# What was in use before the first load is remembered in /run, which a reboot
# clears, as it does the modules:
#	before    the record (record.sh) of what was in use before: there while modules
#	          of ours are loaded
#	now, last records of the set that load has put there, and of what the last
#	          exchange took out
#	tinyvm    the VM for the proof, so that unload needs no compiler
#	loaded    the directory of ours that load was given, for status-host
#	swapping  is there while modules are being exchanged: if it is found by a
#	          later run, the one that made it was killed

# shellcheck source=scripts/modules/module-set.sh
. "$TOP/scripts/modules/module-set.sh"

# vendor_module - kvm_intel or kvm_amd, whichever this machine's CPU is for
vendor_module()
{
	if is_builtin; then
		say "error: kvm is built into this kernel, $(uname -r): there is no module to exchange." \
			"scripts/status DIR says which races its source has, and scripts/apply DIR puts in what closes them"
		return 1
	fi
	if grep -qw vmx /proc/cpuinfo; then
		echo kvm_intel
	elif grep -qw svm /proc/cpuinfo; then
		echo kvm_amd
	elif [ -c /dev/kvm ]; then
		say "error: /dev/kvm is there, and this CPU has neither VMX nor SVM: it is by another module than" \
			"kvm_intel and kvm_amd ($(other_vendors | paste -sd ' ' | grep . || echo "none that uses kvm.ko")), which is not replaced"
		return 1
	else
		say "error: this CPU has neither VMX nor SVM, or the firmware has turned it off:" \
			"there is nothing to use kvm with"
		return 1
	fi
}

# other_vendors - modules that drive KVM and are neither kvm_intel nor kvm_amd
other_vendors()
{
	local file

	for file in /sys/module/kvm_* /sys/module/kvm/holders/*; do
		case ${file##*/} in
		kvm_intel|kvm_amd|'*'|'kvm_*') ;;
		*) printf '%s\n' "${file##*/}" ;;
		esac
	done | sort -u
}

# unpacker_of FILE - the command that unpacks that module, and Debian's package of it
unpacker_of()
{
	case $1 in
	*.xz) echo xz xz-utils ;;
	*.zst) echo zstd zstd ;;
	*.gz) echo gzip gzip ;;
	*) echo cat coreutils ;;
	esac
}

# need_unpacker FILE - what unpacks that module is there
need_unpacker()
{
	local cmd pkg

	read -r cmd pkg < <(unpacker_of "$1")
	need_package "$cmd" "$pkg"
}

# loaded_modules - kvm's that are loaded, in the order of unloading
loaded_modules()
{
	local module

	for module in kvm_intel kvm_amd kvm; do
		if [ -e "/sys/module/$module/initstate" ]; then
			echo $module
		fi
	done
}

# module_bytes FILE - the module, unpacked
module_bytes()
{
	case $1 in
	*.xz) xz -dc "$1" ;;
	*.zst) zstd -qdc "$1" ;;
	*.gz) gzip -dc "$1" ;;
	*) cat "$1" ;;
	esac
}

# loaded_id MODULE - the build id of a loaded one, in hexadecimal, which the last 20 bytes
# of the note are. A file has it, too, and nothing else tells one build from another if
# there is no version
loaded_id()
{
	local id

	id=$(od -A n -v -t x1 -w64 "/sys/module/$1/notes/.note.gnu.build-id" 2>/dev/null) || :
	id=${id// }
	printf '%s' "${id: -40}"
}

# holds_id FILE ID - does the module have that build id? A newline in it would end a line
# of grep's, and a NUL a line of grep -z. A copy of the module with other bytes in their
# place takes longer, and is made only for an id that has both.
holds_id()
{
	local i regex='' how=-qaP file=$1

	[ ${#2} -eq 40 ] || return
	for ((i = 0; i < 40; i += 2)); do
		regex+=\\x${2:i:2}
	done
	case $file:$regex in
	*\\x0a*\\x00*|*\\x00*\\x0a*)
		LC_ALL=C grep -qaP "${regex//\\x0a/\\x01}" <(module_bytes "$file" | tr '\n' '\1')
		return
		;;
	*\\x0a*) how=-qazP ;;&
	*.xz:*|*.zst:*|*.gz:*) LC_ALL=C grep $how "$regex" <(module_bytes "$file") ;;
	*) LC_ALL=C grep $how "$regex" "$file" ;;
	esac
}

# is_loaded_from MODULE FILE
is_loaded_from()
{
	[ -e "/sys/module/$1" ] && [ -f "$2" ] && holds_id "$2" "$(loaded_id "$1")"
}

# is_ours MODULE - is the one that is loaded from this project?
is_ours()
{
	grep -qs '^kvm-racefix ' "/sys/module/$1/version"
}

# origin_of MODULE - of the one that is loaded, for people: whose it is. What somebody has loaded from
# a directory of their own is not the distro's.
origin_of()
{
	local version file cmd

	version=$(cat "/sys/module/$1/version" 2>/dev/null)
	# shellcheck disable=SC2153 # KVER is set by scripts that source this
	file=$(distro_module "$KVER" "${1//_/-}")
	read -r cmd _ < <(unpacker_of "$file")
	if [ -n "$version" ]; then
		printf '%s\n' "${version%% (*}"
	elif ! command -v "$cmd" >/dev/null; then
		echo "not of this project"
	elif is_loaded_from "$1" "$file"; then
		echo "the distro's own"
	else
		echo "of no file below /lib/modules/$KVER/kernel"
	fi
}

# tell_loaded - what is in use, for people
tell_loaded()
{
	local module version races=''

	if is_builtin; then
		echo "  kvm is built into this kernel"
	elif [ -z "$(loaded_modules)" ]; then
		echo "  no kvm module is loaded"
	fi
	for module in $(loaded_modules | tac); do
		version=$(cat "/sys/module/$module/version" 2>/dev/null)
		printf '  %-10s %s, srcversion %s, build id %.12s\n' "$module" \
			"$(origin_of "$module")" \
			"$(cat "/sys/module/$module/srcversion" 2>/dev/null || echo unknown)" \
			"$(loaded_id "$module")"
		case $version in "kvm-racefix "*) races=${version#*\(} ;; esac
	done
	[ -z "$races" ] || echo "  races closed by them: ${races%)}"
}

# value_of FILE - set REPLY to its first line, or nothing: there are many parameters, and
# a process for each takes seconds on a slow machine
value_of()
{
	REPLY=''
	{ IFS= read -r REPLY <"$1"; } 2>/dev/null || :
}

# read_parameters - "param MODULE NAME VALUE" of all that are loaded
read_parameters()
{
	local module file

	for module in $(loaded_modules); do
		for file in "/sys/module/$module/parameters"/*; do
			[ -r "$file" ] || continue
			value_of "$file"
			printf 'param %s %s %s\n' "$module" "${file##*/}" "$REPLY"
		done
	done
}

# file_of MODULE - the file that a loaded module is from. It fails if that is not known.
# BEFORE is a directory in which to look, too.
file_of()
{
	local name=${1//_/-} file last='' id

	id=$(loaded_id "$1")
	# shellcheck disable=SC2153 # KVER is set by those who source this
	for file in "$(modinfo -n "$1" 2>/dev/null)" "$(distro_module "$KVER" "$name")" "${BEFORE:-/nowhere}/$name".ko* \
		"$(cat "$RUN/loaded" 2>/dev/null || echo /nowhere)/$name.ko" "$RUN"/{now,last,before}/"$1.ko" \
		"$BUILD/modules/$KVER"/*/"$name.ko"; do
		# Most of the time modprobe takes the distro's.
		[ "$file" != "$last" ] || continue
		last=$file
		if [ -f "$file" ] && holds_id "$file" "$id"; then
			printf '%s\n' "$file"
			return
		fi
	done
	return 1
}

# unreachable RACE - what of the modules in use keeps it from being reached, as configured:
# a parameter that is off, or a vendor's module that does not have it; nothing, and
# failure, if nothing does
unreachable()
{
	local vendor setting sys=${SYS_MODULE:-/sys/module}

	vendor=$(race_field "$1" vendor)
	for setting in kvm_intel kvm_amd; do
		if [ -n "$vendor" ] && [ $setting != "$vendor" ] && [ -e "$sys/$setting" ] && [ ! -e "$sys/$vendor" ]; then
			echo "$setting is in use, and only $vendor has it"
			return
		fi
	done
	for setting in $(race_field "$1" off_by); do
		value_of "$sys/${setting%%.*}/parameters/${setting#*.}"
		case $REPLY in
		N|0)
			echo "$setting=$REPLY"
			return
			;;
		esac
	done
	return 1
}
