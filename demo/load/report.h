/* SPDX-License-Identifier: MIT
 *
 * What ebb-load prints: JSON lines to the report descriptor, or a short text. Nothing here allocates.
 */
#ifndef EBB_LOAD_REPORT_H
#define EBB_LOAD_REPORT_H

#include "sampler.h"

/* The state of the process at the end of the idle phase. */
struct ending {
    uint64_t rss_bytes, rss_peak_bytes, vmas;
    int64_t live_bytes;
    int64_t rss_trimmed_bytes; /* after malloc_trim(0); -1: the allocator has none */
    double user_s, system_s;
    uint64_t faults_minor, faults_major;
};

/* One JSON line, if there is a report descriptor. Ends the process when it cannot be written: nobody reads
 * any more. */
void report_sample(const struct load *l, const struct sample *s);

/* The summary: JSON, or text on standard output. 0 or -errno. */
int report_summary(const struct load *l, const struct peaks *p, const struct ending *e,
                   uint64_t rss_base_bytes);

#endif
