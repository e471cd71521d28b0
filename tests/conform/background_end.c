/* SPDX-License-Identifier: MIT
 *
 * The end of a program whose main thread leaves by pthread_exit(): the process ends with its last thread and status 0, and a
 * thread of the library neither keeps it alive nor ends it early. Each way is a process of its own, with a time limit.
 */
#include "conform/background.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

enum { MIB = 1 << 20, WORKERS = 3, LIMIT_MS = 10000 };

static int mark = -1; /* a pipe: a byte for each worker that came to its end */

static void at_end(void)
{
    (void)!write(mark, "h", 1);
}

static void say_done(void)
{
    (void)!write(mark, "w", 1);
}

static void *work(void *argument)
{
    uint64_t seed = (uint64_t)(uintptr_t)argument;
    use_memory((size_t)30 * MIB, seed);
    pause_ms(100 * (long)seed);
    use_memory((size_t)5 * MIB, seed);
    say_done();
    return NULL;
}

static void *never_allocate(void *argument)
{
    pause_ms(300 * (long)(uintptr_t)argument);
    say_done();
    return NULL;
}

static void *allocate_once_then_sleep(void *argument)
{
    free(malloc(100));
    pause_ms(1500 + 100 * (long)(uintptr_t)argument); /* long enough to be drained */
    say_done();
    return NULL;
}

/* Comes to its end, and in the end of its last thread-specific value allocates again. */
static pthread_key_t late_key;

static void allocate_late(void *round)
{
    free(malloc(5000));
    if ((uintptr_t)round < 3) {
        pthread_setspecific(late_key, (void *)((uintptr_t)round + 1));
    }
}

static void *allocate_to_the_last(void *argument)
{
    pthread_setspecific(late_key, (void *)1);
    return work(argument);
}

struct way {
    const char *name;
    void *(*worker)(void *);
    bool main_last; /* main waits for the others */
    bool main_works;
};

static const struct way WAYS[] = {
    {"workers outlive main", work, false, true},
    {"workers that never allocate", never_allocate, false, true},
    {"main never allocates", never_allocate, false, false},
    {"workers that sleep", allocate_once_then_sleep, false, true},
    {"main is the last", work, true, true},
    {"main is the last, others never allocate", never_allocate, true, true},
    {"allocating to the last", allocate_to_the_last, false, true},
};

/* In the child; does not return. */
static void live(const struct way *way)
{
    pthread_t threads[WORKERS];
    atexit(at_end);
    pthread_key_create(&late_key, allocate_late);
    if (way->main_works) {
        use_memory((size_t)64 * MIB, 5);
    }
    for (uintptr_t i = 0; i < WORKERS; i++) {
        if (pthread_create(&threads[i], NULL, way->worker, (void *)(i + 1)) != 0) {
            _exit(3);
        }
        if (!way->main_last) {
            pthread_detach(threads[i]);
        }
    }
    for (size_t i = 0; i < WORKERS && way->main_last; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_exit(NULL);
}

/* Waits for the end, but not for ever: a process whose only thread blocks all signals feels no alarm of its own. */
static int await_end(pid_t pid, int *ret_status)
{
    long long end_ms = clock_ms() + LIMIT_MS;
    int got;
    while ((got = waitpid(pid, ret_status, WNOHANG)) == 0 && clock_ms() < end_ms) {
        pause_ms(10);
    }
    if (got == 0) {
        kill(pid, SIGKILL);
        waitpid(pid, ret_status, 0);
    }
    return got;
}

/* A process that lives in this way; its pipe tells how far it came. */
struct life {
    pid_t pid;
    int seen_by;
};

static struct life begin(const struct way *way)
{
    int pipes[2];
    CHECK(pipe(pipes) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(pipes[0]);
        mark = pipes[1];
        live(way);
    }
    close(pipes[1]);
    return (struct life){pid, pipes[0]};
}

static void expect_good_end(const struct way *way, struct life life)
{
    int status = -1;
    char seen[64];
    size_t count = 0;
    ssize_t n = 0;
    int got = await_end(life.pid, &status);
    while ((n = read(life.seen_by, seen + count, sizeof(seen) - count)) > 0) {
        count += (size_t)n;
    }
    close(life.seen_by);
    CHECK(got == life.pid, "%s: the process does not end", way->name);
    CHECK(status == 0, "%s: status 0x%x", way->name, (unsigned)status);
    /* All workers came to their ends, and then, once, the handler ran. */
    CHECK(count == WORKERS + 1 && memchr(seen, 'h', count) == seen + WORKERS, "%s: \"%.*s\"", way->name,
          (int)count, seen);
}

int main(void)
{
    enum { COUNT = sizeof(WAYS) / sizeof(WAYS[0]) };
    struct life lives[COUNT];
    conform_start(60);
    for (size_t i = 0; i < COUNT; i++) {
        lives[i] = begin(&WAYS[i]);
    }
    for (size_t i = 0; i < COUNT; i++) {
        expect_good_end(&WAYS[i], lives[i]);
    }
    return conform_end();
}
