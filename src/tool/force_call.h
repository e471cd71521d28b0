/* SPDX-License-Identifier: MIT
 *
 * Has a thread of another process call one function of its allocator: the last resort, where nothing in the process would do so.
 *
 * What is done, and why it does not disturb more than it must:
 *   1. All threads are stopped by ptrace, each where it is.
 *   2. A lock of the allocator may be held by a thread that runs in the allocator or in what it calls (the C library), or that is
 *      in a system call about memory. Nobody may be: else all go on for a moment, and it is tried again, until the deadline.
 *   3. Of the threads that wait in some other system call one is chosen, and made to call the function on its own stack, below what
 *      is in use. Its return address is 0, where it faults, which we see and it does not. The others stay stopped meanwhile, so that
 *      nobody waits for a lock in vain; when the call takes longer than the pause that is allowed, they go on.
 *   4. The thread gets all of its registers back, and all are let go. A system call that was interrupted is begun again by the kernel.
 *
 * A thread is not taken out of the call before it has returned: it may hold a lock. Whoever kills us in between leaves the thread
 * to return to address 0, which ends the process; signals that ask us to end wait until it is over. Signals to the process
 * meanwhile are delivered afterwards.
 *
 * It takes the right to trace the process, and x86-64 or aarch64.
 */
#ifndef EBB_TOOL_FORCE_CALL_H
#define EBB_TOOL_FORCE_CALL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The functions that may be called: all can be called at any time, again and again. */
struct ebb_force_function {
    const char *name;
    const char *allocator; /* as ebb ps --allocator names it */
    uint64_t argument;
};

extern const struct ebb_force_function ebb__force_functions[];
extern const unsigned ebb__force_function_count;

/* The row of that name, or NULL. */
const struct ebb_force_function *ebb__force_function_find(const char *name);

struct ebb_force_report {
    int64_t result;      /* what the function returned */
    uint64_t stopped_us; /* the longest that a thread was stopped, but for the one that called */
    uint64_t call_us;
    unsigned threads;
    unsigned attempts;
};

/* 0, or -errno:
 *   -ENOENT   the library that serves malloc has no such function
 *   -EBUSY    some thread was in the allocator, or about to be, whenever we looked, or none waited anywhere; nothing was called
 *   -ENOTSUP  this process cannot be made to call: it is stopped, blocks SIGSEGV, has a shadow stack, or is of another machine
 *   -EPERM    it may not be traced, or somebody else traces it; -ESRCH it has ended
 *   -EFAULT   the function crashed; the thread was put back, and what it had locked stays locked
 * `timeout_ms` is for step 2, `pause_ms` for step 3. */
int ebb__force_call(pid_t pid, const struct ebb_force_function *function, long timeout_ms, long pause_ms,
                    struct ebb_force_report *ret_report);

/* What -errno of the above means, as a clause. */
const char *ebb__force_why(int err);

#endif
