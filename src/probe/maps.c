/* SPDX-License-Identifier: MIT
 *
 * /proc/PID/maps: the mappings of a process; see maps.h.
 */
#include "probe/maps.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "probe/proc.h"
#include "probe/scan.h"

static const char DELETED[] = " (deleted)";

/* One of the four letters of the permissions: `yes` or `no`, anything else is damage. */
static bool scan_letter(struct ebb_scan *scan, char yes, char no, bool *ret_set)
{
    *ret_set = ebb__scan_char(scan, yes);
    return *ret_set || ebb__scan_char(scan, no);
}

static bool scan_columns(struct ebb_scan *scan, struct ebb_map *map)
{
    uint64_t dev_major;
    uint64_t dev_minor;

    if (!ebb__scan_hex(scan, &map->start) || !ebb__scan_char(scan, '-') || !ebb__scan_hex(scan, &map->end) ||
        !ebb__scan_char(scan, ' ') || map->start > map->end)
        return false;
    if (!scan_letter(scan, 'r', '-', &map->readable) || !scan_letter(scan, 'w', '-', &map->writable) ||
        !scan_letter(scan, 'x', '-', &map->executable) || !scan_letter(scan, 's', 'p', &map->shared) ||
        !ebb__scan_char(scan, ' '))
        return false;
    if (!ebb__scan_hex(scan, &map->offset_bytes) || !ebb__scan_char(scan, ' ') ||
        !ebb__scan_hex(scan, &dev_major) || !ebb__scan_char(scan, ':') || !ebb__scan_hex(scan, &dev_minor) ||
        !ebb__scan_char(scan, ' ') || !ebb__scan_dec(scan, &map->inode))
        return false;
    if (dev_major > UINT32_MAX || dev_minor > UINT32_MAX)
        return false;
    map->dev_major = (uint32_t)dev_major;
    map->dev_minor = (uint32_t)dev_minor;
    /* The inode is followed by a blank, even where no name follows. */
    return scan->at == scan->end || *scan->at == ' ';
}

int ebb__maps_line_parse(const char *line, size_t len, struct ebb_map *ret_map)
{
    struct ebb_scan scan = {.at = line, .end = line + len};
    struct ebb_map map = {0};
    size_t suffix_len = sizeof(DELETED) - 1;

    if (!scan_columns(&scan, &map))
        return -EBADMSG;
    while (ebb__scan_char(&scan, ' '))
        ;
    map.name = scan.at;
    map.name_len = (size_t)(scan.end - scan.at);
    if (map.name_len > suffix_len && map.name[0] == '/' &&
        memcmp(scan.end - suffix_len, DELETED, suffix_len) == 0) {
        map.name_len -= suffix_len;
        map.deleted = true;
    }
    *ret_map = map;
    return 0;
}

int ebb__maps_name_decode(const struct ebb_map *map, char *ret_name, size_t name_bytes)
{
    struct ebb_scan scan = {.at = map->name, .end = map->name + map->name_len};
    size_t used = 0;

    while (scan.at < scan.end) {
        char c = ebb__scan_word(&scan, "\\012") ? '\n' : *scan.at++;

        if (used + 1 >= name_bytes)
            return -ENAMETOOLONG;
        ret_name[used++] = c;
    }
    if (used >= name_bytes)
        return -ENAMETOOLONG;
    ret_name[used] = '\0';
    return 0;
}

int ebb__maps_open(struct ebb_maps *maps, const char *root, pid_t pid)
{
    int fd = ebb__proc_open(root, pid, "maps");

    if (fd < 0)
        return fd;
    maps->owned_fd = fd;
    ebb__lines_init_fd(&maps->lines, fd);
    return 0;
}

void ebb__maps_open_text(struct ebb_maps *maps, const char *text, size_t len)
{
    maps->owned_fd = -1;
    ebb__lines_init_text(&maps->lines, text, len);
}

void ebb__maps_close(struct ebb_maps *maps)
{
    if (maps->owned_fd >= 0)
        close(maps->owned_fd);
    maps->owned_fd = -1;
}

int ebb__maps_next(struct ebb_maps *maps, struct ebb_map *ret_map)
{
    const char *line;
    size_t len;
    int got = ebb__lines_next(&maps->lines, &line, &len);

    if (got <= 0)
        return got;
    got = ebb__maps_line_parse(line, len, ret_map);
    return got == 0 ? 1 : got;
}
