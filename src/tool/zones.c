/* SPDX-License-Identifier: MIT
 *
 * The table of zones and their watermarks; see zones.h.
 */
#include "tool/zones.h"

#include <errno.h>

#include "model/reclaim.h"

#define BYTES(k, h, w, text)                                                                                 \
    {                                                                                                        \
        .key = (k), .heading = (h), .as = EBB_AS_BYTES, .width = (w), .help = (text)                         \
    }

static const struct ebb_column COLUMNS[] = {
    {.key = "zone", .heading = "zones", .as = EBB_AS_TEXT, .width = -8, .label = true, .help = "the zone"},
    {.key = "node", .heading = "node", .as = EBB_AS_NUMBER, .width = 4, .label = true, .help = "its node"},
    BYTES("managed_bytes", "managed", 7, "what the kernel hands out of it"),
    BYTES("free_bytes", "free", 7, "what is free"),
    BYTES("min_bytes", "min", 7, "at or below it, who allocates reclaims"),
    BYTES("low_bytes", "low", 7, "at or below it, kswapd begins"),
    BYTES("high_bytes", "high", 7, "kswapd ends here"),
    BYTES("boost_bytes", "boost", 7, "what fragmentation has added to the three, which hold it"),
    BYTES("reserve_bytes", "reserve", 7, "kept from requests that a higher zone could serve"),
    BYTES("to_kswapd_bytes", "to kswapd", 9, "free above low and reserve"),
    BYTES("to_direct_bytes", "to direct", 9, "free above min and reserve"),
    {.key = "state", .heading = "state", .as = EBB_AS_TEXT, .width = 0, .help = "calm, kswapd or direct"},
};

static const struct ebb_section ZONES = {
    .key = "zones", .columns = COLUMNS, .column_count = sizeof(COLUMNS) / sizeof(COLUMNS[0])};

static struct ebb_cell pages(struct ebb_fact pages, struct ebb_fact page_bytes)
{
    uint64_t bytes;

    if (!pages.known || !page_bytes.known)
        return ebb__cell_fact(pages.known ? page_bytes : pages);
    if (__builtin_mul_overflow(pages.value, page_bytes.value, &bytes))
        return ebb__cell_fact(ebb__fact_unknown(-EOVERFLOW));
    return ebb__cell_number(bytes);
}

static struct ebb_cell distance(int64_t pages, struct ebb_fact page_bytes)
{
    int64_t bytes;

    if (!page_bytes.known)
        return ebb__cell_fact(page_bytes);
    if (__builtin_mul_overflow(pages, page_bytes.value, &bytes))
        return ebb__cell_fact(ebb__fact_unknown(-EOVERFLOW));
    return ebb__cell_signed(bytes);
}

static const char *state_name(enum ebb_reclaim_state state)
{
    switch (state) {
    case EBB_RECLAIM_CALM:
        return "calm";
    case EBB_RECLAIM_KSWAPD:
        return "kswapd";
    case EBB_RECLAIM_DIRECT:
        return "direct";
    }
    return "";
}

void ebb__zones_put(struct ebb_emit *emit, const struct ebb_zoneinfo *info, struct ebb_fact page_bytes)
{
    ebb__emit_section(emit, &ZONES);
    for (unsigned n = 0; n < info->node_count; n++)
        for (unsigned z = 0; z < info->nodes[n].zone_count; z++) {
            const struct ebb_zone *zone = &info->nodes[n].zones[z];
            struct ebb_reclaim_zone judged;

            if (!ebb__reclaim_zone(zone, &judged))
                continue;
            const struct ebb_cell cells[] = {
                ebb__cell_text(zone->name),
                ebb__cell_number(info->nodes[n].number),
                pages(zone->managed, page_bytes),
                pages(zone->free, page_bytes),
                pages(zone->min, page_bytes),
                pages(zone->low, page_bytes),
                pages(zone->high, page_bytes),
                pages(zone->boost, page_bytes),
                pages(ebb__fact(judged.reserve_pages), page_bytes),
                distance(judged.to_kswapd_pages, page_bytes),
                distance(judged.to_direct_pages, page_bytes),
                ebb__cell_text(state_name(judged.state)),
            };

            ebb__emit_row(emit, cells);
        }
}
