/* SPDX-License-Identifier: MIT
 *
 * A thread of the library's own kind that does one step whenever the case asks for it, and who has which descriptors.
 */
#ifndef EBB_TESTS_WORKER_H
#define EBB_TESTS_WORKER_H

#include "support.h"

#include <dirent.h>

#include "os/os.h"

static struct {
    _Atomic uint32_t tid;
    _Atomic unsigned step; /* asked for by the case */
    _Atomic unsigned done; /* by the thread */
    _Atomic int rc;
    void (*act)(unsigned step);
} worker;

static inline void nap(unsigned ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&time, NULL);
}

static inline void work(void *unused)
{
    (void)unused;
    support_elsewhere = true;
    atomic_store(&worker.tid, ebb__os_thread_id());
    for (unsigned i = 1;; i++) {
        while (atomic_load(&worker.step) < i)
            nap(1);
        worker.act(i);
        atomic_store(&worker.done, i);
    }
}

static inline void start(void (*act)(unsigned step))
{
    (void)alarm(60);
    worker.act = act;
    EXPECT_EQ(ebb__os_thread_start(work, NULL), 0);
    while (atomic_load(&worker.tid) == 0)
        nap(1);
}

static inline void step(void)
{
    unsigned wanted = atomic_fetch_add(&worker.step, 1) + 1;
    while (atomic_load(&worker.done) < wanted)
        nap(1);
}

static inline int count_entries(const char *folder_of_fds)
{
    DIR *dir = opendir(folder_of_fds);
    int n = 0;
    EXPECT_MSG(dir != NULL, "%s", folder_of_fds);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir))
        n += e->d_name[0] != '.';
    (void)closedir(dir);
    return n;
}

static inline int program_fds(void)
{
    return count_entries("/proc/self/fd") - 1; /* the one that reads the folder */
}

static inline int thread_fds(void)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/task/%u/fd", atomic_load(&worker.tid));
    return count_entries(path);
}

#endif
