/* SPDX-License-Identifier: MIT
 *
 * ebb-squeeze: keeps the same number of bytes alive, in blocks of other and other sizes.
 *
 *   ebb-squeeze [LIVE_MB [SHIFTS]]       default: 200 MB (of 1,000,000 bytes), 6 shifts
 *
 * Each shift frees every second block, so that half of the bytes are left with holes between them, and at once takes as many bytes
 * again in blocks of the next size, which do not fit into the holes. So the program never asks for more than LIVE_MB; what it costs
 * beyond that is what its allocator keeps. All blocks are written to. It prints a line for each shift, and at the end the most that
 * was ever alive, counted by itself, and its peak RSS, counted by the kernel.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "rng.h"

struct sizes {
    uint32_t least, most;
};

/* From buffers to results and back; no two neighbours have a size in common. Nothing is smaller than four pages: holes between blocks
 * that are much smaller than a page can serve nobody, whatever the allocator. */
static const struct sizes SHIFTS[] = {
    {20000, 100000}, {300000, 300000}, {16000, 32000}, {1500000, 2500000}, {40000, 80000}, {500000, 900000},
};
#define SHIFT_COUNT (sizeof(SHIFTS) / sizeof(SHIFTS[0]))

struct block {
    unsigned char *at;
    uint32_t bytes;
};

static struct block *blocks;
static size_t count, room;
static uint64_t live, live_peak;
static struct rng random_numbers;

static int take(uint32_t bytes)
{
    unsigned char *at = malloc(bytes);

    if (at == NULL)
        return -1;
    memset(at, (int)(count & 0xff), bytes);
    blocks[count].at = at;
    blocks[count++].bytes = bytes;
    live += bytes;
    if (live > live_peak)
        live_peak = live;
    return 0;
}

/* Every second one, in the order of their making; the others move together. */
static int free_half(void)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        if (blocks[i].at[blocks[i].bytes - 1] != blocks[i].at[0])
            return -1;
        if (i % 2 == 0) {
            blocks[kept++] = blocks[i];
            continue;
        }
        live -= blocks[i].bytes;
        free(blocks[i].at);
    }
    count = kept;
    return 0;
}

static int fill(uint64_t goal, const struct sizes *sizes)
{
    for (;;) {
        uint32_t bytes = rng_between(&random_numbers, sizes->least, sizes->most);

        if (live + bytes > goal || count == room)
            return 0;
        if (take(bytes) != 0)
            return -1;
    }
}

static long rss_kib(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long pages = 0;

    if (file == NULL || fscanf(file, "%*d %ld", &pages) != 1)
        pages = 0;
    if (file != NULL)
        fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    uint64_t goal = (argc > 1 ? strtoull(argv[1], NULL, 10) : 200) * 1000000;
    unsigned long shifts = argc > 2 ? strtoul(argv[2], NULL, 10) : SHIFT_COUNT - 1;
    struct rusage usage;
    double began;

    if (goal == 0 || argc > 3) {
        fprintf(stderr, "usage: ebb-squeeze [LIVE_MB [SHIFTS]]\n");
        return 2;
    }
    rng_init(&random_numbers, 1, 0);
    room = goal / 200;
    blocks = calloc(room, sizeof(*blocks)); /* touched as far as it is used */
    began = now_s();
    for (unsigned long shift = 0; blocks != NULL && shift <= shifts; shift++) {
        const struct sizes *sizes = &SHIFTS[shift % SHIFT_COUNT];

        if (shift != 0 && free_half() != 0) {
            fprintf(stderr, "ebb-squeeze: a block is not what it was\n");
            return 3;
        }
        if (fill(goal, sizes) != 0) {
            fprintf(stderr, "ebb-squeeze: no memory with %" PRIu64 " bytes alive\n", live);
            return 1;
        }
        printf("%5.2f s  blocks of %7" PRIu32 " to %7" PRIu32
               " bytes  %6zu alive with %5.1f MB  RSS %5.1f MB\n",
               now_s() - began, sizes->least, sizes->most, count, (double)live / 1e6,
               (double)rss_kib() * 1.024e-3);
        fflush(stdout);
    }
    getrusage(RUSAGE_SELF, &usage);
    printf("alive at most %.1f MB, RSS at most %.1f MB\n", (double)live_peak / 1e6,
           (double)usage.ru_maxrss * 1.024e-3);
    return blocks == NULL;
}
