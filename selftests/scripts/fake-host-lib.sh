# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The commands of fake-host, and functions for its cases. /sys/module has the "loaded" modules; a
# file FAIL in TMP has a regular expression of files that insmod refuses.


fake_insmod()
{
	local file=$1 name dir one

	if [ -e "$TMP/FAIL" ] && grep -qE -f "$TMP/FAIL" <<<"$file"; then
		echo "insmod: ERROR: could not insert module $file: not today" >&2
		return 1
	fi
	# Unpack the file, as kmod does.
	case $file in
	*.xz) xz -dc "$file" >"$TMP/unpacked.ko" && file=$TMP/unpacked.ko ;;
	*.zst) zstd -qdc "$file" >"$TMP/unpacked.ko" && file=$TMP/unpacked.ko ;;
	*.gz) gzip -dc "$file" >"$TMP/unpacked.ko" && file=$TMP/unpacked.ko ;;
	esac
	name=$("$REAL_MODINFO" -F name "$file")
	dir=/sys/module/$name
	if [ -e "$dir" ]; then
		echo "insmod: ERROR: could not insert module $file: File exists" >&2
		return 1
	fi
	mkdir -p "$dir"/{parameters,notes,holders}
	echo live >"$dir/initstate"
	echo 0 >"$dir/refcnt"
	objcopy -O binary -j .note.gnu.build-id "$file" "$dir/notes/.note.gnu.build-id"
	one=$("$REAL_MODINFO" -F version "$file")
	[ -z "$one" ] || echo "$one" >"$dir/version"
	case $name in
	kvm) echo 200000 >"$dir/parameters/halt_poll_ns" ;;
	*)
		echo 1 >"$dir/parameters/nested"
		chmod 444 "$dir/parameters/nested"
		mknod -m 660 /dev/kvm c 10 232
		;;
	esac
	shift
	for one; do
		echo "${one#*=}" >"$dir/parameters/${one%%=*}"
	done
}

fake_rmmod()
{
	if [ "$(cat "/sys/module/$1/refcnt")" != 0 ]; then
		echo "rmmod: ERROR: Module $1 is in use" >&2
		return 1
	fi
	[ "$1" = kvm ] || rm -f /dev/kvm
	rm -r "/sys/module/$1"
}

fake_modprobe()
{
	case $1 in
	--dump-modversions) "$REAL_MODPROBE" "$@" ;;
	kvm_amd) fake_insmod "$DISTRO/kvm.ko"; fake_insmod "$DISTRO/kvm-amd.ko" ;;
	esac
}

fake_modinfo()
{
	local name

	if [ "$1" = -n ] || [ "$3" = -n ]; then
		name=${!#}
		[ -e "$DISTRO/${name//_/-}.ko" ] && echo "$DISTRO/${name//_/-}.ko"
		return
	fi
	"$REAL_MODINFO" "$@"
}

fake_uname()
{
	case $1 in
	-r) echo "$KVER" ;;
	*) echo "#1 SMP Debian none" ;;
	esac
}

fake_dmesg() { :; }
fake_udevadm() { :; }

# vm_runs TEXT... - make a set in $TMP/set, whose small VM runs if the commands TEXT succeed
vm_runs()
{
	rm -rf "$TMP/set"
	cp -r "$SET" "$TMP/set"
	printf '#!/bin/bash\n%s\n' "$*" >"$TMP/set/tinyvm"
	chmod +x "$TMP/set/tinyvm"
}

# ours, distros, none - are these modules in use?
ours() { grep -qs '^kvm-racefix ' /sys/module/kvm_amd/version && [ -e /sys/module/kvm/version ]; }
distros() { [ -e /sys/module/kvm_amd ] && [ ! -e /sys/module/kvm_amd/version ] && [ ! -e /sys/module/kvm/version ]; }
none() { [ ! -e /sys/module/kvm ] && [ ! -e /sys/module/kvm_amd ]; }

# expect STATUS TEXT COMMAND... - run COMMAND; it must exit with STATUS and print TEXT
expect()
{
	local want=$1 text=$2 rc=0

	shift 2
	"$@" >"$TMP/log" 2>&1 </dev/null || rc=$?
	cat "$TMP/log"
	[ "$rc" -eq "$want" ] || { echo "FAILED: $* ended with $rc, not $want"; exit 1; }
	grep -qF -- "$text" "$TMP/log" || { echo "FAILED: $* does not say: $text"; exit 1; }
}

# is COMMAND... - fail the case unless COMMAND succeeds
is()
{
	"$@" || { echo "FAILED: not so: $*"; exit 1; }
}
