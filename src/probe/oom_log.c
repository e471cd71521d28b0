/* SPDX-License-Identifier: MIT
 *
 * What the kernel says when it kills for memory; see oom_log.h.
 */
#include "probe/oom_log.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe/file.h"
#include "probe/oom_line_priv.h"
#include "probe/scan.h"

/* How far behind a kill the reaper's line about it is looked for. The reaper gives up after one second. */
#define REAPER_REACH (256u << 10)

/* The longest record of /dev/kmsg is 8 KiB, with its dictionary. */
#define RECORD_BYTES 16384

/* ---- what stands before the kernel's words ---- */

static void set_stamp(struct ebb_oom_stamp *stamp, const char *at, const char *end)
{
    size_t len = (size_t)(end - at) < sizeof(stamp->text) - 1 ? (size_t)(end - at) : sizeof(stamp->text) - 1;

    memcpy(stamp->text, at, len);
    stamp->text[len] = '\0';
}

/* "6,871,19115228245,-;" with more fields before the semicolon in newer kernels. */
static bool strip_kmsg(struct ebb_scan *scan, struct ebb_oom_stamp *stamp)
{
    struct ebb_scan at = *scan;
    const char *semicolon;
    uint64_t priority;
    uint64_t sequence;
    uint64_t us;

    if (!ebb__scan_dec(&at, &priority) || !ebb__scan_char(&at, ',') || !ebb__scan_dec(&at, &sequence) ||
        !ebb__scan_char(&at, ',') || !ebb__scan_dec(&at, &us) || !ebb__scan_char(&at, ','))
        return false;
    semicolon = memchr(at.at, ';', (size_t)(at.end - at.at));
    if (semicolon == NULL)
        return false;
    stamp->sequence = ebb__fact(sequence);
    stamp->boot_us = ebb__fact(us);
    scan->at = semicolon + 1;
    return true;
}

static bool is_month(const char *at, const char *end)
{
    static const char MONTHS[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    for (size_t i = 0; end - at > 4 && at[3] == ' ' && i < 12; i++)
        if (memcmp(at, MONTHS + 3 * i, 3) == 0)
            return true;
    return false;
}

/* The end of the word that begins here. */
static const char *word_end(const char *at, const char *end)
{
    const char *blank = memchr(at, ' ', (size_t)(end - at));

    return blank == NULL ? end : blank;
}

/* "Nov 24 16:25:34 db1 kernel: " or "2026-11-24T16:25:34+0000 db1 kernel[1]: ". Returns 1 when it was there, 0 when the line has no such
 * front, and -1 when it is another program's. */
static int strip_journal(struct ebb_scan *scan, struct ebb_oom_stamp *stamp)
{
    const char *end = scan->end;
    bool iso = end - scan->at > 19 && scan->at[4] == '-' && scan->at[7] == '-' && scan->at[13] == ':';
    const char *stamp_end;
    struct ebb_scan tag = {.end = end};

    if (!iso && !(end - scan->at > 16 && is_month(scan->at, end) && scan->at[15] == ' '))
        return 0;
    stamp_end = iso ? word_end(scan->at, end) : scan->at + 15;
    if (stamp_end == end)
        return -1;
    tag.at = word_end(stamp_end + 1, end); /* behind the name of the host */
    if (!ebb__scan_word(&tag, " kernel") || tag.at == end || (*tag.at != ':' && *tag.at != '['))
        return -1;
    tag.at = memmem(tag.at, (size_t)(end - tag.at), ": ", 2);
    if (tag.at == NULL)
        return -1;
    set_stamp(stamp, scan->at, stamp_end);
    scan->at = tag.at + 2;
    return 1;
}

/* "[19115.228245]", "[Tue Nov 24 16:25:34 2026]": anything in brackets that a number of a process is not. */
static bool strip_brackets(struct ebb_scan *scan, struct ebb_oom_stamp *stamp)
{
    const char *close = scan->at < scan->end && *scan->at == '['
                            ? memchr(scan->at, ']', (size_t)(scan->end - scan->at))
                            : NULL;
    struct ebb_scan inner = {.at = scan->at + 1, .end = close};
    struct ebb_scan number;
    uint64_t seconds;
    uint64_t us;

    if (close == NULL)
        return false;
    ebb__scan_blanks(&inner);
    number = inner;
    if (ebb__scan_dec(&number, &seconds)) {
        if (!ebb__scan_char(&number, '.') || number.end - number.at != 6 || !ebb__scan_dec(&number, &us) ||
            __builtin_mul_overflow(seconds, UINT64_C(1000000), &seconds))
            return false;
        stamp->boot_us = ebb__fact(seconds + us);
    } else if (inner.at < inner.end && (*inner.at == 'T' || *inner.at == 'C')) {
        /* The caller, "[ T416]", or a day, "[Tue Nov ...". */
        number.at = inner.at + 1;
        if (!ebb__scan_dec(&number, &us) && memchr(inner.at, ':', (size_t)(close - inner.at)) == NULL)
            return false;
    } else if (inner.at >= inner.end || memchr(inner.at, ':', (size_t)(close - inner.at)) == NULL) {
        return false;
    }
    if (stamp->text[0] == '\0')
        set_stamp(stamp, inner.at, close);
    scan->at = close + 1;
    ebb__scan_char(scan, ' ');
    return true;
}

bool ebb__oom_log_strip(const char *line, size_t len, struct ebb_oom_text *ret_text)
{
    struct ebb_scan scan = {.at = line, .end = line + len};
    struct ebb_oom_text text = {
        .stamp = {.boot_us = ebb__fact_unknown(-ENODATA), .sequence = ebb__fact_unknown(-ENODATA)}};

    if (len > 0 && scan.end[-1] == '\r')
        scan.end--;
    if (!strip_kmsg(&scan, &text.stamp)) {
        if (scan.at < scan.end && *scan.at == '<') {
            /* dmesg --raw: "<6>[ 12.345678] ..." */
            const char *close = memchr(scan.at, '>', (size_t)(scan.end - scan.at));

            if (close != NULL && close - scan.at <= 5)
                scan.at = close + 1;
        }
        if (strip_journal(&scan, &text.stamp) < 0)
            return false;
        /* The stamp, and then perhaps the caller. */
        if (strip_brackets(&scan, &text.stamp))
            strip_brackets(&scan, &text.stamp);
        if (scan.at < scan.end && *scan.at == ' ' && text.stamp.text[0] == '\0')
            return false; /* what continues a record of kmsg */
    }
    text.at = scan.at;
    text.end = scan.end;
    *ret_text = text;
    return true;
}

/* ---- lines ---- */

/* The next line of the kernel, without its front. */
static bool next_text(const char **at, const char *end, struct ebb_oom_text *ret_text, const char **ret_line)
{
    while (*at < end) {
        const char *line = *at;
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        size_t len = (size_t)((newline == NULL ? end : newline) - line);

        *at = newline == NULL ? end : newline + 1;
        if (ebb__oom_log_strip(line, len, ret_text)) {
            if (ret_line != NULL)
                *ret_line = line;
            return true;
        }
    }
    return false;
}

static void forget(struct ebb_oom_kill *kill)
{
    const struct ebb_fact none = ebb__fact_unknown(-ENODATA);

    memset(kill, 0, sizeof(*kill));
    kill->stamp.boot_us = kill->stamp.sequence = none;
    kill->total_vm_bytes = kill->anon_bytes = kill->file_bytes = kill->shmem_bytes = none;
    kill->uid = kill->table_bytes = kill->score = none;
    kill->usage_bytes = kill->limit_bytes = kill->swap_limit_bytes = kill->memsw_limit_bytes = none;
    kill->ram_pages = kill->reserved_pages = kill->swap_total_bytes = none;
    kill->left_anon_bytes = kill->left_file_bytes = kill->left_shmem_bytes = none;
}

/* ---- kills ---- */

void ebb__oom_log_init(struct ebb_oom_log *log, const char *text, size_t len)
{
    memset(log, 0, sizeof(*log));
    log->at = text;
    log->end = text + len;
    forget(&log->report);
}

/* What the reaper says about a victim stands behind it, before a later process of the same number is killed. */
static void look_for_reaper(const struct ebb_oom_log *log, struct ebb_oom_kill *kill)
{
    const char *at = log->at;
    const char *end = (size_t)(log->end - at) > REAPER_REACH ? at + REAPER_REACH : log->end;
    struct ebb_oom_text text;

    while (next_text(&at, end, &text, NULL)) {
        struct ebb_oom_kill line;
        enum ebb_oom_line kind;

        if (memmem(text.at, (size_t)(text.end - text.at), "process ", 8) == NULL &&
            memmem(text.at, (size_t)(text.end - text.at), "oom_reaper", 10) == NULL)
            continue;
        forget(&line);
        kind = ebb__oom_line_take(text, &line);
        if (line.pid != kill->pid)
            continue;
        if (kind == EBB_OOM_LINE_KILLED && !kill->group[0])
            return;
        if (kind != EBB_OOM_LINE_REAPER)
            continue;
        kill->reaper = line.reaper;
        kill->left_anon_bytes = line.left_anon_bytes;
        kill->left_file_bytes = line.left_file_bytes;
        kill->left_shmem_bytes = line.left_shmem_bytes;
        return;
    }
}

/* The group's line, if any, follows the first kill at once. */
static void look_for_group(const struct ebb_oom_log *log, struct ebb_oom_kill *kill)
{
    const char *at = log->at;
    struct ebb_oom_text text;

    for (unsigned i = 0; i < 3 && next_text(&at, log->end, &text, NULL); i++) {
        struct ebb_oom_kill line;

        forget(&line);
        switch (ebb__oom_line_take(text, &line)) {
        case EBB_OOM_LINE_GROUP:
            memcpy(kill->group, line.group, sizeof(kill->group));
            return;
        case EBB_OOM_LINE_REAPER:
        case EBB_OOM_LINE_OTHER:
            continue;
        default:
            return;
        }
    }
}

/* Is the table whole? */
static void judge_table(const struct ebb_oom_log *log, struct ebb_oom_kill *kill)
{
    struct ebb_oom_rows rows;
    struct ebb_oom_row row;
    bool there = false;

    ebb__oom_rows_init(kill, &rows);
    while (ebb__oom_rows_next(&rows, &row)) {
        kill->row_count++;
        /* A line names the thread that was found, the table its process. */
        there |= row.pid == kill->pid || row.tgid == kill->pid;
    }
    if (!kill->has_report)
        kill->truncated_why = "there is no report before it: the kernel prints ten in five seconds at most, "
                              "or the log has lost it";
    else if (kill->table == NULL || kill->row_count == 0)
        kill->truncated_why = "its report has no table: vm.oom_dump_tasks is 0, or the log has lost it";
    else if (log->gap)
        kill->truncated_why = "records are missing within its report";
    else if (!there)
        kill->truncated_why = "the victim is not in the table of its report";
    kill->truncated = kill->truncated_why != NULL;
}

/* Was it killed with the last victim, as a member of its group? Then it stands in the same table. */
static bool is_member(const struct ebb_oom_log *log, const struct ebb_oom_kill *line)
{
    struct ebb_oom_rows rows;
    struct ebb_oom_row row;

    if (log->open || !log->grouped)
        return false;
    ebb__oom_rows_init(&log->report, &rows);
    if (rows.column_count == 0)
        return line->memcg == log->report.memcg;
    while (ebb__oom_rows_next(&rows, &row))
        if (row.pid == line->pid || row.tgid == line->pid)
            return true;
    return false;
}

/* Puts a line "Killed process" and the report before it together. False for a victim that has been told of already. */
static bool finish(struct ebb_oom_log *log, const struct ebb_oom_kill *line,
                   const struct ebb_oom_stamp *stamp, struct ebb_oom_kill *ret_kill)
{
    struct ebb_oom_kill *report = &log->report;
    bool member = is_member(log, line);

    if (member && line->pid == log->last_pid)
        return false;
    if (!log->open && !member) {
        forget(report);
        log->grouped = false;
    }
    *ret_kill = *report;
    ret_kill->has_report = log->open || member;
    ret_kill->in_group = member;
    ret_kill->stamp = *stamp;
    ret_kill->pid = line->pid;
    memcpy(ret_kill->name, line->name, sizeof(line->name));
    ret_kill->total_vm_bytes = line->total_vm_bytes;
    ret_kill->anon_bytes = line->anon_bytes;
    ret_kill->file_bytes = line->file_bytes;
    ret_kill->shmem_bytes = line->shmem_bytes;
    ret_kill->table_bytes = line->table_bytes;
    ret_kill->uid = line->uid;
    ret_kill->has_adj = line->has_adj;
    ret_kill->adj = line->adj;
    ret_kill->memcg |= line->memcg;
    ret_kill->allocating |= line->allocating;
    if (member || report->pid != line->pid)
        ret_kill->score = ebb__fact_unknown(-ENODATA); /* of another one, whose child died before 5.1 */
    judge_table(log, ret_kill);
    if (!member) {
        look_for_group(log, ret_kill);
        memcpy(report->group, ret_kill->group, sizeof(report->group));
        log->grouped = ret_kill->group[0] != '\0';
        log->last_pid = line->pid;
    }
    log->open = false;
    look_for_reaper(log, ret_kill);
    return true;
}

static void watch_sequence(struct ebb_oom_log *log, const struct ebb_oom_stamp *stamp)
{
    if (stamp->sequence.known && log->last_sequence.known &&
        stamp->sequence.value != log->last_sequence.value + 1)
        log->gap = true;
    log->last_sequence = stamp->sequence;
}

bool ebb__oom_log_next(struct ebb_oom_log *log, struct ebb_oom_kill *ret_kill)
{
    struct ebb_oom_text text;
    const char *line;

    while (next_text(&log->at, log->end, &text, &line)) {
        struct ebb_oom_kill *report = &log->report;
        struct ebb_oom_kill taken = log->open ? *report : (struct ebb_oom_kill){.pid = 0};
        enum ebb_oom_line kind;

        if (!log->open)
            forget(&taken);
        watch_sequence(log, &text.stamp);
        kind = ebb__oom_line_take(text, &taken);
        log->kernel_count +=
            kind != EBB_OOM_LINE_OTHER || text.stamp.text[0] != '\0' || text.stamp.boot_us.known;
        switch (kind) {
        case EBB_OOM_LINE_INVOKED:
            /* Taken anew: the last report may have lost its end. */
            forget(report);
            ebb__oom_line_take(text, report);
            report->has_report = true;
            log->open = true;
            log->grouped = false;
            log->gap = false;
            break;
        case EBB_OOM_LINE_DETAIL:
            if (log->open)
                *report = taken;
            break;
        case EBB_OOM_LINE_HEADINGS:
            if (log->open)
                report->table = report->table_end = line;
            break;
        case EBB_OOM_LINE_ROW:
            if (log->open && report->table != NULL)
                report->table_end = log->at;
            break;
        case EBB_OOM_LINE_KILLED:
            if (finish(log, &taken, &text.stamp, ret_kill))
                return true;
            break;
        case EBB_OOM_LINE_NO_VICTIM:
            log->no_victim_count++;
            log->open = log->grouped = false;
            break;
        case EBB_OOM_LINE_PANIC:
            log->panic_count++;
            break;
        case EBB_OOM_LINE_SUPPRESSED:
            log->suppressed++;
            break;
        case EBB_OOM_LINE_GROUP:
        case EBB_OOM_LINE_REAPER:
        case EBB_OOM_LINE_OTHER:
            break;
        }
    }
    return false;
}

/* ---- tables ---- */

void ebb__oom_rows_init(const struct ebb_oom_kill *kill, struct ebb_oom_rows *ret_rows)
{
    struct ebb_oom_text text;

    memset(ret_rows, 0, sizeof(*ret_rows));
    if (kill->table == NULL)
        return;
    ret_rows->at = kill->table;
    ret_rows->end = kill->table_end;
    if (ret_rows->at < ret_rows->end && next_text(&ret_rows->at, ret_rows->end, &text, NULL))
        ret_rows->column_count = ebb__oom_line_columns(text, ret_rows->columns, sizeof(ret_rows->columns));
}

bool ebb__oom_rows_next(struct ebb_oom_rows *rows, struct ebb_oom_row *ret_row)
{
    struct ebb_oom_text text;

    while (rows->column_count != 0 && next_text(&rows->at, rows->end, &text, NULL))
        if (ebb__oom_line_row(text, rows->columns, rows->column_count, ret_row))
            return true;
    return false;
}

struct ebb_fact ebb__oom_kill_page_bytes(const struct ebb_oom_kill *kill)
{
    struct ebb_oom_rows rows;
    struct ebb_oom_row row;

    ebb__oom_rows_init(kill, &rows);
    while (kill->total_vm_bytes.known && ebb__oom_rows_next(&rows, &row)) {
        if ((row.pid != kill->pid && row.tgid != kill->pid) || row.total_vm_pages == 0)
            continue;
        for (uint64_t page = 4096; page <= 65536; page *= 2) {
            /* The victim may have mapped a little more before it died, so half way to the next is ours. */
            uint64_t each = kill->total_vm_bytes.value / row.total_vm_pages;

            if (each >= page - page / 4 && each < page + page / 2)
                return ebb__fact(page);
        }
    }
    return ebb__fact_unknown(-ENODATA);
}

/* ---- reading ---- */

static int read_records(int fd, char *buf, size_t buf_bytes, size_t *ret_len)
{
    char record[RECORD_BYTES];
    size_t used = 0;

    for (;;) {
        ssize_t got = read(fd, record, sizeof(record));
        const char *newline;
        size_t len;

        if (got < 0 && (errno == EINTR || errno == EPIPE))
            continue; /* EPIPE: overwritten meanwhile; the next read goes on behind */
        if (got < 0 && errno != EAGAIN)
            return -errno;
        if (got <= 0)
            break;
        newline = memchr(record, '\n', (size_t)got);
        len = newline == NULL ? (size_t)got : (size_t)(newline - record) + 1;
        if (len > buf_bytes - used) {
            *ret_len = used;
            return -EMSGSIZE;
        }
        memcpy(buf + used, record, len);
        used += len;
    }
    *ret_len = used;
    return 0;
}

int ebb__oom_log_read(const char *root, char *buf, size_t buf_bytes, size_t *ret_len)
{
    int fd = ebb__file_open(root, "/dev/kmsg");
    struct stat stat;
    int err;

    if (fd < 0)
        return fd;
    if (fstat(fd, &stat) != 0)
        err = -errno;
    else if (S_ISCHR(stat.st_mode))
        err = read_records(fd, buf, buf_bytes, ret_len);
    else
        err = ebb__file_read_fd(fd, buf, buf_bytes, ret_len);
    close(fd);
    return err;
}

/* How much of a record is kept, without its newline. `open` follows whether it lies within a report. */
static size_t kept_of(const char *line, size_t len, bool *open)
{
    static struct ebb_oom_kill scratch;
    struct ebb_oom_text text;

    if (!ebb__oom_log_strip(line, len, &text) || !text.stamp.sequence.known)
        return 0;
    forget(&scratch);
    switch (ebb__oom_line_take(text, &scratch)) {
    case EBB_OOM_LINE_INVOKED:
        *open = true;
        return len;
    case EBB_OOM_LINE_KILLED:
    case EBB_OOM_LINE_NO_VICTIM:
        *open = false;
        return len;
    case EBB_OOM_LINE_DETAIL:
    case EBB_OOM_LINE_HEADINGS:
    case EBB_OOM_LINE_ROW:
        if (*open)
            return len;
        break;
    case EBB_OOM_LINE_GROUP:
    case EBB_OOM_LINE_REAPER:
    case EBB_OOM_LINE_PANIC:
    case EBB_OOM_LINE_SUPPRESSED:
        return len;
    case EBB_OOM_LINE_OTHER:
        break;
    }
    return *open ? (size_t)(text.at - line) : 0;
}

size_t ebb__oom_log_keep_kills(char *text, size_t len)
{
    const char *end = text + len;
    char *to = text;
    bool open = false;

    for (const char *at = text; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t line_len = (size_t)((newline == NULL ? end : newline) - at);
        size_t kept = newline == NULL ? 0 : kept_of(at, line_len, &open);

        if (kept != 0) {
            memmove(to, at, kept);
            to += kept;
            *to++ = '\n';
        }
        at += line_len + (newline != NULL);
    }
    return (size_t)(to - text);
}
