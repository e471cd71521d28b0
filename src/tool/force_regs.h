/* SPDX-License-Identifier: MIT
 *
 * The registers of a stopped thread, for force_call.c: what differs between machines.
 */
#ifndef EBB_TOOL_FORCE_REGS_H
#define EBB_TOOL_FORCE_REGS_H

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/user.h>

/* With the widest vector registers. */
#define EBB_FORCE_VECTOR_BYTES 16384

struct ebb_force_regs {
    struct user_regs_struct general;
    size_t vector_bytes;
    int64_t syscall; /* its number, or -1: it is in none */
    unsigned char vector[EBB_FORCE_VECTOR_BYTES] __attribute__((aligned(64)));
};

static inline int ebb__force_regset(enum __ptrace_request request, pid_t tid, unsigned set, void *buf,
                                    size_t *bytes)
{
    struct iovec vec = {.iov_base = buf, .iov_len = *bytes};

    /* The kernel takes the number of the set where others take an address. */
    if (ptrace(request, tid, (void *)(uintptr_t)set, &vec) != 0)
        return -errno;
    *bytes = vec.iov_len;
    return 0;
}

#if defined(__x86_64__)
#define EBB_FORCE_VECTOR_SET NT_X86_XSTATE

static inline uint64_t ebb__force_pc(const struct ebb_force_regs *regs)
{
    return regs->general.rip;
}

static inline int ebb__force_read_syscall(pid_t tid, struct ebb_force_regs *regs)
{
    (void)tid;
    regs->syscall = (int64_t)regs->general.orig_rax;
    return 0;
}

/* Registers that call `function` with one argument and return to address 0. The frame goes below what a leaf function may use
 * without moving the stack pointer. `ret_push` says where the return address belongs. */
static inline void ebb__force_prepare(const struct ebb_force_regs *from, uint64_t function, uint64_t argument,
                                      struct user_regs_struct *ret_to, uint64_t *ret_push)
{
    *ret_to = from->general;
    ret_to->rsp = ((from->general.rsp - 256) & ~UINT64_C(15)) - 8;
    *ret_push = ret_to->rsp;
    ret_to->rip = function;
    ret_to->rdi = argument;
    ret_to->rax = 0;
    ret_to->orig_rax = UINT64_MAX;      /* no system call that would be begun again */
    ret_to->eflags &= ~UINT64_C(0x400); /* the direction of string instructions, as functions expect it */
}

static inline uint64_t ebb__force_result(const struct user_regs_struct *regs)
{
    return regs->rax;
}

static inline uint64_t ebb__force_pc_of(const struct user_regs_struct *regs)
{
    return regs->rip;
}

static inline int ebb__force_leave_syscall(pid_t tid)
{
    (void)tid;
    return 0;
}

static inline int ebb__force_return_syscall(pid_t tid, int64_t number)
{
    (void)tid;
    (void)number;
    return 0;
}
#elif defined(__aarch64__)
#define EBB_FORCE_VECTOR_SET NT_FPREGSET

static inline uint64_t ebb__force_pc(const struct ebb_force_regs *regs)
{
    return regs->general.pc;
}

static inline int ebb__force_read_syscall(pid_t tid, struct ebb_force_regs *regs)
{
    int number = -1;
    size_t bytes = sizeof(number);
    int err = ebb__force_regset(PTRACE_GETREGSET, tid, NT_ARM_SYSTEM_CALL, &number, &bytes);

    regs->syscall = number;
    return err;
}

static inline void ebb__force_prepare(const struct ebb_force_regs *from, uint64_t function, uint64_t argument,
                                      struct user_regs_struct *ret_to, uint64_t *ret_push)
{
    *ret_to = from->general;
    ret_to->sp = (from->general.sp - 256) & ~UINT64_C(15);
    *ret_push = 0; /* the return address is in a register */
    ret_to->pc = function;
    ret_to->regs[0] = argument;
    ret_to->regs[30] = 0;
}

static inline uint64_t ebb__force_result(const struct user_regs_struct *regs)
{
    return regs->regs[0];
}

static inline uint64_t ebb__force_pc_of(const struct user_regs_struct *regs)
{
    return regs->pc;
}

static inline int ebb__force_set_syscall(pid_t tid, int number)
{
    size_t bytes = sizeof(number);

    return ebb__force_regset(PTRACE_SETREGSET, tid, NT_ARM_SYSTEM_CALL, &number, &bytes);
}

static inline int ebb__force_leave_syscall(pid_t tid)
{
    return ebb__force_set_syscall(tid, -1);
}

static inline int ebb__force_return_syscall(pid_t tid, int64_t number)
{
    return ebb__force_set_syscall(tid, (int)number);
}
#endif

#endif
