/* SPDX-License-Identifier: MIT
 *
 * Which kind of page lists the kernel keeps, classic ones or generations (since 6.1), and how old the generations are.
 */
#ifndef EBB_PROBE_LRU_GEN_H
#define EBB_PROBE_LRU_GEN_H

#include <stddef.h>
#include <stdint.h>

#include "probe/fact.h"

#define EBB_LRU_GEN_AGES_MAX 8 /* of a node; Linux keeps up to four */

struct ebb_lru_gen {
    struct ebb_fact enabled;    /* a mask; bit 0: generations are in use. -ENOENT: the kernel has none */
    struct ebb_fact min_ttl_ms; /* above 0: out of memory rather than evicting what was used since */
};

/* "0x0007", or "y" and "n" in old trees. Unknown (-EBADMSG) when it is neither. */
struct ebb_fact ebb__lru_gen_parse(const char *text, size_t len);

/* From ROOT/sys/kernel/mm/lru_gen. */
void ebb__lru_gen_read(const char *root, struct ebb_lru_gen *ret_lru_gen);

/* A generation, of the pages of one memory cgroup on one node. */
struct ebb_lru_gen_age {
    unsigned node;
    uint64_t number; /* rises; the lowest is evicted first */
    uint64_t age_ms;
    uint64_t anon_pages;
    uint64_t file_pages;
};

struct ebb_lru_gen_ages {
    unsigned count;
    struct ebb_lru_gen_age ages[64 * EBB_LRU_GEN_AGES_MAX]; /* node by node, the oldest first */
};

/* The generations of the memory cgroup with that path, "/" for what is in none, from the text of debugfs's lru_gen. 0,
 * -ENOENT when it is not there, or -E2BIG. */
int ebb__lru_gen_ages_parse(const char *text, size_t len, const char *path,
                            struct ebb_lru_gen_ages *ret_ages);

/* From ROOT/sys/kernel/debug/lru_gen, which root alone may read where debugfs is mounted. */
int ebb__lru_gen_ages_read(const char *root, const char *path, struct ebb_lru_gen_ages *ret_ages);

#endif
