# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Shared by every script of the project: messages, exit codes, paths, and a way
# to make a result appear whole or not at all.
#
# Source it first thing, from a script in one of the folders:
#	. "$(dirname "$(readlink -f "$0")")/../lib.sh"
#
# The folders are floors: what is in one uses what is in those before it (lint checks).
#	tree/		a kernel's source: which races it has, what it lacks
#	modules/	kernels, their sources, and the modules that are built for them
#	host/		the machine that this runs on: what is loaded and installed
#	lab/		emulated hosts, and what is shown in them; guest/ runs inside of one
# Links here are the short names of what people run.
#
# Exit codes, the same in every script unless its header says otherwise:
#	0  done		1  the answer is "no" (a test failed, a race shows)
#	2  used wrongly, or something this needs is missing
#	3  an emulated host died, hung or never came up
#	4  the archive does not have it (any more)

EX_NO=1
EX_USAGE=2
EX_HOST=3
EX_GONE=4

TOP=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
# Everything generated lies below here; O= moves it, as in the kernel's own build.
BUILD=${O:-$TOP/build}
# The kernel lines that the README, CI and scripts go by if none is named.
KERNEL_LINES="5.10 6.1"
# What KERNEL= takes besides: their modules need the compiler of their release.
MORE_LINES="6.12 7.2 7.3"
export TOP BUILD EX_NO EX_USAGE EX_HOST EX_GONE KERNEL_LINES MORE_LINES

# depmod and modinfo are not in the path of an ordinary user.
PATH=$PATH:/usr/sbin:/sbin

# shellcheck source=scripts/packages.sh
. "$TOP/scripts/packages.sh"

PROG=${0##*/}

# is_tight DIR - is the disk nearly full that has DIR, or what exists of that path?
is_tight()
{
	local dir=$1

	while [ ! -e "$dir" ]; do
		dir=$(dirname "$dir")
	done
	[ "$(df -Pm "$dir" 2>/dev/null | awk 'NR == 2 { print $4 < 32 }')" = 1 ]
}

# checked_guess TEXT... - TEXT, in which "(is the disk full?)" stays only if one is, of those that
# its paths, build/ and TMPDIR are on
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

# say TEXT... - a step that a person waits for, on stderr
say()
{
	printf '%s: %s\n' "$PROG" "$(checked_guess "$@")" >&2
}

# warn TEXT... - something odd that does not stop the work, on stderr
warn()
{
	printf '%s: warning: %s\n' "$PROG" "$*" >&2
}

# die CODE TEXT... - say what went wrong and what to do, and exit with CODE
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

# usage - print that to stderr, and exit: the script was used wrongly
usage()
{
	usage_from_header "$0" >&2
	exit $EX_USAGE
}

# on_exit COMMAND... - run it when this script ends, also by SIGINT, SIGTERM or SIGHUP
on_exit()
{
	exit_command=("$@")
	trap '"${exit_command[@]}"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	trap 'exit 129' HUP
}

# end_groups PID... - end these process groups, whose leaders this shell has started, and wait for them
end_groups()
{
	local pid

	for pid; do
		kill -TERM -- "-$pid" 2>/dev/null
	done
	wait 2>/dev/null
}

# options "WORD..." ARGUMENT... - read a command line. A word of the first argument is
#	--name		sets $name to "yes"
#	--name=		takes a value: sets $name, with _ for -; --name=variable sets $variable
#	--name+array	takes a value, which is added to the array; may be given again and again
#	0, 1, ...	the most arguments that there may be besides; without it any number
# Those are left in the array args, with all that comes after "--". --help prints the header, and
# ends the script, as does what is not in the list.
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

# need_packages PACKAGE... - the same for a list of packages, one apt run for all
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
	# In a package's script, as with DKMS, apt cannot be called again.
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

# need_for TASK... - the packages of all these tasks, asked for at once; the tasks are those of
# task_packages. A command that this machine has from elsewhere needs no package.
need_for()
{
	local task pkg missing=()

	for pkg in $(for task; do task_packages "$task" || exit; done | tr ' ' '\n' | awk '!seen[$0]++'); do
		has_task_package "$pkg" || missing+=("$pkg")
	done
	[ ${#missing[@]} -eq 0 ] || need_packages "${missing[@]}"
}

# counted N ONE MANY - "1 host", "2 hosts"
counted()
{
	if [ "$1" -eq 1 ]; then echo "1 $2"; else echo "$1 $3"; fi
}

# need_space DIR MIB - refuse to start what would fill the disk half-way through
need_space()
{
	local dir=$1 want=$2 have

	mkdir -p "$dir" || die $EX_USAGE "cannot create $dir"
	have=$(df -Pm "$dir" | awk 'NR == 2 { print $4 }')
	[ "$have" -ge "$want" ] ||
		die $EX_USAGE "$dir has $have MiB free and $want MiB are needed; free some space or set O= to another disk"
}

# give_back - after work as root in another user's checkout: what is in build/ is to be
# theirs, who could neither change nor remove it otherwise
give_back()
{
	local owner

	[ "$(id -u)" -eq 0 ] && [ -d "$BUILD" ] || return 0
	owner=$(stat -c %u:%g "$TOP")
	case $(readlink -f "$BUILD")/ in "$TOP"/*) ;; *) return 0 ;; esac
	[ "${owner%:*}" != 0 ] || return 0
	find "$BUILD" -xdev -uid 0 -exec chown -h "$owner" {} +
}

# need_own DIR - refuse to work in what another user, such as root, has left
need_own()
{
	[ ! -e "$1" ] || [ -w "$1" ] || die $EX_USAGE "$1 belongs to $(stat -c %U "$1"): sudo chown -R $(id -un) $1, or set O= to another directory"
}

# until_told COMMAND... - run it, and end it if this shell gets SIGINT or SIGTERM: bash
# would only handle that when the command has ended
until_told()
{
	local rc=0 told before

	before=$(trap -p INT TERM)
	"$@" &
	told=$!
	trap 'kill -TERM $told; wait $told; exit 130' INT
	trap 'kill -TERM $told; wait $told; exit 143' TERM
	wait $told || rc=$?
	trap - INT TERM
	eval "$before"
	return $rc
}

# places_of KERNEL - where the archive may have a kernel line, or a version such as
# 6.1.176-1 or 6.1.176, for apt-private: a line of Debian suites each, to be tried in
# this order; fails for what can be neither
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
		# One release's kernel built for another says so.
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

# suites_of KERNEL - the first of places_of
suites_of()
{
	local places

	places=$(places_of "$1") || return
	printf '%s\n' "${places%%$'\n'*}"
}

# is_version NAME - is it a Debian version of a kernel, or its beginning, X.Y.Z?
is_version()
{
	[[ $1 =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9][0-9A-Za-z.+~]*)?$ ]]
}

# kernel_line KERNEL - the line X.Y that a line or version is of
kernel_line()
{
	local major minor

	IFS=. read -r major minor _ <<<"$1"
	printf '%s.%s\n' "$major" "${minor%%[!0-9]*}"
}
