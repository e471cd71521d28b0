/* SPDX-License-Identifier: MIT
 *
 * Does our allocator serve a process? Found out from outside, without stopping it.
 *
 * A library that is mapped does not necessarily serve: another object may come before it in the search order,
 * and the order of the mappings does not tell. Three facts together do:
 *   1. the library is mapped (the same file, by inode);
 *   2. its counter of blocks handed out, read from the memory of the process, is above 0. The counter lives
 * in the process image that execve() made, so it says what happened since the program's start;
 *   3. it is the first object that exports malloc in the dynamic linker's own list. Without this, the counter
 * could stem from functions that the first object lacks, or from the library's own needs.
 */
#ifndef EBB_TOOL_SERVE_H
#define EBB_TOOL_SERVE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "tool/image.h"

/* The data symbol by which the library counts; see <ebb/malloc.h>. */
#define EBB_SERVE_COUNTER "ebb_alloc_counter"

enum ebb_serve_state {
    EBB_SERVE_YES,       /* all three facts hold */
    EBB_SERVE_UNMAPPED,  /* not mapped, or not yet */
    EBB_SERVE_UNUSED,    /* mapped, but has handed out nothing, or not yet */
    EBB_SERVE_OVERRULED, /* mapped, but `owner` comes first */
    EBB_SERVE_UNORDERED, /* counts, but who comes first could not be found out; see `error` */
    EBB_SERVE_DENIED,    /* we may not look; see `error` */
    EBB_SERVE_GONE,      /* the process has ended */
};

struct ebb_serve {
    /* What to look for; filled in by the caller. */
    pid_t pid;
    bool any_library; /* any file with the counter; else the one with this device and inode */
    dev_t library_dev;
    ino_t library_ino;

    /* What was found by the last look. */
    enum ebb_serve_state state;
    int error;              /* -errno for DENIED and UNORDERED */
    uint64_t first_count;   /* the counter at the first look that could read it */
    uint64_t count;         /* and at the last */
    char library[PATH_MAX]; /* the file that is mapped */
    char owner[PATH_MAX];   /* the file whose malloc comes first */

    /* Kept from look to look, as long as the process runs the same program. */
    dev_t exe_dev;
    ino_t exe_ino;
    bool located;
    bool counted;
    uint64_t counter_addr;
    uint64_t library_inode; /* as maps shows it, like the next two */
    uint32_t library_major;
    uint32_t library_minor;
};

/* Looks once and returns the state. */
enum ebb_serve_state ebb__serve_look(struct ebb_serve *serve);

/* After the last look: finds out whose malloc comes first also where that could not make a difference to the
 * state so far (nothing handed out, not mapped), for the sake of the explanation. May turn UNUSED into
 * OVERRULED. */
void ebb__serve_settle(struct ebb_serve *serve);

/* Says by whom the functions are served that the program itself imports, for a process that is served: one
 * line for each library to `stream` when `all`, else only where blocks of two allocators can meet. */
void ebb__serve_report_split(const struct ebb_serve *serve, FILE *stream, const char *prefix, bool all);

#endif
