/* SPDX-License-Identifier: MIT
 *
 * Threads, clock and sleep of the fake kernel. Nothing runs by itself and nothing waits: a started thread is remembered until
 * the test runs it, a sleep moves the clock, a wake lies in a queue until somebody sleeps.
 */
#include "os/fake_priv.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A loop that sleeps for ever this often, with nobody to wake it, would never end. */
#define SLEPT_FOREVER_MAX 1000u

static EBB_TLS void (*exit_fn)(void *);
static EBB_TLS void *exit_arg;

static uint64_t wakes[EBB_FAKE_WAKES_MAX]; /* the oldest first */
static unsigned wake_count;

void ebb_fake_thread_reset(void)
{
    exit_fn = NULL;
    wake_count = 0;
}

unsigned ebb_fake_wakes_waiting(void)
{
    return wake_count;
}

/* ---- clock, identity, environment ---- */

uint64_t ebb__os_now_ms(void)
{
    return ebb_fake.now_ms;
}

uint64_t ebb__os_now_ns(void)
{
    return ebb_fake.now_ms * 1000000 + ebb_fake.extra_ns;
}

uint64_t ebb__os_thread_cpu_ns(void)
{
    return ebb_fake.thread_cpu_ns;
}

uint32_t ebb__os_pid(void)
{
    return ebb_fake.pid;
}

const char *ebb__os_env(const char *name)
{
    return ebb_fake.env_of != NULL ? ebb_fake.env_of(name) : ebb_fake.env;
}

/* ---- exit and fork ---- */

int ebb__os_thread_exit_arm(void (*fn)(void *), void *arg)
{
    exit_fn = fn;
    exit_arg = arg;
    return 0;
}

void ebb_fake_thread_exit(void)
{
    void (*fn)(void *) = exit_fn;
    exit_fn = NULL;
    if (fn != NULL)
        fn(exit_arg);
}

int ebb__os_on_fork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    ebb_fake.fork_prepare = prepare;
    ebb_fake.fork_parent = parent;
    ebb_fake.fork_child = child;
    return 0;
}

/* ---- the asymmetric fence: counted, and a real one where the kernel has it, for threads that share the fake ---- */

int ebb__os_barrier_init(void)
{
    pthread_mutex_lock(&ebb_fake_mutex);
    int rc = ebb_fake_must_fail() ? -EPERM : ebb_fake.barrier_rc;
    ebb_fake.barrier_ready = rc == 0;
    if (rc == 0)
        (void)syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
    pthread_mutex_unlock(&ebb_fake_mutex);
    return rc;
}

int ebb__os_barrier(void)
{
    pthread_mutex_lock(&ebb_fake_mutex);
    int rc = ebb_fake_must_fail() || !ebb_fake.barrier_ready ? -EPERM : 0;
    if (rc == 0)
        ebb_fake.barriers++;
    pthread_mutex_unlock(&ebb_fake_mutex);
    if (rc == 0)
        (void)syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    return rc;
}

/* ---- the background thread ---- */

int ebb__os_thread_start(void (*fn)(void *arg), void *arg)
{
    REQUIRE(fn != NULL && ebb__lock_none_held());
    pthread_mutex_lock(&ebb_fake_mutex);
    int rc = ebb_fake_must_fail() ? -EAGAIN : ebb_fake.thread_rc;
    if (rc == 0) {
        ebb_fake.thread_fn = fn;
        ebb_fake.thread_arg = arg;
        ebb_fake.threads_started++;
    }
    pthread_mutex_unlock(&ebb_fake_mutex);
    return rc;
}

void ebb_fake_thread_run(void)
{
    void (*fn)(void *) = ebb_fake.thread_fn;
    uint32_t caller = ebb_fake.thread_id;
    REQUIRE(fn != NULL); /* nothing was started, or it has run already */
    ebb_fake.thread_fn = NULL;
    ebb_fake.thread_id = EBB_FAKE_STARTED_ID;
    fn(ebb_fake.thread_arg);
    ebb_fake.thread_id = caller;
}

uint32_t ebb__os_thread_id(void)
{
    return ebb_fake.thread_id;
}

unsigned ebb__os_thread_count(void)
{
    return ebb_fake.thread_count;
}

bool ebb__os_is_threaded(void)
{
    return ebb_fake.threaded;
}

/* ---- sleep and wake ---- */

bool ebb__os_sleep(uint64_t timeout_ms, uint64_t *ret_payload)
{
    bool woken = false;
    if (ebb_fake.on_sleep != NULL)
        return ebb_fake.on_sleep(timeout_ms, ret_payload);
    pthread_mutex_lock(&ebb_fake_mutex);
    if (wake_count != 0) {
        *ret_payload = wakes[0];
        memmove(wakes, wakes + 1, --wake_count * sizeof(wakes[0]));
        woken = true;
    } else if (timeout_ms == EBB_OS_FOREVER) {
        REQUIRE(ebb_fake.slept_forever < SLEPT_FOREVER_MAX);
        ebb_fake.slept_forever++;
    } else {
        ebb_fake.now_ms += timeout_ms;
    }
    pthread_mutex_unlock(&ebb_fake_mutex);
    return woken;
}

int ebb__os_wake(uint32_t tid, uint64_t payload)
{
    int rc = -EAGAIN;
    REQUIRE(tid != 0);
    if (payload > EBB_OS_WAKE_PAYLOAD_MAX)
        return -EINVAL;
    pthread_mutex_lock(&ebb_fake_mutex);
    if (!ebb_fake_must_fail() && wake_count < EBB_FAKE_WAKES_MAX) {
        wakes[wake_count++] = payload;
        ebb_fake.wakes++;
        ebb_fake.wake_thread_id = tid;
        ebb_fake.wake_payload = payload;
        rc = 0;
    }
    pthread_mutex_unlock(&ebb_fake_mutex);
    return rc;
}
