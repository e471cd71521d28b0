/* SPDX-License-Identifier: MIT
 *
 * The process's own stats page: counters of slow paths, what each class holds, what the background thread found out.
 *
 * wire/stats_page.h has the format and how it is read from outside. The page is one object with initial values, so it is
 * right from the first instruction on, also when the dynamic linker allocates before any constructor. Nothing here is
 * touched by a cache hit.
 *
 * Writers. Counters: anybody, relaxed. A class: the heap, under the lock of the class, by plain stores; `bytes` and
 * `internal` once, before the class hands out its first block. Everything else: one thread (the constructor, the child
 * of fork, the background thread).
 *
 * Cost. A counter is one locked addition at an address known at link time. The code reaches the page by the hidden name
 * ebb__stats_page; `ebb_stats_page` is the same object under the name that the tool looks for, so that no access goes
 * through the global offset table and no program can put an object of its own in the page's place.
 *
 * Fork. The child has a copy. ebb__stats_after_fork() makes it the child's own; one that skipped the handlers (_Fork)
 * keeps its parent's pid, by which the tool knows it.
 */
#ifndef EBB_STATS_H
#define EBB_STATS_H

#include "base/base.h"
#include "wire/stats_page.h"

/* Codes of size classes, 0 included; the heap asserts that it has as many. */
#define EBB_STATS_CLASSES 78u

enum ebb_stat {
#define STAT(name, kind, unit, help) EBB_STAT_##name,
#include "stats/stats.def"
#undef STAT
    EBB_STAT_COUNT
};

struct ebb_stats_page {
    struct ebb_wire_header header;
    struct ebb_wire_summary summary;
    struct ebb_wire_class classes[EBB_STATS_CLASSES];
    struct ebb_wire_row rows[EBB_STAT_COUNT]; /* by enum ebb_stat */
};

extern EBB_HIDDEN struct ebb_stats_page
    ebb__stats_page; /* said here, so that compilers know the address is near */

#define EBB_STAT_VALUE(name) (ebb__stats_page.rows[EBB_STAT_##name].value)

#define EBB_COUNT(name, n)                                                                                   \
    ((void)atomic_fetch_add_explicit(&EBB_STAT_VALUE(name), (uint64_t)(n), memory_order_relaxed))
#define EBB_COUNTED(name) atomic_load_explicit(&EBB_STAT_VALUE(name), memory_order_relaxed)
/* For a gauge that one thread writes as a whole. */
#define EBB_SET(name, v)  atomic_store_explicit(&EBB_STAT_VALUE(name), (uint64_t)(v), memory_order_relaxed)

struct ebb_stat_row {
    const char *name;
    bool is_gauge;
    const char *unit;
    const char *help;
    _Atomic uint64_t *value;
};

/* Rows in the order of stats.def; *ret_count of them. */
const struct ebb_stat_row *ebb__stats_rows(unsigned *ret_count);

/* From the constructor. */
void ebb__stats_start(uint32_t pid, uint64_t now_ms);

/* In a fork child: the page gets its pid, and forgets the background thread and the summary, which the child does not
 * have. Counters go on from the parent's. */
void ebb__stats_after_fork(uint32_t pid);

/* ---- the background thread ---- */

/* Names the thread that takes control requests; 0 when it ends. The thread has EBB_WIRE_SIGNAL blocked by then. */
void ebb__stats_set_thread(uint32_t thread_id);

/* Replaces the summary. pre: no other thread publishes */
void ebb__stats_publish(const struct ebb_wire_summary *summary);

/* A control request was carried out: `result` is 0 or more, or -errno. pre: as above */
void ebb__stats_answer(int64_t result);

#endif
