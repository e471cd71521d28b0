/* SPDX-License-Identifier: MIT
 *
 * /proc/PID/stat: times, faults and scheduling of a process or a thread.
 *
 * The name stands in parentheses and may hold any byte, parentheses and newlines too: it ends at the last ") ".
 */
#ifndef EBB_PROBE_STAT_H
#define EBB_PROBE_STAT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct ebb_stat {
    pid_t pid;
    char name[64];
    char state;
    pid_t ppid;
    pid_t pgrp;
    pid_t session;
    int tty; /* 0: none */
    uint64_t flags;
    uint64_t minor_faults; /* since the start, without those of children */
    uint64_t major_faults;
    uint64_t user_ticks; /* of 1 / sysconf(_SC_CLK_TCK) seconds */
    uint64_t system_ticks;
    int64_t priority;
    int64_t nice;
    uint64_t thread_count;
    uint64_t
        start_ticks; /* since boot: with the pid it tells a process from a later one of the same number */
    uint64_t vm_bytes;
    uint64_t rss_pages;  /* not exact; status has better */
    int64_t rt_priority; /* 0: not a real-time process */
    uint64_t policy;     /* SCHED_OTHER 0, FIFO 1, RR 2, BATCH 3, IDLE 5, DEADLINE 6 */
};

/* PF_KTHREAD: no memory of its own. */
#define EBB_STAT_KTHREAD UINT64_C(0x00200000)

/* 0, or -EBADMSG when the text is not such a line or is cut off. */
int ebb__stat_parse(const char *text, size_t len, struct ebb_stat *ret_stat);

/* From ROOT/proc/PID/stat. */
int ebb__stat_read(const char *root, pid_t pid, struct ebb_stat *ret_stat);

/* From ROOT/proc/PID/task/TID/stat. */
int ebb__stat_read_thread(const char *root, pid_t pid, pid_t tid, struct ebb_stat *ret_stat);

#endif
