/* SPDX-License-Identifier: MIT
 *
 * The stats page of a process: found, and read without stopping anybody.
 */
#ifndef EBB_TOOL_PAGE_H
#define EBB_TOOL_PAGE_H

#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire/stats_page.h"

struct ebb_page {
    pid_t pid;
    uint64_t address;
    char library[PATH_MAX]; /* the file that the page is part of, printable */
    unsigned char *bytes;   /* of the last read */
    size_t room;
    struct ebb_wire_view view; /* points into bytes; `torn` also when the summary changed while we read */
};

/* Finds the page and reads it. Of several libraries with a page in one process it is that which has counted something:
 * only one of them serves. 0, -ENOENT when the process has no page, -EBADMSG when it has one that makes no sense, -ESRCH
 * when it has ended, -EPERM or -EACCES when we may not look, or -errno. On success free it with ebb__page_fini(). */
int ebb__page_find(pid_t pid, struct ebb_page *ret_page);

/* Reads it again. 0, or as above; -EFAULT when the process executes another program by now. */
int ebb__page_read(struct ebb_page *page);

void ebb__page_fini(struct ebb_page *page);

#endif
