/* SPDX-License-Identifier: MIT
 *
 * One number that was read somewhere, or why it was not.
 *
 * All zero means: nobody looked. A fact that is not known has no value, and is never taken for 0.
 */
#ifndef EBB_PROBE_FACT_H
#define EBB_PROBE_FACT_H

#include <stdbool.h>
#include <stdint.h>

struct ebb_fact {
    uint64_t value; /* means nothing unless known */
    bool known;
    int err; /* why it is not known: -ENODATA the source has no such line, or -errno of opening or reading it */
};

static inline struct ebb_fact ebb__fact(uint64_t value)
{
    return (struct ebb_fact){.value = value, .known = true};
}

static inline struct ebb_fact ebb__fact_unknown(int err)
{
    return (struct ebb_fact){.err = err};
}

/* The value, or `otherwise` when it is not known: for sums in which a part that the kernel does not have is none. */
static inline uint64_t ebb__fact_or(struct ebb_fact fact, uint64_t otherwise)
{
    return fact.known ? fact.value : otherwise;
}

/* A few words, without a full stop: "this kernel does not have it", "needs CAP_SYS_PTRACE or the same user", ... */
const char *ebb__fact_why(struct ebb_fact fact);

#endif
