/* SPDX-License-Identifier: MIT
 *
 * The stats page: what a process on ebb tells about its heap to whoever may read its memory.
 *
 * The page is ordinary memory at the exported symbol `ebb_stats_page` (src/stats has the process's own side). It
 * is read from outside by process_vm_readv(): it works on a process that runs, is stopped or is stuck, needs the
 * permission to trace it and nothing else, costs no descriptor and no mapping, and is private after fork.
 *
 *   +--------+---------+-----------------+--------------+
 *   | header | summary | classes, by code | rows, by index |
 *   +--------+---------+-----------------+--------------+
 *
 * Format. All numbers have the machine's byte order and lie at multiples of their size. The header says where each
 * section begins, how many entries it has and how far apart they lie. Later versions may append fields to header,
 * summary and entries, append entries, and put sections between these; they never move or remove a field, so a
 * reader of any version reads the pages of every other. A change that cannot keep this gets another magic.
 *
 * Who writes what:
 *   header    constant, but for pid and start_ms (the library's start, fork), thread_id, sequence, control_done and
 *             control_result (the background thread)
 *   summary   the background thread alone, between two values of `sequence`: odd while it writes
 *   classes   the heap, under the lock of the class
 *   rows      anybody, by relaxed atomic operations
 * So each number is right on its own; only the summary is consistent in itself. Times are CLOCK_MONOTONIC, which all
 * processes of a machine share, unless they live in different time namespaces.
 *
 * Reading. The bytes may come from a process that is hostile, dying, or of another version: ebb__wire_decode() trusts
 * nothing of them.
 */
#ifndef EBB_WIRE_STATS_PAGE_H
#define EBB_WIRE_STATS_PAGE_H

#include "base/base.h"

#define EBB_WIRE_PAGE_SYMBOL "ebb_stats_page"
#define EBB_WIRE_PAGE_MAGIC  "EBBSTATS" /* 8 bytes, without the NUL */
#define EBB_WIRE_VERSION     1u         /* rises with every field that is appended */

#define EBB_WIRE_NAME_BYTES    32u
#define EBB_WIRE_UNIT_BYTES    12u
#define EBB_WIRE_LIBRARY_BYTES 16u

/* A page that is larger, or has more entries, is taken for damaged. */
#define EBB_WIRE_PAGE_BYTES_MAX ((size_t)1 << 20)
#define EBB_WIRE_ENTRIES_MAX    4096u

struct ebb_wire_header {
    char magic[8];
    uint32_t version;
    uint32_t page_bytes; /* the whole */
    uint32_t header_bytes;
    uint32_t summary_bytes;
    uint32_t summary_offset; /* offsets count from the magic */
    uint32_t class_count;
    uint32_t class_bytes; /* from one to the next */
    uint32_t classes_offset;
    uint32_t row_count;
    uint32_t row_bytes;
    uint32_t rows_offset;
    uint32_t pid;       /* as the process itself sees it; 0 before the library's constructor */
    uint32_t thread_id; /* of the background thread, likewise; 0: there is none */
    uint32_t sequence;  /* of the summary; odd: it is being written */
    char library[EBB_WIRE_LIBRARY_BYTES]; /* version of the library */
    uint64_t start_ms;      /* when the library's constructor ran; a fork child keeps its parent's */
    uint64_t control_done;  /* requests carried out, whatever came of them; see control.h */
    int64_t control_result; /* of the last one: 0 or more, or -errno */
};

/* Nothing but 64-bit words, which are copied one by one. */
struct ebb_wire_summary {
    uint64_t updated_ms;    /* 0: never written */
    uint64_t ticks;         /* rounds of the background thread */
    uint64_t level;         /* of memory pressure, 0: none */
    uint64_t live_bytes;    /* in blocks that the program holds, as whole size classes */
    uint64_t live_blocks;   /* their number */
    uint64_t cached_bytes;  /* in free blocks that threads and the depot cache */
    uint64_t cached_blocks; /* their number */
};

/* A size class. Lines of their own: classes have locks of their own, and two of them must not meet here. */
struct ebb_wire_class {
    uint32_t bytes;        /* of a block; 0: this code is not in use */
    uint32_t internal;     /* 1: the library's own blocks, not the program's */
    uint64_t taken_blocks; /* out of slabs, in all; the difference is out now, in use or cached */
    uint64_t given_blocks; /* back to slabs, in all */
} EBB_ALIGNED(64);

/* A counter or a gauge. */
struct ebb_wire_row {
    char name[EBB_WIRE_NAME_BYTES]; /* ends with a NUL, like unit */
    char unit[EBB_WIRE_UNIT_BYTES];
    uint32_t is_gauge; /* 1: goes both ways; 0: only rises */
    _Atomic uint64_t value;
};

EBB_STATIC_ASSERT(sizeof(struct ebb_wire_header) == 104 && sizeof(struct ebb_wire_row) == 56 &&
                      sizeof(struct ebb_wire_class) == 64 && sizeof(struct ebb_wire_summary) == 56,
                  "the format of version 1");

/* What was understood of a page. Refers to the bytes that were decoded. */
struct ebb_wire_view {
    const unsigned char *bytes;
    uint32_t version; /* above EBB_WIRE_VERSION: there is more than we understand */
    uint32_t pid;
    uint32_t thread_id;
    uint32_t sequence;
    char library[EBB_WIRE_LIBRARY_BYTES + 1]; /* printable */
    uint64_t start_ms;
    uint64_t control_done;
    int64_t control_result;
    bool torn; /* the summary was being written: its figures do not belong together */
    struct ebb_wire_summary summary;
    unsigned class_count;
    unsigned row_count;
    uint32_t class_bytes, classes_offset;
    uint32_t row_bytes, rows_offset;
};

struct ebb_wire_row_view {
    char name[EBB_WIRE_NAME_BYTES + 1]; /* printable, never empty */
    char unit[EBB_WIRE_UNIT_BYTES + 1]; /* printable */
    bool is_gauge;
    uint64_t value;
};

/* How many bytes from the magic on must be read for ebb__wire_decode(), judging by the first `n` of them; at least
 * sizeof(struct ebb_wire_header) of these are needed.
 * 0, -EPROTO when it is no stats page, -EBADMSG when its sizes make no sense, -EMSGSIZE when n is too small. */
int ebb__wire_page_bytes(const void *bytes, size_t n, size_t *ret_bytes);

/* Checks all sizes and offsets, and tells what the page says. 0, or as above; -EMSGSIZE when n is less than the page
 * has. What was copied while the page was written is known as torn only when `sequence` was odd at that moment: a
 * reader compares the sequence from before and after its copy as well. */
int ebb__wire_decode(const void *bytes, size_t n, struct ebb_wire_view *ret_view);

/* Entry number i. pre: i < class_count, i < row_count */
void ebb__wire_class(const struct ebb_wire_view *view, unsigned i, struct ebb_wire_class *ret_class);
void ebb__wire_row(const struct ebb_wire_view *view, unsigned i, struct ebb_wire_row_view *ret_row);

/* The row of that name. False when the page has none. */
bool ebb__wire_find(const struct ebb_wire_view *view, const char *name, struct ebb_wire_row_view *ret_row);

#endif
