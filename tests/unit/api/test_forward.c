/* SPDX-License-Identifier: MIT
 *
 * Blocks of another allocator, when there is a next one to ask; and the options as the constructor reads them.
 *
 * The test itself is the next allocator: it defines the three weak functions. The environment is the test's
 * too (the linker leads ebb__os_env here), so the constructor meets it before main.
 */
#include "small_space.h"
#include "support.h"

#include "api/api.h"
#include "conf/conf.h"
#include "ebb/malloc.h"
#include "os/fake.h"
#include "stats/stats.h"

const char *__wrap_ebb__os_env(const char *name);

const char *__wrap_ebb__os_env(const char *name)
{
    return strcmp(name, "EBB_MALLOC") == 0 ? "lane:9,foreign:forward,cache_bytes:4K" : NULL;
}

static char theirs[256] __attribute__((aligned(64)));
static char moved[256];
static bool nobody; /* no next allocator */
static unsigned freed;

bool ebb__forward_free(void *p)
{
    EXPECT(nobody || p == theirs);
    freed += !nobody;
    return !nobody;
}

bool ebb__forward_realloc(void *p, size_t bytes, void **ret_block)
{
    EXPECT(nobody || (p == theirs && bytes == 50));
    if (nobody)
        return false;
    *ret_block = moved;
    return true;
}

bool ebb__forward_usable(const void *p, size_t *ret_bytes)
{
    EXPECT(nobody || p == theirs);
    *ret_bytes = 256;
    return !nobody;
}

static void options_come_from_the_environment(void)
{
    EXPECT(ebb__api_is_started());
    EXPECT_EQ(ebb_option_get("lane"), 9);
    EXPECT_EQ(ebb_option_get("cache_bytes"), 4096);
    EXPECT_EQ(ebb_option_get("foreign"), EBB_FOREIGN_FORWARD);
}

static void foreign_blocks_are_forwarded(void)
{
    EXPECT(ebb_malloc(5) != NULL);
    ebb_free(theirs);
    EXPECT_EQ(freed, 1);
    EXPECT_EQ(EBB_COUNTED(foreign_frees), 1);
    EXPECT(ebb_realloc(theirs, 50) == moved);
    EXPECT_EQ(ebb_usable_size(theirs), 256);
    EXPECT_EQ(ebb_check(), 0);
}

static void free_it(void *p)
{
    ebb_free(p);
}

static void resize_it(void *p)
{
    (void)!ebb_realloc(p, 50);
}

static void measure_it(void *p)
{
    (void)ebb_usable_size(p);
}

static void expect_foreign_dies(void)
{
    EXPECT_DIES(free_it, theirs, "ebb_free: foreign pointer 0x");
    EXPECT_DIES(resize_it, theirs, "ebb_realloc: foreign pointer 0x");
    EXPECT_DIES(measure_it, theirs, "ebb_usable_size: foreign pointer 0x");
    EXPECT_EQ(freed, 0);
}

static void nobody_to_forward_to(void)
{
    nobody = true;
    expect_foreign_dies();
}

static void foreign_abort(void)
{
    ebb__conf.foreign = EBB_FOREIGN_ABORT;
    expect_foreign_dies();
}

static void what_is_ours_is_never_forwarded(void)
{
    char *p = ebb_malloc(100);
    EXPECT_DIES(free_it, p + 16, "ebb_free: invalid pointer 0x");
    ebb_free(p);
    EXPECT_EQ(freed, 0);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(options_come_from_the_environment),
        CASE(foreign_blocks_are_forwarded),
        CASE(nobody_to_forward_to),
        CASE(foreign_abort),
        CASE(what_is_ours_is_never_forwarded),
    };
    small_reservations();
    return RUN_CASES(cases);
}
