/* SPDX-License-Identifier: MIT
 *
 * Numbers for people: rounding at the borders of units, and what is no number.
 */
#include "support.h"

#include "model/units.h"

static void bytes(void)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } rows[] = {
        {0, "0 B"},
        {1023, "1023 B"},
        {1024, "1.0 KiB"},
        {1536, "1.5 KiB"},
        {1048524, "1023.9 KiB"},
        {1048575, "1.0 MiB"},
        {UINT64_C(851863142), "812.4 MiB"},
        {UINT64_C(1) << 40, "1.0 TiB"},
        {UINT64_MAX, "16.0 EiB"},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char buf[EBB_UNITS_BYTES];
        EXPECT_MSG(strcmp(ebb__units_bytes(rows[i].bytes, buf), rows[i].text) == 0, "%s is not %s", buf,
                   rows[i].text);
    }
}

static void changes(void)
{
    char buf[EBB_UNITS_BYTES];
    EXPECT(strcmp(ebb__units_change(2048, 1024, buf), "-1.0 KiB") == 0);
    EXPECT(strcmp(ebb__units_change(1024, 2560, buf), "+1.5 KiB") == 0);
    EXPECT(strcmp(ebb__units_change(7, 7, buf), "+0 B") == 0);
    EXPECT(strcmp(ebb__units_change(0, UINT64_MAX, buf), "+16.0 EiB") == 0);
}

static void times(void)
{
    static const struct {
        uint64_t ms;
        const char *text;
    } rows[] = {
        {0, "0 ms"},        {999, "999 ms"},
        {1000, "1.0 s"},    {59999, "59.9 s"},
        {60000, "1 min"},   {7199999, "119 min"},
        {7200000, "2 h"},   {172799999, "47 h"},
        {172800000, "2 d"}, {UINT64_MAX, "213503982334 d"},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char buf[EBB_UNITS_BYTES];
        EXPECT_MSG(strcmp(ebb__units_ms(rows[i].ms, buf), rows[i].text) == 0, "%s is not %s", buf,
                   rows[i].text);
    }
}

static void parsing(void)
{
    static const char *const wrong[] = {
        "",   "K",    "-1",   "+1",   " 1",  "1 ",        "1k",
        "1B", "64KB", "0x10", "1.5M", "1KM", "16777216T", "18446744073709551616"};
    static const struct {
        const char *text;
        uint64_t bytes;
    } rows[] = {
        {"0", 0},
        {"65536", 65536},
        {"64K", 65536},
        {"2M", 2097152},
        {"4G", UINT64_C(4) << 30},
        {"16T", UINT64_C(16) << 40},
        {"18446744073709551615", UINT64_MAX},
    };
    uint64_t value;
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        EXPECT(ebb__units_parse_bytes(rows[i].text, &value) == 0 && value == rows[i].bytes);
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        value = 77;
        EXPECT_MSG(ebb__units_parse_bytes(wrong[i], &value) == -EINVAL && value == 77, "'%s' was taken",
                   wrong[i]);
    }
}

int main(void)
{
    const struct CMUnitTest cases[] = {CASE(bytes), CASE(changes), CASE(times), CASE(parsing)};
    return RUN_CASES(cases);
}
