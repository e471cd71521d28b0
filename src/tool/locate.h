/* SPDX-License-Identifier: MIT
 *
 * Where a data symbol of a mapped file lies in the memory of a process.
 */
#ifndef EBB_TOOL_LOCATE_H
#define EBB_TOOL_LOCATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "probe/probe.h"

struct ebb_locate {
    pid_t pid;
    const char *symbol;
    uint64_t only_inode; /* only in files with this inode; 0: in all */
    bool static_too;     /* also in .symtab, where a program has what is linked into it */
    /* Called for each mapping that begins a file with that symbol, with the open file and the symbol's address in the
     * process, until it returns true. A file that is mapped without being loaded is among them. */
    bool (*found)(void *context, const struct ebb_map *map, int fd, uint64_t address);
    void *context;
};

/* 1 when `found` returned true, 0 when not, -ESRCH when the process has no mappings any more, or -errno. */
int ebb__locate(const struct ebb_locate *locate);

#endif
