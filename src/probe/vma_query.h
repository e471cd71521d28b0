/* SPDX-License-Identifier: MIT
 *
 * The mappings of a process as structs from the kernel (PROCMAP_QUERY, since Linux 6.11), or else from the text of maps.
 *
 * A query costs one system call for each mapping and no text at all; it also tells the size of the pages, which the text does not. The one
 * mapping that it does not return is [vsyscall], which is no mapping of the process: the kernel does not count it either
 * (ebb__map_is_gate()).
 */
#ifndef EBB_PROBE_VMA_QUERY_H
#define EBB_PROBE_VMA_QUERY_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "probe/maps.h"

struct ebb_vma_query {
    struct ebb_maps maps; /* where the kernel answers no queries */
    int fd;               /* for queries */
    bool queries;         /* which of them it is */
    uint64_t at;          /* the next address to ask for */
    uint64_t page_bytes;  /* of the mapping that was returned last; 0: not known */
    char name[PATH_MAX + 64];
};

/* 0, or -errno as ebb__maps_open(). `text_only` never asks. */
int ebb__vma_query_open(struct ebb_vma_query *query, const char *root, pid_t pid, bool text_only);
void ebb__vma_query_close(struct ebb_vma_query *query);

/* The next mapping, as ebb__maps_next(); in a name that comes from a query newlines stand as they are. */
int ebb__vma_query_next(struct ebb_vma_query *query, struct ebb_map *ret_map);

/* True for a mapping that all processes share and that the kernel does not count as one of theirs: [vsyscall], [vectors] on 32-bit
 * ARM. */
bool ebb__map_is_gate(const struct ebb_map *map);

#endif
