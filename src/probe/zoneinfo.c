/* SPDX-License-Identifier: MIT
 *
 * /proc/zoneinfo; see zoneinfo.h.
 */
#include "probe/zoneinfo.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "probe/file.h"
#include "probe/keyed.h"
#include "probe/lines.h"
#include "probe/scan.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const struct ebb_keyed_row NODE_ROWS[] = {
    {"nr_inactive_anon", offsetof(struct ebb_node, inactive_anon)},
    {"nr_active_anon", offsetof(struct ebb_node, active_anon)},
    {"nr_inactive_file", offsetof(struct ebb_node, inactive_file)},
    {"nr_active_file", offsetof(struct ebb_node, active_file)},
    {"nr_unevictable", offsetof(struct ebb_node, unevictable)},
    {"workingset_activate_anon", offsetof(struct ebb_node, activate_anon)},
    {"workingset_activate_file", offsetof(struct ebb_node, activate_file)},
};

/* The words of a processor's paragraph have a colon behind them ("high:"), so that none is taken for one of these. */
static const struct ebb_keyed_row ZONE_ROWS[] = {
    {"boost", offsetof(struct ebb_zone, boost)},     {"min", offsetof(struct ebb_zone, min)},
    {"low", offsetof(struct ebb_zone, low)},         {"high", offsetof(struct ebb_zone, high)},
    {"managed", offsetof(struct ebb_zone, managed)},
};

/* Where the walk over the lines is. */
struct walk {
    struct ebb_zoneinfo *info;
    struct ebb_node *node; /* NULL before the first zone */
    struct ebb_zone *zone;
};

/* "0, zone    DMA32", behind "Node ". */
static int begin_zone(struct walk *walk, struct ebb_scan *line)
{
    uint64_t number;
    size_t len;

    if (!ebb__scan_dec(line, &number) || number > UINT32_MAX || !ebb__scan_word(line, ", zone"))
        return 0;
    ebb__scan_blanks(line);
    len = (size_t)(line->end - line->at);
    if (len == 0 || memchr(line->at, '\0', len) != NULL)
        return 0;
    if (walk->node == NULL || walk->node->number != number) {
        if (walk->info->node_count == EBB_ZONEINFO_NODES_MAX)
            return -E2BIG;
        walk->node = &walk->info->nodes[walk->info->node_count++];
        walk->node->number = (unsigned)number;
        walk->node->zone_count = 0;
        ebb__keyed_unknown(-ENODATA, NODE_ROWS, COUNT(NODE_ROWS), walk->node);
    }
    if (walk->node->zone_count == EBB_ZONEINFO_ZONES_MAX)
        return -E2BIG;
    walk->zone = &walk->node->zones[walk->node->zone_count++];
    memset(walk->zone, 0, sizeof(*walk->zone));
    ebb__keyed_unknown(-ENODATA, ZONE_ROWS, COUNT(ZONE_ROWS), walk->zone);
    walk->zone->free = ebb__fact_unknown(-ENODATA);
    if (len >= sizeof(walk->zone->name))
        len = sizeof(walk->zone->name) - 1;
    memcpy(walk->zone->name, line->at, len);
    return 0;
}

/* "(0, 3018, 12746)" */
static void take_protection(struct ebb_zone *zone, struct ebb_scan *line)
{
    uint64_t pages;

    ebb__scan_blanks(line);
    ebb__scan_char(line, '(');
    zone->protection_count = 0;
    while (zone->protection_count < EBB_ZONEINFO_ZONES_MAX && ebb__scan_dec(line, &pages)) {
        zone->protection[zone->protection_count++] = pages;
        ebb__scan_char(line, ',');
        ebb__scan_blanks(line);
    }
}

static void take_number(const char *key, size_t key_len, uint64_t value, const struct ebb_keyed_row *rows,
                        size_t row_count, void *facts)
{
    for (size_t i = 0; i < row_count; i++) {
        struct ebb_fact *fact = (struct ebb_fact *)(void *)((char *)facts + rows[i].at);

        if (strlen(rows[i].key) == key_len && memcmp(rows[i].key, key, key_len) == 0 && !fact->known)
            *fact = ebb__fact(value);
    }
}

static int take_line(struct walk *walk, const char *text, size_t len)
{
    struct ebb_scan line = {.at = text, .end = text + len};
    const char *key;
    size_t key_len;
    uint64_t value;

    if (ebb__scan_word(&line, "Node "))
        return begin_zone(walk, &line);
    if (walk->node == NULL)
        return 0;
    ebb__scan_blanks(&line);
    if (ebb__scan_word(&line, "protection:")) {
        take_protection(walk->zone, &line);
        return 0;
    }
    if (ebb__scan_word(&line, "pages free")) {
        ebb__scan_blanks(&line);
        if (ebb__scan_dec(&line, &value) && !walk->zone->free.known)
            walk->zone->free = ebb__fact(value);
        return 0;
    }
    key = line.at;
    while (line.at < line.end && *line.at != ' ')
        line.at++;
    key_len = (size_t)(line.at - key);
    ebb__scan_blanks(&line);
    if (!ebb__scan_dec(&line, &value))
        return 0;
    take_number(key, key_len, value, NODE_ROWS, COUNT(NODE_ROWS), walk->node);
    take_number(key, key_len, value, ZONE_ROWS, COUNT(ZONE_ROWS), walk->zone);
    return 0;
}

static int parse_lines(struct ebb_lines *lines, struct ebb_zoneinfo *ret_info)
{
    struct walk walk = {.info = ret_info};
    const char *text;
    size_t len;
    int got;

    ret_info->node_count = 0;
    while ((got = ebb__lines_next(lines, &text, &len)) != 0) {
        int err;

        if (got == -EMSGSIZE || got == -EBADMSG)
            continue;
        if (got < 0)
            return got;
        err = take_line(&walk, text, len);
        if (err != 0)
            return err;
    }
    return ret_info->node_count != 0 ? 0 : -EBADMSG;
}

int ebb__zoneinfo_parse(const char *text, size_t len, struct ebb_zoneinfo *ret_info)
{
    struct ebb_lines lines;

    ebb__lines_init_text(&lines, text, len);
    return parse_lines(&lines, ret_info);
}

int ebb__zoneinfo_read(const char *root, struct ebb_zoneinfo *ret_info)
{
    struct ebb_lines lines;
    int fd = ebb__file_open(root, "/proc/zoneinfo");
    int err;

    if (fd < 0)
        return fd;
    ebb__lines_init_fd(&lines, fd);
    err = parse_lines(&lines, ret_info);
    close(fd);
    return err;
}
