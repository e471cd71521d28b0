/* SPDX-License-Identifier: MIT
 *
 * /proc/stat; see cpu_stat.h.
 */
#include "probe/cpu_stat.h"

#include <errno.h>
#include <string.h>

#include "probe/file.h"
#include "probe/keyed.h"
#include "probe/scan.h"

#define AT(field) offsetof(struct ebb_cpu_stat, field)

/* The numbers behind "cpu", in order. Kernels have added some at the end, and may again. */
static const size_t TICKS[] = {AT(user_ticks),   AT(nice_ticks),      AT(system_ticks),  AT(idle_ticks),
                               AT(iowait_ticks), AT(irq_ticks),       AT(softirq_ticks), AT(steal_ticks),
                               AT(guest_ticks),  AT(guest_nice_ticks)};

#define TICK_COUNT (sizeof(TICKS) / sizeof(TICKS[0]))

/* Without these four it is no such line. */
#define TICKS_LEAST 4

/* Of "intr" and "ctxt" the first number is the sum. */
static const struct ebb_keyed_row ROWS[] = {
    {"intr", AT(interrupts)}, {"ctxt", AT(context_switches)}, {"btime", AT(boot_time_s)},
    {"processes", AT(forks)}, {"procs_running", AT(running)}, {"procs_blocked", AT(blocked)},
};

#define ROW_COUNT (sizeof(ROWS) / sizeof(ROWS[0]))

static struct ebb_fact *fact_at(struct ebb_cpu_stat *stat, size_t at)
{
    return (struct ebb_fact *)(void *)((char *)stat + at);
}

static void make_unknown(struct ebb_cpu_stat *stat, int err)
{
    for (unsigned i = 0; i < TICK_COUNT; i++)
        *fact_at(stat, TICKS[i]) = ebb__fact_unknown(err);
    ebb__keyed_unknown(err, ROWS, ROW_COUNT, stat);
}

/* The line "cpu  1058852 0 654960 ..." stands first, but need not. */
static bool find_line(const char *text, size_t len, struct ebb_scan *ret_line)
{
    const char *at = text;
    const char *newline;

    while ((newline = memchr(at, '\n', (size_t)(text + len - at))) != NULL) {
        struct ebb_scan line = {.at = at, .end = newline};

        if (ebb__scan_word(&line, "cpu ")) {
            *ret_line = line;
            return true;
        }
        at = newline + 1;
    }
    return false;
}

int ebb__cpu_stat_parse(const char *text, size_t len, struct ebb_cpu_stat *ret_stat)
{
    struct ebb_cpu_stat stat;
    struct ebb_scan line;
    uint64_t value;
    unsigned count = 0;

    make_unknown(&stat, -ENODATA);
    if (len == 0 || !find_line(text, len, &line))
        return -EBADMSG;
    for (; count < TICK_COUNT; count++) {
        ebb__scan_blanks(&line);
        if (!ebb__scan_dec(&line, &value))
            break;
        *fact_at(&stat, TICKS[count]) = ebb__fact(value);
    }
    if (count < TICKS_LEAST)
        return -EBADMSG;
    ebb__keyed_parse(text, len, ROWS, ROW_COUNT, &stat);
    *ret_stat = stat;
    return 0;
}

int ebb__cpu_stat_read(const char *root, struct ebb_cpu_stat *ret_stat)
{
    char text[262144]; /* a line for each processor and a number for each of some ten thousand interrupts */
    size_t len;
    int err = ebb__file_read(root, "/proc/stat", text, sizeof(text), &len);

    if (err == 0)
        err = ebb__cpu_stat_parse(text, len, ret_stat);
    if (err != 0)
        make_unknown(ret_stat, err);
    return err;
}
