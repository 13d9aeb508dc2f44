// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test whether KVM works: create a VM with one vCPU in real mode, which adds two
 * numbers, writes the sum to an I/O port, and halts.
 *
 * usage: tinyvm [--hold]
 *
 *	--hold	keep the VM open until a signal arrives: for tests of actions that
 *		a host has to refuse while a VM exists
 *
 * Prints the step that failed, and its error. Exit codes: 0 the VM ran; 1 it did not.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define CODE_GPA	0x1000
#define PAGE		0x1000
#define PORT		0x3f8
#define A		39
#define B		3

/* add %bl, %al; mov $PORT, %dx; out %al, (%dx); hlt */
static const unsigned char code[] = {
	0x00, 0xd8,
	0xba, PORT & 0xff, PORT >> 8,
	0xee,
	0xf4,
};

static int try_ioctl(int fd, unsigned long request, void *arg, const char *name)
{
	int ret = ioctl(fd, request, arg);

	if (ret < 0)
		err(1, "%s", name);
	return ret;
}

/* Runs the vCPU up to an exit, which must have the given reason. */
static void run_until(int vcpu, struct kvm_run *run, uint32_t reason, const char *name)
{
	while (ioctl(vcpu, KVM_RUN, NULL) < 0) {
		if (errno != EINTR)
			err(1, "KVM_RUN");
	}
	if (run->exit_reason != reason)
		errx(1, "KVM_RUN ended with reason %u instead of %s", run->exit_reason, name);
}

int main(int argc, char **argv)
{
	struct kvm_userspace_memory_region region = {
		.guest_phys_addr = CODE_GPA,
		.memory_size = PAGE,
	};
	struct kvm_regs regs = {
		.rip = CODE_GPA,
		.rax = A,
		.rbx = B,
		.rflags = 2,
	};
	struct kvm_sregs sregs;
	struct kvm_run *run;
	int kvm, vm, vcpu, size, version;
	unsigned char *mem, sum;

	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		err(1, "/dev/kvm");
	version = try_ioctl(kvm, KVM_GET_API_VERSION, NULL, "KVM_GET_API_VERSION");
	if (version != KVM_API_VERSION)
		errx(1, "KVM's API has version %d instead of %d", version, KVM_API_VERSION);
	size = try_ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, NULL, "KVM_GET_VCPU_MMAP_SIZE");
	vm = try_ioctl(kvm, KVM_CREATE_VM, NULL, "KVM_CREATE_VM");

	mem = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		err(1, "memory for the guest");
	memcpy(mem, code, sizeof(code));
	region.userspace_addr = (uintptr_t)mem;
	try_ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region, "KVM_SET_USER_MEMORY_REGION");

	vcpu = try_ioctl(vm, KVM_CREATE_VCPU, NULL, "KVM_CREATE_VCPU");
	run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED)
		err(1, "the vCPU's memory");
	try_ioctl(vcpu, KVM_GET_SREGS, &sregs, "KVM_GET_SREGS");
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	try_ioctl(vcpu, KVM_SET_SREGS, &sregs, "KVM_SET_SREGS");
	try_ioctl(vcpu, KVM_SET_REGS, &regs, "KVM_SET_REGS");

	run_until(vcpu, run, KVM_EXIT_IO, "KVM_EXIT_IO");
	sum = *((unsigned char *)run + run->io.data_offset);
	if (run->io.port != PORT || run->io.direction != KVM_EXIT_IO_OUT || sum != A + B)
		errx(1, "the guest sent %u to port %#x instead of %u to %#x",
		     sum, run->io.port, A + B, PORT);
	run_until(vcpu, run, KVM_EXIT_HLT, "KVM_EXIT_HLT");

	if (argc > 1 && !strcmp(argv[1], "--hold"))
		pause();
	return 0;
}
