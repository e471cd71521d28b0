/* SPDX-License-Identifier: MIT
 *
 * Which version of an allocator a process has mapped, by what stands in its memory (src/probe/alloc_version.h).
 */
#ifndef EBB_TOOL_ALLOC_VERSION_H
#define EBB_TOOL_ALLOC_VERSION_H

#include <stdbool.h>
#include <sys/types.h>

#include "probe/alloc_version.h"
#include "probe/maps.h"

/* True when a version can be told at all: of "jemalloc", "tcmalloc" and "mimalloc". */
bool ebb__alloc_version_knows(const char *allocator);

/* Finds it in the allocator's library, or in the program when no such library is mapped and it may be a part of that. 0; -ENOENT: nothing in it
 * tells; -EOPNOTSUPP: not of this allocator; or -errno. No more than 64 MiB are looked at. */
int ebb__alloc_version_read(pid_t pid, const char *allocator, char ret_version[EBB_ALLOC_VERSION_BYTES]);

#endif
