/* SPDX-License-Identifier: MIT
 *
 * Numbers as people read and write them; see units.h.
 */
#include "model/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "probe/scan.h"

const char *ebb__units_bytes(uint64_t bytes, char buf[EBB_UNITS_BYTES])
{
    static const char *const UNITS[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    unsigned unit = 0;
    double value = (double)bytes / 1024;

    if (bytes < 1024) {
        snprintf(buf, EBB_UNITS_BYTES, "%u B", (unsigned)bytes);
        return buf;
    }
    /* What would be rounded to 1024.0 is one of the next unit. */
    while (value >= 1023.95) {
        value /= 1024;
        unit++;
    }
    snprintf(buf, EBB_UNITS_BYTES, "%.1f %s", value, UNITS[unit]);
    return buf;
}

const char *ebb__units_short(uint64_t bytes, char buf[EBB_UNITS_BYTES])
{
    static const char UNITS[] = "KMGTPE";
    unsigned unit = 0;
    double value = (double)bytes / 1024;

    if (bytes < 1024) {
        snprintf(buf, EBB_UNITS_BYTES, "%u", (unsigned)bytes);
        return buf;
    }
    while (value >= 1023.5) {
        value /= 1024;
        unit++;
    }
    /* What would be rounded to 100.0 has no digit behind the point either. */
    snprintf(buf, EBB_UNITS_BYTES, value < 99.95 ? "%.1f%c" : "%.0f%c", value, UNITS[unit]);
    return buf;
}

const char *ebb__units_change(uint64_t from, uint64_t to, char buf[EBB_UNITS_BYTES])
{
    char size[EBB_UNITS_BYTES];

    ebb__units_bytes(to >= from ? to - from : from - to, size);
    snprintf(buf, EBB_UNITS_BYTES, "%c%.*s", to >= from ? '+' : '-', EBB_UNITS_BYTES - 2, size);
    return buf;
}

const char *ebb__units_ms(uint64_t ms, char buf[EBB_UNITS_BYTES])
{
    uint64_t minutes = ms / 60000;

    if (ms < 1000)
        snprintf(buf, EBB_UNITS_BYTES, "%u ms", (unsigned)ms);
    else if (minutes == 0)
        snprintf(buf, EBB_UNITS_BYTES, "%u.%u s", (unsigned)(ms / 1000), (unsigned)(ms % 1000 / 100));
    else if (minutes < 120)
        snprintf(buf, EBB_UNITS_BYTES, "%" PRIu64 " min", minutes);
    else if (minutes < UINT64_C(48) * 60)
        snprintf(buf, EBB_UNITS_BYTES, "%" PRIu64 " h", minutes / 60);
    else
        snprintf(buf, EBB_UNITS_BYTES, "%" PRIu64 " d", minutes / 60 / 24);
    return buf;
}

int ebb__units_parse_bytes(const char *text, uint64_t *ret_bytes)
{
    static const char SUFFIXES[] = "KMGT";
    struct ebb_scan scan = {.at = text, .end = text + strlen(text)};
    uint64_t value;

    if (!ebb__scan_dec(&scan, &value))
        return -EINVAL;
    if (scan.at != scan.end) {
        const char *suffix = strchr(SUFFIXES, *scan.at);

        if (suffix == NULL || scan.at + 1 != scan.end)
            return -EINVAL;
        for (; suffix >= SUFFIXES; suffix--)
            if (__builtin_mul_overflow(value, UINT64_C(1024), &value))
                return -EINVAL;
    }
    *ret_bytes = value;
    return 0;
}
