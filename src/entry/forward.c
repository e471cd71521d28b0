/* SPDX-License-Identifier: MIT
 *
 * Blocks of another allocator: handed on to the next definition of free, realloc and malloc_usable_size.
 *
 * A library that was opened with RTLD_DEEPBIND allocates from the C library although the program uses us, and
 * its blocks legitimately reach our free. The next definition is looked up once, at the first such block,
 * never on the way of our own.
 */
#include <dlfcn.h>

#include "base/syscall.h"
#include "entry/entry.h"

/* Every allocator keeps something in front of its blocks or at them; an address whose memory is not mapped is
 * nobody's block, and is better reported by us than by a fault in the next allocator. */
static bool is_mapped(const void *p)
{
    const uintptr_t unit = ebb__align_down((uintptr_t)p, EBB_UNIT_BYTES);
    unsigned char seen;
    /* -ENOMEM: not mapped. -EINVAL: the kernel's page is larger than a unit; then the whole page is asked
     * for. */
    long rc = ebb__syscall(SYS_mincore, (long)unit, 1, (long)&seen, 0, 0, 0);
    if (rc == -EINVAL)
        rc = ebb__syscall(SYS_mincore, (long)ebb__align_down(unit, EBB_KIB(64)), 1, (long)&seen, 0, 0, 0);
    return rc == 0;
}

static void *next_symbol(const char *name, void *_Atomic *cache)
{
    void *found = atomic_load_explicit(cache, memory_order_acquire);
    if (found == NULL) {
        found = dlsym(RTLD_NEXT, name);
        atomic_store_explicit(cache, found, memory_order_release);
    }
    return found;
}

bool ebb__forward_free(void *p)
{
    static void *_Atomic next;
    int saved = errno;
    void (*fn)(void *);
    *(void **)&fn = next_symbol("free", &next);
    if (fn == NULL || !is_mapped(p))
        return false;
    fn(p);
    errno = saved;
    return true;
}

bool ebb__forward_realloc(void *p, size_t bytes, void **ret_block)
{
    static void *_Atomic next;
    void *(*fn)(void *, size_t);
    *(void **)&fn = next_symbol("realloc", &next);
    if (fn == NULL || !is_mapped(p))
        return false;
    *ret_block = fn(p, bytes);
    return true;
}

bool ebb__forward_usable(const void *p, size_t *ret_bytes)
{
    static void *_Atomic next;
    size_t (*fn)(void *);
    *(void **)&fn = next_symbol("malloc_usable_size", &next);
    if (fn == NULL || !is_mapped(p))
        return false;
    *ret_bytes = fn((void *)(uintptr_t)p);
    return true;
}
