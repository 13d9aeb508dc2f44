# shellcheck shell=bash
# shellcheck disable=SC2034 # the caller uses the variables that these functions set
# SPDX-License-Identifier: GPL-2.0-only
#
# Part of apply: change several files of a tree, all of them or none.
#
# While a change is under way, TREE/.racefix-apply has these files:
#	new.N	the new file for target N
#	old.N	a hard link to the old file, or a copy; none if there was no file
#	list	"N<TAB>new|changed<TAB>TARGET", "-<TAB>dir<TAB>TARGET"; TARGET is
#		relative to TREE, or absolute (git's own files)
#	refs	"OLD NEW": the change is complete if git's HEAD is NEW
#	index	the path of git's index; index.lock beside it is ours
# Each file is replaced by a rename. As long as list exists, the change is not
# complete, and journal_recover undoes it; the removal of list completes the
# change. So after a kill at any moment the next run can repair the tree.

# journal_begin TREE - fails if TREE cannot be written to
journal_begin()
{
	JOURNAL=$1/.racefix-apply
	JOURNAL_N=0
	mkdir "$JOURNAL" 2>"$SCRATCH/error" ||
		die "$EX_USAGE" "cannot write to $1: $(sed 's/^.*: //' "$SCRATCH/error"); nothing was changed"
	: >"$JOURNAL/list.new"
}

# journal_add TARGET FILE - let the change replace TARGET's contents by FILE's; mode and owner stay
journal_add()
{
	local target=$1 new old dir kind=new

	JOURNAL_N=$((JOURNAL_N + 1))
	new=$JOURNAL/new.$JOURNAL_N
	old=$JOURNAL/old.$JOURNAL_N
	case $target in /*) ;; *) target=${JOURNAL%/*}/$target ;; esac
	if [ -e "$target" ] || [ -L "$target" ]; then
		if [ -L "$target" ] || [ ! -f "$target" ]; then
			die "$EX_USAGE" "$target is not a regular file; nothing was changed"
		fi
		kind=changed
		# Some file systems have no hard links.
		{ ln "$target" "$old" 2>/dev/null || cp -p "$target" "$old"; } &&
			cp -p --attributes-only "$target" "$new"
	else
		dir=${target%/*}
		while [ ! -d "$dir" ]; do
			grep -qxF -- "-	dir	$dir" "$JOURNAL/list.new" ||
				printf -- '-\tdir\t%s\n' "$dir" >>"$JOURNAL/list.new" || return
			dir=${dir%/*}
		done
		: >"$new" && { [ "$(id -u)" -ne 0 ] || chown --reference="$dir" "$new"; }
	fi &&
		cat "$2" >"$new" &&
		printf '%s\t%s\t%s\n' "$JOURNAL_N" "$kind" "$1" >>"$JOURNAL/list.new"
}

# journal_commit [COMMAND...] - make the change, with COMMAND as its last step. If it fails,
# journal_recover undoes the change
journal_commit()
{
	local n kind target

	sync "$JOURNAL"/* && mv "$JOURNAL/list.new" "$JOURNAL/list" && sync "$JOURNAL" || return
	while IFS=$'\t' read -r n kind target; do
		[ "$kind" != dir ] || continue
		case $target in /*) ;; *) target=${JOURNAL%/*}/$target ;; esac
		mkdir -p "${target%/*}" && mv -f "$JOURNAL/new.$n" "$target" || return
	done <"$JOURNAL/list"
	[ $# -eq 0 ] || "$@" || return
	rm -f "$JOURNAL/list" || return
	journal_end
}

# journal_end - remove the journal, and our lock of git's index
journal_end()
{
	local index

	if [ -e "$JOURNAL/index" ]; then
		index=$(cat "$JOURNAL/index")
		[ "$(cat "$index.lock" 2>/dev/null)" != "$PROG" ] || rm -f "$index.lock"
	fi
	rm -rf "$JOURNAL"
	JOURNAL=''
}

# journal_recover TREE - undo a change that was not completed. Sets RECOVERED if there was
# one. It can itself be killed and run again.
journal_recover()
{
	local n kind target old new

	JOURNAL=$1/.racefix-apply
	RECOVERED=''
	if [ ! -d "$JOURNAL" ]; then
		JOURNAL=''
		return
	fi
	RECOVERED=yes
	if [ -s "$JOURNAL/refs" ]; then
		read -r old new <"$JOURNAL/refs"
		[ "$(git -C "$1" rev-parse -q --verify HEAD)" != "$new" ] || rm -f "$JOURNAL/list"
	fi
	if [ -e "$JOURNAL/list" ]; then
		while IFS=$'\t' read -r n kind target; do
			case $target in /*) ;; *) target=$1/$target ;; esac
			old=$JOURNAL/old.$n
			case $kind in
			changed)
				# mv fails for two links of one file, and leaves both.
				if [ -e "$old" ] && [ ! "$old" -ef "$target" ]; then
					mv -f "$old" "$target" || return
				fi
				;;
			new) rm -f "$target" || return ;;
			dir) [ ! -d "$target" ] || rmdir --ignore-fail-on-non-empty "$target" || return ;;
			esac
		done < <(sort -t $'\t' -k 2,2r -k 3,3r "$JOURNAL/list")
		rm -f "$JOURNAL/list" || return
	fi
	journal_end
}
