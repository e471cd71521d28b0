/* SPDX-License-Identifier: MIT
 *
 * ebb oom explain: past kills from the kernel's log, why each hit whom it hit, and what has become of the victim.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "model/oom_past.h"
#include "model/units.h"
#include "tool/cmd.h"
#include "tool/oom.h"
#include "tool/oom_log_file.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define WORDS 512

static const struct ebb_column KILL_COLUMNS[] = {
    {"killed_at", "TIME", EBB_AS_TEXT, -19, .help = "when, as far as the log tells"},
    {"pid", "PID", EBB_AS_NUMBER, 8, .label = true, .help = "the victim"},
    {"name", "VICTIM", EBB_AS_TEXT, -15, .label = true, .help = "its name"},
    {"scope", "SCOPE", EBB_AS_TEXT, -24, .label = true,
     .help = "host, or the memory cgroup whose limit was hit"},
    {"rss_bytes", "RSS", EBB_AS_BYTES, 6, .help = "resident when it was killed"},
    {"adj", "ADJ", EBB_AS_NUMBER, 5, .help = "its oom_score_adj"},
    {"points_pages", "POINTS", EBB_AS_NUMBER, 9, .help = "its points, in pages of the host"},
    {"second_pid", "2ND PID", EBB_AS_NUMBER, 8, .help = "who would have been next"},
    {"second", "SECOND", EBB_AS_TEXT, -15, .help = "its name"},
    {"second_points_pages", "POINTS", EBB_AS_NUMBER, 9, .help = "points of the second"},
    {"margin_bytes", "MARGIN", EBB_AS_BYTES, 7, .help = "between the two"},
    {"flip_adj", "FLIP", EBB_AS_NUMBER, 5,
     .help = "the victim's oom_score_adj that would have let the second die"},
    {"second_flip_adj", "OR 2ND", EBB_AS_NUMBER, 6, .help = "or the second's"},
    {"now", "NOW", EBB_AS_TEXT, 0, .help = "what is there under this number today"},
};
static const struct ebb_section KILLS = {"kills", NULL, false, KILL_COLUMNS, COUNT(KILL_COLUMNS)};

/* A kill with what is known about it. */
struct explained {
    const struct ebb_oom_kill *kill;
    struct ebb_oom_past past;
    char time[32];
    char scope[EBB_OOM_PATH_BYTES];
    char now[WORDS];
    bool still; /* the victim is still there */
};

/* ---- is it still there ---- */

/* Whether a process of that number began after the kill: then it is another one. */
static bool is_later(const struct ebb_stat *stat, const struct ebb_oom_kill *kill,
                     const struct ebb_host *host)
{
    uint64_t hz = ebb__fact_or(host->clock_ticks, 100);

    if (!kill->stamp.boot_us.known)
        return strncmp(stat->name, kill->name, 15) != 0;
    return stat->start_ticks / hz > kill->stamp.boot_us.value / 1000000 ||
           strncmp(stat->name, kill->name, 15) != 0;
}

/* What keeps the memory of a victim that does not end. */
static void say_why_it_stays(const char *root, const struct ebb_oom_kill *kill, const struct ebb_stat *stat,
                             char words[WORDS])
{
    struct ebb_status status;
    char rss[EBB_UNITS_BYTES];
    char locked[EBB_UNITS_BYTES];
    char huge[EBB_UNITS_BYTES];
    int len;

    if (strchr("ZX", stat->state) != NULL) {
        snprintf(words, WORDS,
                 "a zombie: its memory is free, and its parent, process %d, has not asked for its end",
                 (int)stat->ppid);
        return;
    }
    if (ebb__status_read(root, kill->pid, &status) != 0 || !ebb__status_has(&status, EBB_STATUS_VM_RSS)) {
        snprintf(words, WORDS, "ending: it has given its memory back");
        return;
    }
    len = snprintf(words, WORDS, "still there with %s, state %c", ebb__units_bytes(status.vm_rss_bytes, rss),
                   stat->state);
    if (stat->state == 'D' && len < WORDS)
        len += snprintf(words + len, (size_t)(WORDS - len),
                        ", waiting in the kernel, where no signal reaches it");
    if (kill->reaper == EBB_OOM_UNREAPABLE && len < WORDS)
        len += snprintf(words + len, (size_t)(WORDS - len),
                        "; the reaper could not get at it, because somebody holds its address space");
    if (ebb__status_has(&status, EBB_STATUS_VM_LCK) && status.vm_lck_bytes != 0 && len < WORDS)
        len += snprintf(words + len, (size_t)(WORDS - len), "; %s locked",
                        ebb__units_bytes(status.vm_lck_bytes, locked));
    if (ebb__status_has(&status, EBB_STATUS_HUGETLB) && status.hugetlb_bytes != 0 && len < WORDS)
        len += snprintf(words + len, (size_t)(WORDS - len), "; %s in huge pages, which the reaper leaves",
                        ebb__units_bytes(status.hugetlb_bytes, huge));
    if (ebb__status_has(&status, EBB_STATUS_RSS_SHMEM) && status.rss_shmem_bytes != 0 && len < WORDS)
        snprintf(words + len, (size_t)(WORDS - len), "; shared memory, which the reaper leaves");
}

static void look_now(const char *root, const struct ebb_host *host, struct explained *e)
{
    struct ebb_stat stat;
    int err = ebb__stat_read(root, e->kill->pid, &stat);

    if (err == -ENOENT || err == -ESRCH) {
        snprintf(e->now, sizeof(e->now), "gone");
    } else if (err != 0) {
        snprintf(e->now, sizeof(e->now), "cannot be told: %s", ebb__fact_why(ebb__fact_unknown(err)));
    } else if (is_later(&stat, e->kill, host)) {
        snprintf(e->now, sizeof(e->now), "gone: the number is %.40s's now", stat.name);
    } else {
        e->still = true;
        say_why_it_stays(root, e->kill, &stat, e->now);
    }
}

/* ---- rows ---- */

static void print_kill(struct ebb_emit *emit, const struct explained *e)
{
    static const char NO_TABLE[] = "the log has no table of the candidates, or the victim is not in it";
    static const char NO_SECOND[] = "there was no other candidate";
    static const char NO_TOTAL[] = "the size of the scope is not known";
    static const char NO_VALUE[] = "no value would have";
    const struct ebb_oom_kill *kill = e->kill;
    const struct ebb_oom_past *past = &e->past;
    bool total = past->total_pages != 0;
    bool points = past->has_victim && total && past->victim_points != EBB_OOM_POINTS_NONE;
    bool second = points && past->has_second;
    const char *why = !past->has_victim ? NO_TABLE : !total ? NO_TOTAL : NO_SECOND;
    bool adj = kill->has_adj || past->has_victim;
    struct ebb_fact rss = ebb__fact_unknown(-ENODATA);

    if (kill->anon_bytes.known)
        rss = ebb__fact(kill->anon_bytes.value + ebb__fact_or(kill->file_bytes, 0) +
                        ebb__fact_or(kill->shmem_bytes, 0));
    ebb__emit_row(
        emit,
        (const struct ebb_cell[]){
            e->time[0] != '\0' ? ebb__cell_text(e->time) : ebb__cell_unknown("the log does not tell"),
            ebb__cell_number((uint64_t)kill->pid),
            ebb__cell_text(kill->name),
            ebb__cell_text(e->scope),
            ebb__cell_fact(rss),
            adj ? ebb__cell_signed(kill->has_adj ? kill->adj : past->victim.adj)
                : ebb__cell_unknown("the log does not tell"),
            points ? ebb__cell_signed(past->victim_points) : ebb__cell_unknown(why),
            second ? ebb__cell_number((uint64_t)past->second.pid) : ebb__cell_unknown(why),
            second ? ebb__cell_text(past->second.name) : ebb__cell_unknown(why),
            second ? ebb__cell_signed(past->second_points) : ebb__cell_unknown(why),
            second ? ebb__cell_number(past->margin_pages * past->page_bytes) : ebb__cell_unknown(why),
            second && past->victim_flips ? ebb__cell_signed(past->victim_flip)
                                         : ebb__cell_unknown(second ? NO_VALUE : why),
            second && past->second_flips ? ebb__cell_signed(past->second_flip)
                                         : ebb__cell_unknown(second ? NO_VALUE : why),
            e->now[0] != '\0' ? ebb__cell_text(e->now) : ebb__cell_unknown("the log is not of this host"),
        });
}

/* ---- sentences ---- */

static void note_cause(struct ebb_emit *emit, const struct explained *e)
{
    const struct ebb_oom_kill *kill = e->kill;
    char bytes[EBB_UNITS_BYTES] = "";
    char limit[64] = "";

    if (kill->memcg && kill->limit_bytes.known)
        snprintf(limit, sizeof(limit), ", %s", ebb__units_bytes(kill->limit_bytes.value, bytes));
    if (kill->in_group) {
        ebb__emit_note(emit, "cause",
                       "%s (pid %d): died with the victim before it: memory.oom.group of %s is set.",
                       kill->name, (int)kill->pid, kill->group);
        return;
    }
    if (!kill->has_report)
        return; /* counted, and told of once */
    ebb__emit_note(emit, "cause", "%s (pid %d): %s asked for memory%s%s, and %s%s%s.", kill->name,
                   (int)kill->pid, kill->invoker, kill->gfp[0] != '\0' ? " with " : "", kill->gfp,
                   kill->memcg ? "the limit of " : "the host had none left", kill->memcg ? e->scope : "",
                   kill->memcg && limit[0] != '\0' ? limit : "");
    if (kill->order > 0)
        ebb__emit_note(emit, "order",
                       "%s (pid %d): %" PRIu64
                       " pages in one piece were wanted: memory may have been free, but in smaller "
                       "pieces.",
                       kill->name, (int)kill->pid, UINT64_C(1) << (kill->order < 63 ? kill->order : 63));
}

static void note_choice(struct ebb_emit *emit, const struct explained *e)
{
    const struct ebb_oom_kill *kill = e->kill;
    const struct ebb_oom_past *past = &e->past;
    char first[64];
    char other[64];

    if (kill->in_group || !kill->has_report)
        return;
    if (kill->allocating) {
        ebb__emit_note(emit, "choice",
                       "%s (pid %d): was killed because it asked: vm.oom_kill_allocating_task is set.",
                       kill->name, (int)kill->pid);
        return;
    }
    if (kill->truncated)
        ebb__emit_note(emit, "truncated", "%s (pid %d): %s.", kill->name, (int)kill->pid,
                       kill->truncated_why);
    if (!past->has_victim || past->total_pages == 0)
        return;
    snprintf(first, sizeof(first), "oom_score_adj %d", past->victim_flip);
    snprintf(other, sizeof(other), "%d for %.15s", past->second_flip, past->second.name);
    if (!past->has_second)
        ebb__emit_note(emit, "choice", "%s (pid %d): there was no other candidate.", kill->name,
                       (int)kill->pid);
    else if (past->first)
        ebb__emit_note(
            emit, "choice",
            "%s (pid %d): had most points, %" PRIu64 " pages more than %s (pid %d)%s%s%s%s%s.", kill->name,
            (int)kill->pid, past->margin_pages, past->second.name, (int)past->second.pid,
            past->victim_flips || past->second_flips ? ", which would have died instead with " : "",
            past->victim_flips ? first : "", past->victim_flips && past->second_flips ? ", or with " : "",
            past->second_flips ? other : "", past->total_exact ? "" : "; not exact");
    else
        ebb__emit_note(emit, "choice",
                       "%s (pid %d): had fewer points than %s (pid %d) in what the log shows: it was exiting "
                       "or a child of it "
                       "before Linux 5.1, or memory changed meanwhile.",
                       kill->name, (int)kill->pid, past->second.name, (int)past->second.pid);
    if (past->has_largest && past->largest.pid != past->victim.pid)
        ebb__emit_note(emit, "largest",
                       "%s (pid %d): was not the largest: %s (pid %d) had %" PRIu64
                       " resident pages, and oom_score_adj %d.",
                       kill->name, (int)kill->pid, past->largest.name, (int)past->largest.pid,
                       past->largest.rss_pages, past->largest.adj);
    if (!past->total_exact)
        ebb__emit_note(emit, "total", "%s (pid %d): points are not exact: %s.", kill->name, (int)kill->pid,
                       past->total_why);
}

static void note_kill(struct ebb_emit *emit, const struct explained *e)
{
    const struct ebb_oom_kill *kill = e->kill;

    note_cause(emit, e);
    note_choice(emit, e);
    if (kill->reaper == EBB_OOM_UNREAPABLE)
        ebb__emit_note(
            emit, "reaper",
            "%s (pid %d): the reaper could not get at its memory within a second; the kernel then looked for "
            "another victim.",
            kill->name, (int)kill->pid);
    if (e->still)
        ebb__emit_note(emit, "now", "%s (pid %d): is %s.", kill->name, (int)kill->pid, e->now);
}

/* ---- all of them ---- */

struct explain {
    const struct ebb_oom_options *options;
    const char *root;
    struct ebb_emit *emit;
    struct ebb_oom_log_file log;
    struct ebb_host host;
    struct ebb_meminfo memory;
    struct ebb_oom_rules rules;
    bool ours; /* the log is of the host below the root */
    bool has_since;
    time_t since;
    uint64_t total;
    uint64_t shown;
    uint64_t undated;
    uint64_t unreported;     /* of the shown ones */
    struct ebb_oom_log walk; /* as it was at the end */
};

static void examine(const struct explain *explain, const struct ebb_oom_kill *kill, bool dated, time_t when,
                    struct explained *ret)
{
    struct ebb_oom_rules rules = explain->rules;
    struct tm parts;

    memset(ret, 0, sizeof(*ret));
    ret->kill = kill;
    if (kill->score.known)
        rules.clamps = rules.earlier_wins = true; /* the log is of a kernel before 5.1 */
    ebb__oom_past_judge(kill, explain->ours ? explain->memory.swap_total_bytes : ebb__fact_unknown(-ENODATA),
                        ebb__fact_or(explain->host.page_bytes, 4096), &rules, &ret->past);
    if (dated && localtime_r(&when, &parts) != NULL)
        strftime(ret->time, sizeof(ret->time), "%F %T", &parts);
    else
        snprintf(ret->time, sizeof(ret->time), "%.31s", kill->stamp.text);
    if (ret->time[0] == '\0' && kill->stamp.boot_us.known)
        snprintf(ret->time, sizeof(ret->time), "%.6f", (double)kill->stamp.boot_us.value / 1e6);
    snprintf(ret->scope, sizeof(ret->scope), "%s",
             !kill->memcg              ? "host"
             : kill->oom_memcg[0] != 0 ? kill->oom_memcg
                                       : "a cgroup");
    if (explain->ours)
        look_now(explain->root, &explain->host, ret);
}

/* Walks over the log, and says of each kill that is to be shown a row, or, from the `first_told` of them on, sentences. */
static void walk(struct explain *explain, void (*say)(struct ebb_emit *, const struct explained *),
                 uint64_t first_told)
{
    static struct ebb_oom_kill kill;
    static struct explained e;

    ebb__oom_log_init(&explain->walk, explain->log.text, explain->log.len);
    explain->total = explain->shown = explain->undated = explain->unreported = 0;
    while (ebb__oom_log_next(&explain->walk, &kill)) {
        time_t when;
        bool dated = ebb__oom_log_when(&explain->log, &kill.stamp, &when);

        explain->total++;
        if (explain->has_since && dated && when < explain->since)
            continue;
        explain->undated += !dated;
        explain->unreported += !kill.has_report;
        if (explain->shown++ < first_told)
            continue;
        examine(explain, &kill, dated, when, &e);
        say(explain->emit, &e);
    }
}

/* A row for each kill, then sentences: people want those of the last ones, programs those of all. */
static void tell(struct explain *explain)
{
    uint64_t top = explain->options->top;
    uint64_t untold;

    walk(explain, print_kill, 0);
    untold = ebb__emit_is_human(explain->emit) && explain->shown > top ? explain->shown - top : 0;
    walk(explain, note_kill, untold);
    if (untold != 0)
        ebb__emit_note(explain->emit, "untold",
                       "These are the last %" PRIu64 " of %" PRIu64 " kills in words; --top %" PRIu64
                       " has them all.",
                       top, explain->shown, explain->shown);
}

static void note_log(const struct explain *explain)
{
    struct ebb_emit *emit = explain->emit;
    struct ebb_vmstat vm = {0};

    if (explain->shown == 0)
        ebb__emit_note(emit, "none", "The log tells of no kill%s.", explain->has_since ? " since then" : "");
    if (explain->walk.kernel_count == 0 && !explain->ours)
        ebb__emit_note(emit, "not_a_log",
                       "No line of it has been understood as one of a kernel's: is it the right file?");
    if (explain->unreported != 0)
        ebb__emit_note(emit, "unreported",
                       "Of %" PRIu64
                       " of these kills there is no report that tells why: the kernel prints ten in five "
                       "seconds at most, or the log has lost it.",
                       explain->unreported);
    if (explain->ours)
        (void)ebb__vmstat_read(explain->root, &vm);
    /* The kernel's own count, of which the log may have forgotten some. */
    if (explain->log.live && vm.oom_kill.known && vm.oom_kill.value > explain->total)
        ebb__emit_note(emit, "count",
                       "The kernel has counted %" PRIu64 " kills since boot, the log tells of %" PRIu64
                       ": it has forgotten the rest, or they were of processes that were ending already.",
                       vm.oom_kill.value, explain->total);
    if (explain->has_since && explain->undated != 0)
        ebb__emit_note(emit, "undated",
                       "Of %" PRIu64 " kills the log does not tell the day; they are all shown.",
                       explain->undated);
    if (explain->walk.no_victim_count != 0)
        ebb__emit_note(emit, "no_victim", "%" PRIu64 " times nobody could be killed.",
                       explain->walk.no_victim_count);
    if (explain->walk.panic_count != 0)
        ebb__emit_note(emit, "panic", "%" PRIu64 " times the kernel panicked, because of vm.panic_on_oom.",
                       explain->walk.panic_count);
    if (explain->log.cut)
        ebb__emit_note(emit, "cut", "The log is longer than what was read of it.");
}

int ebb__oom_explain(const struct ebb_opt_spec *spec, const struct ebb_oom_options *options, const char *root)
{
    struct explain explain = {.options = options, .root = root};
    struct ebb_emit emit;
    int status = ebb__emit_init(&emit, spec, &options->output);

    if (status != EBB_EXIT_OK)
        return status;
    if (options->since != NULL) {
        if (ebb__oom_log_since(options->since, time(NULL), &explain.since) != 0)
            return ebb__opt_usage(spec, "--since: '%s' is neither 30m, 2h, 7d nor a date such as 2026-11-24",
                                  options->since);
        explain.has_since = true;
    }
    status = ebb__oom_log_file_read(root, options->file, &explain.log);
    if (status != EBB_EXIT_OK)
        return status;
    explain.emit = &emit;
    explain.ours = options->file == NULL;
    ebb__host_read(root, &explain.host);
    (void)ebb__meminfo_read(root, &explain.memory);
    if (explain.ours && explain.host.release[0] != '\0') {
        explain.rules.clamps = !ebb__host_kernel_is(&explain.host, 5, 9);
        explain.rules.earlier_wins = !ebb__host_kernel_is(&explain.host, 5, 3);
    }
    ebb__emit_begin(&emit);
    ebb__emit_section(&emit, &KILLS);
    tell(&explain);
    note_log(&explain);
    ebb__emit_end(&emit);
    ebb__oom_log_file_fini(&explain.log);
    return EBB_EXIT_OK;
}
