/* SPDX-License-Identifier: MIT
 *
 * `ebb heap` for a process on glibc's malloc: what its arenas hold, and what malloc_trim(0) would return.
 */
#ifndef EBB_TOOL_HEAP_GLIBC_H
#define EBB_TOOL_HEAP_GLIBC_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/glibc_trim.h"
#include "model/heap_verdict.h"
#include "probe/probe.h"
#include "tool/emit.h"
#include "tool/target.h"

/* Pages of one kind. */
struct ebb_heap_pages {
    uint64_t whole_bytes; /* as addresses */
    uint64_t resident_bytes;
    uint64_t swapped_bytes;
};

struct ebb_heap_arena {
    struct ebb_glibc_arena arena;
    int err; /* why its free blocks are not known: the head alone holds; 0: everything does */
    struct ebb_heap_pages pages[EBB_GLIBC_TRIM_PART_COUNT];
};

/* Sums over all arenas. */
struct ebb_heap_sum {
    uint64_t system_bytes;
    uint64_t peak_bytes;
    uint64_t free_bytes;
    uint64_t live_bytes;
    uint64_t top_bytes;
    uint64_t free_count;
    struct ebb_glibc_free kinds[EBB_GLIBC_KIND_COUNT];
    struct ebb_glibc_free buckets[EBB_GLIBC_BUCKETS];
    struct ebb_heap_pages pages[EBB_GLIBC_TRIM_PART_COUNT];
    unsigned unknown_count; /* arenas whose free blocks are not known */
    int err;                /* why, of the first of them */
};

struct ebb_heap_glibc {
    const struct ebb_target *target;
    char library[PATH_MAX]; /* the C library's file, printable */
    char build_id[EBB_GLIBC_BUILD_ID_BYTES];
    unsigned minor;
    bool by_symbol; /* the library's symbols say so too; false: it has none */
    struct ebb_glibc glibc;
    const char *
        inner; /* another allocator that is a part of the program, under names of its own; NULL. The caller sets it */
    char why[768]; /* it cannot be looked into: a clause that begins with the library's name */

    /* The last look. */
    uint64_t at_ms; /* CLOCK_MONOTONIC */
    uint64_t took_us;
    struct ebb_fact rss;
    struct ebb_fact anon;
    struct ebb_fact threads;
    struct ebb_fact locked;
    int par_err;   /* why the tuning values are those of an earlier look */
    int pages_err; /* why it is not known which pages are resident */
    size_t arena_count;
    struct ebb_heap_arena *arenas;
    struct ebb_heap_sum sum;
    struct ebb_glibc_tcaches tcaches; /* of as many threads as they could be found of */

    /* Private: the process, and room. */
    pid_t pid;
    struct ebb_glibc_process *process;
    uint64_t *addresses;
    size_t arena_room;
    struct ebb_glibc_chunk *chunks;
    size_t chunk_room;
};

/* Finds the arenas. 0; -EOPNOTSUPP when the library's heap cannot be looked into, for the reason in `why`; or -errno. Free with
 * ebb__heap_glibc_close() in all cases. */
int ebb__heap_glibc_open(struct ebb_heap_glibc *heap, const struct ebb_target *target);
void ebb__heap_glibc_close(struct ebb_heap_glibc *heap);

/* Looks at everything. 0, or -errno when the process cannot be looked at (any more). */
int ebb__heap_glibc_look(struct ebb_heap_glibc *heap);

/* Bytes of an arena that are free: in lists, and the top. */
uint64_t ebb__heap_arena_free(const struct ebb_glibc_arena *arena);

/* What is free in pieces below a page. */
uint64_t ebb__heap_fragments(const struct ebb_heap_sum *sum);

/* What a look is for the verdict; false when something that it needs is not known. */
bool ebb__heap_glibc_verdict_look(const struct ebb_heap_glibc *heap, struct ebb_heap_look *ret_look);

/* A look from before, to compare with. */
struct ebb_heap_before {
    bool known;
    uint64_t at_ms;
    struct ebb_heap_look look;
};

void ebb__heap_glibc_print(struct ebb_emit *emit, const struct ebb_heap_glibc *heap,
                           const struct ebb_heap_before *before);

/* The address of a variable of the library that is mapped from its beginning at `map`, whose name must be valid. False when neither it nor a
 * debug file has symbols. */
bool ebb__heap_symbol(pid_t pid, const struct ebb_map *map, const char *build_id, const char *name,
                      uint64_t *ret_address);

/* The section with the settings in the process's environment that concern this allocator. */
void ebb__heap_settings_print(struct ebb_emit *emit, pid_t pid, const char *allocator);

/* The report about a process on an allocator that can be looked at from outside only by its mappings. Exit status. */
int ebb__heap_other(struct ebb_emit *emit, const struct ebb_target *target, const char *allocator,
                    const char *evidence);

/* True when ebb__heap_other() has something to say about the allocator of this name. */
bool ebb__heap_other_knows(const char *allocator);

#endif
