/* SPDX-License-Identifier: MIT
 *
 * The background thread of a process on ebb, seen from outside, and asking it for something.
 */
#ifndef EBB_TOOL_BACKGROUND_H
#define EBB_TOOL_BACKGROUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tool/page.h"

enum ebb_background_state {
    EBB_BACKGROUND_LISTENS, /* takes requests */
    EBB_BACKGROUND_NONE,    /* the page names no thread */
    EBB_BACKGROUND_PARENT,  /* the page is a copy from before a fork that nobody told the library about */
    EBB_BACKGROUND_GONE,    /* the page names a thread that the process has not */
    EBB_BACKGROUND_DEAF, /* that thread neither blocks the signal nor waits for it: it would end the process */
};

struct ebb_background {
    enum ebb_background_state state;
    pid_t tid;     /* as we see it; 0 unless LISTENS or DEAF */
    char activity; /* as in /proc/PID/status: 'S' sleeping, 'T' stopped, ... */
};

/* Looks at the thread that the page names. 0, -ESRCH when the process has ended, or -errno. */
int ebb__background_look(const struct ebb_page *page, struct ebb_background *ret_background);

/* Why it takes no requests, as a clause; what to do about it where something can be done. */
const char *ebb__background_why(enum ebb_background_state state);

/* Sends a request to a thread that listens. 0, -EPERM, -ESRCH, or -EAGAIN when the kernel's queue of signals is full. */
int ebb__background_send(pid_t pid, pid_t tid, uint64_t payload);

#endif
