#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# README's commands on a machine that has nothing but make, git and the packages of every Debian,
# as root and as a user, with and without a network: the first line that a user sees has to name
# the missing packages. dpkg and apt are imitated, as a bare Debian would take too long.
#
# shellcheck disable=SC2016 # shells in namespaces

bats_require_minimum_version 1.5.0

setup_file()
{
	local cmd

	# The commands of a bare Debian.
	export BIN=$BATS_FILE_TMPDIR/bin
	mkdir "$BIN"
	for cmd in bash sh cat cp mv rm ln ls mkdir rmdir mktemp touch chmod chown readlink dirname \
		basename df du date sort uniq head tail cut tr wc paste tee comm join od dd stat seq env \
		printf echo true false test expr sleep nproc uname id sha256sum md5sum numfmt truncate \
		sed grep mawk awk find xargs tar gzip diff cmp mount umount unshare flock setsid kill \
		ps perl make git getconf ldd timeout nice fold dpkg nohup; do
		cmd=$(type -P "$cmd") || continue
		ln -sf "$cmd" "$BIN/"
	done
	export PROJECT=$BATS_FILE_TMPDIR/project
	mkdir "$PROJECT"
	(cd "$BATS_TEST_DIRNAME/../.." && git ls-files -z |
		tar -c --null -T - --exclude='*.patch' --exclude='selftests/logs') | tar -x -C "$PROJECT"
	git init -q "$PROJECT"
}

setup()
{
	export DIR=$BATS_TEST_TMPDIR
	export O=$DIR/build
	mkdir "$DIR/bin"
	unset RACE KERNEL HOST RUNS WITHOUT KVER KSRC KBUILD DPKG_RUNNING_VERSION MAKEFLAGS
	stub dpkg-query 'exit 1'
	stub apt-get 'echo "apt-get was called" >&2; exit 1'
	cd "$PROJECT" || return
}

# stub NAME TEXT - make a command of that name
stub()
{
	printf '#!/bin/sh\n%s\n' "$2" >"$DIR/bin/$1"
	chmod +x "$DIR/bin/$1"
}

# as USER COMMAND... - run it as root or joe with only the commands of such a machine
as()
{
	# The stub has only the output that the scripts use.
	if [ "$1" = root ]; then stub id 'echo 0'; else stub id 'echo 1000'; fi
	shift
	# A make above this one, as in make check, must not affect it.
	run env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL PATH="$DIR/bin:$BIN" "$@"
	echo "$output"
}

# asked_for PACKAGE... - did the last command ask for all of these in its first line, once?
asked_for()
{
	local pkg

	[ "$status" -eq 2 ]
	[[ ${lines[0]} == *"error: packages are missing; as root: apt-get install "* ]]
	[ "$(grep -c "apt-get install" <<<"$output")" -eq 1 ]
	for pkg; do
		grep -qw -- "$pkg" <<<"${lines[0]}" || { echo "not asked for: $pkg"; return 1; }
	done
}

LAB=(gcc libc6-dev patch busybox-static cpio gawk binutils coccinelle universal-ctags)

@test "newcomer: as a user, the demo asks for all that it needs in one line" {
	as joe make demo
	asked_for "${LAB[@]}" qemu-system-x86 isolinux syslinux-common xorriso bochsbios vgabios 'g++'
	as joe make demo RACE=tdp-mmu-zap HOST=qemu
	asked_for "${LAB[@]}" qemu-system-x86
	[[ $output != *isolinux* ]]
}

@test "newcomer: as a user, each build asks for all that it needs in one line" {
	as joe make modules KERNEL=6.1
	asked_for gcc patch coccinelle universal-ctags
	as joe make selftests
	asked_for gcc libc6-dev
	as joe make -C selftests run_tests
	[[ $output == *"packages are missing; as root: apt-get install "*gcc* ]]
	as joe make deb
	[[ $output == *"packages are missing; as root: apt-get install dpkg-dev debhelper"* ]]
}

@test "newcomer: as a user, the tests ask for all that they need in one line" {
	as joe make check-quick
	asked_for "${LAB[@]}" bats shellcheck quilt sparse
	as joe make check
	asked_for "${LAB[@]}" bats shellcheck quilt sparse qemu-system-x86 xorriso mmdebstrap
	as joe make sweep RACE=gpc-refresh
	asked_for "${LAB[@]}" qemu-system-x86
	as joe scripts/mutations
	asked_for "${LAB[@]}" qemu-system-x86 xorriso
	as joe scripts/soak
	asked_for "${LAB[@]}" qemu-system-x86
	as joe scripts/kvm-selftests --host bochs
	asked_for "${LAB[@]}" xorriso
}

@test "newcomer: as root, one run of apt installs all" {
	stub apt-get "echo \"\$*\" >>$DIR/calls; case \$* in *install*) echo 'E: no' >&2; exit 100 ;; esac"
	as root make demo
	[ "$status" -eq 2 ]
	[[ $output == *"apt-get could not install "* ]]
	cat "$DIR/calls"
	[ "$(grep -c install "$DIR/calls")" -eq 1 ]
	grep -qw qemu-system-x86 "$DIR/calls"
	grep -qw xorriso "$DIR/calls"
	grep -qw coccinelle "$DIR/calls"
}

@test "newcomer: as root without a network, the network is the cause, and is named once" {
	stub apt-get 'case $* in
	*update*) echo "Err:1 http://mirror.example/debian trixie InRelease"
		echo "  Temporary failure resolving '\''mirror.example'\''" ;;
	*) echo "E: Unable to locate package gcc" >&2; exit 100 ;;
	esac'
	for target in demo selftests check-quick deb "modules KERNEL=6.1"; do
		# shellcheck disable=SC2086 # words
		as root make $target
		[ "$status" -eq 2 ]
		[ "$(grep -c "cannot reach the mirror: mirror.example" <<<"$output")" -eq 1 ]
		[[ $output != *"Unable to locate"* ]]
	done
}

# no_archive WHAT-APT-SAYS - all packages are installed, and apt cannot fetch package lists
no_archive()
{
	stub dpkg-query 'echo installed'
	stub apt-config ':'
	stub apt-get "case \$* in
	*--print-uris*) echo \"'http://mirror.example/debian/dists/bookworm/InRelease' x 0\"
		echo \"'http://mirror.example/debian/dists/trixie/InRelease' x 0\" ;;
	*) echo \"$1\" >&2; exit 100 ;;
	esac"
	stub depmod ':'
	stub modinfo ':'
	[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || skip "this takes Debian's keyring"
}

@test "newcomer: without a network, a kernel cannot be fetched, and the network is the cause" {
	no_archive "  Temporary failure resolving 'mirror.example'"
	as joe scripts/kernel-get 6.1
	[ "$status" -eq 2 ]
	[ "$(grep -c "error: " <<<"$output")" -eq 1 ]
	[[ $output == *"cannot reach the mirror: mirror.example"* ]]
}

@test "newcomer: a suite that the mirror has dropped is distinguished from a missing network" {
	no_archive "E: The repository 'http://mirror.example/debian bookworm Release' does not have a Release file."
	as joe scripts/kernel-get 6.1
	[ "$status" -eq 4 ]
	[[ $output == *"the mirror does not have it (any more)"* ]]
	# Another part of the kernel was fetched before.
	as joe scripts/modules/kernel-source 6.1.192-3 "$DIR/source"
	[ "$status" -eq 4 ]
	[[ $output == *"linux-source-6.1 6.1.192-3 cannot be had"* ]]
}

# a_lab - make a copy of the project in which kernels, plans and runs are stubs
a_lab()
{
	LAB_COPY=$DIR/project
	mkdir "$LAB_COPY"
	cp -r "$PROJECT/scripts" "$PROJECT/selftests" "$PROJECT/VERSION" "$LAB_COPY/"
	stub dpkg-query 'echo installed'
	stub ../project/scripts/modules/kernel-get "for k; do :; done
	case \" $1 \" in *\" \$k \"*) echo \"kernel-get: error: it has no kernel \$k\" >&2; exit 4 ;; esac
	mkdir -p $O/kernels/\$k && echo \$k.0-1 >$O/kernels/\$k/release"
	stub ../project/scripts/modules/modules-build 'exit 0'
	stub ../project/scripts/lab/bochs-build 'exit 0'
	stub ../project/scripts/lab/plan/demo 'echo "$*"'
	stub ../project/scripts/lab/run 'exit 0'
	stub ../project/scripts/lab/report 'echo "the table"'
}

@test "newcomer: a kernel that cannot be had costs its own rows, with a sentence" {
	a_lab 5.10
	run -0 "$LAB_COPY/scripts/lab/demo"
	[[ $output == *"the table"*"5.10 has no rows: the archive does not have all that it needs"* ]]
	grep -q -- '--kernel 6.1' "$O/demo/plan.tsv"
	[ "$(grep -c -- '--kernel 5.10' "$O/demo/plan.tsv")" -eq 0 ]
}

# a_kernel_of LINE GCC - make a kernel with headers of a release that has this compiler
a_kernel_of()
{
	local kbuild=$O/kernels/$1/kbuild

	mkdir -p "$kbuild/include/generated" "$O/kernels/$1/headers"
	echo "#define UTS_RELEASE \"$1.0-1\"" >"$kbuild/include/generated/utsrelease.h"
	echo "CC = x86_64-linux-gnu-gcc-$2" >"$kbuild/.kernelvariables"
	printf 'CONFIG_KVM=m\nCONFIG_KPROBES=y\nCONFIG_FUNCTION_TRACER=y\n' >"$kbuild/.config"
	: >"$kbuild/Module.symvers"
	echo "gcc-$2" >"$O/kernels/$1/headers/needs"
}

@test "newcomer: so does one whose release, with the compiler that it takes, has left the mirrors" {
	# A machine with gcc 16 builds for 6.1 itself, and not for 5.10.
	a_lab ""
	cp "$PROJECT/scripts/modules/modules-build" "$LAB_COPY/scripts/modules/"
	cp -r "$PROJECT/src" "$LAB_COPY/"
	a_kernel_of 5.10 10
	a_kernel_of 6.1 12
	stub gcc 'echo 16.1.0'
	stub ldd 'exit 1'
	stub modinfo ':'
	stub ../project/scripts/modules/apt-private 'case $1 in *bullseye*)
		echo "apt-private: error: cannot fetch the package lists of $1; the mirror does not have it (any more)" >&2; exit 4 ;;
	esac
	echo "asked for $*" >&2; exit 2'
	PATH=$DIR/bin:$BIN run -0 "$LAB_COPY/scripts/lab/demo"
	[[ $output == *"cannot fetch the package lists of bullseye,bullseye-security"*"the table"*"5.10 has no rows: the archive does not have all that it needs"* ]]
	grep -q -- '--kernel 6.1' "$O/demo/plan.tsv"
	[ "$(grep -c -- '--kernel 5.10' "$O/demo/plan.tsv")" -eq 0 ]
	[ ! -e "$O/kernels/5.10/root" ]
}

@test "newcomer: if none of the kernels can be had, this is reported, and there is no table" {
	a_lab "5.10 6.1"
	run -4 "$LAB_COPY/scripts/lab/demo"
	[[ $output == *"no kernel is left to run"* && $output != *"the table"* ]]
}

@test "newcomer: the demo of one race fetches only the kernels that have it" {
	a_lab ""
	RACE=tdp-mmu-zap run -0 "$LAB_COPY/scripts/lab/demo"
	[ -e "$O/kernels/6.1" ] && [ ! -e "$O/kernels/5.10" ]
}

# built_here GCC KERNELS-GCC - would this machine, with such a compiler, build for that kernel?
built_here()
{
	mkdir -p "$DIR/kbuild"
	echo "CC = x86_64-linux-gnu-gcc-$2" >"$DIR/kbuild/.kernelvariables"
	stub gcc "echo $1.2.0"
	stub ldd 'exit 1'
	PATH=$DIR/bin:$BIN KBUILD=$DIR/kbuild bash -c '. scripts/lib.sh; . scripts/modules/kbuild/root.sh; runs_here'
}

@test "newcomer: a compiler that is too old or too new for a kernel makes the build use its release's own" {
	built_here 12 10
	built_here 14 10
	built_here 14 14
	run ! built_here 16 10
	run ! built_here 12 14
}

# local_deb NAME VERSION - make a package in DIR/debs
local_deb()
{
	mkdir -p "$DIR/debs" "$DIR/$1/DEBIAN" "$DIR/$1/usr/share/$1"
	printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: a <a@example.com>\nDescription: x\n' \
		"$1" "$2" >"$DIR/$1/DEBIAN/control"
	dpkg-deb -b "$DIR/$1" "$DIR/debs/$1_$2_all.deb" >/dev/null
}

# a_mirror_without_it - make apt report that the suite is not on the mirror, and then call the real
# one. The mirror is found by this machine's own suite.
a_mirror_without_it()
{
	# shellcheck disable=SC2016 # the stub expands it
	stub apt-get 'case $* in
	*--print-uris*) . /etc/os-release; echo "'\''http://mirror.example/debian/dists/${VERSION_CODENAME:-sid}/InRelease'\'' x 0" ;;
	*) if grep -q mirror.example "$(sed -n "s/Dir::Etc::sourcelist \"\(.*\)\";/\1/p" "$APT_CONFIG")"; then
		echo "E: The repository has no more: does not have a Release file."; exit 100
	fi; exec /usr/bin/apt-get "$@" ;;
	esac'
}

@test "newcomer: local packages stand for a mirror that cannot be reached, or has dropped a suite" {
	export DEBS=$DIR/debs
	unshare -n true || skip "this takes namespaces, and root"
	local_deb linux-source-9.9 9.9.1-1
	run -0 unshare -n scripts/modules/apt-private bookworm cache policy linux-source-9.9
	[[ $output == *"taking $DEBS alone"*9.9.1-1* ]]
	unshare -n scripts/modules/apt-private bookworm download linux-source-9.9=9.9.1-1 "$DIR/got"
	cmp "$DIR"/got/*.deb "$DIR"/debs/*.deb

	rm -rf "$O/apt"
	a_mirror_without_it
	PATH=$DIR/bin:$PATH run -0 scripts/modules/apt-private bookworm cache policy linux-source-9.9
	[[ $output == *"the mirror has no bookworm; taking $DEBS"*9.9.1-1* ]]
	# Without local packages this is an error.
	DEBS='' PATH=$DIR/bin:$PATH run -4 scripts/modules/apt-private bookworm cache policy linux-source-9.9
	[[ $output == *"the mirror does not have it"* ]]
}

# an_archive SUITE DIR PACKAGE - make a signed repository with that package of DIR/debs, which has
# expired, as an archive's has
an_archive()
{
	local suite=$1 dir=$2 deb=$DIR/debs/$3 packages=main/binary-amd64/Packages

	mkdir -p "$dir/pool" "$dir/dists/$suite/main/binary-amd64"
	cp "$deb" "$dir/pool/"
	{
		dpkg-deb -f "$deb"
		printf 'Filename: pool/%s\nSize: %s\nSHA256: %s\n' "$3" "$(stat -c %s "$deb")" "$(sha256sum "$deb" | cut -d ' ' -f 1)"
	} >"$dir/dists/$suite/$packages"
	(
		cd "$dir/dists/$suite" || exit
		printf 'Origin: Debian\nSuite: %s\nCodename: %s\nComponents: main\nArchitectures: amd64\n' "$suite" "$suite"
		printf 'Date: Sat, 01 Jan 2022 00:00:00 UTC\nValid-Until: Sun, 02 Jan 2022 00:00:00 UTC\nSHA256:\n'
		printf ' %s %s %s\n' "$(sha256sum $packages | cut -d ' ' -f 1)" "$(stat -c %s $packages)" $packages
	) >"$dir/Release"
	gpg --batch --clearsign -o "$dir/dists/$suite/InRelease" "$dir/Release"
}

# with_keyring FILE COMMAND... - run it with FILE as Debian's keyring
with_keyring()
{
	unshare -m --propagation private bash -c 'mount --bind "$0" /usr/share/keyrings/debian-archive-keyring.gpg && exec "$@"' "$@"
}

@test "newcomer: an archive stands for a mirror that has dropped a suite, if Debian has signed it" {
	local debians=/usr/share/keyrings/debian-archive-keyring.gpg suites=bookworm,bookworm-security

	unshare -m true || skip "this takes namespaces, and root"
	command -v gpg >/dev/null || skip "this takes gpg"
	export GNUPGHOME=$DIR/gpg ARCHIVE=file:$DIR/archive/debian
	mkdir -m 700 "$GNUPGHOME"
	gpg --batch --quick-gen-key --passphrase '' archive@example.com rsa2048 sign never
	gpg --batch --export >"$DIR/keyring.gpg"
	local_deb linux-source-9.9 9.9.1-1
	local_deb linux-source-8.8 8.8.1-1
	an_archive bookworm "$DIR/archive/debian" linux-source-9.9_9.9.1-1_all.deb
	an_archive bookworm-security "$DIR/archive/debian-security" linux-source-8.8_8.8.1-1_all.deb
	a_mirror_without_it
	PATH=$DIR/bin:$PATH
	run -0 with_keyring "$DIR/keyring.gpg" scripts/modules/apt-private $suites cache policy linux-source-9.9
	[[ $output == *"the mirror has no $suites; taking $ARCHIVE"*9.9.1-1* ]]
	with_keyring "$DIR/keyring.gpg" scripts/modules/apt-private $suites \
		download linux-source-9.9=9.9.1-1 linux-source-8.8=8.8.1-1 "$DIR/got"
	cmp "$DIR"/got/linux-source-9.9*.deb "$DIR"/debs/linux-source-9.9*.deb
	cmp "$DIR"/got/linux-source-8.8*.deb "$DIR"/debs/linux-source-8.8*.deb
	# A package that the archive lacks, too, is gone.
	run -4 with_keyring "$DIR/keyring.gpg" scripts/modules/apt-private bullseye cache policy linux-source-9.9
	[[ $output == *"the mirror does not have it"* ]]
	rm -rf "$O/apt"
	run -2 with_keyring $debians scripts/modules/apt-private $suites cache policy linux-source-9.9
	[[ $output == *"is not signed"* || $output == *NO_PUBKEY* ]]
}

@test "newcomer: a full disk is asked about only where it is full" {
	local full=$DIR/full

	run bash -c '. scripts/lib.sh; die 2 "cannot write $0/x (is the disk full?)"' "$DIR"
	[[ ${lines[0]} == *"error: cannot write $DIR/x" ]] || [ "$(df -Pm "$DIR" | awk 'NR == 2 { print $4 }')" -lt 32 ]
	mkdir "$full"
	run unshare -m --propagation private bash -c 'mount -t tmpfs -o size=1m none "$0" || exit 77
		. scripts/lib.sh; die 2 "cannot write $0/no/such (is the disk full?)"' "$full"
	[ "$status" -ne 77 ] || skip "this takes namespaces, and root"
	[[ $output == *"cannot write $full/no/such (is the disk full?)"* ]]
}
