# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Part of apply: bring a patch into the form for a tree, a series or a mail.

# full_release DIR - print the version of a tree, such as 5.17-rc5, 6.1.20 or 5.19.0
full_release()
{
	local extra

	extra=$(awk '$1 == "EXTRAVERSION" && $3 ~ /^-rc[0-9]+$/ { print $3; exit }' "$1/Makefile")
	printf '%s%s\n' "${extra:+$(tree_version "$1")}" "${extra:-$(tree_release "$1")}"
}

# runs_on PATCH - print the releases on which PATCH was run, by its Tested-on. A remark in
# brackets is about the releases before it; if it has "not run", "applies" or "compiled",
# they are left out.
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

# is_run PATCH - was PATCH run on DIR's release? The trees of RHEL do not count, which keep the
# version that they were forked from
is_run()
{
	is_own_line "$(line_of "$1")" && [ ! -e "$DIR/Makefile.rhelver" ] &&
		grep -qxF -- "$RELEASE" < <(runs_on "$1")
}

# origin_note PATCH - print the note on PATCH's origin that goes before the signatures
origin_note()
{
	local text='' others=''

	if [ -n "$STABLE" ]; then
		text=", fitted to it and with a log of its own"
		# If there is a commit, the first author is the commit's, and in From: already.
		others=$(trailer "$1" Originally-by | awk -v skip="$(commits "$1")" '
			NR > (skip != "") { printf "%s%s", sep, $0; sep = ", " }')
		text+=${others:+, after work of $others}
	fi
	is_run "$1" || text+=", not run on this tree"
	printf '[ %s: from patches/%s%s ]\n' "$NAME" "$(line_of "$1")" "$text"
}

# signed PATCH - copy stdin, the patch in its new form, and add the note and the signature
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

# trailer PATCH NAME - print the values of this trailer, one on each line
trailer()
{
	sed -n "/^diff /q;s/^$2: *//p" "$1"
}

# commits PATCH - print the upstream commits that it backports; full hashes if DIR has them
commits()
{
	local sha

	for sha in $(trailer "$1" Upstream | grep -oE '\<[0-9a-f]{12,40}\>'); do
		{ [ "$KIND" = git ] && git -C "$DIR" rev-parse -q --verify "$sha^{commit}" 2>/dev/null; } ||
			printf '%s\n' "$sha"
	done
}

# stable_form PATCH - print PATCH in the form of stable-kernel-rules: upstream's commit first, from
# its author, without trailers that only this project reads
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

# form_patch PATCH - print PATCH in its final form
form_patch()
{
	if [ -n "$STABLE" ]; then
		stable_form "$1"
	else
		cat "$1"
	fi | signed "$1"
}

# form_all - write all of CHOSEN to SCRATCH/form in that form, and set FORMED to the files
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

# stable_needs - print the steps that remain before the patches can be sent to stable
stable_needs()
{
	local file shas

	shas=$(for file in "${CHOSEN[@]}"; do commits "$file"; done | grep -xE '[0-9a-f]{12,39}' | sort -u | paste -sd ' ')
	[ -z "$shas" ] ||
		say "stable wants full hashes: complete $shas, with git rev-parse in a clone that has mainline"
	for file in "${CHOSEN[@]}"; do
		if [ -n "$(commits "$file")" ] && [ -z "$(trailer "$file" Originally-by)" ]; then
			say "${file#"$TOP/"} names no author of upstream's commit; its From: is yours: put in the author's"
		fi
	done
	say "before you send: build and run it; upstream's log and tags are not in it, and the subject needs" \
		"[PATCH ${VERSION%.*}] (git send-email --subject-prefix); to: stable@vger.kernel.org"
}
