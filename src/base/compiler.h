/* SPDX-License-Identifier: MIT
 * Attributes and hints that gcc and clang share; the only place that names them. */
#ifndef EBB_BASE_COMPILER_H
#define EBB_BASE_COMPILER_H

#define EBB_LIKELY(e)   __builtin_expect(!!(e), 1)
#define EBB_UNLIKELY(e) __builtin_expect(!!(e), 0)

#define EBB_HOT        __attribute__((hot))
#define EBB_COLD       __attribute__((cold, noinline))
#define EBB_NOINLINE   __attribute__((noinline))
#define EBB_INLINE     static inline __attribute__((always_inline))
#define EBB_EXPORT     __attribute__((visibility("default")))
#define EBB_HIDDEN     __attribute__((visibility("hidden")))
#define EBB_PRINTF(f)  __attribute__((format(printf, f, f + 1)))
#define EBB_ALIGNED(n) __attribute__((aligned(n)))

/* One fixed slot in the thread block: no call, no lock, works before and after the constructors. */
#define EBB_TLS __thread __attribute__((tls_model("initial-exec")))

/* The value is computed once, here: compilers like to compute an address again rather than keep it in a register. */
#define EBB_KEEP(v) __asm__("" : "+r"(v))

#define EBB_STATIC_ASSERT(e, why) _Static_assert(e, why)
#define EBB_ARRAY_COUNT(a)        (sizeof(a) / sizeof((a)[0]))

#define EBB_KIB(n) ((size_t)(n) << 10)
#define EBB_MIB(n) ((size_t)(n) << 20)
#define EBB_GIB(n) ((size_t)(n) << 30)

#endif
