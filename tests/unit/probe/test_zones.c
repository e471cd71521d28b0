/* SPDX-License-Identifier: MIT
 *
 * Tests of what reclaim goes by: zoneinfo, buddyinfo, swaps, generations. Texts are written by hand after the formats of the
 * kernels that they name, those of 6.18 captured and shortened.
 */
#include "test_probe.h"

#include <errno.h>

#include "probe/probe.h"

static struct ebb_zoneinfo zones;
static struct ebb_buddyinfo buddies;
static struct ebb_swaps swaps;
static struct ebb_lru_gen_ages ages;

/* Calls a parser with a copy of the text that ends where it ends. */
#define PARSE(parse, text, ...)                                                                              \
    ({                                                                                                       \
        size_t parse_len = strlen(text);                                                                     \
        char *parse_copy = test_copy(text, parse_len);                                                       \
        int parse_err = parse(parse_copy, parse_len, __VA_ARGS__);                                           \
                                                                                                             \
        free(parse_copy);                                                                                    \
        parse_err;                                                                                           \
    })

/* Linux 6.18, x86-64, captured; processors and counters that nobody reads were left out. */
static const char ZONES_618[] = "Node 0, zone      DMA\n"
                                "  per-node stats\n"
                                "      nr_inactive_anon 11073\n"
                                "      nr_active_anon 388\n"
                                "      nr_inactive_file 100646\n"
                                "      nr_active_file 149232\n"
                                "      nr_unevictable 2464\n"
                                "      nr_slab_reclaimable 61020\n"
                                "      workingset_activate_anon 0\n"
                                "      workingset_activate_file 774888\n"
                                "      nr_balloon_pages 0\n"
                                "  pages free     3840\n"
                                "        boost    0\n"
                                "        min      19\n"
                                "        low      23\n"
                                "        high     27\n"
                                "        promo    31\n"
                                "        spanned  4095\n"
                                "        present  3998\n"
                                "        managed  3840\n"
                                "        cma      0\n"
                                "        protection: (0, 3018, 12746, 12746, 12746)\n"
                                "      nr_free_pages 3840\n"
                                "      nr_zone_inactive_anon 5\n"
                                "  pagesets\n"
                                "    cpu: 0\n"
                                "              count:    7\n"
                                "              high:     8\n"
                                "              batch:    1\n"
                                "  vm stats threshold: 4\n"
                                "  node_unreclaimable:  0\n"
                                "  start_pfn:           1\n"
                                "Node 0, zone   Normal\n"
                                "  pages free     2092355\n"
                                "        boost    512\n"
                                "        min      12879\n"
                                "        low      16098\n"
                                "        high     19317\n"
                                "        managed  2490368\n"
                                "        protection: (0, 0, 0, 0, 0)\n"
                                "Node 0, zone  Movable\n"
                                "  pages free     0\n"
                                "        boost    0\n"
                                "        min      32\n"
                                "        managed  0\n"
                                "        protection: (0, 0, 0, 0, 0)\n";

static void test_zoneinfo(void **state)
{
    const struct ebb_node *node = &zones.nodes[0];

    (void)state;
    assert_int_equal(PARSE(ebb__zoneinfo_parse, ZONES_618, &zones), 0);
    assert_int_equal(zones.node_count, 1);
    assert_int_equal(node->zone_count, 3);
    assert_int_equal(node->inactive_anon.value, 11073);
    assert_int_equal(node->active_anon.value, 388);
    assert_int_equal(node->inactive_file.value, 100646);
    assert_int_equal(node->active_file.value, 149232);
    assert_int_equal(node->unevictable.value, 2464);
    assert_true(node->activate_anon.known && node->activate_anon.value == 0);
    assert_int_equal(node->activate_file.value, 774888);
    assert_string_equal(node->zones[0].name, "DMA");
    assert_int_equal(node->zones[0].free.value, 3840);
    assert_int_equal(node->zones[0].low.value, 23);
    /* Not "high:" of a processor. */
    assert_int_equal(node->zones[0].high.value, 27);
    assert_int_equal(node->zones[0].managed.value, 3840);
    assert_int_equal(node->zones[0].protection_count, 5);
    assert_int_equal(node->zones[0].protection[1], 3018);
    assert_int_equal(node->zones[0].protection[4], 12746);
    assert_string_equal(node->zones[1].name, "Normal");
    assert_int_equal(node->zones[1].boost.value, 512);
    assert_int_equal(node->zones[1].min.value, 12879);
    assert_true(node->zones[2].managed.known && node->zones[2].managed.value == 0);
    assert_false(node->zones[2].low.known);
    assert_int_equal(node->zones[2].low.err, -ENODATA);
}

/* Linux 4.18: no boost, two nodes, one of them without memory. */
static const char ZONES_418[] = "Node 0, zone   Normal\n"
                                "  per-node stats\n"
                                "      nr_inactive_anon 7\n"
                                "      workingset_activate 3\n"
                                "  pages free     100\n"
                                "        min      10\n"
                                "        low      12\n"
                                "        high     15\n"
                                "        spanned  500\n"
                                "        present  500\n"
                                "        managed  480\n"
                                "        protection: (0, 0)\n"
                                "      nr_free_pages 100\n"
                                "Node 7, zone   Normal\n"
                                "  pages free     0\n"
                                "        min      0\n"
                                "        low      0\n"
                                "        high     0\n"
                                "        managed  0\n"
                                "        protection: (0, 0)\n";

static void test_zoneinfo_of_other_kernels(void **state)
{
    char text[64 * 64];
    size_t len = 0;

    (void)state;
    assert_int_equal(PARSE(ebb__zoneinfo_parse, ZONES_418, &zones), 0);
    assert_int_equal(zones.node_count, 2);
    assert_int_equal(zones.nodes[0].inactive_anon.value, 7);
    assert_false(zones.nodes[0].activate_file.known);
    assert_false(zones.nodes[0].zones[0].boost.known);
    assert_int_equal(zones.nodes[0].zones[0].boost.err, -ENODATA);
    assert_int_equal(zones.nodes[1].number, 7);
    assert_false(zones.nodes[1].inactive_anon.known);
    assert_int_equal(zones.nodes[1].zones[0].managed.value, 0);
    /* Damage: half a file, numbers that are none, a name that is too long, lines before the first zone. */
    assert_int_equal(PARSE(ebb__zoneinfo_parse, "", &zones), -EBADMSG);
    assert_int_equal(PARSE(ebb__zoneinfo_parse, "Node 0, zone", &zones), -EBADMSG);
    assert_int_equal(ebb__zoneinfo_parse("Node 0, zone \0\n", 15, &zones), -EBADMSG);
    assert_int_equal(PARSE(ebb__zoneinfo_parse, "        min 5\nNode x, zone DMA\nNode 0, zone \n", &zones),
                     -EBADMSG);
    assert_int_equal(
        PARSE(ebb__zoneinfo_parse,
              "        min 5\nNode 0, zone ABCDEFGHIJKLMNOPQRSTUVW\n  pages free x\n        min -1\n"
              "        low 99999999999999999999999\n        high 3\n        high 4\n"
              "        protection: (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)\n        managed 9",
              &zones),
        0);
    assert_string_equal(zones.nodes[0].zones[0].name, "ABCDEFGHIJKLMNO");
    assert_false(zones.nodes[0].zones[0].free.known || zones.nodes[0].zones[0].min.known ||
                 zones.nodes[0].zones[0].low.known || zones.nodes[0].zones[0].managed.known);
    assert_int_equal(zones.nodes[0].zones[0].high.value, 3);
    assert_int_equal(zones.nodes[0].zones[0].protection_count, EBB_ZONEINFO_ZONES_MAX);
    assert_int_equal(zones.nodes[0].zones[0].protection[7], 8);
    for (unsigned i = 0; i <= EBB_ZONEINFO_ZONES_MAX; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "Node 0, zone Z%u\n", i);
    assert_int_equal(ebb__zoneinfo_parse(text, len, &zones), -E2BIG);
    len = 0;
    for (unsigned i = 0; i <= EBB_ZONEINFO_NODES_MAX; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "Node %u, zone Normal\n", i);
    assert_int_equal(ebb__zoneinfo_parse(text, len, &zones), -E2BIG);
    assert_int_equal(ebb__zoneinfo_read("/nonexistent", &zones), -ENOENT);
}

static void test_buddyinfo(void **state)
{
    (void)state;
    /* Linux 6.18, x86-64, captured. */
    assert_int_equal(PARSE(ebb__buddyinfo_parse,
                           "Node 0, zone      DMA      0      0      0      0      0      0      0      0    "
                           "  1      1      3 \n"
                           "Node 0, zone   Normal   1112    793   6820  10057   4866   1917    846    231    "
                           " 59     14   1696 \n",
                           &buddies),
                     0);
    assert_int_equal(buddies.zone_count, 2);
    assert_string_equal(buddies.zones[0].name, "DMA");
    assert_int_equal(buddies.zones[0].order_count, 11);
    assert_int_equal(buddies.zones[0].blocks[10], 3);
    assert_int_equal(buddies.zones[1].blocks[0], 1112);
    /* Linux 6.1 of aarch64 with pages of 64 KiB has 14 orders; numbers that outgrow their columns; another node. */
    assert_int_equal(
        PARSE(ebb__buddyinfo_parse,
              "Node 3, zone   Normal 1234567890      1      2      3      4      5      6      7      8  "
              "    9     10     11     12     13 \n",
              &buddies),
        0);
    assert_int_equal(buddies.zones[0].node, 3);
    assert_int_equal(buddies.zones[0].order_count, 14);
    assert_int_equal(buddies.zones[0].blocks[0], 1234567890);
    assert_int_equal(buddies.zones[0].blocks[13], 13);
    assert_int_equal(PARSE(ebb__buddyinfo_parse, "", &buddies), -EBADMSG);
    assert_int_equal(PARSE(ebb__buddyinfo_parse, "Node 0, zone      DMA      0      1", &buddies), -EBADMSG);
    assert_int_equal(
        PARSE(ebb__buddyinfo_parse, "Node 0, zone      DMA\nNode 0, zone ABCDEFGHIJKLMNOP 1\nx\n", &buddies),
        -EBADMSG);
    assert_int_equal(PARSE(ebb__buddyinfo_parse, "Node 0, zone DMA 1 2 x 4\n", &buddies), 0);
    assert_int_equal(buddies.zones[0].order_count, 2);
    assert_int_equal(ebb__buddyinfo_parse("Node 0, zone \0 1\n", 17, &buddies), -EBADMSG);
    assert_int_equal(ebb__buddyinfo_read("/nonexistent", &buddies), -ENOENT);
}

static void test_swaps(void **state)
{
    char text[EBB_SWAPS_MAX * 32 + 128];
    size_t len;

    (void)state;
    /* Linux 6.18, captured but for the second and third line, which follow proc(5). */
    assert_int_equal(PARSE(ebb__swaps_parse,
                           "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
                           "/var/tmp/sw                             file\t\t65532\t\t12\t\t-2\n"
                           "/dev/sda2                               partition\t4194300\t1447888\t5\n"
                           "/a\\040b\\011\\134c\\040(deleted)              file\t\t8\t\t0\t\t-3\n",
                           &swaps),
                     0);
    assert_int_equal(swaps.count, 3);
    assert_string_equal(swaps.swaps[0].name, "/var/tmp/sw");
    assert_true(swaps.swaps[0].is_file && !swaps.swaps[0].deleted);
    assert_int_equal(swaps.swaps[0].size_bytes, 65532 * 1024);
    assert_int_equal(swaps.swaps[0].used_bytes, 12 * 1024);
    assert_int_equal(swaps.swaps[0].priority, -2);
    assert_string_equal(swaps.swaps[1].name, "/dev/sda2");
    assert_true(!swaps.swaps[1].is_file && swaps.swaps[1].priority == 5);
    assert_string_equal(swaps.swaps[2].name, "/a b\t\\c");
    assert_true(swaps.swaps[2].is_file && swaps.swaps[2].deleted);
    /* Without swap, and damage. */
    assert_int_equal(PARSE(ebb__swaps_parse, "Filename\tType\tSize\tUsed\tPriority\n", &swaps), 0);
    assert_int_equal(swaps.count, 0);
    assert_int_equal(PARSE(ebb__swaps_parse, "", &swaps), -EBADMSG);
    assert_int_equal(PARSE(ebb__swaps_parse, "/dev/sda2 partition 1 2 3\n", &swaps), -EBADMSG);
    assert_int_equal(
        PARSE(ebb__swaps_parse,
              "Filename\n/a tape 1 2 3\n/a file 1 2\n/a file x 2 3\n/a file 99999999999999999999 2 3\n"
              "/a\\000 file 1 2 3\n file 1 2 3\n/a file 1 2 99999999999\n/a file 1 2 3",
              &swaps),
        0);
    assert_int_equal(swaps.count, 0);
    len = (size_t)snprintf(text, sizeof(text), "Filename\n");
    for (unsigned i = 0; i <= EBB_SWAPS_MAX; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "/s%u file 4 0 -2\n", i);
    assert_int_equal(ebb__swaps_parse(text, len, &swaps), -E2BIG);
    assert_int_equal(ebb__swaps_read("/nonexistent", &swaps), -ENOENT);
}

/* Linux 6.1, by hand after the documentation of lru_gen: two cgroups on two nodes. */
static const char AGES[] = "memcg     1 /\n"
                           " node     0\n"
                           "          0     183400          0       10488 \n"
                           "          1     183090        123         990 \n"
                           "          2       5000       2000        3000 \n"
                           "          3        120        500           7 \n"
                           " node     1\n"
                           "          4        777         -0           1 \n"
                           "          5        100         11          12 \n"
                           "memcg    42 /a b\n"
                           " node     0\n"
                           "          9       1000         12x         13x\n";

static void test_generations(void **state)
{
    (void)state;
    assert_int_equal(PARSE(ebb__lru_gen_ages_parse, AGES, "/", &ages), 0);
    assert_int_equal(ages.count, 5);
    assert_int_equal(ages.ages[1].number, 1);
    assert_int_equal(ages.ages[1].age_ms, 183090);
    assert_int_equal(ages.ages[1].anon_pages, 123);
    assert_int_equal(ages.ages[1].file_pages, 990);
    assert_int_equal(ages.ages[4].node, 1);
    assert_int_equal(ages.ages[4].number, 5);
    assert_int_equal(PARSE(ebb__lru_gen_ages_parse, AGES, "/a b", &ages), 0);
    assert_int_equal(ages.count, 1);
    assert_int_equal(ages.ages[0].file_pages, 13);
    assert_int_equal(PARSE(ebb__lru_gen_ages_parse, AGES, "/a", &ages), -ENOENT);
    assert_int_equal(PARSE(ebb__lru_gen_ages_parse, "memcg 1 /\n 0 1 2 3\n node x\n 0 1 2 3\n", "/", &ages),
                     -ENOENT);
    assert_int_equal(ebb__lru_gen_ages_read("/nonexistent", "/", &ages), -ENOENT);
}

static void test_lru_gen(void **state)
{
    struct ebb_lru_gen lru_gen;

    (void)state;
    assert_int_equal(ebb__lru_gen_parse("0x0007\n", 7).value, 7);
    assert_int_equal(ebb__lru_gen_parse("0x0000\n", 7).value, 0);
    assert_true(ebb__lru_gen_parse("0x0000\n", 7).known);
    assert_int_equal(ebb__lru_gen_parse("y\n", 2).value, 1);
    assert_true(ebb__lru_gen_parse("n\n", 2).known);
    assert_int_equal(ebb__lru_gen_parse("0x", 2).err, -EBADMSG);
    assert_int_equal(ebb__lru_gen_parse("", 0).err, -EBADMSG);
    ebb__lru_gen_read(FIXTURES "/host-arm64-6.1", &lru_gen);
    assert_true(lru_gen.enabled.known && lru_gen.min_ttl_ms.known);
    ebb__lru_gen_read("/nonexistent", &lru_gen);
    assert_int_equal(lru_gen.enabled.err, -ENOENT);
}

/* Whole files of the fixtures, and of the host that runs this. */
static void test_hosts(void **state)
{
    static const struct {
        const char *root;
        unsigned zones;
        unsigned orders;
        unsigned swaps;
        uint64_t normal_low;
    } HOSTS[] = {{FIXTURES "/host-x86-4.18", 4, 11, 1, 13170}, {FIXTURES "/host-arm64-6.1", 4, 14, 0, 19850}};

    (void)state;
    for (unsigned i = 0; i < sizeof(HOSTS) / sizeof(HOSTS[0]); i++) {
        assert_int_equal(ebb__zoneinfo_read(HOSTS[i].root, &zones), 0);
        assert_int_equal(zones.node_count, 1);
        assert_int_equal(zones.nodes[0].zone_count, HOSTS[i].zones);
        assert_int_equal(zones.nodes[0].zones[2].low.value, HOSTS[i].normal_low);
        assert_int_equal(ebb__buddyinfo_read(HOSTS[i].root, &buddies), 0);
        assert_int_equal(buddies.zones[0].order_count, HOSTS[i].orders);
        assert_int_equal(ebb__swaps_read(HOSTS[i].root, &swaps), 0);
        assert_int_equal(swaps.count, HOSTS[i].swaps);
    }
    assert_int_equal(ebb__zoneinfo_read("", &zones), 0);
    assert_true(zones.nodes[0].inactive_file.known);
    assert_int_equal(ebb__buddyinfo_read("", &buddies), 0);
    assert_true(buddies.zone_count >= 1);
    assert_int_equal(ebb__swaps_read("", &swaps), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zoneinfo),    cmocka_unit_test(test_zoneinfo_of_other_kernels),
        cmocka_unit_test(test_buddyinfo),   cmocka_unit_test(test_swaps),
        cmocka_unit_test(test_generations), cmocka_unit_test(test_lru_gen),
        cmocka_unit_test(test_hosts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
