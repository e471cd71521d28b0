/* SPDX-License-Identifier: MIT
 *
 * /proc/buddyinfo; see buddyinfo.h.
 */
#include "probe/buddyinfo.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "probe/file.h"
#include "probe/lines.h"
#include "probe/scan.h"

/* "Node 0, zone   Normal   3530   2170 ..." */
static bool zone_parse(const char *text, size_t len, struct ebb_buddy_zone *ret_zone)
{
    struct ebb_scan line = {.at = text, .end = text + len};
    const char *name;
    size_t name_len;
    uint64_t number;

    if (!ebb__scan_word(&line, "Node ") || !ebb__scan_dec(&line, &number) || number > UINT32_MAX ||
        !ebb__scan_word(&line, ", zone"))
        return false;
    ebb__scan_blanks(&line);
    name = line.at;
    while (line.at < line.end && *line.at != ' ')
        line.at++;
    name_len = (size_t)(line.at - name);
    if (name_len == 0 || name_len >= sizeof(ret_zone->name) || memchr(name, '\0', name_len) != NULL)
        return false;
    ret_zone->node = (unsigned)number;
    memcpy(ret_zone->name, name, name_len);
    ret_zone->name[name_len] = '\0';
    ret_zone->order_count = 0;
    ebb__scan_blanks(&line);
    while (ret_zone->order_count < EBB_BUDDYINFO_ORDERS_MAX && ebb__scan_dec(&line, &number)) {
        ret_zone->blocks[ret_zone->order_count++] = number;
        ebb__scan_blanks(&line);
    }
    return ret_zone->order_count != 0;
}

static int parse_lines(struct ebb_lines *lines, struct ebb_buddyinfo *ret_info)
{
    const char *text;
    size_t len;
    int got;

    ret_info->zone_count = 0;
    while ((got = ebb__lines_next(lines, &text, &len)) != 0) {
        struct ebb_buddy_zone zone;

        if (got == -EMSGSIZE || got == -EBADMSG)
            continue;
        if (got < 0)
            return got;
        if (!zone_parse(text, len, &zone))
            continue;
        if (ret_info->zone_count == EBB_BUDDYINFO_ZONES_MAX)
            return -E2BIG;
        ret_info->zones[ret_info->zone_count++] = zone;
    }
    return ret_info->zone_count != 0 ? 0 : -EBADMSG;
}

int ebb__buddyinfo_parse(const char *text, size_t len, struct ebb_buddyinfo *ret_info)
{
    struct ebb_lines lines;

    ebb__lines_init_text(&lines, text, len);
    return parse_lines(&lines, ret_info);
}

int ebb__buddyinfo_read(const char *root, struct ebb_buddyinfo *ret_info)
{
    struct ebb_lines lines;
    int fd = ebb__file_open(root, "/proc/buddyinfo");
    int err;

    if (fd < 0)
        return fd;
    ebb__lines_init_fd(&lines, fd);
    err = parse_lines(&lines, ret_info);
    close(fd);
    return err;
}
