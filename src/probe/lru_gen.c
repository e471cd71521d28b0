/* SPDX-License-Identifier: MIT
 *
 * Classic page lists or generations; see lru_gen.h.
 */
#include "probe/lru_gen.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "probe/file.h"
#include "probe/lines.h"
#include "probe/scan.h"

struct ebb_fact ebb__lru_gen_parse(const char *text, size_t len)
{
    struct ebb_scan scan = {.at = text, .end = text + len};
    uint64_t mask;

    if (ebb__scan_word(&scan, "0x"))
        return ebb__scan_hex(&scan, &mask) ? ebb__fact(mask) : ebb__fact_unknown(-EBADMSG);
    if (ebb__scan_char(&scan, 'y') || ebb__scan_char(&scan, 'Y'))
        return ebb__fact(1);
    if (ebb__scan_char(&scan, 'n') || ebb__scan_char(&scan, 'N'))
        return ebb__fact(0);
    return ebb__fact_unknown(-EBADMSG);
}

void ebb__lru_gen_read(const char *root, struct ebb_lru_gen *ret_lru_gen)
{
    char text[64];
    size_t len;
    int err = ebb__file_read(root, "/sys/kernel/mm/lru_gen/enabled", text, sizeof(text), &len);

    ret_lru_gen->enabled = err == 0 ? ebb__lru_gen_parse(text, len) : ebb__fact_unknown(err);
    ret_lru_gen->min_ttl_ms = ebb__file_number(root, "/sys/kernel/mm/lru_gen/min_ttl_ms");
}

/* "memcg     5 /system.slice": whether the paragraph is that of the path. The top has an empty path where cgroups are off. */
static bool begins_group(struct ebb_scan *line, const char *path, bool *ret_ours)
{
    uint64_t number;
    size_t len;

    if (!ebb__scan_word(line, "memcg"))
        return false;
    ebb__scan_blanks(line);
    if (!ebb__scan_dec(line, &number))
        return false;
    ebb__scan_char(line, ' ');
    len = (size_t)(line->end - line->at);
    *ret_ours = len == 0 ? strcmp(path, "/") == 0 : len == strlen(path) && memcmp(line->at, path, len) == 0;
    return true;
}

/* "         12     183400       5012       90233 ", the marks behind the pages being letters. */
static bool age_parse(struct ebb_scan *line, struct ebb_lru_gen_age *ret_age)
{
    uint64_t *const numbers[] = {&ret_age->number, &ret_age->age_ms, &ret_age->anon_pages,
                                 &ret_age->file_pages};

    for (unsigned i = 0; i < 4; i++) {
        ebb__scan_blanks(line);
        if (i != 0)
            ebb__scan_char(line, 'x');
        ebb__scan_blanks(line);
        /* What was not settled yet is below 0: a sum that is read while it changes. */
        if (ebb__scan_char(line, '-'))
            return false;
        if (!ebb__scan_dec(line, numbers[i]))
            return false;
    }
    return true;
}

static int parse_lines(struct ebb_lines *lines, const char *path, struct ebb_lru_gen_ages *ret_ages)
{
    const char *text;
    size_t len;
    bool ours = false;
    bool found = false;
    uint64_t node = 0;
    int got;

    ret_ages->count = 0;
    while ((got = ebb__lines_next(lines, &text, &len)) != 0) {
        struct ebb_scan line;
        struct ebb_lru_gen_age age;

        if (got == -EMSGSIZE || got == -EBADMSG)
            continue;
        if (got < 0)
            return got;
        line = (struct ebb_scan){.at = text, .end = text + len};
        if (begins_group(&line, path, &ours) || !ours)
            continue;
        ebb__scan_blanks(&line);
        if (ebb__scan_word(&line, "node")) {
            ebb__scan_blanks(&line);
            found = ebb__scan_dec(&line, &node) && node <= UINT_MAX;
            ours = found;
            continue;
        }
        if (!found || !age_parse(&line, &age))
            continue;
        if (ret_ages->count == sizeof(ret_ages->ages) / sizeof(ret_ages->ages[0]))
            return -E2BIG;
        age.node = (unsigned)node;
        ret_ages->ages[ret_ages->count++] = age;
    }
    return ret_ages->count != 0 ? 0 : -ENOENT;
}

int ebb__lru_gen_ages_parse(const char *text, size_t len, const char *path, struct ebb_lru_gen_ages *ret_ages)
{
    struct ebb_lines lines;

    ebb__lines_init_text(&lines, text, len);
    return parse_lines(&lines, path, ret_ages);
}

int ebb__lru_gen_ages_read(const char *root, const char *path, struct ebb_lru_gen_ages *ret_ages)
{
    struct ebb_lines lines;
    int fd = ebb__file_open(root, "/sys/kernel/debug/lru_gen");
    int err;

    if (fd < 0)
        return fd;
    ebb__lines_init_fd(&lines, fd);
    err = parse_lines(&lines, path, ret_ages);
    close(fd);
    return err;
}
