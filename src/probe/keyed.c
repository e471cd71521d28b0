/* SPDX-License-Identifier: MIT
 *
 * Texts with a name and a number on each line; see keyed.h.
 */
#include "probe/keyed.h"

#include <errno.h>
#include <string.h>

bool ebb__keyed_next(struct ebb_scan *text, struct ebb_keyed_line *ret_line)
{
    while (text->at < text->end) {
        const char *end = memchr(text->at, '\n', (size_t)(text->end - text->at));
        struct ebb_scan line = {.at = text->at, .end = end};
        const char *key = text->at;
        size_t len = 0;
        uint64_t value;

        if (end == NULL)
            break;
        text->at = end + 1;
        while (key + len < end && strchr(": \t", key[len]) == NULL)
            len++;
        line.at = key + len;
        ebb__scan_char(&line, ':');
        ebb__scan_blanks(&line);
        if (len == 0 || !ebb__scan_dec(&line, &value))
            continue;
        ret_line->kb = ebb__scan_word(&line, " kB");
        if (ret_line->kb && __builtin_mul_overflow(value, UINT64_C(1024), &value))
            continue;
        ret_line->key = key;
        ret_line->key_len = len;
        ret_line->value = value;
        return true;
    }
    return false;
}

static struct ebb_fact *fact_of(const struct ebb_keyed_row *row, void *facts)
{
    return (struct ebb_fact *)(void *)((char *)facts + row->at);
}

void ebb__keyed_unknown(int err, const struct ebb_keyed_row *rows, size_t row_count, void *ret_facts)
{
    for (size_t i = 0; i < row_count; i++)
        *fact_of(&rows[i], ret_facts) = ebb__fact_unknown(err);
}

static const struct ebb_keyed_row *row_of(const struct ebb_keyed_line *line, const struct ebb_keyed_row *rows,
                                          size_t row_count)
{
    for (size_t i = 0; i < row_count; i++)
        /* By memcmp: a damaged text may hold a NUL. */
        if (strlen(rows[i].key) == line->key_len && memcmp(rows[i].key, line->key, line->key_len) == 0)
            return &rows[i];
    return NULL;
}

int ebb__keyed_parse(const char *text, size_t len, const struct ebb_keyed_row *rows, size_t row_count,
                     void *ret_facts)
{
    struct ebb_scan scan = {.at = text, .end = text + len};
    struct ebb_keyed_line line;
    bool any = false;

    ebb__keyed_unknown(-ENODATA, rows, row_count, ret_facts);
    while (ebb__keyed_next(&scan, &line)) {
        const struct ebb_keyed_row *row = row_of(&line, rows, row_count);

        if (row == NULL || fact_of(row, ret_facts)->known)
            continue;
        *fact_of(row, ret_facts) = ebb__fact(line.value);
        any = true;
    }
    return any ? 0 : -EBADMSG;
}
