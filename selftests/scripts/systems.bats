#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# Systems that are not Debian, imitated: the commands, the os-release and the layouts of Fedora,
# openSUSE, Arch and Ubuntu, in a mount namespace, and kernels that only seem to be built. This
# tests the decisions of the scripts; the systems themselves were not available. It needs root.
#
# shellcheck disable=SC2016,SC2030,SC2031 # sed programs, shells in namespaces; each test is a process

bats_require_minimum_version 1.5.0

setup_file()
{
	local cmd

	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	unshare -m --propagation private true || skip "this takes namespaces, and root"
	need_packages gcc make patch kmod binutils coccinelle universal-ctags xz-utils zstd
	# All commands except Debian's own, and those that make or read an initramfs.
	export BIN=$BATS_FILE_TMPDIR/bin
	mkdir "$BIN"
	for cmd in $(compgen -c | sort -u); do
		case $cmd in apt|apt-*|dpkg|dpkg-*|*initramfs|kernel-install|dracut|mkinitcpio|lsinitrd|lsinitcpio) continue ;; esac
		cmd=$(type -P "$cmd") || continue
		ln -sf "$cmd" "$BIN/"
	done
}

setup()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	export DIR=$BATS_TEST_TMPDIR
	# A copy, in which every tree lacks nothing.
	mkdir "$DIR/project" "$DIR/bin"
	cp -r "$TOP/scripts" "$TOP/VERSION" "$TOP/Makefile" "$DIR/project/"
	printf '#!/bin/sh\nexit 0\n' >"$DIR/project/scripts/tree/apply"
	BUILD_MODULES=$DIR/project/scripts/modules/modules-build
	unset O KSRC KBUILD
}

# stub NAME TEXT - make a command of that name
stub()
{
	rm -f "$DIR/bin/$1"
	printf '#!/bin/sh\n%s\n' "$2" >"$DIR/bin/$1"
	chmod +x "$DIR/bin/$1"
}

# on SYSTEM COMMAND... - run it with that system's /etc/os-release and package manager, which must
# not be called, and without Debian's
on()
{
	local release manager

	case $1 in
	fedora) release='ID=fedora' manager=dnf ;;
	rhel) release='ID="rhel"\nID_LIKE="fedora"' manager=yum ;;
	opensuse) release='ID="opensuse-tumbleweed"\nID_LIKE="opensuse suse"' manager=zypper ;;
	arch) release='ID=arch' manager=pacman ;;
	ubuntu) release='ID=ubuntu\nID_LIKE=debian' manager=apt-get ;;
	none) release='ID=own' manager='' ;;
	esac
	rm -f "$DIR"/bin/{dnf,yum,zypper,pacman,apt-get,dpkg-query}
	[ -z "$manager" ] || stub "$manager" "echo '$manager was called' >>$DIR/called; exit 1"
	[ "$manager" != apt-get ] || stub dpkg-query 'exit 1'
	printf '%b\n' "$release" >"$DIR/os-release"
	shift
	run env PATH="$DIR/bin:$BIN" unshare -m --propagation private bash -c '
		mount -t tmpfs none /media && mkdir -p /media/{lib,etc}/{upper,work} && mount -t tmpfs none /run
		if [ -d "$DIR/modules" ] && [ ! -d /lib/modules ]; then
			mount -t overlay -o "lowerdir=/usr/lib,upperdir=/media/lib/upper,workdir=/media/lib/work" none /usr/lib && mkdir /lib/modules
		fi
		mount -t overlay -o "lowerdir=/etc,upperdir=/media/etc/upper,workdir=/media/etc/work" none /etc
		[ ! -d "$DIR/modules" ] || mount --bind "$DIR/modules" /lib/modules
		[ ! -d "$DIR/boot" ] || mount --bind "$DIR/boot" /boot
		mount --bind "$DIR/os-release" "$(readlink -f /etc/os-release)"
		exec "$@"' - "$@"
	echo "$output"
	[ ! -e "$DIR/called" ]
}

# lacks COMMAND... - remove these commands
lacks()
{
	local cmd

	cp -r "$BIN" "$DIR/lacking"
	BIN=$DIR/lacking
	for cmd; do
		rm -f "$BIN/$cmd"
	done
}

# source_tree DIR [VERSION] - make a kernel's source, as much of it as is copied
source_tree()
{
	local v=${2:-6.9.1}

	mkdir -p "$1/arch/x86/kvm" "$1/virt/kvm"
	: >"$1/arch/x86/kvm/x86.c"
	: >"$1/virt/kvm/kvm_main.c"
	echo 'kvm-y := x86.o' >"$1/arch/x86/kvm/Makefile"
	printf 'VERSION = %s\nPATCHLEVEL = %s\nSUBLEVEL = %s\n' "${v%%.*}" "$(cut -d . -f 2 <<<"$v")" "${v##*.}" >"$1/Makefile"
}

# build_dir DIR RELEASE [CONFIG...] - make a prepared build directory of Linux 6.9.1, which makes an
# object that modinfo can read for each module, and records its arguments
build_dir()
{
	local dir=$1 release=$2

	shift 2
	mkdir -p "$dir/include/generated/uapi/linux"
	echo "#define UTS_RELEASE \"$release\"" >"$dir/include/generated/utsrelease.h"
	echo "#define LINUX_VERSION_CODE $((6 * 65536 + 9 * 256 + 1))" >"$dir/include/generated/uapi/linux/version.h"
	: >"$dir/Module.symvers"
	printf 'CONFIG_%s\n' KVM=m "${@:-KVM_INTEL=m}" >"$dir/.config"
	sed "s/@RELEASE@/$release/; s,@LOG@,$DIR,"  >"$dir/Makefile" <<-'MAKE'
	.RECIPEPREFIX = >
	modules:
	> env >@LOG@/env
	> echo '$(MAKEFLAGS) CC=$(CC) LLVM=$(LLVM) LD=$(LD)' >@LOG@/given
	> touch $(M)/Module.symvers
	> for file in $(M)/arch/x86/kvm/racefix-*.c; do \
	> 	name=$${file##*/racefix-}; name=$${name%.c}; \
	> 	version=$$(sed -n 's/^MODULE_VERSION("\(.*\)");/\1/p' $$file); \
	> 	printf 'const char info[] __attribute__((section(".modinfo"), used)) = "name=%s\\0vermagic=@RELEASE@ SMP \\0version=%s";\n' \
	> 		$$(echo $$name | tr - _) "$$version" | gcc -x c -c - -o $(M)/arch/x86/kvm/$$name.ko || exit; \
	> done
	MAKE
}

# installed_kernel RELEASE [CONFIG...] - make its /lib/modules, with a build directory there
installed_kernel()
{
	mkdir -p "$DIR/modules/$1/kernel/arch/x86/kvm"
	build_dir "$DIR/modules/$1/build" "$@"
}

@test "systems: the needs of a build are named as the system calls them" {
	installed_kernel 6.9.1-test
	stub ldconfig 'printf "\tlibc.so.6 (libc6,x86-64) => /lib/libc.so.6\n"'
	lacks gcc make patch
	on fedora "$BUILD_MODULES" --kver 6.9.1-test
	[ "$status" -eq 2 ]
	[[ $output == *"dnf install make patch elfutils-libelf gcc"* ]]
	on rhel "$BUILD_MODULES" --kver 6.9.1-test
	[[ $output == *"yum install make patch elfutils-libelf gcc"* ]]
	on opensuse "$BUILD_MODULES" --kver 6.9.1-test
	[[ $output == *"zypper install make patch libelf1 gcc"* ]]
	on arch "$BUILD_MODULES" --kver 6.9.1-test
	[[ $output == *"pacman -S --needed make patch libelf gcc"* ]]
	on none "$BUILD_MODULES" --kver 6.9.1-test
	[[ $output == *"by other means, the packages that Debian calls make patch libelf1 gcc"* ]]
	[ "${#lines[@]}" -eq 1 ]
}

@test "systems: the program that judges a tree is named, too, and so are systems without a package of it" {
	installed_kernel 6.9.1-test
	source_tree "$DIR/tree"
	lacks spatch ctags
	on arch "$BUILD_MODULES" --kver 6.9.1-test --ksrc "$DIR/tree"
	[ "$status" -eq 2 ]
	[[ $output == *"the packages that Debian calls coccinelle"* ]]
	on fedora "$BUILD_MODULES" --kver 6.9.1-test --ksrc "$DIR/tree"
	[[ $output == *"dnf install coccinelle"* ]]
}

@test "systems: missing headers are named" {
	mkdir -p "$DIR/modules/6.9.1-1-default"
	echo linux-lts >"$DIR/modules/6.9.1-1-default/pkgbase"
	on fedora "$BUILD_MODULES" --kver 6.9.1-1-default
	[ "$status" -eq 2 ]
	[[ $output == *"dnf install kernel-devel-6.9.1-1-default"* ]]
	on opensuse "$BUILD_MODULES" --kver 6.9.1-1-default
	[[ $output == *"zypper install kernel-default-devel"* ]]
	on arch "$BUILD_MODULES" --kver 6.9.1-1-default
	[[ $output == *"pacman -S linux-lts-headers"* ]]
	on ubuntu "$BUILD_MODULES" --kver 6.9.1-1-default
	[[ $output == *"apt-get install linux-headers-6.9.1-1-default"* ]]
}

@test "systems: missing source is named; Debian's archive is not asked" {
	installed_kernel 6.9.1-1-default
	for system in fedora:"dnf download --source" opensuse:"zypper install kernel-source" \
		arch:"pkgctl repo clone linux" ubuntu:"apt-get source linux-image-unsigned-6.9.1-1-default"; do
		on "${system%%:*}" "$BUILD_MODULES" --kver 6.9.1-1-default
		[ "$status" -eq 2 ]
		[[ $output == *"KSRC="*"${system#*:}"* ]]
		[ "${#lines[@]}" -eq 1 ]
	done
}

@test "systems: Fedora: KSRC, with its own build directory" {
	installed_kernel 6.9.1-200.fc40.x86_64 KVM_INTEL=m KVM_AMD=m
	source_tree "$DIR/tree"
	on fedora "$BUILD_MODULES" --kver 6.9.1-200.fc40.x86_64 --ksrc "$DIR/tree"
	[ "$status" -eq 0 ]
	[ "$(cd "$DIR/project/build/modules/6.9.1-200.fc40.x86_64/patched" && echo *.ko)" = "kvm-amd.ko kvm-intel.ko kvm.ko" ]
}

@test "systems: openSUSE: an O= build directory, and the source by the link beside it" {
	build_dir "$DIR/obj/x86_64/default" 6.9.1-1-default
	source_tree "$DIR/linux-6.9.1-1"
	mkdir -p "$DIR/modules/6.9.1-1-default"
	ln -s "$DIR/obj/x86_64/default" "$DIR/modules/6.9.1-1-default/build"
	ln -s "$DIR/linux-6.9.1-1" "$DIR/modules/6.9.1-1-default/source"
	on opensuse "$BUILD_MODULES" --kver 6.9.1-1-default
	[ "$status" -eq 0 ]
	[[ $output == *"the source of kernel 6.9.1-1-default is $DIR/linux-6.9.1-1"* ]]
}

@test "systems: an O= build by its link source, and one in the tree; not of another version" {
	build_dir "$DIR/obj" 6.9.1-own
	source_tree "$DIR/tree"
	ln -s ../tree "$DIR/obj/source"
	on none "$BUILD_MODULES" --kbuild "$DIR/obj"
	[ "$status" -eq 0 ]
	[[ $output == *"is $DIR/tree, by its build directory"* ]]
	source_tree "$DIR/tree" 6.9.2
	on none "$BUILD_MODULES" --kbuild "$DIR/obj"
	[ "$status" -eq 2 ]
	[[ $output == *KSRC=* ]]
	build_dir "$DIR/own" 6.9.1-own
	mv "$DIR/own/Makefile" "$DIR/own/GNUmakefile"
	source_tree "$DIR/own"
	on none "$BUILD_MODULES" --kbuild "$DIR/own"
	[ "$status" -eq 0 ]
}

@test "systems: Arch: no source by itself, with KSRC it builds" {
	installed_kernel 6.9.1-arch1-1
	source_tree "$DIR/tree"
	on arch "$BUILD_MODULES" --kver 6.9.1-arch1-1 --ksrc "$DIR/tree"
	[ "$status" -eq 0 ]
}

@test "systems: KVM_AMD or KVM_INTEL is off" {
	build_dir "$DIR/obj" 6.9.1-amd KVM_AMD=m
	source_tree "$DIR/tree"
	on none "$BUILD_MODULES" --kbuild "$DIR/obj" --ksrc "$DIR/tree"
	[ "$status" -eq 0 ]
	[ "$(cd "$DIR/project/build/modules/6.9.1-amd/patched" && echo *.ko)" = "kvm-amd.ko kvm.ko" ]
	build_dir "$DIR/obj" 6.9.1-none KVM_AMD=n
	on none "$BUILD_MODULES" --kbuild "$DIR/obj" --ksrc "$DIR/tree"
	[ "$status" -eq 0 ]
	[ "$(cd "$DIR/project/build/modules/6.9.1-none/patched" && echo *.ko)" = kvm.ko ]
	sed -i 's/KVM=m/KVM=y/' "$DIR/obj/.config"
	on none "$BUILD_MODULES" --kbuild "$DIR/obj" --ksrc "$DIR/tree"
	[ "$status" -eq 2 ]
	[[ $output == *"does not have KVM as a module"* ]]
}

@test "systems: a kernel that clang has built: LLVM=1, and it is said" {
	local one

	source_tree "$DIR/tree"
	build_dir "$DIR/obj" 6.9.1-clang KVM_AMD=m CC_IS_CLANG=y CLANG_VERSION=170006 LD_IS_LLD=y
	lacks gcc clang ld.lld llvm-objcopy clang-17 ld.lld-17
	stub ldconfig 'printf "\tlibelf.so.1 (libc6,x86-64) => /lib/libelf.so.1\n"'
	on fedora "$BUILD_MODULES" --kbuild "$DIR/obj" --ksrc "$DIR/tree"
	[ "$status" -eq 2 ]
	[[ $output == *"dnf install clang lld llvm"* ]]
	ln -s "$(command -v gcc)" "$BIN/gcc"
	stub clang 'echo "clang version 19.1.0"'
	stub ld.lld 'exit 0'
	ln -s "$(command -v objcopy)" "$DIR/bin/llvm-objcopy"
	on fedora "$BUILD_MODULES" --kbuild "$DIR/obj" --ksrc "$DIR/tree"
	[ "$status" -eq 0 ]
	[[ $output == *"was built by clang: building with LLVM=1, clang version 19.1.0"* ]]
	grep 'LLVM=1' "$DIR/given"
	# If there are several, that kernel's own is used.
	for one in clang-17 ld.lld-17; do stub $one 'echo "clang version 17.0.6"'; done
	ln -s "$(command -v objcopy)" "$DIR/bin/llvm-objcopy-17"
	on fedora "$BUILD_MODULES" --kbuild "$DIR/obj" --ksrc "$DIR/tree"
	[ "$status" -eq 0 ]
	grep 'CC=clang-17 LLVM=1 LD=ld.lld-17' "$DIR/given"
	# Linked by binutils.
	sed -i 's/LD_IS_LLD/LD_IS_BFD/' "$DIR/obj/.config"
	on fedora "$BUILD_MODULES" --kbuild "$DIR/obj" --ksrc "$DIR/tree"
	[ "$status" -eq 0 ]
	[[ $output == *"building with CC=clang-17"* ]]
	grep 'CC=clang-17 LLVM= LD=ld$' "$DIR/given"
}

@test "systems: nothing of the environment reaches the kernel's build" {
	build_dir "$DIR/obj" 6.9.1-own
	source_tree "$DIR/tree"
	export CC=/nowhere/cc CFLAGS=-O0 KCFLAGS=-DX KCPPFLAGS=-DX KAFLAGS=-DX LDFLAGS=-s KBUILD_OUTPUT=/nowhere M=/nowhere V=1 \
		ARCH=arm64 SUBARCH=arm CROSS_COMPILE=arm- LLVM=1 MAKEFLAGS=" -- ARCH=arm64" C=2 W=3 KBUILD_EXTMOD=/nowhere \
		KBUILD_EXTRA_SYMBOLS=/nowhere LD=/nowhere HOSTCC=/nowhere INSTALL_MOD_PATH=/nowhere
	on none "$BUILD_MODULES" --kbuild "$DIR/obj" --ksrc "$DIR/tree"
	[ "$status" -eq 0 ]
	run ! grep -E 'nowhere|arm|KCFLAGS|^[CVW]=|LLVM' "$DIR/env"
	run ! grep -E 'nowhere|arm|LLVM=1' "$DIR/given"
}

@test "systems: sources and build directory that cannot be written, as an ordinary user" {
	build_dir "$DIR/obj" 6.9.1-own
	source_tree "$DIR/tree"
	chmod -R a-w "$DIR/tree" "$DIR/obj" "$DIR/project"
	chmod 755 "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR" "$BATS_TEST_TMPDIR" "$BATS_TEST_TMPDIR/.." 2>/dev/null || :
	install -d -o 65534 "$DIR/out"
	# The stubs write to another place.
	sed -i "s,$DIR/\(env\|given\),$DIR/out/\1," "$DIR/obj/Makefile"
	on none env O="$DIR/out/build" setpriv --reuid 65534 --regid 65534 --clear-groups \
		"$BUILD_MODULES" --kbuild "$DIR/obj" --ksrc "$DIR/tree"
	[ "$status" -eq 0 ]
	[ "$(stat -c %u "$DIR/out/build/modules/6.9.1-own/patched/kvm.ko")" -eq 65534 ]
	# The second build has something to change in the copy, which is not read-only.
	echo >>"$DIR/tree/arch/x86/kvm/x86.c"
	on none env O="$DIR/out/build" setpriv --reuid 65534 --regid 65534 --clear-groups \
		"$BUILD_MODULES" --kbuild "$DIR/obj" --ksrc "$DIR/tree"
	[ "$status" -eq 0 ]
}

@test "systems: a source with a space in its path does, a build directory is refused at once" {
	build_dir "$DIR/obj" 6.9.1-own
	source_tree "$DIR/a tree"
	on none "$BUILD_MODULES" --kbuild "$DIR/obj" --ksrc "$DIR/a tree"
	[ "$status" -eq 0 ]
	on none make -s -C "$DIR/project" modules KBUILD="$DIR/obj" KSRC="$DIR/a tree"
	[ "$status" -eq 0 ]
	build_dir "$DIR/an obj" 6.9.1-own
	on none "$BUILD_MODULES" --kbuild "$DIR/an obj" --ksrc "$DIR/a tree"
	[ "$status" -eq 2 ]
	[[ $output == *"cannot work in '$DIR/an obj'"*KBUILD=* ]]
	[ "${#lines[@]}" -eq 1 ]
	mv "$DIR/project" "$DIR/my project"
	on none make -s -C "$DIR/my project" modules KBUILD="$DIR/obj" KSRC="$DIR/a tree"
	[ "$status" -eq 2 ]
	[[ $output == *"cannot work in '$DIR/my project/build'"*O=* ]]
	on none make -s -C "$DIR/my project" modules KBUILD="$DIR/obj" KSRC="$DIR/a tree" O="$DIR/out"
	[ "$status" -eq 0 ]
}

# module FILE NAME RELEASE [VERSION] - make an object that modinfo and depmod can read
module()
{
	mkdir -p "${1%/*}"
	printf 'const char info[] __attribute__((section(".modinfo"), used)) = "name=%s\\0vermagic=%s SMP \\0version=%s";\n' \
		"${2//-/_}" "$3" "${4-}" | gcc -x c -c - -o "$1"
}

# whole_kernel RELEASE [PACKER] - make its /lib/modules, with kvm and kvm-amd, packed by PACKER; and
# replacement modules for it in $DIR/set
whole_kernel()
{
	local name

	for name in kvm kvm-amd; do
		module "$DIR/modules/$1/kernel/arch/x86/kvm/$name.ko" $name "$1"
		module "$DIR/set/$name.ko" $name "$1" "kvm-racefix 0 (tdp-mmu-zap)"
		echo "kernel/arch/x86/kvm/$name.ko" >>"$DIR/modules/$1/modules.order"
		[ -z "${2-}" ] || "$2" -q --rm "$DIR/modules/$1/kernel/arch/x86/kvm/$name.ko" 2>/dev/null ||
			"$2" "$DIR/modules/$1/kernel/arch/x86/kvm/$name.ko"
	done
	: >"$DIR/modules/$1/modules.builtin"
	mkdir -p "$DIR/boot"
	# The machine that runs this may have another release.
	stub uname "[ \"\$1\" != -r ] && exec $(command -v uname) \"\$@\"; echo $1"
	stub depmod "exec $(PATH=$PATH:/sbin command -v depmod) \"\$@\""
}

# image FILE PATH... - make an initramfs that holds these, as lsinitrd would list them
image()
{
	mkdir -p "${1%/*}"
	printf 'an image of %s\n' "$RELEASE" >"$1"
	shift
	printf '%s\n' "$@" >"$DIR/listed"
}

INSTALL='"$0"/scripts/host/install --kver "$1" --modules "$DIR/set"'
UNINSTALL='"$0"/scripts/host/uninstall --kver "$1"'

@test "systems: Fedora: install by dracut, and the hook of kernel-install" {
	RELEASE=6.9.1-200.fc40.x86_64
	whole_kernel $RELEASE xz
	image "$DIR/boot/initramfs-$RELEASE.img" "usr/lib/modules/$RELEASE/kernel/arch/x86/kvm/kvm.ko.xz"
	stub lsinitrd 'sed "s,^,-rw-r--r-- 1 root root 77 Jan  1  1970 ," "$DIR/listed"'
	stub dracut 'echo "dracut $*" >>"$DIR/log"; echo "usr/lib/modules/$3/updates/kvm-racefix/kvm.ko" >"$DIR/listed"'
	stub kernel-install 'exit 0'
	on fedora bash -e -c "$INSTALL"'
		cat "$DIR/log"
		[ "$(modinfo -k "$1" -n kvm)" = "/lib/modules/$1/updates/kvm-racefix/kvm.ko" ]
		[ ! -e /etc/kernel/postinst.d/aa-kvm-racefix ]
		hook=/etc/kernel/install.d/10-kvm-racefix.install
		$hook add "$1" /boot/x vmlinuz
		[ -e "/lib/modules/$1/updates/kvm-racefix" ]
		'"$INSTALL"'
		(cd "/lib/modules/$1/kernel/arch/x86/kvm" && xz -d kvm.ko.xz && objcopy --add-section .newer=/etc/passwd kvm.ko && xz --check=crc32 kvm.ko)
		cp $hook "$DIR/hook"
		$hook add "$1" /boot/x vmlinuz
		[ ! -e "/lib/modules/$1/updates" ]
		[ "$(modinfo -k "$1" -n kvm)" = "/lib/modules/$1/kernel/arch/x86/kvm/kvm.ko.xz" ]
		'"$INSTALL"'
		"$DIR/hook" remove "$1"
		[ ! -e "/lib/modules/$1/updates" ]
		'"$INSTALL"'
		: >"$DIR/log"
		'"$UNINSTALL"'
		cat "$DIR/log"
		[ ! -e $hook ]' "$DIR/project" $RELEASE
	[ "$status" -eq 0 ]
	[ "$(grep -cx "dracut --force /boot/initramfs-$RELEASE.img $RELEASE" <<<"$output")" -eq 2 ]
	[[ $output == *"installed already"*"has other kvm modules than before"* ]]
}

@test "systems: openSUSE: an initrd of dracut's, and .ko.zst" {
	RELEASE=6.9.1-1-default
	whole_kernel $RELEASE zstd
	[ -e "$DIR/modules/$RELEASE/kernel/arch/x86/kvm/kvm.ko.zst" ]
	image "$DIR/boot/initrd-$RELEASE" "usr/lib/modules/$RELEASE/kernel/arch/x86/kvm/kvm-amd.ko.zst"
	stub lsinitrd 'cat "$DIR/listed"'
	stub dracut 'echo "dracut $*"; echo "no room" >&2; exit 1'
	stub kernel-install 'exit 0'
	# dracut fails, and everything is as before.
	on opensuse bash -c "$INSTALL" "$DIR/project" $RELEASE
	[ "$status" -eq 2 ]
	[[ $output == *"no room"*"dracut --force /boot/initrd-$RELEASE $RELEASE failed"*"restoring the files"* ]]
	[ ! -e "$DIR/modules/$RELEASE/updates" ]
	stub dracut 'echo "dracut $*" >>"$DIR/log"'
	on opensuse bash -c "$INSTALL" "$DIR/project" $RELEASE
	[ "$status" -eq 0 ]
	grep -x "dracut --force /boot/initrd-$RELEASE $RELEASE" "$DIR/log"
	on opensuse bash -c "$UNINSTALL" "$DIR/project" $RELEASE
	[ "$status" -eq 0 ]
}

@test "systems: Arch: mkinitcpio by its preset; nothing that calls hooks" {
	RELEASE=6.9.1-arch1-1
	whole_kernel $RELEASE zstd
	echo linux >"$DIR/modules/$RELEASE/pkgbase"
	image "$DIR/boot/initramfs-linux.img" "usr/lib/modules/$RELEASE/kernel/kvm-amd.ko.zst"
	stub lsinitcpio 'cat "$DIR/listed"'
	stub mkinitcpio 'echo "mkinitcpio $*" >>"$DIR/log"'
	on arch bash -e -c 'mkdir -p /etc/mkinitcpio.d
		: >/etc/mkinitcpio.d/linux.preset
		'"$INSTALL"'
		! compgen -G "/etc/kernel/*/*kvm-racefix*"' "$DIR/project" $RELEASE
	[ "$status" -eq 0 ]
	[ "$(cat "$DIR/log")" = "mkinitcpio -p linux" ]
	[[ $output == *"no hook runs on this system when a kernel is replaced"* ]]
	# There is no preset, and no dracut.
	on arch bash -c "$UNINSTALL" "$DIR/project" $RELEASE
	echo "usr/lib/modules/$RELEASE/kernel/kvm.ko" >"$DIR/listed"
	on arch bash -c "$INSTALL" "$DIR/project" $RELEASE
	[ "$status" -eq 2 ]
	[[ $output == *"neither update-initramfs, dracut nor a preset of mkinitcpio"* ]]
	[ ! -e "$DIR/modules/$RELEASE/updates" ]
}

@test "systems: UKI, an image of a boot entry, and one that nothing can look into, are named" {
	RELEASE=6.9.1-200.fc40.x86_64
	whole_kernel $RELEASE
	image "$DIR/boot/efi/EFI/Linux/id-$RELEASE.efi" "usr/lib/modules/$RELEASE/kernel/arch/x86/kvm/kvm.ko.xz"
	cp "$DIR/boot/efi/EFI/Linux/id-$RELEASE.efi" "$DIR/boot/efi/EFI/Linux/linux.efi"
	echo "of 5.4.0" >"$DIR/boot/efi/EFI/Linux/id-5.4.0.efi"
	image "$DIR/boot/id/$RELEASE/initrd" "usr/lib/modules/$RELEASE/kernel/arch/x86/kvm/kvm.ko.xz"
	stub lsinitrd 'cat "$DIR/listed"'
	stub kernel-install 'exit 0'
	on fedora bash -c "$INSTALL" "$DIR/project" $RELEASE
	[ "$status" -eq 0 ]
	for file in "efi/EFI/Linux/id-$RELEASE.efi" efi/EFI/Linux/linux.efi "id/$RELEASE/initrd"; do
		[[ $output == *"/boot/$file holds kvm modules, and is not rebuilt"*"kernel-install add $RELEASE"* ]]
	done
	[[ $output != *5.4.0* ]]
	# The image was rebuilt by hand; then the opposite.
	echo "usr/lib/modules/$RELEASE/updates/kvm-racefix/kvm.ko" >"$DIR/listed"
	on fedora bash -c "$UNINSTALL" "$DIR/project" $RELEASE
	[ "$status" -eq 0 ]
	[[ $output == *"/boot/id/$RELEASE/initrd holds kvm modules, and is not rebuilt"* ]]
	rm "$DIR/bin/lsinitrd"
	image "$DIR/boot/initramfs-$RELEASE.img"
	on fedora bash -c "$INSTALL" "$DIR/project" $RELEASE
	[ "$status" -eq 0 ]
	[[ $output == *"/boot/initramfs-$RELEASE.img cannot be listed"*"/linux.efi cannot be listed"* ]]
}

@test "systems: install and load name missing parts of the kernel, with the system's command" {
	RELEASE=6.9.1-1-default
	whole_kernel $RELEASE
	rm "$DIR/modules/$RELEASE/kernel/arch/x86/kvm/kvm-amd.ko"
	for system in fedora:"dnf reinstall 'kernel-*core-$RELEASE'" opensuse:"zypper install --force kernel-default" \
		arch:"pacman -S linux" ubuntu:"apt-get install --reinstall linux-modules-$RELEASE"; do
		on "${system%%:*}" bash -c "$INSTALL" "$DIR/project" $RELEASE
		[ "$status" -eq 2 ]
		[[ $output == *"the distro's own kvm-amd.ko is missing"*"${system#*:}"* ]]
	done
	: >"$DIR/modules/$RELEASE/modules.order"
	rm -r "$DIR/modules/$RELEASE/kernel/arch/x86/kvm"
	echo kernel/arch/x86/kvm/kvm.ko >"$DIR/modules/$RELEASE/modules.builtin"
	on fedora bash -c "$INSTALL" "$DIR/project" $RELEASE
	[ "$status" -eq 2 ]
	[[ $output == *"kvm is built into kernel $RELEASE"*scripts/apply* ]]
}

# Run status-host with just the directories of $1 in /sys/module.
STATUS_HOST='mkdir -p /media/sys && for one in $1; do mkdir -p "/media/sys/$one"; done
	mount --bind /media/sys /sys/module && "$0"/scripts/host/status-host'

@test "systems: status-host: kvm built in, and another vendor's module" {
	RELEASE=6.9.1-own
	whole_kernel $RELEASE
	on none bash -c "$STATUS_HOST" "$DIR/project" "kvm kvm_pvm"
	[ "$status" -eq 2 ]
	[[ $output == *"built in: kvm is part of kernel $RELEASE"*scripts/apply* ]]
	[[ $output == *"other vendor: kvm_pvm"* ]]
	on none bash -c "$STATUS_HOST" "$DIR/project" ""
	[[ $output != *"built in"* && $output != *"other vendor"* ]]
}

@test "systems: status-host: the source by the build directory; a newer kernel, and no kernel" {
	RELEASE=6.9.1-own
	whole_kernel $RELEASE
	build_dir "$DIR/modules/$RELEASE/build" $RELEASE
	source_tree "$DIR/tree"
	ln -s "$DIR/tree" "$DIR/modules/$RELEASE/source"
	printf '#!/bin/sh\nprintf "tdp-mmu-zap\\tfixed\\tby %%s\\n" "$2"\n' >"$DIR/project/scripts/tree/status"
	: >"$DIR/boot/vmlinuz-linux"
	: >"$DIR/boot/vmlinuz-0-rescue-0123"
	: >"$DIR/boot/vmlinuz-$RELEASE"
	mkdir -p "$DIR/project/selftests/races/tdp-mmu-zap"
	cp "$TOP/selftests/races/tdp-mmu-zap/race" "$DIR/project/selftests/races/tdp-mmu-zap/"
	on none bash -c "$STATUS_HOST" "$DIR/project" ""
	[[ $output == *"tdp-mmu-zap"*"fixed"*"by $DIR/tree"* ]]
	[[ $output != *"reboot:"* ]]
	mkdir "$DIR/modules/6.10.1-own"
	: >"$DIR/modules/6.10.1-own/vmlinuz"
	on none bash -c "$STATUS_HOST" "$DIR/project" ""
	[[ $output == *"reboot: kernel 6.10.1-own is installed and $RELEASE runs"* ]]
}

@test "systems: the selftests where there is no archive, and with a space" {
	cp -r "$TOP/selftests" "$TOP/src" "$DIR/project/"
	on fedora make -s -C "$DIR/project" selftests
	[ "$status" -ne 0 ]
	[[ $output == *"Debian's archive"*"KSRC_TOOLS=DIR"* ]]
	source_tree "$DIR/tree"
	on fedora make -s -C "$DIR/project" selftests KSRC_TOOLS="$DIR/tree"
	[ "$status" -ne 0 ]
	[[ $output == *"$DIR/tree has no tools/testing/selftests/kvm/"*"a tree of Linux 6.1 is needed"* ]]
	mv "$DIR/project" "$DIR/my project"
	on fedora make -s -C "$DIR/my project" selftests
	[ "$status" -ne 0 ]
	[[ $output == *"cannot be built where a path has a space"* ]]
}

@test "systems: a source that is made of links, to files and to directories" {
	build_dir "$DIR/obj" 6.9.1-own
	source_tree "$DIR/real"
	echo 'static int x;' >"$DIR/real/virt/kvm/kvm_main.c"
	mkdir -p "$DIR/tree/arch/x86" "$DIR/tree/virt/kvm"
	ln -s "$DIR/real/Makefile" "$DIR/tree/"
	ln -s "$DIR/real/arch/x86/kvm" "$DIR/tree/arch/x86/kvm"
	ln -s "$DIR/real/virt/kvm/kvm_main.c" "$DIR/tree/virt/kvm/"
	ln -s "$DIR/tree" "$DIR/obj/source"
	on none "$BUILD_MODULES" --kbuild "$DIR/obj"
	[ "$status" -eq 0 ]
	work=$DIR/project/build/work/6.9.1-own/patched
	[ -f "$work/arch/x86/kvm/x86.c" ]
	[ ! -L "$work/arch/x86/kvm/x86.c" ]
	cmp "$work/virt/kvm/kvm_main.c" "$DIR/real/virt/kvm/kvm_main.c"
	[ ! -L "$work/virt/kvm/kvm_main.c" ]
}

@test "systems: the recorded state of a tree of links is that of their targets" {
	# shellcheck source=scripts/tree/series/tree.sh
	. "$TOP/scripts/tree/series/tree.sh"
	for one in a b; do
		source_tree "$DIR/$one"
		echo "int $one;" >"$DIR/$one/arch/x86/kvm/x86.c"
		mkdir -p "$DIR/links-$one/arch/x86" "$DIR/links-$one/virt"
		ln -s "$DIR/$one/arch/x86/kvm" "$DIR/links-$one/arch/x86/kvm"
		ln -s "$DIR/$one/virt/kvm" "$DIR/links-$one/virt/kvm"
	done
	[ "$(tree_key "$DIR/links-a")" != "$(tree_key "$DIR/links-b")" ]
}
