/* SPDX-License-Identifier: MIT
 *
 * The mappings of a process with all that is to be had of them; see maps_walk.h.
 */
#include "tool/maps_walk.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Damaged lines are passed over: there is more behind them. */
static bool is_damage(int got)
{
    return got == -EBADMSG || got == -EMSGSIZE;
}

static bool is_huge(const struct ebb_vma_query *query)
{
    return query->page_bytes > (uint64_t)sysconf(_SC_PAGESIZE);
}

void ebb__maps_know(const struct ebb_target *target, struct ebb_vma_hints *hints, uint64_t *ret_rss_bytes)
{
    struct ebb_status status;
    struct ebb_auxv auxv;

    if (ebb__status_read(target->root, target->pid, &status) == 0) {
        if (ebb__status_has(&status, EBB_STATUS_THREADS))
            hints->threads = status.threads;
        if (ret_rss_bytes != NULL && ebb__status_has(&status, EBB_STATUS_VM_RSS))
            *ret_rss_bytes = status.vm_rss_bytes;
    }
    /* The list of a 32-bit process makes no sense as one of 64-bit words. */
    if (ebb__auxv_read(target->root, target->pid, 8, &auxv) == 0 ||
        ebb__auxv_read(target->root, target->pid, 4, &auxv) == 0)
        ebb__auxv_get(&auxv, AT_PHDR, &hints->program_addr);
}

int ebb__maps_survey(const struct ebb_target *target, struct ebb_maps_survey *ret_survey)
{
    static struct ebb_vma_query query;
    struct ebb_maps_survey survey = {0};
    struct ebb_vma before = {0};
    struct ebb_map map;
    int got = ebb__vma_query_open(&query, target->root, target->pid, false);

    if (got != 0)
        return got;
    ebb__maps_know(target, &survey.hints, &survey.rss_bytes);
    survey.by_query = query.queries;
    while ((got = ebb__vma_query_next(&query, &map)) > 0 || is_damage(got)) {
        struct ebb_vma vma;

        if (got < 0)
            continue;
        ebb__vma_of(&map, is_huge(&query), &vma);
        ebb__vma_hint(&survey.hints, survey.map_count == 0 ? NULL : &before, &vma);
        before = vma;
        survey.map_count++;
        survey.total_bytes += ebb__vma_bytes(&vma);
    }
    ebb__vma_query_close(&query);
    if (got == 0 && survey.map_count == 0)
        return -ESRCH;
    if (got == 0)
        *ret_survey = survey;
    return got;
}

static int open_maps(struct ebb_maps_walk *walk, int why)
{
    walk->source = EBB_MAPS_MAPS;
    walk->why = why;
    return ebb__vma_query_open(&walk->query, walk->target->root, walk->target->pid, true);
}

static int open_range(struct ebb_maps_walk *walk)
{
    int err = ebb__pages_open(&walk->pages, walk->target->root, walk->target->pid, false);

    walk->has_pages = err == 0;
    if (err != 0)
        return open_maps(walk, err);
    err = open_maps(walk, 0);
    walk->source = EBB_MAPS_PAGES;
    if (err != 0)
        ebb__pages_close(&walk->pages);
    return err;
}

int ebb__maps_walk_open(struct ebb_maps_walk *walk, const struct ebb_target *target,
                        const struct ebb_maps_want *want)
{
    bool live = target->root[0] == '\0';
    int err;

    walk->target = target;
    walk->want = *want;
    walk->has_pages = false;
    walk->at_end = false;
    walk->turn = 0;
    walk->why = 0;
    walk->source = EBB_MAPS_SMAPS;
    walk->vmas = (struct ebb_vma_walk){.hints = &walk->survey.hints};
    err = ebb__maps_survey(target, &walk->survey);
    if (err != 0)
        return err;
    walk->estimate_ms = ebb__smaps_estimate_ms(walk->survey.rss_bytes, walk->survey.map_count);
    if (want->range)
        return open_range(walk);
    if (live && !want->deep && walk->estimate_ms > EBB_MAPS_BUDGET_MS)
        return open_maps(walk, -EINPROGRESS);
    err = ebb__smaps_open(&walk->smaps, target->root, target->pid);
    /* maps was there, so the process is, and this kernel has no smaps; or a captured tree. */
    if (err == -ENOENT)
        return open_maps(walk, live ? -ENODATA : -ENOENT);
    return err;
}

void ebb__maps_walk_close(struct ebb_maps_walk *walk)
{
    if (walk->source == EBB_MAPS_SMAPS)
        ebb__smaps_close(&walk->smaps);
    else
        ebb__vma_query_close(&walk->query);
    if (walk->has_pages)
        ebb__pages_close(&walk->pages);
}

static void take_name(const struct ebb_map *map, char name[EBB_MAPS_NAME_BYTES])
{
    static const char DELETED[] = " (deleted)";

    /* A path is shorter; what is longer no file has, and is cut. */
    if (ebb__maps_name_decode(map, name, EBB_MAPS_NAME_BYTES - sizeof(DELETED)) != 0) {
        size_t len = map->name_len < 1024 ? map->name_len : 1024;

        memcpy(name, map->name, len);
        name[len] = '\0';
    }
    if (map->deleted)
        memcpy(name + strlen(name), DELETED, sizeof(DELETED));
}

static bool in_range(const struct ebb_maps_walk *walk, const struct ebb_map *map)
{
    return !walk->want.range || (map->start < walk->want.high && map->end > walk->want.low);
}

static void take_pages(struct ebb_maps_walk *walk, struct ebb_maps_row *row)
{
    struct ebb_pages_count count = {0};
    int err;

    if (!in_range(walk, &row->map))
        return;
    err = ebb__pages_count(&walk->pages, row->map.start, row->map.end, &count);
    row->facts[EBB_SMAPS_RSS] = err == 0 ? ebb__fact(count.resident_bytes) : ebb__fact_unknown(err);
    row->facts[EBB_SMAPS_SWAP] = err == 0 ? ebb__fact(count.swapped_bytes) : ebb__fact_unknown(err);
}

/* Reads one entry into the row that is not being judged. */
static int read_row(struct ebb_maps_walk *walk, struct ebb_vma *ret_vma)
{
    static struct ebb_smap smap;
    struct ebb_maps_row *row = &walk->rows[walk->turn];
    bool huge = false;
    int got;

    row->has_flags = false;
    row->flags = 0;
    if (walk->source == EBB_MAPS_SMAPS) {
        got = ebb__smaps_next(&walk->smaps, &smap);
        if (got <= 0)
            return got;
        row->map = smap.map;
        row->has_flags = smap.has_flags;
        row->flags = smap.flags;
        memcpy(row->facts, smap.facts, sizeof(row->facts));
        huge = ebb__smap_has_flag(&smap, EBB_VM_FLAG_HUGETLB);
    } else {
        got = ebb__vma_query_next(&walk->query, &row->map);
        if (got <= 0)
            return got;
        for (unsigned i = 0; i < EBB_SMAPS_FIELD_COUNT; i++)
            row->facts[i] = ebb__fact_unknown(walk->why);
        if (walk->source == EBB_MAPS_PAGES)
            take_pages(walk, row);
    }
    row->facts[EBB_SMAPS_SIZE] = ebb__fact(row->map.end - row->map.start);
    take_name(&row->map, walk->names[walk->turn]);
    row->file = walk->names[walk->turn];
    ebb__vma_of(&row->map, huge, ret_vma);
    walk->turn ^= 1;
    return 1;
}

int ebb__maps_walk_next(struct ebb_maps_walk *walk, const struct ebb_maps_row **ret_row)
{
    while (!walk->at_end) {
        struct ebb_vma_verdict verdict;
        struct ebb_vma vma;
        int got = read_row(walk, &vma);
        struct ebb_maps_row *row;

        if (is_damage(got))
            continue;
        if (got < 0)
            return got;
        walk->at_end = got == 0;
        if (!ebb__vma_push(&walk->vmas, got == 0 ? NULL : &vma, &verdict))
            continue;
        /* Of a row that came in the other one is judged; at the end, the last that came. */
        row = &walk->rows[got == 0 ? walk->turn ^ 1 : walk->turn];
        if (!in_range(walk, &row->map))
            continue;
        row->verdict = verdict;
        *ret_row = row;
        return 1;
    }
    return 0;
}
