/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: zoneinfo, buddyinfo, swaps and debugfs's lru_gen. The first byte chooses.
 */
#include "fuzz.h"

#include <errno.h>
#include <string.h>

#include "probe/probe.h"

static void try_zoneinfo(const char *text, size_t len)
{
    static struct ebb_zoneinfo info;

    if (ebb__zoneinfo_parse(text, len, &info) != 0)
        return;
    FUZZ_CHECK(info.node_count >= 1 && info.node_count <= EBB_ZONEINFO_NODES_MAX);
    for (unsigned n = 0; n < info.node_count; n++) {
        const struct ebb_node *node = &info.nodes[n];

        FUZZ_CHECK(node->zone_count >= 1 && node->zone_count <= EBB_ZONEINFO_ZONES_MAX);
        FUZZ_CHECK(node->inactive_anon.known || node->inactive_anon.err == -ENODATA);
        for (unsigned z = 0; z < node->zone_count; z++) {
            FUZZ_CHECK(memchr(node->zones[z].name, '\0', sizeof(node->zones[z].name)) != NULL);
            FUZZ_CHECK(node->zones[z].name[0] != '\0');
            FUZZ_CHECK(node->zones[z].protection_count <= EBB_ZONEINFO_ZONES_MAX);
            FUZZ_CHECK(node->zones[z].free.known || node->zones[z].free.err == -ENODATA);
        }
    }
}

static void try_buddyinfo(const char *text, size_t len)
{
    static struct ebb_buddyinfo info;

    if (ebb__buddyinfo_parse(text, len, &info) != 0)
        return;
    FUZZ_CHECK(info.zone_count >= 1 && info.zone_count <= EBB_BUDDYINFO_ZONES_MAX);
    for (unsigned i = 0; i < info.zone_count; i++)
        FUZZ_CHECK(info.zones[i].order_count >= 1 && info.zones[i].order_count <= EBB_BUDDYINFO_ORDERS_MAX);
}

static void try_swaps(const char *text, size_t len)
{
    static struct ebb_swaps swaps;

    if (ebb__swaps_parse(text, len, &swaps) != 0)
        return;
    FUZZ_CHECK(swaps.count <= EBB_SWAPS_MAX);
    for (unsigned i = 0; i < swaps.count; i++) {
        FUZZ_CHECK(strlen(swaps.swaps[i].name) < EBB_SWAP_NAME_BYTES && swaps.swaps[i].name[0] != '\0');
        FUZZ_CHECK(swaps.swaps[i].size_bytes % 1024 == 0);
    }
}

static void try_ages(const char *text, size_t len)
{
    static struct ebb_lru_gen_ages ages;

    (void)ebb__lru_gen_parse(text, len);
    if (ebb__lru_gen_ages_parse(text, len, "/a", &ages) == 0)
        FUZZ_CHECK(ages.count >= 1 && ages.count <= sizeof(ages.ages) / sizeof(ages.ages[0]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data + 1;
    size_t len = size - 1;

    if (size == 0)
        return 0;
    switch (data[0] % 4) {
    case 0:
        try_zoneinfo(text, len);
        break;
    case 1:
        try_buddyinfo(text, len);
        break;
    case 2:
        try_swaps(text, len);
        break;
    default:
        try_ages(text, len);
        break;
    }
    return 0;
}
