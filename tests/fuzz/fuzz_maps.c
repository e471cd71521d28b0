/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: /proc/PID/maps. Every mapping that is returned must make sense and point into the text.
 */
#include "fuzz.h"

#include <errno.h>
#include <string.h>

#include "probe/probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct ebb_maps maps;
    struct ebb_map map;
    size_t steps = 0;
    int got;

    ebb__maps_open_text(&maps, text, size);
    while ((got = ebb__maps_next(&maps, &map)) != 0) {
        char name[512];

        FUZZ_CHECK(++steps <= size + 1);
        FUZZ_CHECK(got == 1 || got == -EBADMSG);
        if (got != 1)
            continue;
        FUZZ_CHECK(map.start <= map.end);
        FUZZ_CHECK(map.name >= text && map.name + map.name_len <= text + size);
        if (ebb__maps_name_decode(&map, name, sizeof(name)) == 0)
            FUZZ_CHECK(strlen(name) <= map.name_len);
    }
    return 0;
}
