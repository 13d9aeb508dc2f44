# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Part of apply: a patch as it goes into a tree, a series or a mail.

# full_release DIR - its version as people write it: 5.17-rc5, 6.1.20, 5.19.0
full_release()
{
	local extra

	extra=$(awk '$1 == "EXTRAVERSION" && $3 ~ /^-rc[0-9]+$/ { print $3; exit }' "$1/Makefile")
	printf '%s%s\n' "${extra:+$(tree_version "$1")}" "${extra:-$(tree_release "$1")}"
}

# runs_on PATCH - the releases that its Tested-on says it was run on. What stands in
# brackets is about all releases before it; where it is not about a run, none was.
runs_on()
{
	sed -n '/^diff /q;s/^Tested-on: *//p' "$1" | awk '
		function flush(ok,  i)
		{
			for (i = 1; ok && i <= n; i++)
				print release[i]
			n = 0
		}
		{
			text = $0
			while (match(text, /\([^)]*\)|;|[0-9]+\.[0-9]+(\.[0-9]+)?(-rc[0-9]+)?/)) {
				part = substr(text, RSTART, RLENGTH)
				text = substr(text, RSTART + RLENGTH)
				if (part == ";")
					flush(1)
				else if (part ~ /^\(/)
					flush(part !~ /not run|applies|compiled/)
				else
					release[++n] = part ~ /^[0-9]+\.[0-9]+$/ ? part ".0" : part
			}
			flush(1)
		}'
}

# is_run PATCH - was it run on the release that DIR is, which is of no distro that numbers
# its trees by what they began with?
is_run()
{
	is_own_line "$(line_of "$1")" && [ ! -e "$DIR/Makefile.rhelver" ] &&
		grep -qxF -- "$RELEASE" < <(runs_on "$1")
}

# origin_note PATCH - where it is from, as a note that goes before the signatures
origin_note()
{
	local text='' others=''

	if [ -n "$STABLE" ]; then
		text=", fitted to it and with a log of its own"
		# One author is the commit's own, where there is a commit.
		others=$(trailer "$1" Originally-by | awk -v skip="$(commits "$1")" '
			NR > (skip != "") { printf "%s%s", sep, $0; sep = ", " }')
		text+=${others:+, after work of $others}
	fi
	is_run "$1" || text+=", not run on this tree"
	printf '[ %s: from patches/%s%s ]\n' "$NAME" "$(line_of "$1")" "$text"
}

# signed PATCH - stdin, its text or what was made of it, with the note and the signature
signed()
{
	awk -v note="$(origin_note "$1")" -v signoff="${SIGNOFF:+Signed-off-by: $SIGNOFF}" '
		{ line[NR] = $0 }
		!body && /^diff / { body = NR }
		!body && /^Signed-off-by: / { last = NR; if (!first) first = NR }
		END {
			for (i = 1; i <= NR; i++) {
				if (i == first)
					print note
				print line[i]
				if (i == last && signoff != "" && line[i] != signoff)
					print signoff
			}
		}'
}

# trailer PATCH NAME - what it has for it, a line each
trailer()
{
	sed -n "/^diff /q;s/^$2: *//p" "$1"
}

# commits PATCH - those of upstream that it is a backport of; whole where DIR knows them
commits()
{
	local sha

	for sha in $(trailer "$1" Upstream | grep -oE '\<[0-9a-f]{12,40}\>'); do
		{ [ "$KIND" = git ] && git -C "$DIR" rev-parse -q --verify "$sha^{commit}" 2>/dev/null; } ||
			printf '%s\n' "$sha"
	done
}

# stable_form PATCH - the form of stable-kernel-rules: upstream's commit first, from its
# author, without trailers that only this project reads
stable_form()
{
	local shas author

	shas=$(commits "$1" | sed 's/.*/commit & upstream./')
	author=$(trailer "$1" Originally-by | awk '!n++')
	awk -v first="${shas:-[ no upstream commit: $(trailer "$1" Upstream | sed 's/^none (\(.*\))$/\1/') ]}" \
		-v author="${shas:+$author}" -v signer="$SIGNOFF" '
		body { print; next }
		/^diff / { body = 1; print; next }
		!text && /^From: / { $0 = "From: " (author != "" ? author : signer) }
		text && /^(Race|Tested-on|Layout|Upstream|Originally-by): / { next }
		{ print }
		!text && /^$/ { text = 1; print first "\n" }' "$1"
}

# form_patch PATCH - all of it, as it is to go out
form_patch()
{
	if [ -n "$STABLE" ]; then
		stable_form "$1"
	else
		cat "$1"
	fi | signed "$1"
}

# form_all - SCRATCH/form gets all of CHOSEN in that form; set FORMED to the files
form_all()
{
	local file

	mkdir -p "$SCRATCH/form"
	FORMED=()
	for file in "${CHOSEN[@]}"; do
		form_patch "$file" >"$SCRATCH/form/${file##*/}" || return
		FORMED+=("$SCRATCH/form/${file##*/}")
	done
}

# stable_needs - what a person has to do yet before those are sent
stable_needs()
{
	local file shas

	shas=$(for file in "${CHOSEN[@]}"; do commits "$file"; done | grep -xE '[0-9a-f]{12,39}' | sort -u | paste -sd ' ')
	[ -z "$shas" ] ||
		say "stable wants hashes whole: complete $shas, with git rev-parse in a clone that has mainline"
	for file in "${CHOSEN[@]}"; do
		if [ -n "$(commits "$file")" ] && [ -z "$(trailer "$file" Originally-by)" ]; then
			say "${file#"$TOP/"} names no author of upstream's commit; its From: is yours: put in the author's"
		fi
	done
	say "before you send: build and run it; upstream's log and tags are not in it, and the subject needs" \
		"[PATCH ${VERSION%.*}] (git send-email --subject-prefix); to: stable@vger.kernel.org"
}
