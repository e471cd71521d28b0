/* SPDX-License-Identifier: MIT
 * Raw system calls: errno stays untouched, and no library that wraps mmap, write or open can call back into
 * malloc. */
#ifndef EBB_BASE_SYSCALL_H
#define EBB_BASE_SYSCALL_H

#include <sys/syscall.h>

#include "base/compiler.h"

#define EBB_SYS_write SYS_write
#define EBB_SYS_futex SYS_futex

/* Returns the kernel's value: negative errno on failure. */
#if defined(__x86_64__)
EBB_INLINE long ebb__syscall(long nr, long a, long b, long c, long d, long e, long f)
{
    long ret;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return ret;
}
EBB_INLINE void ebb__cpu_relax(void)
{
    __builtin_ia32_pause();
}
#elif defined(__aarch64__)
EBB_INLINE long ebb__syscall(long nr, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = nr;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory", "cc");
    return x0;
}
EBB_INLINE void ebb__cpu_relax(void)
{
    __asm__ volatile("yield" ::: "memory");
}
#else
#error "ebb runs on x86-64 and aarch64"
#endif

#endif
