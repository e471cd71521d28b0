/* SPDX-License-Identifier: MIT
 *
 * /proc/meminfo; see meminfo.h.
 */
#include "probe/meminfo.h"

#include <stddef.h>

#include "probe/file.h"
#include "probe/keyed.h"

#define ROW_COUNT (sizeof(ROWS) / sizeof(ROWS[0]))

static const struct ebb_keyed_row ROWS[] = {
#define EBB_MEMINFO(field, key) {key, offsetof(struct ebb_meminfo, field)},
#include "probe/meminfo.def"
#undef EBB_MEMINFO
};

int ebb__meminfo_parse(const char *text, size_t len, struct ebb_meminfo *ret_info)
{
    return ebb__keyed_parse(text, len, ROWS, ROW_COUNT, ret_info);
}

int ebb__meminfo_read(const char *root, struct ebb_meminfo *ret_info)
{
    char text[16384]; /* about 1,600 bytes on today's kernels */
    size_t len;
    int err = ebb__file_read(root, "/proc/meminfo", text, sizeof(text), &len);

    if (err == 0)
        err = ebb__meminfo_parse(text, len, ret_info);
    if (err != 0)
        ebb__keyed_unknown(err, ROWS, ROW_COUNT, ret_info);
    return err;
}
