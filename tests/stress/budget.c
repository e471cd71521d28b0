/* SPDX-License-Identifier: MIT
 *
 * The whole library under one budget that never rests: threads that come and go allocate, charge accounts below the heap and below the
 * process, directly and by credit, and use regions with an account, while one thread changes limits and another one reclaims. In
 * the end every sum is what the threads hold, to the byte.
 *
 * STRESS_SECONDS (2) sets the time, TEST_SEED repeats a run as far as threads can be repeated.
 */
#include "conform/conform.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <ebb/budget.h>
#include <ebb/malloc.h>
#include <ebb/region.h>

enum { WORKERS = 8, BLOCKS = 64, REGIONS = 4, LIFE_STEPS = 400, STAMP_BYTES = 4096 };
#define KIB        ((size_t)1 << 10)
#define MIB        ((size_t)1 << 20)
#define PAGE_BYTES (16 * KIB)

/* What lives longer than the threads that use it, one after the other. */
struct worker {
    pthread_t thread;
    uint64_t random;
    struct ebb_budget_account *account; /* below `users`, below the heap */
    struct ebb_region *regions[REGIONS];
    struct block {
        unsigned char *at;
        size_t bytes;
        uint64_t tag;
    } blocks[BLOCKS];
    size_t charged_bytes; /* for blocks */
};

static struct worker workers[WORKERS];
static struct ebb_budget_account *users, *pool;
static _Atomic size_t pool_pages;
static _Atomic uint64_t refused, reclaimed, lives;
static _Atomic bool over;
static uint64_t until_ns;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- charging ---- */

static bool charge(struct ebb_budget_account *account, size_t bytes, uint64_t *random)
{
    int rc = conform_random(random) % 3 == 0 ? ebb_budget_charge(account, bytes)
                                             : ebb_budget_charge_credit(account, bytes);
    CHECK(rc == 0 || rc == -ENOMEM, "%d", rc);
    atomic_fetch_add(&refused, rc != 0);
    return rc == 0;
}

static void uncharge(struct ebb_budget_account *account, size_t bytes, uint64_t *random)
{
    if (conform_random(random) % 3 == 0)
        ebb_budget_uncharge(account, bytes);
    else
        ebb_budget_uncharge_credit(account, bytes);
}

/* ---- the pool, which gives way ---- */

static void fill_pool(uint64_t *random)
{
    size_t pages = conform_between(random, 1, 40);
    if (charge(pool, pages * PAGE_BYTES, random))
        atomic_fetch_add(&pool_pages, pages);
}

static size_t take_pages(size_t wanted)
{
    size_t have = atomic_load(&pool_pages), part;
    do
        part = wanted < have ? wanted : have;
    while (!atomic_compare_exchange_weak(&pool_pages, &have, have - part));
    return part;
}

static size_t pool_estimate(void *unused)
{
    (void)unused;
    return atomic_load(&pool_pages) * PAGE_BYTES;
}

static size_t pool_shrink(void *unused, size_t bytes, enum ebb_budget_urgency urgency, uint64_t deadline_ns)
{
    size_t pages = take_pages((bytes + PAGE_BYTES - 1) / PAGE_BYTES);
    (void)unused;
    (void)urgency;
    (void)deadline_ns;
    ebb_budget_uncharge(pool, pages * PAGE_BYTES);
    return pages * PAGE_BYTES;
}

/* ---- a thread ---- */

static size_t block_bytes(uint64_t *random)
{
    uint64_t choice = conform_random(random) % 100;
    return conform_between(random, 1, choice < 80 ? 2000 : choice < 97 ? 100 * KIB : 3 * MIB);
}

static void free_block(struct worker *w, struct block *b)
{
    CHECK(conform_stamp_differs(b->at, b->bytes, STAMP_BYTES, b->tag) == b->bytes);
    ebb_free(b->at);
    uncharge(w->account, b->bytes, &w->random);
    w->charged_bytes -= b->bytes;
    b->at = NULL;
}

static void use_block(struct worker *w)
{
    struct block *b = &w->blocks[conform_random(&w->random) % BLOCKS];
    if (b->at != NULL) {
        free_block(w, b);
        return;
    }
    b->bytes = block_bytes(&w->random);
    b->tag = conform_random(&w->random);
    if (!charge(w->account, b->bytes, &w->random))
        return;
    b->at = ebb_malloc(b->bytes);
    if (b->at == NULL) {
        atomic_fetch_add(&refused, 1);
        uncharge(w->account, b->bytes, &w->random);
        return;
    }
    w->charged_bytes += b->bytes;
    conform_stamp(b->at, b->bytes, STAMP_BYTES, b->tag);
}

static void use_region(struct worker *w)
{
    const struct ebb_region_options options = {
        .size_of_struct = sizeof(options),
        .account = w->account,
        .flags = conform_random(&w->random) % 8 == 0 ? EBB_REGION_KEEPS_IDLE : 0,
    };
    struct ebb_region **at = &w->regions[conform_random(&w->random) % REGIONS];
    if (*at == NULL && (*at = ebb_region_create(&options)) == NULL)
        return;
    struct ebb_region_mark mark = ebb_region_mark(*at);
    for (size_t n = conform_between(&w->random, 1, 60); n != 0; n--) {
        size_t bytes = conform_between(&w->random, 1, n % 16 == 0 ? 100 * KIB : 3000);
        unsigned char *piece = ebb_region_alloc(*at, bytes);
        if (piece != NULL)
            conform_stamp(piece, bytes, STAMP_BYTES, n);
        else
            atomic_fetch_add(&refused, 1);
    }
    switch (conform_random(&w->random) % 4) {
    case 0:
        ebb_region_destroy(*at);
        *at = NULL;
        break;
    case 1:
        ebb_region_rollback(*at, mark);
        break;
    default:
        ebb_region_reset(*at, (enum ebb_region_keep)(conform_random(&w->random) % 3));
    }
}

/* A limit below what is held refuses; what is drawn meanwhile is charged, and there is no charge meanwhile. */
static void reserve(struct worker *w)
{
    size_t bytes = conform_between(&w->random, 1, MIB);
    if (ebb_budget_reserve(w->account, bytes) == 0)
        CHECK(ebb_budget_release(w->account, SIZE_MAX) == bytes);
}

static void look(struct worker *w)
{
    struct ebb_budget_stats s = {.size_of_struct = sizeof(s)};
    struct ebb_stats heap = {.size_of_struct = sizeof(heap)};
    CHECK(ebb_budget_stats(w->account, &s) == 0 && s.used_bytes <= PTRDIFF_MAX);
    CHECK(ebb_budget_exact(ebb_budget_process()) <= PTRDIFF_MAX);
    if (conform_random(&w->random) % 16 == 0)
        CHECK(ebb_stats_get(&heap) == 0);
    (void)ebb_budget_room(w->account);
}

static void *live(void *argument)
{
    struct worker *w = argument;
    for (unsigned step = 0; step < LIFE_STEPS && !atomic_load_explicit(&over, memory_order_relaxed); step++)
        switch (conform_random(&w->random) % 16) {
        case 0:
            fill_pool(&w->random);
            break;
        case 1:
            uncharge(pool, take_pages(20) * PAGE_BYTES, &w->random);
            break;
        case 2:
        case 3:
        case 4:
            use_region(w);
            break;
        case 5:
            reserve(w);
            break;
        case 6:
            look(w);
            break;
        case 7:
            ebb_budget_thread_flush();
            break;
        default:
            use_block(w);
        }
    atomic_fetch_add(&lives, 1);
    return NULL;
}

/* ---- those who interfere ---- */

static void set(struct ebb_budget_account *account, enum ebb_budget_limit kind, size_t low, size_t high,
                uint64_t *random)
{
    int64_t none = kind == EBB_BUDGET_MIN ? 0 : EBB_BUDGET_UNLIMITED;
    int64_t bytes = conform_random(random) % 3 == 0 ? none : (int64_t)conform_between(random, low, high);
    CHECK(ebb_budget_limit(account, kind, bytes) >= 0);
}

static void nap_ms(unsigned ms)
{
    const struct timespec rest = {.tv_nsec = (long)ms * 1000000};
    (void)nanosleep(&rest, NULL);
}

static void *change_limits(void *argument)
{
    uint64_t *random = argument;
    while (!atomic_load(&over)) {
        struct worker *w = &workers[conform_random(random) % WORKERS];
        switch (conform_random(random) % 6) {
        case 0:
            set(ebb_budget_process(), EBB_BUDGET_HARD, 20 * MIB, 100 * MIB, random);
            break;
        case 1:
            set(ebb_budget_process(), EBB_BUDGET_SOFT, 10 * MIB, 80 * MIB, random);
            break;
        case 2:
            set(users, EBB_BUDGET_HARD, 4 * MIB, 40 * MIB, random);
            break;
        case 3:
            set(pool, (enum ebb_budget_limit)(conform_random(random) % 3), MIB, 20 * MIB, random);
            break;
        default:
            set(w->account, (enum ebb_budget_limit)(conform_random(random) % 3), 100 * KIB, 6 * MIB, random);
        }
        nap_ms(1);
    }
    return NULL;
}

static void *reclaim(void *argument)
{
    uint64_t *random = argument;
    while (!atomic_load(&over)) {
        struct ebb_budget_account *whom[] = {NULL, ebb_budget_heap(), users, pool,
                                             workers[conform_random(random) % WORKERS].account};
        enum ebb_budget_urgency urgency = (enum ebb_budget_urgency)(conform_random(random) % 4);
        uint64_t deadline_ns = conform_random(random) % 2 == 0 ? 0 : now_ns() + 2000000;
        atomic_fetch_add(&reclaimed,
                         ebb_budget_reclaim(whom[conform_random(random) % 5],
                                            conform_between(random, 1, 2 * MIB), urgency, deadline_ns));
        if (conform_random(random) % 64 == 0)
            ebb_trim(MIB);
        nap_ms((unsigned)(conform_random(random) % 3));
    }
    return NULL;
}

/* ---- the sums ---- */

static size_t held_bytes(const struct worker *w)
{
    size_t sum = w->charged_bytes;
    for (unsigned i = 0; i < REGIONS; i++) {
        struct ebb_region_stats s = {.size_of_struct = sizeof(s)};
        if (w->regions[i] == NULL)
            continue;
        CHECK(ebb_region_stats_get(w->regions[i], &s) == 0 && ebb_region_check(w->regions[i]) == 0);
        sum += s.held_bytes;
    }
    return sum;
}

/* The library's own thread may be giving something back: then once more. */
static void check_process(void)
{
    size_t sum = 0, whole = 1;
    for (unsigned i = 0; i < 1000 && sum != whole; i++) {
        whole = ebb_budget_exact(ebb_budget_process());
        sum = ebb_budget_exact(ebb_budget_heap()) + ebb_budget_exact(ebb_budget_untracked()) +
              ebb_budget_exact(pool);
        if (sum != whole)
            nap_ms(5);
    }
    CHECK(sum == whole, "%zu bytes, %zu in the accounts below", whole, sum);
}

static void check_all(void)
{
    size_t sum = 0;
    for (unsigned i = 0; i < WORKERS; i++) {
        size_t held = held_bytes(&workers[i]), exact = ebb_budget_exact(workers[i].account);
        CHECK(exact == held, "%zu bytes, %zu are held", exact, held);
        sum += held;
    }
    CHECK(ebb_budget_exact(users) == sum, "%zu bytes, %zu are held", ebb_budget_exact(users), sum);
    CHECK(ebb_budget_exact(pool) == atomic_load(&pool_pages) * PAGE_BYTES);
    check_process();
    CHECK(ebb_budget_check() == 0 && ebb_check() == 0);
}

static void end_all(void)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        struct worker *w = &workers[i];
        for (unsigned n = 0; n < BLOCKS; n++)
            if (w->blocks[n].at != NULL)
                free_block(w, &w->blocks[n]);
        for (unsigned n = 0; n < REGIONS; n++)
            ebb_region_destroy(w->regions[n]);
    }
    ebb_budget_uncharge(pool, take_pages(SIZE_MAX) * PAGE_BYTES);
    ebb_budget_thread_flush();
    for (unsigned i = 0; i < WORKERS; i++)
        CHECK(ebb_budget_exact(workers[i].account) == 0 && ebb_budget_destroy(workers[i].account) == 0);
    CHECK(ebb_budget_exact(users) == 0 && ebb_budget_destroy(users) == 0);
    CHECK(ebb_budget_exact(pool) == 0);
    check_process();
    CHECK(ebb_budget_check() == 0 && ebb_check() == 0);
}

/* ---- the whole ---- */

static void start_all(uint64_t seed, pthread_t others[2], uint64_t randoms[2])
{
    const struct ebb_budget_shrinker frames = {.size_of_struct = sizeof(frames),
                                               .name = "frames",
                                               .price = 200,
                                               .estimate = pool_estimate,
                                               .shrink = pool_shrink};
    CHECK(ebb_budget_create(ebb_budget_heap(), "users", EBB_BUDGET_QUERY, &users) == 0);
    CHECK(ebb_budget_create(NULL, "pool", EBB_BUDGET_CACHE, &pool) == 0);
    struct ebb_budget_shrinker row = frames;
    row.account = pool;
    CHECK(ebb_budget_shrinker_add(&row) > 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i].random = seed + i;
        CHECK(ebb_budget_create(users, "user", EBB_BUDGET_QUERY, &workers[i].account) == 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        randoms[i] = seed + 100 + i;
        CHECK(pthread_create(&others[i], NULL, i == 0 ? change_limits : reclaim, &randoms[i]) == 0);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        CHECK(pthread_create(&workers[i].thread, NULL, live, &workers[i]) == 0);
}

static void unlimit(void)
{
    struct ebb_budget_account *whom[] = {ebb_budget_process(), users, pool};
    for (unsigned i = 0; i < 3; i++)
        for (int kind = EBB_BUDGET_SOFT; kind <= EBB_BUDGET_HARD; kind++)
            CHECK(ebb_budget_limit(whom[i], (enum ebb_budget_limit)kind, EBB_BUDGET_UNLIMITED) >= 0);
}

int main(void)
{
    const char *seconds = getenv("STRESS_SECONDS");
    pthread_t others[2];
    uint64_t randoms[2];
    conform_start(600);
    until_ns = now_ns() + (seconds != NULL ? strtoull(seconds, NULL, 10) : 2) * 1000000000u;
    start_all(conform_seed(), others, randoms);
    for (unsigned i = 0; now_ns() < until_ns;
         i = (i + 1) % WORKERS) { /* one ends, and another one takes over */
        pthread_join(workers[i].thread, NULL);
        CHECK(pthread_create(&workers[i].thread, NULL, live, &workers[i]) == 0);
    }
    atomic_store(&over, true);
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(workers[i].thread, NULL);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(others[i], NULL);
    unlimit();
    struct ebb_budget_stats s = {.size_of_struct = sizeof(s)};
    CHECK(ebb_budget_stats(ebb_budget_process(), &s) == 0);
    check_all();
    end_all();
    printf("%llu threads lived, %llu requests refused, %zu MiB reclaimed on request, %zu MiB at limits; %llu "
           "met the hard one\n",
           (unsigned long long)lives, (unsigned long long)refused, (size_t)reclaimed >> 20,
           s.reclaimed_bytes >> 20, (unsigned long long)s.hard_hits);
    CHECK(lives > WORKERS && refused != 0 && reclaimed != 0 && s.hard_hits != 0);
    return conform_end();
}
