/* SPDX-License-Identifier: MIT
 *
 * The messenger on the real kernel: where callbacks run, how it ends and starts again, and threads that subscribe, unsubscribe, post and read
 * all at once. The background thread runs over an empty tree, where it finds nothing to say: notes are the test's.
 */
#include "pressure_tree.h"

#include "governor/act_priv.h"
#include "governor/governor_priv.h"

#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>

#define THREADS   4u
#define TURNS     (SUPPORT_TSAN ? 300u : 3000u)
#define PATIENCE  5000u /* ms, for what must happen */
#define LITTLE_MS 30u   /* for what must not */

static void nap(unsigned ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&time, NULL);
}

#define AWAIT(e)                                                                                             \
    do {                                                                                                     \
        for (unsigned waited = 0; !(e); waited++) {                                                          \
            EXPECT_MSG(waited < PATIENCE, "not within %u s: " #e, PATIENCE / 1000);                          \
            nap(1);                                                                                          \
        }                                                                                                    \
    } while (0)

static void begin(void)
{
    make_tree();
    put("/proc/self/cgroup", "0::/\n");
    ebb__act_root = tree;
    ebb__governor_start();
    /* The main thread has a cache, so that its end would be heard of. */
    void *block = ebb__cache_get_slow(1, EBB_MAKE_ROOM);
    EXPECT(block != NULL);
    ebb__cache_put_slow(block, "test");
}

static void post(enum ebb_budget_level level, uint64_t want_bytes)
{
    const struct ebb_pressure_note note = {
        .level = level, .want_bytes = want_bytes, .deadline_ns = ~want_bytes, .cause = "a test"};
    ebb__subs_post(&note);
}

/* What a callback has seen. */
struct ear {
    _Atomic unsigned times;
    _Atomic uint64_t serial, want_bytes;
    _Atomic uint32_t tid;
    _Atomic int number, rc, other;
    _Atomic bool hold, gone;
    sigset_t blocked;
};
static struct ear ears[THREADS];

static void hear(const struct ebb_pressure_note *note, void *context)
{
    struct ear *ear = context;
    EXPECT(!atomic_load(&ear->gone));
    EXPECT(note->serial > atomic_load(&ear->serial) && note->deadline_ns == ~note->want_bytes);
    atomic_store(&ear->serial, note->serial);
    atomic_store(&ear->want_bytes, note->want_bytes);
    atomic_store(&ear->tid, ebb__os_thread_id());
    (void)pthread_sigmask(SIG_BLOCK, NULL, &ear->blocked);
    atomic_fetch_add(&ear->times, 1);
    while (atomic_load(&ear->hold))
        nap(1);
}

static int subscribe(void (*callback)(const struct ebb_pressure_note *, void *), struct ear *ear)
{
    const struct ebb_pressure_subscriber s = {
        .size_of_struct = sizeof(s), .least_level = EBB_LEVEL_YELLOW, .callback = callback, .context = ear};
    atomic_store(&ear->gone, false);
    atomic_store(&ear->serial, 0); /* what is known already is told to each */
    int number = ebb__governor_subscribe(&s);
    EXPECT_MSG(number > 0, "%d", number);
    return number;
}

/* ---- where ---- */

static void in_a_thread_of_its_own(void)
{
    begin();
    (void)subscribe(hear, &ears[0]);
    post(EBB_LEVEL_YELLOW, 7);
    AWAIT(atomic_load(&ears[0].times) == 1);
    uint32_t tid = atomic_load(&ears[0].tid);
    EXPECT(tid == ebb__messenger_thread_id() && tid != ebb__os_thread_id() &&
           tid != ebb__governor_thread_id());
    for (int signal = 1; signal < NSIG; signal++)
        if (signal != SIGKILL && signal != SIGSTOP && signal != 32 &&
            signal != 33) /* those are the C library's */
            EXPECT_MSG(sigismember(&ears[0].blocked, signal) == 1, "signal %d", signal);
    remove_tree();
}

static void write_there(const struct ebb_pressure_note *note, void *context)
{
    struct ear *ear = context;
    (void)note;
    uint64_t one = 1;
    EXPECT(write(atomic_load(&ear->other), &one, sizeof(one)) == (ssize_t)sizeof(one));
    atomic_fetch_add(&ear->times, 1);
}

/* Also those that the program has opened after both threads had begun, the other with a table of its own. */
static void with_the_descriptors_of_the_program(void)
{
    uint64_t value = 0;
    begin();
    (void)subscribe(write_there, &ears[0]);
    /* Thread sanitizer has a thread of its own, before main(): then nobody knows which one the main thread is, and no table is taken. */
    AWAIT((SUPPORT_TSAN || ebb__act_has_table()) && ebb__messenger_thread_id() != 0);
    int fds[2] = {eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    EXPECT(fds[0] >= 0 && fds[1] >= 0);
    atomic_store(&ears[0].other, fds[0]);
    const struct ebb_pressure_subscriber s = {
        .size_of_struct = sizeof(s), .least_level = EBB_LEVEL_YELLOW, .event_fd = fds[1]};
    EXPECT(ebb__governor_subscribe(&s) > 0);
    post(EBB_LEVEL_YELLOW, 7);
    for (unsigned i = 0; i < 2; i++, value = 0) {
        AWAIT(read(fds[i], &value, sizeof(value)) == (ssize_t)sizeof(value));
        EXPECT_EQ(value, 1);
    }
    remove_tree();
}

/* ---- ending ---- */

static void unsubscribe_self(const struct ebb_pressure_note *note, void *context)
{
    struct ear *ear = context;
    (void)note;
    atomic_store(&ear->rc, ebb__governor_unsubscribe(atomic_load(&ear->number)));
    EXPECT_EQ(ebb__governor_unsubscribe(atomic_load(&ear->other)), 0);
    atomic_fetch_add(&ear->times, 1);
}

static void inside_a_callback(void)
{
    begin();
    atomic_store(&ears[0].number, subscribe(unsubscribe_self, &ears[0]));
    atomic_store(&ears[0].other, subscribe(hear, &ears[1]));
    post(EBB_LEVEL_YELLOW, 7);
    AWAIT(atomic_load(&ears[0].times) == 1);
    EXPECT_EQ(atomic_load(&ears[0].rc), -EDEADLK);
    EXPECT_EQ(atomic_load(&ears[1].times), 0);
    AWAIT(!ebb__subs_is_telling());
    EXPECT_EQ(ebb__governor_unsubscribe(atomic_load(&ears[0].number)), 0);
    EXPECT_EQ(ebb__subs_check(), 0);
    remove_tree();
}

static _Atomic bool unsubscribed;

static void *unsubscribe(void *context)
{
    struct ear *ear = context;
    EXPECT_EQ(ebb__governor_unsubscribe(atomic_load(&ear->number)), 0);
    atomic_store(&unsubscribed, true);
    return NULL;
}

static void waits_for_the_callback(void)
{
    pthread_t thread;
    begin();
    atomic_store(&ears[0].hold, true);
    atomic_store(&ears[0].number, subscribe(hear, &ears[0]));
    post(EBB_LEVEL_YELLOW, 1);
    AWAIT(atomic_load(&ears[0].times) == 1);
    EXPECT_EQ(pthread_create(&thread, NULL, unsubscribe, &ears[0]), 0);
    nap(LITTLE_MS);
    EXPECT(!atomic_load(&unsubscribed));
    atomic_store(&ears[0].hold, false);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    EXPECT(atomic_load(&unsubscribed));
    remove_tree();
}

static void a_slow_one_hears_the_newest(void)
{
    begin();
    atomic_store(&ears[0].hold, true);
    (void)subscribe(hear, &ears[0]);
    post(EBB_LEVEL_YELLOW, 1);
    AWAIT(atomic_load(&ears[0].times) == 1);
    for (unsigned n = 2; n <= 20; n++)
        post(EBB_LEVEL_YELLOW, n);
    atomic_store(&ears[0].hold, false);
    AWAIT(atomic_load(&ears[0].serial) == 20);
    EXPECT(atomic_load(&ears[0].times) == 2 && atomic_load(&ears[0].want_bytes) == 20);
    remove_tree();
}

static void it_ends_with_the_last_and_starts_again(void)
{
    begin();
    for (unsigned round = 1; round <= 20; round++) {
        int number = subscribe(hear, &ears[0]);
        post(EBB_LEVEL_YELLOW, round);
        if (round % 2 != 0)
            AWAIT(atomic_load(&ears[0].want_bytes) == round);
        EXPECT_EQ(ebb__governor_unsubscribe(number), 0);
        if (round % 4 == 0)
            AWAIT(ebb__messenger_thread_id() == 0);
    }
    AWAIT(ebb__messenger_thread_id() == 0);
    EXPECT_EQ(ebb__subs_count(), 0);
    AWAIT(!ebb__act_is_armed()); /* nor is there a reason to look */
    remove_tree();
}

/* ---- all at once ---- */

static _Atomic bool stop;

static void *come_and_go(void *context)
{
    struct ear *ear = context;
    for (unsigned i = 0; i < TURNS; i++) {
        int number = subscribe(hear, ear);
        if (i % 8 == 0)
            (void)sched_yield();
        EXPECT_EQ(ebb__governor_unsubscribe(number), 0);
        atomic_store(&ear->gone, true); /* nobody calls any more */
    }
    return NULL;
}

static unsigned times_heard(void)
{
    unsigned heard = 0;
    for (unsigned i = 0; i < THREADS; i++)
        heard += atomic_load(&ears[i].times);
    return heard;
}

static void *read_notes(void *unused)
{
    uint64_t serial = 0;
    while (!atomic_load(&stop)) {
        struct ebb_pressure_note note;
        ebb__subs_last(&note);
        EXPECT(note.serial >= serial);
        EXPECT(note.serial == 0 || (note.want_bytes == note.serial && note.deadline_ns == ~note.want_bytes));
        serial = note.serial;
    }
    return unused;
}

static void many_at_once(void)
{
    pthread_t threads[THREADS], reader;
    begin();
    for (unsigned i = 0; i < THREADS; i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, come_and_go, &ears[i]), 0);
    EXPECT_EQ(pthread_create(&reader, NULL, read_notes, NULL), 0);
    uint64_t n = 0;
    while (n < 10 * TURNS || (times_heard() == 0 && n < 10000000)) { /* a busy machine tells late */
        n++;
        post(n % 3 != 0 ? EBB_LEVEL_ORANGE : EBB_LEVEL_GREEN, n);
        if (n % 16 == 0)
            (void)sched_yield();
    }
    for (unsigned i = 0; i < THREADS; i++)
        EXPECT_EQ(pthread_join(threads[i], NULL), 0);
    atomic_store(&stop, true);
    EXPECT_EQ(pthread_join(reader, NULL), 0);
    EXPECT(ebb__subs_count() == 0 && ebb__subs_check() == 0);
    AWAIT(ebb__messenger_thread_id() == 0);
    unsigned heard = times_heard();
    EXPECT_MSG(heard != 0, "nobody was ever told");
    (void)printf("%u told\n", heard);
    (void)subscribe(hear, &ears[0]); /* it works as before */
    post(EBB_LEVEL_RED, n + 1);
    AWAIT(atomic_load(&ears[0].want_bytes) == n + 1);
    remove_tree();
}

/* ---- fork ---- */

static _Atomic int child_status = -1;

/* The child's exit handlers run, in that thread; before those of a leak checker, which does not know its stack. */
static void end_child(void)
{
    _exit(7);
}

static void fork_there(const struct ebb_pressure_note *note, void *context)
{
    struct ear *ear = context;
    int status = -1;
    (void)note;
    ebb__governor_fork_prepare();
    pid_t pid = fork();
    ebb__governor_fork_parent();
    EXPECT(pid >= 0);
    if (pid == 0) {
        ebb__governor_fork_child();
        (void)atexit(end_child);
        return; /* its only thread ends, and with it the child */
    }
    EXPECT(waitpid(pid, &status, 0) == pid);
    atomic_store(&child_status, status);
    atomic_fetch_add(&ear->times, 1);
}

static void a_child_made_in_a_callback_ends(void)
{
    begin();
    (void)subscribe(fork_there, &ears[0]);
    (void)subscribe(hear, &ears[1]);
    post(EBB_LEVEL_YELLOW, 1);
    AWAIT(atomic_load(&ears[1].times) == 1);
    EXPECT_EQ(atomic_load(&child_status), 7 << 8);
    EXPECT_EQ(atomic_load(&ears[0].times), 1);
    remove_tree();
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(in_a_thread_of_its_own),
        CASE(with_the_descriptors_of_the_program),
        CASE(inside_a_callback),
        CASE(waits_for_the_callback),
        CASE(a_slow_one_hears_the_newest),
        CASE(it_ends_with_the_last_and_starts_again),
        CASE(many_at_once),
        CASE(a_child_made_in_a_callback_ends),
    };
    return RUN_CASES(cases);
}
