/* SPDX-License-Identifier: MIT
 *
 * The background thread as a program sees it: when there is one, what it gives back, and that it then does nothing at all.
 * The case is the argument.
 */
#include "conform/background.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

enum { THREADS = 4, MIB = 1 << 20, SLACK_KIB = 8 << 10 };

static pthread_barrier_t barrier;

/* ---- settled ---- */

static void *work_and_sleep(void *argument)
{
    CHECK(use_memory((size_t)50 * MIB, (uint64_t)(uintptr_t)argument));
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier); /* sleeps here */
    return NULL;
}

static long switches(int tid)
{
    return status_number(tid, "\nvoluntary_ctxt_switches:") +
           status_number(tid, "\nnonvoluntary_ctxt_switches:");
}

/* Whether strace saw a system call of the thread in two seconds, but for the one that it sleeps in, which the attaching
 * interrupts and begins anew. False also where tracing is not to be had. */
static bool strace_saw_a_call(int tid, char *text, size_t room)
{
    char path[] = "/tmp/conform-strace-XXXXXX";
    char id[16];
    int file = mkstemp(path);
    bool saw = false;
    (void)snprintf(id, sizeof(id), "%d", tid);
    text[0] = '\0';
    if (file < 0) {
        return false;
    }
    pid_t pid = fork();
    if (pid == 0) {
        unsetenv("LD_PRELOAD");
        dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
        execlp("strace", "strace", "-q", "-o", path, "-p", id, (char *)NULL);
        _exit(127);
    }
    pause_ms(2000);
    kill(pid, SIGINT);
    int status = conform_wait(pid);
    if (status == 127 || status == 1) {
        dprintf(STDOUT_FILENO, "strace is not to be had here\n");
    } else {
        dprintf(STDOUT_FILENO, "strace saw %zu bytes of calls\n", read_text(path, text, room));
        for (char *line = text; *line != '\0';) {
            size_t length = strcspn(line, "\n");
            saw |= length != 0 && strncmp(line, "rt_sigtimedwait(", 16) != 0 && strncmp(line, "---", 3) != 0;
            line += length + (line[length] == '\n');
        }
    }
    close(file);
    unlink(path);
    return saw;
}

static void settled(void)
{
    pthread_t threads[THREADS];
    long start_kib = resident_kib();
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (uintptr_t i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, work_and_sleep, (void *)(i + 1)) == 0);
    }
    pthread_barrier_wait(&barrier);
    long high_kib = resident_kib();
    long long freed_ms = clock_ms();
    CHECK(high_kib > start_kib + 20 * 1024 || background_tid() != 0, "%ld KiB", high_kib);
    while (resident_kib() > start_kib + SLACK_KIB && clock_ms() - freed_ms < 4000) {
        pause_ms(50);
    }
    CHECK(resident_kib() <= start_kib + SLACK_KIB, "%ld KiB, %ld KiB at the start", resident_kib(),
          start_kib);
    int tid = background_tid();
    CHECK(tid != 0, "there is no background thread");

    /* It comes to rest, and from then on nothing wakes it. */
    long before = switches(tid);
    long long still_ms = clock_ms();
    while (clock_ms() - still_ms < 1200 && clock_ms() - freed_ms < 12000) {
        pause_ms(50);
        long now = switches(tid);
        if (now != before) {
            before = now;
            still_ms = clock_ms();
        }
    }
    pause_ms(3000);
    CHECK(switches(tid) == before, "%ld wake-ups in 3 s", switches(tid) - before);
    char text[2000];
    CHECK(!strace_saw_a_call(tid, text, sizeof(text)), "a system call of the background thread:\n%.300s",
          text);
    CHECK(background_tid() == tid);
    pthread_barrier_wait(&barrier);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
}

/* ---- one thread ---- */

static void small_then_large(void)
{
    CHECK(thread_count() == 1);
    for (int i = 0; i < 5; i++) {
        CHECK(use_memory((size_t)20 * MIB, 7));
        CHECK(thread_count() == 1, "%ld threads in a small process", thread_count());
    }
    pause_ms(100);
    CHECK(use_memory((size_t)20 * MIB, 8));
    CHECK(thread_count() == 1);
    CHECK(use_memory((size_t)64 * MIB, 9));
    CHECK(await_background(2000) != 0 && thread_count() == 2, "%ld threads", thread_count());
}

/* Memory grows by realloc and calloc alone, as in a C++ program by new: also then it is found that a thread is needed. */
static void never_malloc(void)
{
    enum { COUNT = 700 };
    static void *blocks[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = calloc(1, 1000);
        blocks[i] = realloc(blocks[i], 100000);
        CHECK(blocks[i] != NULL);
        memset(blocks[i], 1, 100000);
    }
    for (size_t i = 0; i < COUNT; i++) {
        free(blocks[i]);
    }
    CHECK(await_background(2000) != 0, "%ld threads", thread_count());
}

/* ---- daemon ---- */

static void daemonize(void)
{
    int pipes[2];
    CHECK(use_memory((size_t)64 * MIB, 1));
    CHECK(await_background(2000) != 0);
    CHECK(pipe(pipes) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        int verdict = daemon(1, 1) == 0 ? 0 : 1;
        alarm(20);
        if (thread_count() != 1) {
            verdict = 2;
        }
        if (verdict == 0 && !(use_memory((size_t)64 * MIB, 2) && await_background(3000) != 0)) {
            verdict = 3;
        }
        long long end_ms = clock_ms() + 5000;
        while (verdict == 0 && resident_kib() > 30 * 1024 && clock_ms() < end_ms) {
            pause_ms(50);
        }
        if (verdict == 0 && resident_kib() > 30 * 1024) {
            verdict = 4;
        }
        (void)!write(pipes[1], &verdict, sizeof(verdict));
        _exit(0);
    }
    int verdict = -1;
    close(pipes[1]);
    CHECK(conform_wait(pid) == 0);
    CHECK(read(pipes[0], &verdict, sizeof(verdict)) == sizeof(verdict) && verdict == 0, "step %d", verdict);
}

/* ---- EBB_MALLOC=bg:0 ---- */

static void pieces(void)
{
    static void *blocks[1000];
    for (size_t i = 0; i < 1000; i++) {
        blocks[i] = malloc(100 * 1024);
        memset(blocks[i], 1, 100 * 1024);
    }
    for (size_t i = 0; i < 1000; i++) {
        free(blocks[i]);
    }
    long high_kib = resident_kib();
    long long end_ms = clock_ms() + 12000;
    while (resident_kib() > high_kib - 60 * 1024 && clock_ms() < end_ms) {
        void *small = malloc(200);
        void *large = malloc(70000);
        CHECK(small != NULL && large != NULL);
        free(small);
        free(large);
        pause_ms(2);
    }
    CHECK(resident_kib() <= high_kib - 60 * 1024, "%ld KiB of %ld KiB", resident_kib(), high_kib);
    CHECK(thread_count() == 1);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {
        {"settled", settled},
        {"small_then_large", small_then_large},
        {"never_malloc", never_malloc},
        {"daemon", daemonize},
        {"pieces", pieces},
    };
    conform_start(60);
    skip_without_library();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (argc == 2 && strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
        }
    }
    return conform_end();
}
