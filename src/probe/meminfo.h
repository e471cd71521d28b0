/* SPDX-License-Identifier: MIT
 *
 * /proc/meminfo: what the host has and where it is.
 */
#ifndef EBB_PROBE_MEMINFO_H
#define EBB_PROBE_MEMINFO_H

#include <stddef.h>

#include "probe/fact.h"

struct ebb_meminfo {
#define EBB_MEMINFO(field, key) struct ebb_fact field;
#include "probe/meminfo.def"
#undef EBB_MEMINFO
};

/* 0, or -EBADMSG when the text has none of the lines. */
int ebb__meminfo_parse(const char *text, size_t len, struct ebb_meminfo *ret_info);

/* From ROOT/proc/meminfo. On -errno all facts are unknown for that reason. */
int ebb__meminfo_read(const char *root, struct ebb_meminfo *ret_info);

#endif
