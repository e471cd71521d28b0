/* SPDX-License-Identifier: MIT
 *
 * How fast an amount grows; see forecast.h.
 */
#include "model/forecast.h"

#include <errno.h>
#include <string.h>

#define PAIRS_MAX (EBB_FORECAST_LOOKS_MAX * (EBB_FORECAST_LOOKS_MAX - 1) / 2)

/* From there on a forecast is none, and it still fits 64 bits. */
#define LONGEST_MS 3e13

static void insert(double paces[PAIRS_MAX], unsigned count, double pace)
{
    unsigned at = count;

    for (; at > 0 && paces[at - 1] > pace; at--)
        paces[at] = paces[at - 1];
    paces[at] = pace;
}

static unsigned collect(const struct ebb_forecast_look *looks, unsigned count, double paces[PAIRS_MAX])
{
    unsigned found = 0;

    for (unsigned i = 0; i < count; i++)
        for (unsigned j = i + 1; j < count; j++)
            if (looks[j].at_ms > looks[i].at_ms)
                insert(paces, found++,
                       ((double)looks[j].bytes - (double)looks[i].bytes) * 1000 /
                           (double)(looks[j].at_ms - looks[i].at_ms));
    return found;
}

bool ebb__forecast(const struct ebb_forecast_look *looks, unsigned count, struct ebb_forecast *ret_forecast)
{
    double paces[PAIRS_MAX];
    unsigned found;

    memset(ret_forecast, 0, sizeof(*ret_forecast));
    if (count > EBB_FORECAST_LOOKS_MAX)
        count = EBB_FORECAST_LOOKS_MAX;
    found = collect(looks, count, paces);
    if (found == 0)
        return false;
    ret_forecast->looks = count;
    ret_forecast->span_ms = looks[count - 1].at_ms - looks[0].at_ms;
    ret_forecast->rise_bytes = (int64_t)(looks[count - 1].bytes - looks[0].bytes);
    ret_forecast->slow = paces[(found - 1) / 10];
    ret_forecast->middle = paces[(found - 1) / 2];
    ret_forecast->fast = paces[found - 1 - (found - 1) / 10];
    return true;
}

struct ebb_fact ebb__forecast_ms(uint64_t bytes, double bytes_per_s)
{
    double ms;

    if (!(bytes_per_s > 0))
        return ebb__fact_unknown(-ENODATA);
    ms = (double)bytes * 1000 / bytes_per_s;
    return ms < LONGEST_MS ? ebb__fact((uint64_t)ms) : ebb__fact_unknown(-ENODATA);
}
