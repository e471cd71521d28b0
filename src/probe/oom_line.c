/* SPDX-License-Identifier: MIT
 *
 * Single lines of the kernel's messages about memory that ran out; see oom_line_priv.h.
 */
#include "probe/oom_line_priv.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "probe/scan.h"

/* ---- pieces ---- */

static const char *find(const char *at, const char *end, const char *word)
{
    return memmem(at, (size_t)(end - at), word, strlen(word));
}

/* The last place of a word: names come before it and may hold it too. */
static const char *find_last(const char *at, const char *end, const char *word)
{
    size_t len = strlen(word);

    for (size_t i = (size_t)(end - at); i >= len; i--)
        if (memcmp(at + i - len, word, len) == 0)
            return at + i - len;
    return NULL;
}

static void copy(char *to, size_t to_bytes, const char *at, const char *end)
{
    size_t len = (size_t)(end - at) < to_bytes - 1 ? (size_t)(end - at) : to_bytes - 1;

    memcpy(to, at, len);
    to[len] = '\0';
}

static bool take_signed(struct ebb_scan *scan, int *ret_value)
{
    struct ebb_scan at = *scan;
    bool negative = ebb__scan_char(&at, '-');
    uint64_t value;

    if (!ebb__scan_dec(&at, &value) || value > 1000000)
        return false;
    *ret_value = negative ? -(int)value : (int)value;
    *scan = at;
    return true;
}

static bool take_pid(struct ebb_scan *scan, pid_t *ret_pid)
{
    struct ebb_scan at = *scan;
    uint64_t value;

    if (!ebb__scan_dec(&at, &value) || value > INT_MAX)
        return false;
    *ret_pid = (pid_t)value;
    *scan = at;
    return true;
}

/* The number behind the last "key" of a piece, in kB when `kb`. */
static struct ebb_fact number_after(const char *at, const char *end, const char *key, bool kb)
{
    const char *found = find_last(at, end, key);
    struct ebb_scan scan = {.at = found, .end = end};
    uint64_t value;

    if (found == NULL)
        return ebb__fact_unknown(-ENODATA);
    scan.at = found + strlen(key);
    if (!ebb__scan_dec(&scan, &value) ||
        (kb && (!ebb__scan_word(&scan, "kB") || __builtin_mul_overflow(value, UINT64_C(1024), &value))))
        return ebb__fact_unknown(-EBADMSG);
    return ebb__fact(value);
}

/* "123 (name)" with the piece that follows the name; `behind` is what stands there. */
static bool take_process(struct ebb_scan *scan, const char *behind, struct ebb_oom_kill *kill)
{
    struct ebb_scan at = *scan;
    const char *close;
    pid_t pid;

    if (!take_pid(&at, &pid) || !ebb__scan_word(&at, " ("))
        return false;
    close = find_last(at.at, at.end, behind);
    if (close == NULL)
        return false;
    kill->pid = pid;
    copy(kill->name, sizeof(kill->name), at.at, close);
    scan->at = close + 1;
    return true;
}

/* ---- the lines ---- */

static bool take_invoked(struct ebb_scan scan, struct ebb_oom_kill *kill)
{
    const char *at = find_last(scan.at, scan.end, " invoked oom-killer: gfp_mask=");
    const char *order;
    const char *adj;
    const char *open;
    struct ebb_scan rest = {.end = scan.end};

    if (at == NULL)
        return false;
    copy(kill->invoker, sizeof(kill->invoker), scan.at, at);
    open = find(at, scan.end, "(");
    order = find(at, scan.end, "order=");
    if (open != NULL && find(open, scan.end, ")") != NULL)
        copy(kill->gfp, sizeof(kill->gfp), open + 1, find(open, scan.end, ")"));
    if (order != NULL) {
        rest.at = order + 6;
        if (ebb__scan_char(&rest, '-') || !ebb__scan_dec(&rest, &kill->order))
            kill->order = 0; /* -1: by hand, through sysrq */
    }
    adj = find(at, scan.end, "oom_score_adj=");
    if (adj != NULL) {
        rest.at = adj + 14;
        take_signed(&rest, &kill->invoker_adj);
    }
    return true;
}

static bool take_context(struct ebb_scan scan, struct ebb_oom_kill *kill)
{
    const char *comma;
    const char *memcg;
    const char *task;
    const char *name;

    if (!ebb__scan_word(&scan, "oom-kill:constraint="))
        return false;
    ebb__scan_word(&scan, "CONSTRAINT_");
    comma = memchr(scan.at, ',', (size_t)(scan.end - scan.at));
    copy(kill->constraint, sizeof(kill->constraint), scan.at, comma == NULL ? scan.end : comma);
    memcg = find(scan.at, scan.end, ",oom_memcg=");
    task = find(scan.at, scan.end, ",task_memcg=");
    name = find_last(scan.at, scan.end, ",task=");
    if (memcg != NULL && task != NULL && memcg < task) {
        copy(kill->oom_memcg, sizeof(kill->oom_memcg), memcg + 11, task);
        kill->memcg = true;
    }
    if (task != NULL && name != NULL && name > task)
        copy(kill->task_memcg, sizeof(kill->task_memcg), task + 12, name);
    return true;
}

/* "Task in /a killed as a result of limit of /b", up to 4.20. */
static bool take_old_memcg(struct ebb_scan scan, struct ebb_oom_kill *kill)
{
    static const char MIDDLE[] = " killed as a result of limit of ";
    const char *middle = find_last(scan.at, scan.end, MIDDLE);

    if (!ebb__scan_word(&scan, "Task in ") || middle == NULL || middle < scan.at)
        return false;
    copy(kill->task_memcg, sizeof(kill->task_memcg), scan.at, middle);
    copy(kill->oom_memcg, sizeof(kill->oom_memcg), middle + sizeof(MIDDLE) - 1, scan.end);
    kill->memcg = true;
    return true;
}

/* "memory: usage 1kB, limit 2kB, failcnt 3" and its sisters. */
static bool take_limits(struct ebb_scan scan, struct ebb_oom_kill *kill)
{
    struct ebb_fact limit = number_after(scan.at, scan.end, ", limit ", true);

    if (ebb__scan_word(&scan, "memory: usage ")) {
        kill->usage_bytes = number_after(scan.at - 7, scan.end, " usage ", true);
        kill->limit_bytes = limit;
        kill->memcg = true;
        return true;
    }
    if (ebb__scan_word(&scan, "memory+swap: usage ")) {
        kill->memsw_limit_bytes = limit;
        return true;
    }
    if (ebb__scan_word(&scan, "swap: usage ")) {
        kill->swap_limit_bytes = limit;
        return true;
    }
    return false;
}

/* What a report of the host says about its size. */
static bool take_host(struct ebb_scan scan, struct ebb_oom_kill *kill)
{
    struct ebb_scan number = scan;
    uint64_t value;

    if (ebb__scan_word(&scan, "Total swap = ")) {
        kill->swap_total_bytes = number_after(scan.at - 3, scan.end, " = ", true);
        return true;
    }
    if (!ebb__scan_dec(&number, &value))
        return false;
    if (ebb__scan_word(&number, " pages RAM"))
        kill->ram_pages = ebb__fact(value);
    else if (ebb__scan_word(&number, " pages reserved"))
        kill->reserved_pages = ebb__fact(value);
    else
        return false;
    return true;
}

/* Sizes behind the name: "total-vm:1kB, anon-rss:2kB, file-rss:3kB, shmem-rss:4kB, UID:0 pgtables:5kB oom_score_adj:6". */
static void take_sizes(struct ebb_scan scan, struct ebb_oom_kill *kill)
{
    const char *adj = find_last(scan.at, scan.end, "oom_score_adj:");
    struct ebb_scan rest = {.end = scan.end};

    kill->total_vm_bytes = number_after(scan.at, scan.end, "total-vm:", true);
    kill->anon_bytes = number_after(scan.at, scan.end, "anon-rss:", true);
    kill->file_bytes = number_after(scan.at, scan.end, "file-rss:", true);
    kill->shmem_bytes = number_after(scan.at, scan.end, "shmem-rss:", true);
    kill->table_bytes = number_after(scan.at, scan.end, "pgtables:", true);
    kill->uid = number_after(scan.at, scan.end, "UID:", false);
    if (!kill->uid.known)
        kill->uid = number_after(scan.at, scan.end, "UID ", false);
    if (adj != NULL) {
        rest.at = adj + 14;
        kill->has_adj = take_signed(&rest, &kill->adj);
    }
}

/* "MESSAGE: Killed process 1 (x) total-vm:...", or up to 5.0 "MESSAGE: Kill process 1 (x) score 2 or sacrifice child" and then
 * "Killed process 1 (x) ..." without the message. */
static enum ebb_oom_line take_kill(struct ebb_scan scan, struct ebb_oom_kill *kill)
{
    bool memcg = ebb__scan_word(&scan, "Memory cgroup out of memory");
    bool host = !memcg && ebb__scan_word(&scan, "Out of memory");
    bool allocating = (memcg || host) && ebb__scan_word(&scan, " (oom_kill_allocating_task)");

    if ((memcg || host) && !ebb__scan_word(&scan, ": "))
        return EBB_OOM_LINE_OTHER;
    if ((memcg || host) && ebb__scan_word(&scan, "Kill process ")) {
        if (!take_process(&scan, ") score ", kill))
            return EBB_OOM_LINE_OTHER;
        kill->score = number_after(scan.at, scan.end, " score ", false);
        kill->memcg |= memcg;
        kill->allocating |= allocating;
        return EBB_OOM_LINE_DETAIL;
    }
    if (!ebb__scan_word(&scan, "Killed process "))
        return EBB_OOM_LINE_OTHER;
    /* Some kernels before 5.3 put the user between the name and the sizes. */
    if (!take_process(&scan, ") total-vm:", kill) && !take_process(&scan, "), UID ", kill) &&
        !take_process(&scan, ") sharing same memory", kill))
        return EBB_OOM_LINE_OTHER;
    kill->memcg |= memcg;
    kill->allocating |= allocating;
    take_sizes(scan, kill);
    return EBB_OOM_LINE_KILLED;
}

static bool take_group(struct ebb_scan scan, struct ebb_oom_kill *kill)
{
    const char *end = find_last(scan.at, scan.end, " are going to be killed due to memory.oom.group set");

    if (!ebb__scan_word(&scan, "Tasks in ") || end == NULL || end < scan.at)
        return false;
    copy(kill->group, sizeof(kill->group), scan.at, end);
    return true;
}

static bool take_reaper(struct ebb_scan scan, struct ebb_oom_kill *kill)
{
    if (!ebb__scan_word(&scan, "oom_reaper: "))
        return false;
    if (ebb__scan_word(&scan, "reaped process ")) {
        if (!take_process(&scan, "), now anon-rss:", kill))
            return false;
        kill->reaper = EBB_OOM_REAPED;
        kill->left_anon_bytes = number_after(scan.at, scan.end, "anon-rss:", true);
        kill->left_file_bytes = number_after(scan.at, scan.end, "file-rss:", true);
        kill->left_shmem_bytes = number_after(scan.at, scan.end, "shmem-rss:", true);
        return true;
    }
    if (!ebb__scan_word(&scan, "unable to reap pid:") || !take_process(&scan, ")", kill))
        return false;
    kill->reaper = EBB_OOM_UNREAPABLE;
    return true;
}

/* ---- the table ---- */

enum {
    PID,
    UID,
    TGID,
    TOTAL_VM,
    RSS,
    RSS_ANON,
    RSS_FILE,
    RSS_SHMEM,
    TABLE_BYTES,
    TABLES,
    SWAP,
    ADJ,
    NAME,
    SKIP
};

static const struct {
    const char *word;
    unsigned char column;
} HEADINGS[] = {
    {"uid", UID},           {"tgid", TGID},         {"total_vm", TOTAL_VM},   {"rss", RSS},
    {"rss_anon", RSS_ANON}, {"rss_file", RSS_FILE}, {"rss_shmem", RSS_SHMEM}, {"pgtables_bytes", TABLE_BYTES},
    {"nr_ptes", TABLES},    {"nr_pmds", TABLES},    {"nr_puds", TABLES},      {"swapents", SWAP},
    {"oom_score_adj", ADJ}, {"name", NAME},
};

static unsigned char column_of(const char *at, const char *end)
{
    for (size_t i = 0; i < sizeof(HEADINGS) / sizeof(HEADINGS[0]); i++)
        if (strlen(HEADINGS[i].word) == (size_t)(end - at) &&
            memcmp(HEADINGS[i].word, at, (size_t)(end - at)) == 0)
            return HEADINGS[i].column;
    return SKIP; /* a newer kernel's: a number that we do not need */
}

unsigned ebb__oom_line_columns(struct ebb_oom_text text, unsigned char *ret_columns, unsigned columns_max)
{
    struct ebb_scan scan = {.at = text.at, .end = text.end};
    unsigned count = 0;

    if (!ebb__scan_char(&scan, '['))
        return 0;
    ebb__scan_blanks(&scan);
    if (!ebb__scan_word(&scan, "pid"))
        return 0;
    ebb__scan_blanks(&scan);
    if (!ebb__scan_char(&scan, ']'))
        return 0;
    for (;;) {
        const char *word;

        ebb__scan_blanks(&scan);
        word = scan.at;
        while (scan.at < scan.end && *scan.at != ' ' && *scan.at != '\t')
            scan.at++;
        if (scan.at == word || count == columns_max)
            break;
        ret_columns[count++] = column_of(word, scan.at);
    }
    /* Names may hold blanks, so they must come last, as they always have. */
    return count > 1 && ret_columns[count - 1] == NAME ? count : 0;
}

static bool store(struct ebb_oom_row *row, unsigned char column, uint64_t value)
{
    switch (column) {
    case UID:
        row->uid = value;
        break;
    case TGID:
        if (value > INT_MAX)
            return false;
        row->tgid = (pid_t)value;
        break;
    case TOTAL_VM:
        row->total_vm_pages = value;
        break;
    case RSS:
        row->rss_pages = value;
        break;
    case RSS_ANON:
        row->anon_pages = ebb__fact(value);
        break;
    case RSS_FILE:
        row->file_pages = ebb__fact(value);
        break;
    case RSS_SHMEM:
        row->shmem_pages = ebb__fact(value);
        break;
    case TABLE_BYTES:
        row->table_bytes = ebb__fact(value);
        break;
    case TABLES:
        if (__builtin_add_overflow(value, ebb__fact_or(row->table_pages, 0), &value))
            return false;
        row->table_pages = ebb__fact(value);
        break;
    case SWAP:
        row->swap_pages = value;
        break;
    default:
        break;
    }
    return true;
}

static bool row_begins(struct ebb_scan *scan, pid_t *ret_pid)
{
    if (!ebb__scan_char(scan, '['))
        return false;
    ebb__scan_blanks(scan);
    return take_pid(scan, ret_pid) && ebb__scan_char(scan, ']');
}

bool ebb__oom_line_row(struct ebb_oom_text text, const unsigned char *columns, unsigned column_count,
                       struct ebb_oom_row *ret_row)
{
    struct ebb_scan scan = {.at = text.at, .end = text.end};
    struct ebb_oom_row row = {.table_bytes = ebb__fact_unknown(-ENODATA),
                              .table_pages = ebb__fact_unknown(-ENODATA),
                              .anon_pages = ebb__fact_unknown(-ENODATA),
                              .file_pages = ebb__fact_unknown(-ENODATA),
                              .shmem_pages = ebb__fact_unknown(-ENODATA)};

    if (!row_begins(&scan, &row.pid))
        return false;
    for (unsigned i = 0; i + 1 < column_count; i++) {
        uint64_t value;

        ebb__scan_blanks(&scan);
        if (columns[i] == ADJ) {
            if (!take_signed(&scan, &row.adj))
                return false;
        } else if (!ebb__scan_dec(&scan, &value) || !store(&row, columns[i], value)) {
            return false;
        }
        if (scan.at < scan.end && *scan.at != ' ')
            return false;
    }
    if (!ebb__scan_char(&scan, ' '))
        return false; /* the line was cut off */
    copy(row.name, sizeof(row.name), scan.at, scan.end);
    *ret_row = row;
    return true;
}

/* ---- which one ---- */

enum ebb_oom_line ebb__oom_line_take(struct ebb_oom_text text, struct ebb_oom_kill *kill)
{
    struct ebb_scan scan = {.at = text.at, .end = text.end};
    unsigned char columns[32];
    enum ebb_oom_line kind;
    pid_t pid;

    if (scan.at < scan.end && *scan.at == '[') {
        if (ebb__oom_line_columns(text, columns, sizeof(columns)) != 0)
            return EBB_OOM_LINE_HEADINGS;
        return row_begins(&scan, &pid) ? EBB_OOM_LINE_ROW : EBB_OOM_LINE_OTHER;
    }
    kind = take_kill(scan, kill);
    if (kind != EBB_OOM_LINE_OTHER)
        return kind;
    if (take_reaper(scan, kill))
        return EBB_OOM_LINE_REAPER;
    if (take_invoked(scan, kill))
        return EBB_OOM_LINE_INVOKED;
    if (take_context(scan, kill) || take_old_memcg(scan, kill) || take_limits(scan, kill) ||
        take_host(scan, kill))
        return EBB_OOM_LINE_DETAIL;
    if (take_group(scan, kill))
        return EBB_OOM_LINE_GROUP;
    if (find(scan.at, scan.end, "ut of memory and no killable processes") != NULL ||
        find(scan.at, scan.end, "System is deadlocked on memory") != NULL)
        return EBB_OOM_LINE_NO_VICTIM;
    if (find(scan.at, scan.end, "Out of memory: ") != NULL && find(scan.at, scan.end, "panic_on_oom") != NULL)
        return EBB_OOM_LINE_PANIC;
    if (find(scan.at, scan.end, "callbacks suppressed") != NULL &&
        find(scan.at, scan.end, "oom_kill_process") != NULL)
        return EBB_OOM_LINE_SUPPRESSED;
    return EBB_OOM_LINE_OTHER;
}
