/* SPDX-License-Identifier: MIT
 *
 * Pressure stall information: for how long tasks waited for memory, io or a processor.
 *
 * /proc/pressure/RESOURCE and RESOURCE.pressure of a cgroup of version 2 look alike:
 *
 *     some avg10=24.59 avg60=73.18 avg300=80.07 total=5738486282
 *     full avg10=0.00 avg60=0.00 avg300=0.00 total=0
 *
 * "some" is the time in which at least one task waited, "full" that in which all that could have run did. Processors have no "full"
 * line before Linux 5.13. Lines and words that we do not know are passed over.
 */
#ifndef EBB_PROBE_PRESSURE_H
#define EBB_PROBE_PRESSURE_H

#include <stddef.h>

#include "probe/fact.h"

struct ebb_pressure_share {
    struct ebb_fact avg10_hundredths; /* of a percent of the time, over the last 10, 60 and 300 seconds */
    struct ebb_fact avg60_hundredths;
    struct ebb_fact avg300_hundredths;
    struct ebb_fact total_us; /* since boot, or since the cgroup was made */
};

struct ebb_pressure {
    struct ebb_pressure_share some;
    struct ebb_pressure_share full;
};

/* 0, or -EBADMSG when neither line is there. */
int ebb__pressure_parse(const char *text, size_t len, struct ebb_pressure *ret_pressure);

/* From ROOT + path. On -errno (-EOPNOTSUPP: the kernel was started without psi=1) all facts are unknown for that reason. */
int ebb__pressure_read(const char *root, const char *path, struct ebb_pressure *ret_pressure);

#endif
