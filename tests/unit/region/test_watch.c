/* SPDX-License-Identifier: MIT
 *
 * Watched regions without a tool: free bytes hold a pattern, and who writes there is found out.
 */
#include "region_test.h"
#include "small_space.h"

#include "os/fake.h"

static struct ebb_region *watched(void)
{
    return region_with((struct ebb_region_options){.flags = EBB_REGION_POISON});
}

/* Where the test program itself runs under a tool, the tool watches. */
static bool is_filled(const struct ebb_region *region)
{
    return ebb__region_of(region)->watch == EBB_WATCH_FILL;
}

static void nothing_old_is_left(void)
{
    struct ebb_region *region = watched();
    if (!is_filled(region))
        return;
    struct ebb_region_mark mark = ebb__region_mark(region);
    char *p = piece(region, 200);
    EXPECT(p[0] == (char)(200 & 0x7f));
    ebb__region_rollback(region, mark);
    for (unsigned i = 0; i < 200; i++)
        EXPECT((unsigned char)p[i] == 0xdb);
    for (unsigned i = 0; i < 1000; i++)
        (void)piece(region, 333);
    REGION_OK(region);
    ebb__region_reset(region, EBB_REGION_KEEP_ALL);
    REGION_OK(region);
    for (unsigned i = 0; i < 1000; i++)
        (void)piece(region, 333);
    ebb__region_destroy(region);
    expect_empty_heap();
}

static void there_is_a_gap_between_pieces(void)
{
    struct ebb_region *region = watched();
    char *a = piece(region, 16), *b = piece(region, 16);
    EXPECT(b - a == 16 + (ptrdiff_t)EBB_WATCH_GAP_BYTES);
    EXPECT(region->limit == region->cursor);
    ebb__region_destroy(region);
}

static void the_option_is_for_all(void)
{
    ebb__conf.region_poison = 1;
    struct ebb_region *region = ebb__region_create(NULL);
    EXPECT(ebb__region_of(region)->watch != EBB_WATCH_NONE);
    ebb__conf.region_poison = 0;
    ebb__region_destroy(region);
    region = ebb__region_create(NULL);
    EXPECT(ebb__track_is_on() || ebb__region_of(region)->watch == EBB_WATCH_NONE);
    ebb__region_destroy(region);
}

/* ---- late writers ---- */

static void write_after_rollback_then_alloc(void *arg)
{
    struct ebb_region *region = watched();
    struct ebb_region_mark mark = ebb__region_mark(region);
    char *p = piece(region, 100);
    (void)arg;
    ebb__region_rollback(region, mark);
    p[50] = 1;
    (void)ebb_region_alloc(region, 100);
}

static void write_after_rollback_then_reset(void *arg)
{
    struct ebb_region *region = watched();
    struct ebb_region_mark mark = ebb__region_mark(region);
    char *p = piece(region, 100);
    (void)arg;
    ebb__region_rollback(region, mark);
    p[99] = 1;
    ebb__region_reset(region, EBB_REGION_KEEP_FIRST);
}

static void write_after_rollback_then_destroy(void *arg)
{
    struct ebb_region *region = watched();
    struct ebb_region_mark mark = ebb__region_mark(region);
    char *p = piece(region, 100);
    (void)arg;
    ebb__region_rollback(region, mark);
    p[0] = 1;
    ebb__region_destroy(region);
}

static void write_behind_the_end(void *arg)
{
    struct ebb_region *region = watched();
    char *p = piece(region, 16);
    (void)arg;
    p[16] = 1;
    (void)ebb_region_alloc(region, 16);
}

static void write_into_a_kept_block(void *arg)
{
    struct ebb_region *region = watched();
    char *p = NULL;
    for (unsigned i = 0; i < 100; i++)
        p = piece(region, 300);
    (void)arg;
    ebb__region_reset(region, EBB_REGION_KEEP_LARGEST);
    p[299] = 1;
    for (unsigned i = 0; i < 100; i++)
        p = piece(region, 300);
}

static void late_writers_are_found(void)
{
    struct ebb_region *region = watched();
    if (!is_filled(region))
        return;
    EXPECT_DIES(write_after_rollback_then_alloc, NULL, "was written to while it was free");
    EXPECT_DIES(write_after_rollback_then_reset, NULL, "ebb_region_reset: ");
    EXPECT_DIES(write_after_rollback_then_destroy, NULL, "ebb_region_destroy: ");
    EXPECT_DIES(write_behind_the_end, NULL, "ebb_region_alloc: ");
    EXPECT_DIES(write_into_a_kept_block, NULL, "was written to while it was free");
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(nothing_old_is_left),
        CASE(there_is_a_gap_between_pieces),
        CASE(the_option_is_for_all),
        CASE(late_writers_are_found),
    };
    small_reservations();
    return RUN_CASES(cases);
}
