/* SPDX-License-Identifier: MIT
 *
 * The tables of ebb reclaim; see reclaim.h.
 */
#include <errno.h>

#include "tool/reclaim.h"
#include "tool/zones.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define SECTION(id, key_text)                                                                                \
    static const struct ebb_section id = {                                                                   \
        .key = (key_text), .columns = id##_COLUMNS, .column_count = COUNT(id##_COLUMNS)}

#define COLUMN(k, h, kind, w, text)                                                                          \
    {                                                                                                        \
        .key = (k), .heading = (h), .as = (kind), .width = (w), .help = (text)                               \
    }
#define NAME(k, h, w, text)                                                                                  \
    {                                                                                                        \
        .key = (k), .heading = (h), .as = EBB_AS_TEXT, .width = (w), .label = true, .help = (text)           \
    }
#define BYTES(k, h, w, text)   COLUMN(k, h, EBB_AS_BYTES, w, text)
#define NUMBER(k, h, w, text)  COLUMN(k, h, EBB_AS_NUMBER, w, text)
#define PERCENT(k, h, w, text) COLUMN(k, h, EBB_AS_PERCENT, w, text)

/* Nodes of a large host, and the cgroup. */
#define SCOPES_MAX (EBB_ZONEINFO_NODES_MAX + 1)

static struct ebb_cell in_bytes(const struct ebb_reclaim_facts *facts, struct ebb_fact pages)
{
    if (!pages.known || !facts->host.page_bytes.known)
        return ebb__cell_fact(pages.known ? facts->host.page_bytes : pages);
    return ebb__cell_number(pages.value * facts->host.page_bytes.value);
}

/* ---- lists ---- */

static const struct ebb_column LISTS_COLUMNS[] = {
    BYTES("inactive_anon_bytes", "inactive anon", 13, "anonymous pages that go first"),
    BYTES("active_anon_bytes", "active anon", 11, "anonymous pages in use lately"),
    BYTES("inactive_file_bytes", "inactive file", 13, "file pages that go first"),
    BYTES("active_file_bytes", "active file", 11, "file pages in use lately"),
    BYTES("unevictable_bytes", "unevictable", 11, "pages that cannot go"),
    COLUMN("anon_is_short", "anon short", EBB_AS_BOOL, 10, "active anonymous pages become inactive ones"),
    COLUMN("file_is_short", "file short", EBB_AS_BOOL, 10, "active file pages become inactive ones"),
    NAME("scope", "lists of", 0, "a node, or a memory cgroup"),
};
SECTION(LISTS, "lists");

static struct ebb_cell is_short(const struct ebb_reclaim *reclaim, struct ebb_fact inactive,
                                struct ebb_fact active)
{
    if (!inactive.known || !active.known)
        return ebb__cell_fact(inactive.known ? active : inactive);
    if (reclaim->page_bytes == 0)
        return ebb__cell_unknown("the size of pages is not known");
    return ebb__cell_bool(ebb__reclaim_is_short(inactive.value, active.value, reclaim->page_bytes));
}

static void put_lists(struct ebb_emit *emit, const struct ebb_reclaim_facts *facts,
                      const struct ebb_reclaim_scope *scopes, unsigned count)
{
    ebb__emit_section(emit, &LISTS);
    for (unsigned i = 0; i < count; i++) {
        const struct ebb_reclaim *reclaim = &scopes[i].reclaim;
        const struct ebb_cell cells[] = {
            in_bytes(facts, reclaim->inactive_anon),
            in_bytes(facts, reclaim->active_anon),
            in_bytes(facts, reclaim->inactive_file),
            in_bytes(facts, reclaim->active_file),
            in_bytes(facts, scopes[i].unevictable),
            is_short(reclaim, reclaim->inactive_anon, reclaim->active_anon),
            is_short(reclaim, reclaim->inactive_file, reclaim->active_file),
            ebb__cell_text(scopes[i].name),
        };

        ebb__emit_row(emit, cells);
    }
}

static const struct ebb_column LEVELS_COLUMNS[] = {
    BYTES("usage_bytes", "usage", 7, "in use"),
    BYTES("limit_bytes", "limit", 7, "its limit"),
    BYTES("high_bytes", "high", 7, "above which it reclaims without being stopped"),
    BYTES("room_bytes", "room", 9, "left until it reclaims"),
    BYTES("swap_room_bytes", "swap room", 9, "what it may still swap, and the host has room for"),
    NUMBER("swappiness", "swappiness", 10, "its own; version 2 has the host's"),
    COLUMN("is_target", "first", EBB_AS_BOOL, 5, "its limit comes first"),
    NAME("path", "cgroups", 0, "the cgroup and those above it"),
};
SECTION(LEVELS, "cgroups");

static struct ebb_cell limit_cell(const struct ebb_emit *emit, struct ebb_fact limit)
{
    if (!limit.known || limit.value != UINT64_MAX)
        return ebb__cell_fact(limit);
    return ebb__emit_is_human(emit) ? ebb__cell_text("none") : ebb__cell_unknown("no limit is set");
}

/* "none" would say that nothing is left. */
static struct ebb_cell room_cell(const struct ebb_emit *emit, struct ebb_fact room)
{
    struct ebb_cell cell = limit_cell(emit, room);

    return cell.kind == EBB_CELL_TEXT ? ebb__cell_text("unlimited") : cell;
}

/* However much a cgroup may swap, the host must have the room. */
static struct ebb_fact swap_room(const struct ebb_reclaim_facts *facts, const struct ebb_reclaim_level *level)
{
    struct ebb_fact host = facts->memory.swap_free_bytes;
    struct ebb_fact own = level->swap_room_bytes;

    return own.known && host.known && host.value < own.value ? host : own;
}

static void put_levels(struct ebb_emit *emit, const struct ebb_reclaim_facts *facts)
{
    ebb__emit_section(emit, &LEVELS);
    for (unsigned i = 0; i < facts->level_count; i++) {
        const struct ebb_reclaim_level *level = &facts->levels[i];
        const struct ebb_cell cells[] = {
            ebb__cell_fact(level->facts.usage_bytes),  limit_cell(emit, level->facts.limit_bytes),
            limit_cell(emit, level->facts.high_bytes), room_cell(emit, level->room_bytes),
            room_cell(emit, swap_room(facts, level)),  ebb__cell_fact(level->facts.swappiness),
            ebb__cell_bool(i == facts->target),        ebb__cell_text(level->path),
        };

        ebb__emit_row(emit, cells);
    }
}

/* ---- what is next ---- */

static const struct ebb_column NEXT_COLUMNS[] = {
    NAME("rule", "rule", -17, "the rule that decides"),
    COLUMN("other", "or", EBB_AS_TEXT, -17, "the rule when pages were wanted back since the last reclaim"),
    COLUMN("scans", "looks at", EBB_AS_TEXT, -8, "file, anon, both or nothing"),
    PERCENT("anon_low_percent", "anon% from", 10, "share of anonymous pages, at least"),
    PERCENT("anon_high_percent", "to", 5, "and at most"),
    NAME("scope", "next for", 0, "a node, or the memory cgroup whose limit comes first"),
};
SECTION(NEXT, "next");

static const struct ebb_column PASSES_COLUMNS[] = {
    {.key = "first_priority",
     .heading = "from",
     .as = EBB_AS_NUMBER,
     .width = 4,
     .label = true,
     .help = "the first pass has priority 12"},
    NUMBER("last_priority", "to", 4, "the last one 0"),
    COLUMN("rule", "rule", EBB_AS_TEXT, -17, "the rule that decides"),
    COLUMN("other", "or", EBB_AS_TEXT, -17, "the rule when pages were wanted back since the last reclaim"),
    PERCENT("anon_low_percent", "anon% from", 10, "share of anonymous pages, at least"),
    PERCENT("anon_high_percent", "to", 5, "and at most"),
    NUMBER("priority", "at", 4, "the first pass of them that looks at anything"),
    NUMBER("anon_low_pages", "anon from", 9, "anonymous pages that it looks at, at least"),
    NUMBER("anon_high_pages", "to", 9, "and at most"),
    NUMBER("file_low_pages", "file from", 9, "file pages that it looks at, at least"),
    NUMBER("file_high_pages", "to", 9, "and at most"),
    NAME("scope", "passes for", 0, "a node, or a memory cgroup"),
};
SECTION(PASSES, "passes");

const struct ebb_reclaim_group *ebb__reclaim_next(const struct ebb_reclaim_group *groups, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (groups[i].any)
            return &groups[i];
    return &groups[0];
}

/* Why the rules could not be asked. */
static const char *why_no_rule(const struct ebb_reclaim_facts *facts, const struct ebb_reclaim *reclaim)
{
    if (!facts->host.page_bytes.known)
        return "the size of pages is not known";
    if (!reclaim->swappiness.known)
        return "swappiness is not known";
    if (!reclaim->swap_free.known)
        return "free swap is not known";
    return "not all lists and watermarks are known";
}

static struct ebb_cell other_cell(const struct ebb_reclaim_pass *pass)
{
    return pass->other == pass->rule ? ebb__cell_unknown("it makes no difference")
                                     : ebb__cell_text(ebb__reclaim_rules[pass->other].name);
}

/* What is looked at in fact: of two kinds one may have no pages. */
static const char *scans(const struct ebb_reclaim_group *group)
{
    if (!group->any)
        return "nothing";
    if (group->pass.share_high == 0)
        return "file";
    return group->pass.share_low == 100 ? "anon" : "both";
}

static struct ebb_cell share_cell(const struct ebb_reclaim_group *group, double share)
{
    return group->any ? ebb__cell_real(share) : ebb__cell_unknown("it looks at nothing");
}

static void put_next(struct ebb_emit *emit, const struct ebb_reclaim_facts *facts,
                     const struct ebb_reclaim_scope *scopes, unsigned count)
{
    ebb__emit_section(emit, &NEXT);
    for (unsigned i = 0; i < count; i++) {
        struct ebb_reclaim_group groups[EBB_RECLAIM_PASSES];
        unsigned group_count;

        if (ebb__reclaim_groups(&scopes[i].reclaim, groups, &group_count) == 0) {
            const struct ebb_reclaim_group *next = ebb__reclaim_next(groups, group_count);
            const struct ebb_cell cells[] = {
                ebb__cell_text(ebb__reclaim_rules[next->pass.rule].name),
                other_cell(&next->pass),
                ebb__cell_text(scans(next)),
                share_cell(next, next->pass.share_low),
                share_cell(next, next->pass.share_high),
                ebb__cell_text(scopes[i].name),
            };

            ebb__emit_row(emit, cells);
        } else {
            const struct ebb_cell none = ebb__cell_unknown(why_no_rule(facts, &scopes[i].reclaim));
            const struct ebb_cell cells[] = {none, none, none, none, none, ebb__cell_text(scopes[i].name)};

            ebb__emit_row(emit, cells);
        }
    }
}

static void put_passes_of(struct ebb_emit *emit, const struct ebb_reclaim_scope *scope)
{
    struct ebb_reclaim_group groups[EBB_RECLAIM_PASSES];
    unsigned count;

    if (ebb__reclaim_groups(&scope->reclaim, groups, &count) != 0)
        return;
    for (unsigned i = 0; i < count; i++) {
        const struct ebb_reclaim_group *group = &groups[i];
        const struct ebb_cell cells[] = {
            ebb__cell_number(group->first),
            ebb__cell_number(group->last),
            ebb__cell_text(ebb__reclaim_rules[group->pass.rule].name),
            other_cell(&group->pass),
            share_cell(group, group->pass.share_low),
            share_cell(group, group->pass.share_high),
            group->any ? ebb__cell_number(group->pass.priority) : ebb__cell_unknown("none does"),
            ebb__cell_number(group->pass.anon_low),
            ebb__cell_number(group->pass.anon_high),
            ebb__cell_number(group->pass.file_low),
            ebb__cell_number(group->pass.file_high),
            ebb__cell_text(scope->name),
        };

        ebb__emit_row(emit, cells);
    }
}

static void put_passes(struct ebb_emit *emit, const struct ebb_reclaim_scope *scopes, unsigned count)
{
    ebb__emit_section(emit, &PASSES);
    for (unsigned i = 0; i < count; i++)
        put_passes_of(emit, &scopes[i]);
}

/* ---- generations ---- */

static const struct ebb_column AGES_COLUMNS[] = {
    {.key = "node",
     .heading = "generations of node",
     .as = EBB_AS_NUMBER,
     .width = 19,
     .label = true,
     .help = "the node"},
    {.key = "number",
     .heading = "number",
     .as = EBB_AS_NUMBER,
     .width = 8,
     .label = true,
     .help = "the lowest goes first"},
    COLUMN("age_ms", "age ms", EBB_AS_MS, 12, "since it was begun"),
    BYTES("anon_bytes", "anon", 7, "its anonymous pages"),
    BYTES("file_bytes", "file", 7, "its file pages"),
};
SECTION(AGES, "generations");

static void put_ages(struct ebb_emit *emit, const struct ebb_reclaim_facts *facts)
{
    ebb__emit_section(emit, &AGES);
    for (unsigned i = 0; i < facts->ages.count; i++) {
        const struct ebb_lru_gen_age *age = &facts->ages.ages[i];
        const struct ebb_cell cells[] = {
            ebb__cell_number(age->node),
            ebb__cell_number(age->number),
            ebb__cell_number(age->age_ms),
            in_bytes(facts, ebb__fact(age->anon_pages)),
            in_bytes(facts, ebb__fact(age->file_pages)),
        };

        ebb__emit_row(emit, cells);
    }
}

/* ---- swap and huge pages ---- */

static const struct ebb_column SWAPS_COLUMNS[] = {
    COLUMN("type", "swaps", EBB_AS_TEXT, -10, "file or partition"),
    BYTES("size_bytes", "size", 7, "its size"),
    BYTES("used_bytes", "used", 7, "in use"),
    NUMBER("priority", "priority", 8, "the highest is filled first"),
    COLUMN("is_deleted", "deleted", EBB_AS_BOOL, 7, "the file has no name any more"),
    NAME("name", "name", 0, "device or file"),
};
SECTION(SWAPS, "swaps");

static void put_swaps(struct ebb_emit *emit, const struct ebb_swaps *swaps)
{
    ebb__emit_section(emit, &SWAPS);
    for (unsigned i = 0; i < swaps->count; i++) {
        const struct ebb_swap *swap = &swaps->swaps[i];
        const struct ebb_cell cells[] = {
            ebb__cell_text(swap->is_file ? "file" : "partition"),
            ebb__cell_number(swap->size_bytes),
            ebb__cell_number(swap->used_bytes),
            ebb__cell_signed(swap->priority),
            ebb__cell_bool(swap->deleted),
            ebb__cell_text(swap->name),
        };

        ebb__emit_row(emit, cells);
    }
}

static const struct ebb_column HUGE_COLUMNS[] = {
    {.key = "page_bytes",
     .heading = "huge pages",
     .as = EBB_AS_BYTES,
     .width = 10,
     .label = true,
     .help = "their size"},
    {.key = "node", .heading = "node", .as = EBB_AS_NUMBER, .width = 4, .label = true, .help = "the node"},
    COLUMN("use", "use", EBB_AS_TEXT, -12, "transparent, hugetlb or both"),
    NUMBER("block_count", "blocks", 8, "how many could be had now, without moving anything"),
    BYTES("block_bytes", "in them", 7, "their memory"),
    BYTES("free_bytes", "free", 7, "all free memory of the node"),
    PERCENT("unusable_percent", "unusable%", 9, "free memory that lies in smaller blocks"),
};
SECTION(HUGE, "huge_pages");

static void put_huge_row(struct ebb_emit *emit, const struct ebb_reclaim_facts *facts, unsigned node,
                         const struct ebb_reclaim_size *size)
{
    static const char NO_BLOCKS[] = "the kernel keeps no blocks of that size: it makes them from neighbours";
    struct ebb_reclaim_blocks blocks = {0};
    uint64_t page_bytes = facts->host.page_bytes.value;
    unsigned order = 0;
    bool any;

    while (page_bytes << order < size->bytes)
        order++;
    any = ebb__reclaim_blocks(&facts->buddies, node, order, &blocks);
    const struct ebb_cell cells[] = {
        ebb__cell_number(size->bytes),
        ebb__cell_number(node),
        ebb__cell_text(!size->hugetlb ? "thp"
                       : size->thp    ? "thp, hugetlb"
                                      : "hugetlb"),
        any ? ebb__cell_number(blocks.count) : ebb__cell_unknown(NO_BLOCKS),
        any ? ebb__cell_number(blocks.count * size->bytes) : ebb__cell_unknown(NO_BLOCKS),
        any ? ebb__cell_number(blocks.free_pages * page_bytes) : ebb__cell_unknown(NO_BLOCKS),
        any ? ebb__cell_real(blocks.unusable_share) : ebb__cell_unknown(NO_BLOCKS),
    };

    ebb__emit_row(emit, cells);
}

static void put_huge(struct ebb_emit *emit, const struct ebb_reclaim_facts *facts)
{
    ebb__emit_section(emit, &HUGE);
    if (facts->buddies_error != 0 || !facts->host.page_bytes.known)
        return;
    for (unsigned n = 0; n < facts->zones.node_count; n++) {
        struct ebb_reclaim_blocks any;

        if (!ebb__reclaim_blocks(&facts->buddies, facts->zones.nodes[n].number, 0, &any))
            continue;
        for (unsigned i = 0; i < facts->size_count; i++)
            put_huge_row(emit, facts, facts->zones.nodes[n].number, &facts->sizes[i]);
    }
}

/* ---- settings ---- */

static const struct ebb_column SETTINGS_COLUMNS[] = {
    COLUMN("page_lists", "page lists", EBB_AS_TEXT, 0, "classic, or generations"),
    NUMBER("swappiness", "swappiness", 0, "the cgroup's own, else the host's"),
    PERCENT("weight_low_percent", "anonymous by it, from", 0, "of lists of the same length, at least"),
    PERCENT("weight_high_percent", "anonymous by it, to", 0, "and at most"),
    BYTES("swap_free_bytes", "free swap", 0, "on the host"),
    NUMBER("zone_reclaim_mode", "vm.zone_reclaim_mode", 0, "0: a node takes memory of others first"),
};
static const struct ebb_section SETTINGS = {
    .key = "settings", .facts = true, .columns = SETTINGS_COLUMNS, .column_count = COUNT(SETTINGS_COLUMNS)};

static const char *page_lists(const struct ebb_reclaim_facts *facts)
{
    struct ebb_fact enabled = facts->lru_gen.enabled;

    if (!enabled.known)
        return enabled.err == -ENOENT ? "classic (this kernel has no generations)"
                                      : "classic, as far as can be seen";
    return (enabled.value & 1) != 0 ? "generations" : "classic (generations are off)";
}

static void put_settings(struct ebb_emit *emit, const struct ebb_reclaim_facts *facts,
                         const struct ebb_reclaim *reclaim)
{
    struct ebb_cell low_cell = ebb__cell_unknown("this kernel sets no bounds");
    struct ebb_cell high_cell = low_cell;
    double low;
    double high;

    if (!reclaim->swappiness.known) {
        low_cell = high_cell = ebb__cell_fact(reclaim->swappiness);
    } else if (reclaim->generations) {
        low_cell = high_cell = ebb__cell_unknown("generations have no such weights");
    } else if (reclaim->bounded) {
        ebb__reclaim_weights(reclaim, reclaim->swappiness.value, &low, &high);
        low_cell = ebb__cell_real(low);
        high_cell = ebb__cell_real(high);
    }
    ebb__emit_section(emit, &SETTINGS);
    ebb__emit_row(emit, (const struct ebb_cell[]){ebb__cell_text(page_lists(facts)),
                                                  ebb__cell_fact(reclaim->swappiness), low_cell, high_cell,
                                                  ebb__cell_fact(facts->memory.swap_free_bytes),
                                                  ebb__cell_fact(facts->zone_reclaim_mode)});
}

/* ---- all of it ---- */

void ebb__reclaim_print(struct ebb_emit *emit, const struct ebb_reclaim_facts *facts)
{
    static struct ebb_reclaim_scope scopes[SCOPES_MAX]; /* large */
    bool by_host = ebb__reclaim_by_host(facts);
    unsigned first; /* of the scopes that are reclaimed */
    unsigned count = 0;

    if (facts->level_count != 0)
        ebb__reclaim_scope_of_cgroup(facts, &scopes[count++]);
    first = by_host ? count : 0;
    for (unsigned i = 0; by_host && i < facts->zones.node_count; i++)
        count += ebb__reclaim_scope_of_node(facts, i, &scopes[count]);
    ebb__emit_begin(emit);
    if (facts->level_count != 0)
        put_levels(emit, facts);
    put_lists(emit, facts, scopes, count);
    if (by_host)
        ebb__zones_put(emit, &facts->zones, facts->host.page_bytes);
    put_next(emit, facts, scopes + first, count - first);
    /* Generations go one by one, not by passes over whole lists. */
    if ((ebb__fact_or(facts->lru_gen.enabled, 0) & 1) == 0)
        put_passes(emit, scopes + first, count - first);
    else
        put_ages(emit, facts);
    put_swaps(emit, &facts->swaps);
    if (by_host)
        put_huge(emit, facts);
    if (count > first)
        put_settings(emit, facts, &scopes[first].reclaim);
    ebb__reclaim_notes(emit, facts, scopes + first, count - first);
    ebb__emit_end(emit);
}
