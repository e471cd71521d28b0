/* SPDX-License-Identifier: MIT
 *
 * How fast an amount grows, from several looks at it, and how long what is left then lasts.
 *
 * Each two looks give a pace. The paces in order, the one in the middle is the forecast, and those between which eight of ten
 * lie are its range: single jumps, and looks that came late, move neither far. Two looks give one pace, and no range.
 */
#ifndef EBB_MODEL_FORECAST_H
#define EBB_MODEL_FORECAST_H

#include <stdbool.h>
#include <stdint.h>

#include "probe/fact.h"

#define EBB_FORECAST_LOOKS_MAX 9

struct ebb_forecast_look {
    uint64_t at_ms; /* of any clock that goes forward */
    uint64_t bytes;
};

struct ebb_forecast {
    unsigned looks; /* 0: there is none */
    uint64_t span_ms;
    int64_t rise_bytes; /* from the first look to the last */
    /* In bytes per second. The slow one is at most the middle one, and that at most the fast one. */
    double slow;
    double middle;
    double fast;
};

/* False, and nothing, without two looks at different times; the times must not go back. */
bool ebb__forecast(const struct ebb_forecast_look *looks, unsigned count, struct ebb_forecast *ret_forecast);

/* How long `bytes` last at that pace. Unknown (-ENODATA) when it does not rise, or for longer than a thousand years. */
struct ebb_fact ebb__forecast_ms(uint64_t bytes, double bytes_per_s);

#endif
