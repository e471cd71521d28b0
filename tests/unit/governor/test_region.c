/* SPDX-License-Identifier: MIT
 *
 * What regions keep, and the background thread that comes for it.
 */
#include "governor_test.h"

#include "region/region.h"

static struct ebb_region *region;

static size_t kept(void)
{
    struct ebb_region_stats s;
    ebb__region_stats(region, &s);
    return s.kept_bytes;
}

/* Uses some blocks of 8 to 64 KiB, and keeps them. */
static void use(void)
{
    for (unsigned i = 0; i < 100; i++)
        EXPECT(ebb__region_alloc(region, 1000, 1) != NULL);
    ebb__region_reset(region, EBB_REGION_KEEP_ALL);
}

static unsigned uses;

static void use_while_it_naps(void)
{
    if (uses >= 20)
        return;
    uses++;
    EXPECT(kept() != 0); /* a region at work keeps what it has */
    use();
}

/* The region is all that the process has to give. */
static void idle_regions_are_emptied(void)
{
    start();
    region = ebb__region_create(NULL);
    use();
    serve();
    EXPECT_EQ(ebb_fake.threads_started, 1);
    while_napping = use_while_it_naps;
    while_asleep = finish_at_once;
    uint64_t start_ms = ebb_fake.now_ms;
    ebb_fake_thread_run();
    EXPECT_EQ(uses, 20);
    EXPECT_EQ(kept(), 0);
    EXPECT(!ebb__region_is_any_kept());
    EXPECT_MSG(ebb_fake.now_ms - start_ms < 20 * 2000 + 6000, "%" PRIu64 " ms", ebb_fake.now_ms - start_ms);
    EXPECT_EQ(ebb__region_check(region), 0);
}

static void use_and_serve(unsigned nth)
{
    if (nth == 2) {
        EXPECT_EQ(kept(), 0);
        finish();
        return;
    }
    EXPECT_EQ(atomic_load(&ebb__governor_awake), 0);
    use();
    serve();
    EXPECT_EQ(ebb_fake.wakes, 1);
}

/* The thread sleeps for good; a region that keeps something wakes it. */
static void a_sleeper_is_woken(void)
{
    start();
    region = ebb__region_create(NULL);
    take(60);
    give(60);
    serve();
    while_asleep = use_and_serve;
    ebb_fake_thread_run();
    EXPECT_EQ(kept(), 0);
}

/* Without the thread who comes by in a slow path does it, but not at once. */
static void pieces_do_it_too(void)
{
    ebb__conf.bg = 0;
    start();
    region = ebb__region_create(NULL);
    use();
    size_t before = kept();
    for (unsigned i = 0; i < 40; i++) {
        ebb_fake.now_ms += 10;
        serve();
    }
    EXPECT_EQ(kept(), before);
    for (unsigned i = 0; i < 150; i++) {
        ebb_fake.now_ms += 10;
        serve();
    }
    EXPECT_EQ(kept(), 0);
}

static void a_trim_does_it_at_once(void)
{
    start();
    region = ebb__region_create(NULL);
    use();
    EXPECT(kept() != 0);
    (void)ebb__governor_trim(0);
    EXPECT_EQ(kept(), 0);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(idle_regions_are_emptied),
        CASE(a_sleeper_is_woken),
        CASE(pieces_do_it_too),
        CASE(a_trim_does_it_at_once),
    };
    small_reservations();
    return RUN_CASES(cases);
}
