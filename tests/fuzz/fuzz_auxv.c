/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: /proc/PID/auxv, with both word sizes.
 */
#include "fuzz.h"

#include "probe/probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (size_t word_bytes = 4; word_bytes <= 8; word_bytes += 4) {
        struct ebb_auxv auxv;
        uint64_t value;

        if (ebb__auxv_parse(data, size, word_bytes, &auxv) != 0)
            continue;
        for (unsigned type = 0; type < 256; type++)
            if (ebb__auxv_get(&auxv, type, &value))
                FUZZ_CHECK(type < EBB_AUXV_TYPES && (word_bytes == 8 || value <= UINT32_MAX));
    }
    return 0;
}
