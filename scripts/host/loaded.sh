# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Find the kvm modules in use on this machine, their files and parameters. Nothing is
# changed. Sourced after lib.sh; KVER is set.
#
# RUN has the state of loads. It is lost at a reboot, as the loaded modules are:
#	before    the record (record.sh) of the modules from before the first load: exists
#	          while modules of ours are loaded
#	now, last records of the set that load has loaded, and of the modules that the last
#	          exchange removed
#	tinyvm    the VM for the proof, so that unload needs no compiler
#	loaded    the directory of the set that load was given, for status-host
#	swapping  exists while modules are exchanged: if a later run finds it, the run that
#	          made it was killed

# shellcheck source=scripts/modules/module-set.sh
. "$TOP/scripts/modules/module-set.sh"

# vendor_module - print the module for this machine's CPU, kvm_intel or kvm_amd
vendor_module()
{
	if is_builtin; then
		say "error: kvm is built into this kernel, $(uname -r): there is no module to exchange." \
			"scripts/status DIR shows which races its source has, and scripts/apply DIR applies the fixes"
		return 1
	fi
	if grep -qw vmx /proc/cpuinfo; then
		echo kvm_intel
	elif grep -qw svm /proc/cpuinfo; then
		echo kvm_amd
	elif [ -c /dev/kvm ]; then
		say "error: /dev/kvm is there, and this CPU has neither VMX nor SVM: it comes from another module than" \
			"kvm_intel and kvm_amd ($(other_vendors | paste -sd ' ' | grep . || echo "none that uses kvm.ko")), which is not replaced"
		return 1
	else
		say "error: this CPU has neither VMX nor SVM, or the firmware has turned it off:" \
			"kvm cannot be used"
		return 1
	fi
}

# other_vendors - print the modules that use kvm and are neither kvm_intel nor kvm_amd
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

# unpacker_of FILE - print the command that unpacks that module, and Debian's package of it
unpacker_of()
{
	case $1 in
	*.xz) echo xz xz-utils ;;
	*.zst) echo zstd zstd ;;
	*.gz) echo gzip gzip ;;
	*) echo cat coreutils ;;
	esac
}

# need_unpacker FILE - make the command that unpacks that module available
need_unpacker()
{
	local cmd pkg

	read -r cmd pkg < <(unpacker_of "$1")
	need_package "$cmd" "$pkg"
}

# loaded_modules - print the kvm modules that are loaded, in the order of unloading
loaded_modules()
{
	local module

	for module in kvm_intel kvm_amd kvm; do
		if [ -e "/sys/module/$module/initstate" ]; then
			echo $module
		fi
	done
}

# module_bytes FILE - print the module, unpacked
module_bytes()
{
	case $1 in
	*.xz) xz -dc "$1" ;;
	*.zst) zstd -qdc "$1" ;;
	*.gz) gzip -dc "$1" ;;
	*) cat "$1" ;;
	esac
}

# loaded_id MODULE - print the build id of a loaded module, in hexadecimal: the last 20 bytes of
# its note. The file has the id, too; nothing else distinguishes builds without a version
loaded_id()
{
	local id

	id=$(od -A n -v -t x1 -w64 "/sys/module/$1/notes/.note.gnu.build-id" 2>/dev/null) || :
	id=${id// }
	printf '%s' "${id: -40}"
}

# holds_id FILE ID - does the module have that build id? A newline in an id would end a line
# for grep, and a NUL for grep -z. If an id has both, grep reads a copy of the module with its
# newlines replaced, which takes longer.
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

# is_loaded_from MODULE FILE - is the loaded MODULE from FILE?
is_loaded_from()
{
	[ -e "/sys/module/$1" ] && [ -f "$2" ] && holds_id "$2" "$(loaded_id "$1")"
}

# is_ours MODULE - is the loaded MODULE from this project?
is_ours()
{
	grep -qs '^kvm-racefix ' "/sys/module/$1/version"
}

# origin_of MODULE - print a description of the loaded module's origin. A module that was loaded
# from another directory is not the distro's.
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

# tell_loaded - print the modules in use, and the races that they close
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

# value_of FILE - set REPLY to its first line, or nothing, without a process: for the many
# parameters that would take seconds on a slow machine
value_of()
{
	REPLY=''
	{ IFS= read -r REPLY <"$1"; } 2>/dev/null || :
}

# read_parameters - print "param MODULE NAME VALUE" for all loaded modules
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

# file_of MODULE - print the file of a loaded module; fails if it is not known. BEFORE is a
# further directory to look in.
file_of()
{
	local name=${1//_/-} file last='' id

	id=$(loaded_id "$1")
	# shellcheck disable=SC2153 # KVER is set by scripts that source this
	for file in "$(modinfo -n "$1" 2>/dev/null)" "$(distro_module "$KVER" "$name")" "${BEFORE:-/nowhere}/$name".ko* \
		"$(cat "$RUN/loaded" 2>/dev/null || echo /nowhere)/$name.ko" "$RUN"/{now,last,before}/"$1.ko" \
		"$BUILD/modules/$KVER"/*/"$name.ko"; do
		# modprobe usually takes the distro's module, which is the next in the list.
		[ "$file" != "$last" ] || continue
		last=$file
		if [ -f "$file" ] && holds_id "$file" "$id"; then
			printf '%s\n' "$file"
			return
		fi
	done
	return 1
}

# unreachable RACE - print the reason why the race cannot occur with the modules in use: a
# parameter that is off, or a vendor module that does not have the race. Fails if there is none
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
