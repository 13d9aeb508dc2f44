#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# sign, and the check of signatures by load and install: they look for the certificate that signed
# among the keys that the kernel has. The kernel's list, /proc/keys, is a file of ours here, in a
# mount namespace; this needs root.

bats_require_minimum_version 1.5.0

setup_file()
{
	local gate=${SIGN_GATE-}

	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	# Another kernel can be used to try it without a build.
	: "${SIGN_KERNEL:=6.1}"
	export SIGN_KERNEL
	[ -n "$gate" ] || gate=$("$TOP/scripts/modules/modules-build" --kernel 6.1 --variant racegate)
	cp -r "$gate" "$BATS_FILE_TMPDIR/set"
	cd "$BATS_FILE_TMPDIR"
	openssl req -new -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=Some Root CA/" -keyout ca.pem -out ca.crt
	openssl req -new -newkey rsa:2048 -nodes -subj "/CN=kvm modules/" -keyout leaf.pem -out leaf.csr
	echo 'subjectKeyIdentifier=hash' >ext
	openssl x509 -req -in leaf.csr -CA ca.crt -CAkey ca.pem -CAcreateserial -days 2 -extfile ext -out leaf.crt
}

setup()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	cd "$BATS_FILE_TMPDIR"
	SIGN=("$TOP/scripts/host/sign" --kver "$(<"$BUILD/kernels/$SIGN_KERNEL/release")" --modules "$BATS_FILE_TMPDIR/set")
}

# id_of CERT - print its key identifier, as the kernel prints it
id_of()
{
	openssl x509 -in "$1" -noout -ext subjectKeyIdentifier | sed -n 's/[: ]//g; $p' | tr A-F a-f
}

# checked NAME ID - run check_signature on the set, with just that key known to the kernel
checked()
{
	printf '1f0c0bba I------     1 perm 1f030000     0     0 asymmetri %s: %s: X509.rsa %s []\n' \
		"$1" "$2" "${2: -8}" >keys
	# shellcheck disable=SC2016 # for the shell in the namespace
	run unshare -m --propagation private bash -c 'mount --bind keys /proc/keys
		. "$1/scripts/lib.sh"
		. "$1/scripts/modules/module-set.sh"
		check_signature set set/racegate.ko lockdown' check "$TOP"
}

@test "sign: racegate, too, and again" {
	run -0 "${SIGN[@]}" --key leaf.pem --cert leaf.crt
	[[ $output == *"racegate.ko is signed by 'kvm modules'"* ]]
	size=$(stat -c %s set/racegate.ko)
	run -0 "${SIGN[@]}" --key leaf.pem --cert leaf.crt
	[ "$(stat -c %s set/racegate.ko)" -eq "$size" ]
	(cd set && sha256sum --status -c .sums)
}

@test "sign: the certificate that signed is known" {
	"${SIGN[@]}" --key leaf.pem --cert leaf.crt
	checked "kvm modules" "$(id_of leaf.crt)"
	[ "$status" -eq 0 ]
}

@test "sign: only the certificate that issued it is known, which the kernel would refuse" {
	"${SIGN[@]}" --key leaf.pem --cert leaf.crt
	checked "Some Root CA" "$(id_of ca.crt)"
	[ "$status" -eq 1 ]
	[[ $output == *"does not know the key of 'kvm modules'"*"not the one that issued it"* ]]
}

@test "sign: another certificate of the same name is another one" {
	"${SIGN[@]}" --key leaf.pem --cert leaf.crt
	checked "kvm modules" 0011223344556677889900112233445566778899
	[ "$status" -eq 1 ]
}

@test "sign: not signed, and signed without a note of it" {
	"${SIGN[@]}" --key ca.pem --cert ca.crt
	rm set/.signed-by
	checked "Some Root CA" "$(id_of ca.crt)"
	[ "$status" -eq 0 ]
	checked "somebody else" "$(id_of leaf.crt)"
	[ "$status" -eq 1 ]
	objcopy set/racegate.ko
	checked "Some Root CA" "$(id_of ca.crt)"
	[ "$status" -eq 1 ]
	[[ $output == *"is not signed"* ]]
}
