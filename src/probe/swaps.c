/* SPDX-License-Identifier: MIT
 *
 * /proc/swaps; see swaps.h.
 */
#include "probe/swaps.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "probe/file.h"
#include "probe/lines.h"
#include "probe/scan.h"

/* The kernel adds this to the name of a file that was removed. A file may also be called so; that it is in use under such a name is
 * less likely. */
static const char DELETED[] = " (deleted)";

static bool take_kib(struct ebb_scan *line, uint64_t *ret_bytes)
{
    uint64_t kib;

    ebb__scan_blanks(line);
    return ebb__scan_dec(line, &kib) && !__builtin_mul_overflow(kib, UINT64_C(1024), ret_bytes);
}

static bool take_priority(struct ebb_scan *line, int *ret_priority)
{
    uint64_t number;
    bool negative;

    ebb__scan_blanks(line);
    negative = ebb__scan_char(line, '-');
    if (!ebb__scan_dec(line, &number) || number > INT_MAX)
        return false;
    *ret_priority = negative ? -(int)number : (int)number;
    return true;
}

/* A name, "file" or "partition", two sizes in KiB and a priority, between tabs and blanks. */
static bool swap_parse(const char *text, size_t len, struct ebb_swap *ret_swap)
{
    struct ebb_scan line = {.at = text, .end = text + len};
    size_t name_len;

    while (line.at < line.end && *line.at != ' ' && *line.at != '\t')
        line.at++;
    if (line.at == text ||
        ebb__scan_unescape(text, (size_t)(line.at - text), ret_swap->name, sizeof(ret_swap->name)) != 0)
        return false;
    ebb__scan_blanks(&line);
    ret_swap->is_file = ebb__scan_word(&line, "file");
    if (!ret_swap->is_file && !ebb__scan_word(&line, "partition"))
        return false;
    if (!take_kib(&line, &ret_swap->size_bytes) || !take_kib(&line, &ret_swap->used_bytes) ||
        !take_priority(&line, &ret_swap->priority))
        return false;
    name_len = strlen(ret_swap->name);
    ret_swap->deleted =
        name_len > strlen(DELETED) && strcmp(ret_swap->name + name_len - strlen(DELETED), DELETED) == 0;
    if (ret_swap->deleted)
        ret_swap->name[name_len - strlen(DELETED)] = '\0';
    return true;
}

static int parse_lines(struct ebb_lines *lines, struct ebb_swaps *ret_swaps)
{
    const char *text;
    size_t len;
    bool headed = false;
    int got;

    ret_swaps->count = 0;
    while ((got = ebb__lines_next(lines, &text, &len)) != 0) {
        if (got == -EMSGSIZE || got == -EBADMSG)
            continue;
        if (got < 0)
            return got;
        if (!headed) {
            headed = len >= 8 && memcmp(text, "Filename", 8) == 0;
            continue;
        }
        if (ret_swaps->count == EBB_SWAPS_MAX)
            return -E2BIG;
        ret_swaps->count += swap_parse(text, len, &ret_swaps->swaps[ret_swaps->count]);
    }
    return headed ? 0 : -EBADMSG;
}

int ebb__swaps_parse(const char *text, size_t len, struct ebb_swaps *ret_swaps)
{
    struct ebb_lines lines;

    ebb__lines_init_text(&lines, text, len);
    return parse_lines(&lines, ret_swaps);
}

int ebb__swaps_read(const char *root, struct ebb_swaps *ret_swaps)
{
    struct ebb_lines lines;
    int fd = ebb__file_open(root, "/proc/swaps");
    int err;

    if (fd < 0)
        return fd;
    ebb__lines_init_fd(&lines, fd);
    err = parse_lines(&lines, ret_swaps);
    close(fd);
    return err;
}
