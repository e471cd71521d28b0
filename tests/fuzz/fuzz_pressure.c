/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: the texts that the governor reads inside of any program. What is taken lies in the text, what is written fits.
 */
#include "fuzz.h"

#include "governor/text_priv.h"

static void lines(struct ebb_text text)
{
    struct ebb_text line;
    struct ebb_text_mount mount;
    struct ebb_text_cgroup cgroup;
    char name[64];

    while (ebb__text_until(&text, '\n', &line)) {
        if (ebb__text_mount(line, &mount)) {
            FUZZ_CHECK(mount.root.at >= line.at && mount.options.end <= line.end);
            FUZZ_CHECK(*mount.root.at == '/' && *mount.point.at == '/');
            (void)ebb__text_lists(mount.options, "memory");
        }
        if (ebb__text_cgroup(line, &cgroup))
            FUZZ_CHECK(*cgroup.path.at == '/' && cgroup.path.end == line.end);
        uint32_t level = 0;
        uint64_t bytes;
        FUZZ_CHECK(!ebb__text_call(line, &level, &bytes) || (level >= 1 && level <= 3));
        long len = ebb__text_unescape(line, name, sizeof(name));
        FUZZ_CHECK(len < (long)sizeof(name) && (len < 0 || strlen(name) == (size_t)len));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ebb_text text = ebb__text((const char *)data, size);
    struct ebb_known total = {0}, cache = {0};
    const struct ebb_text_row rows[] = {{"MemTotal", &total}, {"total_inactive_file", &cache}};
    struct ebb_stall stall;
    unsigned char bytes[64];

    ebb__text_rows(text, rows, 2);
    ebb__text_stall(text, &stall);
    FUZZ_CHECK(stall.some_avg10_hundredths.known || stall.some_avg10_hundredths.value == 0);
    (void)ebb__text_limit(text);
    FUZZ_CHECK(ebb__text_base64(text, bytes, sizeof(bytes)) <= (long)sizeof(bytes));
    lines(text);
    return 0;
}
