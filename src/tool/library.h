/* SPDX-License-Identifier: MIT
 *
 * Finding libebb-malloc.so, and making sure that it is one.
 */
#ifndef EBB_TOOL_LIBRARY_H
#define EBB_TOOL_LIBRARY_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "tool/image.h"

struct ebb_library {
    char path[PATH_MAX]; /* absolute; a symbolic link at its end is kept, so that an upgrade can turn it */
    dev_t dev;
    ino_t ino;
    struct ebb_image_library kind;
    bool has_counter; /* can be verified from outside */
};

/* Finds the library: `given` (may be NULL), else the environment's EBB_LIBRARY, else the one that belongs to
 * this executable. 0, or -1 after one line on standard error. */
int ebb__library_find(const char *given, struct ebb_library *ret_library);

#endif
