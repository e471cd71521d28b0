/* SPDX-License-Identifier: MIT
 *
 * The sampler: reads the process's own RSS, VMAs and live bytes every 100 ms without allocating.
 */
#ifndef EBB_LOAD_SAMPLER_H
#define EBB_LOAD_SAMPLER_H

#include "load.h"

struct sample {
    uint64_t t_ms;
    uint64_t rss_bytes;
    int64_t live_bytes;
    uint64_t vmas;
};

/* The largest values that samples have shown, and the last sample. */
struct peaks {
    uint64_t rss_bytes;
    int64_t live_bytes;
    uint64_t vmas;
    struct sample last;
};

/* Opens the files of /proc. 0 or -errno. */
int sampler_init(void);

/* Starts the thread. 0 or -errno. */
int sampler_start(struct load *l);

/* Takes a sample now and writes its line to the report descriptor. */
void sampler_take(struct load *l);

/* Ends the thread and returns the peaks. */
struct peaks sampler_stop(void);

/* RSS now, in bytes. */
uint64_t sampler_rss_bytes(void);

/* The peak of RSS as the kernel knows it (VmHWM), in bytes. */
uint64_t sampler_rss_peak_bytes(void);

/* CPU time that the sampler itself has used. */
double sampler_cpu_seconds(void);

#endif
