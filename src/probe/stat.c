/* SPDX-License-Identifier: MIT
 *
 * /proc/PID/stat; see stat.h.
 */
#include "probe/stat.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "probe/proc.h"
#include "probe/scan.h"

/* The fields behind the name, numbered as in proc(5), and where they belong. */
enum { FIRST_FIELD = 4, LAST_FIELD = 41 };

static const struct {
    int field;
    size_t at;
    size_t bytes;
} FIELDS[] = {
#define FIELD(number, member)                                                                                \
    {                                                                                                        \
        number, offsetof(struct ebb_stat, member), sizeof(((struct ebb_stat *)0)->member)                    \
    }
    FIELD(4, ppid),          FIELD(5, pgrp),          FIELD(6, session),       FIELD(7, tty),
    FIELD(9, flags),         FIELD(10, minor_faults), FIELD(12, major_faults), FIELD(14, user_ticks),
    FIELD(15, system_ticks), FIELD(18, priority),     FIELD(19, nice),         FIELD(20, thread_count),
    FIELD(22, start_ticks),  FIELD(23, vm_bytes),     FIELD(24, rss_pages),    FIELD(40, rt_priority),
    FIELD(41, policy),
#undef FIELD
};

/* A number with or without a sign; as two's complement in 64 bits. */
static bool scan_signed(struct ebb_scan *scan, uint64_t *ret_value)
{
    bool negative = ebb__scan_char(scan, '-');

    if (!ebb__scan_dec(scan, ret_value))
        return false;
    if (negative)
        *ret_value = 0 - *ret_value;
    return true;
}

static bool store(struct ebb_stat *stat, int field, uint64_t value)
{
    for (unsigned i = 0; i < sizeof(FIELDS) / sizeof(FIELDS[0]); i++) {
        int narrow = (int)(int64_t)value;

        if (FIELDS[i].field != field)
            continue;
        if (FIELDS[i].bytes == sizeof(value))
            memcpy((char *)stat + FIELDS[i].at, &value, sizeof(value));
        else if ((uint64_t)(int64_t)narrow != value)
            return false;
        else
            memcpy((char *)stat + FIELDS[i].at, &narrow, sizeof(narrow));
    }
    return true;
}

static const char *last_parenthesis(const char *text, size_t len)
{
    for (size_t i = len; i >= 2; i--)
        if (text[i - 2] == ')' && text[i - 1] == ' ')
            return text + i - 2;
    return NULL;
}

int ebb__stat_parse(const char *text, size_t len, struct ebb_stat *ret_stat)
{
    struct ebb_stat stat = {0};
    const char *end = last_parenthesis(text, len);
    struct ebb_scan scan = {.at = text, .end = text + len};
    uint64_t value;
    size_t name_len;

    if (end == NULL || len == 0 || text[len - 1] != '\n' || !ebb__scan_dec(&scan, &value) ||
        value > INT_MAX || !ebb__scan_word(&scan, " (") || scan.at > end)
        return -EBADMSG;
    stat.pid = (pid_t)value;
    name_len =
        (size_t)(end - scan.at) < sizeof(stat.name) - 1 ? (size_t)(end - scan.at) : sizeof(stat.name) - 1;
    memcpy(stat.name, scan.at, name_len);
    scan.at = end + 2;
    if (scan.at >= scan.end)
        return -EBADMSG;
    stat.state = *scan.at++;
    for (int field = FIRST_FIELD; field <= LAST_FIELD; field++)
        if (!ebb__scan_char(&scan, ' ') || !scan_signed(&scan, &value) || !store(&stat, field, value))
            return -EBADMSG;
    *ret_stat = stat;
    return 0;
}

static int read_file(const char *root, pid_t pid, const char *file, struct ebb_stat *ret_stat)
{
    char text[2048]; /* some 350 bytes today, 52 numbers of 20 digits at most */
    size_t len;
    int err = ebb__proc_read(root, pid, file, text, sizeof(text), &len);

    return err != 0 ? err : ebb__stat_parse(text, len, ret_stat);
}

int ebb__stat_read(const char *root, pid_t pid, struct ebb_stat *ret_stat)
{
    return read_file(root, pid, "stat", ret_stat);
}

int ebb__stat_read_thread(const char *root, pid_t pid, pid_t tid, struct ebb_stat *ret_stat)
{
    char file[48];

    snprintf(file, sizeof(file), "task/%d/stat", (int)tid);
    return read_file(root, pid, file, ret_stat);
}
