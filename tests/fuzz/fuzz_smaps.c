/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: /proc/PID/smaps. Every entry that is returned must make sense.
 */
#include "fuzz.h"

#include <errno.h>

#include "probe/probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ebb_smaps smaps;
    static struct ebb_smap smap;
    size_t steps = 0;
    int got;

    ebb__smaps_open_text(&smaps, (const char *)data, size);
    while ((got = ebb__smaps_next(&smaps, &smap)) != 0) {
        FUZZ_CHECK(++steps <= size + 1);
        FUZZ_CHECK(got == 1 || got == -EBADMSG);
        if (got != 1)
            continue;
        FUZZ_CHECK(smap.map.start <= smap.map.end);
        FUZZ_CHECK(smap.map.name_len <= EBB_SMAPS_NAME_BYTES && smap.map.name_len <= size);
        FUZZ_CHECK(smap.has_flags || smap.flags == 0);
        FUZZ_CHECK(smap.flags >> EBB_VM_FLAG_COUNT == 0);
        for (unsigned i = 0; i < EBB_SMAPS_FIELD_COUNT; i++)
            FUZZ_CHECK(smap.facts[i].known || smap.facts[i].err == -ENODATA);
        ebb__smap_dirty(smap.facts);
        ebb__smap_huge(smap.facts);
    }
    return 0;
}
