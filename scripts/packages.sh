# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The packages that the project needs. The scripts use Debian's names; on other systems they
# install nothing, but print the command that would.
# lib.sh sources this file. The names for other systems are from their package lists, and were
# not tried there.

# Columns: Debian's name; the sign by which the package is recognized without dpkg (a command, a
# file of the compiler, or a library); the names for dnf, zypper and pacman: "-" if the system's
# own archive lacks it, commas between several
OTHER_PACKAGES='
acl		getfacl		acl			acl				acl
bc		bc		bc			bc				bc
binutils	objcopy		binutils		binutils			binutils
bison		bison		bison			bison				bison
busybox-static	busybox		busybox			busybox-static			busybox
clang		clang		clang			clang				clang
coccinelle	spatch		coccinelle		coccinelle			-
cpio		cpio		cpio			cpio				cpio
dwarves		pahole		dwarves			dwarves				pahole
flex		flex		flex			flex				flex
g++		g++		gcc-c++			gcc-c++				gcc
gawk		gawk		gawk			gawk				gawk
gcc		gcc		gcc			gcc				gcc
git		git		git			git				git
jq		jq		jq			jq				jq
kmod		modinfo		kmod			kmod				kmod
libc6-dev	libc.a		glibc-devel,glibc-static glibc-devel,glibc-devel-static	glibc
libelf1		libelf.so.1	elfutils-libelf		libelf1				libelf
lld		ld.lld		lld			lld				lld
llvm		llvm-objcopy	llvm			llvm				llvm
make		make		make			make				make
mount		mount		util-linux		util-linux			util-linux
openssl		openssl		openssl			openssl				openssl
patch		patch		patch			patch				patch
perl		perl		perl			perl				perl
qemu-system-x86	qemu-system-x86_64	qemu-system-x86-core	qemu-x86		qemu-system-x86
quilt		quilt		quilt			quilt				-
sparse		sparse		sparse			sparse				sparse
universal-ctags	ctags		ctags			ctags				ctags
xorriso		xorriso		xorriso			xorriso				libisoburn
xz-utils	xz		xz			xz				xz
zstd		zstd		zstd			zstd				zstd
'

# system_id - print debian, ubuntu, fedora (for RHEL, too), suse or arch; the ID of any other
# system
system_id()
{
	local id

	for id in $(sed -nE 's/^(ID|ID_LIKE)=//p' /etc/os-release 2>/dev/null | tr -d '"'\'); do
		case $id in
		debian|ubuntu|fedora|suse|arch) echo "$id"; return ;;
		rhel|centos) echo fedora; return ;;
		opensuse*|sles*) echo suse; return ;;
		esac
	done
	sed -nE 's/^ID=//p' /etc/os-release 2>/dev/null | tr -d '"'\'
}

# package_manager - print apt-get, dnf, yum, zypper or pacman; nothing if there is none of these.
# The system decides, as it may have another system's tool, too: Fedora has a package of apt.
package_manager()
{
	local one order='apt-get dnf yum zypper pacman'

	case $(system_id) in
	fedora) order='dnf yum' ;;
	suse) order=zypper ;;
	arch) order=pacman ;;
	esac
	for one in $order; do
		command -v "$one" >/dev/null || continue
		echo "$one"
		return
	done
}

# has_library NAME - does the dynamic linker know this library? Assume so where ldconfig -p
# prints nothing.
has_library()
{
	local known

	known=$(ldconfig -p 2>/dev/null) && [ -n "$known" ] || return 0
	[[ $known == *[[:space:]]"$1"[[:space:]]* ]]
}

# has_package NAME - is this package of Debian installed, or its sign found on another system?
has_package()
{
	local sign

	: "${MANAGER:=$(package_manager)}"
	if [ "$MANAGER" = apt-get ]; then
		grep -qx installed < <(dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null)
		return
	fi
	sign=$(awk -v name="$1" '$1 == name { print $2 }' <<<"$OTHER_PACKAGES")
	case $sign in
	'') return 1 ;;
	libc.a) [[ $(gcc -print-file-name=libc.a 2>/dev/null) == */* ]] ;;
	lib*.so.*) has_library "$sign" ;;
	*) command -v "$sign" >/dev/null ;;
	esac
}

# task_packages TASK - print the packages that TASK needs, by Debian's names: status and apply (of
# a tree), fetch (a kernel), modules (build a set), selftests (build them), tree (build a kernel),
# lab (prepare a boot), qemu, bochs and debian (the emulated host), check (all tests)
task_packages()
{
	case $1 in
	fetch) echo kmod xz-utils debian-archive-keyring ;;
	modules) echo gcc make patch kmod libelf1 coccinelle universal-ctags xz-utils ;;
	status) echo coccinelle universal-ctags ;;
	apply) echo coccinelle universal-ctags patch ;;
	selftests) echo gcc make libc6-dev ;;
	tree) echo gcc make flex bison bc libelf-dev libssl-dev perl kmod gawk libc6-dev busybox-static ;;
	lab) echo binutils busybox-static cpio gawk gcc kmod xz-utils ;;
	qemu|kvm) echo qemu-system-x86 ;;
	debian) echo mmdebstrap e2fsprogs ;;
	check)
		echo git perl bats jq python3-jsonschema libxml2-utils tidy shellcheck quilt sparse
		echo dwarves openssl zstd
		;;
	bochs)
		echo isolinux syslinux-common xorriso
		# The needs of bochs-build, unless Bochs is built already.
		[ -e "$BUILD/bochs/made-from" ] || echo bochsbios vgabios g++ make patch xz-utils
		;;
	*) die "$EX_USAGE" "task_packages: '$1' is no task" ;;
	esac
}

# has_task_package NAME - is this package installed, or its sign found?
has_task_package()
{
	local sign

	has_package "$1" && return
	sign=$(awk -v name="$1" '$1 == name { print $2 }' <<<"$OTHER_PACKAGES")
	case $1:$sign in
	# A command of that name may be another program.
	busybox-static:*|libc6-dev:*|*:) return 1 ;;
	*:lib*.so.*) has_library "$sign" ;;
	*) command -v "$sign" >/dev/null ;;
	esac
}

# unreached_mirror LOG - print the host that apt-get could not reach, by its log; nothing if it
# reached all
unreached_mirror()
{
	sed -nE "s/.*(Temporary failure resolving|Could not resolve|Could not connect to|Cannot initiate the connection to|Unable to connect to) '?([^ ':]+)'?.*/\2 (\1)/p" "$1" |
		head -n 1
}

# install_command NAME... - print the command of this system that installs these packages
install_command()
{
	local manager column=0 name words present=() elsewhere=()

	manager=$(package_manager)
	case $manager in
	apt-get) echo "apt-get install $*"; return ;;
	dnf|yum) column=3 ;;
	zypper) column=4 ;;
	pacman) column=5 ;;
	esac
	for name; do
		read -r -a words < <(awk -v name="$name" -v column=$column \
			'column && $1 == name && $column != "-" { print $column }' <<<"$OTHER_PACKAGES" | tr , ' ')
		if [ ${#words[@]} -gt 0 ]; then present+=("${words[@]}"); else elsewhere+=("$name"); fi
	done
	case $manager in
	dnf|yum|zypper) name="$manager install" ;;
	pacman) name="pacman -S --needed" ;;
	esac
	[ ${#present[@]} -eq 0 ] || printf '%s %s' "$name" "${present[*]}"
	[ ${#present[@]} -eq 0 ] || [ ${#elsewhere[@]} -eq 0 ] || printf '; and '
	[ ${#elsewhere[@]} -eq 0 ] || printf 'by other means, the packages that Debian calls %s' "${elsewhere[*]}"
	echo
}

# kernel_advice PART KVER - print the command that installs a part of the kernel KVER: headers
# (its build directory), image (its modules, once more), or source
kernel_advice()
{
	case $(system_id):$1 in
	fedora:headers) echo "dnf install kernel-devel-$2" ;;
	fedora:image) echo "dnf reinstall 'kernel-*core-$2'" ;;
	fedora:source) echo "dnf download --source kernel-core-$2, and unpack it: rpmbuild -bp" ;;
	suse:headers) echo "zypper install kernel-${2##*-}-devel" ;;
	suse:image) echo "zypper install --force kernel-${2##*-}" ;;
	suse:source) echo "zypper install kernel-source" ;;
	arch:headers) echo "pacman -S $(arch_kernel "$2")-headers" ;;
	arch:image) echo "pacman -S $(arch_kernel "$2")" ;;
	arch:source) echo "pkgctl repo clone $(arch_kernel "$2"), and makepkg --nobuild" ;;
	ubuntu:image) echo "apt-get install --reinstall linux-modules-$2" ;;
	ubuntu:source) echo "apt-get source linux-image-unsigned-$2" ;;
	*:headers) echo "apt-get install linux-headers-$2" ;;
	*:image) echo "apt-get install --reinstall linux-image-$2" ;;
	*) echo "apt-get source linux-image-$2" ;;
	esac
}

# arch_kernel KVER - print Arch's package of that kernel: linux, linux-lts...
arch_kernel()
{
	cat "/lib/modules/$1/pkgbase" 2>/dev/null || echo linux
}
