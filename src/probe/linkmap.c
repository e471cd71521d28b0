/* SPDX-License-Identifier: MIT
 *
 * The search order of a running process, from its dynamic linker's list; see linkmap.h.
 *
 * The way there: the kernel tells where the program headers are (AT_PHDR); they tell where the dynamic
 * section is; the dynamic linker has written the address of its struct r_debug into the entry DT_DEBUG there;
 * and r_debug heads the list of struct link_map. All of it is the process's own memory and may be garbage:
 * every step is bounded.
 */
#include "probe/linkmap.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdbool.h>

/* More program headers, or dynamic entries, than any linker writes. */
#define PHDRS_MAX   256
#define DYNAMIC_MAX 512

_Static_assert(sizeof(void *) == 8, "struct link_map is read as the 64-bit dynamic linker lays it out");

/* Finds the run-time address of the dynamic section. */
static int find_dynamic(ebb_peek_fn peek, void *context, const struct ebb_auxv *auxv, uint64_t *ret_addr)
{
    uint64_t phdr_addr;
    uint64_t count;
    uint64_t entry_bytes;
    uint64_t bias = 0;
    uint64_t dynamic = 0;
    bool has_dynamic = false;

    if (!ebb__auxv_get(auxv, AT_PHDR, &phdr_addr) || !ebb__auxv_get(auxv, AT_PHNUM, &count) ||
        !ebb__auxv_get(auxv, AT_PHENT, &entry_bytes))
        return -EBADMSG;
    if (count > PHDRS_MAX || entry_bytes != sizeof(Elf64_Phdr))
        return -EBADMSG;
    for (uint64_t i = 0; i < count; i++) {
        Elf64_Phdr phdr;
        int err = peek(context, phdr_addr + i * sizeof(phdr), &phdr, sizeof(phdr));

        if (err != 0)
            return err;
        if (phdr.p_type == PT_PHDR)
            bias = phdr_addr - phdr.p_vaddr;
        if (phdr.p_type == PT_DYNAMIC) {
            dynamic = phdr.p_vaddr;
            has_dynamic = true;
        }
    }
    if (!has_dynamic)
        return -ENOENT;
    *ret_addr = dynamic + bias;
    return 0;
}

static int find_debug(ebb_peek_fn peek, void *context, uint64_t dynamic_addr, uint64_t *ret_addr)
{
    for (unsigned i = 0; i < DYNAMIC_MAX; i++) {
        Elf64_Dyn entry;
        int err = peek(context, dynamic_addr + i * sizeof(entry), &entry, sizeof(entry));

        if (err != 0)
            return err;
        if (entry.d_tag == DT_NULL)
            return -ENOENT;
        if (entry.d_tag == DT_DEBUG) {
            if (entry.d_un.d_ptr == 0)
                return -EAGAIN;
            *ret_addr = entry.d_un.d_ptr;
            return 0;
        }
    }
    return -EBADMSG;
}

int ebb__linkmap_read(ebb_peek_fn peek, void *context, const struct ebb_auxv *auxv,
                      struct ebb_linkmap_object *ret_objects, size_t max, size_t *ret_count)
{
    struct r_debug debug;
    uint64_t addr = 0;
    size_t count = 0;
    int err = find_dynamic(peek, context, auxv, &addr);

    if (err == 0)
        err = find_debug(peek, context, addr, &addr);
    if (err == 0)
        err = peek(context, addr, &debug, sizeof(debug));
    if (err != 0)
        return err;
    if (debug.r_map == NULL || debug.r_state != RT_CONSISTENT)
        return -EAGAIN;

    addr = (uint64_t)(uintptr_t)debug.r_map;
    while (addr != 0) {
        struct link_map object;

        if (count == max || count == EBB_LINKMAP_OBJECTS_MAX)
            return -E2BIG;
        err = peek(context, addr, &object, sizeof(object));
        if (err != 0)
            return err;
        ret_objects[count].bias = object.l_addr;
        ret_objects[count].dynamic_addr = (uint64_t)(uintptr_t)object.l_ld;
        count++;
        addr = (uint64_t)(uintptr_t)object.l_next;
    }
    *ret_count = count;
    return 0;
}
