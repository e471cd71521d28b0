/* SPDX-License-Identifier: MIT
 *
 * The asymmetric fence on the real kernel: when it may be used, what it says where it is forbidden, and that it orders.
 */
#include "refuse.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>

#include "os/os.h"

#define SENTINEL 4321

static bool has_membarrier(void)
{
    long known = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
    return known > 0 && (known & MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0;
}

static void barrier_wants_init(void)
{
    int status;
    if (!has_membarrier()) {
        (void)printf("barrier_wants_init: skipped, no membarrier here\n");
        return;
    }
    errno = SENTINEL;
    EXPECT_EQ(ebb__os_barrier(), -EPERM);
    EXPECT_EQ(ebb__os_barrier_init(), 0);
    EXPECT_EQ(ebb__os_barrier(), 0);
    EXPECT_EQ(ebb__os_barrier_init(), 0);
    EXPECT_EQ(errno, SENTINEL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(ebb__os_barrier() == 0 ? 0 : 1);
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}

static void barrier_forbidden(void)
{
    SKIP_WITHOUT_FILTERS(refuse(SYS_membarrier, EPERM));
    errno = SENTINEL;
    EXPECT_EQ(ebb__os_barrier_init(), -EPERM);
    EXPECT_EQ(ebb__os_barrier(), -EPERM);
    EXPECT_EQ(errno, SENTINEL);
}

static void barrier_missing(void)
{
    SKIP_WITHOUT_FILTERS(refuse(SYS_membarrier, ENOSYS));
    EXPECT_EQ(ebb__os_barrier_init(), -ENOSYS);
    EXPECT_EQ(ebb__os_barrier(), -ENOSYS);
}

/* Each side says that it is there, then looks whether the other one is. Without the fence both may see nobody: in a
 * hundred duels or so it happens once, as long as the machine has a second processor free. */
#define DUELS 4000u
static struct {
    _Atomic unsigned begun EBB_ALIGNED(128);
    _Atomic unsigned left_here EBB_ALIGNED(128);
    _Atomic unsigned right_here EBB_ALIGNED(128);
    _Atomic unsigned left_done EBB_ALIGNED(128);
    unsigned left_saw; /* belongs to the left side until left_done */
} duel;

static void wait_for(_Atomic unsigned *counter, unsigned value)
{
    for (unsigned spins = 0; atomic_load_explicit(counter, memory_order_acquire) < value; spins++)
        if (spins % 256 == 255)
            (void)sched_yield();
}

static void *left_side(void *unused)
{
    (void)unused;
    for (unsigned i = 1; i <= DUELS; i++) {
        wait_for(&duel.begun, i);
        atomic_store_explicit(&duel.left_here, i, memory_order_relaxed);
        atomic_signal_fence(memory_order_seq_cst); /* the cheap side: the compiler alone */
        duel.left_saw = atomic_load_explicit(&duel.right_here, memory_order_relaxed);
        atomic_store_explicit(&duel.left_done, i, memory_order_release);
    }
    return NULL;
}

static void the_fence_orders_the_other_side(void)
{
    pthread_t left;
    unsigned blind = 0;
    if (!has_membarrier()) {
        (void)printf("the_fence_orders_the_other_side: skipped, no membarrier here\n");
        return;
    }
    EXPECT_EQ(ebb__os_barrier_init(), 0);
    EXPECT(pthread_create(&left, NULL, left_side, NULL) == 0);
    for (unsigned i = 1; i <= DUELS; i++) {
        atomic_store_explicit(&duel.begun, i, memory_order_release);
        for (volatile unsigned delay = i % 200; delay != 0; delay--) /* until the other side has seen it */
            ;
        atomic_store_explicit(&duel.right_here, i, memory_order_relaxed);
        EXPECT_EQ(ebb__os_barrier(), 0);
        unsigned right_saw = atomic_load_explicit(&duel.left_here, memory_order_relaxed);
        wait_for(&duel.left_done, i);
        blind += right_saw != i && duel.left_saw != i;
    }
    EXPECT(pthread_join(left, NULL) == 0);
    EXPECT_EQ(blind, 0);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(barrier_wants_init),
        CASE(barrier_forbidden),
        CASE(barrier_missing),
        CASE(the_fence_orders_the_other_side),
    };
    return RUN_CASES(cases);
}
