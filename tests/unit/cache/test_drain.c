/* SPDX-License-Identifier: MIT
 *
 * Revoking and draining over the fake kernel, with threads that rest where the test wants them.
 */
#include "puppet.h"
#include "small_space.h"

#define C 9u /* a class; any will do */

static struct puppet puppets[8];

/* The thread's end, which the fake kernel does not notice by itself. */
static void act_exit(struct puppet *p)
{
    (void)p;
    ebb_fake_thread_exit();
}

static void end(struct puppet *p)
{
    puppet_do(p, act_exit);
    puppet_end(p);
}

static void start(unsigned count)
{
    EXPECT(ebb__os_barrier_init() == 0);
    for (unsigned i = 0; i < count; i++)
        puppet_start(&puppets[i]);
}

static void nothing_is_lost(size_t held)
{
    EXPECT_EQ(live_blocks(), held);
    EXPECT_CACHE_OK();
}

/* ---- one thread: this one ---- */

static void a_revoked_cache_comes_back_with_its_content(void)
{
    start(0);
    void *blocks[20];
    for (unsigned i = 0; i < 20; i++)
        blocks[i] = get(C);
    for (unsigned i = 0; i < 20; i++)
        put(blocks[i]);
    struct thread_cache *mine = ebb__thread.mine;
    size_t cached = blocks_in(mine);
    EXPECT(mine != NULL && ebb__thread.cache == mine && cached > 2);

    EXPECT_EQ(revoke_all(), 0);
    EXPECT(ebb__thread.mine == mine && ebb__thread.cache != mine);
    EXPECT(!ebb__cache_is_real(ebb__thread.cache));
    EXPECT(ebb__cache_get(C) == NULL); /* a miss */
    EXPECT_EQ(ebb__thread.busy, 0);
    EXPECT_EQ(blocks_in(mine), cached);
    expect_listed(1);

    EXPECT(get(C) == blocks[19]); /* the one freed last */
    EXPECT(ebb__thread.cache == mine);
    EXPECT_EQ(blocks_in(mine), cached - 1);
    EXPECT(ebb__cache_get(C) == blocks[18]);
    EXPECT_EQ(ebb__thread.busy, 0);

    EXPECT_EQ(revoke_all(), 0);
    EXPECT(ebb__cache_put(blocks[18]) == EBB_PUT_FULL); /* a miss as well */
    ebb__cache_put_slow(blocks[18], "test");
    EXPECT(ebb__thread.cache == mine);
    put(blocks[19]);
    EXPECT_EQ(blocks_in(mine), cached);
    EXPECT_EQ(drain_all(), 0); /* it came back: not emptied */
    EXPECT_EQ(blocks_in(mine), cached);
    nothing_is_lost(0);
}

/* A double free is noticed by the miss too. */
static void free_twice(void *p)
{
    put(p);
    (void)revoke_all();
    put(p);
}

static void freed_twice_across_a_revocation(void)
{
    start(0);
    void *keep[4];
    for (unsigned i = 0; i < 4; i++)
        keep[i] = get(C);
    for (unsigned i = 1; i < 4; i++)
        put(keep[i]);
    EXPECT_DIES(free_twice, keep[0], "double free");
}

static void a_drained_thread_makes_a_new_cache(void)
{
    start(0);
    void *blocks[40];
    for (unsigned i = 0; i < 40; i++)
        blocks[i] = get(C);
    for (unsigned i = 0; i < 40; i++)
        put(blocks[i]);
    size_t cached = blocks_in(ebb__thread.mine);
    EXPECT_EQ(revoke_all(), 0);
    EXPECT_EQ(drain_all(), cached);
    EXPECT(ebb__thread.mine == NULL && !ebb__cache_is_real(ebb__thread.cache));
    expect_listed(0);
    EXPECT_EQ(cached_blocks(), 0);
    EXPECT_EQ(drain_all(), 0);
    EXPECT_EQ(revoke_all(), 0);
    EXPECT_EQ(drain_all(), 0);
    nothing_is_lost(0);

    put(get(C));
    EXPECT(ebb__thread.mine != NULL && ebb__thread.cache == ebb__thread.mine);
    EXPECT(ebb__thread.mine->owner == &ebb__thread);
    expect_listed(1);
    nothing_is_lost(0);
    EXPECT_EQ(EBB_COUNTED(drains), 1);
    EXPECT_EQ(EBB_COUNTED(drained_blocks), cached);
}

static void flushing_a_revoked_cache(void)
{
    start(0);
    void *blocks[10];
    for (unsigned i = 0; i < 10; i++)
        blocks[i] = get(C);
    for (unsigned i = 0; i < 10; i++)
        put(blocks[i]);
    struct thread_cache *mine = ebb__thread.mine;
    EXPECT_EQ(revoke_all(), 0);
    ebb__cache_flush_thread();
    EXPECT(ebb__thread.mine == mine && blocks_in(mine) == 0);
    nothing_is_lost(0);
    put(get(C));
    EXPECT(ebb__thread.cache == mine);
    expect_listed(1);
}

/* ---- several threads ---- */

static void only_the_abandoned_are_emptied(void)
{
    start(4);
    size_t had[4];
    for (unsigned i = 0; i < 4; i++) {
        puppet_fill(&puppets[i], C + i, 50 + i);
        had[i] = blocks_in(puppets[i].room->mine);
        EXPECT(had[i] > 4);
    }
    expect_listed(4);
    unsigned barriers = ebb_fake.barriers;
    EXPECT_EQ(revoke_all(), 0);
    EXPECT_EQ(ebb_fake.barriers, barriers + 1);
    EXPECT_EQ(EBB_COUNTED(revocations), 4);
    for (unsigned i = 0; i < 4; i++)
        EXPECT(!ebb__cache_is_real(puppets[i].room->cache));

    puppet_fill(&puppets[0], C, 1);          /* has come back */
    puppet_do(&puppets[1], act_stay_inside); /* is inside an operation */
    EXPECT_EQ(drain_all(), had[2] + had[3]);
    EXPECT_EQ(blocks_in(puppets[0].room->mine), had[0]);
    EXPECT_EQ(blocks_in(puppets[1].room->mine), had[1]);
    EXPECT(puppets[2].room->mine == NULL && puppets[3].room->mine == NULL);
    expect_listed(2);
    EXPECT_EQ(drain_all(), 0);

    puppet_do(&puppets[1], act_leave);
    EXPECT_EQ(drain_all(), had[1]); /* it stayed revoked */
    expect_listed(1);
    EXPECT_EQ(drain_all(), 0);
    nothing_is_lost(0);

    EXPECT_EQ(revoke_all(), 0); /* one cache is left to be revoked */
    EXPECT_EQ(EBB_COUNTED(revocations), 5);
    EXPECT_EQ(drain_all(), had[0]);
    expect_listed(0);
    barriers = ebb_fake.barriers;
    EXPECT_EQ(revoke_all(), 0); /* nobody to turn away: no barrier */
    EXPECT_EQ(ebb_fake.barriers, barriers);
    nothing_is_lost(0);
}

/* While somebody holds a thread's lock it is left alone, without waiting: this test would hang. */
static void a_locked_thread_is_left_alone(void)
{
    start(2);
    puppet_fill(&puppets[0], C, 40);
    puppet_fill(&puppets[1], C, 40);
    struct ebb_thread *t = puppets[0].room;
    atomic_store(&t->lock.state, 1);
    EXPECT_EQ(revoke_all(), 0);
    EXPECT(t->cache == t->mine && puppets[1].room->cache != puppets[1].room->mine);
    atomic_store(&t->lock.state, 0);
    EXPECT_EQ(revoke_all(), 0);
    EXPECT(t->cache != t->mine);
    atomic_store(&t->lock.state, 1);
    EXPECT(drain_all() != 0);
    EXPECT(t->mine != NULL && puppets[1].room->mine == NULL);
    expect_listed(1);
    atomic_store(&t->lock.state, 0);
    EXPECT(drain_all() != 0);
    expect_listed(0);
    nothing_is_lost(0);
}

static unsigned ended;

static void count_end(void)
{
    ended++;
}

static void ends_of_revoked_and_drained_threads(void)
{
    ebb__cache_thread_ended = count_end;
    start(3);
    for (unsigned i = 0; i < 3; i++)
        puppet_fill(&puppets[i], C, 30);
    EXPECT_EQ(revoke_all(), 0);
    end(&puppets[0]); /* revoked, not drained */
    EXPECT_EQ(ended, 1);
    expect_listed(2);
    EXPECT(drain_all() != 0);
    end(&puppets[1]); /* drained */
    EXPECT_EQ(ended, 2);
    expect_listed(0);
    puppet_do(&puppets[2], act_exit);
    EXPECT_EQ(ended, 3);
    puppet_fill(&puppets[2], C, 30); /* a destructor that runs later: the direct way */
    EXPECT(puppets[2].room->mine == NULL);
    expect_listed(0);
    EXPECT_EQ(revoke_all(), 0);
    EXPECT_EQ(drain_all(), 0);
    puppet_fill(&puppets[2], C, 30);
    EXPECT_EQ(cached_blocks(), depot_blocks(C));
    puppet_end(&puppets[2]);
    EXPECT_EQ(ended, 3);
    nothing_is_lost(0);
}

/* ---- any order ---- */

static size_t held_by_all(void)
{
    size_t held = 0;
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(puppets); i++)
        held += puppets[i].count;
    return held;
}

static unsigned with_cache(void)
{
    unsigned n = ebb__thread.mine != NULL;
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(puppets); i++)
        n += puppets[i].alive && puppets[i].room->mine != NULL;
    return n;
}

/* What the drainer must find: the model of its rule. */
static size_t abandoned_blocks(void)
{
    size_t n = 0;
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(puppets); i++) {
        const struct ebb_thread *t = puppets[i].room;
        if (puppets[i].alive && t->mine != NULL && t->cache != t->mine && t->busy == 0)
            n += blocks_in(t->mine);
    }
    return n;
}

static void step(struct support_rng *rng)
{
    struct puppet *p = &puppets[support_below(rng, EBB_ARRAY_COUNT(puppets))];
    p->c = 1 + (unsigned)support_below(rng, 40);
    p->n = 1 + (unsigned)support_below(rng, 60);
    size_t what = support_below(rng, 20);
    if (what < 3) {
        EXPECT_EQ(revoke_all(), 0);
    } else if (what < 6) {
        size_t blocks = abandoned_blocks();
        EXPECT_EQ(drain_all(), blocks);
    } else if (what < 7) {
        (void)drain_depot(support_below(rng, 2) == 0);
    } else if (!p->alive) {
        puppet_start(p);
    } else if (p->room->busy != 0) {
        puppet_do(p, act_leave);
    } else if (what < 8) {
        end(p);
    } else if (what < 10) {
        puppet_do(p, act_stay_inside);
    } else if (what < 11) {
        puppet_do(p, act_flush);
    } else {
        puppet_do(p, what < 15 ? act_take : act_give);
    }
}

static void any_order(void)
{
    struct support_rng rng = {support_seed("any_order")};
    size_t steps = support_env_number("MODEL_OPS", 4000);
    start(0);
    for (size_t i = 0; i < steps; i++) {
        step(&rng);
        expect_listed(with_cache());
        EXPECT_EQ(live_blocks(), held_by_all());
        if (i % 50 == 0) {
            EXPECT_CACHE_OK();
            for (unsigned k = 0; k < EBB_ARRAY_COUNT(puppets); k++)
                if (puppets[k].alive)
                    puppet_do(&puppets[k], act_check);
        }
    }
    EXPECT(EBB_COUNTED(drains) > 10 && EBB_COUNTED(revocations) > EBB_COUNTED(drains));
    for (unsigned k = 0; k < EBB_ARRAY_COUNT(puppets); k++)
        if (puppets[k].alive) {
            puppets[k].n = EBB_ARRAY_COUNT(puppets[k].blocks);
            if (puppets[k].room->busy != 0)
                puppet_do(&puppets[k], act_leave);
            puppet_do(&puppets[k], act_give);
            end(&puppets[k]);
        }
    (void)drain_depot(true);
    EXPECT_EQ(cached_blocks(), 0);
    EXPECT_EQ(live_blocks(), held_by_all()); /* what threads held when they ended */
    expect_listed(0);
    EXPECT_CACHE_OK();
}

/* ---- without a barrier ---- */

static void nothing_is_drained_before_a_barrier(void)
{
    start(2);
    puppet_fill(&puppets[0], C, 40);
    puppet_fill(&puppets[1], C, 40);
    size_t cached = blocks_in(puppets[0].room->mine) + blocks_in(puppets[1].room->mine);
    ebb_fake.fail_at = 1;
    EXPECT(revoke_all() < 0);
    EXPECT_EQ(ebb_fake.failures, 1);
    EXPECT_EQ(drain_all(), 0);
    expect_listed(2);
    /* The next one finds nobody to turn away, and passes the barrier all the same. */
    unsigned barriers = ebb_fake.barriers;
    EXPECT_EQ(revoke_all(), 0);
    EXPECT_EQ(ebb_fake.barriers, barriers + 1);
    EXPECT_EQ(drain_all(), cached);
    nothing_is_lost(0);
}

static void a_kernel_without_barrier(void)
{
    ebb_fake.barrier_rc = -EPERM;
    EXPECT(ebb__os_barrier_init() == -EPERM);
    puppet_start(&puppets[0]);
    puppet_fill(&puppets[0], C, 40);
    size_t cached = blocks_in(puppets[0].room->mine);
    for (unsigned i = 0; i < 5; i++) {
        EXPECT(revoke_all() < 0);
        EXPECT_EQ(drain_all(), 0);
    }
    EXPECT_EQ(blocks_in(puppets[0].room->mine), cached);
    puppet_fill(&puppets[0], C, 2); /* comes back */
    EXPECT_EQ(blocks_in(puppets[0].room->mine), cached);
    expect_listed(1);
    nothing_is_lost(0);
}

static void option_drain_0(void)
{
    start(1);
    ebb__conf.drain = 0;
    puppet_fill(&puppets[0], C, 40);
    unsigned barriers = ebb_fake.barriers;
    EXPECT_EQ(revoke_all(), -ENOTSUP);
    EXPECT(puppets[0].room->cache == puppets[0].room->mine);
    EXPECT_EQ(drain_all(), 0);
    EXPECT_EQ(ebb_fake.barriers, barriers);
    expect_listed(1);
}

/* Then a thread that comes to a miss after two intervals empties its own cache, and not after one. */
static void without_a_barrier_old_caches_empty_themselves(void)
{
    start(1);
    ebb__conf.drain = 0;
    puppet_fill(&puppets[0], C, 60);
    struct thread_cache *mine = puppets[0].room->mine;
    size_t cached = blocks_in(mine);
    for (unsigned i = 1; i <= 3; i++) { /* a miss in each interval: another class */
        ebb__cache_grow_older();
        puppet_fill(&puppets[0], C + i, 1);
        EXPECT(blocks_in(mine) >= cached);
    }
    ebb__cache_grow_older();
    ebb__cache_grow_older();
    puppet_fill(&puppets[0], C, 1); /* a hit notices nothing */
    EXPECT(blocks_in(mine) >= cached);
    puppet_fill(&puppets[0], C + 4, 1);
    EXPECT(blocks_in(mine) <= 1);
    EXPECT(puppets[0].room->mine == mine);
    nothing_is_lost(0);
}

/* ---- what no thread has ---- */

static size_t internal_bytes(void)
{
    struct ebb_heap_stats heap;
    ebb__heap_stats(&heap);
    return heap.internal_bytes;
}

/* Leaves full magazines of the class in the depot, and nothing anywhere else. */
static void fill_depot(struct puppet *p, unsigned c)
{
    static void *blocks[4000];
    (void)p;
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(blocks); i++)
        blocks[i] = get(c);
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(blocks); i++)
        put(blocks[i]);
    ebb__cache_flush_thread();
    EXPECT(depot_blocks(c) != 0);
}

static void idle_depots_go_and_busy_ones_stay(void)
{
    start(0);
    fill_depot(NULL, 3);
    fill_depot(NULL, 4);
    size_t in3 = depot_blocks(3), in4 = depot_blocks(4);
    EXPECT_EQ(drain_depot(false), 0); /* both were busy since the last look */
    void *p = get(4);                 /* takes a magazine of class 4 */
    EXPECT(depot_blocks(4) < in4);
    EXPECT_EQ(drain_depot(false), in3);
    EXPECT(depot_blocks(3) == 0 && depot_blocks(4) != 0);
    put(p);
    in4 = depot_blocks(4);
    EXPECT_EQ(drain_depot(false), in4);
    EXPECT_EQ(drain_depot(false), 0);
    fill_depot(NULL, 3);
    EXPECT(drain_depot(true) != 0); /* whatever was busy */
    ebb__cache_flush_thread();
    EXPECT_EQ(cached_blocks(), 0);
    nothing_is_lost(0);
}

static void idle_empty_magazines_go_too(void)
{
    start(0);
    struct magazine *mags[40];
    size_t before = internal_bytes();
    for (unsigned i = 0; i < 40; i++)
        EXPECT((mags[i] = ebb__mag_create(1)) != NULL);
    size_t most = internal_bytes();
    EXPECT(most > before);
    for (unsigned i = 0; i < 40; i++)
        ebb__mag_destroy(mags[i]);
    EXPECT_EQ(internal_bytes(), most); /* they wait */
    (void)drain_depot(false);
    EXPECT_EQ(internal_bytes(), most);
    mags[0] = ebb__mag_create(1); /* somebody asked for one */
    (void)drain_depot(false);
    EXPECT_EQ(internal_bytes(), most);
    ebb__mag_destroy(mags[0]);
    (void)drain_depot(false);
    EXPECT_EQ(internal_bytes(), most);
    (void)drain_depot(false);
    EXPECT_EQ(internal_bytes(), before);
    EXPECT_CACHE_OK();
}

/* ---- fork ---- */

static void child_of_fork(bool own_drained, bool inside)
{
    ebb__heap_after_fork();
    ebb__cache_after_fork();
    EXPECT_EQ(ebb__thread.busy, inside); /* forked by a signal handler: what it interrupted goes on later */
    expect_listed(own_drained ? 0 : 1);
    EXPECT(own_drained == (ebb__thread.mine == NULL));
    if (!own_drained && !inside)
        EXPECT(ebb__cache_get(C) != NULL); /* a hit: it is revoked no more */
    put(get(C));
    expect_listed(1);
    EXPECT(ebb__thread.cache == ebb__thread.mine);
    void *blocks[50];
    for (unsigned i = 0; i < 50; i++)
        blocks[i] = get(C);
    for (unsigned i = 0; i < 50; i++)
        put(blocks[i]);
    EXPECT_EQ(revoke_all(), 0);
    EXPECT(drain_all() != 0);
    expect_listed(0);
    put(get(C));
    expect_listed(1);
    EXPECT_CACHE_OK();
    _exit(0);
}

static void expect_child_well(bool own_drained, bool inside)
{
    int status = 0;
    (void)fflush(NULL);
    ebb__lock_take(&ebb__return_lock); /* as the fork handlers do */
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        ebb__lock_release(&ebb__return_lock);
        child_of_fork(own_drained, inside);
    }
    ebb__lock_release(&ebb__return_lock);
    EXPECT(waitpid(pid, &status, 0) == pid);
    EXPECT_EQ(status, 0);
}

static void fork_children_have_their_cache(void)
{
    start(3);
    for (unsigned i = 0; i < 3; i++)
        puppet_fill(&puppets[i], C, 40);
    void *blocks[20];
    for (unsigned i = 0; i < 20; i++)
        blocks[i] = get(C);
    for (unsigned i = 0; i < 20; i++)
        put(blocks[i]);
    EXPECT_EQ(revoke_all(), 0);
    expect_child_well(false, false);
    puppet_fill(&puppets[0], C, 3);
    puppet_do(&puppets[1], act_stay_inside);
    expect_child_well(false, false);
    (void)ebb__cache_enter(); /* as if a signal's handler called fork */
    expect_child_well(false, true);
    ebb__cache_leave();
    EXPECT_EQ(revoke_all(), 0);
    EXPECT(drain_all() != 0);
    EXPECT(ebb__thread.mine == NULL);
    expect_child_well(true, false);
    expect_listed(1); /* the one inside */
    puppet_do(&puppets[1], act_leave);
    nothing_is_lost(0);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(a_revoked_cache_comes_back_with_its_content),
        CASE(freed_twice_across_a_revocation),
        CASE(a_drained_thread_makes_a_new_cache),
        CASE(flushing_a_revoked_cache),
        CASE(only_the_abandoned_are_emptied),
        CASE(a_locked_thread_is_left_alone),
        CASE(ends_of_revoked_and_drained_threads),
        CASE(any_order),
        CASE(nothing_is_drained_before_a_barrier),
        CASE(a_kernel_without_barrier),
        CASE(option_drain_0),
        CASE(without_a_barrier_old_caches_empty_themselves),
        CASE(idle_depots_go_and_busy_ones_stay),
        CASE(idle_empty_magazines_go_too),
        CASE(fork_children_have_their_cache),
    };
    small_reservations();
    return RUN_CASES(cases);
}
