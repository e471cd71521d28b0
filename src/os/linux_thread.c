/* SPDX-License-Identifier: MIT
 *
 * Threads on Linux: the hooks of thread exit and fork, the asymmetric fence, and a thread of our own that sleeps and is woken.
 *
 * Signals. The background thread blocks all that pthread_sigmask() can block, so no handler of the program ever runs on its
 * small stack. What that function leaves open are the C library's own signals (32 and 33): setuid() in a process with threads
 * waits until each thread has taken one, so blocking them by a raw rt_sigprocmask() would hang it for ever.
 *
 * Sleep. rt_sigtimedwait() on one real-time signal, queued at the thread: no descriptor, no futex word that another process
 * would have to reach, and the tool can wake the thread by the same call. A wake that comes before the sleep stays pending
 * and ends it at once.
 *
 * Strays. While it waits, the thread is a candidate for signals of that number sent to the process as a whole, and the
 * kernel does not say to whom a signal was sent. Ours carry EBB_OS_WAKE_MAGIC in their value; anything else goes on to the
 * main thread, where a handler of the program runs in its time. The kernel lets nobody queue a signal that claims to come from
 * kill() or from itself, so such a one arrives with si_code SI_QUEUE; its sender and value are the original's.
 *
 * Fork. A start that another thread was in the middle of leaves its slot taken in the child; a slot names the process that
 * took it, so the child sees that it is free.
 */
#include <fcntl.h>
#include <linux/membarrier.h>
#include <linux/prctl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

#include "base/syscall.h"
#include "os/os.h"

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S  UINT64_C(1000000000)

/* ---- thread exit: one pthread key, whose destructor runs once for each thread that armed it ---- */

static pthread_key_t exit_key;
static _Atomic int exit_key_state; /* 0 none, 1 being made, 2 usable */
static EBB_TLS void (*exit_fn)(void *);
static EBB_TLS void *exit_arg;

static void run_exit_fn(void *unused)
{
    (void)unused;
    if (exit_fn != NULL)
        exit_fn(exit_arg);
}

int ebb__os_thread_exit_arm(void (*fn)(void *), void *arg)
{
    int none = 0;
    exit_fn = fn;
    exit_arg = arg;
    if (fn == NULL)
        return 0;
    if (atomic_compare_exchange_strong(&exit_key_state, &none, 1))
        atomic_store(&exit_key_state, pthread_key_create(&exit_key, run_exit_fn) == 0 ? 2 : 3);
    int state = atomic_load(&exit_key_state);
    if (state != 2)
        return state == 1 ? -EAGAIN : -ENOTSUP;
    return pthread_setspecific(exit_key, &exit_key) == 0 ? 0 : -ENOMEM;
}

int ebb__os_on_fork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    int saved = errno;
    int rc = -pthread_atfork(prepare, parent, child);
    errno = saved;
    return rc;
}

/* ---- the asymmetric fence ---- */

int ebb__os_barrier_init(void)
{
    return (int)ebb__syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0, 0, 0, 0);
}

int ebb__os_barrier(void)
{
    return (int)ebb__syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0, 0, 0, 0);
}

/* ---- which and how many ---- */

/* The C library's own flag since glibc 2.32; the reference is weak, so that an older one links. */
extern char __libc_single_threaded __attribute__((weak)); // NOLINT(bugprone-reserved-identifier): its name

uint32_t ebb__os_thread_id(void)
{
    return (uint32_t)ebb__syscall(SYS_gettid, 0, 0, 0, 0, 0, 0);
}

unsigned ebb__os_thread_count(void)
{
    struct stat st; /* on both architectures the kernel's own layout */
    long rc = ebb__syscall(SYS_newfstatat, AT_FDCWD, (long)"/proc/self/task", (long)&st, 0, 0, 0);
    return rc == 0 && st.st_nlink > 2 ? (unsigned)st.st_nlink - 2 : 0; /* "." and "..", and one folder each */
}

bool ebb__os_is_threaded(void)
{
    if (&__libc_single_threaded != NULL)
        return __libc_single_threaded == 0;
    return ebb__os_thread_count() != 1; /* unknown: assume the worse */
}

uint64_t ebb__os_thread_cpu_ns(void)
{
    struct timespec used = {0};
    (void)ebb__syscall(SYS_clock_gettime, CLOCK_THREAD_CPUTIME_ID, (long)&used, 0, 0, 0, 0);
    return (uint64_t)used.tv_sec * NS_PER_S + (uint64_t)used.tv_nsec;
}

/* ---- start ---- */

/* What a new thread is told. It outlives the caller's frame, and no memory is asked for: the thread copies it and frees the
 * slot as its first act, so more than one taken at a time is rare. */
struct slot {
    _Atomic uint32_t
        owner_pid; /* 0 free; release when freed, acquire when taken: the fields belong to the owner between */
    void (*fn)(void *);
    void *arg;
};
static struct slot slots[4];

static struct slot *take_slot(void)
{
    uint32_t pid = ebb__os_pid();
    for (size_t i = 0; i < EBB_ARRAY_COUNT(slots); i++) {
        uint32_t owner = atomic_load_explicit(&slots[i].owner_pid, memory_order_relaxed);
        if (owner != pid && atomic_compare_exchange_strong_explicit(
                                &slots[i].owner_pid, &owner, pid, memory_order_acquire, memory_order_relaxed))
            return &slots[i];
    }
    return NULL;
}

static void free_slot(struct slot *slot)
{
    atomic_store_explicit(&slot->owner_pid, 0, memory_order_release);
}

static void *thread_main(void *from)
{
    struct slot *slot = from;
    void (*fn)(void *) = slot->fn;
    void *arg = slot->arg;
    free_slot(slot);
    (void)ebb__syscall(SYS_prctl, PR_SET_NAME, (long)"ebb", 0, 0, 0, 0);
    fn(arg);
    return NULL;
}

/* The C library puts the program's static thread-local storage on the stack too and refuses a stack that is too small for both;
 * only it knows how much that is, so the size is doubled until it agrees. */
/* Address space, of which some pages are touched. Not less: when this is the last thread of a process whose main thread has ended,
 * the C library runs the program's exit handlers on it. */
#define STACK_BYTES_MIN EBB_MIB(1)
#define STACK_BYTES_MAX EBB_MIB(4)

static int create_detached(struct slot *slot)
{
    pthread_attr_t attr;
    pthread_t thread;
    int rc = pthread_attr_init(&attr);
    if (rc != 0)
        return -rc;
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    for (size_t bytes = STACK_BYTES_MIN; bytes <= STACK_BYTES_MAX; bytes *= 2) {
        rc = pthread_attr_setstacksize(&attr, bytes);
        if (rc == 0)
            rc = pthread_create(&thread, &attr, thread_main, slot);
        if (rc != EINVAL)
            break;
    }
    (void)pthread_attr_destroy(&attr);
    return -rc;
}

int ebb__os_thread_start(void (*fn)(void *arg), void *arg)
{
    sigset_t all, before;
    int saved = errno;
    struct slot *slot = take_slot();
    if (slot == NULL)
        return -EAGAIN;
    slot->fn = fn;
    slot->arg = arg;
    memset(&all, 0xff, sizeof(all));
    int rc = -pthread_sigmask(SIG_SETMASK, &all, &before);
    if (rc == 0) {
        rc = create_detached(slot);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (rc != 0)
        free_slot(slot);
    errno = saved;
    return rc;
}

/* ---- sleep and wake ---- */

/* The kernel's signal set: 64 bits, one for each signal from 1. */
static const uint64_t wake_set = UINT64_C(1) << (EBB_OS_WAKE_SIGNAL - 1);

static long queue_signal(uint32_t tid, siginfo_t *info)
{
    return ebb__syscall(SYS_rt_tgsigqueueinfo, (long)ebb__os_pid(), (long)tid, EBB_OS_WAKE_SIGNAL, (long)info,
                        0, 0);
}

int ebb__os_wake(uint32_t tid, uint64_t payload)
{
    siginfo_t info;
    if (payload > EBB_OS_WAKE_PAYLOAD_MAX)
        return -EINVAL;
    memset(&info, 0, sizeof(info));
    info.si_signo = EBB_OS_WAKE_SIGNAL;
    info.si_code = SI_QUEUE;
    info.si_pid = (pid_t)ebb__os_pid();
    uint64_t value = EBB_OS_WAKE_MAGIC << EBB_OS_WAKE_PAYLOAD_BITS | payload;
    memcpy(&info.si_value, &value, sizeof(value));
    return (int)queue_signal(tid, &info);
}

/* True when the signal is one of ours; then *ret_payload is what it says. */
static bool is_wake(const siginfo_t *info, uint64_t *ret_payload)
{
    uint64_t value;
    memcpy(&value, &info->si_value, sizeof(value));
    if (info->si_code != SI_QUEUE || value >> EBB_OS_WAKE_PAYLOAD_BITS != EBB_OS_WAKE_MAGIC)
        return false;
    *ret_payload = value & EBB_OS_WAKE_PAYLOAD_MAX;
    return true;
}

static void hand_on(siginfo_t *info)
{
    uint32_t main_tid = ebb__os_pid();
    if (queue_signal(main_tid, info) == -EPERM) {
        info->si_code = SI_QUEUE;
        (void)queue_signal(main_tid, info);
    }
}

bool ebb__os_sleep(uint64_t timeout_ms, uint64_t *ret_payload)
{
    EBB_STATIC_ASSERT(sizeof(((siginfo_t *)0)->si_value) == sizeof(uint64_t),
                      "a value has room for magic and payload");
    uint64_t start_ns = ebb__os_now_ns();
    bool for_ever = timeout_ms > (UINT64_MAX - start_ns) / NS_PER_MS; /* or 500 years, which is the same */
    uint64_t end_ns = for_ever ? 0 : start_ns + timeout_ms * NS_PER_MS;
    for (uint64_t now_ns = start_ns;; now_ns = ebb__os_now_ns()) {
        siginfo_t info;
        uint64_t rest_ns = for_ever || now_ns >= end_ns ? 0 : end_ns - now_ns;
        struct timespec rest = {.tv_sec = (time_t)(rest_ns / NS_PER_S),
                                .tv_nsec = (long)(rest_ns % NS_PER_S)};
        long rc = ebb__syscall(SYS_rt_sigtimedwait, (long)&wake_set, (long)&info, for_ever ? 0 : (long)&rest,
                               sizeof(wake_set), 0, 0);
        if (rc == -EAGAIN)
            return false;
        if (rc == EBB_OS_WAKE_SIGNAL) {
            if (is_wake(&info, ret_payload))
                return true;
            hand_on(&info);
        } else if (rc != -EINTR) {
            return false; /* a filter forbids the call: no sleep, and the caller must not count on one */
        }
    }
}
