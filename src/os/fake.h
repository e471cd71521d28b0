/* SPDX-License-Identifier: MIT
 * Controls of the fake kernel: what tests set, and what it has seen. Single-threaded tests only, except where
 * noted. */
#ifndef EBB_OS_FAKE_H
#define EBB_OS_FAKE_H

#include "os/os.h"

struct ebb_fake {
    /* set by tests */
    size_t page_bytes;   /* 4, 16 or 64 KiB; 4 KiB by default, or EBB_FAKE_PAGE_BYTES of the environment */
    long fail_at;        /* the n-th call that can fail from now on fails; 0 none */
    bool fail_forever;   /* and all after it */
    size_t as_bytes;     /* limit on reserved plus mapped */
    size_t commit_bytes; /* limit on committed plus mapped */
    size_t ram_bytes;
    size_t memlock_bytes;
    size_t behind_bytes; /* left free behind each reservation, so that it can be continued; 0 by default */
    size_t max_map_count;
    bool locked; /* purge fails with -EINVAL, as in locked memory on old kernels */
    enum ebb_os_thp thp;
    uint64_t now_ms;   /* the virtual clock */
    uint64_t extra_ns; /* now_ns is now_ms and this */
    uint64_t purge_ns; /* what each call of purge and purge_many takes of it */
    uint64_t thread_cpu_ns;
    uint32_t pid;
    uint32_t thread_id; /* of the calling thread, whichever it is */
    unsigned thread_count;
    bool threaded;
    const char *env;                         /* value of every variable asked for */
    const char *(*env_of)(const char *name); /* replaces env */
    int barrier_rc; /* what barrier_init returns; the barrier itself works when that was 0 */
    int thread_rc;  /* what thread_start returns */
    bool (*on_sleep)(uint64_t timeout_ms, uint64_t *ret_payload); /* replaces sleep */
    int table_rc;                                                 /* what fd_own_table returns */
    void (*on_poll)(uint64_t timeout_ms);                         /* what the world does during a poll */
    /* seen */
    long calls;    /* that could fail */
    long failures; /* injected or by limit */
    size_t reserved_bytes;
    size_t committed_bytes;
    size_t mapped_bytes;
    size_t purged_bytes;  /* in all */
    unsigned purge_calls; /* of purge and purge_many, however many ranges */
    unsigned collapses;
    size_t no_huge_bytes; /* in all */
    void (*fork_prepare)(void), (*fork_parent)(void), (*fork_child)(void);
    bool barrier_ready;        /* init has returned 0 */
    unsigned barriers;         /* that returned 0 */
    void (*thread_fn)(void *); /* started and not yet run */
    void *thread_arg;
    unsigned threads_started;
    unsigned slept_forever; /* sleeps for ever that nobody ended; they return false at once */
    unsigned wakes;
    uint32_t wake_thread_id; /* of the last wake */
    uint64_t wake_payload;
    bool own_table;    /* fd_own_table has returned 0 */
    unsigned fds;      /* open now */
    unsigned fds_most; /* and at most */
    unsigned polls;    /* done */
    unsigned mappings; /* what /proc/PID/maps would show of it: committed prefix and the rest count apart */
};

extern struct ebb_fake ebb_fake;

/* Unmaps all and sets every field to its default. */
void ebb_fake_reset(void);

/* Physical memory held, counted in fake pages: a page of which any byte was touched counts whole. Asks the
 * real kernel (mincore), so it sees what was really touched and really purged. */
size_t ebb_fake_resident_bytes(void);

/* Runs the started thread's function in the calling thread, once, with this as ebb__os_thread_id(). */
#define EBB_FAKE_STARTED_ID 43u
void ebb_fake_thread_run(void);

/* Sleep without on_sleep: takes the oldest pending wake; without one it moves the clock on by the timeout and returns false.
 * For ever it returns false at once and counts slept_forever, so a loop under test has to end by its own rule; the
 * thousandth time ends the test. So many wakes can be pending before -EAGAIN: */
#define EBB_FAKE_WAKES_MAX 64u

/* Files are the real kernel's, by their real paths: a test makes a tree of its own. What such files cannot do the test does for
 * them: lets a poll see events at all descriptors open on paths that end so, once. Returns how many there are. */
unsigned ebb_fake_raise(const char *path_end, short events);

/* From now on such descriptors read as those of a cgroup that is gone, and poll as they do. */
unsigned ebb_fake_remove(const char *path_end);

/* What was written through a descriptor, the n-th from the last (0) backwards. NULL when it is not known any more. */
struct ebb_fake_write {
    const char *path; /* of a socket the name that it was connected to */
    const char *text; /* with a zero behind it */
    size_t bytes;
};
const struct ebb_fake_write *ebb_fake_written(unsigned n);

/* Runs the function armed by ebb__os_thread_exit_arm() in this thread, as a thread's end would. */
void ebb_fake_thread_exit(void);

#endif
