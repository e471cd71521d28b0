/* SPDX-License-Identifier: MIT
 *
 * /proc/swaps: the devices and files that anonymous pages are swapped to.
 */
#ifndef EBB_PROBE_SWAPS_H
#define EBB_PROBE_SWAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EBB_SWAPS_MAX       32 /* the kernel has room for fewer */
#define EBB_SWAP_NAME_BYTES 4096

struct ebb_swap {
    char name[EBB_SWAP_NAME_BYTES]; /* as it was opened, without the kernel's escapes */
    bool deleted;                   /* the file has no name any more, but is in use */
    bool is_file;                   /* a file in a file system, not a device */
    uint64_t size_bytes;
    uint64_t used_bytes;
    int priority; /* the highest is filled first; equal ones in turn */
};

struct ebb_swaps {
    struct ebb_swap swaps[EBB_SWAPS_MAX];
    unsigned count;
};

/* 0, also when there is none; -EBADMSG when the heading is missing, or -E2BIG. */
int ebb__swaps_parse(const char *text, size_t len, struct ebb_swaps *ret_swaps);

/* From ROOT/proc/swaps. */
int ebb__swaps_read(const char *root, struct ebb_swaps *ret_swaps);

#endif
