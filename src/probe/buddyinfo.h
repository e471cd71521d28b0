/* SPDX-License-Identifier: MIT
 *
 * /proc/buddyinfo: how many free blocks of 2^order pages each zone has.
 */
#ifndef EBB_PROBE_BUDDYINFO_H
#define EBB_PROBE_BUDDYINFO_H

#include <stddef.h>
#include <stdint.h>

#define EBB_BUDDYINFO_ORDERS_MAX 32 /* 11 on most hosts */
#define EBB_BUDDYINFO_ZONES_MAX  256

struct ebb_buddy_zone {
    unsigned node;
    char name[16];
    unsigned order_count;
    uint64_t blocks[EBB_BUDDYINFO_ORDERS_MAX]; /* by order */
};

struct ebb_buddyinfo {
    struct ebb_buddy_zone zones[EBB_BUDDYINFO_ZONES_MAX];
    unsigned zone_count;
};

/* 0, -EBADMSG when the text has no zone, or -E2BIG when it has more of them than fit. */
int ebb__buddyinfo_parse(const char *text, size_t len, struct ebb_buddyinfo *ret_info);

/* From ROOT/proc/buddyinfo. */
int ebb__buddyinfo_read(const char *root, struct ebb_buddyinfo *ret_info);

#endif
