/* SPDX-License-Identifier: MIT
 *
 * Threads that allocate and free while another gives back as fast as it can, over the real kernel; forks in the middle of it;
 * and the proof that the claim is what makes that safe: without it the same threads soon find zeroes in their blocks.
 *
 * Every block carries a pattern. It is published in its thread's table when it is filled and taken out before it is checked and
 * freed, so what is in a table is whole at every instant, also in the child of a fork. STRESS_SECONDS lengthens all.
 */
#include "support.h"

#include "heap/heap_priv.h"

#include <pthread.h>
#include <sched.h>

void __real_ebb__slab_claim(struct bin *bin, struct slab *s, void *start, unsigned units);
void __wrap_ebb__slab_claim(struct bin *bin, struct slab *s, void *start, unsigned units);
bool __real_ebb__slab_release(struct bin *bin, struct slab *s, void *start, unsigned purged);
bool __wrap_ebb__slab_release(struct bin *bin, struct slab *s, void *start, unsigned purged);
unsigned __real_ebb__os_purge_many(const struct ebb_os_range *ranges, unsigned count);
unsigned __wrap_ebb__os_purge_many(const struct ebb_os_range *ranges, unsigned count);

#define THREADS   4u
#define TABLE     600u
#define CORRUPTED 42 /* exit status of a process that has found a block changed */

struct entry {
    char *_Atomic p; /* NULL: empty */
    size_t bytes;
    unsigned code;
};
struct worker {
    pthread_t thread;
    struct support_rng rng;
    struct entry table[TABLE];
};
static struct worker workers[THREADS];
static unsigned threads; /* of them that run */
static _Atomic bool stop;
static bool without_claim;
static _Atomic unsigned long sweeps, claims, released_bytes;

/* ---- the double ---- */

/* Puts back at once all blocks but one, which keeps the slab alive: whoever wants them gets them under advice. */
void __wrap_ebb__slab_claim(struct bin *bin, struct slab *s, void *start, unsigned units)
{
    uint64_t before[64];
    atomic_fetch_add(&claims, 1);
    memcpy(before, s->free, ebb__slab_units(s) * EBB_DESC_BYTES - sizeof(*s));
    __real_ebb__slab_claim(bin, s, start, units);
    if (!without_claim)
        return;
    bool first = true;
    for (unsigned i = 0; i < ebb__slab_blocks(s); i++) {
        if (!ebb__bitmap_test(before, i) || ebb__bitmap_test(s->free, i))
            continue;
        if (!first) {
            ebb__bitmap_set(s->free, i, 1);
            s->nfree++;
        }
        first = false;
    }
    if (s->nfree != 0 && s->list == EBB_SLAB_LISTS)
        ebb__slab_link(bin, s, ebb__group_of(start)->index * EBB_GROUP_UNITS + ebb__unit_number(start));
}

bool __wrap_ebb__slab_release(struct bin *bin, struct slab *s, void *start, unsigned purged)
{
    if (!without_claim)
        return __real_ebb__slab_release(bin, s, start, purged);
    s->claimed = 0;
    return false;
}

/* Others shall run between the claim and the purge. */
unsigned __wrap_ebb__os_purge_many(const struct ebb_os_range *ranges, unsigned count)
{
    (void)sched_yield();
    unsigned done = __real_ebb__os_purge_many(ranges, count);
    (void)sched_yield();
    return done;
}

/* ---- threads ---- */

static void corrupted(const char *p, size_t bytes)
{
    (void)fprintf(stderr, "block %p of %zu bytes has changed\n", (const void *)p, bytes);
    _exit(CORRUPTED);
}

static void put(struct worker *w, struct entry *e)
{
    void *p = NULL;
    if (support_below(&w->rng, 60) != 0) {
        e->code = 1 + (unsigned)support_below(&w->rng, EBB_CLASS_COUNT - 1);
        e->bytes = ebb__classes[e->code].bytes;
        EXPECT(ebb__heap_take(e->code, &p, 1) == 1);
    } else {
        e->code = 0;
        e->bytes = support_between(&w->rng, EBB_KIB(33),
                                   support_below(&w->rng, 20) != 0 ? EBB_KIB(300) : EBB_MIB(5));
        p = ebb__heap_span_alloc(e->bytes, EBB_UNIT_BYTES, false);
        EXPECT(p != NULL);
    }
    support_fill(p, e->bytes, (uintptr_t)p);
    atomic_store_explicit(&e->p, p, memory_order_release);
}

static void drop(struct entry *e)
{
    void *p = atomic_load_explicit(&e->p, memory_order_relaxed);
    atomic_store_explicit(&e->p, NULL, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    if (!support_kept(p, e->bytes, e->bytes, (uintptr_t)p))
        corrupted(p, e->bytes);
    if (e->code != 0)
        ebb__heap_give(e->code, &p, 1, "stress");
    else
        ebb__heap_large_free(p);
}

/* Fills its table, then frees nearly all of it, in a random order: pages become free in the middle of slabs. */
static void *work(void *arg)
{
    struct worker *w = arg;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        for (unsigned i = 0; i < TABLE; i++)
            if (w->table[i].p == NULL)
                put(w, &w->table[i]);
        for (unsigned i = 0; i < 2 * TABLE; i++) {
            struct entry *e = &w->table[support_below(&w->rng, TABLE)];
            if (e->p != NULL)
                drop(e);
            else if (support_below(&w->rng, 8) == 0)
                put(w, e);
        }
    }
    for (unsigned i = 0; i < TABLE; i++)
        if (w->table[i].p != NULL)
            drop(&w->table[i]);
    return NULL;
}

static void *give_back(void *arg)
{
    struct support_rng rng = {*(uint64_t *)arg};
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        size_t bytes = 0;
        switch (support_below(&rng, 6)) {
        case 0:
            bytes = ebb__heap_trim(0);
            break;
        case 1:
            bytes = ebb__heap_purge_free(support_below(&rng, EBB_MIB(4)), EBB_MIB(2), 0);
            break;
        case 2:
            ebb__heap_tidy_slabs();
            ebb__heap_retire_groups();
            break;
        default:
            bytes = ebb__heap_sweep(SIZE_MAX);
        }
        atomic_fetch_add(&released_bytes, bytes);
        atomic_fetch_add(&sweeps, 1);
    }
    return NULL;
}

static pthread_t sweeper;

static void start_all(unsigned count, uint64_t seed)
{
    static uint64_t sweeper_seed;
    sweeper_seed = ~seed;
    threads = count;
    for (unsigned i = 0; i < threads; i++) {
        workers[i].rng.state = seed + i;
        EXPECT(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    EXPECT(pthread_create(&sweeper, NULL, give_back, &sweeper_seed) == 0);
}

static void stop_all(void)
{
    atomic_store(&stop, true);
    for (unsigned i = 0; i < threads; i++)
        EXPECT(pthread_join(workers[i].thread, NULL) == 0);
    EXPECT(pthread_join(sweeper, NULL) == 0);
}

static double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void sleep_ms(unsigned ms)
{
    const struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
    (void)nanosleep(&t, NULL);
}

static double seconds(double by_default)
{
    size_t asked = support_env_number("STRESS_SECONDS", 0);
    return asked != 0 ? (double)asked : by_default;
}

/* ---- cases ---- */

static void blocks_survive_sweeps(void)
{
    start_all(THREADS, support_seed("blocks_survive_sweeps"));
    sleep_ms((unsigned)(seconds(3) * 1000));
    stop_all();
    EXPECT(ebb__heap_check() == 0);
    (void)printf("%lu rounds, %lu claims, %lu MiB given back\n", sweeps, claims, released_bytes >> 20);
    EXPECT_MSG(claims > 100, "%lu claims in %lu rounds", claims, sweeps);
    (void)ebb__heap_trim(0);
    EXPECT(ebb__heap_check() == 0);
    EXPECT_EQ(ebb__heap_backed_bytes(), 0); /* nothing was lost */
}

static void run_without_claim(void *arg)
{
    without_claim = true;
    start_all(THREADS, *(uint64_t *)arg);
    sleep_ms(10000);
    _exit(0); /* not found */
}

static void without_the_claim_blocks_are_lost(void)
{
    uint64_t seed = support_seed("without_the_claim_blocks_are_lost");
    double start = now_s();
    struct support_outcome out = support_capture(run_without_claim, &seed);
    /* Either a pattern is gone, or the heap itself notices that a block it had claimed was handed out. */
    EXPECT_MSG((WIFEXITED(out.status) && WEXITSTATUS(out.status) == CORRUPTED) ||
                   (support_aborted(&out) && strstr(out.text, "double free of block") != NULL),
               "the threads did not notice that there is no claim: status 0x%x, %s", (unsigned)out.status,
               out.text);
    (void)printf("noticed after %.2f s: %s", now_s() - start, out.text);
}

/* What a child of _Fork finds, and may do: no stdio. */
static int life_of_child(void)
{
    void *block;
    ebb__heap_after_fork();
    if (ebb__heap_check() != 0)
        return 2;
    for (unsigned c = 1; c < EBB_CLASS_COUNT; c++) {
        for (unsigned i = 0; i < 4; i++) {
            if (ebb__heap_take(c, &block, 1) != 1)
                return 3;
            memset(block, 0xee, ebb__classes[c].bytes);
        }
    }
    for (unsigned i = 0; i < 6; i++) {
        size_t bytes = EBB_KIB(30) << i;
        char *p = ebb__heap_span_alloc(bytes, EBB_UNIT_BYTES, true);
        if (p == NULL || p[0] != 0 || p[bytes / 2] != 0 || p[bytes - 1] != 0)
            return 4;
        for (size_t at = 0; at < bytes; at += EBB_UNIT_BYTES / 2)
            p[at] = 1;
    }
    for (unsigned t = 0; t < threads; t++)
        for (unsigned i = 0; i < TABLE; i++) {
            const struct entry *e = &workers[t].table[i];
            const char *p = atomic_load_explicit(&e->p, memory_order_acquire);
            if (p != NULL && !support_kept(p, e->bytes, e->bytes, (uintptr_t)p))
                return CORRUPTED;
        }
    if (getpid() % 4 == 0)
        (void)ebb__heap_trim(0);
    return ebb__heap_check() != 0 ? 5 : 0;
}

/* From a thread of its own, at any instant, without handlers. */
static void children_of_raw_forks_are_whole(void)
{
    struct support_rng rng = {support_seed("children_of_raw_forks_are_whole")};
    unsigned children = 0;
    start_all(2, support_next(&rng)); /* few: a child must get a processor */
    for (double end = now_s() + seconds(6); now_s() < end; children++) {
        int status;
        for (size_t i = support_below(&rng, 2000); i > 0; i--)
            atomic_signal_fence(memory_order_seq_cst);
        pid_t pid = _Fork();
        EXPECT(pid >= 0);
        if (pid == 0) {
            (void)alarm(30);
            _exit(life_of_child());
        }
        EXPECT(waitpid(pid, &status, 0) == pid);
        EXPECT_MSG(status == 0, "child %u says 0x%x", children, (unsigned)status);
    }
    stop_all();
    EXPECT(ebb__heap_check() == 0);
    (void)printf("%u children, %lu claims\n", children, claims);
    EXPECT_MSG(children > 20 && claims > 20, "%u children, %lu claims", children, claims);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(blocks_survive_sweeps),
        CASE(without_the_claim_blocks_are_lost),
        CASE(children_of_raw_forks_are_whole),
    };
    if (SUPPORT_TSAN) /* it would report the first of the two races that are looked for here, and knows no _Fork */
        return 77;
    return RUN_CASES(cases);
}
