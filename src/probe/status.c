/* SPDX-License-Identifier: MIT
 *
 * /proc/PID/status: sizes, threads and name of a process; see status.h.
 */
#include "probe/status.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "probe/lines.h"
#include "probe/proc.h"
#include "probe/scan.h"

_Static_assert(EBB_STATUS_FIELD_COUNT <= 64, "one bit of ebb_status.present for each field");

struct row {
    const char *key;
    size_t at; /* offset in struct ebb_status */
    bool kb;
};

static const struct row ROWS[] = {
#define EBB_STATUS_KB(id, field, key) [EBB_STATUS_##id] = {key, offsetof(struct ebb_status, field), true},
#define EBB_STATUS_NUMBER(id, field, key)                                                                    \
    [EBB_STATUS_##id] = {key, offsetof(struct ebb_status, field), false},
#include "probe/status.def"
#undef EBB_STATUS_KB
#undef EBB_STATUS_NUMBER
};

static void set_present(struct ebb_status *status, unsigned field)
{
    status->present |= UINT64_C(1) << field;
}

/* The kernel writes a newline in the name as \n and a backslash as \\, which keeps one name on one line. */
static void take_name(struct ebb_scan scan, struct ebb_status *status)
{
    size_t used = 0;

    while (scan.at < scan.end) {
        char c = *scan.at++;

        if (c == '\\' && scan.at < scan.end && (*scan.at == 'n' || *scan.at == '\\'))
            c = *scan.at++ == 'n' ? '\n' : '\\';
        if (used + 1 == sizeof(status->name))
            return;
        status->name[used++] = c;
    }
    status->name[used] = '\0';
    set_present(status, EBB_STATUS_NAME);
}

static void take_number(struct ebb_scan scan, const struct row *row, unsigned field,
                        struct ebb_status *status)
{
    uint64_t value;

    if (!ebb__scan_dec(&scan, &value))
        return;
    if (row->kb && (!ebb__scan_word(&scan, " kB") || __builtin_mul_overflow(value, UINT64_C(1024), &value)))
        return;
    memcpy((char *)status + row->at, &value, sizeof(value));
    set_present(status, field);
}

/* One number for each namespace from ours inwards. */
static void take_ns_pid(struct ebb_scan scan, struct ebb_status *status)
{
    uint64_t value = 0;

    while (ebb__scan_dec(&scan, &value))
        ebb__scan_blanks(&scan);
    /* No thread has the number 0, so it stands for a line without one; a line that goes on is damaged. */
    if (value == 0 || scan.at != scan.end)
        return;
    status->ns_pid = value;
    set_present(status, EBB_STATUS_NS_PID);
}

static void take_line(const char *line, size_t len, struct ebb_status *status)
{
    struct ebb_scan scan = {.at = line, .end = line + len};
    const char *colon = len == 0 ? NULL : memchr(line, ':', len);
    size_t key_len;

    if (colon == NULL)
        return;
    key_len = (size_t)(colon - line);
    scan.at = colon + 1;
    if (key_len == 4 && memcmp(line, "Name", 4) == 0) {
        /* One tab separates; blanks behind it belong to the name. */
        if (ebb__scan_char(&scan, '\t') && !ebb__status_has(status, EBB_STATUS_NAME))
            take_name(scan, status);
        return;
    }
    ebb__scan_blanks(&scan);
    if (key_len == 5 && memcmp(line, "State", 5) == 0) {
        if (scan.at < scan.end && !ebb__status_has(status, EBB_STATUS_STATE)) {
            status->state = *scan.at;
            set_present(status, EBB_STATUS_STATE);
        }
        return;
    }
    if (key_len == 5 && memcmp(line, "NSpid", 5) == 0) {
        if (!ebb__status_has(status, EBB_STATUS_NS_PID))
            take_ns_pid(scan, status);
        return;
    }
    if (key_len == 6 && memcmp(line, "SigBlk", 6) == 0) {
        if (!ebb__status_has(status, EBB_STATUS_SIGNALS_BLOCKED) &&
            ebb__scan_hex(&scan, &status->signals_blocked))
            set_present(status, EBB_STATUS_SIGNALS_BLOCKED);
        return;
    }
    for (unsigned i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        if (strlen(ROWS[i].key) != key_len || memcmp(line, ROWS[i].key, key_len) != 0)
            continue;
        if (!ebb__status_has(status, (enum ebb_status_field)i))
            take_number(scan, &ROWS[i], i, status);
        return;
    }
}

static int parse_lines(struct ebb_lines *lines, struct ebb_status *ret_status)
{
    struct ebb_status status = {0};
    const char *line;
    size_t len;
    int got;

    for (;;) {
        got = ebb__lines_next(lines, &line, &len);
        if (got == -EMSGSIZE)
            continue;
        if (got != 1)
            break;
        take_line(line, len, &status);
    }
    /* A text that was cut off still tells what its whole lines say. */
    if (got < 0 && got != -EBADMSG)
        return got;
    if (status.present == 0)
        return -EBADMSG;
    *ret_status = status;
    return 0;
}

int ebb__status_parse(const char *text, size_t len, struct ebb_status *ret_status)
{
    struct ebb_lines lines;

    ebb__lines_init_text(&lines, text, len);
    return parse_lines(&lines, ret_status);
}

int ebb__status_read(const char *root, pid_t pid, struct ebb_status *ret_status)
{
    struct ebb_lines lines;
    int fd = ebb__proc_open(root, pid, "status");
    int err;

    if (fd < 0)
        return fd;
    ebb__lines_init_fd(&lines, fd);
    err = parse_lines(&lines, ret_status);
    close(fd);
    return err;
}

bool ebb__status_has(const struct ebb_status *status, enum ebb_status_field field)
{
    return (status->present & (UINT64_C(1) << field)) != 0;
}
