#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# The outcome of load and unload if they fail on the way forth or back, in a simulated host,
# selftests/scripts/fake-host: exit codes, messages, and the modules in use. host-load.bats tries
# the same on a kernel.

bats_require_minimum_version 1.5.0

setup_file()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	unshare -m -p -f --mount-proc --propagation private true || skip "this takes namespaces, and root"
	if [ -z "${EXCHANGE_SET-}" ]; then
		"$TOP/scripts/modules/kernel-get" --want image 6.1
		EXCHANGE_SET=$("$TOP/scripts/modules/modules-build" --kernel 6.1)
		EXCHANGE_STOCK=$BUILD/kernels/6.1/modules/kernel/arch/x86/kvm
		EXCHANGE_KVER=$(<"$BUILD/kernels/6.1/release")
	fi
	export EXCHANGE_SET EXCHANGE_STOCK EXCHANGE_KVER
}

setup()
{
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	export LOAD=$TOP/scripts/host/load UNLOAD=$TOP/scripts/host/unload O=$BATS_TEST_TMPDIR/build
	SCRIPT=$BATS_TEST_TMPDIR/case
}

# in_host - run the text on stdin there
in_host()
{
	cat >"$SCRIPT"
	run -0 "$BATS_TEST_DIRNAME/fake-host" "$EXCHANGE_STOCK" "$EXCHANGE_SET" "$EXCHANGE_KVER" "$SCRIPT"
}

@test "exchange: load, again, and unload; nothing is left; access is as before" {
	in_host <<-'END'
	vm_runs true
	chmod 646 /dev/kvm; chown 0:1 /dev/kvm
	echo 77 >/sys/module/kvm/parameters/halt_poll_ns
	expect 0 "now:" $LOAD --modules $TMP/set
	is ours
	is [ "$(cat /sys/module/kvm/parameters/halt_poll_ns)" = 77 ]
	is [ "$(stat -c '%a %g' /dev/kvm)" = "646 1" ]
	expect 0 "nothing to do" $LOAD --modules $TMP/set
	chmod 600 /dev/kvm
	expect 0 "the distro's own" $UNLOAD
	is distros
	is [ "$(stat -c '%a %g' /dev/kvm)" = "600 1" ]
	is [ "$(ls /run/kvm-racefix)" = "$(printf 'lock\ntinyvm')" ]
	expect 0 "nothing to do" $UNLOAD
	END
}

@test "exchange: a dry run builds nothing, and touches nothing" {
	in_host <<-'END'
	vm_runs true
	expect 2 "a dry run builds none" $LOAD --dry-run
	is [ ! -e "$O" ]
	expect 0 "would load:" $LOAD --dry-run --modules $TMP/set
	is distros
	END
}

@test "exchange: the set of make modules is loaded, as it is" {
	in_host <<-'END'
	vm_runs true
	mkdir -p $O/modules/$KVER
	cp -r $TMP/set $O/modules/$KVER/patched
	expect 0 "now:" $LOAD
	is ours
	is [ "$(cat /run/kvm-racefix/loaded)" = "$O/modules/$KVER/patched" ]
	END
}

@test "exchange: the distro's modules are moved away while ours are in use" {
	in_host <<-'END'
	vm_runs true
	expect 0 "now:" $LOAD --modules $TMP/set
	mv $DISTRO $TMP/moved
	expect 0 "of no file below /lib/modules/$KVER/kernel" $UNLOAD
	is distros
	expect 2 "the distro's own kvm.ko is missing" $LOAD --modules $TMP/set
	is distros
	END
}

@test "exchange: ours were loaded at boot, and the distro's are missing" {
	in_host <<-'END'
	fake_rmmod kvm_amd; fake_rmmod kvm
	fake_insmod $SET/kvm.ko; fake_insmod $SET/kvm-amd.ko
	rm $DISTRO/kvm-amd.ko
	expect 2 "the distro's own kvm-amd.ko is missing" $UNLOAD
	is ours
	END
}

@test "exchange: modules of a developer's own" {
	in_host <<-'END'
	vm_runs true
	mkdir $TMP/own
	for name in kvm kvm-amd; do
		objcopy -O binary -j .note.gnu.build-id $DISTRO/$name.ko $TMP/note
		printf own | dd of=$TMP/note bs=1 seek=20 conv=notrunc status=none
		objcopy --update-section .note.gnu.build-id=$TMP/note $DISTRO/$name.ko $TMP/own/$name.ko
	done
	fake_rmmod kvm_amd; fake_rmmod kvm
	fake_insmod $TMP/own/kvm.ko; fake_insmod $TMP/own/kvm-amd.ko nested=0
	expect 2 "is from no file that is known" $LOAD --dry-run --modules $TMP/set
	expect 2 "nothing was touched" $LOAD --modules $TMP/set
	id=$(cksum </sys/module/kvm_amd/notes/.note.gnu.build-id)
	expect 0 "now:" $LOAD --modules $TMP/set --before $TMP/own
	is ours
	rm -r $TMP/own
	expect 0 "of no file below /lib/modules/$KVER/kernel" $UNLOAD
	is [ "$(cksum </sys/module/kvm_amd/notes/.note.gnu.build-id)" = "$id" ]
	is [ "$(cat /sys/module/kvm_amd/parameters/nested)" = 0 ]
	END
}

@test "exchange: no VM runs even before" {
	in_host <<-'END'
	vm_runs 'echo somebody has it; false'
	expect 2 "no small VM runs here even now" $LOAD --modules $TMP/set
	is distros
	END
}

@test "exchange: no VM runs on the new ones" {
	in_host <<-'END'
	vm_runs '! [ -e /sys/module/kvm/version ]'
	expect 1 "those from before are, and a VM runs on them" $LOAD --modules $TMP/set
	is distros
	END
}

@test "exchange: a VM starts on the new ones, which are then to go" {
	in_host <<-'END'
	vm_runs '[ -e /sys/module/kvm/version ] || exit 0; echo 1 >/sys/module/kvm_amd/refcnt; exit 1'
	expect 6 "the new modules are still in use" $LOAD --modules $TMP/set
	is ours
	is [ ! -e /run/kvm-racefix/swapping ]
	expect 2 "kvm_amd is in use 1 times" $UNLOAD
	echo 0 >/sys/module/kvm_amd/refcnt
	vm_runs true
	expect 0 "the distro's own" $UNLOAD --modules $TMP/set
	is distros
	END
}

@test "exchange: a second load fails; the first set is in use again" {
	in_host <<-'END'
	vm_runs true
	expect 0 "now:" $LOAD --modules $TMP/set kvm.halt_poll_ns=4242
	cp -r $TMP/set $TMP/next
	rm $TMP/next/.sums
	for name in kvm kvm-amd; do
		objcopy -O binary -j .note.gnu.build-id $TMP/set/$name.ko $TMP/note
		printf next | dd of=$TMP/note bs=1 seek=20 conv=notrunc status=none
		objcopy --update-section .note.gnu.build-id=$TMP/note $TMP/next/$name.ko
	done
	echo 'next/kvm-amd' >$TMP/FAIL
	rm -rf $TMP/set.gone; mv $TMP/set $TMP/set.gone
	expect 1 "those from before are" $LOAD --modules $TMP/next kvm.halt_poll_ns=1
	is ours
	is [ "$(cat /sys/module/kvm/parameters/halt_poll_ns)" = 4242 ]
	expect 0 "the distro's own" $UNLOAD
	is distros
	END
}

@test "exchange: those from before do not load; ours are in use again; then nothing loads" {
	in_host <<-'END'
	vm_runs true
	expect 0 "now:" $LOAD --modules $TMP/set
	echo '/kernel/arch/|/before/' >$TMP/FAIL
	expect 1 "the replacement modules are in use again" $UNLOAD
	is ours
	echo . >$TMP/FAIL
	expect 4 "no kvm works now" $UNLOAD
	is none
	is [ -e /run/kvm-racefix/before/kvm.ko ]
	rm $TMP/FAIL
	expect 0 "an earlier unload did not finish" $UNLOAD
	is distros
	END
}

@test "exchange: there is no VM for the proof, and no compiler" {
	in_host <<-'END'
	fake_rmmod kvm_amd; fake_rmmod kvm
	fake_insmod $SET/kvm.ko; fake_insmod $SET/kvm-amd.ko
	for one in gcc apt-get; do printf '#!/bin/sh\nexit 1\n' >$TMP/bin/$one; chmod +x $TMP/bin/$one; done
	expect 5 "no VM proves that they work" $UNLOAD
	is distros
	END
}

@test "exchange: killed where nothing is loaded; the next one mends it" {
	in_host <<-'END'
	vm_runs true
	mv $TMP/bin/insmod $TMP/bin/insmod.real
	printf "#!/bin/sh\nkill -9 0\n" >$TMP/bin/insmod
	chmod +x $TMP/bin/insmod
	setsid -w $LOAD --modules $TMP/set >/dev/null 2>&1 || :
	is none
	mv $TMP/bin/insmod.real $TMP/bin/insmod
	expect 0 "an earlier load did not finish" $UNLOAD
	is distros
	END
}

@test "exchange: a lock and a link of another user are ignored" {
	in_host <<-'END'
	vm_runs true
	mkdir -m 1777 /run/lock
	echo precious >$TMP/precious
	ln -s $TMP/precious /run/lock/kvm-racefix.lock
	flock $TMP/precious sleep 100 &
	expect 0 "now:" timeout 60 $LOAD --modules $TMP/set
	is [ "$(cat $TMP/precious)" = precious ]
	is [ "$(stat -c '%A %U' /run/kvm-racefix)" = "drwxr-xr-x root" ]
	kill $!
	END
}

@test "exchange: kvm is built into the kernel, or of another vendor module" {
	in_host <<-'END'
	vm_runs true
	rm -r /sys/module/kvm_amd /sys/module/kvm/initstate
	expect 2 "kvm is built into this kernel" $LOAD --modules $TMP/set
	echo live >/sys/module/kvm/initstate
	touch /sys/module/kvm/holders/kvm_pvm
	echo "flags : none" >$TMP/cpuinfo
	expect 2 "comes from another module than kvm_intel and kvm_amd (kvm_pvm" $LOAD --modules $TMP/set
	rm -r /sys/module/kvm /dev/kvm
	expect 2 "neither VMX nor SVM" $LOAD --modules $TMP/set
	echo "flags : svm" >$TMP/cpuinfo
	: >/lib/modules/$KVER/modules.order
	rm $DISTRO/*
	echo kernel/arch/x86/kvm/kvm.ko >/lib/modules/$KVER/modules.builtin
	expect 2 "kvm is built into kernel $KVER" $LOAD --modules $TMP/set
	END
}

@test "exchange: a livepatch changes kvm" {
	in_host <<-'END'
	vm_runs true
	mount -t tmpfs kernel /sys/kernel
	mkdir -p /sys/kernel/livepatch/a_fix/{vmlinux,kvm_amd}
	expect 2 "the livepatch a_fix changes functions of kvm_amd" $LOAD --modules $TMP/set
	is [ ! -e /run/kvm-racefix/before ]
	rmdir /sys/kernel/livepatch/a_fix/kvm_amd
	expect 0 "" $LOAD --modules $TMP/set
	END
}

@test "exchange: the distro's modules are packed; without the command that unpacks them, it is named" {
	for packer in xz zstd; do
		command -v $packer || skip "no $packer here"
	done
	in_host <<-'END'
	vm_runs true
	for packer in xz zstd; do
		$packer -q $DISTRO/kvm.ko $DISTRO/kvm-amd.ko
		rm -f $DISTRO/*.ko
		expect 0 "now:" $LOAD --modules $TMP/set
		is ours
		expect 0 "the distro's own" $UNLOAD
		is distros
		$packer -qd $DISTRO/kvm.ko.* $DISTRO/kvm-amd.ko.*
		rm -f $DISTRO/*.ko.*
	done
	zstd -q --rm $DISTRO/kvm.ko $DISTRO/kvm-amd.ko
	mkdir $TMP/all
	for dir in /sbin /usr/sbin /bin /usr/bin; do
		ln -sf $dir/* $TMP/all/
	done
	rm -f $TMP/all/{zstd,apt-get,dpkg-query}
	PATH=$TMP/bin:$TMP/all expect 2 "the packages that Debian calls zstd" $LOAD --modules $TMP/set
	is distros
	END
}

@test "exchange: an ACL of /dev/kvm is brought back; without getfacl that is said" {
	# shellcheck source=scripts/lib.sh
	. "$BATS_TEST_DIRNAME/../../scripts/lib.sh"
	need_package getfacl acl
	in_host <<-'END'
	vm_runs true
	setfacl -m u:1:rw,g:2:r /dev/kvm
	getfacl -cnp /dev/kvm >$TMP/acl
	is grep -qx user:1:rw- $TMP/acl
	expect 0 "now:" $LOAD --modules $TMP/set
	is cmp $TMP/acl <(getfacl -cnp /dev/kvm)
	setfacl -x u:1 /dev/kvm
	getfacl -cnp /dev/kvm >$TMP/acl
	expect 0 "the distro's own" $UNLOAD
	is cmp $TMP/acl <(getfacl -cnp /dev/kvm)
	mkdir $TMP/all
	for dir in /sbin /usr/sbin /bin /usr/bin; do
		ln -sf $dir/* $TMP/all/
	done
	rm -f $TMP/all/{getfacl,setfacl}
	PATH=$TMP/bin:$TMP/all expect 0 "/dev/kvm has an ACL, and there is no getfacl" $LOAD --modules $TMP/set
	is ours
	END
}

@test "exchange: SIGHUP, SIGINT and SIGTERM during the proof" {
	in_host <<-'END'
	# Only processes of this host are visible here.
	vm_runs '[ -e /sys/module/kvm/version ] || exit 0; first=$(grep -lx load /proc/[0-9]*/comm | sort -t / -k 3n | head -n 1)
		first=${first%/comm}; kill -$(cat /run/signal) ${first#/proc/}'
	for one in HUP:129 INT:130 TERM:143; do
		echo ${one%:*} >/run/signal
		expect ${one#*:} "interrupted" env --default-signal=INT,HUP $LOAD --modules $TMP/set
		is grep -q "in use again:" $TMP/log
		is distros
		is [ ! -e /run/kvm-racefix/swapping ]
	done
	END
}

@test "exchange: the kernel leaves out the module of this CPU's vendor" {
	in_host <<-'END'
	vm_runs true
	rm -r /sys/module/kvm_amd
	echo "flags : vmx" >$TMP/cpuinfo
	expect 2 "this CPU needs kvm_intel, and kernel $KVER has none" $LOAD --modules $TMP/set
	is [ -e /sys/module/kvm ]
	END
}

@test "exchange: killed while RCU callbacks have their time; the next one mends it" {
	in_host <<-'END'
	vm_runs true
	for next in "$UNLOAD" "$LOAD --modules $TMP/set"; do
		printf "#!/bin/sh\nkill -9 0\n" >$TMP/bin/sleep
		chmod +x $TMP/bin/sleep
		setsid -w $LOAD --modules $TMP/set >/dev/null 2>&1 || :
		is [ -e /sys/module/kvm ]
		is [ ! -e /sys/module/kvm_amd ]
		rm $TMP/bin/sleep
		expect 0 "an earlier load did not finish" $next
	done
	is ours
	END
}

@test "exchange: RCU callbacks of kvm have their time before kvm is unloaded, lazy ones 11 s" {
	run -0 bash -c '. scripts/lib.sh; . scripts/host/swap.sh
		log=$1/log
		sleep() { echo "sleep $*" >>"$log"; }
		rmmod() { echo "rmmod $*" >>"$log"; }
		loaded_modules() { printf "%s\n" kvm_amd kvm; }
		unset RCU_SECONDS
		RCU_LAZY=$1/lazy CMDLINE=$1/cmdline
		echo "quiet nohz_full=2-3" >"$CMDLINE"; unload_all
		echo Y >"$RCU_LAZY"; unload_all
		echo quiet >"$CMDLINE"; unload_all' - "$BATS_TEST_TMPDIR"
	[ "$(paste -sd " " "$BATS_TEST_TMPDIR/log")" = "rmmod kvm_amd sleep 0.5 rmmod kvm rmmod kvm_amd sleep 11 rmmod kvm rmmod kvm_amd sleep 0.5 rmmod kvm" ]
}
