/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: /proc/meminfo, and the manifest of a captured tree. Sizes with a unit are whole kilobytes, texts end.
 */
#include "fuzz.h"

#include <string.h>

#include "probe/probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ebb_meminfo info;
    struct ebb_host host;

    if (ebb__meminfo_parse((const char *)data, size, &info) == 0 && info.huge_pages_total.known)
        FUZZ_CHECK(info.huge_pages_total.err == 0);
    if (ebb__host_parse((const char *)data, size, &host) == 0) {
        FUZZ_CHECK(memchr(host.name, '\0', sizeof(host.name)) != NULL);
        FUZZ_CHECK(memchr(host.release, '\0', sizeof(host.release)) != NULL);
        (void)ebb__host_kernel_is(&host, 5, 9);
    }
    return 0;
}
