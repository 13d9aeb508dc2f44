# shellcheck shell=bash
# shellcheck disable=SC2034 # the caller uses the variables that these functions set
# SPDX-License-Identifier: GPL-2.0-only
#
# Part of modules-build: the patches of a variant, and the files that it is made of.

# Headers that belong to KVM. The tree's headers are used instead of those of the headers
# package, so that a patch may change them.
KVM_HEADERS=(
	'arch/x86/include/asm/kvm*.h' 'arch/x86/include/uapi/asm/kvm*.h'
	'arch/x86/include/asm/svm.h' 'arch/x86/include/uapi/asm/svm.h'
	'arch/x86/include/asm/vmx.h' 'arch/x86/include/uapi/asm/vmx.h'
	'include/kvm/*.h' 'include/linux/kvm*.h' 'include/uapi/linux/kvm*.h'
	'include/trace/events/kvm.h'
)

# race_of PATCH - print the race in PATCH's trailer
race_of()
{
	local id

	id=$(sed -n 's/^Race: *//p;/^diff /q' "$1" | head -n 1)
	[ -n "$id" ] || die "$EX_USAGE" "$1 has no 'Race:' trailer"
	printf '%s\n' "$id"
}

# patched_files PATCH... - print the files that the patches change or add
patched_files()
{
	sed -nE 's,^\+\+\+ b/([^[:space:]]+).*,\1,p' "$@"
}

# patches_of DIR STEM - print selftests/races/*/DIR/LINE/STEM.patch and STEM-*.patch, if any
patches_of()
{
	local file

	for file in "$TOP/selftests/races"/*/"$1/$LINE/$2.patch" "$TOP/selftests/races"/*/"$1/$LINE/$2"-*.patch; do
		[ ! -e "$file" ] || printf '%s\n' "$file"
	done
}

# find_lacking - set LACKING to the patches that KSRC lacks, as apply chooses them. If status does
# not know whether KSRC has a race, it gets no patch, and CLAIM does not name it.
find_lacking()
{
	local key out rc=0

	# The answer is needed at each build; it is kept until something changes that it depends on.
	key=$(tree_key "$KSRC" "$TOP/scripts/lib.sh" "$TOP/scripts/tree" "$TOP"/selftests/races/*/*.cocci "$TOP/patches").list
	if [ -e "$BUILD/status/$key" ]; then
		out=$(cat "$BUILD/status/$key")
	else
		# Without these tools there is no answer: do not guess the patches.
		need_package spatch coccinelle
		need_package ctags universal-ctags
		out=$("$TOP/scripts/tree/apply" --modules --list "$KSRC") || rc=$?
		[ $rc -ne 0 ] || keep "$key" <<<"$out"
	fi
	case $rc:$out in
	0:*|"$EX_USAGE":?*) mapfile -t LACKING < <(printf '%s' "${out:+$out$'\n'}") ;;
	1:*) die "$EX_USAGE" "the patches of Linux $LINE do not apply to $KSRC" ;;
	*) die "$EX_USAGE" "cannot find out which patches $KSRC lacks, for the reason above; nothing is built" ;;
	esac
}

# find_patches - set PATCHES for VARIANT, and CLAIM, the text in the version of its modules
find_patches()
{
	local want=${VARIANT#*-} id closed="" left="" file control

	PATCHES=()
	case $VARIANT in
	unpatched)
		CLAIM="unpatched: no race closed"
		return
		;;
	reopen-*)
		mapfile -t PATCHES < <(patches_of reopen "$want")
		[ ${#PATCHES[@]} -gt 0 ] ||
			die "$EX_USAGE" "nothing reopens race '$want' in $LINE (no selftests/races/*/reopen/$LINE/$want.patch)"
		mapfile -t -O ${#PATCHES[@]} PATCHES < <(patches_of control "$want")
		CLAIM="reopened: $want; no race closed"
		return
		;;
	mutant-*)
		file=$BUILD/mutants/$LINE/$want.patch
		[ -e "$file" ] || die "$EX_USAGE" "there is no $file; scripts/mutations --generate makes it"
		id=$(race_of "$file") || exit
		MUTANT_OF=$id
		find_lacking
		mapfile -t PATCHES < <(printf "%s\n" "${LACKING[@]}"; patches_of control "$id"; echo "$file")
		CLAIM="mutant of $id; no race closed"
		return
		;;
	mutation-*)
		file=$(compgen -G "$TOP/selftests/races/*/mutations/$LINE/$want.patch")
		[ -n "$file" ] ||
			die "$EX_USAGE" "there is no mutation '$want' in $LINE (no selftests/races/*/mutations/$LINE/$want.patch)"
		id=$(race_of "$file") || exit
		mapfile -t PATCHES < <(echo "$file"; patches_of control "$id")
		CLAIM="mutation: $want; $id not closed"
		return
		;;
	esac
	find_lacking
	for file in "${LACKING[@]}"; do
		id=$(race_of "$file") || exit
		if [ "$VARIANT" = "without-$id" ]; then
			left=$id
			continue
		fi
		PATCHES+=("$file")
		case ", $closed, " in *", $id, "*) ;; *) closed=${closed:+$closed, }$id ;; esac
	done
	CLAIM=${closed:-no race closed}
	case $VARIANT in
	patched) return ;;
	control-*)
		mapfile -t control < <(patches_of control "$want")
		[ ${#control[@]} -gt 0 ] ||
			die "$EX_USAGE" "there is no control for race '$want' in $LINE (no selftests/races/*/control/$LINE/$want*.patch)"
		PATCHES+=("${control[@]}")
		CLAIM+="; control: $want"
		return
		;;
	esac
	[ -n "$left" ] || die "$EX_USAGE" "$KSRC needs no patch of race '$want' (it needs those of: $closed)"
	CLAIM+="; without $left"
}

# find_files - set FILES, the files of KSRC that are copied, relative to it
find_files()
{
	local patch pattern file

	mapfile -t FILES < <(cd "$KSRC" && {
		find -L arch/x86/kvm virt/kvm -type f \
			\( -name '*.[chS]' -o -name 'Makefile*' -o -name 'Kconfig*' \) \
			! -name '*.mod.c' ! -name kvm-asm-offsets.h
		for pattern in "${KVM_HEADERS[@]}"; do
			compgen -G "$pattern"
		done
		for patch in "${PATCHES[@]}"; do
			while read -r file; do
				[ ! -e "$file" ] || echo "$file"
			done < <(patched_files "$patch")
		done
	} | sort -u)
	for patch in "${PATCHES[@]}"; do
		while read -r file; do
			case $file in
			arch/x86/kvm/*|virt/kvm/*|include/*|arch/x86/include/*) ;;
			*) die "$EX_USAGE" "$patch changes $file, which does not end up in KVM's modules" ;;
			esac
		done < <(patched_files "$patch")
	done
}
