/* SPDX-License-Identifier: MIT
 *
 * What programs do to their process, while memory is being given back behind their backs: fork and spawn, change their user,
 * close every descriptor, take every signal. The case is the argument; all of them hold for the C library, too.
 */
#include "conform/background.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/wait.h>

enum { MIB = 1 << 20, CHURNERS = 3, NOBODY = 65534, WAKE_SIGNAL = 57 };

extern char **environ;

/* ---- threads that keep the purger and the drainer busy ---- */

static atomic_bool stop;
static pthread_t churners[CHURNERS];

static void *churn(void *argument)
{
    uint64_t seed = (uint64_t)(uintptr_t)argument;
    while (!atomic_load(&stop)) {
        CHECK(use_memory((size_t)conform_between(&seed, 1, 20) * MIB, seed));
        if (seed % 4 == 0) {
            malloc_trim(0);
        }
        pause_ms((long)conform_between(&seed, 1, 30));
    }
    return NULL;
}

static void begin_churn(void)
{
    CHECK(use_memory((size_t)64 * MIB, 1));
    for (uintptr_t i = 0; i < CHURNERS; i++) {
        CHECK(pthread_create(&churners[i], NULL, churn, (void *)(i + 2)) == 0);
    }
    if (conform_is_preloaded()) {
        CHECK(await_background(3000) != 0);
    }
}

static void end_churn(void)
{
    atomic_store(&stop, true);
    for (size_t i = 0; i < CHURNERS; i++) {
        pthread_join(churners[i], NULL);
    }
}

/* ---- fork ---- */

enum { BLOCKS = 300 };
static void *blocks[BLOCKS];

static size_t size_of(size_t i)
{
    return i % 60 == 0 ? 200000 + i : 1 + i * 17;
}

static int live_as_child(unsigned generations)
{
    alarm(20);
    for (size_t i = 0; i < BLOCKS; i++) {
        if (conform_differs(blocks[i], size_of(i), i) != size_of(i)) {
            return 1;
        }
        free(blocks[i]);
        if ((blocks[i] = malloc(size_of(i))) == NULL) {
            return 2;
        }
        conform_fill(blocks[i], size_of(i), i);
    }
    if (!use_memory((size_t)2 * MIB, generations + 1)) {
        return 3;
    }
    malloc_trim(0);
    if (generations == 0) {
        return 0;
    }
    int pid = fork();
    if (pid == 0) {
        _exit(live_as_child(generations - 1));
    }
    return conform_wait(pid);
}

static void fork_storm(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(size_of(i));
        conform_fill(blocks[i], size_of(i), i);
    }
    begin_churn();
    for (unsigned i = 0; i < 60; i++) {
        int pid = fork();
        if (pid == 0) {
            int status = live_as_child(i % 10 == 0 ? 3 : 0);
            if (i % 2 == 0) {
                _exit(status);
            }
            exit(status);
        }
        int status = conform_wait(pid);
        CHECK(status == 0, "child %u: %d", i, status);
    }
    end_churn();
}

static void spawn(void)
{
    begin_churn();
    for (unsigned i = 0; i < 25; i++) {
        char name[] = "true";
        char *const words[] = {name, NULL};
        pid_t pid = vfork();
        if (pid == 0) {
            execvp("true", words);
            _exit(127);
        }
        CHECK(conform_wait(pid) == 0);
        CHECK(posix_spawnp(&pid, "true", NULL, NULL, words, environ) == 0 && conform_wait(pid) == 0);
        char shell[] = "sh";
        char option[] = "-c";
        char script[] = "echo $((40 + 2)) | grep -q 42 && exit 3";
        char *const line[] = {shell, option, script, NULL};
        CHECK(posix_spawnp(&pid, "sh", NULL, NULL, line, environ) == 0 && conform_wait(pid) == 3);
    }
    end_churn();
}

/* ---- another user ---- */

static void give_up_root(void)
{
    CHECK(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    CHECK(geteuid() == NOBODY && setuid(0) != 0);
    CHECK(use_memory((size_t)64 * MIB, 3));
}

static void another_user(void)
{
    if (geteuid() != 0) {
        conform_skip("only root can give up its uid");
    }
    begin_churn();
    for (int i = 0; i < 5; i++) {
        int pid = fork();
        if (pid == 0) { /* with a background thread of its own, and another one */
            alarm(20);
            pthread_t thread;
            atomic_store(&stop, false);
            CHECK(use_memory((size_t)64 * MIB, 5));
            CHECK(pthread_create(&thread, NULL, churn, (void *)9) == 0);
            CHECK(!conform_is_preloaded() || await_background(3000) != 0);
            give_up_root();
            _exit(conform_failed() ? 1 : 0);
        }
        CHECK(conform_wait(pid) == 0);
    }
    give_up_root();
    end_churn();
}

/* ---- descriptors ---- */

static void close_all(void)
{
    begin_churn();
    int out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 1100);
    int error = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 1101);
    CHECK(out >= 1100 && error >= 1101);
    for (int i = 0; i < 1024; i++) {
        close(i);
    }
    pause_ms(700);
    bool none_open = true;
    for (int i = 0; i < 1024; i++) {
        none_open &= fcntl(i, F_GETFD) == -1;
    }
    end_churn();
    bool works = use_memory((size_t)64 * MIB, 3);
    dup2(out, STDOUT_FILENO);
    dup2(error, STDERR_FILENO);
    CHECK(none_open, "somebody has opened a descriptor");
    CHECK(works);
}

/* ---- signals ---- */

static atomic_int handled[65];
static atomic_int on_background;
static atomic_int background;
static atomic_long last_value;
static atomic_int last_code;

static void count_signal(int number, siginfo_t *info, void *unused)
{
    (void)unused;
    char deep[16384]; /* more than a small stack would like */
    memset(deep, number, sizeof(deep));
    __asm__ volatile("" : : "r"(deep) : "memory");
    atomic_store(&last_value, (long)(uintptr_t)info->si_value.sival_ptr);
    atomic_store(&last_code, info->si_code);
    if (syscall(SYS_gettid) == atomic_load(&background)) {
        atomic_fetch_add(&on_background, 1);
    }
    atomic_fetch_add(&handled[number], 1);
}

static bool may_catch(int number)
{
    return number != SIGKILL && number != SIGSTOP && number != SIGALRM && number != 32 && number != 33;
}

static void catch_all(void)
{
    struct sigaction action = {.sa_sigaction = count_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigfillset(&action.sa_mask);
    for (int number = 1; number <= 64; number++) {
        if (may_catch(number)) {
            CHECK(sigaction(number, &action, NULL) == 0, "%d", number);
        }
    }
}

static bool await_count(const atomic_int *counter, int wanted)
{
    long long end_ms = clock_ms() + 3000;
    while (atomic_load(counter) < wanted && clock_ms() < end_ms) {
        pause_ms(1);
    }
    return atomic_load(counter) == wanted;
}

/* Every signal has its handler run in a thread of the program, also when all of these slept; and while all block it, it waits. */
static void every_signal(void)
{
    catch_all();
    begin_churn();
    atomic_store(&background, background_tid());
    for (int round = 1; round <= 3; round++) {
        for (int number = 1; number <= 64; number++) {
            if (may_catch(number)) {
                CHECK(kill(getpid(), number) == 0);
                CHECK(await_count(&handled[number], round), "signal %d: %d of %d", number,
                      atomic_load(&handled[number]), round);
            }
        }
    }
    CHECK(atomic_load(&on_background) == 0, "%d handlers ran on the stack of the background thread",
          atomic_load(&on_background));
    end_churn();
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    sigdelset(&all, SIGALRM);
    CHECK(pthread_sigmask(SIG_SETMASK, &all, &before) == 0); /* the only thread of the program that is left */
    CHECK(kill(getpid(), SIGUSR1) == 0 && kill(getpid(), WAKE_SIGNAL) == 0);
    CHECK(use_memory((size_t)64 * MIB, 3));
    pause_ms(300);
    CHECK(atomic_load(&handled[SIGUSR1]) == 3 && atomic_load(&handled[WAKE_SIGNAL]) == 3);
    CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    CHECK(await_count(&handled[SIGUSR1], 4) && await_count(&handled[WAKE_SIGNAL], 4), "%d and %d of 4",
          atomic_load(&handled[SIGUSR1]), atomic_load(&handled[WAKE_SIGNAL]));
    CHECK(atomic_load(&on_background) == 0);
}

/* The signal that the library uses is the program's own as well. */
static void own_signal(void)
{
    struct sigaction action = {.sa_sigaction = count_signal, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(WAKE_SIGNAL, &action, NULL) == 0);
    begin_churn();
    for (int i = 1; i <= 100; i++) {
        union sigval value = {.sival_ptr = (void *)(uintptr_t)(1000 + (unsigned)i)};
        CHECK(sigqueue(getpid(), WAKE_SIGNAL, value) == 0);
        CHECK(await_count(&handled[WAKE_SIGNAL], i), "%d of %d", atomic_load(&handled[WAKE_SIGNAL]), i);
        CHECK(atomic_load(&last_value) == 1000 + i && atomic_load(&last_code) == SI_QUEUE);
    }
    end_churn();
    /* And while the library's thread sleeps. */
    pause_ms(1500);
    for (int i = 101; i <= 150; i++) {
        CHECK(kill(getpid(), WAKE_SIGNAL) == 0);
        CHECK(await_count(&handled[WAKE_SIGNAL], i), "%d of %d", atomic_load(&handled[WAKE_SIGNAL]), i);
        pause_ms(2);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {
        {"fork_storm", fork_storm},     {"spawn", spawn},
        {"another_user", another_user}, {"close_all", close_all},
        {"every_signal", every_signal}, {"own_signal", own_signal},
    };
    conform_start(60);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (argc == 2 && strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
        }
    }
    return conform_end();
}
