# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Shared by the scripts that put replacement modules on a machine: check whether a set of
# modules is complete, is for this kernel, and would be loaded by it. A check that fails
# prints the error, and the way to mend it, to stderr. Nothing is changed.

# State that lasts until the next boot, and the locks. Only root can write there: in a directory
# that all users can write, any of them could hold a lock, or put a link in its place.
RUN=/run/kvm-racefix

# make_run - create RUN, which must be a directory of root's
make_run()
{
	mkdir -p $RUN && [ ! -L $RUN ] && [ -d $RUN ] && [ -O $RUN ] && return
	say "error: $RUN cannot be made, or is not a directory of root's"
	return 1
}

# The modules that a set may have, in the order in which they are loaded.
SET_MODULES=(kvm kvm-intel kvm-amd)

# is_builtin - is kvm built into the running kernel?
is_builtin()
{
	[ -d /sys/module/kvm ] && [ ! -e /sys/module/kvm/initstate ]
}

# has_builtin KVER - is kvm built into that kernel? If so, print an error.
has_builtin()
{
	if ! { [ "$1" = "$(uname -r)" ] && is_builtin; } &&
	   ! grep -qs '/kvm/kvm[.]ko$' "/lib/modules/$1/modules.builtin"; then
		return 1
	fi
	say "error: kvm is built into kernel $1: there is no module to replace; scripts/status DIR shows which races" \
		"its source has, and scripts/apply DIR applies the fixes"
}

# is_realtime KBUILD - was the kernel of this build directory built with CONFIG_PREEMPT_RT? Debian
# builds such kernels from a tree with more patches than linux-source has, some of them in KVM.
is_realtime()
{
	grep -qsx CONFIG_PREEMPT_RT=y "$1/.config"
}

# distro_module KVER NAME - print the path of the module in the kernel's package
distro_module()
{
	local file

	for file in "/lib/modules/$1/kernel/arch/x86/kvm/$2".ko*; do
		[ -f "$file" ] || return
		printf '%s\n' "$file"
		return
	done
}

# set_names KVER - print the modules that a set has to have: those of the kernel's package, by its
# modules.order, as the files themselves may have been moved away. Fails if they are not known.
set_names()
{
	local name names=() listed

	listed=$(grep -sxE "kernel/arch/x86/kvm/[^/]*[.]ko" "/lib/modules/$1/modules.order")
	for name in "${SET_MODULES[@]}"; do
		case $listed in *"/kvm/$name.ko"*) names+=("$name") ;; esac
	done
	if [ ${#names[@]} -eq 0 ]; then
		for name in "${SET_MODULES[@]}"; do
			[ -z "$(distro_module "$1" "$name")" ] || names+=("$name")
		done
	fi
	[ ${#names[@]} -gt 0 ] || return
	printf '%s\n' "${names[@]}"
}

# built_set KVER - print the directory in which \`make modules\` puts the modules
built_set()
{
	printf '%s\n' "$BUILD/modules/$1/patched"
}

# build_options KVER - set OPTIONS, for modules-build: KSRC and KBUILD from the environment, or
# those that the existing set was built with
build_options()
{
	local from ksrc kbuild

	from=$(built_set "$1")/.from
	ksrc=${KSRC:-$(sed -n 's/^ksrc //p' "$from" 2>/dev/null || :)}
	kbuild=${KBUILD:-$(sed -n 's/^kbuild //p' "$from" 2>/dev/null || :)}
	OPTIONS=(--kver "$1")
	[ -z "$ksrc" ] || OPTIONS+=(--ksrc "$ksrc")
	[ -z "$kbuild" ] || OPTIONS+=(--kbuild "$kbuild")
}

# describe FILE - print a line about a module: name, version, srcversion and path
describe()
{
	local name version src

	name=$(basename "${1%.ko*}")
	version=$(modinfo -F version "$1" 2>/dev/null)
	src=$(modinfo -F srcversion "$1" 2>/dev/null)
	printf '%-10s %s%s, %s\n' "$name" "${version:-as the kernel came}" "${src:+, srcversion $src}" "$1"
}

# check_set DIR KVER - check that the set is complete, of one build, undamaged, and for kernel KVER
check_set()
{
	local dir=$1 kver=$2 name file magic want version first='' names

	if ! names=$(set_names "$kver") || ! [[ $names = kvm$'\n'* ]]; then
		! has_builtin "$kver" || return 1
		say "error: kernel $kver has no kvm modules, by /lib/modules/$kver/modules.order;" \
			"is its package installed whole? $(kernel_advice image "$kver")"
		return 1
	fi
	for name in $names; do
		[ -z "$(distro_module "$kver" "$name")" ] || continue
		say "error: the distro's own $name.ko is missing below /lib/modules/$kver/kernel: without it there" \
			"is no way back (DKMS from 3.2 on moves it away; \`dkms status\` names the package). Restore it:" \
			"$(kernel_advice image "$kver")"
		return 1
	done
	want=$(modinfo -F vermagic "$(distro_module "$kver" kvm)")
	for name in $names; do
		file=$dir/$name.ko
		if [ ! -f "$file" ]; then
			say "error: $file is missing: a set must have all of its modules;" \
				"build them again: make modules KVER=$kver"
			return 1
		fi
		if ! magic=$(modinfo -F vermagic "$file" 2>/dev/null) || [ -z "$magic" ] ||
		   [ "$(modinfo -F name "$file")" != "${name//-/_}" ]; then
			say "error: $file is damaged or no kernel module; build it again: make modules KVER=$kver"
			return 1
		fi
		if [ "$magic" != "$want" ]; then
			say "error: $file is for kernel '$magic', and $kver is '$want';" \
				"build it for this one: make modules KVER=$kver"
			return 1
		fi
		if [ -e "$dir/.sums" ] && ! (cd "$dir" && grep "  $name.ko\$" .sums | sha256sum --status -c 2>/dev/null); then
			say "error: $file differs from the file that was built: it is damaged, or was changed later;" \
				"build it again: make modules KVER=$kver"
			return 1
		fi
		version=$(modinfo -F version "$file")
		case $version in
		"kvm-racefix "*) ;;
		*)
			say "error: $file is not from this project (its version is '$version')"
			return 1
			;;
		esac
		first=${first:-$version}
		if [ "$version" != "$first" ]; then
			say "error: $file is '$version' and kvm.ko is '$first': not of one build;" \
				"build them again: make modules KVER=$kver"
			return 1
		fi
	done
}

# known_symbols KVER - print "all" or "some", then "CRC SYMBOL" for all or some of the symbols that
# the kernel exports, in lower-case hexadecimal
known_symbols()
{
	local name file

	file=/lib/modules/$1/build/Module.symvers
	if [ -r "$file" ]; then
		echo all
		awk '{ print tolower($1), $2 }' "$file"
		return
	fi
	# There are no headers: take the symbols that the distro's own modules import.
	echo some
	for name in $(set_names "$1"); do
		modprobe --dump-modversions "$(distro_module "$1" "$name")"
	done | awk '{ print tolower($1), $2 }'
}

# check_symbols DIR KVER - check that the kernel has each symbol that the modules import, with the
# same type, as by CONFIG_MODVERSIONS
check_symbols()
{
	local dir=$1 kver=$2 name bad

	grep -qs '^CONFIG_MODVERSIONS=y' "/boot/config-$kver" "/lib/modules/$kver/build/.config" ||
		[ -n "$(modprobe --dump-modversions "$(distro_module "$kver" kvm)" 2>/dev/null)" ] || return 0
	bad=$({
		known_symbols "$kver"
		echo exports
		LC_ALL=C grep -az "^__ksymtab_" "$dir/kvm.ko" | tr "\0" "\n" | sed "s/^__ksymtab_//"
		echo imports
		for name in $(set_names "$kver"); do
			modprobe --dump-modversions "$dir/$name.ko" | sed "s/\$/ $name/"
		done
	} | awk '
		NR == 1 { all = $1 == "all"; next }
		NF == 1 && ($1 == "exports" || $1 == "imports") { part = $1; next }
		part == "" { crc[$2] = $1 }
		part == "exports" { own[$1] = 1 }
		part == "imports" && !($2 in own) {
			sub(/^0x0*/, "0x", $1)
			if ($2 in crc) {
				have = crc[$2]
				sub(/^0x0*/, "0x", have)
				if (have != tolower($1)) print $3 ": " $2 " has another type"
			} else if (all)
				print $3 ": " $2 " is not there"
		}')
	[ -n "$bad" ] || return 0
	say "error: these modules were built against another kernel than $kver, which would refuse them:"
	head -n 5 <<<"$bad" | sed 's/^/    /' >&2
	say "build them again: make modules KVER=$kver"
	return 1
}

# enforced_by - print the setting by which the running kernel requires signatures; nothing if it
# does not
enforced_by()
{
	local mode

	if grep -qs Y /sys/module/module/parameters/sig_enforce; then
		echo "module.sig_enforce"
		return
	fi
	mode=$(sed -n 's/.*\[\([a-z]*\)\].*/\1/p' /sys/kernel/security/lockdown 2>/dev/null)
	case $mode in
	''|none) ;;
	*) echo "lockdown ($mode), which Secure Boot turns on" ;;
	esac
}

# is_trusted DIR FILE - does the running kernel know the certificate that signed FILE? A key's
# description in /proc/keys is "SUBJECT: ID"; ID is the certificate's key identifier, or its
# serial number if it has none. A signature only names the issuer and the serial number;
# DIR/.signed-by, which sign leaves, maps the serial number to the key identifier.
is_trusted()
{
	local serial id known

	known=$(grep -F ' asymmetri ' /proc/keys)
	serial=$(modinfo -F sig_key "$2" | tr -d ': ' | tr A-F a-f | sed 's/^0*//')
	if [ "$(sed -n 's/^serial 0*//p' "$1/.signed-by" 2>/dev/null)" = "$serial" ]; then
		id=$(sed -n 's/^id //p' "$1/.signed-by")
		grep -qF ": ${id:-$serial}: " <<<"$known"
		return
	fi
	# Another program signed it: look for the serial number, or for the signer's name. That is
	# the issuer's, and so the name of the certificate only if it is self-signed.
	grep -qE ": 0*$serial: " <<<"$known" || grep -qF " $(modinfo -F signer "$2"): " <<<"$known"
}

# check_signatures DIR KVER - check that the running kernel accepts the modules' signatures, if it
# requires any
check_signatures()
{
	local dir=$1 kver=$2 name why names

	why=$(enforced_by)
	[ -n "$why" ] && [ "$kver" = "$(uname -r)" ] || return 0
	names=$(set_names "$kver") || return
	for name in $names; do
		check_signature "$dir" "$dir/$name.ko" "$why" || return
	done
}

# check_livepatch - check that no livepatch changes kvm: it looks functions up by name, and would
# replace ours by code that was made for the distro's
check_livepatch()
{
	local module name

	for module in /sys/kernel/livepatch/*/{kvm,kvm_intel,kvm_amd}; do
		[ -d "$module" ] || continue
		name=${module%/*}
		say "error: the livepatch ${name##*/} changes functions of ${module##*/}, with code for the distro's modules," \
			"not for these; disable it first: echo 0 >$name/enabled"
		return 1
	done
}

# check_signature DIR FILE WHY - check the signature of one module of DIR; WHY is the setting that
# requires it, for the error
check_signature()
{
	local signer

	signer=$(modinfo -F signer "$2")
	if [ -z "$signer" ]; then
		say "error: this kernel takes signed modules only ($3), and ${2##*/} is not signed:" \
			"make sign KEY=... CERT=..., with a key that the machine trusts;" \
			"for a new key: mokutil --import CERT (in DER), and confirm it at the next boot"
		return 1
	fi
	[ ! -r /proc/keys ] || is_trusted "$1" "$2" && return
	say "error: this kernel takes signed modules only ($3), and does not know the key of" \
		"'$(sed -n 's/^subject //p' "$1/.signed-by" 2>/dev/null | grep . || echo "$signer")', which signed ${2##*/}:" \
		"mokutil --import CERT (in DER; the certificate that signed, and not the one that issued it), reboot," \
		"and confirm it; or sign with a key that it knows (grep asymmetri /proc/keys)"
	return 1
}
