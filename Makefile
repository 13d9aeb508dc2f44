# SPDX-License-Identifier: GPL-2.0-only
#
# The commands of the project; `make help` lists them.  Each runs a script in
# scripts/, whose --help has the details.
#
# `make -C /lib/modules/$(uname -r)/build M=$PWD` works too; see Kbuild.

O	?= $(CURDIR)/build
export O RACE KERNEL HOST RUNS WITHOUT ENDS KSRC KBUILD ARCHIVE DEBS HELD TWO PAIRS MODULES

# The owner of a checkout is to own the files that root builds in it, after Ctrl-C, too.
OWNED	= trap : INT TERM;
THEIRS	= ; rc=$$?; [ "$$(id -u)" -ne 0 ] || bash -c '. scripts/lib.sh; give_back'; exit $$rc

help:
	@echo 'Show and close KVM x86 races:'
	@echo '  make demo        show every race on unpatched modules and gone on patched'
	@echo '                   ones, in emulated hosts; one table [1]'
	@echo '                     RACE=ID KERNEL=6.1 HOST=bochs|qemu|kvm  only these'
	@echo '                     HOST=local  on this machine and its CPU, as root [4]'
	@echo '                     RUNS=N      how often (default 3)'
	@echo '                     WITHOUT=ID  leave out the patches of one race'
	@echo '                     ENDS=yes    also the cases that kill an unfixed host in another function'
	@echo '                     ARCHIVE=URL DEBS=DIR  for kernels that the mirror has dropped: an archive'
	@echo '                     such as http://archive.debian.org/debian, a directory of .deb files'
	@echo '  make sweep RACE=ID  find the race without its place: hold one operation at every point of'
	@echo '                   its path and let the other run; prints a map [1]'
	@echo '                     KERNEL=6.1 HOST=bochs|qemu  where'
	@echo '                     A=mmap B=kvmclock       two operations by name, in place of RACE'
	@echo '                     PAIRS=all               all pairs of operations that share something,'
	@echo '                                             in one boot; PAIRS="A+B A+B" these'
	@echo '                     HELD=first TWO=1        hold only that one; hold both at once, too'
	@echo '  make ladder RACE=ID   the interleaving of a race in the last demo'
	@echo '  make costs       the cost of the fixes: instructions of paths through KVM, on unpatched and'
	@echo '                   on patched modules, counted by an emulator [1]'
	@echo '                     KERNEL=6.1 HOST=bochs|qemu  where'
	@echo '  make report      the last demo as one HTML file: table, ladders, maps, cases, logs'
	@echo '                     DIR=DIR     the results in DIR instead'
	@echo '  make modules     replacement kvm.ko, kvm-intel.ko and kvm-amd.ko for the'
	@echo '                   running kernel, into build/modules'
	@echo '                     KERNEL=6.1 or KERNEL=6.1.176-1  a Debian kernel, fetched if need be, or'
	@echo '                     KVER=RELEASE another installed kernel'
	@echo '                     KSRC=DIR    the source to build from, any tree'
	@echo '                     KBUILD=DIR  its prepared build directory'
	@echo '  make load        replace the modules in use by them; as root [4]'
	@echo '                     PARAMS="kvm_amd.nested=0 ..."  parameters to set; DRY_RUN=1 only checks'
	@echo '  make unload      load the modules from before again, with their parameters; as root [4]'
	@echo '  make status-host the modules in use, where they are from, and which races they have'
	@echo '  make install     have modprobe use the new modules, at boot and in the'
	@echo '                   initramfs too; as root [3]'
	@echo '  make uninstall   have modprobe use the distro'"'"'s again; as root [3]'
	@echo '                     KVER=RELEASE  another installed kernel'
	@echo '                     DESTDIR=DIR   only copy the modules, below DIR'
	@echo '  make sign KEY=FILE CERT=FILE   sign them, for Secure Boot and the like'
	@echo '  make deb         build/deb/kvm-racefix_*.deb: the same as a package,'
	@echo '                   which builds them for each installed kernel [1]'
	@echo '  make selftests   the race tests as static binaries, into build/selftests'
	@echo '  make -C selftests run_tests   run them on this machine [2]'
	@echo
	@echo 'Test this project:'
	@echo '  make check       everything that CI runs, set-up included [1]'
	@echo '  make check-quick the part of it that boots nothing'
	@echo '  make clean       remove all that was fetched or built'
	@echo
	@echo 'O=DIR puts build/ elsewhere.'
	@echo '[1] installs packages of this machine'"'"'s own release, as root; nothing else is changed'
	@echo '[2] needs root, /dev/kvm, and for some races racegate.ko; cases that can'
	@echo '    bring an unfixed kernel down are left out unless named'
	@echo '[3] modules that are loaded stay in use until kvm is loaded the next time'
	@echo '[4] needs a machine that runs no VM; changes nothing on the disk; after a failure the'
	@echo '    modules from before are in use again, or the error names those that are not'

demo:
	@$(OWNED) scripts/lab/demo $(THEIRS)

sweep:
	@$(OWNED) scripts/lab/sweep $(THEIRS)

costs:
	@$(OWNED) scripts/lab/costs $(foreach k,$(KERNEL),--kernel '$(k)') $(if $(HOST),--host '$(HOST)') $(THEIRS)

ladder:
	@scripts/lab/ladder $(if $(KERNEL),--kernel '$(KERNEL)') $(if $(HOST),--host '$(HOST)') '$(RACE)'

report:
	@$(OWNED) scripts/lab/page $(if $(DIR),'$(DIR)') $(THEIRS)

modules:
	@$(OWNED) scripts/modules/modules-build $(if $(KERNEL),--kernel '$(KERNEL)') $(if $(KVER),--kver $(KVER)) \
		$(if $(KSRC),--ksrc '$(KSRC)') $(if $(KBUILD),--kbuild '$(KBUILD)') $(THEIRS)

load:
	@$(OWNED) scripts/host/load $(if $(DRY_RUN),--dry-run) $(PARAMS) $(THEIRS)

unload:
	@scripts/host/unload $(if $(DRY_RUN),--dry-run)

status-host:
	@$(OWNED) scripts/host/status-host $(if $(KSRC),--tree '$(KSRC)') $(THEIRS)

install:
	@scripts/host/install $(if $(KVER),--kver '$(KVER)')

uninstall:
	@scripts/host/uninstall $(if $(KVER),--kver '$(KVER)')

sign:
	@$(OWNED) scripts/host/sign --key '$(KEY)' --cert '$(CERT)' $(if $(KVER),--kver '$(KVER)') $(THEIRS)

deb:
	@$(OWNED) scripts/host/deb $(THEIRS)

selftests:
	@$(OWNED) $(MAKE) -s -C selftests $(THEIRS)

check:
	@$(OWNED) scripts/check $(THEIRS)

check-quick:
	@$(OWNED) scripts/check --quick $(THEIRS)

# Plain kbuild leaves files in the top directory.
clean:
	rm -rf '$(O)' Module.symvers modules.order .*.cmd

.PHONY: help demo costs ladder report sweep modules load unload status-host install uninstall sign deb selftests check check-quick clean
