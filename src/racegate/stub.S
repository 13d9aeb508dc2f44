/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a redirected call goes on.  Both stubs save what a function may change
 * and its caller may still need, let C do the work, and jump to where the C code
 * has put into the frame's resume slot.
 */
#include <linux/linkage.h>
#include <linux/version.h>
#include <asm/unwind_hints.h>

/* Before v5.7 and before the return thunks: plain instructions. */
#ifndef RET
#define RET ret
#endif
#ifndef SYM_CODE_START
#define SYM_CODE_START(name) ENTRY(name)
#define SYM_CODE_END(name) END(name)
#define SYM_INNER_LABEL(name, linkage) .globl name; name:
#endif

/* End of what can be unwound. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
#define RG_UNWIND_END UNWIND_HINT_UNDEFINED
#else
#define RG_UNWIND_END UNWIND_HINT_EMPTY
#endif

/* Both are reached by a return instruction, and need no landing pad. */
#ifdef CONFIG_X86_KERNEL_IBT
#define RG_NOENDBR ANNOTATE_NOENDBR
#else
#define RG_NOENDBR
#endif

	.text

/* struct rg_frame; the resume slot is pushed already. */
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
	/* To the resume address. */
	RET
.endm

/*
 * In place of the function's first instruction after its call to ftrace, with
 * the stack as it is there.  With the resume address on the stack it looks, to
 * an unwinder of a thread that is held, as if the function had called us.
 */
SYM_CODE_START(rg_entry_stub)
	UNWIND_HINT_FUNC
	RG_NOENDBR
	pushq	$0
	UNWIND_HINT_FUNC
	rg_call	rg_entry_hit
SYM_CODE_END(rg_entry_stub)

/*
 * In place of the function's caller.  The push puts the resume address where the
 * function's return address was.  An unwinder that finds our address as a return
 * address looks at the byte before it.
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
