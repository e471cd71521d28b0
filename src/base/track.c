/* SPDX-License-Identifier: MIT
 * Telling memory checkers which bytes may be touched.
 *
 * valgrind's requests are written out here, from the description of the protocol in its manual, so that the library neither
 * needs its header nor differs by whether that was there: a block of six words (request, five arguments), a register that
 * points to it, another that holds the answer for "nobody listens", and rotations of a third that sum up to nothing. */
#include "base/track.h"

#include <stdint.h>

#include "base/compiler.h"

/* Undefined in a program without AddressSanitizer. */
__attribute__((weak)) void __asan_poison_memory_region(void const volatile *p, size_t bytes);
__attribute__((weak)) void __asan_unpoison_memory_region(void const volatile *p, size_t bytes);

/* memcheck's requests are 'M', 'C' and a number. */
enum memcheck_request {
    MAKE_NO_ACCESS = ('M' << 24 | 'C' << 16),
    MAKE_UNDEFINED,
    MAKE_DEFINED,
};

static uintptr_t ask_memcheck(enum memcheck_request request, uintptr_t p, uintptr_t bytes)
{
    volatile uintptr_t words[6] = {(uintptr_t)request, p, bytes, 0, 0, 0};
#if defined(__x86_64__)
    uintptr_t answer = 0;
    __asm__ volatile("rolq $3, %%rdi\n\trolq $13, %%rdi\n\trolq $61, %%rdi\n\trolq $51, %%rdi\n\t"
                     "xchgq %%rbx, %%rbx"
                     : "+d"(answer)
                     : "a"(&words[0])
                     : "cc", "memory");
    return answer;
#elif defined(__aarch64__)
    register uintptr_t answer __asm__("x3") = 0;
    register volatile uintptr_t *at __asm__("x4") = &words[0];
    __asm__ volatile("ror x12, x12, #3\n\tror x12, x12, #13\n\tror x12, x12, #51\n\tror x12, x12, #61\n\t"
                     "orr x10, x10, x10"
                     : "+r"(answer)
                     : "r"(at)
                     : "cc", "memory");
    return answer;
#else
    (void)words;
    return 0;
#endif
}

_Atomic int ebb__track_listener;

enum ebb_track ebb__track_find_listener(void)
{
    int who = atomic_load_explicit(&ebb__track_listener, memory_order_relaxed);
    if (who != EBB_TRACK_UNKNOWN)
        return (enum ebb_track)who;
    if (__asan_poison_memory_region != NULL && __asan_unpoison_memory_region != NULL)
        who = EBB_TRACK_ASAN;
    else /* other tools of valgrind do not know the request */
        who = ask_memcheck(MAKE_DEFINED, (uintptr_t)&who, 0) != 0 ? EBB_TRACK_MEMCHECK : EBB_TRACK_NOBODY;
    atomic_store_explicit(&ebb__track_listener, who, memory_order_relaxed);
    return (enum ebb_track)who;
}

void ebb__track_forbid(const void *p, size_t bytes)
{
    enum ebb_track who = ebb__track_find_listener();
    if (who == EBB_TRACK_ASAN)
        __asan_poison_memory_region(p, bytes);
    else if (who == EBB_TRACK_MEMCHECK)
        (void)ask_memcheck(MAKE_NO_ACCESS, (uintptr_t)p, bytes);
}

void ebb__track_allow(const void *p, size_t bytes)
{
    enum ebb_track who = ebb__track_find_listener();
    if (who == EBB_TRACK_ASAN)
        __asan_unpoison_memory_region(p, bytes);
    else if (who == EBB_TRACK_MEMCHECK)
        (void)ask_memcheck(MAKE_UNDEFINED, (uintptr_t)p, bytes);
}
