/* SPDX-License-Identifier: MIT
 * Controls of the fake kernel: what tests set, and what it has seen. Single-threaded tests only, except where
 * noted. */
#ifndef EBB_OS_FAKE_H
#define EBB_OS_FAKE_H

#include "os/os.h"

struct ebb_fake {
    /* set by tests */
    size_t page_bytes;   /* 4, 16 or 64 KiB */
    long fail_at;        /* the n-th call that can fail from now on fails; 0 none */
    bool fail_forever;   /* and all after it */
    size_t as_bytes;     /* limit on reserved plus mapped */
    size_t commit_bytes; /* limit on committed plus mapped */
    size_t ram_bytes;
    size_t memlock_bytes;
    size_t max_map_count;
    bool locked;     /* purge fails with -EINVAL, as in locked memory on old kernels */
    uint64_t now_ms; /* the virtual clock */
    uint32_t pid;
    const char *env; /* value of every variable asked for */
    /* seen */
    long calls;    /* that could fail */
    long failures; /* injected or by limit */
    size_t reserved_bytes;
    size_t committed_bytes;
    size_t mapped_bytes;
    size_t purged_bytes; /* in all */
    unsigned mappings;   /* what /proc/PID/maps would show of it: committed prefix and the rest count apart */
};

extern struct ebb_fake ebb_fake;

/* Unmaps all and sets every field to its default: 4 KiB pages, no limits. */
void ebb_fake_reset(void);

/* Physical memory held, counted in fake pages: a page of which any byte was touched counts whole. Asks the
 * real kernel (mincore), so it sees what was really touched and really purged. */
size_t ebb_fake_resident_bytes(void);

/* Runs the function armed by ebb__os_thread_exit_arm() in this thread, as a thread's end would. */
void ebb_fake_thread_exit(void);

#endif
