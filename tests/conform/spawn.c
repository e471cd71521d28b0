/* SPDX-License-Identifier: MIT
 *
 * The other ways to make a process: _Fork and raw clone, which run no fork handlers, vfork and exec,
 * posix_spawn, system and popen.
 *
 * After _Fork and clone a child of a program whose other threads are inside the allocator may not allocate,
 * on any C library; here the others are parked outside of it, with their caches full.
 */
#include "conform/conform.h"

#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PARKED = 4, BLOCKS = 300, CHILD_STATUS = 42, ROUNDS = 30 };

extern char **environ;

static pthread_barrier_t barrier;
static void *blocks[BLOCKS];

static size_t size_of(size_t i)
{
    return i % 50 == 0 ? 60000 + i : 1 + i * 19;
}

static int work_as_child(void)
{
    alarm(20);
    for (size_t i = 0; i < BLOCKS; i++) {
        if (conform_differs(blocks[i], size_of(i), i) != size_of(i)) {
            return 1;
        }
        free(blocks[i]);
        blocks[i] = malloc(size_of(i));
        if (blocks[i] == NULL) {
            return 2;
        }
        conform_fill(blocks[i], size_of(i), i + 1);
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        if (conform_differs(blocks[i], size_of(i), i + 1) != size_of(i)) {
            return 3;
        }
        blocks[i] = realloc(blocks[i], size_of(i) * 2);
        free(blocks[i]);
    }
    return CHILD_STATUS;
}

static void *park(void *unused)
{
    (void)unused;
    void *own[200];
    for (size_t i = 0; i < 200; i++) {
        own[i] = malloc(i * 50);
    }
    for (size_t i = 0; i < 200; i++) {
        free(own[i]);
    }
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    free(malloc(100));
    return NULL;
}

static void without_fork_handlers(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        int pid = _Fork();
        if (pid == 0) {
            /* A grandchild by the ordinary fork: handlers in a process that was made without them. */
            int inner = fork();
            if (inner == 0) {
                _exit(work_as_child());
            }
            int inner_status = conform_wait(inner);
            _exit(inner_status == CHILD_STATUS ? work_as_child() : 50);
        }
        int status = conform_wait(pid);
        CHECK(status == CHILD_STATUS, "_Fork: the child ended with %d", status);
        pid = (int)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
        if (pid == 0) {
            _exit(work_as_child());
        }
        status = conform_wait(pid);
        CHECK(status == CHILD_STATUS, "clone: the child ended with %d", status);
        /* The parent is as it was. */
        void *block = malloc(size_of((size_t)round));
        CHECK(block != NULL);
        free(block);
    }
}

static void with_exec(char *self)
{
    char *arguments[] = {self, (char[]){"child"}, NULL};
    static int round; /* not in a register: the child of vfork shares this frame */
    for (round = 0; round < 5; round++) {
        int pid = vfork();
        if (pid == 0) {
            execv(self, arguments);
            _exit(1);
        }
        int status = conform_wait(pid);
        CHECK(status == CHILD_STATUS, "vfork and exec: %d", status);
        CHECK(posix_spawn(&pid, self, NULL, NULL, arguments, environ) == 0);
        status = conform_wait(pid);
        CHECK(status == CHILD_STATUS, "posix_spawn: %d", status);
    }
    int status = system("exit 7");
    CHECK(status == 7 << 8, "system: %d", status);
    char line[64] = "";
    FILE *pipe_stream = popen("echo through a pipe", "r");
    CHECK(pipe_stream != NULL && fgets(line, sizeof(line), pipe_stream) != NULL);
    CHECK(strcmp(line, "through a pipe\n") == 0, "popen gave \"%s\"", line);
    CHECK(pipe_stream != NULL && pclose(pipe_stream) == 0);
}

int main(int argc, char **argv)
{
    conform_start(60);
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(size_of(i));
        conform_fill(blocks[i], size_of(i), i);
    }
    if (argc > 1) {
        return work_as_child();
    }
    without_fork_handlers();
    pthread_t threads[PARKED];
    pthread_barrier_init(&barrier, NULL, PARKED + 1);
    for (size_t i = 0; i < PARKED; i++) {
        CHECK(pthread_create(&threads[i], NULL, park, NULL) == 0);
    }
    pthread_barrier_wait(&barrier);
    without_fork_handlers();
    with_exec(argv[0]);
    pthread_barrier_wait(&barrier);
    for (size_t i = 0; i < PARKED; i++) {
        pthread_join(threads[i], NULL);
    }
    return conform_end();
}
