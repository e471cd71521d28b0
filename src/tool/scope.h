/* SPDX-License-Identifier: MIT
 *
 * Which library serves which function in a running process.
 */
#ifndef EBB_TOOL_SCOPE_H
#define EBB_TOOL_SCOPE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "probe/probe.h"
#include "tool/image.h"

/* One object of the process, in search order; [0] is the program. */
struct ebb_scope_object {
    uint64_t dynamic_addr;
    struct ebb_map map; /* the mapping that holds its dynamic section; `name` is not valid */
    char *name;         /* of its file, or NULL when it has none (the kernel's vdso) */
};

struct ebb_scope {
    pid_t pid;
    size_t count;
    struct ebb_scope_object *objects;
};

/* Opens the file behind a mapping: the very file that is mapped, even when another has its name by now.
 * A file descriptor, or -errno (-ESTALE when only a newer file of that name can be reached). */
int ebb__scope_open_mapped(pid_t pid, const struct ebb_map *map);

/* Reads the objects of a process. 0, or -errno: see ebb__linkmap_read(). */
int ebb__scope_read(pid_t pid, struct ebb_scope *ret_scope);
void ebb__scope_fini(struct ebb_scope *scope);

/* For each wanted row of alloc_symbols.def the first object that exports it, as an index, or -1.
 * 0, or -errno when an object in between cannot be read, so that the answer is not known. */
int ebb__scope_owners(const struct ebb_scope *scope, const bool wanted[EBB_ALLOC_SYMBOLS_MAX],
                      int ret_owners[EBB_ALLOC_SYMBOLS_MAX]);

#endif
