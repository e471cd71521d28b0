/* SPDX-License-Identifier: MIT
 *
 * What ebb run says to the allocator: limits in the operator's words become options of EBB_MALLOC.
 */
#ifndef EBB_TOOL_RUN_LIMITS_H
#define EBB_TOOL_RUN_LIMITS_H

#include <stddef.h>

struct ebb_run_limits {
    const char *limit;      /* a size, or NULL */
    const char *hard_limit; /* the same */
    const char *budget;     /* cgroup:90%, or NULL */
};

/* Checks the words. NULL when they are fine; else what is wrong with them, in one line of ret_why. */
const char *ebb__run_limits_check(const struct ebb_run_limits *limits, char *ret_why, size_t why_bytes);

/* The value for EBB_MALLOC: `malloc_options`, or what the environment has when that is NULL, and the limits behind it, which win.
 * To be freed; NULL when there is nothing to say. pre: they were checked */
char *ebb__run_limits_join(const struct ebb_run_limits *limits, const char *malloc_options);

#endif
