/* SPDX-License-Identifier: MIT
 *
 * A made-up host for the tests of ebb top: a database server that grows, and neighbours with odd names.
 */
#ifndef EBB_TESTS_UNIT_TOOL_TOP_SCENE_H
#define EBB_TESTS_UNIT_TOOL_TOP_SCENE_H

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tool/top_screen.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)

/* A process: what the columns need, in KiB where it is a size. */
struct scene_proc {
    pid_t pid;
    const char *name;
    char state;
    unsigned uid;
    unsigned threads;
    uint64_t virt, anon, file, shmem, swap, hwm, tables;
    double cpu, minor, major;
    uint64_t score;
    unsigned rank;
    bool kernel;
};

static const struct scene_proc SCENE[] = {
    {1, "systemd", 'S', 0, 1, 168960, 4096, 9216, 0, 128, 14336, 96, 0, 0, 0, 0, 0, false},
    {2, "kthreadd", 'S', 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, true},
    {612, "mariadbd", 'S', 115, 61, 76546048, 56623104, 40960, 16384, 1048576, 57671680, 131072, 387.5,
     10250.4, 12.5, 1204, 1, false},
    {733, "redis-server", 'R', 116, 5, 4194304, 3145728, 6144, 0, 0, 3145728, 6400, 12.34, 220, 0, 711, 2,
     false},
    {801,
     "gr\xc3\xbc\xc3\x9f"
     "e (1)",
     'S', 1000, 1, 20480, 2048, 4096, 512, 0, 6656, 64, 0.04, 1.5, 0, 667, 3, false},
    {802, "\xe6\x95\xb0\xe6\x8d\xae\xe5\xba\x93", 'D', 1000, 2, 20480, 1024, 4096, 0, 64, 5120, 64, 0, 0, 0.3,
     666, 4, false},
    {4194303, "a\nb\x1b[31m\xff", 'T', 65534, 1, 4096, 512, 1024, 0, 0, 1536, 44, 0, 0, 0, 666, 5, false},
    {900, "gone", 'Z', 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 666, 6, false},
};

#define SCENE_COUNT (sizeof(SCENE) / sizeof(SCENE[0]))

static inline void scene_number(struct ebb_status *status, enum ebb_status_field field, uint64_t *where,
                                uint64_t value)
{
    *where = value;
    status->present |= UINT64_C(1) << field;
}

static inline void scene_fill(const struct scene_proc *from, struct ebb_proc *proc)
{
    struct ebb_status *status = &proc->status;

    memset(proc, 0, sizeof(*proc));
    proc->pid = from->pid;
    proc->stat.pid = from->pid;
    proc->stat.state = from->state;
    proc->stat.ppid = 1;
    proc->stat.thread_count = from->threads;
    proc->stat.start_ticks = 100 + (uint64_t)from->pid;
    proc->stat.priority = 20;
    proc->stat.user_ticks = 12345;
    proc->kernel = from->kernel;
    snprintf(proc->name, sizeof(proc->name), "%s", from->name);
    proc->rates = (struct ebb_proc_rates){
        .known = true, .cpu_percent = from->cpu, .minor_per_s = from->minor, .major_per_s = from->major};
    scene_number(status, EBB_STATUS_UID_REAL, &status->uid_real, from->uid);
    if (from->virt != 0) {
        scene_number(status, EBB_STATUS_VM_SIZE, &status->vm_size_bytes, from->virt * KIB);
        scene_number(status, EBB_STATUS_VM_RSS, &status->vm_rss_bytes,
                     (from->anon + from->file + from->shmem) * KIB);
        scene_number(status, EBB_STATUS_RSS_ANON, &status->rss_anon_bytes, from->anon * KIB);
        scene_number(status, EBB_STATUS_RSS_FILE, &status->rss_file_bytes, from->file * KIB);
        scene_number(status, EBB_STATUS_RSS_SHMEM, &status->rss_shmem_bytes, from->shmem * KIB);
        scene_number(status, EBB_STATUS_VM_SWAP, &status->vm_swap_bytes, from->swap * KIB);
        scene_number(status, EBB_STATUS_VM_HWM, &status->vm_hwm_bytes, from->hwm * KIB);
        scene_number(status, EBB_STATUS_VM_PTE, &status->vm_pte_bytes, from->tables * KIB);
        scene_number(status, EBB_STATUS_VM_LCK, &status->vm_lck_bytes, 0);
    }
    scene_number(status, EBB_STATUS_STATE, &(uint64_t){0}, 0);
    status->state = from->state;
    proc->oom_score = ebb__fact(from->score);
    proc->oom_adj = ebb__fact(0);
    proc->oom_rank = from->rank;
    proc->cgroup_err = -ENODEV;
    proc->allocator_err = -EACCES;
    proc->command_err = -EACCES;
    proc->vma_count = from->kernel ? ebb__fact_unknown(-ENODATA) : ebb__fact(250);
}

static struct ebb_proc scene_procs[SCENE_COUNT];
static struct ebb_proc scene_detail;

static inline void scene_table(struct ebb_proc_table *table)
{
    memset(table, 0, sizeof(*table));
    table->root = "/tree"; /* another host: its users have numbers */
    table->uptime_ms = ebb__fact(UINT64_C(90061000));
    table->mem_total_bytes = ebb__fact(64 * GIB);
    table->max_map_count = ebb__fact(65530);
    table->host.clock_ticks = ebb__fact(100);
    table->host.page_bytes = ebb__fact(4096);
    table->procs = scene_procs;
    table->count = table->all = SCENE_COUNT;
    for (size_t i = 0; i < SCENE_COUNT; i++)
        scene_fill(&SCENE[i], &scene_procs[i]);
}

/* The host, `looks` looks after the start. The caller ends it with scene_fini(). */
static inline void scene_init(struct ebb_top_facts *facts, unsigned looks)
{
    struct ebb_top_host *host = &facts->host;

    memset(facts, 0, sizeof(*facts));
    scene_table(&facts->table);
    snprintf(host->clock, sizeof(host->clock), "14:03:12");
    host->load.uptime_ms = ebb__fact(UINT64_C(90061000));
    host->load.avg1_hundredths = ebb__fact(412);
    host->load.avg5_hundredths = ebb__fact(387);
    host->load.avg15_hundredths = ebb__fact(301);
    host->info.dirty_bytes = ebb__fact(312 * MIB);
    host->info.writeback_bytes = ebb__fact(4 * MIB);
    host->free.total_bytes = ebb__fact(64 * GIB);
    host->free.used_bytes = ebb__fact(60 * GIB);
    host->free.available_bytes = ebb__fact(4 * GIB);
    host->free.cache_bytes = ebb__fact(5 * GIB);
    host->free.shared_bytes = ebb__fact(17 * MIB);
    host->free.swap_total_bytes = ebb__fact(8 * GIB);
    host->free.swap_used_bytes = ebb__fact(1025 * MIB);
    host->pressure.some.avg10_hundredths = ebb__fact(312);
    host->pressure.full.avg10_hundredths = ebb__fact(1204);
    host->page_bytes = ebb__fact(4096);
    host->span_ms = ebb__fact(2000);
    host->reclaim.by_kind = true;
    host->reclaim.kswapd = ebb__fact(24000);
    host->reclaim.direct = ebb__fact(512);
    host->reclaim.cgroups.scan = ebb__fact(0);
    host->reclaim.stalls = ebb__fact(3);
    host->reclaim.refaults = ebb__fact_unknown(-ENODATA);
    host->reclaim.all.efficiency = (struct ebb_share){.known = true, .percent = 87.4};
    host->swap_in_pages = ebb__fact(64);
    host->swap_out_pages = ebb__fact(2048);
    for (unsigned look = 0; look < looks; look++) {
        double share = looks == 1 ? 1 : (double)look / (looks - 1);

        ebb__top_series_push(&facts->memory_percent, true, 40 + 54 * share);
        ebb__top_series_push(&facts->swap_percent, true, 12.5 * share);
        ebb__top_series_push(&facts->pressure_percent, look % 5 != 4, 4 * share);
        /* The server grows to what it has now; the others stay what they are. */
        for (size_t i = 0; i < SCENE_COUNT; i++)
            if (scene_procs[i].pid == 612)
                scene_procs[i].status.vm_rss_bytes = (uint64_t)((40 + 14 * share) * (double)GIB) + 56 * MIB;
        ebb__top_tracks_push(&facts->tracks, &facts->table);
    }
}

/* Looks at one process more closely. */
static inline void scene_closely(struct ebb_top_facts *facts, pid_t pid)
{
    facts->detail = facts->table;
    facts->detail.procs = &scene_detail;
    facts->detail.count = 0;
    for (size_t i = 0; i < SCENE_COUNT; i++)
        if (scene_procs[i].pid == pid) {
            scene_detail = scene_procs[i];
            facts->detail.count = 1;
        }
}

static inline void scene_fini(struct ebb_top_facts *facts)
{
    ebb__top_tracks_fini(&facts->tracks);
}

#endif
