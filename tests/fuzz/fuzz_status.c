/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: /proc/PID/status. Sizes are whole kilobytes, names end.
 */
#include "fuzz.h"

#include <string.h>

#include "probe/probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ebb_status status;

    if (ebb__status_parse((const char *)data, size, &status) != 0)
        return 0;
    FUZZ_CHECK(status.present != 0);
    if (ebb__status_has(&status, EBB_STATUS_VM_RSS))
        FUZZ_CHECK(status.vm_rss_bytes % 1024 == 0);
    if (ebb__status_has(&status, EBB_STATUS_NAME))
        FUZZ_CHECK(memchr(status.name, '\0', sizeof(status.name)) != NULL);
    return 0;
}
