# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Records of kvm modules in use, from which they can be loaded again even if their files are
# gone, with the access to /dev/kvm and the tracing of kvm. Sourced after lib.sh; KVER is set.
#
# A record is a directory in RUN:
#	files		lines "MODULE PATH", in the order of loading
#	MODULE.ko	a copy of that file, unpacked
#	parameters	lines "param MODULE NAME VALUE"
#	device		mode, owner and ACL of /dev/kvm
#	tracing		lines "FILE VALUE", files of tracefs

# shellcheck source=scripts/host/loaded.sh
. "$TOP/scripts/host/loaded.sh"

# record_part DIR MODULE FILE - add the module to the incomplete record DIR
record_part()
{
	module_bytes "$3" >"$1/$2.ko" && printf '%s %s\n' "$2" "$3" >>"$1/files" && return
	say "error: cannot keep a copy of $3 in $1"
	return 1
}

# record NAME - record the modules in use. Fails if they could not be loaded again.
record()
{
	local dir=$RUN/.$1.new module file

	rm -rf "$dir"
	mkdir "$dir" || return
	: >"$dir/files"
	for module in $(loaded_modules | tac); do
		if ! file=$(file_of "$module"); then
			say "error: the $module in use, build id $(loaded_id "$module"), is from no file that is known," \
				"and could not be loaded again. Name the directory that it is from: --before DIR;" \
				"or, if it is not needed, load the distro's first: modprobe -r $(loaded_modules | paste -sd ' ')" \
				"&& modprobe $(loaded_modules | head -n 1)"
			return 1
		fi
		record_part "$dir" "$module" "$file" || return
	done
	read_parameters >"$dir/parameters" && device_access >"$dir/device" && tracing_state >"$dir/tracing" &&
		rm -rf "${RUN:?}/$1" && mv "$dir" "$RUN/$1"
}

# record_distro NAME - record the distro's modules, with the parameters of those in use. Fails
# if they cannot be loaded in place of those.
record_distro()
{
	local dir=$RUN/.$1.new module file

	rm -rf "$dir"
	mkdir "$dir" || return
	for module in $(loaded_modules | tac); do
		file=$(distro_module "$KVER" "${module//_/-}")
		if [ -z "$file" ]; then
			say "error: the distro's own ${module//_/-}.ko is missing below /lib/modules/$KVER/kernel" \
				"(DKMS from 3.2 on moves modules away): $(kernel_advice image "$KVER")"
			return 1
		fi
		record_part "$dir" "$module" "$file" || return
		[ "$(modinfo -F vermagic "$dir/$module.ko" 2>/dev/null | cut -d ' ' -f 1)" = "$KVER" ] && continue
		say "error: $file is damaged, or not for the kernel that runs, $KVER"
		return 1
	done
	read_parameters >"$dir/parameters" && : >"$dir/device" && : >"$dir/tracing" &&
		rm -rf "${RUN:?}/$1" && mv "$dir" "$RUN/$1"
}

# copy_record NAME NEW - copy a record
copy_record()
{
	rm -rf "${RUN:?}/$2" "$RUN/.$2.new"
	cp -r "$RUN/$1" "$RUN/.$2.new" && mv "$RUN/.$2.new" "$RUN/$2"
}

# record_vendor NAME - print the record's vendor module
record_vendor()
{
	sed -nE 's/^(kvm_(intel|amd)) .*/\1/p' "$RUN/$1/files"
}

# record_file NAME MODULE - print the file of the module if it is unchanged, else the copy;
# nothing if the record has no such module
record_file()
{
	local path

	path=$(sed -n "s/^$2 //p" "$RUN/$1/files")
	[ -n "$path" ] || return 0
	if [ -f "$path" ] && cmp -s "$RUN/$1/$2.ko" <(module_bytes "$path"); then
		printf '%s\n' "$path"
	else
		printf '%s\n' "$RUN/$1/$2.ko"
	fi
}

# is_in_use NAME - are exactly the modules of this record loaded?
is_in_use()
{
	local module

	[ "$(cut -d ' ' -f 1 "$RUN/$1/files")" = "$(loaded_modules | tac)" ] || return
	for module in $(loaded_modules); do
		is_loaded_from "$module" "$RUN/$1/$module.ko" || return
	done
}

# drop_records NAME... - remove these records
drop_records()
{
	local name

	for name; do
		rm -rf "${RUN:?}/$name" "$RUN/.$name.new"
	done
}

# device_access - print mode, owner and group of /dev/kvm, and its ACL if it has one
device_access()
{
	local acl

	[ -c /dev/kvm ] || return 0
	stat -c '%a %u:%g' /dev/kvm
	if command -v getfacl >/dev/null; then
		acl=$(getfacl -cnp /dev/kvm 2>/dev/null)
		case $acl in *mask::*) printf '%s\n' "$acl" ;; esac
	elif [[ $(stat -c %A /dev/kvm)$(ls -l /dev/kvm) == *+\ * ]]; then
		warn "/dev/kvm has an ACL, and there is no getfacl (package acl): the ACL will be lost"
	fi
}

# tracing_dir - print the directory of tracefs
tracing_dir()
{
	local dir

	for dir in /sys/kernel/tracing /sys/kernel/debug/tracing; do
		[ ! -e "$dir/trace" ] || { printf '%s\n' "$dir"; return; }
	done
}

# tracing_state - print "FILE VALUE" for kvm's events that are on, filtered or have triggers, and
# for kvm's functions in ftrace's filters; the kernel drops all of these with the modules
tracing_state()
{
	local dir top file

	top=$(tracing_dir)
	[ -n "$top" ] || return 0
	for dir in "$top" "$top"/instances/*; do
		# There are hundreds of files: one process reads all of them.
		grep -sHZvE '^(none|#.*|0.*|)$' "$dir"/events/kvm*/*/{filter,trigger,enable} | sed 's,\x00, ,; s,\*$,,'
		for file in "$dir"/set_ftrace_{filter,notrace}; do
			[ -r "$file" ] || continue
			sed -nE "s,^([^ ]+) \[kvm(_intel|_amd)?\].*,$file \1,p" "$file" 2>/dev/null
		done
	done
}

# bring_surroundings NAME - restore the record's access to /dev/kvm and its tracing; warn of
# settings that cannot be restored
bring_surroundings()
{
	local dir=$RUN/$1 file value acl

	[ -s "$dir/files" ] && [ -n "$(loaded_modules)" ] || return 0
	# udev sets the access of a new device: wait until it has done so.
	! command -v udevadm >/dev/null || udevadm settle --timeout=10 2>/dev/null 9>&-
	if [ -c /dev/kvm ] && [ -s "$dir/device" ] && [ "$(device_access 2>/dev/null)" != "$(cat "$dir/device")" ]; then
		read -r value file <"$dir/device"
		acl=$(tail -n +2 "$dir/device")
		chown "$file" /dev/kvm && chmod "$value" /dev/kvm
		[ -z "$acl" ] || setfacl --set-file=- /dev/kvm <<<"$acl"
		[ "$(device_access 2>/dev/null)" = "$(cat "$dir/device")" ] ||
			warn "/dev/kvm was" "$(paste -sd ' ' "$dir/device")" "and is" "$(device_access | paste -sd ' ')"
	fi
	while read -r file value; do
		case $file in
		*/set_ftrace_*) (printf '%s\n' "$value" >>"$file") 2>/dev/null ;;
		*) (printf '%s\n' "$value" >"$file") 2>/dev/null ;;
		esac || warn "tracing: $file had $value, and cannot be set to that now"
	done <"$dir/tracing"
}
