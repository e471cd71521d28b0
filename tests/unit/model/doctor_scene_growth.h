/* SPDX-License-Identifier: MIT
 *
 * More facts for the rules of ebb doctor: what grows, what a fork copies, who kills beside the kernel, whom memory belongs to.
 */
#ifndef EBB_TESTS_DOCTOR_SCENE_GROWTH_H
#define EBB_TESTS_DOCTOR_SCENE_GROWTH_H

#include "doctor_scene.h"

/* ---- what grows ---- */

static void set_growth(struct ebb_doctor_scope *scope, uint64_t span_ms, uint64_t rise)
{
    double pace = (double)rise * 1000 / (double)span_ms;

    scope->growth = (struct ebb_forecast){.looks = 9,
                                          .span_ms = span_ms,
                                          .rise_bytes = (int64_t)rise,
                                          .slow = pace * 3 / 4,
                                          .middle = pace,
                                          .fast = pace * 2};
    scope->held_rise = F(rise);
}

SCENE(grows)
{
    set_growth(&f->scopes[0], 1000, EBB_MIB(20));
    f->process.rss_rise = F(EBB_MIB(19));
}
SCENE(grows_elsewhere)
{
    grows(f);
    f->has_host = false;
}
SCENE(grows_slowly)
{
    set_growth(&f->scopes[0], 1000, EBB_MIB(5));
}
SCENE(grows_slowly_for_long)
{
    set_growth(&f->scopes[0], 10000, EBB_MIB(50));
}
SCENE(grows_and_falls)
{
    grows(f);
    f->scopes[0].growth.slow = -1;
}
SCENE(page_cache_grows)
{
    grows(f);
    f->scopes[0].held_rise = f->process.rss_rise = F(0);
}
SCENE(process_grows)
{
    grows(f);
    f->scopes[0].held_rise = F(0);
}
SCENE(grows_little)
{
    set_growth(&f->scopes[0], 1000, EBB_MIB(3));
    f->scopes[0].room.possible_bytes = EBB_GIB(1);
}
SCENE(grows_on_many_processors)
{
    grows(f);
    f->host.processors = F(256);
}
SCENE(pool_fills)
{
    grows(f);
    set_class(f, EBB_VMA_CLASS_POOL, 1, EBB_GIB(14), EBB_GIB(6));
}
SCENE(pool_fills_and_does_not_fit)
{
    pool_fills(f);
    f->scopes[0].room.possible_bytes = EBB_GIB(18);
}
SCENE(group_grows)
{
    struct ebb_doctor_scope *group = add_group(f);

    group->has_room = true;
    group->room.possible_bytes = EBB_GIB(1);
    group->target_dies = true;
    set_growth(group, 10000, EBB_MIB(5));
}
SCENE(leaks)
{
    f->process.heap.live_rise = F(EBB_MIB(20));
    f->process.heap.system_rise = F(EBB_MIB(18));
}
SCENE(leaks_when_young)
{
    leaks(f);
    f->process.uptime_s = F(600);
}
SCENE(fills_free_memory)
{
    leaks(f);
    f->process.heap.system_rise = F(EBB_MIB(2));
}
SCENE(leaks_by_the_kernel)
{
    leaks(f);
    f->process.allocator = "ebb";
    f->process.heap.system_rise = ebb__fact_unknown(-ENODATA);
    f->process.anon_rise = F(EBB_MIB(20));
}
SCENE(live_rises_little)
{
    f->process.heap.live_rise = f->process.heap.system_rise = F(EBB_MIB(2));
}
SCENE(heap_unknown)
{
    jemalloc(f);
    f->process.heap = (struct ebb_doctor_heap){.why = "only the allocator itself knows"};
}
SCENE(heap_unknown_and_grows)
{
    heap_unknown(f);
    f->process.anon_rise = F(EBB_MIB(200));
}
SCENE(redis)
{
    books_unknown(f);
    f->process.name = "redis-server";
    f->process.server = EBB_SERVER_REDIS;
}
SCENE(redis_near)
{
    redis(f);
    f->scopes[0].room.possible_bytes = EBB_GIB(4);
}
SCENE(redis_near_in_group)
{
    redis(f);
    add_group(f)->has_room = true;
    f->scopes[0].room.possible_bytes = EBB_GIB(2);
}
SCENE(redis_copies_little)
{
    redis_near(f);
    f->process.books = (struct ebb_doctor_books){.source = "INFO", .copied_bytes = F(EBB_GIB(1))};
}
SCENE(redis_copies_much)
{
    redis_near(f);
    f->process.books = (struct ebb_doctor_books){.source = "INFO", .copied_bytes = F(EBB_GIB(6))};
}
SCENE(redis_forked)
{
    redis(f);
    f->host.thp = F(EBB_THP_ALWAYS);
    f->process.fork_pid = 77;
    f->process.fork_bytes = EBB_GIB(8);
    f->scopes[0].room.possible_bytes = EBB_MIB(500);
}
SCENE(other_forked)
{
    redis_forked(f);
    f->process.server = EBB_SERVER_OTHER;
}
SCENE(other_near)
{
    redis_near(f);
    f->process.server = EBB_SERVER_OTHER;
}
SCENE(redis_strict)
{
    redis(f);
    strict(f);
}
SCENE(redis_strict_and_full)
{
    redis_strict(f);
    f->host.memory.committed_as_bytes = F(EBB_GIB(35));
}
SCENE(redis_overcommit_unknown)
{
    redis(f);
    f->host.overcommit = DENIED;
}

/* ---- the host beside the database ---- */

SCENE(earlyoom)
{
    f->host.killer_count = 1;
    f->host.killers[0] = (struct ebb_doctor_killer){.name = "earlyoom",
                                                    .pid = 9,
                                                    .by_score = true,
                                                    .memory_hundredths = F(1000),
                                                    .swap_hundredths = F(1000)};
    f->host.score_name = "mariadbd";
    f->host.score_pid = 42;
}
SCENE(earlyoom_near)
{
    earlyoom(f);
    f->host.memory.mem_available_bytes = F(EBB_GIB(10));
    f->host.memory.swap_free_bytes = F(EBB_GIB(1));
}
SCENE(earlyoom_with_swap)
{
    earlyoom_near(f);
    f->host.memory.swap_free_bytes = F(EBB_GIB(6));
}
SCENE(oomd)
{
    f->host.killer_count = 1;
    f->host.killers[0] = (struct ebb_doctor_killer){.name = "systemd-oomd", .pid = 8};
}
SCENE(min_ttl)
{
    f->host.min_ttl_ms = F(1000);
}
SCENE(min_ttl_0)
{
    f->host.min_ttl_ms = F(0);
}
SCENE(group_dirty)
{
    f->host.cgroup_version = 1;
    add_group(f)->dirty_bytes = F(EBB_GIB(3));
    f->scopes[0].writeback_bytes = F(EBB_GIB(1));
}
SCENE(group_dirty_2)
{
    group_dirty(f);
    f->host.cgroup_version = 2;
}
SCENE(group_less_dirty)
{
    group_dirty(f);
    f->scopes[0].dirty_bytes = F(EBB_GIB(1));
}
SCENE(missing_11G)
{
    f->host.memory.mem_free_bytes = F(EBB_GIB(20));
}
SCENE(missing_2G)
{
    f->host.memory.mem_free_bytes = F(EBB_GIB(29));
}
SCENE(missing_to_arc)
{
    missing_11G(f);
    f->host.arc_bytes = F(EBB_GIB(10));
}
SCENE(missing_to_balloon)
{
    missing_11G(f);
    f->host.memory.balloon_bytes = F(EBB_GIB(9));
}
SCENE(missing_with_driver)
{
    missing_11G(f);
    f->host.drivers[f->host.driver_count++] = "nvidia";
}
SCENE(missing_in_small_host)
{
    f->host.memory.mem_total_bytes = F(EBB_GIB(4));
    f->host.memory.mem_free_bytes = F(EBB_GIB(4) - EBB_MIB(220));
    f->host.memory.active_bytes = f->host.memory.inactive_bytes = f->host.memory.slab_bytes = F(0);
}
SCENE(missing_unknown)
{
    f->host.memory.slab_bytes = DENIED;
}

#endif
