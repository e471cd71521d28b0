/* SPDX-License-Identifier: MIT
 *
 * Whose code called malloc: not every caller may be made to start a thread.
 *
 * The dynamic linker and the C library call malloc with locks of theirs held, some of which pthread_create() takes. Their
 * code is recognised by address: the loaded objects that contain the linker, a function of ours, and two functions of the C
 * library, for pthread_create() may be another library's wrapper, and lived in a library of its own before glibc 2.34. In a
 * statically linked program all are one object with the program, and nothing is told apart: there the C library has no
 * linker's locks to hold.
 */
#include <link.h>
#include <pthread.h>
#include <sys/auxv.h>

#include "governor/governor_priv.h"

#define RANGES_MAX 4u

static struct {
    uintptr_t from, to;
} ranges[RANGES_MAX];
static unsigned range_count;

struct object {
    uintptr_t from, to;
};

static struct object extent_of(const struct dl_phdr_info *info)
{
    struct object o = {UINTPTR_MAX, 0};
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD)
            continue;
        o.from = ebb__min(o.from, info->dlpi_addr + p->p_vaddr);
        o.to = ebb__max(o.to, info->dlpi_addr + p->p_vaddr + p->p_memsz);
    }
    return o;
}

static int look_at(struct dl_phdr_info *info, size_t size, void *arg)
{
    const uintptr_t *wanted = arg;
    (void)size;
    struct object o = extent_of(info);
    bool is_program = info->dlpi_name == NULL || info->dlpi_name[0] == '\0';
    for (unsigned i = 0; i < RANGES_MAX && !is_program; i++)
        if (wanted[i] >= o.from && wanted[i] < o.to && range_count < RANGES_MAX) {
            ranges[range_count].from = o.from;
            ranges[range_count++].to = o.to;
            break;
        }
    return 0;
}

/* In a statically linked program the linker's own account of itself may be missing. */
#pragma weak _r_debug

/* The kernel does not tell where the linker is when it was itself run as a program, with ours as its argument. */
static uintptr_t linker_base(void)
{
    uintptr_t base = getauxval(AT_BASE);
    return base != 0 || &_r_debug == NULL ? base : _r_debug.r_ldbase;
}

void ebb__caller_init(void)
{
    uintptr_t wanted[RANGES_MAX] = {linker_base(), (uintptr_t)&getauxval, (uintptr_t)&pthread_create,
                                    (uintptr_t)&ebb__caller_init};
    range_count = 0;
    (void)dl_iterate_phdr(look_at, wanted);
}

bool ebb__caller_may_wait(const void *code)
{
    for (unsigned i = 0; i < range_count; i++)
        if ((uintptr_t)code >= ranges[i].from && (uintptr_t)code < ranges[i].to)
            return false;
    return true;
}
