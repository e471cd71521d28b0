/* SPDX-License-Identifier: MIT
 *
 * Decoding the stats page: pages of this version, of later ones, and what is no page.
 */
#include "support.h"

#include "wire/stats_page.h"

/* A page with gaps where later versions may have more: longer header, summary and entries. */
#define EXTRA 16u

struct wide_class {
    struct ebb_wire_class known;
    uint64_t extra[8];
};
struct wide_row {
    struct ebb_wire_row known;
    uint64_t extra[2];
};

struct page {
    struct ebb_wire_header header;
    uint64_t more_header[2];
    struct ebb_wire_summary summary;
    uint64_t more_summary;
    struct wide_row rows[3];
    struct wide_class classes[2];
};

static struct page make(void)
{
    struct page page = {
        .header =
            {
                .version = EBB_WIRE_VERSION + 1,
                .page_bytes = sizeof(struct page),
                .header_bytes = sizeof(struct ebb_wire_header) + EXTRA,
                .summary_bytes = sizeof(struct ebb_wire_summary) + 8,
                .summary_offset = offsetof(struct page, summary),
                .class_count = 2,
                .class_bytes = sizeof(struct wide_class),
                .classes_offset = offsetof(struct page, classes),
                .row_count = 3,
                .row_bytes = sizeof(struct wide_row),
                .rows_offset = offsetof(struct page, rows),
                .pid = 12,
                .thread_id = 13,
                .sequence = 8,
                .library = "1.2.3",
                .start_ms = 1000,
                .control_done = 4,
                .control_result = -EINVAL,
            },
        .more_header = {99, 99},
        .summary = {.updated_ms = 2000, .ticks = 3, .level = 1, .live_bytes = 4, .cached_blocks = 5},
        .rows = {{{"slabs_made", "slabs", 0, 7}, {0}},
                 {{"a_row_of_a_later_version_of_ebb", "units", 0, 8}, {0}},
                 {{"dirty_bytes", "bytes", 1, UINT64_MAX}, {0}}},
        .classes = {{{.bytes = 0}, {0}},
                    {{.bytes = 16, .internal = 1, .taken_blocks = 10, .given_blocks = 3}, {0}}},
    };
    memcpy(page.header.magic, EBB_WIRE_PAGE_MAGIC, sizeof(page.header.magic));
    return page;
}

static void a_later_page_is_readable(void)
{
    struct page page = make();
    struct ebb_wire_view view;
    struct ebb_wire_row_view row;
    struct ebb_wire_class c;
    EXPECT_EQ(ebb__wire_decode(&page, sizeof(page), &view), 0);
    EXPECT(view.version == EBB_WIRE_VERSION + 1 && view.pid == 12 && view.thread_id == 13 && !view.torn);
    EXPECT(view.sequence == 8 && view.start_ms == 1000 && view.control_done == 4);
    EXPECT_EQ(view.control_result, -EINVAL);
    EXPECT(strcmp(view.library, "1.2.3") == 0);
    EXPECT(view.summary.updated_ms == 2000 && view.summary.cached_blocks == 5 && view.summary.level == 1);
    EXPECT(view.row_count == 3 && view.class_count == 2);
    ebb__wire_row(&view, 0, &row);
    EXPECT(strcmp(row.name, "slabs_made") == 0 && strcmp(row.unit, "slabs") == 0 && !row.is_gauge &&
           row.value == 7);
    EXPECT(ebb__wire_find(&view, "dirty_bytes", &row) && row.is_gauge && row.value == UINT64_MAX);
    EXPECT(ebb__wire_find(&view, "a_row_of_a_later_version_of_ebb", &row) && row.value == 8);
    EXPECT(!ebb__wire_find(&view, "none", &row));
    ebb__wire_class(&view, 1, &c);
    EXPECT(c.bytes == 16 && c.internal == 1 && c.taken_blocks == 10 && c.given_blocks == 3);
}

static void a_page_need_not_be_aligned(void)
{
    struct page page = make();
    static char shifted[sizeof(struct page) + 1];
    struct ebb_wire_view view;
    struct ebb_wire_row_view row;
    memcpy(shifted + 1, &page, sizeof(page));
    EXPECT_EQ(ebb__wire_decode(shifted + 1, sizeof(page), &view), 0);
    EXPECT(ebb__wire_find(&view, "slabs_made", &row) && row.value == 7);
}

static void the_size_comes_from_the_header(void)
{
    struct page page = make();
    struct ebb_wire_view view = {.version = 77};
    size_t bytes = 0;
    EXPECT_EQ(ebb__wire_page_bytes(&page, sizeof(page.header), &bytes), 0);
    EXPECT_EQ(bytes, sizeof(page));
    for (size_t n = 0; n < sizeof(page); n++) {
        int err = ebb__wire_decode(&page, n, &view);
        EXPECT_MSG(err == -EMSGSIZE, "%zu bytes: %d", n, err);
    }
    EXPECT_EQ(view.version, 77);
}

static void a_summary_in_writing_is_torn(void)
{
    struct page page = make();
    struct ebb_wire_view view;
    page.header.sequence = UINT32_MAX;
    EXPECT_EQ(ebb__wire_decode(&page, sizeof(page), &view), 0);
    EXPECT(view.torn && view.sequence == UINT32_MAX);
}

static void names_are_printable_and_end(void)
{
    struct page page = make();
    struct ebb_wire_view view;
    struct ebb_wire_row_view row;
    memset(page.header.library, '\x1b', sizeof(page.header.library));
    memset(page.rows[0].known.name, 'x', sizeof(page.rows[0].known.name));
    memset(page.rows[0].known.unit, '\n', sizeof(page.rows[0].known.unit));
    memset(page.rows[1].known.name, 0, sizeof(page.rows[1].known.name));
    EXPECT_EQ(ebb__wire_decode(&page, sizeof(page), &view), 0);
    EXPECT(strcmp(view.library, "????????????????") == 0);
    ebb__wire_row(&view, 0, &row);
    EXPECT(strlen(row.name) == EBB_WIRE_NAME_BYTES && strcmp(row.unit, "????????????") == 0);
    ebb__wire_row(&view, 1, &row);
    EXPECT(strcmp(row.name, "?") == 0);
}

static int with(size_t offset, uint32_t value)
{
    struct page page = make();
    struct ebb_wire_view view;
    memcpy((char *)&page + offset, &value, sizeof(value));
    return ebb__wire_decode(&page, sizeof(page), &view);
}

#define WITH(field, value) with(offsetof(struct ebb_wire_header, field), (uint32_t)(value))

static void impossible_sizes_are_refused(void)
{
    EXPECT_EQ(WITH(magic, 0x12345678), -EPROTO);
    EXPECT_EQ(WITH(version, 0), -EBADMSG);
    EXPECT_EQ(WITH(header_bytes, sizeof(struct ebb_wire_header) - 8), -EBADMSG);
    EXPECT_EQ(WITH(header_bytes, sizeof(struct page) + 8), -EBADMSG);
    EXPECT_EQ(WITH(page_bytes, 8), -EBADMSG);
    EXPECT_EQ(WITH(page_bytes, EBB_WIRE_PAGE_BYTES_MAX + 1), -EBADMSG);
    EXPECT_EQ(WITH(page_bytes, sizeof(struct page) + 8), -EMSGSIZE);
    EXPECT_EQ(WITH(page_bytes, sizeof(struct page) - 8), -EBADMSG);
    static const uint32_t counts[] = {100, EBB_WIRE_ENTRIES_MAX, EBB_WIRE_ENTRIES_MAX + 1, 0x10000000,
                                      UINT32_MAX};
    static const uint32_t offsets[] = {0,          8,         7, sizeof(struct page), sizeof(struct page) + 8,
                                       0xfffffff8, UINT32_MAX};
    static const uint32_t sizes[] = {0, 8, 57, 0x80000000, 0xfffffff8, UINT32_MAX};
    for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        EXPECT(WITH(row_count, counts[i]) == -EBADMSG && WITH(class_count, counts[i]) == -EBADMSG);
    for (unsigned i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++)
        EXPECT(WITH(rows_offset, offsets[i]) == -EBADMSG && WITH(classes_offset, offsets[i]) == -EBADMSG &&
               WITH(summary_offset, offsets[i]) == -EBADMSG);
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        EXPECT(WITH(row_bytes, sizes[i]) == -EBADMSG && WITH(class_bytes, sizes[i]) == -EBADMSG &&
               WITH(summary_bytes, sizes[i]) == -EBADMSG);
    EXPECT_EQ(WITH(row_count, 0), 0);
    EXPECT_EQ(WITH(class_count, 0), 0);
}

/* Whatever the header says, what is accepted stays inside the bytes; a sanitizer or valgrind sees a step outside. */
static void damage_never_leads_outside(void)
{
    struct support_rng rng = {support_seed("page")};
    unsigned accepted = 0;
    for (unsigned round = 0; round < 100000; round++) {
        struct page page = make();
        struct ebb_wire_view view;
        for (size_t hits = support_between(&rng, 1, 3); hits > 0; hits--) {
            size_t at = 8 + 4 * support_below(&rng, (sizeof(struct ebb_wire_header) - 8) / 4);
            uint32_t value = (uint32_t)support_next(&rng) >> support_below(&rng, 32);
            memcpy((char *)&page + at, &value, sizeof(value));
        }
        size_t n = support_between(&rng, sizeof(page) - 64, sizeof(page));
        char *copy = malloc(n);
        EXPECT(copy != NULL);
        memcpy(copy, &page, n);
        if (ebb__wire_decode(copy, n, &view) == 0) {
            accepted++;
            for (unsigned i = 0; i < view.row_count; i++) {
                struct ebb_wire_row_view row;
                EXPECT((uint64_t)view.rows_offset + (i + 1) * (uint64_t)view.row_bytes <= n);
                ebb__wire_row(&view, i, &row);
                EXPECT(row.name[0] != '\0');
            }
            for (unsigned i = 0; i < view.class_count; i++) {
                struct ebb_wire_class c;
                EXPECT((uint64_t)view.classes_offset + (i + 1) * (uint64_t)view.class_bytes <= n);
                ebb__wire_class(&view, i, &c);
            }
        }
        free(copy);
    }
    EXPECT(accepted > 100);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(a_later_page_is_readable),       CASE(a_page_need_not_be_aligned),
        CASE(the_size_comes_from_the_header), CASE(a_summary_in_writing_is_torn),
        CASE(names_are_printable_and_end),    CASE(impossible_sizes_are_refused),
        CASE(damage_never_leads_outside),
    };
    return RUN_CASES(cases);
}
