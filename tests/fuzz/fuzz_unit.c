/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: units in /proc/PID/cgroup. What is found is a part of the text, and is found again.
 */
#include "fuzz.h"

#include <string.h>

#include "probe/probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char path[EBB_CGROUP_PATH_BYTES];
    char unit[EBB_UNIT_BYTES];
    char again[EBB_UNIT_BYTES];
    bool of_user;
    const char *text = (const char *)data;

    if (ebb__unit_service_parse(text, size, unit, &of_user)) {
        FUZZ_CHECK(memchr(unit, '\0', sizeof(unit)) != NULL && strchr(unit, '/') == NULL);
        /* A zero byte in the text ends the name that is compared, but not the one that is in the path. */
        if (memchr(data, '\0', size) == NULL &&
            ebb__unit_path_parse(text, size, unit, path, sizeof(path)) == 0) {
            FUZZ_CHECK(path[0] == '/');
            FUZZ_CHECK(ebb__unit_in_path(path, strlen(path), unit) == strlen(path));
            (void)ebb__unit_is_hosts(path);
            FUZZ_CHECK(ebb__unit_name(unit, again) && strcmp(unit, again) == 0);
        }
    }
    return 0;
}
