/* SPDX-License-Identifier: MIT
 *
 * /proc/uptime and /proc/loadavg; see load.h.
 */
#include "probe/load.h"

#include <errno.h>

#include "probe/file.h"
#include "probe/scan.h"

int ebb__load_parse_uptime(const char *text, size_t len, struct ebb_load *ret_load)
{
    struct ebb_scan scan = {.at = text, .end = text + len};
    uint64_t hundredths;

    if (!ebb__scan_hundredths(&scan, &hundredths) || !ebb__scan_char(&scan, ' ') ||
        hundredths > UINT64_MAX / 10)
        return -EBADMSG;
    ret_load->uptime_ms = ebb__fact(hundredths * 10);
    return 0;
}

int ebb__load_parse_averages(const char *text, size_t len, struct ebb_load *ret_load)
{
    struct ebb_scan scan = {.at = text, .end = text + len};
    uint64_t averages[3];
    uint64_t runnable;
    uint64_t tasks;

    for (unsigned i = 0; i < 3; i++)
        if (!ebb__scan_hundredths(&scan, &averages[i]) || !ebb__scan_char(&scan, ' '))
            return -EBADMSG;
    if (!ebb__scan_dec(&scan, &runnable) || !ebb__scan_char(&scan, '/') || !ebb__scan_dec(&scan, &tasks) ||
        !ebb__scan_char(&scan, ' '))
        return -EBADMSG;
    ret_load->avg1_hundredths = ebb__fact(averages[0]);
    ret_load->avg5_hundredths = ebb__fact(averages[1]);
    ret_load->avg15_hundredths = ebb__fact(averages[2]);
    ret_load->runnable = ebb__fact(runnable);
    ret_load->tasks = ebb__fact(tasks);
    return 0;
}

void ebb__load_read(const char *root, struct ebb_load *ret_load)
{
    char text[256];
    size_t len;
    int err = ebb__file_read(root, "/proc/uptime", text, sizeof(text), &len);

    if (err == 0)
        err = ebb__load_parse_uptime(text, len, ret_load);
    if (err != 0)
        ret_load->uptime_ms = ebb__fact_unknown(err);
    err = ebb__file_read(root, "/proc/loadavg", text, sizeof(text), &len);
    if (err == 0)
        err = ebb__load_parse_averages(text, len, ret_load);
    if (err == 0)
        return;
    ret_load->avg1_hundredths = ret_load->avg5_hundredths = ret_load->avg15_hundredths = ret_load->runnable =
        ret_load->tasks = ebb__fact_unknown(err);
}
