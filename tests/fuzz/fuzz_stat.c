/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: /proc/PID/stat. The name ends, and numbers are in their range.
 */
#include "fuzz.h"

#include <string.h>

#include "probe/probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ebb_stat stat;

    if (ebb__stat_parse((const char *)data, size, &stat) != 0)
        return 0;
    FUZZ_CHECK(memchr(stat.name, '\0', sizeof(stat.name)) != NULL);
    FUZZ_CHECK(stat.pid >= 0);
    return 0;
}
