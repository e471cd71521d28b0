/* SPDX-License-Identifier: MIT
 *
 * A program that reads what it has given back, or past the end of what it has, in the way that its argument says; watch.py runs it
 * under AddressSanitizer and valgrind, which must say so, and without either, where it must go through.
 */
#include <ebb/region.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct ebb_region *region;
static struct ebb_region_mark start;

/* Pieces of several blocks; returns one of the last block's. */
static char *fill(void)
{
    char *p = NULL;
    for (unsigned i = 0; i < 500; i++) {
        p = ebb_region_alloc(region, 100 + i % 3);
        if (p == NULL)
            exit(3);
        memset(p, 'x', 100 + i % 3);
    }
    return p;
}

static int look(const volatile char *p)
{
    return *p == 'x';
}

static int proper(void)
{
    for (unsigned i = 0; i < 50; i++) {
        (void)look(fill());
        if (i % 2 == 0)
            ebb_region_rollback(region, start);
        else
            ebb_region_reset(region, (enum ebb_region_keep)(i / 2 % 3));
        start = ebb_region_mark(region);
    }
    char *p = ebb_region_alloc_aligned(region, 256, 1000);
    memset(p, 1, 1000);
    if (ebb_region_calloc(region, 10, 10) == NULL || ebb_region_strdup(region, "text") == NULL ||
        ebb_region_alloc(region, 3 << 20) == NULL || ebb_region_check(region) != 0)
        exit(3);
    ebb_region_destroy(region);
    /* What the region had is anybody's again. */
    for (unsigned i = 0; i < 2000; i++) {
        char *block = ebb_malloc(1 + i * 16 % 40000);
        memset(block, 2, 1 + i * 16 % 40000);
        ebb_free(block);
    }
    return 0;
}

static int after_reset(void)
{
    const char *p = fill();
    ebb_region_reset(region, EBB_REGION_KEEP_ALL);
    return look(p);
}

static int after_reset_in_the_first_block(void)
{
    const char *p = ebb_region_strdup(region, "x");
    ebb_region_reset(region, EBB_REGION_KEEP_FIRST);
    return look(p);
}

static int after_rollback(void)
{
    const char *p = fill();
    ebb_region_rollback(region, start);
    return look(p);
}

static int past_the_end(void)
{
    const char *p = fill();
    return look(p + 16 * 7);
}

static int between_two(void)
{
    const char *p = ebb_region_memdup(region, "xxxxxxxxxxxxxxxx", 16);
    (void)ebb_region_memdup(region, "xxxxxxxxxxxxxxxx", 16);
    return look(p + 20);
}

static int not_handed_out(void)
{
    const char *p = ebb_region_alloc(region, 40);
    return look(p + 500);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(void);
    } ways[] = {
        {"proper", proper},
        {"after-reset", after_reset},
        {"after-reset-in-the-first-block", after_reset_in_the_first_block},
        {"after-rollback", after_rollback},
        {"past-the-end", past_the_end},
        {"between-two", between_two},
        {"not-handed-out", not_handed_out},
    };
    region = ebb_region_create(NULL);
    if (region == NULL || argc != 2)
        return 2;
    start = ebb_region_mark(region);
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
        if (strcmp(argv[1], ways[i].name) == 0) {
            (void)ways[i].run();
            puts("went through");
            return 0;
        }
    return 2;
}
