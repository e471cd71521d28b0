/* SPDX-License-Identifier: MIT
 *
 * /proc/zoneinfo: watermarks and free pages of each zone, and the page lists of each node.
 *
 * All numbers are pages. min, low and high are as the kernel compares them, with the boost already in. The numbers of a
 * node stand before its first zone that has memory; a node without memory has none.
 */
#ifndef EBB_PROBE_ZONEINFO_H
#define EBB_PROBE_ZONEINFO_H

#include <stddef.h>
#include <stdint.h>

#include "probe/fact.h"

#define EBB_ZONEINFO_NODES_MAX 64
#define EBB_ZONEINFO_ZONES_MAX 8 /* of a node; Linux has up to six kinds */

struct ebb_zone {
    char name[16]; /* "DMA32", "Normal" */
    struct ebb_fact free;
    struct ebb_fact boost;
    struct ebb_fact min;
    struct ebb_fact low;
    struct ebb_fact high;
    struct ebb_fact managed; /* 0: the zone is empty */
    /* What stays reserved in this zone from requests that could be met in the zone of that index. */
    uint64_t protection[EBB_ZONEINFO_ZONES_MAX];
    unsigned protection_count;
};

struct ebb_node {
    unsigned number;
    struct ebb_fact inactive_anon;
    struct ebb_fact active_anon;
    struct ebb_fact inactive_file;
    struct ebb_fact active_file;
    struct ebb_fact unevictable;
    struct ebb_fact activate_anon;
    struct ebb_fact activate_file;
    struct ebb_zone zones[EBB_ZONEINFO_ZONES_MAX]; /* lowest first; the index is that of `protection` */
    unsigned zone_count;
};

struct ebb_zoneinfo {
    struct ebb_node nodes[EBB_ZONEINFO_NODES_MAX];
    unsigned node_count;
};

/* 0, -EBADMSG when the text has no zone, or -E2BIG when it has more nodes or zones than fit. */
int ebb__zoneinfo_parse(const char *text, size_t len, struct ebb_zoneinfo *ret_info);

/* From ROOT/proc/zoneinfo, in constant memory: it has a paragraph for each processor in each zone. */
int ebb__zoneinfo_read(const char *root, struct ebb_zoneinfo *ret_info);

#endif
