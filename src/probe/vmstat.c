/* SPDX-License-Identifier: MIT
 *
 * /proc/vmstat; see vmstat.h.
 */
#include "probe/vmstat.h"

#include "probe/file.h"
#include "probe/keyed.h"

#define ROW_COUNT (sizeof(ROWS) / sizeof(ROWS[0]))

static const struct ebb_keyed_row ROWS[] = {
#define EBB_VMSTAT(name) {#name, offsetof(struct ebb_vmstat, name)},
#include "probe/vmstat.def"
#undef EBB_VMSTAT
};

int ebb__vmstat_parse(const char *text, size_t len, struct ebb_vmstat *ret_stat)
{
    return ebb__keyed_parse(text, len, ROWS, ROW_COUNT, ret_stat);
}

int ebb__vmstat_read(const char *root, struct ebb_vmstat *ret_stat)
{
    char text[32768]; /* about 4,500 bytes on today's kernels */
    size_t len;
    int err = ebb__file_read(root, "/proc/vmstat", text, sizeof(text), &len);

    if (err == 0)
        err = ebb__vmstat_parse(text, len, ret_stat);
    if (err != 0)
        ebb__keyed_unknown(err, ROWS, ROW_COUNT, ret_stat);
    return err;
}
