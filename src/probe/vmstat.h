/* SPDX-License-Identifier: MIT
 *
 * /proc/vmstat: what memory management has done since boot, and pages by kind.
 *
 * Each page that reclaim looks at is counted twice: by who reclaims (kswapd, direct, khugepaged, proactive), unless it is on
 * behalf of a memory cgroup, and by what it is (anon, file), always. Adding all pgscan_* up doubles the truth.
 */
#ifndef EBB_PROBE_VMSTAT_H
#define EBB_PROBE_VMSTAT_H

#include <stddef.h>

#include "probe/fact.h"

struct ebb_vmstat {
#define EBB_VMSTAT(name) struct ebb_fact name;
#include "probe/vmstat.def"
#undef EBB_VMSTAT
};

/* 0, or -EBADMSG when the text has none of the lines. */
int ebb__vmstat_parse(const char *text, size_t len, struct ebb_vmstat *ret_stat);

/* From ROOT/proc/vmstat. On -errno all facts are unknown for that reason. */
int ebb__vmstat_read(const char *root, struct ebb_vmstat *ret_stat);

#endif
