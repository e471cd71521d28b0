/* SPDX-License-Identifier: MIT
 *
 * The background thread on the real kernel: how it starts, what it blocks, how it sleeps and is woken, who counts it.
 */
#include "refuse.h"

#include <dirent.h>
#include <pthread.h>

#include "os/os.h"

#define SENTINEL 4321
#define WAKES    8u

/* A thread under test notes what it sees; the case reads it after `done` has risen. */
static struct {
    _Atomic uint32_t tid;
    _Atomic unsigned done;   /* sleeps that have returned */
    _Atomic unsigned rounds; /* sleeps to do */
    _Atomic bool ended;
    _Atomic uint64_t timeout_ms;
    bool woken[WAKES];
    uint64_t payload[WAKES];
    uint64_t slept_ms[WAKES];
    int errno_then[WAKES];
} seen;

static void nap(unsigned ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&time, NULL);
}

/* An alarm ends a wait that nobody ends. */
#define WAIT_UNTIL(e)                                                                                        \
    do {                                                                                                     \
        while (!(e))                                                                                         \
            nap(1);                                                                                          \
    } while (0)

static void sleeper(void *arg)
{
    errno = SENTINEL;
    EXPECT(arg == &seen);
    atomic_store(&seen.tid, ebb__os_thread_id());
    for (unsigned i = 0; i < atomic_load(&seen.rounds); i++) {
        uint64_t start_ns = ebb__os_now_ns();
        seen.payload[i] = UINT64_MAX;
        seen.woken[i] = ebb__os_sleep(atomic_load(&seen.timeout_ms), &seen.payload[i]);
        seen.slept_ms[i] = (ebb__os_now_ns() - start_ns) / 1000000;
        seen.errno_then[i] = errno;
        atomic_store(&seen.done, i + 1);
    }
    atomic_store(&seen.ended, true);
}

static void start_sleeper(unsigned rounds, uint64_t timeout_ms)
{
    atomic_store(&seen.rounds, rounds);
    atomic_store(&seen.timeout_ms, timeout_ms);
    (void)alarm(60); /* who is never woken fails early */
    EXPECT_EQ(ebb__os_thread_start(sleeper, &seen), 0);
    WAIT_UNTIL(atomic_load(&seen.tid) != 0);
}

/* A line of /proc/self/task/TID/status behind its name. */
static bool status_line(uint32_t tid, const char *name, char ret_text[64])
{
    char path[64], line[256];
    size_t len = strlen(name);
    bool found = false;
    (void)snprintf(path, sizeof(path), "/proc/self/task/%u/status", tid);
    FILE *file = fopen(path, "re");
    while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, name, len) == 0 && line[len] == ':') {
            (void)snprintf(ret_text, 64, "%.60s", line + len + 2);
            found = true;
        }
    if (file != NULL)
        (void)fclose(file);
    return found;
}

/* Until it really sleeps, so that a wake meets it there. */
static void wait_asleep(void)
{
    char state[64];
    WAIT_UNTIL(status_line(atomic_load(&seen.tid), "State", state) && state[0] == 'S');
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    EXPECT(dir != NULL);
    while (readdir(dir) != NULL)
        count++;
    (void)closedir(dir);
    return count;
}

/* Whether it is pending at the main thread itself. */
static bool main_has_it(void)
{
    char pending[64];
    EXPECT(status_line(ebb__os_pid(), "SigPnd", pending));
    return (strtoull(pending, NULL, 16) >> (EBB_OS_WAKE_SIGNAL - 1) & 1) != 0;
}

/* An emulator keeps pending signals to itself, blocks in its threads what it likes, keeps the last signals back for its own
 * use, and may not survive a fork with threads. Asked without the library. */
static bool is_emulated(void)
{
    sigset_t set;
    struct timespec none = {0};
    (void)sigemptyset(&set);
    (void)sigaddset(&set, EBB_OS_WAKE_SIGNAL);
    EXPECT(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    EXPECT(raise(EBB_OS_WAKE_SIGNAL) == 0);
    bool shown = main_has_it();
    EXPECT(sigtimedwait(&set, NULL, &none) == EBB_OS_WAKE_SIGNAL);
    EXPECT(pthread_sigmask(SIG_UNBLOCK, &set, NULL) == 0);
    return !shown;
}

/* ---- sleep and wake ---- */

static void wakes_carry_48_bits(void)
{
    static const uint64_t payloads[] = {1, 0, EBB_OS_WAKE_PAYLOAD_MAX, UINT64_C(0x123456789abc)};
    unsigned descriptors = open_descriptors();
    start_sleeper(EBB_ARRAY_COUNT(payloads), EBB_OS_FOREVER);
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(payloads); i++) {
        wait_asleep();
        EXPECT_EQ(atomic_load(&seen.done), i);
        errno = SENTINEL;
        EXPECT_EQ(ebb__os_wake(atomic_load(&seen.tid), payloads[i]), 0);
        EXPECT_EQ(errno, SENTINEL);
        WAIT_UNTIL(atomic_load(&seen.done) == i + 1);
        EXPECT(seen.woken[i]);
        EXPECT_EQ(seen.payload[i], payloads[i]);
        EXPECT_EQ(seen.errno_then[i], SENTINEL);
    }
    EXPECT_EQ(open_descriptors(), descriptors);
}

static void more_than_48_bits_are_refused(void)
{
    errno = SENTINEL;
    EXPECT_EQ(ebb__os_wake(ebb__os_thread_id(), EBB_OS_WAKE_PAYLOAD_MAX + 1), -EINVAL);
    EXPECT_EQ(ebb__os_wake(ebb__os_thread_id(), UINT64_MAX), -EINVAL);
    EXPECT_EQ(errno, SENTINEL);
}

static _Atomic bool may_sleep;

static void sleep_later(void *arg)
{
    atomic_store(&seen.tid, ebb__os_thread_id());
    WAIT_UNTIL(atomic_load(&may_sleep));
    sleeper(arg);
}

static void a_wake_before_the_sleep_is_not_lost(void)
{
    atomic_store(&seen.rounds, 3);
    atomic_store(&seen.timeout_ms, EBB_OS_FOREVER);
    EXPECT_EQ(ebb__os_thread_start(sleep_later, &seen), 0);
    WAIT_UNTIL(atomic_load(&seen.tid) != 0);
    for (uint64_t i = 0; i < 3; i++)
        EXPECT_EQ(ebb__os_wake(atomic_load(&seen.tid), 7 + i), 0);
    atomic_store(&may_sleep, true);
    WAIT_UNTIL(atomic_load(&seen.ended));
    for (unsigned i = 0; i < 3; i++)
        EXPECT(seen.woken[i] && seen.payload[i] == 7 + i); /* in their order */
}

static void sleeps_end_by_themselves(void)
{
    start_sleeper(3, 60);
    WAIT_UNTIL(atomic_load(&seen.ended));
    for (unsigned i = 0; i < 3; i++) {
        EXPECT(!seen.woken[i] && seen.payload[i] == UINT64_MAX);
        EXPECT_MSG(seen.slept_ms[i] >= 60 && seen.slept_ms[i] < 20000, "%" PRIu64 " ms", seen.slept_ms[i]);
    }
    EXPECT_EQ(seen.errno_then[2], SENTINEL);
}

static void a_sleep_of_nothing_only_looks(void)
{
    start_sleeper(WAKES, 0);
    WAIT_UNTIL(atomic_load(&seen.ended));
    EXPECT(!seen.woken[0] && !seen.woken[WAKES - 1] && seen.slept_ms[WAKES - 1] < 20000);
}

/* More milliseconds than nanoseconds can count. */
static void a_very_long_sleep_does_not_end_at_once(void)
{
    start_sleeper(1, UINT64_MAX / 1000);
    wait_asleep();
    nap(30);
    EXPECT_EQ(atomic_load(&seen.done), 0);
    EXPECT_EQ(ebb__os_wake(atomic_load(&seen.tid), 5), 0);
    WAIT_UNTIL(atomic_load(&seen.ended));
    EXPECT(seen.woken[0] && seen.payload[0] == 5);
}

static void a_wake_for_nobody(void)
{
    start_sleeper(1, 1);
    WAIT_UNTIL(atomic_load(&seen.ended));
    errno = SENTINEL;
    WAIT_UNTIL(ebb__os_wake(atomic_load(&seen.tid), 0) == -ESRCH); /* the thread takes a moment to be gone */
    EXPECT_EQ(errno, SENTINEL);
}

static void a_full_queue_is_told(void)
{
    struct rlimit limit = {4, 4};
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, EBB_OS_WAKE_SIGNAL);
    EXPECT(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    if (setrlimit(RLIMIT_SIGPENDING, &limit) != 0) {
        (void)printf("a_full_queue_is_told: skipped, setrlimit: %s\n", strerror(errno));
        return;
    }
    int rc = 0;
    for (unsigned i = 0; i < 100 && rc == 0; i++)
        rc = ebb__os_wake(ebb__os_thread_id(), i);
    EXPECT_EQ(rc, -EAGAIN);
}

/* ---- signals ---- */

static volatile sig_atomic_t strays;
static volatile int stray_code, stray_pid, stray_value;
static volatile uint32_t stray_tid;

static void on_stray(int sig, siginfo_t *info, void *context)
{
    (void)context;
    EXPECT_EQ(sig, EBB_OS_WAKE_SIGNAL);
    stray_code = info->si_code;
    stray_pid = info->si_pid;
    stray_value = info->si_value.sival_int;
    stray_tid = ebb__os_thread_id();
    strays++;
}

/* The program uses the same signal. While its main thread blocks it, the kernel gives it to the sleeper, which is the only one
 * that waits for it; it goes on to the handler all the same, and the sleep goes on too. */
static void a_stray_signal_reaches_the_program(void)
{
    sigset_t set;
    struct sigaction action = {.sa_sigaction = on_stray, .sa_flags = SA_SIGINFO};
    (void)sigemptyset(&set);
    (void)sigaddset(&set, EBB_OS_WAKE_SIGNAL);
    if (is_emulated()) {
        (void)printf("a_stray_signal_reaches_the_program: skipped in an emulator\n");
        return;
    }
    EXPECT(sigaction(EBB_OS_WAKE_SIGNAL, &action, NULL) == 0);
    start_sleeper(1, EBB_OS_FOREVER);
    wait_asleep();
    for (int round = 0; round < 4; round++) {
        bool queued = (round & 1) != 0;
        EXPECT(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
        strays = 0;
        if (queued)
            EXPECT(sigqueue(getpid(), EBB_OS_WAKE_SIGNAL, (union sigval){.sival_int = 77}) == 0);
        else
            EXPECT(kill(getpid(), EBB_OS_WAKE_SIGNAL) == 0);
        WAIT_UNTIL(main_has_it()); /* handed on */
        EXPECT(strays == 0 && atomic_load(&seen.done) == 0);
        EXPECT(pthread_sigmask(SIG_UNBLOCK, &set, NULL) == 0);
        WAIT_UNTIL(strays != 0);
        EXPECT(strays == 1 && stray_pid == getpid() && stray_tid == ebb__os_pid());
        EXPECT(stray_code == SI_QUEUE && stray_value == (queued ? 77 : 0));
        EXPECT_EQ(atomic_load(&seen.done), 0);
    }
    EXPECT(kill(getpid(), EBB_OS_WAKE_SIGNAL) == 0); /* not blocked: it never was ours */
    WAIT_UNTIL(strays == 2);
    EXPECT_EQ(stray_code, SI_USER);
    EXPECT_EQ(ebb__os_wake(atomic_load(&seen.tid), 9), 0);
    WAIT_UNTIL(atomic_load(&seen.ended));
    EXPECT(seen.woken[0] && seen.payload[0] == 9 && strays == 2);
}

static void all_signals_are_blocked_in_the_thread_and_none_in_the_caller(void)
{
    char blocked[64];
    sigset_t before, after;
    (void)sigemptyset(&before);
    (void)sigaddset(&before, SIGUSR2);
    EXPECT(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    start_sleeper(1, EBB_OS_FOREVER);
    EXPECT(pthread_sigmask(SIG_SETMASK, NULL, &after) == 0);
    for (int sig = 1; sig <= SIGRTMAX; sig++)
        EXPECT_EQ(sigismember(&after, sig) == 1, sig == SIGUSR2);
    wait_asleep();
    EXPECT(status_line(atomic_load(&seen.tid), "SigBlk", blocked));
    uint64_t mask = strtoull(blocked, NULL, 16), own = UINT64_C(3) << 31; /* 32, 33 */
    uint64_t never = 1u << (SIGKILL - 1) | 1u << (SIGSTOP - 1);
    uint64_t waited = UINT64_C(1) << (EBB_OS_WAKE_SIGNAL - 1); /* shown as open while it is waited for */
    if (is_emulated())
        (void)printf("all_signals_are_blocked...: an emulator does not show them\n");
    else
        EXPECT_MSG((mask | waited) == ~(own | never), "%" PRIx64, mask);
}

static sigset_t mask_in_thread;

static void note_mask(void *arg)
{
    EXPECT(pthread_sigmask(SIG_SETMASK, NULL, &mask_in_thread) == 0);
    atomic_store((_Atomic bool *)arg, true);
}

static void the_thread_sees_its_mask(void)
{
    EXPECT_EQ(ebb__os_thread_start(note_mask, &seen.ended), 0);
    WAIT_UNTIL(atomic_load(&seen.ended));
    int last = is_emulated() ? SIGRTMAX - 2 : SIGRTMAX;
    for (int sig = 1; sig <= last; sig++)
        if (sig != SIGKILL && sig != SIGSTOP && sig != 32 && sig != 33)
            EXPECT_MSG(sigismember(&mask_in_thread, sig) == 1, "signal %d", sig);
}

/* The C library interrupts every thread for this; one that blocked its signal would never answer. */
static void setuid_does_not_hang(void)
{
    start_sleeper(1, EBB_OS_FOREVER);
    for (unsigned round = 0; round < 10; round++) {
        wait_asleep();
        EXPECT(setuid(getuid()) == 0);
    }
    EXPECT_EQ(atomic_load(&seen.done), 0); /* and it goes on sleeping */
    EXPECT_EQ(ebb__os_wake(atomic_load(&seen.tid), 3), 0);
    WAIT_UNTIL(atomic_load(&seen.ended));
    EXPECT(seen.woken[0] && seen.payload[0] == 3);
}

/* An interruption does not start the time anew. */
static void interruptions_do_not_lengthen_the_sleep(void)
{
    start_sleeper(1, 300);
    while (!atomic_load(&seen.ended)) {
        EXPECT(setuid(getuid()) == 0);
        nap(10);
    }
    EXPECT_MSG(!seen.woken[0] && seen.slept_ms[0] >= 300 && seen.slept_ms[0] < 20000, "%" PRIu64 " ms",
               seen.slept_ms[0]);
}

/* ---- start ---- */

static char thread_name[32];
static size_t stack_bytes;

static void note_itself(void *arg)
{
    pthread_attr_t attr;
    void *base;
    int state;
    EXPECT(pthread_getname_np(pthread_self(), thread_name, sizeof(thread_name)) == 0);
    EXPECT(pthread_getattr_np(pthread_self(), &attr) == 0);
    EXPECT(pthread_attr_getstack(&attr, &base, &stack_bytes) == 0);
    EXPECT(pthread_attr_getdetachstate(&attr, &state) == 0 && state == PTHREAD_CREATE_DETACHED);
    EXPECT((char *)&attr > (char *)base && (char *)&attr < (char *)base + stack_bytes);
    (void)pthread_attr_destroy(&attr);
    atomic_store((_Atomic bool *)arg, true);
}

static void the_thread_has_a_name_and_a_small_stack(void)
{
    errno = SENTINEL;
    EXPECT_EQ(ebb__os_thread_start(note_itself, &seen.ended), 0);
    EXPECT_EQ(errno, SENTINEL);
    WAIT_UNTIL(atomic_load(&seen.ended));
    EXPECT(strcmp(thread_name, "ebb") == 0);
    size_t most = ebb__max(EBB_MIB(1), 2 * (size_t)sysconf(_SC_THREAD_STACK_MIN));
    EXPECT_MSG(SUPPORT_ASAN || SUPPORT_TSAN || stack_bytes <= most, "%zu bytes", stack_bytes);
}

static _Atomic unsigned count;

static void count_one(void *arg)
{
    atomic_fetch_add((_Atomic unsigned *)arg, 1);
}

static void starts_again_and_again(void)
{
    for (unsigned i = 0; i < 200; i++) {
        EXPECT_EQ(ebb__os_thread_start(count_one, &count), 0);
        WAIT_UNTIL(atomic_load(&count) == i + 1);
    }
}

static void a_start_that_fails_leaves_nothing(void)
{
    sigset_t after;
    const unsigned numbers[] = {SYS_clone, 435 /* clone3 */};
    SKIP_WITHOUT_FILTERS(refuse_by(numbers, 2, SECCOMP_RET_ERRNO | EPERM));
    errno = SENTINEL;
    for (unsigned i = 0; i < 100; i++)
        EXPECT_EQ(ebb__os_thread_start(count_one, &count), -EPERM);
    EXPECT_EQ(errno, SENTINEL);
    EXPECT(pthread_sigmask(SIG_SETMASK, NULL, &after) == 0);
    EXPECT(sigismember(&after, SIGUSR1) == 0 && sigismember(&after, EBB_OS_WAKE_SIGNAL) == 0);
    EXPECT_EQ(atomic_load(&count), 0);
}

static void a_fork_child_starts_its_own(void)
{
    int status;
    if (SUPPORT_TSAN || is_emulated()) {
        (void)printf("a_fork_child_starts_its_own: skipped, a sanitizer or an emulator forbids it\n");
        return;
    }
    start_sleeper(1, EBB_OS_FOREVER);
    pid_t pid = fork();
    if (pid == 0) {
        (void)alarm(20);
        EXPECT_EQ(ebb__os_wake(atomic_load(&seen.tid), 1), -ESRCH); /* the parent's is none of ours */
        atomic_store(&seen.tid, 0);
        start_sleeper(1, EBB_OS_FOREVER);
        EXPECT_EQ(ebb__os_wake(atomic_load(&seen.tid), 2), 0);
        WAIT_UNTIL(atomic_load(&seen.ended));
        _exit(seen.woken[0] && seen.payload[0] == 2 ? 0 : 1);
    }
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    EXPECT_EQ(atomic_load(&seen.done), 0);
}

/* ---- counting ---- */

/* An emulator has a thread of its own from the start, the thread sanitizer from the first other one on. */
static void threads_are_counted(void)
{
    unsigned descriptors = open_descriptors(), before = ebb__os_thread_count();
    EXPECT(before >= 1);
    EXPECT_EQ(ebb__os_is_threaded(), SUPPORT_TSAN);
    errno = SENTINEL;
    start_sleeper(1, EBB_OS_FOREVER);
    unsigned with_it = ebb__os_thread_count();
    EXPECT(with_it == before + 1 || (SUPPORT_TSAN && with_it == before + 2));
    EXPECT(ebb__os_is_threaded());
    EXPECT_EQ(ebb__os_wake(atomic_load(&seen.tid), 0), 0);
    WAIT_UNTIL(ebb__os_thread_count() == with_it - 1);
    EXPECT_EQ(open_descriptors(), descriptors);
}

static void count_keeps_errno(void)
{
    errno = SENTINEL;
    EXPECT(ebb__os_thread_count() >= 1 && (SUPPORT_TSAN || !ebb__os_is_threaded()));
    EXPECT_EQ(errno, SENTINEL);
    const unsigned number = SYS_newfstatat;
    SKIP_WITHOUT_FILTERS(refuse_by(&number, 1, SECCOMP_RET_ERRNO | EACCES));
    errno = SENTINEL;
    EXPECT_EQ(ebb__os_thread_count(), 0);
    EXPECT_EQ(errno, SENTINEL);
}

static void outlive_main(void *arg)
{
    char state[64];
    (void)arg;
    WAIT_UNTIL(status_line(ebb__os_pid(), "State", state) && state[0] == 'Z');
    EXPECT(ebb__os_thread_count() >= 2); /* the main thread is counted until the last one ends */
    _exit(0);
}

static void a_main_thread_that_has_ended_counts(void)
{
    EXPECT_EQ(ebb__os_thread_start(outlive_main, NULL), 0);
    pthread_exit(NULL);
}

static void clocks(void)
{
    errno = SENTINEL;
    uint64_t ms = ebb__os_now_ms(), ns = ebb__os_now_ns();
    EXPECT_MSG(ns / 1000000 >= ms && ns / 1000000 - ms < 20000, "%" PRIu64 " ns, %" PRIu64 " ms", ns, ms);
    uint64_t cpu_ns = ebb__os_thread_cpu_ns();
    while (ebb__os_thread_cpu_ns() < cpu_ns + 2000000)
        EXPECT(ebb__os_now_ns() >= ns);
    EXPECT(ebb__os_now_ns() - ns >= 1000000);
    cpu_ns = ebb__os_thread_cpu_ns();
    nap(50);
    EXPECT(ebb__os_thread_cpu_ns() - cpu_ns < 45000000); /* a sleeping thread uses none */
    EXPECT_EQ(ebb__os_thread_id(), getpid());
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(wakes_carry_48_bits),
        CASE(more_than_48_bits_are_refused),
        CASE(a_wake_before_the_sleep_is_not_lost),
        CASE(sleeps_end_by_themselves),
        CASE(a_sleep_of_nothing_only_looks),
        CASE(a_very_long_sleep_does_not_end_at_once),
        CASE(a_wake_for_nobody),
        CASE(a_full_queue_is_told),
        CASE(a_stray_signal_reaches_the_program),
        CASE(all_signals_are_blocked_in_the_thread_and_none_in_the_caller),
        CASE(the_thread_sees_its_mask),
        CASE(setuid_does_not_hang),
        CASE(interruptions_do_not_lengthen_the_sleep),
        CASE(the_thread_has_a_name_and_a_small_stack),
        CASE(starts_again_and_again),
        CASE(a_start_that_fails_leaves_nothing),
        CASE(a_fork_child_starts_its_own),
        CASE(threads_are_counted),
        CASE(count_keeps_errno),
        CASE(a_main_thread_that_has_ended_counts),
        CASE(clocks),
    };
    return RUN_CASES(cases);
}
