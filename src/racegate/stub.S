/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stubs that redirected calls continue in.  Both save the registers that a C
 * function may change, call C code, restore them, and jump to the address that the C
 * code has put into the frame's resume slot.
 */
#include <linux/linkage.h>
#include <linux/version.h>
#include <asm/unwind_hints.h>

/* Kernels before v5.7, and those without return thunks, lack these macros. */
#ifndef RET
#define RET ret
#endif
#ifndef SYM_CODE_START
#define SYM_CODE_START(name) ENTRY(name)
#define SYM_CODE_END(name) END(name)
#define SYM_INNER_LABEL(name, linkage) .globl name; name:
#endif

/* The hint that unwinding ends here. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
#define RG_UNWIND_END UNWIND_HINT_UNDEFINED
#else
#define RG_UNWIND_END UNWIND_HINT_EMPTY
#endif

/* Both stubs are reached by a return instruction, and need no ENDBR. */
#ifdef CONFIG_X86_KERNEL_IBT
#define RG_NOENDBR ANNOTATE_NOENDBR
#else
#define RG_NOENDBR
#endif

	.text

/* Pushes struct rg_frame, whose resume slot is on the stack already. */
.macro rg_call function
	pushq	%rdi
	pushq	%rsi
	pushq	%rdx
	pushq	%rcx
	pushq	%rax
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	movq	%rsp, %rdi
	call	\function
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rax
	popq	%rcx
	popq	%rdx
	popq	%rsi
	popq	%rdi
	/* Jumps to the resume address. */
	RET
.endm

/*
 * Runs in place of the function's first instruction after its call to ftrace, with
 * the stack as it is there.  As the resume address is on the stack, an unwinder takes
 * the stub for a callee of the function.
 */
SYM_CODE_START(rg_entry_stub)
	UNWIND_HINT_FUNC
	RG_NOENDBR
	pushq	$0
	UNWIND_HINT_FUNC
	rg_call	rg_entry_hit
SYM_CODE_END(rg_entry_stub)

/*
 * The function returns here in place of its caller.  The push makes the resume slot of
 * the place that held the function's return address.  The nop is for unwinders, which
 * look up a return address by the byte before it.
 */
SYM_CODE_START(rg_return_stub_start)
	RG_UNWIND_END
	nop
SYM_INNER_LABEL(rg_return_stub, SYM_L_GLOBAL)
	RG_UNWIND_END
	RG_NOENDBR
	pushq	$0
	UNWIND_HINT_FUNC
	rg_call	rg_return_hit
SYM_CODE_END(rg_return_stub_start)
