/* SPDX-License-Identifier: MIT
 * Control requests of the tool, carried out by the background thread; wire/control.h has what can be asked. */
#include "governor/governor_priv.h"

static int64_t set_option(const struct ebb_wire_request *request)
{
    long value = (long)request->value;
    switch (request->setting) {
    case EBB_WIRE_SETTING_cache_bytes:
        __atomic_store_n(&ebb__conf.cache_bytes, value, __ATOMIC_RELAXED);
        return 0;
    case EBB_WIRE_SETTING_caches_bytes:
        __atomic_store_n(&ebb__conf.caches_bytes, value, __ATOMIC_RELAXED);
        return 0;
    case EBB_WIRE_SETTING_depot_bytes:
        __atomic_store_n(&ebb__conf.depot_bytes, value, __ATOMIC_RELAXED);
        return 0;
    default:
        return -ENOTSUP;
    }
}

static int64_t carry_out(const struct ebb_wire_request *request)
{
    switch (request->op) {
    case EBB_WIRE_REFRESH:
        return 0;
    case EBB_WIRE_PURGE:
        return (int64_t)ebb__heap_trim(0);
    case EBB_WIRE_TRIM:
        return (int64_t)ebb__governor_trim(0);
    case EBB_WIRE_SET:
        return set_option(request);
    default:
        return -ENOTSUP;
    }
}

void ebb__upkeep_request(uint64_t payload)
{
    struct ebb_wire_request request;
    if (payload == 0)
        return; /* a call of our own process */
    int rc = ebb__wire_control_decode(payload, &request);
    int64_t result = rc != 0 ? rc : carry_out(&request);
    ebb__upkeep_look();
    ebb__upkeep_publish();
    ebb__stats_answer(result);
}
