/* SPDX-License-Identifier: MIT
 *
 * The threads of processes: what each does, how it is scheduled, where it waits.
 *
 * Costs: two files for each thread. wchan needs the right to trace the process.
 */
#ifndef EBB_TOOL_PROC_THREADS_H
#define EBB_TOOL_PROC_THREADS_H

#include "tool/emit.h"
#include "tool/proc_table.h"

struct ebb_proc_thread {
    pid_t pid; /* of its process */
    struct ebb_stat stat;
    struct ebb_proc_rates rates;
    char wchan[64]; /* the kernel's function in which it waits; "" when that is not known */
};

struct ebb_proc_threads {
    struct ebb_proc_thread *threads; /* by process in the order of the table, by number within one */
    size_t count;
    size_t room;
};

/* Of all rows of the table. 0, or -ENOMEM. Rates are over the life of each thread. */
int ebb__proc_threads_look(const struct ebb_proc_table *table, struct ebb_proc_threads *ret_threads);
void ebb__proc_threads_fini(struct ebb_proc_threads *threads);

/* As those of proc_table.h. */
struct ebb_proc_counts *ebb__proc_threads_counts(const struct ebb_proc_threads *threads, size_t *ret_count);
void ebb__proc_threads_compare(struct ebb_proc_threads *threads, const struct ebb_proc_table *table,
                               const struct ebb_proc_counts *before, size_t before_count, uint64_t before_ns);

/* Prints those of the first `limit` rows (0: all) of an order of the table, as the section "threads". */
void ebb__proc_threads_emit(struct ebb_emit *emit, const struct ebb_proc_table *table,
                            const struct ebb_proc_threads *threads, const size_t *order, size_t limit);

#endif
