/* SPDX-License-Identifier: MIT
 *
 * Inside the malloc of glibc 2.28 to 2.41 in another process: arenas, free blocks, tuning values; read from outside, without stopping it.
 *
 * A library without symbols does not say where its first arena is. It is found by what it must look like: the ends of all 127 lists of free
 * blocks, whose first and last members point back; a top that ends where a page does; a ring of arenas that leads back to it.
 * The tuning values are found by the address of the first byte that brk() ever gave. Exactly one place must fit, or nothing is said.
 *
 *   main arena -next-> arena -next-> arena -next-> main arena        each has 10 fastbins (one way), 127 bins (both ways), and a top
 *                      |
 *                      +- lies in its first heap; heaps are aligned to 64 MiB and linked, the newest first
 *
 * The other process runs on and may be hostile. Everything is read through an ebb_peek_fn and believed only where it agrees:
 *   - each member of a list points back to the one before, and has a size that belongs into this list;
 *   - free bytes never exceed what the arena has from the kernel, so that no list can lead in circles for long;
 *   - all free blocks of an arena are read twice, its own head before, between and after. All must be alike, or the arena is
 *     "moving" (-EAGAIN), after a few attempts. A walk that fails in an arena that does not change means damage (-EBADMSG).
 * No figure is ever half right.
 *
 * Costs: the head of each free block is read twice, first by following the lists through a cache of small lines, which takes 2 us for each
 * block that is not near the one before, then many at once, 1 us each (a virtual machine in 2026). No page is read that does not hold the
 * head of a free block: reading others would make the kernel bring them in. Nothing is allocated here: the caller gives the room.
 */
#ifndef EBB_PROBE_GLIBC_H
#define EBB_PROBE_GLIBC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probe/peek.h"

/* A ring that is longer is taken for damaged: glibc makes at most 8 arenas for each processor, unless told otherwise. */
#define EBB_GLIBC_ARENAS_MAX 8192

enum ebb_glibc_par {
#define EBB_GLIBC_PAR(id, a, b, bytes) EBB_GLIBC_PAR_##id,
#include "probe/glibc_layout.def"
#undef EBB_GLIBC_PAR
    EBB_GLIBC_PAR_COUNT
};

struct ebb_glibc_layout {
    unsigned first;
    unsigned last;
    unsigned heap_info_bytes;
    bool hides_links;
    unsigned tcache_count_bytes;
    const int16_t *par; /* EBB_GLIBC_PAR_COUNT offsets; below 0: this version has no such field */
};

/* The row for 2.minor, or NULL. */
const struct ebb_glibc_layout *ebb__glibc_layout(unsigned minor);

/* ---- the other process ---- */

#define EBB_GLIBC_LINE_BYTES 1024
#define EBB_GLIBC_LINES      4096
#define EBB_GLIBC_DATA_BYTES (256 << 10)

/* What the caller knows of the process, and room for what is read; some 4 MiB. */
struct ebb_glibc_process {
    ebb_peek_fn peek;
    ebb_peek_many_fn peek_many; /* NULL: one by one */
    void *context;
    uint64_t page_bytes;
    uint64_t data_start; /* the C library's writable mapping */
    uint64_t data_end;
    uint64_t heap_start; /* what brk() has grown, [heap]; both 0 when there is none */
    uint64_t heap_end;

    uint64_t peeks; /* out: how often memory was read, and how much */
    uint64_t peeked_bytes;

    /* Private. */
    uint64_t tags[EBB_GLIBC_LINES]; /* address of the line + 1; 0: empty */
    uint8_t lines[EBB_GLIBC_LINES][EBB_GLIBC_LINE_BYTES];
    uint8_t data[EBB_GLIBC_DATA_BYTES];
};

/* Finds "release version 2.N" of the C library's banner in a text. True with the minor version. */
bool ebb__glibc_banner(const char *text, size_t len, unsigned *ret_minor);

/* The same in [start, end) of the process. 0, -ENOENT when there is none, or what `peek` returned. */
int ebb__glibc_version(struct ebb_glibc_process *process, uint64_t start, uint64_t end, unsigned *ret_minor);

/* The build-id of the file whose beginning is mapped at `base`, as hexadecimal digits; "" when it has none. */
#define EBB_GLIBC_BUILD_ID_BYTES 65
void ebb__glibc_build_id(struct ebb_glibc_process *process, uint64_t base,
                         char ret_id[EBB_GLIBC_BUILD_ID_BYTES]);

/* ---- what is in it ---- */

struct ebb_glibc {
    const struct ebb_glibc_layout *layout;
    uint64_t main_arena;
    uint64_t par_address;
    uint64_t par[EBB_GLIBC_PAR_COUNT]; /* 0 for what this version has not */
    bool has_par;
    uint64_t heap_align; /* heaps of other arenas begin at multiples of it */
};

/* Finds the main arena and the tuning values. 0; -ENOENT when no place, or more than one, looks like a main arena of this version; or what
 * `peek` returned. Without tuning values (nothing in brk()'s heap) has_par is false. */
int ebb__glibc_find(struct ebb_glibc_process *process, const struct ebb_glibc_layout *layout,
                    struct ebb_glibc *ret_glibc);

/* Reads the tuning values again. 0, -EAGAIN when they make no sense at this moment, or what `peek` returned. */
int ebb__glibc_par_read(struct ebb_glibc_process *process, struct ebb_glibc *glibc);

/* Takes the tuning values at an address that symbols tell. 0, -EAGAIN as above when they cannot be such, or what `peek` returned. */
int ebb__glibc_par_at(struct ebb_glibc_process *process, struct ebb_glibc *glibc, uint64_t address);

/* The addresses of all arenas, the main arena first. 0; -EAGAIN when the ring does not close; -E2BIG; or what `peek` returned. */
int ebb__glibc_arenas(struct ebb_glibc_process *process, const struct ebb_glibc *glibc, uint64_t *ret_arenas,
                      size_t room, size_t *ret_count);

/* A free block. */
struct ebb_glibc_chunk {
    uint64_t address; /* of its head */
    uint64_t bytes;   /* with its head */
    uint64_t sum;     /* of what its head says */
};

enum ebb_glibc_kind {
    EBB_GLIBC_FAST,
    EBB_GLIBC_UNSORTED,
    EBB_GLIBC_SMALL,
    EBB_GLIBC_LARGE,
    EBB_GLIBC_KIND_COUNT
};

/* Free blocks of 2^b to 2^(b+1) - 1 bytes. */
#define EBB_GLIBC_BUCKETS 48

struct ebb_glibc_free {
    uint64_t count;
    uint64_t bytes;
};

struct ebb_glibc_arena {
    uint64_t address;
    bool is_main;
    uint64_t attached_threads;
    uint64_t system_bytes; /* from the kernel */
    uint64_t peak_bytes;   /* the most that it ever was */
    uint64_t heap_count;   /* 0 for the main arena */
    uint64_t top;
    uint64_t top_bytes;
    struct ebb_glibc_free kinds[EBB_GLIBC_KIND_COUNT];
    struct ebb_glibc_free buckets[EBB_GLIBC_BUCKETS];
    size_t fast_count;  /* the first blocks of the walk */
    size_t chunk_count; /* of all kinds, without the top */
};

/* Reads one arena, with all its free blocks in the order of its lists. 0; -ENOSPC when `room` is too small; -EAGAIN when it changes all
 * the time; -EBADMSG when it does not change and makes no sense; or what `peek` returned. */
int ebb__glibc_arena_read(struct ebb_glibc_process *process, const struct ebb_glibc *glibc, uint64_t address,
                          struct ebb_glibc_chunk *ret_chunks, size_t room, struct ebb_glibc_arena *ret_arena);

/* Only what the head says, without free blocks: one read. 0, or what `peek` returned. */
int ebb__glibc_arena_head(struct ebb_glibc_process *process, const struct ebb_glibc *glibc, uint64_t address,
                          struct ebb_glibc_arena *ret_arena);

#define EBB_GLIBC_TRIED 256

/* Caches of threads that were found; all zero but for the room before the first search. */
struct ebb_glibc_tcaches {
    uint64_t *addresses; /* room for `room`; those that were found */
    size_t room;
    size_t count;
    uint64_t blocks; /* in all of them */
    uint64_t bytes;

    /* Private: places that were tried last, whether they are heaps of an arena. */
    uint64_t tried[EBB_GLIBC_TRIED];
    bool is_heap[EBB_GLIBC_TRIED];
};

/* Looks for pointers to caches of threads in [start, end), where their variables lie, and adds what is new. The arenas believe that what is in a
 * cache is in use. A cache that is empty, or changes just now, is not found. */
void ebb__glibc_tcaches_in(struct ebb_glibc_process *process, const struct ebb_glibc *glibc, uint64_t start,
                           uint64_t end, struct ebb_glibc_tcaches *found);

/* What a thread's cache can hold at most under these tuning values; 0 without them. */
uint64_t ebb__glibc_tcache_max_bytes(const struct ebb_glibc *glibc);

#endif
