# shellcheck shell=bash
# shellcheck disable=SC2034 # the caller uses the variables that these functions set
# SPDX-License-Identifier: GPL-2.0-only
#
# Part of apply: kinds of trees. For each kind: the source that is judged, the conditions for
# a change, and the change itself. All of it is prepared in SCRATCH.

# The folder of our patches among those of other origin.
SUBDIR=kvm-racefix

# in_git DIR - does git track KVM in DIR? A tree that was unpacked within a git tree does not count.
in_git()
{
	if [ -e "$1/.git" ] && ! git -C "$1" rev-parse --git-dir >/dev/null 2>"$SCRATCH/error"; then
		die "$EX_USAGE" "$1 is a git tree, but git says: $(head -n 1 "$SCRATCH/error")"
	fi
	git -C "$1" ls-files --error-unmatch arch/x86/kvm/x86.c >/dev/null 2>&1
}

# find_kind DIR - set KIND, and QUILT_PATCHES for kinds with a series
find_kind()
{
	local dir=$1

	QUILT_PATCHES=''
	if [ -e "$dir/debian/patches/series" ] ||
	   grep -qs '^3\.0 (quilt)' "$dir/debian/source/format"; then
		KIND=debian
		QUILT_PATCHES=debian/patches
	elif [ -e "$dir/.pc/applied-patches" ] || [ -e "$dir/.pc/.quilt_patches" ]; then
		KIND=quilt
		QUILT_PATCHES=$(cat "$dir/.pc/.quilt_patches" 2>/dev/null)
	elif [ -e "$dir/.git" ] && ! command -v git >/dev/null; then
		die "$EX_USAGE" "$dir is a git tree and git is missing; as root: apt-get install git"
	elif command -v git >/dev/null && in_git "$dir"; then
		KIND=git
	elif [ -e "$dir/patches/series" ] || [ -e "$dir/series" ]; then
		KIND=quilt
	else
		KIND=plain
	fi
	[ "$KIND" != quilt ] || QUILT_PATCHES=${QUILT_PATCHES:-patches}
}

# kind_text - print a description of KIND
kind_text()
{
	case $KIND in
	debian) [ -n "$APPLIED" ] && echo "a Debian source tree, patches applied" ||
		echo "a Debian source tree, patches not applied" ;;
	git) echo "a git tree" ;;
	quilt) echo "a quilt tree" ;;
	plain) echo "a plain tree" ;;
	esac
}

# run_quilt COMMAND... - run quilt in SCRATCH/quilt, without the user's .quiltrc
run_quilt()
{
	(
		cd "$SCRATCH/quilt" &&
			QUILT_PATCHES=$QUILT_PATCHES QUILT_PC=.pc quilt --quiltrc - "$@"
	) >"$SCRATCH/quilt.log" 2>&1
}

# copy_series DIR - copy the patches of DIR, and quilt's state, to SCRATCH/quilt
copy_series()
{
	local name

	need_package quilt quilt
	rm -rf "$SCRATCH/quilt"
	mkdir -p "$SCRATCH/quilt/$QUILT_PATCHES"
	for name in "$QUILT_PATCHES" .pc series; do
		[ ! -L "$1/$name" ] || die "$EX_USAGE" "$1/$name is a symbolic link, and files outside of the tree are not changed;" \
			"use --export OUT, and quilt import"
		[ ! -e "$1/$name" ] || {
			mkdir -p "$SCRATCH/quilt/$name"
			rmdir "$SCRATCH/quilt/$name" 2>/dev/null
			cp -a "$1/$name" "$SCRATCH/quilt/$(dirname "$name")"
		} || die "$EX_USAGE" "cannot copy $1/$name to $SCRATCH (is the disk full?)"
	done
}

# copy_files DIR PATCH... - copy the files of DIR that the patches change to SCRATCH/quilt
copy_files()
{
	local dir=$1 file

	shift
	sed -nE 's,^(---|\+\+\+) [^/[:space:]]+/([^[:space:]]+).*,\2,p' "$@" | sort -u |
		while IFS= read -r file; do
			[ ! -f "$dir/$file" ] || [ -e "$SCRATCH/quilt/$file" ] ||
				(cd "$dir" && cp --parents -p -t "$SCRATCH/quilt" -- "$file")
		done || die "$EX_USAGE" "cannot copy files of $dir to $SCRATCH (is the disk full?)"
}

# judged DIR - copy the source that is to be judged to SCRATCH/before, and set APPLIED: empty for
# a Debian tree whose patches are not applied
judged()
{
	local series=$1/debian/patches/series name patches=()

	mkdir -p "$SCRATCH/before"
	copy_kvm "$1" "$SCRATCH/before"
	APPLIED=yes
	[ "$KIND" = debian ] && [ -s "$series" ] && [ ! -s "$1/.pc/applied-patches" ] || return
	# A tree from dpkg-source -x has .pc. In git trees of packages the patches are not
	# applied; the patched source is judged, as a build applies them.
	APPLIED=''
	copy_series "$1"
	while read -r name _; do
		case $name in ''|\#*) ;; *) patches+=("$1/debian/patches/$name") ;; esac
	done <"$series"
	[ ${#patches[@]} -gt 0 ] || return
	copy_files "$1" "${patches[@]}"
	run_quilt push -a -q --fuzz=0 || {
		tail -n 5 "$SCRATCH/quilt.log" >&2
		die "$EX_USAGE" "the patches of $1/debian/patches do not apply, and there is no .pc that lists them as applied:" \
			"unpack the package with dpkg-source -x"
	}
	(cd "$SCRATCH/quilt" && find . -path "./$QUILT_PATCHES" -prune -o -path ./.pc -prune -o -type f -print0 |
		xargs -0 cp --parents -p -t "$SCRATCH/before" --)
}

# changed_by PATCH... - print the files that the patches change or add
changed_by()
{
	sed -nE 's,^\+\+\+ b/([^[:space:]]+).*,\1,p' "$@" | sort -u
}

# ready_for DIR - die if the state of DIR does not allow CHOSEN to be applied
ready_for()
{
	local dir=$1 file state changes

	case $KIND in
	git)
		for state in rebase-apply rebase-merge MERGE_HEAD CHERRY_PICK_HEAD REVERT_HEAD; do
			[ ! -e "$(git_path "$dir" "$state")" ] ||
				die "$EX_USAGE" "$dir: a rebase, am, merge or cherry-pick is in progress ($state);" \
					"finish or abort it first"
		done
		[ ! -e "$(git_path "$dir" index.lock)" ] ||
			die "$EX_USAGE" "$dir: another git is at work ($(git_path "$dir" index.lock) exists)"
		git -C "$dir" rev-parse -q --verify HEAD >/dev/null ||
			die "$EX_USAGE" "$dir: git has no commit there yet"
		changes=$(git -C "$dir" diff --name-only --relative HEAD -- "${FILES[@]}" | paste -sd " ") ||
			die "$EX_USAGE" "$dir: git diff does not work there"
		[ -z "$changes" ] ||
			die "$EX_USAGE" "$dir has changes that are not committed in: $changes;" \
				"commit or stash them; nothing was changed"
		git -C "$dir" var GIT_COMMITTER_IDENT >"$SCRATCH/ident" 2>"$SCRATCH/error" ||
			die "$EX_USAGE" "git has no name and address for the committer; set git config user.name and user.email"
		;;
	quilt|debian)
		copy_series "$dir"
		if [ "$KIND" = debian ] && [ -n "$APPLIED" ] && run_quilt unapplied; then
			die "$EX_USAGE" "$dir: some of debian/patches are applied and some are not;" \
				"quilt push -a, or quilt pop -a"
		fi
		for file in "${CHOSEN[@]}"; do
			[ ! -e "$dir/$QUILT_PATCHES/$SUBDIR/${file##*/}" ] ||
				die "$EX_USAGE" "$QUILT_PATCHES/$SUBDIR/${file##*/} is there, but its race is still open:" \
					"is it applied? (quilt push, or quilt delete -r)"
		done
		;;
	esac
}

# git_path DIR NAME - print the absolute path of git's file NAME
git_path()
{
	git -C "$1" rev-parse --path-format=absolute --git-path "$2"
}

# change_plain DIR - add the patched files to the change
change_plain()
{
	local file

	for file in "${FILES[@]}"; do
		journal_add "$file" "$SCRATCH/after/$file" || return
	done
}

# add_fields FORMED - in a Debian tree, add the fields of DEP-3 to a formed patch
add_fields()
{
	local sha date

	[ "$KIND" = debian ] || return 0
	sha=$(sed -n 's/^Upstream: \([0-9a-f]\{12,40\}\) .*/\1/p;/^diff /q' "$1" | head -n 1)
	date=$(date -u -d "$(sed -n 's/^Date: //p' "$1" | head -n 1)" +%F)
	awk -v sha="$sha" -v date="$date" '
		/^$/ && !done {
			if (sha != "") {
				print "Origin: backport, https://git.kernel.org/linus/" sha
				print "Applied-Upstream: " sha
			} else {
				print "Origin: vendor, kvm-racefix"
				print "Forwarded: no"
			}
			print "Last-Update: " date
			done = 1
		}
		# The From line of git format-patch is no field.
		NR == 1 && /^From 0* / { next }
		{ print }' "$1" >"$1.dep3" && mv "$1.dep3" "$1"
}

# change_quilt DIR - import and push the patches, on top of the applied ones
change_quilt()
{
	local dir=$1 file name

	copy_files "$dir" "${CHOSEN[@]}"
	for file in "${FORMED[@]}"; do
		name=${file##*/}
		add_fields "$file" || return
		if ! run_quilt import -P "$SUBDIR/$name" "$file" ||
		   ! run_quilt push -q --fuzz=0 "$SUBDIR/$name"; then
			sed 's/^/  /' "$SCRATCH/quilt.log" >&2
			return 1
		fi
	done
	while IFS= read -r file; do
		cmp -s "$SCRATCH/quilt/$file" "$dir/$file" ||
			journal_add "$file" "$SCRATCH/quilt/$file" || return
	done < <(cd "$SCRATCH/quilt" && find . -type f | sed 's,^\./,,' | sort)
}

# change_debian DIR - the same; only add the patches to the series if the others are not applied
change_debian()
{
	local dir=$1 file

	if [ -n "$APPLIED" ]; then
		change_quilt "$dir"
		return
	fi
	{
		# The last line may lack its newline.
		awk 1 "$dir/debian/patches/series"
		for file in "${CHOSEN[@]}"; do
			printf '%s/%s\n' "$SUBDIR" "${file##*/}"
		done
	} >"$SCRATCH/series"
	journal_add debian/patches/series "$SCRATCH/series" || return
	for file in "${FORMED[@]}"; do
		add_fields "$file" && journal_add "debian/patches/$SUBDIR/${file##*/}" "$file" || return
	done
}

# change_git DIR - run git am in a repository of our own that borrows DIR's objects. The new
# objects, the index and the files become the change, and its last step sets HEAD
change_git()
{
	local dir=$1 repo=$SCRATCH/git prefix file old new index value key

	index=$(git_path "$dir" index)
	printf '%s\n' "$index" >"$JOURNAL/index"
	(set -C && printf '%s\n' "$PROG" >"$index.lock") 2>/dev/null ||
		die "$EX_USAGE" "another git is at work ($index.lock exists); nothing was changed"
	prefix=$(git -C "$dir" rev-parse --show-prefix)
	old=$(git -C "$dir" rev-parse HEAD)
	git init -q --object-format="$(git -C "$dir" rev-parse --show-object-format)" "$repo" || return
	git_path "$dir" objects >"$repo/.git/objects/info/alternates"
	file=$(git_path "$dir" shallow)
	[ ! -e "$file" ] || cp "$file" "$repo/.git/shallow"
	# The user's settings decide on the committer and on signing.
	while IFS= read -r -d '' value; do
		key=${value%%$'\n'*}
		git -C "$repo" config --add "$key" "${value#*$'\n'}" || return
	done < <(git -C "$dir" config -z --get-regexp '^(user|author|committer|commit|gpg)\.')
	git -C "$repo" update-ref --no-deref HEAD "$old" &&
		git -C "$repo" read-tree "$old" &&
		git -C "$repo" checkout-index -f -- "${FILES[@]/#/$prefix}" 2>"$SCRATCH/error"
	git -C "$repo" am -q --whitespace=nowarn ${prefix:+--directory="$prefix"} \
		-- "${FORMED[@]}" >"$SCRATCH/am.log" 2>&1 || {
		sed 's/^/  /' "$SCRATCH/am.log" >&2
		return 1
	}
	new=$(git -C "$repo" rev-parse HEAD)

	while IFS= read -r file; do
		journal_add "$(git_path "$dir" "objects/$file")" "$repo/.git/objects/$file" || return
	done < <(cd "$repo/.git/objects" && find . -path "./??/*" -type f | cut -c 3-)
	cp "$index" "$SCRATCH/index" || return
	for file in "${FILES[@]}"; do
		cmp -s "$repo/$prefix$file" "$SCRATCH/after/$file" || {
			warn "git am and patch give different results for $file (attributes, filters?)"
			return 1
		}
		git -C "$repo" ls-tree "$new" -- "$prefix$file" |
			sed -E 's/^([0-7]+) blob /\1 /' |
			GIT_INDEX_FILE=$SCRATCH/index GIT_ALTERNATE_OBJECT_DIRECTORIES=$repo/.git/objects \
				git -C "$(git -C "$dir" rev-parse --show-toplevel)" update-index --index-info || return
		journal_add "$file" "$SCRATCH/after/$file" || return
	done
	journal_add "$index" "$SCRATCH/index" || return
	printf '%s %s\n' "$old" "$new" >"$JOURNAL/refs"
	GIT_LAST=(git -C "$dir" update-ref -m "$PROG: patches of kvm-racefix" HEAD "$new" "$old")
}
