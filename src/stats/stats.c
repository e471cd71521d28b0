/* SPDX-License-Identifier: MIT
 * The page, and what its one writer does to it. */
#include "stats/stats.h"

#define KIND_COUNT false
#define KIND_GAUGE true

#define STAT(name, kind, unit, help)                                                                         \
    EBB_STATIC_ASSERT(sizeof(#name) <= EBB_WIRE_NAME_BYTES && sizeof(unit) <= EBB_WIRE_UNIT_BYTES,           \
                      #name ": name or unit is too long for the page");
#include "stats/stats.def"
#undef STAT

EBB_STATIC_ASSERT(sizeof(EBB_VERSION) <= EBB_WIRE_LIBRARY_BYTES, "the version fits the page");
EBB_STATIC_ASSERT(sizeof(struct ebb_stats_page) <= EBB_WIRE_PAGE_BYTES_MAX, "readers accept the page");

struct ebb_stats_page ebb__stats_page = {
    .header =
        {
            .magic = {'E', 'B', 'B', 'S', 'T', 'A', 'T', 'S'},
            .version = EBB_WIRE_VERSION,
            .page_bytes = sizeof(struct ebb_stats_page),
            .header_bytes = sizeof(struct ebb_wire_header),
            .summary_bytes = sizeof(struct ebb_wire_summary),
            .summary_offset = offsetof(struct ebb_stats_page, summary),
            .class_count = EBB_STATS_CLASSES,
            .class_bytes = sizeof(struct ebb_wire_class),
            .classes_offset = offsetof(struct ebb_stats_page, classes),
            .row_count = EBB_STAT_COUNT,
            .row_bytes = sizeof(struct ebb_wire_row),
            .rows_offset = offsetof(struct ebb_stats_page, rows),
            .library = EBB_VERSION,
        },
    .rows =
        {
#define STAT(name, kind, unit, help) {#name, unit, KIND_##kind, 0},
#include "stats/stats.def"
#undef STAT
        },
};

/* The name for readers; see stats.h. */
extern EBB_EXPORT struct ebb_stats_page ebb_stats_page __attribute__((alias("ebb__stats_page")));

static const struct ebb_stat_row rows[] = {
#define STAT(name, kind, unit, help) {#name, KIND_##kind, unit, help, &EBB_STAT_VALUE(name)},
#include "stats/stats.def"
#undef STAT
};

const struct ebb_stat_row *ebb__stats_rows(unsigned *ret_count)
{
    *ret_count = EBB_ARRAY_COUNT(rows);
    return rows;
}

void ebb__stats_start(uint32_t pid, uint64_t now_ms)
{
    ebb__stats_page.header.start_ms = now_ms;
    __atomic_store_n(&ebb__stats_page.header.pid, pid, __ATOMIC_RELEASE);
}

void ebb__stats_set_thread(uint32_t thread_id)
{
    __atomic_store_n(&ebb__stats_page.header.thread_id, thread_id, __ATOMIC_RELEASE);
}

/* The odd number is written before the words and the even one after them. A reader in another process has no fence that
 * would pair with these: it reads the number, the words and the number by three system calls. */
void ebb__stats_publish(const struct ebb_wire_summary *summary)
{
    uint32_t *sequence = &ebb__stats_page.header.sequence;
    uint64_t *to = (uint64_t *)&ebb__stats_page.summary;
    const uint64_t *from = (const uint64_t *)summary;
    uint32_t before =
        __atomic_load_n(sequence, __ATOMIC_RELAXED) & ~1u; /* odd only where fork interrupted us */
    __atomic_store_n(sequence, before + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    for (unsigned i = 0; i < sizeof(*summary) / sizeof(*from); i++)
        __atomic_store_n(&to[i], from[i], __ATOMIC_RELAXED);
    __atomic_store_n(sequence, before + 2, __ATOMIC_RELEASE);
}

/* The result first: who sees the count risen finds the result of that request, or of a later one. */
void ebb__stats_answer(int64_t result)
{
    struct ebb_wire_header *header = &ebb__stats_page.header;
    __atomic_store_n(&header->control_result, result, __ATOMIC_RELAXED);
    __atomic_store_n(&header->control_done, header->control_done + 1, __ATOMIC_RELEASE);
}

void ebb__stats_after_fork(uint32_t pid)
{
    const struct ebb_wire_summary never = {0};
    ebb__stats_set_thread(0);
    ebb__stats_publish(&never);
    __atomic_store_n(&ebb__stats_page.header.pid, pid, __ATOMIC_RELEASE);
}
