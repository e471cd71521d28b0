/* SPDX-License-Identifier: MIT
 *
 * Draining over the real kernel: its barrier, its end of threads, its fork.
 */
#include "puppet.h"

/* Reservations of 2 GiB: see small_space.h. The linker leads the heap's question here. */
void __real_ebb__os_limits(struct ebb_os_limits *ret_limits);
void __wrap_ebb__os_limits(struct ebb_os_limits *ret_limits);

void __wrap_ebb__os_limits(struct ebb_os_limits *ret_limits)
{
    __real_ebb__os_limits(ret_limits);
    ret_limits->memlock_bytes = EBB_GIB(8);
}

/* A process may have 1024 keys; when a program has taken them all, nobody hears of a thread's end. */
int __real_pthread_key_create(pthread_key_t *ret_key, void (*destructor)(void *));
int __wrap_pthread_key_create(pthread_key_t *ret_key, void (*destructor)(void *));
static bool no_keys;

int __wrap_pthread_key_create(pthread_key_t *ret_key, void (*destructor)(void *))
{
    return no_keys ? EAGAIN : __real_pthread_key_create(ret_key, destructor);
}

#define C       9u
#define PUPPETS 4u

static struct puppet puppets[PUPPETS];

/* False where the kernel or a filter forbids the barrier: then nothing can be drained. */
static bool have_barrier(const char *name)
{
    int rc = ebb__os_barrier_init();
    if (rc != 0)
        (void)printf("%s: skipped, no barrier here: %s\n", name, strerror(-rc));
    return rc == 0;
}

static void everything_is_back(void)
{
    (void)drain_depot(true);
    ebb__cache_flush_thread();
    EXPECT_EQ(cached_blocks(), 0);
    EXPECT_EQ(live_blocks(), 0);
    EXPECT_CACHE_OK();
}

static void parked_threads_are_emptied(void)
{
    if (!have_barrier(__func__))
        return;
    size_t had = 0;
    for (unsigned i = 0; i < PUPPETS; i++) {
        puppet_start(&puppets[i]);
        puppet_fill(&puppets[i], C + i, 100);
        had += blocks_in(puppets[i].room->mine);
    }
    EXPECT_EQ(revoke_all(), 0);
    puppet_fill(&puppets[0], C, 1);
    size_t awake = blocks_in(puppets[0].room->mine);
    EXPECT_EQ(drain_all(), had - awake);
    expect_listed(1);
    for (unsigned i = 0; i < PUPPETS; i++) {
        puppet_fill(&puppets[i], C, 30);
        EXPECT(puppets[i].room->mine != NULL);
    }
    expect_listed(PUPPETS);
    for (unsigned i = 0; i < PUPPETS; i++)
        puppet_end(&puppets[i]);
    expect_listed(0);
    everything_is_back();
}

static unsigned ended;

static void count_end(void)
{
    ended++;
}

static void ends_in_every_state(void)
{
    if (!have_barrier(__func__))
        return;
    ebb__cache_thread_ended = count_end;
    for (unsigned i = 0; i < PUPPETS; i++)
        puppet_start(&puppets[i]);
    for (unsigned i = 0; i < PUPPETS - 1; i++)
        puppet_fill(&puppets[i], C, 100);
    EXPECT_EQ(revoke_all(), 0);
    puppet_end(&puppets[0]); /* revoked */
    EXPECT_EQ(ended, 1);
    expect_listed(2);
    EXPECT(drain_all() != 0);
    expect_listed(0);
    puppet_end(&puppets[1]); /* drained */
    puppet_fill(&puppets[2], C, 100);
    expect_listed(1);
    puppet_end(&puppets[2]); /* drained, and made a new one */
    EXPECT_EQ(ended, 3);
    puppet_end(&puppets[3]); /* never had one */
    EXPECT_EQ(ended, 3);
    expect_listed(0);
    everything_is_back();
}

/* The room of a thread is in its stack: when the list still led to it after the thread's end, the next revocation would
 * read memory that is gone, or the room of another thread. A stack so large is unmapped at once. */
static void *work_and_end(void *unused)
{
    (void)unused;
    void *blocks[40];
    for (unsigned i = 0; i < 40; i++)
        blocks[i] = get(C);
    for (unsigned i = 0; i < 40; i++)
        put(blocks[i]);
    return NULL;
}

static void threads_whose_end_nobody_hears(void)
{
    pthread_attr_t attr;
    pthread_t thread;
    if (!have_barrier(__func__))
        return;
    no_keys = true;
    EXPECT(pthread_attr_init(&attr) == 0 && pthread_attr_setstacksize(&attr, EBB_MIB(256)) == 0);
    EXPECT(pthread_create(&thread, &attr, work_and_end, NULL) == 0);
    EXPECT(pthread_join(thread, NULL) == 0);
    expect_listed(0);
    EXPECT_EQ(revoke_all(), 0);
    (void)drain_all();
    everything_is_back();
}

static void fork_between_revoke_and_drain(void)
{
    if (!have_barrier(__func__))
        return;
    int status = 0;
    puppet_start(&puppets[0]);
    puppet_fill(&puppets[0], C, 100);
    work_and_end(NULL);
    expect_listed(2);
    EXPECT_EQ(revoke_all(), 0);
    (void)fflush(NULL);
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        ebb__heap_after_fork();
        ebb__cache_after_fork();
        expect_listed(1);
        EXPECT(ebb__cache_get(C) != NULL);
        memset(puppets, 0, sizeof(puppets));
        puppet_start(&puppets[1]);
        puppet_fill(&puppets[1], C, 100);
        EXPECT_EQ(revoke_all(), 0); /* the registration is inherited */
        EXPECT(drain_all() != 0);
        expect_listed(0);
        puppet_fill(&puppets[1], C, 100);
        puppet_end(&puppets[1]);
        _exit(0);
    }
    EXPECT(waitpid(pid, &status, 0) == pid);
    EXPECT_EQ(status, 0);
    EXPECT(drain_all() != 0);
    puppet_end(&puppets[0]);
    everything_is_back();
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(parked_threads_are_emptied),
        CASE(ends_in_every_state),
        CASE(threads_whose_end_nobody_hears),
        CASE(fork_between_revoke_and_drain),
    };
    return RUN_CASES(cases);
}
