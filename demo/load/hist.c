/* SPDX-License-Identifier: MIT
 *
 * Merging and reading the log-linear histogram.
 */
#include "hist.h"

void hist_merge(struct hist *into, const struct hist *from)
{
    into->count += from->count;
    into->sum += from->sum;
    if (from->max > into->max)
        into->max = from->max;
    for (unsigned i = 0; i < HIST_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
}

/* The largest value that falls into bucket `index`: the inverse of hist_bucket(). */
static uint64_t bucket_end(unsigned index)
{
    if (index < (2u << HIST_SUB_BITS))
        return index;

    unsigned shift = (index >> HIST_SUB_BITS) - 1;
    uint64_t lead = (index & ((1u << HIST_SUB_BITS) - 1)) + (1u << HIST_SUB_BITS);

    return ((lead + 1) << shift) - 1;
}

uint64_t hist_percentile(const struct hist *h, double share)
{
    double wanted = share * (double)h->count;
    uint64_t seen = 0;

    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen > 0 && (double)seen >= wanted) {
            uint64_t end = bucket_end(i);

            return end < h->max ? end : h->max;
        }
    }
    return h->max;
}
