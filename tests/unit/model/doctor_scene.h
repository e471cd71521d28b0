/* SPDX-License-Identifier: MIT
 *
 * For tests of ebb doctor's rules: a server on a host where everything is well, and what may be wrong with them, one scene each.
 */
#ifndef EBB_TESTS_DOCTOR_SCENE_H
#define EBB_TESTS_DOCTOR_SCENE_H

#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "model/doctor.h"

#define F(value) ebb__fact(value)
#define DENIED   ebb__fact_unknown(-EACCES)

typedef struct ebb_doctor_facts facts_t;

static void set_status(facts_t *f, enum ebb_status_field field, uint64_t *at, uint64_t value)
{
    *at = value;
    f->process.status.present |= UINT64_C(1) << field;
}

#define STATUS(f, id, member, value) set_status(f, EBB_STATUS_##id, &(f)->process.status.member, value)

static void set_class(facts_t *f, enum ebb_vma_class id, uint64_t count, uint64_t bytes, uint64_t rss)
{
    f->process.classes[id] = (struct ebb_doctor_class){
        .count = count, .size_bytes = bytes, .writable_bytes = bytes, .rss_bytes = F(rss)};
}

static void fill_host(struct ebb_doctor_host *host)
{
    host->memory.mem_total_bytes = F(EBB_GIB(64));
    host->memory.mem_available_bytes = F(EBB_GIB(40));
    host->memory.mem_free_bytes = F(EBB_GIB(30));
    host->memory.active_bytes = F(EBB_GIB(12));
    host->memory.inactive_bytes = F(EBB_GIB(20));
    host->memory.slab_bytes = F(EBB_GIB(1));
    host->memory.swap_total_bytes = F(EBB_GIB(8));
    host->memory.huge_page_bytes = F(EBB_MIB(2));
    host->memory.commit_limit_bytes = F(EBB_GIB(40));
    host->memory.committed_as_bytes = F(EBB_GIB(12));
    host->vm.nr_dirty = F(10);
    host->vm.nr_dirty_threshold = F(1000000);
    host->span_ms = F(1000);
    host->reclaim.direct = host->reclaim.stalls = host->hurries = F(0);
    host->pressure.full.avg60_hundredths = F(0);
    host->page_bytes = F(4096);
    host->processors = F(8);
    host->swappiness = F(10);
    host->overcommit = host->panic_on_oom = host->zone_reclaim_mode = F(0);
    host->max_map_count = F(65530);
    host->dirty_bytes = F(EBB_GIB(1));
    host->dirty_background_bytes = F(EBB_MIB(256));
    host->thp = F(EBB_THP_MADVISE);
    host->thp_page_bytes = F(EBB_MIB(2));
}

/* A mariadbd of 8 GiB on glibc, on a host of 64 GiB where everything is well, and known. */
static void fill(facts_t *f)
{
    struct ebb_doctor_process *process = &f->process;

    memset(f, 0, sizeof(*f));
    f->has_host = f->has_process = f->live = true;
    fill_host(&f->host);
    f->scope_count = 1;
    f->scopes[0] =
        (struct ebb_doctor_scope){.name = "host",
                                  .is_host = true,
                                  .limit_bytes = F(EBB_GIB(64)),
                                  .used_bytes = F(EBB_GIB(20)),
                                  .held_bytes = F(EBB_GIB(12)),
                                  .swap_bytes = F(EBB_GIB(8)),
                                  .has_room = true,
                                  .room = {.likely_bytes = EBB_GIB(40), .possible_bytes = EBB_GIB(48)},
                                  .total_pages = EBB_GIB(72) / 4096,
                                  .target_dies = true};
    process->pid = 42;
    process->name = "mariadbd";
    process->server = EBB_SERVER_MYSQL;
    process->has_adj = true;
    STATUS(f, VM_RSS, vm_rss_bytes, EBB_GIB(8));
    STATUS(f, VM_HWM, vm_hwm_bytes, EBB_GIB(8));
    STATUS(f, RSS_ANON, rss_anon_bytes, EBB_GIB(8));
    STATUS(f, VM_PTE, vm_pte_bytes, EBB_MIB(17));
    STATUS(f, THREADS, threads, 40);
    process->status.state = 'S';
    process->status.present |= UINT64_C(1) << EBB_STATUS_STATE;
    process->uptime_s = F(86400);
    process->rss_rise = process->anon_rise = F(0);
    process->mappings = F(400);
    process->budget.count = 400;
    process->budget.causes[EBB_VMA_CAUSE_STACKS] = 80;
    process->accounted_bytes = EBB_GIB(9);
    process->anon_huge_bytes = F(0);
    set_class(f, EBB_VMA_CLASS_POOL, 1, EBB_GIB(6), EBB_GIB(6));
    set_class(f, EBB_VMA_CLASS_ARENA, 12, EBB_GIB(2), EBB_GIB(1));
    process->allocator = "glibc";
    process->allocator_evidence = "libc.so.6 is the first";
    process->heap = (struct ebb_doctor_heap){.source = "the heap",
                                             .live_bytes = F(EBB_MIB(900)),
                                             .whole_bytes = F(EBB_MIB(20)),
                                             .fragment_bytes = F(EBB_MIB(30)),
                                             .trim_bytes = F(EBB_MIB(20)),
                                             .live_rise = F(0),
                                             .system_rise = F(0),
                                             .span_ms = 1000,
                                             .arenas = F(6),
                                             .mmap_threshold_bytes = F(EBB_KIB(128)),
                                             .threshold_is_dynamic = F(1)};
    process->books = (struct ebb_doctor_books){.source = "the books",
                                               .pool_bytes = F(EBB_GIB(6)),
                                               .pool_data_bytes = F(EBB_GIB(5)),
                                               .uptime_s = F(86400),
                                               .memory_instruments = F(400)};
}

static struct ebb_doctor_scope *add_group(facts_t *f)
{
    f->scopes[1] = f->scopes[0];
    f->scopes[0] = (struct ebb_doctor_scope){.name = "/db.service",
                                             .limit_bytes = F(EBB_GIB(16)),
                                             .used_bytes = F(EBB_GIB(10)),
                                             .held_bytes = F(EBB_GIB(8)),
                                             .swap_bytes = F(EBB_GIB(8)),
                                             .total_pages = EBB_GIB(16) / 4096};
    f->scope_count = 2;
    return &f->scopes[0];
}

/* ---- what is changed in these facts ---- */

#define SCENE(name) static void name(facts_t *f)

SCENE(maps_72)
{
    f->process.mappings.value = 47200;
}
SCENE(maps_95)
{
    f->process.mappings.value = 62300;
}
SCENE(maps_rise)
{
    f->process.mappings.value = 5000;
    f->process.mappings_grown = 100;
    f->process.span_ms = 1000;
}
SCENE(maps_rise_slowly)
{
    f->process.mappings_grown = 63;
    f->process.span_ms = 1000;
}
SCENE(maps_denied)
{
    f->process.mappings = DENIED;
}
SCENE(jemalloc)
{
    f->process.allocator = "jemalloc";
}
SCENE(strict)
{
    f->host.overcommit = F(2);
}
SCENE(jemalloc_strict)
{
    jemalloc(f);
    strict(f);
}
SCENE(jemalloc_split)
{
    jemalloc_strict(f);
    f->process.budget.causes[EBB_VMA_CAUSE_PROTECTION] = 7000;
}
SCENE(strict_unknown_allocator)
{
    strict(f);
    f->process.allocator = NULL;
    f->process.allocator_err = -EACCES;
}
SCENE(strict_reserved)
{
    strict(f);
    f->process.accounted_bytes = EBB_GIB(17);
}
SCENE(strict_at_limit)
{
    strict_reserved(f);
    f->host.memory.committed_as_bytes = F(EBB_GIB(39));
}
SCENE(held_85)
{
    f->scopes[0].held_bytes = F(EBB_GIB(54));
}
SCENE(held_93)
{
    f->scopes[0].held_bytes = F(EBB_GIB(60));
}
SCENE(pool_to_come)
{
    f->scopes[0].held_bytes = F(EBB_GIB(46));
    set_class(f, EBB_VMA_CLASS_POOL, 1, EBB_GIB(14), EBB_GIB(6));
}
SCENE(group_full)
{
    add_group(f)->held_bytes = F(EBB_GIB(15));
}
SCENE(held_elsewhere)
{
    held_93(f);
    f->has_host = false;
}
SCENE(panic_1)
{
    f->host.panic_on_oom = F(1);
}
SCENE(panic_2)
{
    f->host.panic_on_oom = F(2);
}
SCENE(panic_unknown)
{
    f->host.panic_on_oom = DENIED;
}
SCENE(leader_ended)
{
    f->process.status.state = 'Z';
    f->process.held_bytes = F(EBB_GIB(8));
}
SCENE(leader_killed)
{
    leader_ended(f);
    f->process.is_killed = true;
}
SCENE(ended)
{
    f->process.status.state = 'Z';
    f->process.held_bytes = ebb__fact_unknown(-ESRCH);
}
SCENE(waits_5)
{
    f->host.pressure.full.avg60_hundredths = F(500);
}
SCENE(waits_20)
{
    f->host.pressure.full.avg60_hundredths = F(2000);
}
SCENE(group_waits)
{
    add_group(f)->pressure.full.avg60_hundredths = F(300);
}
SCENE(no_pressure)
{
    f->host.pressure.full.avg60_hundredths = ebb__fact_unknown(-EOPNOTSUPP);
}
SCENE(in_vain)
{
    f->host.reclaim.by_kind = true;
    f->host.reclaim.direct = F(5000);
    f->host.reclaim.all = (struct ebb_reclaim_kind){F(5000), F(1000), {true, 20, NULL}};
}
SCENE(in_vain_and_waits)
{
    in_vain(f);
    waits_20(f);
}
SCENE(little_in_vain)
{
    in_vain(f);
    f->host.reclaim.all.scan = F(500);
}
SCENE(goes_well)
{
    in_vain(f);
    f->host.reclaim.all.efficiency.percent = 90;
}
SCENE(thrashes)
{
    waits_5(f);
    f->host.refault_anon = F(2000);
}
SCENE(stalls_11)
{
    f->host.reclaim.stalls = F(11);
}
SCENE(stalls_10)
{
    f->host.reclaim.stalls = F(10);
}
SCENE(hurries_6)
{
    f->host.hurries = F(6);
}
SCENE(hits)
{
    add_group(f)->limit_hits_rise = F(3);
}
SCENE(hits_before)
{
    add_group(f)->limit_hits = F(3);
}
SCENE(hits_near)
{
    hits_before(f);
    f->scopes[0].used_bytes = F(EBB_GIB(16) - 4096);
}
SCENE(kills)
{
    add_group(f)->oom_kills = F(1);
}
SCENE(second)
{
    f->scopes[0].has_second = true;
    f->scopes[0].second_pid = 7;
    f->scopes[0].second_name = "mysqld";
    f->scopes[0].second_bytes = EBB_GIB(6);
    f->scopes[0].second_points = (int64_t)(EBB_GIB(6) / 4096);
    f->scopes[0].margin_bytes = EBB_GIB(2);
}
SCENE(second_and_30_percent_left)
{
    second(f);
    f->scopes[0].room.likely_bytes = EBB_GIB(19);
}
SCENE(second_and_nothing_left)
{
    second(f);
    f->scopes[0].room.likely_bytes = EBB_GIB(2);
}
SCENE(small_second)
{
    second(f);
    f->scopes[0].second_bytes = EBB_MIB(300);
}
SCENE(other_dies)
{
    second(f);
    f->scopes[0].target_dies = false;
}
SCENE(adj_least)
{
    f->process.adj = -1000;
}
SCENE(adj_900)
{
    f->process.adj = -900;
}
SCENE(adj_unknown)
{
    f->process.has_adj = false;
}
SCENE(hugetlb)
{
    STATUS(f, HUGETLB, hugetlb_bytes, EBB_GIB(20));
}
SCENE(hugetlb_less)
{
    STATUS(f, HUGETLB, hugetlb_bytes, EBB_GIB(4));
}
SCENE(no_swap)
{
    f->host.memory.swap_total_bytes = f->scopes[0].swap_bytes = F(0);
    f->scopes[0].held_bytes = F(EBB_GIB(46));
}
SCENE(no_swap_and_room)
{
    no_swap(f);
    f->scopes[0].held_bytes = F(EBB_GIB(40));
}
SCENE(group_without_swap)
{
    add_group(f)->swap_bytes = F(0);
    f->scopes[0].held_bytes = F(EBB_GIB(12));
}
SCENE(swappiness_0)
{
    f->host.swappiness = F(0);
}
SCENE(swappiness_0_without_swap)
{
    swappiness_0(f);
    f->host.memory.swap_total_bytes = F(0);
}
SCENE(group_swappiness_0)
{
    add_group(f)->swappiness = F(0);
}
SCENE(swappiness_unknown)
{
    f->host.swappiness = DENIED;
}
SCENE(thp_always)
{
    f->host.thp = F(EBB_THP_ALWAYS);
    f->process.anon_huge_bytes = F(EBB_GIB(3));
}
SCENE(thp_few)
{
    thp_always(f);
    f->process.anon_huge_bytes = F(EBB_GIB(2));
}
SCENE(thp_off_for_it)
{
    thp_always(f);
    STATUS(f, THP_ENABLED, thp_enabled, 0);
}
SCENE(thp_pages_unknown)
{
    thp_always(f);
    f->process.anon_huge_bytes = ebb__fact_unknown(-EINPROGRESS);
}
SCENE(pages_512M)
{
    jemalloc(f);
    f->host.thp_page_bytes = F(EBB_MIB(512));
}
SCENE(pages_512M_old)
{
    pages_512M(f);
    f->process.jemalloc_version = "5.3.0-0";
}
SCENE(pages_512M_new)
{
    pages_512M(f);
    f->process.jemalloc_version = "5.3.1-0";
}
SCENE(pages_512M_inside)
{
    pages_512M_old(f);
    f->process.allocator = "glibc";
    f->process.inner_allocator = "jemalloc";
}
SCENE(glibc_on_512M)
{
    f->host.thp_page_bytes = F(EBB_MIB(512));
}
SCENE(preload_in_vain)
{
    f->process.preload = "/x/libjemalloc.so.2";
    f->process.preload_allocator = "jemalloc";
}
SCENE(preload_serves)
{
    preload_in_vain(f);
    jemalloc(f);
}
SCENE(conf_in_vain)
{
    f->process.malloc_conf = "narenas:1";
}
SCENE(tunables)
{
    f->process.tunables = "glibc.malloc.arena_max=2";
}
SCENE(tunables_in_vain)
{
    tunables(f);
    jemalloc(f);
}
SCENE(other_tunables)
{
    jemalloc(f);
    f->process.tunables = "glibc.pthread.rseq=0";
}
SCENE(deleted)
{
    f->process.deleted = "/usr/lib/libx.so (deleted)";
}
SCENE(environment_denied)
{
    f->process.environment_err = -EACCES;
}
SCENE(trim_1G)
{
    f->process.heap.trim_bytes = F(EBB_MIB(900));
}
SCENE(trim_unknown)
{
    f->process.heap.trim_bytes = f->process.heap.whole_bytes = ebb__fact_unknown(-ENODATA);
    f->process.heap.why = "only the allocator itself knows";
}
SCENE(trim_unknown_of_small)
{
    trim_unknown(f);
    set_class(f, EBB_VMA_CLASS_ARENA, 2, EBB_MIB(20), EBB_MIB(20));
}
SCENE(trim_in_small_cgroup)
{
    STATUS(f, VM_RSS, vm_rss_bytes, EBB_MIB(60));
    set_class(f, EBB_VMA_CLASS_ARENA, 2, EBB_MIB(50), EBB_MIB(50));
    add_group(f)->limit_bytes = F(EBB_MIB(64));
    f->process.heap.trim_bytes = F(EBB_MIB(7));
}
SCENE(trim_in_large_cgroup)
{
    trim_in_small_cgroup(f);
    f->scopes[0].limit_bytes = F(EBB_GIB(1));
}
SCENE(fragments_of_many_arenas)
{
    STATUS(f, VM_RSS, vm_rss_bytes, EBB_MIB(400));
    f->process.heap.arenas = F(512);
    f->process.heap.live_bytes = F(EBB_MIB(100));
    f->process.heap.fragment_bytes = F(EBB_MIB(60));
}
SCENE(fragments_of_few_arenas)
{
    fragments_of_many_arenas(f);
    f->process.heap.arenas = F(6);
}
SCENE(many_arenas)
{
    f->process.heap.arenas = F(17);
    f->process.heap.whole_bytes = F(EBB_MIB(700));
}
SCENE(many_used_arenas)
{
    f->process.heap.arenas = F(60);
}
SCENE(many_arenas_unknown)
{
    many_arenas(f);
    f->process.heap.live_bytes = ebb__fact_unknown(-ENODATA);
}
SCENE(high_threshold)
{
    f->process.heap.mmap_threshold_bytes = F(EBB_MIB(20));
    f->process.heap.whole_bytes = F(EBB_MIB(500));
}
SCENE(high_threshold_of_large)
{
    high_threshold(f);
    f->process.heap.whole_bytes = F(EBB_MIB(400));
}
SCENE(high_threshold_of_small)
{
    high_threshold(f);
    STATUS(f, VM_RSS, vm_rss_bytes, EBB_MIB(200));
    f->process.heap.whole_bytes = F(EBB_MIB(12));
}
SCENE(high_threshold_few_holes)
{
    high_threshold_of_small(f);
    STATUS(f, VM_RSS, vm_rss_bytes, EBB_MIB(100));
    f->process.heap.whole_bytes = F(EBB_MIB(7));
}
SCENE(fixed_threshold)
{
    high_threshold(f);
    f->process.heap.threshold_is_dynamic = F(0);
}
SCENE(fragmented)
{
    f->process.heap.fragment_bytes = F(EBB_MIB(400));
}
SCENE(dirty_70)
{
    f->host.vm.nr_dirty = F(700000);
}
SCENE(dirty_order)
{
    f->host.dirty_background_bytes = F(EBB_GIB(2));
}
SCENE(dirty_ratios)
{
    f->host.dirty_bytes = f->host.dirty_background_bytes = F(0);
    f->host.dirty_ratio = F(20);
    f->host.dirty_background_ratio = F(10);
}
SCENE(dirty_unknown)
{
    f->host.vm.nr_dirty = DENIED;
}
SCENE(nodes)
{
    f->host.node_count = 2;
    f->host.nodes[0] = (struct ebb_doctor_node){0, EBB_GIB(32), EBB_MIB(100)};
    f->host.nodes[1] = (struct ebb_doctor_node){1, EBB_GIB(32), EBB_GIB(20)};
}
SCENE(both_nodes_full)
{
    nodes(f);
    f->host.nodes[1].free_bytes = EBB_MIB(200);
}
SCENE(processors_without_memory)
{
    nodes(f);
    f->host.nodes[0].total_bytes = f->host.nodes[0].free_bytes = 0;
}
SCENE(zone_reclaim)
{
    both_nodes_full(f);
    f->host.zone_reclaim_mode = F(1);
}
SCENE(huge_unused)
{
    f->host.memory.huge_pages_total = F(1000);
    f->host.memory.huge_pages_free = F(900);
    f->host.memory.huge_pages_rsvd = F(100);
}
SCENE(huge_reserved)
{
    huge_unused(f);
    f->host.memory.huge_pages_rsvd = F(890);
}
SCENE(pool_idle)
{
    f->process.books.pool_data_bytes = F(EBB_GIB(2));
}
SCENE(pool_young)
{
    pool_idle(f);
    f->process.books.uptime_s = F(600);
}
SCENE(books_unknown)
{
    f->process.books = (struct ebb_doctor_books){.why = "the server was not asked"};
}
SCENE(other_server)
{
    books_unknown(f);
    f->process.server = EBB_SERVER_OTHER;
}
SCENE(instruments_off)
{
    f->process.books.memory_instruments = F(0);
}
SCENE(was_larger)
{
    STATUS(f, VM_HWM, vm_hwm_bytes, EBB_GIB(11));
}
SCENE(was_little_larger)
{
    STATUS(f, VM_HWM, vm_hwm_bytes, EBB_GIB(9));
}
SCENE(large_pool)
{
    STATUS(f, VM_PTE, vm_pte_bytes, EBB_MIB(90));
    set_class(f, EBB_VMA_CLASS_POOL, 1, EBB_GIB(40), EBB_GIB(40));
}
SCENE(tables_of_others)
{
    STATUS(f, VM_PTE, vm_pte_bytes, EBB_MIB(90));
}

#endif
