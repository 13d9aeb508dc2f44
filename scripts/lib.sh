# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Shared by every script of the project: messages, exit codes, paths, command lines and
# packages.
#
# Scripts in the folders source it before they do anything else:
#	. "$(dirname "$(readlink -f "$0")")/../lib.sh"
#
# The folders are floors: a script uses only its own folder and those before it (lint checks).
#	tree/		a kernel's source: the races it has, the patches it lacks
#	modules/	kernels, their sources, and the modules that are built for them
#	host/		this machine: the modules that are loaded and installed
#	lab/		emulated hosts, and their tests and demos; guest/ runs inside of one
# The links in this directory are short names of the commands.
#
# Exit codes, the same in every script unless its header says otherwise:
#	0  done		1  the answer is "no" (a test failed, a race shows)
#	2  used wrongly, or something that the script needs is missing
#	3  an emulated host died, hung or never came up
#	4  the archive does not have the kernel (any more)

EX_NO=1
EX_USAGE=2
EX_HOST=3
EX_GONE=4

TOP=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
# All generated files are in this directory; O= moves it, as in the kernel's own build.
BUILD=${O:-$TOP/build}
# The kernel lines that are used if none is named.
KERNEL_LINES="5.10 6.1"
# Further lines that KERNEL= takes: their modules need the compiler of their release.
MORE_LINES="6.12 7.2 7.3"
export TOP BUILD EX_NO EX_USAGE EX_HOST EX_GONE KERNEL_LINES MORE_LINES

# depmod and modinfo are not in the path of an ordinary user.
PATH=$PATH:/usr/sbin:/sbin

# shellcheck source=scripts/packages.sh
. "$TOP/scripts/packages.sh"

PROG=${0##*/}

# is_tight DIR - is the disk of DIR nearly full? If DIR does not exist, its nearest parent counts.
is_tight()
{
	local dir=$1

	while [ ! -e "$dir" ]; do
		dir=$(dirname "$dir")
	done
	[ "$(df -Pm "$dir" 2>/dev/null | awk 'NR == 2 { print $4 < 32 }')" = 1 ]
}

# checked_guess TEXT... - print TEXT, without its "(is the disk full?)" unless a disk of a path in
# TEXT, of build/ or of TMPDIR is
checked_guess()
{
	local text=$* word

	if [[ $text == *" (is the disk full?)"* ]]; then
		for word in $text "$BUILD" "${TMPDIR:-/tmp}"; do
			if [[ $word == /* ]] && is_tight "$word"; then
				printf '%s\n' "$text"
				return
			fi
		done
		text=${text/" (is the disk full?)"/}
	fi
	printf '%s\n' "$text"
}

# say TEXT... - print a progress message to stderr
say()
{
	printf '%s: %s\n' "$PROG" "$(checked_guess "$@")" >&2
}

# warn TEXT... - print a warning to stderr
warn()
{
	printf '%s: warning: %s\n' "$PROG" "$*" >&2
}

# die CODE TEXT... - print an error, which names the way out if there is one; exit with CODE
die()
{
	local code=$1

	shift
	printf '%s: error: %s\n' "$PROG" "$(checked_guess "$@")" >&2
	exit "$code"
}

# usage_from_header FILE - print FILE's leading comment block, which is its usage text
usage_from_header()
{
	sed -n '4,/^[^#]*$/{/^#/s/^# \{0,1\}//p}' "$1"
}

# usage - print the script's usage text to stderr and exit with EX_USAGE
usage()
{
	usage_from_header "$0" >&2
	exit $EX_USAGE
}

# on_exit COMMAND... - run COMMAND when this script ends, also by SIGINT, SIGTERM or SIGHUP
on_exit()
{
	exit_command=("$@")
	trap '"${exit_command[@]}"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	trap 'exit 129' HUP
}

# end_groups PID... - terminate the process groups of these children of the shell, and wait for them
end_groups()
{
	local pid

	for pid; do
		kill -TERM -- "-$pid" 2>/dev/null
	done
	wait 2>/dev/null
}

# options "WORD..." ARGUMENT... - parse a command line. A word of the first argument is
#	--name		sets $name to "yes"
#	--name=		takes a value: sets $name, with _ for -; --name=variable sets $variable
#	--name+array	takes a value, which is appended to the array; may be repeated
#	0, 1, ...	the highest number of other arguments; without it any number
# Other arguments, and all that follow "--", end up in the array args. --help prints the header
# and exits; an option that is not in the list prints it to stderr, and exits with EX_USAGE.
options()
{
	local option_words=$1 option_word option_name option_most=''

	shift
	args=()
	while [ $# -gt 0 ]; do
		case $1 in
		-h|--help) usage_from_header "$0"; exit 0 ;;
		--) args+=("${@:2}"); break ;;
		-?*) ;;
		*) args+=("$1"); shift; continue ;;
		esac
		for option_word in $option_words ''; do
			[ "${option_word%%[=+]*}" != "$1" ] || break
		done
		option_name=${option_word#"$1"} option_name=${option_name#[=+]}
		[ -n "$option_name" ] || option_name=${1#--} option_name=${option_name//-/_}
		case $option_word in
		'') usage ;;
		*[=+]*) [ $# -ge 2 ] || { say "error: $1 needs a value"; usage; } ;;&
		*=*) printf -v "$option_name" %s "$2"; shift ;;
		*+*)
			local -n option_list=$option_name
			option_list+=("$2")
			shift
			;;
		*) printf -v "$option_name" yes ;;
		esac
		shift
	done
	for option_word in $option_words; do
		case $option_word in [0-9]) option_most=$option_word ;; esac
	done
	[ "${#args[@]}" -le "${option_most:-${#args[@]}}" ] || usage
}

# need_package COMMAND PACKAGE - make COMMAND available, from PACKAGE of the
# machine's own release; only root can install, other users get the command to type.
# COMMAND may also be a file's absolute path.
need_package()
{
	local cmd=$1 pkg=$2

	case $cmd in
	/*) [ -e "$cmd" ] && return 0 ;;
	*) command -v "$cmd" >/dev/null 2>&1 && return 0 ;;
	esac
	need_packages "$pkg"
}

# need_packages PACKAGE... - make a list of packages available, by one run of apt-get
need_packages()
{
	local pkg missing=()

	for pkg in "$@"; do
		has_package "$pkg" || missing+=("$pkg")
	done
	[ ${#missing[@]} -eq 0 ] && return 0
	[ "$(package_manager)" = apt-get ] ||
		die $EX_USAGE "packages are missing, and only Debian's are installed from here; as root:" "$(install_command "${missing[@]}")"
	[ "$(id -u)" -eq 0 ] ||
		die $EX_USAGE "packages are missing; as root: apt-get install ${missing[*]}"
	# In a maintainer script dpkg holds its lock, so that apt-get would fail.
	[ -z "${DPKG_RUNNING_VERSION-}" ] ||
		die $EX_USAGE "packages are missing; as root: apt-get install ${missing[*]}"
	say "installing ${missing[*]}"
	mkdir -p "$BUILD/log"
	# Two scripts of one demo may need packages at the same moment.
	if ! (
		flock 9
		apt-get update -q &&
		DEBIAN_FRONTEND=noninteractive apt-get install -q -y \
			--no-install-recommends "${missing[@]}"
	) 9>"$BUILD/log/apt.lock" >"$BUILD/log/apt-install.log" 2>&1; then
		[ -z "$(unreached_mirror "$BUILD/log/apt-install.log")" ] ||
			die $EX_USAGE "cannot reach the mirror: $(unreached_mirror "$BUILD/log/apt-install.log");" \
				"these packages have to come from there: ${missing[*]}"
		grep -E '^E: ' "$BUILD/log/apt-install.log" | head -n 5 >&2
		die $EX_USAGE "apt-get could not install ${missing[*]}; see $BUILD/log/apt-install.log"
	fi
}

# need_for TASK... - make the packages of these tasks of task_packages available, all at once. A
# command that is already there needs no package.
need_for()
{
	local task pkg missing=()

	for pkg in $(for task; do task_packages "$task" || exit; done | tr ' ' '\n' | awk '!seen[$0]++'); do
		has_task_package "$pkg" || missing+=("$pkg")
	done
	[ ${#missing[@]} -eq 0 ] || need_packages "${missing[@]}"
}

# counted N ONE MANY - print "1 host" or "2 hosts", for instance
counted()
{
	if [ "$1" -eq 1 ]; then echo "1 $2"; else echo "$1 $3"; fi
}

# need_space DIR MIB - exit if the disk of DIR has less free space, before the work starts
need_space()
{
	local dir=$1 want=$2 have

	mkdir -p "$dir" || die $EX_USAGE "cannot create $dir"
	have=$(df -Pm "$dir" | awk 'NR == 2 { print $4 }')
	[ "$have" -ge "$want" ] ||
		die $EX_USAGE "$dir has $have MiB free and $want MiB are needed; free some space or set O= to another disk"
}

# give_back - after work as root in another user's checkout: make that user the owner of the new
# files in build/, which they could neither change nor remove otherwise
give_back()
{
	local owner

	[ "$(id -u)" -eq 0 ] && [ -d "$BUILD" ] || return 0
	owner=$(stat -c %u:%g "$TOP")
	case $(readlink -f "$BUILD")/ in "$TOP"/*) ;; *) return 0 ;; esac
	[ "${owner%:*}" != 0 ] || return 0
	find "$BUILD" -xdev -uid 0 -exec chown -h "$owner" {} +
}

# need_own DIR - exit if DIR belongs to another user, such as root, and cannot be written
need_own()
{
	[ ! -e "$1" ] || [ -w "$1" ] || die $EX_USAGE "$1 belongs to $(stat -c %U "$1"): sudo chown -R $(id -un) $1, or set O= to another directory"
}

# run_killable COMMAND... - run COMMAND, and end it as soon as this shell gets SIGINT or SIGTERM;
# bash runs a trap only after its foreground command has ended
run_killable()
{
	local rc=0 pid before

	before=$(trap -p INT TERM)
	"$@" &
	pid=$!
	trap 'kill -TERM $pid; wait $pid; exit 130' INT
	trap 'kill -TERM $pid; wait $pid; exit 143' TERM
	wait $pid || rc=$?
	trap - INT TERM
	eval "$before"
	return $rc
}

# places_of KERNEL - print the Debian suites that may have a kernel line, or a version such as
# 6.1.176-1 or 6.1.176: one argument for apt-private on each line, to be tried in this order.
# Fails if KERNEL is neither.
places_of()
{
	local backports=trixie,trixie-security,trixie-backports

	case $1 in
	5.10) echo bullseye-security ;;
	6.1) echo bookworm,bookworm-security ;;
	6.12) echo trixie,trixie-security ;;
	7.2) echo sid ;;
	7.3) echo $backports ;;
	*)
		is_version "$1" || return
		case $1 in
		# The version names the release for which a backport was built.
		*~deb11*) echo bullseye-security ;;
		*~deb12*) echo bookworm,bookworm-security ;;
		*~bpo13*) echo $backports ;;
		5.10.*) printf '%s\n' bullseye-security bullseye ;;
		6.1.*) printf '%s\n' bookworm,bookworm-security bullseye-security ;;
		6.12.*) printf '%s\n' trixie,trixie-security bookworm,bookworm-security ;;
		*-*) echo sid ;;
		*) printf '%s\n' $backports sid ;;
		esac
		;;
	esac
}

# suites_of KERNEL - print the first line of places_of
suites_of()
{
	local places

	places=$(places_of "$1") || return
	printf '%s\n' "${places%%$'\n'*}"
}

# is_version NAME - is NAME a Debian version of a kernel, or its beginning, X.Y.Z?
is_version()
{
	[[ $1 =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9][0-9A-Za-z.+~]*)?$ ]]
}

# kernel_line KERNEL - print the line X.Y of a kernel line or version
kernel_line()
{
	local major minor

	IFS=. read -r major minor _ <<<"$1"
	printf '%s.%s\n' "$major" "${minor%%[!0-9]*}"
}
