/* SPDX-License-Identifier: MIT
 *
 * 32 threads and an oracle: random charges both ways, reservations, the heap's form, limits that move, accounts made and ended, and
 * threads that end with credits in their slots.
 *
 * Each thread keeps its own books. At each barrier the sum of all books is what the ledger says, exactly, the walker finds
 * nothing, and nobody is above a limit. All the while a sampling thread looks at the accounts whose limits stay: what it sees is never
 * above them. The seed is printed; SEED=n has the same operations again.
 */
#include "ledger_test.h"

#include <pthread.h>
#include <stdatomic.h>

#define WORKERS   32u
#define ROUNDS    (SUPPORT_TSAN || SUPPORT_ASAN ? 6u : 20u)
#define TURNS     (SUPPORT_TSAN || SUPPORT_ASAN ? 400u : 1500u)
#define IN_THREAD 40u /* operations of a thread that ends at once */

/* Everybody's accounts, parents first. The strict ones have limits that stay. */
enum { POOL, PAGES, INDEX, LOOSE, DEEP, DEEPER, CONNECTION, SORT, CACHE, SHARED };
static const struct {
    const char *name;
    int parent; /* -1: the process, -2: the heap */
    size_t strict_bytes;
    bool limit_moves;
} PLAN[SHARED] = {
    [POOL] = {"pool", -1, MIB(24), false},
    [PAGES] = {"pages", POOL, MIB(14), false},
    [INDEX] = {"index", POOL, MIB(12), false},
    [LOOSE] = {"loose", -1, 0, true},
    [DEEP] = {"deep", LOOSE, 0, true},
    [DEEPER] = {"deeper", DEEP, KIB(900), false},
    [CONNECTION] = {"connection", -2, MIB(6), false},
    [SORT] = {"sort", CONNECTION, 0, true},
    [CACHE] = {"cache", -1, MIB(8), false},
};
#define HEAP_STRICT_BYTES    MIB(40)
#define PROCESS_STRICT_BYTES MIB(80)

static struct ebb_budget_account *shared[SHARED];

struct books {
    size_t held[SHARED];
    size_t heap;
};

struct worker {
    pthread_t thread;
    struct support_rng rng;
    struct books books;
    struct ebb_budget_account *mine; /* its own, below POOL: nobody else draws on its reservation */
    size_t mine_held, mine_reserved;
    unsigned refused;
};
static struct worker workers[WORKERS];
static pthread_barrier_t barrier;
static _Atomic bool stop;
static _Atomic size_t cache_held; /* what the shrinker may give back */

static size_t some_bytes(struct support_rng *rng)
{
    uint64_t r = support_next(rng);
    return (size_t)(r % 64 == 0 ? r % KIB(700) : r % 8 == 0 ? r % KIB(40) : r % 2000) + 1;
}

/* ---- what a worker does ---- */

static void charge_one(struct support_rng *rng, struct books *books, unsigned *refused)
{
    size_t i = support_below(rng, SHARED - 1), bytes = some_bytes(rng); /* not the cache */
    int rc = support_next(rng) % 4 != 0 ? ebb__ledger_charge_credit(shared[i], bytes)
                                        : ebb__ledger_charge(shared[i], bytes);
    EXPECT(rc == 0 || rc == -ENOMEM);
    if (rc == 0)
        books->held[i] += bytes;
    else
        ++*refused;
}

static void uncharge_one(struct support_rng *rng, struct books *books)
{
    size_t i = support_below(rng, SHARED - 1);
    if (books->held[i] == 0)
        return;
    size_t bytes = support_next(rng) % 4 == 0 ? books->held[i] : support_below(rng, books->held[i]) + 1;
    if (support_next(rng) % 4 != 0)
        ebb__ledger_uncharge_credit(shared[i], bytes);
    else
        ebb__ledger_uncharge(shared[i], bytes);
    books->held[i] -= bytes;
}

static void use_the_heap(struct support_rng *rng, struct books *books, unsigned *refused)
{
    size_t bytes = (support_below(rng, 64) + 1) * 4096;
    if (books->heap >= MIB(1) || (books->heap != 0 && support_next(rng) % 2 == 0)) {
        bytes = ebb__min(bytes, books->heap);
        ebb__ledger_heap_uncharge(bytes);
        books->heap -= bytes;
    } else if ((support_next(rng) % 4 == 0 ? ebb__ledger_heap_try(bytes) : ebb__ledger_heap_charge(bytes)) ==
               0) {
        books->heap += bytes;
    } else {
        ++*refused;
    }
}

static void use_my_reservation(struct worker *w)
{
    size_t bytes = some_bytes(&w->rng);
    switch (support_next(&w->rng) % 4) {
    case 0:
        if (w->mine_reserved < KIB(200) && ebb__ledger_reserve(w->mine, bytes) == 0)
            w->mine_reserved += bytes;
        break;
    case 1:
        EXPECT_EQ(ebb__ledger_release(w->mine, bytes), ebb__min(bytes, w->mine_reserved));
        w->mine_reserved -= ebb__min(bytes, w->mine_reserved);
        break;
    case 2: {
        int rc = ebb__ledger_charge(w->mine, bytes);
        EXPECT(rc == 0 ||
               (rc == -ENOMEM && bytes > w->mine_reserved)); /* what is reserved is never refused */
        if (rc == 0) {
            w->mine_held += bytes;
            w->mine_reserved -= ebb__min(bytes, w->mine_reserved);
        }
        break;
    }
    default:
        ebb__ledger_uncharge(w->mine, w->mine_held);
        w->mine_held = 0;
    }
}

static void move_a_limit(struct support_rng *rng)
{
    static const enum ebb_budget_limit kinds[] = {EBB_BUDGET_MIN, EBB_BUDGET_SOFT, EBB_BUDGET_HARD};
    size_t i = support_below(rng, SHARED);
    enum ebb_budget_limit kind = kinds[support_below(rng, 3)];
    if (kind == EBB_BUDGET_HARD && !PLAN[i].limit_moves)
        kind = EBB_BUDGET_SOFT;
    int64_t bytes = (int64_t)support_below(rng, kind == EBB_BUDGET_MIN ? KIB(100) : MIB(16));
    if (kind != EBB_BUDGET_MIN && support_next(rng) % 3 == 0)
        bytes = EBB_BUDGET_UNLIMITED;
    EXPECT(ebb__ledger_limit(shared[i], kind, bytes) >= 0);
}

static void make_and_end(struct support_rng *rng)
{
    struct ebb_budget_account *account = made(shared[support_below(rng, SHARED)], "short");
    size_t bytes = some_bytes(rng);
    if (ebb__ledger_charge_credit(account, bytes) == 0) {
        EXPECT_EQ(ebb__ledger_destroy(account), -EBUSY);
        ebb__ledger_uncharge_credit(account, bytes);
    }
    EXPECT_EQ(ebb__ledger_destroy(account), 0);
}

static void fill_the_cache(struct support_rng *rng)
{
    size_t bytes = some_bytes(rng);
    if (ebb__ledger_charge(shared[CACHE], bytes) == 0)
        atomic_fetch_add(&cache_held, bytes);
}

struct errand {
    struct support_rng rng;
    struct books *books;
    unsigned refused;
};

/* Ends with credits in its slots; what it holds is in its starter's books. */
static void *run_errand(void *arg)
{
    struct errand *errand = arg;
    for (unsigned i = 0; i < IN_THREAD; i++)
        if (support_next(&errand->rng) % 3 != 0)
            charge_one(&errand->rng, errand->books, &errand->refused);
        else
            uncharge_one(&errand->rng, errand->books);
    return NULL;
}

static void send_a_thread(struct worker *w)
{
    struct errand errand = {{support_next(&w->rng)}, &w->books, 0};
    pthread_t thread;
    EXPECT_EQ(pthread_create(&thread, NULL, run_errand, &errand), 0);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    w->refused += errand.refused;
}

static void one_turn(struct worker *w)
{
    uint64_t r = support_next(&w->rng) % 1000;
    if (r < 420)
        charge_one(&w->rng, &w->books, &w->refused);
    else if (r < 750)
        uncharge_one(&w->rng, &w->books);
    else if (r < 850)
        use_the_heap(&w->rng, &w->books, &w->refused);
    else if (r < 950)
        use_my_reservation(w);
    else if (r < 970)
        fill_the_cache(&w->rng);
    else if (r < 980)
        make_and_end(&w->rng);
    else if (r < 990)
        move_a_limit(&w->rng);
    else if (r < 992)
        (void)ebb__ledger_reclaim(NULL, some_bytes(&w->rng), EBB_URGENCY_EARLY, 0);
    else if (r < 995)
        ebb__ledger_thread_flush();
    else if (r < 997)
        (void)ebb__ledger_recall();
    else if (r < 998)
        (void)ebb__ledger_set_untracked(support_below(&w->rng, KIB(64)));
}

static void *work(void *arg)
{
    struct worker *w = arg;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < TURNS; i++)
            one_turn(w);
        send_a_thread(w);
        (void)pthread_barrier_wait(&barrier); /* all are at rest */
        (void)pthread_barrier_wait(&barrier); /* and have been looked at */
    }
    return NULL;
}

/* ---- what is looked at ---- */

static size_t cache_estimate(void *unused)
{
    (void)unused;
    return atomic_load(&cache_held);
}

/* Now and then it gives a part, or nothing, and late. */
static size_t cache_shrink(void *unused, size_t bytes, enum ebb_budget_urgency urgency, uint64_t deadline_ns)
{
    static unsigned times; /* nobody else is inside */
    size_t have = atomic_load(&cache_held), part;
    (void)unused, (void)urgency, (void)deadline_ns;
    if (++times % 5 == 0)
        return 0;
    do {
        part = ebb__min(have, times % 3 == 0 ? bytes / 2 : bytes);
    } while (!atomic_compare_exchange_weak(&cache_held, &have, have - part));
    ebb__ledger_uncharge(shared[CACHE], part);
    return part;
}

static void *sample(void *unused)
{
    size_t looks = 0;
    while (!atomic_load(&stop)) {
        for (unsigned i = 0; i < SHARED; i++) {
            size_t taken = ledger_get(&shared[i]->taken);
            EXPECT_MSG(PLAN[i].strict_bytes == 0 || taken <= PLAN[i].strict_bytes, "%s: %zu", PLAN[i].name,
                       taken);
            EXPECT(taken <= PTRDIFF_MAX && ebb__ledger_exact(shared[i]) <= PTRDIFF_MAX);
        }
        EXPECT(ledger_get(&ebb__ledger_heap.taken) <= HEAP_STRICT_BYTES);
        /* Untracked is a fact, and no limit holds it off. */
        EXPECT(ledger_get(&ebb__ledger_process.taken) <= PROCESS_STRICT_BYTES + KIB(64));
        looks++;
    }
    EXPECT(looks != 0);
    return unused;
}

static size_t sum_of(unsigned i)
{
    size_t sum = i == CACHE ? atomic_load(&cache_held) : 0;
    for (unsigned w = 0; w < WORKERS; w++)
        sum += workers[w].books.held[i];
    for (unsigned c = 0; c < SHARED; c++)
        sum += PLAN[c].parent == (int)i ? sum_of(c) : 0;
    for (unsigned w = 0; w < WORKERS && i == POOL; w++)
        sum += workers[w].mine_held;
    return sum;
}

static void compare_books(void)
{
    size_t heap = 0, process = ebb__ledger_used(&ebb__ledger_untracked);
    EXPECT_WHOLE();
    for (unsigned i = 0; i < SHARED; i++) {
        EXPECT_MSG(ebb__ledger_exact(shared[i]) == sum_of(i), "%s: %zu is not %zu", PLAN[i].name,
                   ebb__ledger_exact(shared[i]), sum_of(i));
        process += PLAN[i].parent == -1 ? sum_of(i) : 0;
        /* The peak misses no instant. */
        EXPECT(PLAN[i].strict_bytes == 0 || stats_of(shared[i]).peak_bytes <= PLAN[i].strict_bytes);
    }
    for (unsigned w = 0; w < WORKERS; w++) {
        heap += workers[w].books.heap;
        EXPECT_EQ(ebb__ledger_exact(workers[w].mine), workers[w].mine_held);
        EXPECT_EQ(stats_of(workers[w].mine).reserved_bytes, workers[w].mine_reserved);
    }
    EXPECT_EQ(ebb__ledger_exact(&ebb__ledger_heap), heap);
    EXPECT_EQ(ebb__ledger_exact(&ebb__ledger_process), process + heap);
}

static void set_up(void)
{
    uint64_t seed = support_seed("ledger-oracle");
    for (unsigned i = 0; i < SHARED; i++) {
        shared[i] = made(PLAN[i].parent == -1   ? NULL
                         : PLAN[i].parent == -2 ? &ebb__ledger_heap
                                                : shared[PLAN[i].parent],
                         PLAN[i].name);
        if (PLAN[i].strict_bytes != 0)
            limited(shared[i], EBB_BUDGET_HARD, PLAN[i].strict_bytes);
    }
    limited(&ebb__ledger_heap, EBB_BUDGET_HARD, HEAP_STRICT_BYTES);
    limited(&ebb__ledger_process, EBB_BUDGET_HARD, PROCESS_STRICT_BYTES);
    const struct ebb_budget_shrinker shrinker = {sizeof(shrinker), shared[CACHE], "cache", 100,
                                                 cache_estimate,   cache_shrink,  NULL};
    EXPECT(ebb__ledger_shrinker_add(&shrinker) > 0);
    for (unsigned w = 0; w < WORKERS; w++) {
        workers[w].rng.state = seed + w;
        workers[w].mine = made(shared[POOL], "mine");
    }
}

static void the_books_agree(void)
{
    pthread_t sampler;
    unsigned refused = 0;
    set_up();
    EXPECT_EQ(pthread_barrier_init(&barrier, NULL, WORKERS + 1), 0);
    EXPECT_EQ(pthread_create(&sampler, NULL, sample, NULL), 0);
    for (unsigned w = 0; w < WORKERS; w++)
        EXPECT_EQ(pthread_create(&workers[w].thread, NULL, work, &workers[w]), 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        (void)pthread_barrier_wait(&barrier);
        compare_books();
        (void)pthread_barrier_wait(&barrier);
    }
    for (unsigned w = 0; w < WORKERS; w++) {
        EXPECT_EQ(pthread_join(workers[w].thread, NULL), 0);
        refused += workers[w].refused;
    }
    atomic_store(&stop, true);
    EXPECT_EQ(pthread_join(sampler, NULL), 0);
    compare_books();
    struct ebb_ledger_stats stats = whole();
    EXPECT_EQ(stats.credit_threads, 0);
    EXPECT_EQ(stats.unspent_bytes, 0);
    (void)printf("refused %u, soft %" PRIu64 ", hard %" PRIu64 ", recalls %" PRIu64 ", reclaimed %" PRIu64
                 " in %" PRIu64 "\n",
                 refused, stats.soft_hits, stats.hard_hits, stats.recalls, stats.reclaimed_bytes,
                 stats.reclaims);
    /* The plan makes all of it happen; else this test shows nothing. */
    EXPECT(refused != 0 && stats.soft_hits != 0 && stats.recalls != 0 && stats.reclaimed_bytes != 0);
}

int main(void)
{
    const struct CMUnitTest cases[] = {CASE(the_books_agree)};
    return RUN_CASES(cases);
}
