/* SPDX-License-Identifier: MIT
 *
 * Leak, retention or fragmentation; see heap_verdict.h.
 */
#include "model/heap_verdict.h"

/* The share of a heap from which a change of what is live, or what is free of it, is worth a word; and the least change. */
#define STEP_PERCENT     1
#define STEP_BYTES_MIN   (UINT64_C(256) << 10)
#define FREE_PERCENT_MIN 20

const struct ebb_heap_verdict_words ebb__heap_verdicts[EBB_HEAP_VERDICT_COUNT] = {
#define EBB_HEAP_VERDICT(id, key, sentence) {key, sentence},
#include "model/heap_verdict.def"
#undef EBB_HEAP_VERDICT
};

uint64_t ebb__heap_verdict_step_bytes(const struct ebb_heap_look *now)
{
    uint64_t step = now->system_bytes / 100 * STEP_PERCENT;

    return step > STEP_BYTES_MIN ? step : STEP_BYTES_MIN;
}

enum ebb_heap_verdict ebb__heap_verdict(const struct ebb_heap_look *before, const struct ebb_heap_look *now)
{
    uint64_t free_bytes = now->trim_bytes + now->kept_bytes + now->fragment_bytes;
    uint64_t step = ebb__heap_verdict_step_bytes(now);
    uint64_t growth = now->live_bytes > before->live_bytes ? now->live_bytes - before->live_bytes : 0;
    uint64_t system = now->system_bytes > before->system_bytes ? now->system_bytes - before->system_bytes : 0;

    /* The heap follows when it grew by half as much at least: its last top may have had room. */
    if (growth >= step)
        return system >= growth / 2 ? EBB_HEAP_VERDICT_LEAK : EBB_HEAP_VERDICT_FILLING;
    if (free_bytes == 0 || free_bytes < now->system_bytes / 100 * FREE_PERCENT_MIN)
        return EBB_HEAP_VERDICT_COMPACT;
    if (now->trim_bytes >= now->kept_bytes && now->trim_bytes >= now->fragment_bytes)
        return EBB_HEAP_VERDICT_RETENTION;
    return now->kept_bytes >= now->fragment_bytes ? EBB_HEAP_VERDICT_TOPS : EBB_HEAP_VERDICT_FRAGMENTATION;
}
