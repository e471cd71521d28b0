/* SPDX-License-Identifier: MIT
 *
 * Leak, retention or fragmentation: what two looks at a heap say.
 */
#ifndef EBB_MODEL_HEAP_VERDICT_H
#define EBB_MODEL_HEAP_VERDICT_H

#include <stdint.h>

enum ebb_heap_verdict {
#define EBB_HEAP_VERDICT(id, key, sentence) EBB_HEAP_VERDICT_##id,
#include "model/heap_verdict.def"
#undef EBB_HEAP_VERDICT
    EBB_HEAP_VERDICT_COUNT
};

struct ebb_heap_verdict_words {
    const char *key;
    const char *sentence;
};

extern const struct ebb_heap_verdict_words ebb__heap_verdicts[EBB_HEAP_VERDICT_COUNT];

/* What is free and has no memory any more costs nothing, and is left out. */
struct ebb_heap_look {
    uint64_t system_bytes;   /* what the allocator has from the kernel */
    uint64_t live_bytes;     /* what the program holds of it */
    uint64_t trim_bytes;     /* free and resident: whole pages that a trim gives back */
    uint64_t kept_bytes;     /* free and resident: whole pages that it leaves alone */
    uint64_t fragment_bytes; /* free, in pieces below a page */
};

/* A change below this is none: blocks come and go. */
uint64_t ebb__heap_verdict_step_bytes(const struct ebb_heap_look *now);

enum ebb_heap_verdict ebb__heap_verdict(const struct ebb_heap_look *before, const struct ebb_heap_look *now);

#endif
