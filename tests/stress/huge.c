/* SPDX-License-Identifier: MIT
 *
 * A peak, a fall to survivors at random places, and a wait: what the process holds then, by /proc/self/smaps_rollup.
 *
 *   huge SETTLE_S WAIT_S      prints base=KIB settled=KIB later=KIB huge=KIB pages=KIB
 *
 * base is before the first block; settled SETTLE_S after the fall; later WAIT_S after that; huge what of it is in huge pages;
 * pages what the pages that hold a living byte amount to.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCKS      400000u
#define SPANS       400u
#define KEEP_ONE_IN 50u
#define PAGE        4096u

static char *blocks[BLOCKS + SPANS];
static size_t sizes[BLOCKS + SPANS];

static long field_kib(const char *name)
{
    char line[256];
    long kib = -1;
    FILE *f = fopen("/proc/self/smaps_rollup", "r");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            kib = strtol(line + strlen(name), NULL, 10);
    if (f != NULL)
        (void)fclose(f);
    return kib;
}

static uint64_t next_random(void)
{
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static int by_value(const void *a, const void *b)
{
    uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;
    return x < y ? -1 : x > y;
}

static long live_pages_kib(void)
{
    static uintptr_t pages[4 * (BLOCKS + SPANS)];
    size_t count = 0, distinct = 0;
    for (size_t i = 0; i < BLOCKS + SPANS; i++)
        for (uintptr_t p = (uintptr_t)blocks[i] / PAGE;
             blocks[i] != NULL && p <= ((uintptr_t)blocks[i] + sizes[i] - 1) / PAGE; p++)
            if (count < sizeof(pages) / sizeof(pages[0]))
                pages[count++] = p;
    qsort(pages, count, sizeof(pages[0]), by_value);
    for (size_t i = 0; i < count; i++)
        distinct += i == 0 || pages[i] != pages[i - 1];
    return (long)(distinct * PAGE / 1024);
}

/* A second thread makes the process one that is worth a background thread from the start. */
static void *wait_for_ever(void *unused)
{
    (void)pause();
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    unsigned settle_s = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 3,
             wait_s = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 10;
    if (pthread_create(&thread, NULL, wait_for_ever, NULL) != 0)
        return 2;
    memset(blocks, 0, sizeof(blocks));
    memset(sizes, 0, sizeof(sizes));
    (void)live_pages_kib(); /* touches its table */
    long base = field_kib("Anonymous:");
    for (size_t i = 0; i < BLOCKS + SPANS; i++) {
        sizes[i] = i % 1000 == 999 ? 100000 + next_random() % 400000 : 16 + next_random() % 1500;
        if ((blocks[i] = malloc(sizes[i])) == NULL)
            return 2;
        memset(blocks[i], (int)i, sizes[i]);
    }
    for (size_t i = 0; i < BLOCKS + SPANS; i++)
        if (next_random() % KEEP_ONE_IN != 0) {
            free(blocks[i]);
            blocks[i] = NULL;
        }
    (void)sleep(settle_s);
    long settled = field_kib("Anonymous:");
    (void)sleep(wait_s);
    printf("base=%ld settled=%ld later=%ld huge=%ld pages=%ld\n", base, settled, field_kib("Anonymous:"),
           field_kib("AnonHugePages:"), live_pages_kib());
    return 0;
}
