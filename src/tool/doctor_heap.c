/* SPDX-License-Identifier: MIT
 *
 * Who serves the malloc of a process, what its heap holds, and what the server's own books say, for ebb doctor; see doctor.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "books/books.h"
#include "tool/doctor.h"
#include "tool/explain.h"
#include "tool/heap_glibc.h"

struct ebb_fact ebb__doctor_rise(struct ebb_fact before, struct ebb_fact now)
{
    if (!before.known || !now.known)
        return ebb__fact_unknown(-ENODATA);
    return ebb__fact(now.value > before.value ? now.value - before.value : 0);
}

/* ---- who serves ---- */

static struct ebb_fact total(struct ebb_fact a, struct ebb_fact b)
{
    return a.known && b.known ? ebb__fact(a.value + b.value) : a.known ? b : a;
}

/* What the stats page of a process on ebb tells. */
static void read_page(const struct ebb_target *target, struct ebb_doctor_heap *heap)
{
    struct ebb_explain_facts explain = {.target = target};

    ebb__explain_collect_heap(&explain);
    heap->source = explain.heap.source;
    heap->why = explain.heap.why;
    heap->live_bytes = total(explain.heap.live, explain.heap.cached);
    heap->whole_bytes = explain.heap.whole;
    heap->fragment_bytes = explain.heap.fragments;
    ebb__explain_fini(&explain);
}

/* What the lists of glibc's arenas tell. */
static void take_glibc(const struct ebb_heap_glibc *glibc, struct ebb_doctor_heap *heap)
{
    struct ebb_heap_look look;

    heap->source = "glibc's arenas, from outside";
    heap->arenas = ebb__fact(glibc->arena_count);
    if (glibc->par_err == 0) {
        heap->mmap_threshold_bytes = ebb__fact(glibc->glibc.par[EBB_GLIBC_PAR_MMAP_THRESHOLD]);
        heap->threshold_is_dynamic = ebb__fact(glibc->glibc.par[EBB_GLIBC_PAR_NO_DYNAMICS] == 0);
    }
    if (!ebb__heap_glibc_verdict_look(glibc, &look)) {
        heap->why = "it moved while it was looked at, or its pages may not be";
        return;
    }
    heap->live_bytes = ebb__fact(look.live_bytes);
    heap->system_bytes = ebb__fact(look.system_bytes);
    heap->whole_bytes = ebb__fact(look.trim_bytes + look.kept_bytes);
    heap->fragment_bytes = ebb__fact(look.fragment_bytes);
    heap->trim_bytes = ebb__fact(look.trim_bytes);
}

static void read_glibc(const struct ebb_target *target, struct ebb_doctor_heap *heap)
{
    static struct ebb_heap_glibc glibc;
    int err = ebb__heap_glibc_open(&glibc, target);

    if (err == 0)
        err = ebb__heap_glibc_look(&glibc);
    if (err == 0)
        take_glibc(&glibc, heap);
    else
        heap->why = err == -EOPNOTSUPP ? "this C library's heap is not understood (ebb heap says why)"
                                       : ebb__fact_why(ebb__fact_unknown(err));
    ebb__heap_glibc_close(&glibc);
}

/* What the heap of this allocator holds, where anybody but itself can tell. */
static void look_into(const struct ebb_target *target, const char *allocator, struct ebb_doctor_heap *heap)
{
    if (strcmp(allocator, "glibc") == 0)
        read_glibc(target, heap);
    else if (strcmp(allocator, "ebb") == 0)
        read_page(target, heap);
    else
        heap->why = "only the allocator itself knows";
}

void ebb__doctor_heap_first(const struct ebb_target *target, struct ebb_doctor_first *first)
{
    struct ebb_proc_allocator *allocator;
    struct ebb_doctor_heap heap = {.source = NULL};

    if (ebb__proc_allocator_find(target->pid, &allocator) != 0)
        return;
    look_into(target, allocator->name, &heap);
    first->heap_at_ms = ebb__doctor_now_ms();
    first->live = heap.live_bytes;
    first->system = heap.system_bytes;
    free(allocator);
}

static void read_version(pid_t pid, struct ebb_doctor_process *process, struct ebb_doctor_heap_texts *texts)
{
    int err;

    if (strcmp(process->allocator, "jemalloc") != 0 &&
        (process->inner_allocator == NULL || strcmp(process->inner_allocator, "jemalloc") != 0))
        return;
    err = ebb__alloc_version_read(pid, "jemalloc", texts->version);
    process->jemalloc_version = err == 0 ? texts->version : NULL;
    process->jemalloc_version_why =
        err == -ENOENT ? "nothing among its constants tells" : ebb__fact_why(ebb__fact_unknown(err));
}

void ebb__doctor_heap_read(const struct ebb_target *target, const struct ebb_doctor_first *first,
                           struct ebb_doctor_process *process, struct ebb_doctor_heap_texts *texts)
{
    struct ebb_doctor_heap *heap = &process->heap;

    process->allocator_err = ebb__proc_allocator_find(target->pid, &texts->allocator);
    if (process->allocator_err != 0) {
        heap->why = ebb__fact_why(ebb__fact_unknown(process->allocator_err));
        return;
    }
    process->allocator = texts->allocator->name;
    process->allocator_evidence = texts->allocator->evidence;
    heap->why = NULL;
    process->inner_allocator = texts->allocator->inner;
    read_version(target->pid, process, texts);
    look_into(target, process->allocator, heap);
    heap->live_rise = ebb__doctor_rise(first->live, heap->live_bytes);
    heap->system_rise = ebb__doctor_rise(first->system, heap->system_bytes);
    heap->span_ms = ebb__doctor_now_ms() - first->heap_at_ms;
}

/* ---- what it says of itself ---- */

static void take_mysql(const struct ebb_books *books, struct ebb_doctor_books *to)
{
    to->pool_bytes = books->mysql.pool_size_bytes;
    to->pool_data_bytes = books->mysql.pool_data_bytes;
    to->uptime_s = books->mysql.uptime_s;
    /* Without the schema there are none. */
    to->memory_instruments =
        books->mysql.performance_schema.known && books->mysql.performance_schema.value == 0
            ? ebb__fact(0)
            : books->items.instruments_on;
}

static void take_redis(const struct ebb_books *books, struct ebb_doctor_books *to)
{
    struct ebb_fact save = books->redis.last_save_copied_bytes;
    struct ebb_fact rewrite = books->redis.last_rewrite_copied_bytes;

    to->copied_bytes = ebb__fact_or(rewrite, 0) > ebb__fact_or(save, 0) ? rewrite : save;
}

void ebb__doctor_books_read(const struct ebb_target *target, struct ebb_doctor_process *process)
{
    const struct ebb_books_options options = {.root = target->root, .pid = target->pid};
    struct ebb_doctor_books *to = &process->books;
    struct ebb_books books;

    ebb__books_read(&options, &books);
    to->why = "the server did not answer (ebb explain says why)";
    if (books.answered && (books.kind == EBB_BOOKS_MARIADB || books.kind == EBB_BOOKS_MYSQL)) {
        *to = (struct ebb_doctor_books){.source = "the server's own books, by SQL"};
        take_mysql(&books, to);
    } else if (books.answered && books.kind == EBB_BOOKS_REDIS) {
        *to = (struct ebb_doctor_books){.source = "the server's own INFO"};
        take_redis(&books, to);
    }
    ebb__books_fini(&books);
}
