/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Replaces the decompressor in a kernel image whose vmlinux is stored uncompressed
 * (scripts/lab/kernel-image): an emulated CPU needs 20 seconds to unpack an image that
 * this machine unpacks in one.
 *
 * The kernel's own real-mode code jumps here in 32-bit protected mode, with flat
 * segments, interrupts off, %esi = struct boot_params. vmlinux is in place; ENTRY
 * expects 64-bit mode, everything below 4 GiB mapped one to one, and %rsi = struct
 * boot_params (Documentation/x86/boot.rst).
 */

#define PRESENT_RW	0x003
#define LARGE_RW	0x083
#define CR0_PG_BIT	31
#define CR4_PAE_BIT	5
#define MSR_EFER	0xc0000080
#define EFER_LME_BIT	8

	.code32
	.globl	_start
_start:
	cli
	lgdt	gdt_pointer
	movl	%cr4, %eax
	btsl	$CR4_PAE_BIT, %eax
	movl	%eax, %cr4
	movl	$pml4, %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	rdmsr
	btsl	$EFER_LME_BIT, %eax
	wrmsr
	movl	%cr0, %eax
	btsl	$CR0_PG_BIT, %eax
	movl	%eax, %cr0
	ljmpl	$code_segment, $long_mode

	.code64
long_mode:
	movl	$data_segment, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	%esi, %esi		/* the upper half is undefined so far */
	movl	$ENTRY, %eax
	jmp	*%rax

	.balign	8
gdt:
	.quad	0
	.equ	code_segment, . - gdt
	.quad	0x00af9b000000ffff
	.equ	data_segment, . - gdt
	.quad	0x00cf93000000ffff
gdt_end:
gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	gdt

	.balign	4096
pml4:
	.quad	pdpt + PRESENT_RW
	.fill	511, 8, 0
pdpt:
	.set	i, 0
	.rept	4
	.quad	pd + i * 4096 + PRESENT_RW
	.set	i, i + 1
	.endr
	.fill	508, 8, 0
pd:
	.set	i, 0
	.rept	2048
	.quad	i * 0x200000 + LARGE_RW
	.set	i, i + 1
	.endr
