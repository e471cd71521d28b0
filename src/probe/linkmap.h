/* SPDX-License-Identifier: MIT
 *
 * The order in which a running process searches its objects for a symbol, from its own dynamic linker's list.
 *
 * The order of the mappings says nothing about who serves a symbol. The dynamic linker's list does: the
 * objects loaded at start stand in it in search order, program first, then preloaded libraries, then what
 * they need. Objects loaded later by dlopen() follow.
 */
#ifndef EBB_PROBE_LINKMAP_H
#define EBB_PROBE_LINKMAP_H

#include <stddef.h>
#include <stdint.h>

#include "probe/auxv.h"
#include "probe/peek.h"

/* A list that is longer than this is taken for damaged. */
#define EBB_LINKMAP_OBJECTS_MAX 4096

struct ebb_linkmap_object {
    uint64_t bias;         /* what was added to the addresses in the file */
    uint64_t dynamic_addr; /* of its dynamic section: lies in one of the object's mappings */
};

/* Fills up to `max` objects in search order, for a 64-bit process. 0 and the number, or
 *  -ENOENT  the program has no dynamic linker's list (static),
 *  -EAGAIN  the dynamic linker has not made the list yet, or is changing it,
 *  -EBADMSG the list makes no sense, -E2BIG it is longer than `max`, or what `peek` returned. */
int ebb__linkmap_read(ebb_peek_fn peek, void *context, const struct ebb_auxv *auxv,
                      struct ebb_linkmap_object *ret_objects, size_t max, size_t *ret_count);

#endif
