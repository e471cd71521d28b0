/* SPDX-License-Identifier: MIT
 *
 * /proc/uptime and /proc/loadavg: for how long the host is up, and how many tasks wanted a processor or a disk lately.
 */
#ifndef EBB_PROBE_LOAD_H
#define EBB_PROBE_LOAD_H

#include <stddef.h>

#include "probe/fact.h"

struct ebb_load {
    struct ebb_fact uptime_ms;
    struct ebb_fact avg1_hundredths; /* over the last 1, 5 and 15 minutes */
    struct ebb_fact avg5_hundredths;
    struct ebb_fact avg15_hundredths;
    struct ebb_fact runnable; /* tasks, threads counted */
    struct ebb_fact tasks;
};

/* 0, or -EBADMSG; each touches its own facts only. */
int ebb__load_parse_uptime(const char *text, size_t len, struct ebb_load *ret_load);
int ebb__load_parse_averages(const char *text, size_t len, struct ebb_load *ret_load);

/* From ROOT/proc/uptime and ROOT/proc/loadavg. What cannot be read is unknown for that reason. */
void ebb__load_read(const char *root, struct ebb_load *ret_load);

#endif
