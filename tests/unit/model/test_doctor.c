/* SPDX-License-Identifier: MIT
 *
 * The rules of ebb doctor over facts that are written down here: each fires, is silent beside that, and says what it lacks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants these before it. */
#include <cmocka.h>

#include <string.h>

#include "doctor_scene.h"
#include "doctor_scene_growth.h"

#define INFO     EBB_RULE_FIRES, EBB_SEVERITY_INFO
#define WARNING  EBB_RULE_FIRES, EBB_SEVERITY_WARNING
#define CRITICAL EBB_RULE_FIRES, EBB_SEVERITY_CRITICAL
#define SILENT   EBB_RULE_SILENT, EBB_SEVERITY_INFO
#define UNKNOWN  EBB_RULE_UNKNOWN, EBB_SEVERITY_INFO
#define ROW(rule, scene, ...)                                                                                \
    {                                                                                                        \
        EBB_RULE_##rule, #scene, scene, __VA_ARGS__                                                          \
    }

static const struct row {
    enum ebb_rule_id rule;
    const char *name;
    void (*scene)(facts_t *f);
    enum ebb_rule_answer answer;
    enum ebb_severity severity;
    const char *part; /* of what it says, anywhere */
} ROWS[] = {
    ROW(R01, maps_72, WARNING, "47200 of 65530 mappings (72 %)"),
    ROW(R01, maps_95, CRITICAL, "sysctl -w vm.max_map_count=262144"),
    ROW(R01, maps_rise, CRITICAL, "at this pace 10 minutes are left"),
    ROW(R01, maps_rise_slowly, SILENT, NULL),
    ROW(R01, maps_denied, UNKNOWN, "CAP_SYS_PTRACE"),
    ROW(R02, jemalloc, SILENT, NULL),
    ROW(R02, strict, SILENT, NULL),
    ROW(R02, jemalloc_strict, WARNING, "vm.overcommit_memory is 2"),
    ROW(R02, jemalloc_split, CRITICAL, "7000 of 400 mappings"),
    ROW(R02, strict_unknown_allocator, UNKNOWN, "who serves malloc"),
    ROW(R34, held_85, WARNING, "SET GLOBAL innodb_buffer_pool_size = "),
    ROW(R34, held_93, CRITICAL, "60.0 GiB of 64.0 GiB"),
    ROW(R34, pool_to_come, WARNING, "8.0 GiB of its pool were not touched yet"),
    ROW(R34, group_full, CRITICAL, "/db.service: 15.0 GiB of 16.0 GiB"),
    ROW(R34, held_elsewhere, SILENT, NULL),
    ROW(R35, panic_1, WARNING, "vm.panic_on_oom is 1"),
    ROW(R35, panic_2, CRITICAL, "stops the host"),
    ROW(R35, panic_unknown, UNKNOWN, "vm.panic_on_oom"),
    ROW(R28, leader_ended, WARNING, "kill -KILL 42"),
    ROW(R28, leader_killed, CRITICAL, "does not end although it was killed"),
    ROW(R28, ended, SILENT, NULL),
    ROW(R27, waits_5, WARNING, "5.0 % of the last minute"),
    ROW(R27, waits_20, CRITICAL, "20.0 %"),
    ROW(R27, group_waits, WARNING, "/db.service"),
    ROW(R27, no_pressure, UNKNOWN, "psi=1"),
    ROW(R09, in_vain, WARNING, "20 % of them freed"),
    ROW(R09, in_vain_and_waits, CRITICAL, "all tasks waited for 20.0 %"),
    ROW(R09, little_in_vain, SILENT, NULL),
    ROW(R09, goes_well, SILENT, NULL),
    ROW(R09, thrashes, WARNING, "2000 anonymous pages were read back"),
    ROW(R10, stalls_11, WARNING, "11 times (11.0 a second)"),
    ROW(R10, stalls_10, SILENT, NULL),
    ROW(R10, hurries_6, WARNING, "6 times (6.0 a second) kswapd"),
    ROW(R18, hits, WARNING, "hit its limit 3 times in this look"),
    ROW(R18, hits_before, SILENT, NULL),
    ROW(R18, hits_near, WARNING, "is at 100 % of it"),
    ROW(R18, kills, CRITICAL, "has killed 1 times"),
    ROW(R04, second, INFO, "mysqld (pid 7) holds 6.0 GiB"),
    ROW(R04, second_and_30_percent_left, WARNING, "ebb oom adj 42 -29"),
    ROW(R04, second_and_nothing_left, CRITICAL, "OOMScoreAdjust=-29"),
    ROW(R04, small_second, SILENT, NULL),
    ROW(R04, other_dies, SILENT, NULL),
    ROW(R05, adj_least, WARNING, "ebb oom adj 42 -900"),
    ROW(R05, adj_900, SILENT, NULL),
    ROW(R05, adj_unknown, UNKNOWN, "oom_score_adj"),
    ROW(R06, hugetlb, WARNING, "20.0 GiB in huge pages"),
    ROW(R06, hugetlb_less, SILENT, NULL),
    ROW(R07, no_swap, WARNING, "fallocate -l 8G"),
    ROW(R07, no_swap_and_room, SILENT, NULL),
    ROW(R07, group_without_swap, WARNING, "let the cgroup swap"),
    ROW(R08, swappiness_0, WARNING, "sysctl -w vm.swappiness=1"),
    ROW(R08, swappiness_0_without_swap, SILENT, NULL),
    ROW(R08, group_swappiness_0, WARNING, "memory.swappiness of /db.service is 0"),
    ROW(R08, swappiness_unknown, UNKNOWN, "vm.swappiness"),
    ROW(R11, thp_always, WARNING, "3.0 GiB of 8.0 GiB"),
    ROW(R11, thp_few, SILENT, NULL),
    ROW(R11, thp_off_for_it, SILENT, NULL),
    ROW(R11, thp_pages_unknown, UNKNOWN, "AnonHugePages"),
    ROW(R12, pages_512M, WARNING, "which version it is is not known"),
    ROW(R12, pages_512M_old, CRITICAL, "it is version 5.3.0-0"),
    ROW(R12, pages_512M_new, SILENT, NULL),
    ROW(R12, pages_512M_inside, CRITICAL, "the program contains a jemalloc"),
    ROW(R12, glibc_on_512M, SILENT, NULL),
    ROW(R26, preload_in_vain, WARNING, "LD_PRELOAD=/x/libjemalloc.so.2"),
    ROW(R26, preload_serves, SILENT, NULL),
    ROW(R26, conf_in_vain, WARNING, "MALLOC_CONF is for jemalloc"),
    ROW(R26, tunables, SILENT, NULL),
    ROW(R26, tunables_in_vain, WARNING, "GLIBC_TUNABLES is for glibc"),
    ROW(R26, other_tunables, SILENT, NULL),
    ROW(R26, deleted, WARNING, "was replaced or removed"),
    ROW(R26, environment_denied, UNKNOWN, "environment"),
    ROW(R15, trim_1G, WARNING, "900.0 MiB of 8.0 GiB RSS"),
    ROW(R15, trim_unknown, UNKNOWN, "only the allocator itself knows"),
    ROW(R15, trim_unknown_of_small, SILENT, NULL),
    ROW(R15, trim_in_small_cgroup, WARNING, "7.0 MiB of 60.0 MiB RSS"),
    ROW(R15, trim_in_large_cgroup, SILENT, NULL),
    ROW(R13, many_arenas, WARNING, "glibc.malloc.arena_max=4"),
    ROW(R13, many_used_arenas, SILENT, NULL),
    ROW(R13, many_arenas_unknown, UNKNOWN, "glibc's arenas"),
    ROW(R14, high_threshold, WARNING, "mapped from 20.0 MiB on"),
    ROW(R14, high_threshold_of_large, SILENT, NULL),
    ROW(R14, high_threshold_of_small, WARNING, "12.0 MiB are free in whole pages"),
    ROW(R14, high_threshold_few_holes, SILENT, NULL),
    ROW(R14, fixed_threshold, SILENT, NULL),
    ROW(R14, jemalloc, SILENT, NULL),
    ROW(R14, trim_unknown, UNKNOWN, "threshold"),
    ROW(R16, fragmented, WARNING, "400.0 MiB are free in pieces below a page"),
    ROW(R16, fragments_of_many_arenas, SILENT, NULL),
    ROW(R16, fragments_of_few_arenas, WARNING, "60.0 MiB are free in pieces below a page"),
    ROW(R20, dirty_70, WARNING, "2.7 GiB dirty"),
    ROW(R20, dirty_order, WARNING, "not below the threshold"),
    ROW(R20, dirty_ratios, INFO, "20 % of a large memory"),
    ROW(R20, dirty_unknown, UNKNOWN, "nr_dirty"),
    ROW(R31, nodes, WARNING, "node 0 has 100.0 MiB free, node 1 20.0 GiB"),
    ROW(R31, both_nodes_full, SILENT, NULL),
    ROW(R31, processors_without_memory, SILENT, NULL),
    ROW(R31, zone_reclaim, WARNING, "sysctl -w vm.zone_reclaim_mode=0"),
    ROW(R32, strict, SILENT, NULL),
    ROW(R32, strict_reserved, WARNING, "9.0 GiB were never touched"),
    ROW(R32, strict_at_limit, CRITICAL, "39.0 GiB of 40.0 GiB"),
    ROW(R24, huge_unused, WARNING, "sysctl -w vm.nr_hugepages=200"),
    ROW(R24, huge_reserved, SILENT, NULL),
    ROW(R22, pool_idle, WARNING, "2.0 GiB of the pool's 6.0 GiB"),
    ROW(R22, pool_young, SILENT, NULL),
    ROW(R22, books_unknown, UNKNOWN, "the server was not asked"),
    ROW(R22, other_server, SILENT, NULL),
    ROW(R21, instruments_off, INFO, "memory/%=ON"),
    ROW(R21, books_unknown, UNKNOWN, "performance schema"),
    ROW(R23, was_larger, INFO, "3.0 GiB more than the 8.0 GiB"),
    ROW(R23, was_little_larger, SILENT, NULL),
    ROW(R36, large_pool, INFO, "vm.nr_hugepages=20480"),
    ROW(R36, tables_of_others, SILENT, NULL),
    ROW(R03, grows, CRITICAL, "the 48.0 GiB that are left last 40 min"),
    ROW(R03, grows, CRITICAL, "eight of ten paces of 9 looks say 20 min to 54 min"),
    ROW(R03, grows, CRITICAL, "mariadbd itself grew by 19.0 MiB"),
    ROW(R03, grows_elsewhere, SILENT, NULL),
    ROW(R03, grows_slowly, SILENT, NULL),
    ROW(R03, grows_slowly_for_long, WARNING, "last 2 h"),
    ROW(R03, grows_and_falls, SILENT, NULL),
    ROW(R03, page_cache_grows, SILENT, NULL),
    ROW(R03, process_grows, CRITICAL, "ebb relieve 42"),
    ROW(R03, grows_little, SILENT, NULL),
    ROW(R03, grows_on_many_processors, SILENT, NULL),
    ROW(R03, pool_fills, INFO, "8.0 GiB of its pool were not touched yet, and fit"),
    ROW(R03, pool_fills_and_does_not_fit, CRITICAL, "18.0 GiB that are left"),
    ROW(R03, group_grows, CRITICAL, "MemoryMax=34359738368 (16.0 GiB more)"),
    ROW(R03, group_grows, CRITICAL, "it is killed first"),
    ROW(R17, leaks, WARNING, "live memory rose by 20.0 MiB to 900.0 MiB"),
    ROW(R17, leaks, WARNING, "memory_summary_by_thread_by_event_name"),
    ROW(R17, leaks_when_young, INFO, "it was started 10 min ago"),
    ROW(R17, fills_free_memory, SILENT, NULL),
    ROW(R17, leaks_by_the_kernel, WARNING, "ebb heap --classes 42"),
    ROW(R17, live_rises_little, SILENT, NULL),
    ROW(R17, heap_unknown, SILENT, NULL),
    ROW(R17, heap_unknown_and_grows, UNKNOWN, "only the allocator itself knows"),
    ROW(R30, redis, SILENT, NULL),
    ROW(R30, redis_near, WARNING, "CONFIG SET maxmemory 6442450944"),
    ROW(R30, redis_near_in_group, WARNING, "/db.service has 2.0 GiB left"),
    ROW(R30, redis_copies_little, SILENT, NULL),
    ROW(R30, redis_copies_much, WARNING, "the last save had 6.0 GiB copied"),
    ROW(R30, redis_forked, CRITICAL, "its fork (pid 77) lives"),
    ROW(R30, redis_forked, CRITICAL, "one written byte copies 2.0 MiB"),
    ROW(R30, other_forked, CRITICAL, "ebb relieve 42"),
    ROW(R30, other_near, SILENT, NULL),
    ROW(R30, redis_strict, SILENT, NULL),
    ROW(R30, redis_strict_and_full, WARNING, "a fork needs 9.0 GiB more: it fails with ENOMEM"),
    ROW(R30, redis_strict_and_full, WARNING, "sysctl -w vm.overcommit_memory=1"),
    ROW(R30, redis_overcommit_unknown, UNKNOWN, "vm.overcommit_memory"),
    ROW(R29, earlyoom, INFO, "now 62.5 % are"),
    ROW(R29, earlyoom, INFO, "mariadbd (pid 42), this process"),
    ROW(R29, earlyoom_near, WARNING, "--avoid '^mariadbd$'"),
    ROW(R29, earlyoom_with_swap, INFO, "now 15.6 % are"),
    ROW(R29, oomd, INFO, "oomctl"),
    ROW(R29, min_ttl, WARNING, "echo 0 > /sys/kernel/mm/lru_gen/min_ttl_ms"),
    ROW(R29, min_ttl_0, SILENT, NULL),
    ROW(R19, group_dirty, WARNING, "/db.service (version 1): 3.0 GiB dirty and 1.0 GiB being written"),
    ROW(R19, group_dirty_2, SILENT, NULL),
    ROW(R19, group_less_dirty, SILENT, NULL),
    ROW(R25, missing_11G, WARNING, "11.0 GiB of 64.0 GiB are in no line of it (17 %)"),
    ROW(R25, missing_11G, WARNING, "size pools and limits by 54272 MiB"),
    ROW(R25, missing_2G, SILENT, NULL),
    ROW(R25, missing_to_arc, WARNING, "zfs_arc_max"),
    ROW(R25, missing_to_balloon, WARNING, "a balloon of the hypervisor has 9.0 GiB"),
    ROW(R25, missing_with_driver, WARNING, "nvidia"),
    ROW(R25, missing_in_small_host, SILENT, NULL),
    ROW(R25, missing_unknown, UNKNOWN, "Slab"),
};

static bool says(const struct ebb_finding *finding, const char *part)
{
    for (unsigned i = 0; i < finding->evidence_count; i++)
        if (strstr(finding->evidence[i].text, part) != NULL)
            return true;
    for (unsigned i = 0; i < finding->now_count; i++)
        if (strstr(finding->now[i].text, part) != NULL)
            return true;
    for (unsigned i = 0; i < finding->good_count; i++)
        if (strstr(finding->good[i].text, part) != NULL)
            return true;
    for (unsigned i = 0; i < finding->missing_count; i++)
        if (strstr(finding->missing[i].fact, part) != NULL || strstr(finding->missing[i].why, part) != NULL)
            return true;
    return false;
}

static void check_whole(const struct ebb_finding *finding)
{
    assert_true(finding->evidence_count > 0);
    assert_true(finding->now_count + finding->good_count > 0);
    assert_true(finding->gain[0] != '\0');
    assert_true(finding->severity <= ebb__rules[finding->rule].worst);
    for (unsigned i = 0; i < finding->evidence_count; i++)
        assert_non_null(finding->evidence[i].source);
}

static bool is_as_said(const struct row *row, const struct ebb_finding *finding, enum ebb_rule_answer answer)
{
    if (answer != row->answer || (row->part != NULL && !says(finding, row->part)))
        return false;
    return answer != EBB_RULE_FIRES || finding->severity == row->severity;
}

static void test_rules(void **state)
{
    static facts_t facts;
    static struct ebb_finding finding;
    unsigned wrong = 0;

    (void)state;
    for (size_t i = 0; i < EBB_ARRAY_COUNT(ROWS); i++) {
        const struct row *row = &ROWS[i];
        enum ebb_rule_answer answer;

        fill(&facts);
        row->scene(&facts);
        memset(&finding, 0, sizeof(finding));
        finding.rule = row->rule;
        answer = ebb__rules[row->rule].ask(&facts, &finding);
        if (answer == EBB_RULE_FIRES)
            check_whole(&finding);
        if (is_as_said(row, &finding, answer))
            continue;
        wrong++;
        print_message("%s, %s: answer %d, severity %d\n", ebb__rules[row->rule].id, row->name, (int)answer,
                      (int)finding.severity);
        for (unsigned e = 0; e < finding.evidence_count; e++)
            print_message("    %s\n", finding.evidence[e].text);
        for (unsigned r = 0; r < finding.now_count; r++)
            print_message("    now: %s\n", finding.now[r].text);
        for (unsigned r = 0; r < finding.good_count; r++)
            print_message("    for good: %s\n", finding.good[r].text);
    }
    assert_int_equal(wrong, 0);
}

/* Each rule is silent about what is well, and fires in one of the scenes. */
static void test_every_rule_has_both(void **state)
{
    static facts_t facts;
    static struct ebb_finding finding;

    (void)state;
    for (unsigned id = 0; id < EBB_RULE_COUNT; id++) {
        unsigned fires = 0;

        fill(&facts);
        memset(&finding, 0, sizeof(finding));
        assert_int_equal(ebb__rules[id].ask(&facts, &finding), EBB_RULE_SILENT);
        for (size_t i = 0; i < EBB_ARRAY_COUNT(ROWS); i++)
            fires += ROWS[i].rule == id && ROWS[i].answer == EBB_RULE_FIRES;
        print_message("%s\n", ebb__rules[id].id);
        assert_true(fires > 0 || id == EBB_RULE_R33);
    }
}

/* No rule may take what is not known for 0, or fall over it. */
static void test_nothing_is_known(void **state)
{
    static facts_t facts;
    static struct ebb_diagnosis diagnosis;

    (void)state;
    memset(&facts, 0, sizeof(facts));
    facts.has_host = facts.has_process = facts.live = true;
    ebb__doctor_diagnose(&facts, 0, &diagnosis);
    assert_int_equal(diagnosis.count, 1);
    assert_int_equal(diagnosis.findings[0].rule, EBB_RULE_R33);
    assert_true(diagnosis.unknown_count > 5);
    assert_true(ebb__diagnosis_is_unsure(&diagnosis));
}

static void test_order_and_suppression(void **state)
{
    static facts_t facts;
    static struct ebb_diagnosis diagnosis;
    enum ebb_severity worst;

    (void)state;
    fill(&facts);
    ebb__doctor_diagnose(&facts, 0, &diagnosis);
    assert_int_equal(diagnosis.count, 0);
    assert_false(ebb__diagnosis_worst(&diagnosis, &worst));
    instruments_off(&facts);
    panic_1(&facts);
    maps_95(&facts);
    held_93(&facts);
    ebb__doctor_diagnose(&facts, 0, &diagnosis);
    assert_int_equal(diagnosis.count, 4);
    assert_int_equal(diagnosis.findings[0].rule, EBB_RULE_R01);
    assert_int_equal(diagnosis.findings[1].rule, EBB_RULE_R34);
    assert_int_equal(diagnosis.findings[2].rule, EBB_RULE_R35);
    assert_int_equal(diagnosis.findings[3].rule, EBB_RULE_R21);
    assert_true(ebb__diagnosis_worst(&diagnosis, &worst));
    assert_int_equal(worst, EBB_SEVERITY_CRITICAL);
    ebb__doctor_diagnose(&facts, UINT64_C(1) << EBB_RULE_R01 | UINT64_C(1) << EBB_RULE_R34, &diagnosis);
    assert_int_equal(diagnosis.count, 2);
    /* With --all the host is asked apart. */
    facts.has_host = false;
    ebb__doctor_diagnose(&facts, 0, &diagnosis);
    assert_int_equal(diagnosis.count, 2);
    assert_int_equal(diagnosis.findings[1].rule, EBB_RULE_R21);
    facts.has_host = true;
    facts.has_process = false;
    ebb__doctor_diagnose(&facts, 0, &diagnosis);
    assert_int_equal(diagnosis.count, 2);
    assert_int_equal(diagnosis.findings[1].rule, EBB_RULE_R35);
    /* Of what has ended, nothing else is asked. */
    facts.has_process = true;
    leader_ended(&facts);
    ebb__doctor_diagnose(&facts, 0, &diagnosis);
    assert_int_equal(diagnosis.count, 1);
    assert_int_equal(diagnosis.findings[0].rule, EBB_RULE_R28);
}

static void test_unsure(void **state)
{
    static facts_t facts;
    static struct ebb_diagnosis diagnosis;

    (void)state;
    fill(&facts);
    facts.process.books.memory_instruments = ebb__fact_unknown(-ENODATA);
    ebb__doctor_diagnose(&facts, 0, &diagnosis);
    assert_int_equal(diagnosis.count, 1);
    assert_int_equal(diagnosis.findings[0].severity, EBB_SEVERITY_INFO);
    assert_false(ebb__diagnosis_is_unsure(&diagnosis));
    assert_int_equal(diagnosis.findings[0].now_count, 0);
    maps_denied(&facts);
    ebb__doctor_diagnose(&facts, 0, &diagnosis);
    assert_int_equal(diagnosis.findings[0].severity, EBB_SEVERITY_WARNING);
    assert_true(ebb__diagnosis_is_unsure(&diagnosis));
    assert_int_equal(diagnosis.findings[0].now_count, 1);
    ebb__doctor_diagnose(&facts, UINT64_C(1) << EBB_RULE_R33, &diagnosis);
    assert_int_equal(diagnosis.count, 0);
}

static void test_find(void **state)
{
    (void)state;
    assert_int_equal(ebb__rule_find("R01"), EBB_RULE_R01);
    assert_int_equal(ebb__rule_find("r1"), EBB_RULE_R01);
    assert_int_equal(ebb__rule_find("R10"), EBB_RULE_R10);
    assert_int_equal(ebb__rule_find("vma-limit"), EBB_RULE_R01);
    assert_int_equal(ebb__rule_find("R99"), EBB_RULE_COUNT);
    assert_int_equal(ebb__rule_find("R"), EBB_RULE_COUNT);
    assert_int_equal(ebb__rule_find(""), EBB_RULE_COUNT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_every_rule_has_both),
        cmocka_unit_test(test_nothing_is_known),
        cmocka_unit_test(test_order_and_suppression),
        cmocka_unit_test(test_unsure),
        cmocka_unit_test(test_find),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
