#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# Systems that are not Debian, imitated: the commands, the os-release and the layouts of Fedora,
# openSUSE, Arch and Ubuntu, in a mount namespace, and kernels that only seem to be built. What
# the scripts decide is tried so; the systems themselves were not to be had. Takes root.
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
	# All commands but Debian's own.
	export BIN=$BATS_FILE_TMPDIR/bin
	mkdir "$BIN"
	for cmd in $(compgen -c | sort -u); do
		case $cmd in apt|apt-*|dpkg|dpkg-*|lsinitramfs|update-initramfs) continue ;; esac
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

# stub NAME TEXT - a command of that name
stub()
{
	rm -f "$DIR/bin/$1"
	printf '#!/bin/sh\n%s\n' "$2" >"$DIR/bin/$1"
	chmod +x "$DIR/bin/$1"
}

# on SYSTEM COMMAND... - run it where /etc/os-release is of that system, with its package
# manager, which is not to be called, and without Debian's
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
		if [ -d "$DIR/modules" ] && [ ! -d /lib/modules ]; then
			mount -t tmpfs none /media && mkdir /media/upper /media/work &&
				mount -t overlay -o "lowerdir=/usr/lib,upperdir=/media/upper,workdir=/media/work" none /usr/lib && mkdir /lib/modules
		fi
		[ ! -d "$DIR/modules" ] || mount --bind "$DIR/modules" /lib/modules
		mount --bind "$DIR/os-release" "$(readlink -f /etc/os-release)"
		[ ! -d "$DIR/boot" ] || mount --bind "$DIR/boot" /boot
		[ ! -d "$DIR/efi" ] || mount --bind "$DIR/efi" /mnt
		exec "$@"' - "$@"
	echo "$output"
	[ ! -e "$DIR/called" ]
}

# lacks COMMAND... - they are not there
lacks()
{
	local cmd

	cp -r "$BIN" "$DIR/lacking"
	BIN=$DIR/lacking
	for cmd; do
		rm -f "$BIN/$cmd"
	done
}

# source_tree DIR [VERSION] - a kernel's source, as much of it as is copied
source_tree()
{
	local v=${2:-6.9.1}

	mkdir -p "$1/arch/x86/kvm" "$1/virt/kvm"
	: >"$1/arch/x86/kvm/x86.c"
	: >"$1/virt/kvm/kvm_main.c"
	echo 'kvm-y := x86.o' >"$1/arch/x86/kvm/Makefile"
	printf 'VERSION = %s\nPATCHLEVEL = %s\nSUBLEVEL = %s\n' "${v%%.*}" "$(cut -d . -f 2 <<<"$v")" "${v##*.}" >"$1/Makefile"
}

# build_dir DIR RELEASE [CONFIG...] - a prepared build directory of Linux 6.9.1, which makes of
# each module an object that modinfo can read, and keeps what it was called with
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

# installed_kernel RELEASE [CONFIG...] - /lib/modules of it, with a build directory there
installed_kernel()
{
	mkdir -p "$DIR/modules/$1/kernel/arch/x86/kvm"
	build_dir "$DIR/modules/$1/build" "$@"
}

@test "systems: what a build lacks is named as the system calls it" {
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
	[[ $output == *"by other means, what Debian calls make patch libelf1 gcc"* ]]
	[ "${#lines[@]}" -eq 1 ]
}

@test "systems: what tells the races of a tree is named, too, and where it is not packaged" {
	installed_kernel 6.9.1-test
	source_tree "$DIR/tree"
	lacks spatch ctags
	on arch "$BUILD_MODULES" --kver 6.9.1-test --ksrc "$DIR/tree"
	[ "$status" -eq 2 ]
	[[ $output == *"what Debian calls coccinelle"* ]]
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
	# That kernel's own, where there are several.
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
	# What it keeps.
	sed -i "s,$DIR/\(env\|given\),$DIR/out/\1," "$DIR/obj/Makefile"
	on none env O="$DIR/out/build" setpriv --reuid 65534 --regid 65534 --clear-groups \
		"$BUILD_MODULES" --kbuild "$DIR/obj" --ksrc "$DIR/tree"
	[ "$status" -eq 0 ]
	[ "$(stat -c %u "$DIR/out/build/modules/6.9.1-own/patched/kvm.ko")" -eq 65534 ]
	# Again, with something to change in the copy, which is not read-only.
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
