# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Part of installed.sh: find the kvm modules in the initramfs of a kernel, and rebuild it by
# initramfs-tools, dracut or mkinitcpio. Images inside of an EFI program (UKI), and those that
# kernel-install has put beside a boot entry, are only named in a warning.

# own_images KVER - print the images that belong to that kernel by their names
own_images()
{
	local file base

	base=$(cat "/lib/modules/$1/pkgbase" 2>/dev/null)
	for file in "/boot/initrd.img-$1" "/boot/initramfs-$1.img" "/boot/initrd-$1" "/boot/initramfs-${base:-$1}.img"; do
		[ ! -e "$file" ] || printf '%s\n' "$file"
	done | sort -u
}

# entry_images KVER - print the images of boot entries: those of kernel-install, and EFI programs
# that have the kernel's release in them
entry_images()
{
	local dir file

	for dir in /efi /boot/efi /boot; do
		for file in "$dir"/*/"$1"/initrd "$dir"/EFI/Linux/*.efi; do
			[ -f "$file" ] || continue
			case $file in *.efi) grep -qaF -- "$1" "$file" || continue ;; esac
			printf '%s\n' "$file"
		done
	done
}

# files_in IMAGE - print the paths of the files in it; fails if no tool here can list them
files_in()
{
	local lister

	for lister in lsinitramfs lsinitrd lsinitcpio; do
		case $lister:$1 in lsinitramfs:*.efi) continue ;; esac
		command -v $lister >/dev/null || continue
		# lsinitrd prints lines like those of ls -l.
		$lister "$1" 2>/dev/null 9>&- | awk '{ print $NF }'
		return
	done
	return 1
}

# initramfs_kvm KVER - print the paths of kvm's modules in the images of own_images
initramfs_kvm()
{
	local file files

	while IFS= read -r file; do
		if ! files=$(files_in "$file"); then
			warn "$file cannot be listed (by lsinitramfs, lsinitrd or lsinitcpio):" \
				"if it holds kvm modules, rebuild it"
			continue
		fi
		grep -E '/kvm(-intel|-amd)?\.ko' <<<"$files" || :
	done < <(own_images "$1")
}

# name_entries KVER PATTERN - warn of boot entries with a kvm module whose path does not match, or
# which cannot be listed: they keep the modules that they have
name_entries()
{
	local file files how="kernel-install add $1 /lib/modules/$1/vmlinuz, or as it was made"

	while IFS= read -r file; do
		if ! files=$(files_in "$file"); then
			warn "$file cannot be listed (by lsinitrd or lsinitcpio): if it holds kvm modules, rebuild it: $how"
		elif grep -qvE -- "$2" < <(grep -E '/kvm(-intel|-amd)?\.ko' <<<"$files"); then
			warn "$file holds kvm modules, and is not rebuilt from here: until it is, that entry boots with these old" \
				"modules: $how"
		fi
	done < <(entry_images "$1")
}

# refresh_initramfs KVER - rebuild these images, with the modules that modprobe takes now
refresh_initramfs()
{
	local file base commands=()

	if command -v update-initramfs >/dev/null; then
		commands=("update-initramfs -u -k $1")
	elif base=$(cat "/lib/modules/$1/pkgbase" 2>/dev/null) && [ -e "/etc/mkinitcpio.d/$base.preset" ]; then
		commands=("mkinitcpio -p $base")
	elif command -v dracut >/dev/null; then
		while IFS= read -r file; do
			commands+=("dracut --force $file $1")
		done < <(own_images "$1")
	else
		say "error: kernel $1 has kvm in its initramfs, and there is neither update-initramfs, dracut nor a preset" \
			"of mkinitcpio to rebuild it with"
		return 1
	fi
	say "kernel $1 has kvm in its initramfs: rebuilding it"
	for file in "${commands[@]}"; do
		make_initramfs "$file" || return
	done
}

# make_initramfs COMMAND - run COMMAND, whose words have no spaces
make_initramfs()
{
	local log words

	read -r -a words <<<"$1"
	# Its output is only printed after a failure: warnings of firmware are about other
	# drivers. It may leave a daemon behind, which must not keep the lock (descriptor 9).
	log=$("${words[@]}" 2>&1 9>&-) && return
	tail -n 3 <<<"$log" >&2
	say "error: $1 failed (is /boot full?)"
	return 1
}
