/* SPDX-License-Identifier: MIT
 *
 * What the allocator holds where the kernel's pages are 4, 16 and 64 KiB, over the fake kernel with its model of resident pages.
 *
 * Every figure is taken in a process of its own, which ends with it. Where blocks still live, an oracle counts the pages in which
 * one of them has a byte: less than those nobody could hold. One table is printed, then each figure is held against its bound.
 *
 * usage: pages. The seed is printed; SEED=n has the run again.
 */
#include <pthread.h>
#include <sys/mman.h>

#include "small_space.h"
#include "support.h"

#include "ebb/malloc.h"
#include "governor/governor_priv.h"
#include "heap/heap.h"
#include "os/fake.h"

#define SIZES        3u
#define THREADS      200u
#define THREAD_BYTES EBB_MIB(1)
#define PEAK_BYTES   EBB_MIB(200)
#define TICKS_MAX    4000u /* many minutes of the fake clock: a heap that does not settle by then never does */
#define BLOCKS_MAX   2000000u
#define MAP_BLOCK    EBB_KIB(4)
#define STACK_BYTES  EBB_KIB(64)

static const size_t PAGE_BYTES[SIZES] = {EBB_KIB(4), EBB_KIB(16), EBB_KIB(64)};

/* What a scenario found out. Shared with the parent. */
struct figures {
    size_t resident_bytes;
    size_t living_bytes; /* OS pages with a living byte */
};
static struct figures *figures;
static uint64_t seed;

/* ---- a program's blocks ---- */

struct block {
    char *p;
    size_t bytes;
};
static struct block blocks[BLOCKS_MAX];
static size_t block_count;

/* One byte in each of our units is enough to have the kernel hold all that a program can touch. */
static void touch(char *p, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += MAP_BLOCK)
        p[at] = 1;
    p[bytes - 1] = 1;
}

static char *make(size_t bytes)
{
    char *p = ebb_malloc(bytes);
    EXPECT_MSG(p != NULL, "%zu bytes", bytes);
    touch(p, bytes);
    return p;
}

static void add(size_t bytes)
{
    EXPECT(block_count < BLOCKS_MAX);
    blocks[block_count++] = (struct block){make(bytes), bytes};
}

/* From 16 bytes to `most`, each doubling as likely as the next. */
static size_t mixed_size(struct support_rng *rng, size_t most)
{
    size_t low = (size_t)16 << support_below(rng, ebb__log2(most / 16));
    return support_between(rng, low, 2 * low);
}

/* Frees all but those for which keep() says so. */
static void thin_out(struct support_rng *rng, bool (*keep)(struct support_rng *rng, size_t i))
{
    size_t kept = 0;
    for (size_t i = 0; i < block_count; i++)
        if (keep(rng, i))
            blocks[kept++] = blocks[i];
        else
            ebb_free(blocks[i].p);
    block_count = kept;
}

/* ---- the oracle ---- */

static int by_page(const void *a, const void *b)
{
    const struct block *x = a, *y = b;
    return x->p < y->p ? -1 : x->p > y->p;
}

/* Pages of the fake's size with a byte of the living blocks. */
static size_t living_bytes(void)
{
    uintptr_t page = ebb_fake.page_bytes, next = 0; /* pages below it are counted */
    size_t sum = 0;
    qsort(blocks, block_count, sizeof(blocks[0]), by_page);
    for (size_t i = 0; i < block_count; i++) {
        uintptr_t from = ebb__align_down((uintptr_t)blocks[i].p, page);
        uintptr_t to = ebb__align_up((uintptr_t)blocks[i].p + blocks[i].bytes, page);
        from = from > next ? from : next;
        if (from < to) {
            sum += to - from;
            next = to;
        }
    }
    return sum;
}

/* ---- upkeep ---- */

/* As the background thread does it, until it would sleep for good. */
static void settle(void)
{
    uint32_t sleep_ms;
    ebb__upkeep_reset();
    for (unsigned tick = 0; (sleep_ms = ebb__upkeep_tick()) != 0; tick++) {
        EXPECT(tick < TICKS_MAX);
        ebb_fake.now_ms += sleep_ms;
    }
}

static void take_figures(void)
{
    EXPECT_EQ(ebb_check(), 0);
    figures->resident_bytes = ebb_fake_resident_bytes();
    figures->living_bytes = living_bytes();
}

/* ---- scenarios ---- */

/* What sleep(1) asks for in a UTF-8 locale: size, and how many of it. */
static const struct {
    unsigned short bytes, count;
} TRIVIAL[] = {{5, 24},  {7, 12},  {8, 13},  {10, 1},   {26, 6},   {27, 6},   {29, 9},   {30, 6},
               {31, 5},  {32, 4},  {33, 5},  {34, 4},   {35, 5},   {36, 6},   {37, 5},   {38, 5},
               {39, 1},  {40, 6},  {41, 5},  {42, 3},   {44, 2},   {47, 2},   {48, 12},  {56, 24},
               {72, 13}, {80, 1},  {96, 2},  {104, 1},  {112, 1},  {160, 1},  {184, 1},  {208, 1},
               {424, 1}, {472, 1}, {792, 1}, {1024, 1}, {1328, 1}, {1600, 1}, {2048, 1}, {4096, 1}};

static void base(void)
{
    for (size_t i = 0; i < EBB_ARRAY_COUNT(TRIVIAL); i++)
        for (unsigned n = 0; n < TRIVIAL[i].count; n++)
            add(TRIVIAL[i].bytes);
    take_figures();
}

/* Threads that have worked, given all back, and sleep. */
static pthread_barrier_t at_rest, at_end;

static void *live(void *arg)
{
    struct support_rng rng = {seed + (uintptr_t)arg};
    char *mine[2048];
    size_t count = 0;
    for (size_t bytes = 0; bytes < THREAD_BYTES && count < EBB_ARRAY_COUNT(mine);) {
        size_t size = mixed_size(&rng, EBB_KIB(64));
        mine[count++] = make(size);
        bytes += size;
    }
    while (count != 0)
        ebb_free(mine[--count]);
    (void)pthread_barrier_wait(&at_rest);
    (void)pthread_barrier_wait(&at_end);
    ebb_fake_thread_exit();
    return NULL;
}

static void threads(bool trimmed)
{
    static pthread_t ids[THREADS];
    pthread_attr_t attr;
    EXPECT(pthread_attr_init(&attr) == 0 && pthread_attr_setstacksize(&attr, STACK_BYTES) == 0);
    EXPECT(pthread_barrier_init(&at_rest, NULL, THREADS + 1) == 0);
    EXPECT(pthread_barrier_init(&at_end, NULL, THREADS + 1) == 0);
    ebb_fake.threaded = true;
    EXPECT(ebb__os_barrier_init() == 0);
    for (unsigned t = 0; t < THREADS; t++)
        EXPECT(pthread_create(&ids[t], &attr, live, (void *)(uintptr_t)t) == 0);
    (void)pthread_barrier_wait(&at_rest);
    settle();
    if (trimmed)
        (void)ebb__governor_trim(0);
    EXPECT_MSG(ebb__cache_threads() == 0, "%u caches were left", ebb__cache_threads());
    take_figures();
    (void)pthread_barrier_wait(&at_end);
    for (unsigned t = 0; t < THREADS; t++)
        EXPECT(pthread_join(ids[t], NULL) == 0);
}

static void threads_that_sleep(void)
{
    threads(false);
}

static void threads_trimmed(void)
{
    threads(true);
}

#define DOUBLINGS 14u /* from 16 bytes to 256 KiB */

/* Equal bytes of each doubling, side by side. */
static void fill_to_peak(struct support_rng *rng)
{
    size_t sums[DOUBLINGS] = {0};
    for (;;) {
        unsigned least = 0;
        for (unsigned d = 1; d < DOUBLINGS; d++)
            least = sums[d] < sums[least] ? d : least;
        if (sums[least] >= PEAK_BYTES / DOUBLINGS)
            return;
        size_t bytes = support_between(rng, (size_t)16 << least, (size_t)32 << least);
        sums[least] += bytes;
        add(bytes);
    }
}

static bool none(struct support_rng *rng, size_t i)
{
    (void)rng;
    (void)i;
    return false;
}

static bool every_second(struct support_rng *rng, size_t i)
{
    (void)rng;
    return i % 2 == 0;
}

static bool one_percent(struct support_rng *rng, size_t i)
{
    (void)i;
    return support_below(rng, 100) == 0;
}

static bool five_percent(struct support_rng *rng, size_t i)
{
    (void)i;
    return support_below(rng, 20) == 0;
}

static void peak(bool (*keep)(struct support_rng *rng, size_t i))
{
    struct support_rng rng = {seed};
    EXPECT(ebb__os_barrier_init() == 0);
    fill_to_peak(&rng);
    thin_out(&rng, keep);
    settle();
    take_figures();
}

static void all_freed(void)
{
    peak(none);
}

static void all_freed_and_trimmed(void)
{
    peak(none);
    (void)ebb__governor_trim(0);
    take_figures();
}

static void survivors_1(void)
{
    peak(one_percent);
}

static void survivors_5(void)
{
    peak(five_percent);
}

/* `count` blocks of about so many bytes, every second one freed. */
static void checkerboard(size_t bytes, size_t count)
{
    struct support_rng rng = {seed};
    EXPECT(ebb__os_barrier_init() == 0);
    for (size_t i = 0; i < count; i++)
        add(bytes - bytes / 20 + support_below(&rng, bytes / 10));
    thin_out(&rng, every_second);
    settle();
    take_figures();
}

static void board_20k(void)
{
    checkerboard(EBB_KIB(20), 6000);
}

static void board_132k(void)
{
    checkerboard(EBB_KIB(132), 1200);
}

/* ---- the table ---- */

/* What a figure is held against: the same with 4 KiB pages, or the pages with a living byte. */
enum against { SMALL_PAGES, LIVING_PAGES };

/* A figure is within bounds when it meets the target, or is so few OS pages. Two hold the metadata at the least, and where pages
 * are large a fifth of what a small process holds with small ones is less than a page. Whether a page of descriptors stays is
 * a matter of the order in which extents become free. */
static const struct row {
    const char *name;
    void (*run)(void);
    enum against against;
    unsigned target_percent;
    unsigned pages[SIZES];
    size_t kept_bytes; /* that the policy may keep or not: the figure of small pages counts as no less */
} ROWS[] = {
    {"base", base, SMALL_PAGES, 120, {0, 9, 4}, 0},
    {"200 threads asleep", threads_that_sleep, SMALL_PAGES, 120, {0, 100, 28}, EBB_KEEP_FLOOR_BYTES},
    {"the same, trimmed", threads_trimmed, SMALL_PAGES, 120, {0, 8, 5}, 0},
    {"all freed", all_freed, SMALL_PAGES, 120, {0, 8, 4}, 0},
    {"the same, trimmed", all_freed_and_trimmed, SMALL_PAGES, 120, {0, 8, 4}, 0},
    {"checkerboard 20 KiB", board_20k, LIVING_PAGES, 105, {0}, 0},
    {"checkerboard 132 KiB", board_132k, LIVING_PAGES, 105, {0}, 0},
    {"1 % survive", survivors_1, LIVING_PAGES, 110, {0}, 0},
    {"5 % survive", survivors_5, LIVING_PAGES, 110, {0}, 0},
};
#define ROW_COUNT EBB_ARRAY_COUNT(ROWS)

/* The scenario in a child, for a heap that nobody has touched. */
static struct figures measure(const struct row *row, size_t page_bytes)
{
    int status = 0;
    *figures = (struct figures){0};
    (void)fflush(NULL);
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        (void)alarm(SUPPORT_CASE_LIMIT_S);
        ebb_fake.page_bytes = page_bytes;
        row->run();
        _exit(0);
    }
    EXPECT(waitpid(pid, &status, 0) == pid);
    EXPECT_MSG(status == 0, "%s at %zu KiB: status 0x%x", row->name, page_bytes >> 10, (unsigned)status);
    return *figures;
}

static size_t percent(size_t part, size_t whole)
{
    return whole == 0 ? 0 : ebb__div_up(part * 100, whole);
}

/* One row with all page sizes. Returns how many figures are out of bounds. */
static unsigned show(const struct row *row)
{
    struct figures small = {0};
    unsigned wrong = 0;
    for (unsigned s = 0; s < SIZES; s++) {
        struct figures f = measure(row, PAGE_BYTES[s]);
        small = s == 0 ? f : small;
        size_t of_living = percent(f.resident_bytes, f.living_bytes);
        size_t of_small = percent(f.resident_bytes, ebb__max(small.resident_bytes, row->kept_bytes));
        size_t is = row->against == SMALL_PAGES ? of_small : of_living;
        (void)printf("%-22s%6zu%10zu%10zu%10zu%10zu\n", row->name, PAGE_BYTES[s] >> 10,
                     f.resident_bytes >> 10, f.living_bytes >> 10, of_living, of_small);
        if (is <= row->target_percent)
            continue;
        size_t pages = f.resident_bytes / PAGE_BYTES[s];
        (void)printf("%22smisses the target of %u %%: measured %zu %%, %zu OS pages\n", "",
                     row->target_percent, is, pages);
        wrong += pages > row->pages[s];
    }
    return wrong;
}

int main(void)
{
    unsigned wrong = 0;
    small_reservations();
    seed = support_seed("pages");
    figures = mmap(NULL, sizeof(*figures), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT(figures != MAP_FAILED);
    (void)printf("%-22s%6s%10s%10s%10s%10s\n", "KiB; percent", "pages", "resident", "living", "/living",
                 "/4 KiB");
    for (size_t i = 0; i < ROW_COUNT; i++)
        wrong += show(&ROWS[i]);
    EXPECT_EQ(wrong, 0);
    return 0;
}
