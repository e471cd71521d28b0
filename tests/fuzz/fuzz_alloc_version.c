/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: versions of allocators in any bytes. What is found is printable, fits, and stands in the bytes.
 */
#include "fuzz.h"

#include <string.h>

#include "probe/alloc_version.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char version[EBB_ALLOC_VERSION_BYTES];
    uint32_t number;
    int order;

    for (int form = EBB_ALLOC_VERSION_JEMALLOC; form <= EBB_ALLOC_VERSION_GPERFTOOLS; form++) {
        if (!ebb__alloc_version_find((enum ebb_alloc_version_form)form, (const char *)data, size, version))
            continue;
        FUZZ_CHECK(memchr(version, '\0', sizeof(version)) != NULL && version[0] >= '0' && version[0] <= '9');
        FUZZ_CHECK(memmem(data, size, version, strlen(version)) != NULL);
        FUZZ_CHECK(form != EBB_ALLOC_VERSION_JEMALLOC ||
                   ebb__alloc_version_compare(version, 5, 3, 1, &order));
    }
    if (ebb__alloc_version_code(data, size, &number))
        ebb__alloc_version_mimalloc(number, version);
    return 0;
}
