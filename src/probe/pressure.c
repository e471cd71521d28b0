/* SPDX-License-Identifier: MIT
 *
 * Pressure stall information; see pressure.h.
 */
#include "probe/pressure.h"

#include <errno.h>
#include <string.h>

#include "probe/file.h"
#include "probe/scan.h"

#define WORDS 4

static const struct {
    const char *key;
    size_t at;
    bool hundredths;
} ROWS[WORDS] = {
    {"avg10=", offsetof(struct ebb_pressure_share, avg10_hundredths), true},
    {"avg60=", offsetof(struct ebb_pressure_share, avg60_hundredths), true},
    {"avg300=", offsetof(struct ebb_pressure_share, avg300_hundredths), true},
    {"total=", offsetof(struct ebb_pressure_share, total_us), false},
};

static struct ebb_fact *fact_of(struct ebb_pressure_share *share, unsigned row)
{
    return (struct ebb_fact *)(void *)((char *)share + ROWS[row].at);
}

static void make_unknown(struct ebb_pressure *pressure, int err)
{
    for (unsigned i = 0; i < WORDS; i++) {
        *fact_of(&pressure->some, i) = ebb__fact_unknown(err);
        *fact_of(&pressure->full, i) = ebb__fact_unknown(err);
    }
}

/* Takes one word of a line; what follows the number must be a blank or the end. */
static bool take_word(struct ebb_scan word, struct ebb_pressure_share *share)
{
    for (unsigned i = 0; i < WORDS; i++) {
        struct ebb_scan scan = word;
        uint64_t value;

        if (!ebb__scan_word(&scan, ROWS[i].key))
            continue;
        if (ROWS[i].hundredths ? !ebb__scan_hundredths(&scan, &value) : !ebb__scan_dec(&scan, &value))
            return false;
        if (scan.at != scan.end || fact_of(share, i)->known)
            return false;
        *fact_of(share, i) = ebb__fact(value);
        return true;
    }
    return false;
}

/* True when at least one number of the line was taken. */
static bool take_line(struct ebb_scan line, struct ebb_pressure *pressure)
{
    struct ebb_pressure_share *share = NULL;
    bool any = false;

    if (ebb__scan_word(&line, "some "))
        share = &pressure->some;
    else if (ebb__scan_word(&line, "full "))
        share = &pressure->full;
    while (share != NULL && line.at < line.end) {
        const char *end = memchr(line.at, ' ', (size_t)(line.end - line.at));

        if (end == NULL)
            end = line.end;
        any |= take_word((struct ebb_scan){.at = line.at, .end = end}, share);
        line.at = end < line.end ? end + 1 : end;
    }
    return any;
}

int ebb__pressure_parse(const char *text, size_t len, struct ebb_pressure *ret_pressure)
{
    const char *at = text;
    const char *end = text + len;
    const char *newline;
    bool any = false;

    make_unknown(ret_pressure, -ENODATA);
    /* A last line without its end may be half of one. */
    while (at < end && (newline = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        any |= take_line((struct ebb_scan){.at = at, .end = newline}, ret_pressure);
        at = newline + 1;
    }
    return any ? 0 : -EBADMSG;
}

int ebb__pressure_read(const char *root, const char *path, struct ebb_pressure *ret_pressure)
{
    char text[4096]; /* two lines of some 70 bytes */
    size_t len;
    int err = ebb__file_read(root, path, text, sizeof(text), &len);

    if (err == 0)
        err = ebb__pressure_parse(text, len, ret_pressure);
    if (err != 0)
        make_unknown(ret_pressure, err);
    return err;
}
