/* SPDX-License-Identifier: MIT
 *
 * Threads that do one thing at a time, when told, and rest in between: so a test with several threads has one order of
 * events. Only one of all threads ever runs.
 */
#ifndef EBB_TESTS_UNIT_CACHE_PUPPET_H
#define EBB_TESTS_UNIT_CACHE_PUPPET_H

#include "cache/cache_priv.h"
#include "cache_test.h"

#include <pthread.h>
#include <semaphore.h>

struct puppet {
    pthread_t thread;
    sem_t told, done;
    void (*act)(struct puppet *p); /* NULL: end */
    struct ebb_thread *room;       /* its TLS; valid while it lives */
    void *blocks[1024];            /* what it holds */
    unsigned count;
    unsigned c; /* argument: a class */
    unsigned n; /* argument: how many */
    bool alive;
};

static inline void *puppet_main(void *arg)
{
    struct puppet *p = arg;
    p->room = &ebb__thread;
    EXPECT(sem_post(&p->done) == 0);
    for (;;) {
        while (sem_wait(&p->told) != 0)
            EXPECT_EQ(errno, EINTR);
        if (p->act == NULL)
            return NULL;
        p->act(p);
        EXPECT(sem_post(&p->done) == 0);
    }
}

static inline void puppet_wait(struct puppet *p)
{
    while (sem_wait(&p->done) != 0)
        EXPECT_EQ(errno, EINTR);
}

static inline void puppet_start(struct puppet *p)
{
    EXPECT(!p->alive);
    EXPECT(sem_init(&p->told, 0, 0) == 0 && sem_init(&p->done, 0, 0) == 0);
    EXPECT(pthread_create(&p->thread, NULL, puppet_main, p) == 0);
    puppet_wait(p);
    p->alive = true;
}

static inline void puppet_do(struct puppet *p, void (*act)(struct puppet *p))
{
    EXPECT(p->alive && act != NULL);
    p->act = act;
    EXPECT(sem_post(&p->told) == 0);
    puppet_wait(p);
}

static inline void puppet_end(struct puppet *p)
{
    p->act = NULL;
    EXPECT(sem_post(&p->told) == 0);
    EXPECT(pthread_join(p->thread, NULL) == 0);
    EXPECT(sem_destroy(&p->told) == 0 && sem_destroy(&p->done) == 0);
    p->alive = false;
    p->room = NULL;
}

/* ---- what they can do ---- */

static inline void act_take(struct puppet *p)
{
    for (unsigned i = 0; i < p->n && p->count < EBB_ARRAY_COUNT(p->blocks); i++) {
        char *block = get(p->c);
        EXPECT(block != NULL);
        block[0] = (char)p->c;
        p->blocks[p->count++] = block;
    }
}

static inline void act_give(struct puppet *p)
{
    for (unsigned i = 0; i < p->n && p->count != 0; i++) {
        char *block = p->blocks[--p->count];
        EXPECT_EQ(block[0], (char)(ebb__unit_entry(block) & 0xff));
        put(block);
    }
}

static inline void act_flush(struct puppet *p)
{
    (void)p;
    ebb__cache_flush_thread();
}

static inline void act_check(struct puppet *p)
{
    (void)p;
    EXPECT(ebb__cache_check() == 0);
}

/* What an operation leaves that was interrupted between its two halves. */
static inline void act_stay_inside(struct puppet *p)
{
    (void)p;
    (void)ebb__cache_enter();
}

static inline void act_leave(struct puppet *p)
{
    (void)p;
    ebb__cache_leave();
}

/* Has it cache about `blocks` blocks of the class; it holds none afterwards. */
static inline void puppet_fill(struct puppet *p, unsigned c, unsigned blocks)
{
    p->c = c;
    p->n = blocks;
    puppet_do(p, act_take);
    puppet_do(p, act_give);
}

/* ---- the drainer ---- */

static inline int revoke_all(void)
{
    ebb__lock_take(&ebb__return_lock);
    int rc = ebb__cache_revoke();
    ebb__lock_release(&ebb__return_lock);
    return rc;
}

static inline size_t drain_all(void)
{
    ebb__lock_take(&ebb__return_lock);
    size_t blocks = ebb__cache_drain();
    ebb__lock_release(&ebb__return_lock);
    return blocks;
}

static inline size_t drain_depot(bool all)
{
    ebb__lock_take(&ebb__return_lock);
    size_t blocks = ebb__cache_drain_depot(all);
    ebb__lock_release(&ebb__return_lock);
    return blocks;
}

/* Blocks in one cache, counted one by one. Its thread rests. */
static inline size_t blocks_in(const struct thread_cache *tc)
{
    size_t n = 0;
    for (unsigned c = 1; c < EBB_CACHE_BINS && tc != NULL; c++) {
        const struct cache_bin *bin = &tc->bins[c];
        n += bin->loaded != NULL ? (size_t)(bin->top - bin->loaded->slots) : 0;
        n += bin->prev != NULL ? bin->prev->count : 0;
    }
    return n;
}

/* The list leads both ways, has as many caches as are counted, and each is its owner's (C6). */
static inline void expect_listed(unsigned count)
{
    unsigned n = 0;
    const struct thread_cache *before = NULL;
    ebb__lock_take(&ebb__caches_lock);
    for (const struct thread_cache *tc = ebb__caches.first; tc != NULL; before = tc, tc = tc->next, n++) {
        EXPECT(tc->prev_cache == before);
        EXPECT_MSG(tc->owner->mine == tc, "cache %u of the list is not its owner's", n);
        EXPECT(n < 1000);
    }
    EXPECT(ebb__caches.last == before);
    ebb__lock_release(&ebb__caches_lock);
    EXPECT_EQ(n, count);
    EXPECT_EQ(ebb__cache_threads(), count);
    EXPECT_EQ(EBB_COUNTED(caches), count);
}

#endif
