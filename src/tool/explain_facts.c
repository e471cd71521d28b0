/* SPDX-License-Identifier: MIT
 *
 * Facts of one process and of its cgroup for ebb explain; see explain.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tool/cmd.h"
#include "tool/explain.h"
#include "tool/heap_facts.h"
#include "tool/heap_glibc.h"
#include "tool/page.h"

/* Puts a mapping among the largest. */
static void note_unknown(struct ebb_explain_facts *facts, const struct ebb_maps_row *row)
{
    struct ebb_explain_mapping mapping = {
        .start = row->map.start,
        .bytes = row->map.end - row->map.start,
        .rss_bytes = ebb__fact_or(row->facts[EBB_SMAPS_RSS], 0),
    };
    unsigned at = facts->unknown_count;

    if (mapping.rss_bytes == 0)
        return;
    while (at > 0 && facts->unknown[at - 1].rss_bytes < mapping.rss_bytes)
        at--;
    if (at == EBB_EXPLAIN_UNKNOWN_MAX)
        return;
    if (facts->unknown_count < EBB_EXPLAIN_UNKNOWN_MAX)
        facts->unknown_count++;
    memmove(&facts->unknown[at + 1], &facts->unknown[at],
            (facts->unknown_count - at - 1) * sizeof(facts->unknown[0]));
    facts->unknown[at] = mapping;
}

static int collect_mappings(struct ebb_explain_facts *facts, bool deep)
{
    static struct ebb_maps_walk walk;
    const struct ebb_maps_want want = {.deep = deep};
    const struct ebb_maps_row *row;
    int got = ebb__maps_walk_open(&walk, facts->target, &want);

    if (got != 0)
        return got;
    facts->has_pages = walk.source != EBB_MAPS_MAPS;
    facts->estimate_ms = walk.estimate_ms;
    facts->pages_why = facts->has_pages ? NULL : ebb__fact_why(ebb__fact_unknown(walk.why));
    while ((got = ebb__maps_walk_next(&walk, &row)) > 0) {
        ebb__maps_sum_add(&facts->classes[row->verdict.vma_class], row->facts);
        if (row->verdict.vma_class == EBB_VMA_CLASS_ANON)
            note_unknown(facts, row);
        ebb__explain_segment_look(facts, row);
        ebb__explain_innodb_look(facts, row);
    }
    ebb__maps_walk_close(&walk);
    if (got == 0)
        ebb__explain_segment_count(facts);
    if (got == 0)
        ebb__explain_innodb_count(facts);
    return got;
}

/* ---- the heap ---- */

static struct ebb_fact figure(const struct ebb_heap_value *value)
{
    return value->unknown == NULL ? ebb__fact(value->bytes) : ebb__fact_unknown(-ENODATA);
}

static void leave_open(struct ebb_explain_heap *heap, const char *why)
{
    snprintf(heap->why, sizeof(heap->why), "%s", why);
}

/* What the stats page of a process on ebb says. */
static void collect_page(struct ebb_explain_facts *facts)
{
    struct ebb_explain_heap *heap = &facts->heap;
    struct ebb_heap_facts told;
    struct ebb_page page;
    struct timespec now;
    int err = ebb__page_find(facts->target->pid, &page);

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (err == 0) {
        err = ebb__heap_facts(facts->target, &page,
                              (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000, &told);
        ebb__page_fini(&page);
    }
    if (err != 0 || told.no_summary != NULL) {
        leave_open(heap, err != 0 ? "its stats page cannot be read" : told.no_summary);
        return;
    }
    heap->source = "the stats page";
    heap->classes = UINT64_C(1) << EBB_VMA_CLASS_EBB;
    heap->live = figure(&told.figures[EBB_HEAP_LIVE]);
    heap->cached = figure(&told.figures[EBB_HEAP_CACHED]);
    heap->whole = figure(&told.figures[EBB_HEAP_DIRTY]);
    heap->kept = ebb__fact(0);
    if (told.figures[EBB_HEAP_BACKED].unknown == NULL && told.figures[EBB_HEAP_OUT].unknown == NULL) {
        uint64_t used = told.figures[EBB_HEAP_OUT].bytes;
        uint64_t backed = told.figures[EBB_HEAP_BACKED].bytes;

        heap->fragments = ebb__fact(backed > used ? backed - used : 0);
    }
}

/* What the lists of glibc's arenas say. Blocks that it has mapped one by one are told by their mappings. */
static void take_arenas(const struct ebb_heap_glibc *glibc, struct ebb_explain_heap *heap)
{
    const struct ebb_heap_sum *sum = &glibc->sum;
    uint64_t cached = glibc->tcaches.bytes < sum->live_bytes ? glibc->tcaches.bytes : sum->live_bytes;

    if (sum->unknown_count != 0 || glibc->pages_err != 0) {
        leave_open(heap, sum->unknown_count != 0 ? "an arena changes all the time; look again"
                                                 : ebb__fact_why(ebb__fact_unknown(glibc->pages_err)));
        return;
    }
    heap->source = "lists of glibc's arenas";
    heap->classes = UINT64_C(1) << EBB_VMA_CLASS_HEAP | UINT64_C(1) << EBB_VMA_CLASS_ARENA;
    heap->live = ebb__fact(sum->live_bytes - cached);
    heap->cached = ebb__fact(cached);
    heap->whole = ebb__fact(sum->pages[EBB_GLIBC_TRIM_BLOCKS].resident_bytes +
                            sum->pages[EBB_GLIBC_TRIM_TOP].resident_bytes);
    heap->kept = ebb__fact(sum->pages[EBB_GLIBC_TRIM_KEPT].resident_bytes);
    heap->fragments = ebb__fact(ebb__heap_fragments(sum));
    heap->mapped = glibc->glibc.has_par ? ebb__fact(glibc->glibc.par[EBB_GLIBC_PAR_MAPPED])
                                        : ebb__fact_unknown(-ENODATA);
}

static void collect_glibc(struct ebb_explain_facts *facts)
{
    static struct ebb_heap_glibc glibc;
    int err = ebb__heap_glibc_open(&glibc, facts->target);

    if (err == 0)
        err = ebb__heap_glibc_look(&glibc);
    if (err == 0)
        take_arenas(&glibc, &facts->heap);
    else
        leave_open(&facts->heap, err == -EOPNOTSUPP ? glibc.why : ebb__fact_why(ebb__fact_unknown(err)));
    ebb__heap_glibc_close(&glibc);
}

void ebb__explain_collect_heap(struct ebb_explain_facts *facts)
{
    if (facts->target->root[0] != '\0') {
        facts->allocator_err = -EOPNOTSUPP;
        leave_open(&facts->heap, "a captured tree has no memory to look into");
        return;
    }
    facts->allocator_err = ebb__proc_allocator_find(facts->target->pid, &facts->allocator);
    if (facts->allocator_err != 0)
        leave_open(&facts->heap, ebb__fact_why(ebb__fact_unknown(facts->allocator_err)));
    else if (strcmp(facts->allocator->name, "ebb") == 0)
        collect_page(facts);
    else if (strcmp(facts->allocator->name, "glibc") == 0)
        collect_glibc(facts);
    else
        leave_open(&facts->heap, "only the allocator itself knows");
}

/* ---- the cgroup ---- */

static void note_process(struct ebb_explain_cgroup *cgroup, pid_t pid, const char *root, uint64_t anon_bytes)
{
    struct ebb_explain_process process = {.pid = pid, .anon_bytes = anon_bytes};
    unsigned at = cgroup->listed;

    while (at > 0 && cgroup->processes[at - 1].anon_bytes < anon_bytes)
        at--;
    if (at == EBB_EXPLAIN_OTHERS_MAX)
        return;
    ebb__target_name(root, pid, process.name, sizeof(process.name));
    if (cgroup->listed < EBB_EXPLAIN_OTHERS_MAX)
        cgroup->listed++;
    memmove(&cgroup->processes[at + 1], &cgroup->processes[at],
            (cgroup->listed - at - 1) * sizeof(cgroup->processes[0]));
    cgroup->processes[at] = process;
}

/* Anonymous memory of the processes in the cgroup and below. */
static int collect_processes(struct ebb_explain_facts *facts, const struct ebb_cgroup_tree *tree)
{
    static char path[EBB_CGROUP_PATH_BYTES];
    struct ebb_explain_cgroup *cgroup = &facts->cgroup;
    const char *root = facts->target->root;
    struct ebb_procs procs;
    uint64_t sum = 0;
    pid_t pid;
    int err = ebb__procs_open(&procs, root);

    if (err != 0)
        return err;
    while ((pid = ebb__procs_next(&procs)) != 0) {
        struct ebb_status status;

        if (ebb__cgroup_path_read(root, pid, tree, path, sizeof(path)) != 0 ||
            !ebb__cgroup_is_below(path, cgroup->path) || ebb__status_read(root, pid, &status) != 0 ||
            !ebb__status_has(&status, EBB_STATUS_RSS_ANON))
            continue;
        cgroup->process_count++;
        sum += status.rss_anon_bytes;
        note_process(cgroup, pid, root, status.rss_anon_bytes);
    }
    ebb__procs_close(&procs);
    cgroup->anon_bytes = ebb__fact(sum);
    return 0;
}

static int collect_cgroup(struct ebb_explain_facts *facts)
{
    static struct ebb_cgroup_tree tree;
    struct ebb_explain_cgroup *cgroup = &facts->cgroup;
    const char *root = facts->target->root;
    int err = ebb__cgroup_tree_read(root, &tree);

    if (err != 0)
        return err;
    if (tree.version == 0)
        return -ENODEV;
    err = ebb__cgroup_path_read(root, facts->target->pid, &tree, cgroup->path, sizeof(cgroup->path));
    if (err == 0)
        err = ebb__cgroup_read(root, &tree, cgroup->path, &cgroup->facts);
    return err == 0 ? collect_processes(facts, &tree) : err;
}

/* The server's own books; what it does not tell is said by the books themselves. */
static void collect_books(struct ebb_explain_facts *facts, const struct ebb_explain_ask *ask)
{
    const struct ebb_books_options options = {
        .root = facts->target->root,
        .pid = facts->target->pid,
        .sql = ask->sql,
        .defaults_file = ask->defaults_file,
    };

    if (!ask->no_sql && facts->target->root[0] == '\0')
        ebb__books_read(&options, &facts->books);
}

int ebb__explain_collect(struct ebb_explain_facts *facts, const struct ebb_target *target,
                         const struct ebb_explain_ask *ask)
{
    int err;

    memset(facts, 0, sizeof(*facts));
    facts->target = target;
    collect_books(facts, ask);
    ebb__explain_collect_heap(facts);
    ebb__explain_told(facts);
    /* The total and its parts as close together as can be. */
    err = collect_mappings(facts, ask->deep);
    if (err == 0)
        err = ebb__status_read(target->root, target->pid, &facts->status);
    if (err != 0) {
        ebb__explain_fini(facts);
        return ebb__target_failed(target, err);
    }
    facts->cgroup.err = collect_cgroup(facts);
    return EBB_EXIT_OK;
}

void ebb__explain_fini(struct ebb_explain_facts *facts)
{
    free(facts->allocator);
    facts->allocator = NULL;
    ebb__books_fini(&facts->books);
}
