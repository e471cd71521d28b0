/* SPDX-License-Identifier: MIT
 *
 * ebb oom adj: shows or sets the oom_score_adj of a process, what order that makes, and what makes it last.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tool/cmd.h"
#include "tool/oom.h"
#include "tool/target.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct ebb_column ADJ_COLUMNS[] = {
    {"pid", "pid", EBB_AS_NUMBER, 0, .label = true, .help = "process"},
    {"name", "name", EBB_AS_TEXT, 0, .label = true, .help = "its name"},
    {"adj_before", "oom_score_adj before", EBB_AS_NUMBER, 0, .help = "as it was found"},
    {"adj", "oom_score_adj", EBB_AS_NUMBER, 0, .help = "as it is now"},
    {"old_adj", "oom_adj", EBB_AS_NUMBER, 0, .help = "the same on the old scale, -17 to 15"},
    {"scope", "scope", EBB_AS_TEXT, 0, .help = "whose order this is"},
    {"rank_before", "rank before", EBB_AS_NUMBER, 0, .help = "1 dies first"},
    {"rank", "rank", EBB_AS_NUMBER, 0, .help = "now"},
    {"unit", "unit", EBB_AS_TEXT, 0, .help = "the systemd unit that it belongs to"},
};
static const struct ebb_section ADJ = {"adj", NULL, true, ADJ_COLUMNS, COUNT(ADJ_COLUMNS)};

/* ---- the number ---- */

static int parse(const struct ebb_opt_spec *spec, const char *text, bool old_scale, int *ret_adj)
{
    const int least = old_scale ? EBB_OOM_OLD_MIN : EBB_OOM_ADJ_MIN;
    const int most = old_scale ? EBB_OOM_OLD_MAX : EBB_OOM_ADJ_MAX;
    struct ebb_scan scan = {.at = text, .end = text + strlen(text)};
    bool negative = ebb__scan_char(&scan, '-');
    uint64_t size;
    int value;

    if (!ebb__scan_dec(&scan, &size) || scan.at != scan.end || size > EBB_OOM_ADJ_MAX)
        return ebb__opt_usage(spec, "adj: '%s' is not a number from %d to %d", text, least, most);
    value = negative ? -(int)size : (int)size;
    if (value < least || value > most)
        return ebb__opt_usage(spec, "adj: '%s' is not a number from %d to %d", text, least, most);
    *ret_adj = old_scale ? ebb__oom_adj_from_old(value) : value;
    return EBB_EXIT_OK;
}

/* 0, or -errno; -EACCES from the write means that the value may not be lowered so far. */
static int write_adj(pid_t pid, int adj, bool *ret_opened)
{
    char path[64];
    char text[16];
    int len = snprintf(text, sizeof(text), "%d", adj);
    int fd;
    int err = 0;

    snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", (int)pid);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    *ret_opened = fd >= 0;
    if (fd < 0)
        return -errno;
    if (write(fd, text, (size_t)len) != len)
        err = -errno;
    close(fd);
    return err;
}

/* True when the process runs as whoever asks. */
static bool is_ours(pid_t pid)
{
    struct ebb_status status;

    return ebb__status_read("", pid, &status) == 0 && ebb__status_has(&status, EBB_STATUS_UID_REAL) &&
           status.uid_real == geteuid();
}

static int set(const struct ebb_target *target, int before, int adj)
{
    bool opened;
    int err = write_adj(target->pid, adj, &opened);

    if (err == 0)
        return EBB_EXIT_OK;
    if (err == -ESRCH || err == -ENOENT)
        return ebb__target_failed(target, err);
    if (opened && err == -EACCES)
        fprintf(stderr,
                "ebb oom: oom_score_adj of %s (pid %d) stays %d: to lower it to %d needs CAP_SYS_RESOURCE, "
                "which this process "
                "has not%s\n",
                target->name, (int)target->pid, before, adj,
                geteuid() == 0 ? " although it is root: containers often take it away"
                               : "; try it with sudo");
    else if (err == -EACCES || err == -EPERM)
        fprintf(stderr, "ebb oom: oom_score_adj of %s (pid %d) stays %d: %s; try it with sudo\n",
                target->name, (int)target->pid, before,
                is_ours(target->pid)
                    ? "it runs as this user, but has raised privileges or may not be dumped, so that "
                      "its files are root's"
                    : "it belongs to another user");
    else
        fprintf(stderr, "ebb oom: oom_score_adj of %s (pid %d) stays %d: %s\n", target->name,
                (int)target->pid, before, strerror(-err));
    return EBB_EXIT_FAILED;
}

/* ---- where it would be written down ---- */

static void note_unit(struct ebb_emit *emit, const char *unit, bool of_user, int adj)
{
    if (unit == NULL) {
        ebb__emit_note(emit, "persist",
                       "It belongs to no service of systemd: what starts it must set oom_score_adj again, as "
                       "choom(1) does.");
        return;
    }
    ebb__emit_note(emit, "persist",
                   "To make it last: systemctl%s edit %s, and write there:", of_user ? " --user" : "", unit);
    ebb__emit_note(emit, "persist", "[Service]");
    ebb__emit_note(emit, "persist", "OOMScoreAdjust=%d", adj);
}

/* ---- the order that it makes ---- */

/* The innermost memory cgroup with a limit: that is where it will be killed first. */
static const struct ebb_oom_group *innermost(const struct ebb_oom_facts *facts, size_t index)
{
    const struct ebb_oom_group *best = NULL;

    for (size_t i = 0; i < facts->group_count; i++) {
        const struct ebb_oom_group *group = &facts->groups[i];

        if (ebb__oom_group_is_scope(group) && ebb__oom_is_in(&facts->processes[index], group->path) &&
            (best == NULL || strlen(group->path) > strlen(best->path)))
            best = group;
    }
    return best;
}

/* The place of a process in the order of a scope, as if it had that oom_score_adj; unknown for one that is never killed. */
static struct ebb_cell rank(const struct ebb_oom_facts *facts, struct ebb_oom_scope *scope, int pid, int adj)
{
    uint64_t ahead = 1;
    size_t own = 0;

    while (own < scope->count && scope->tasks[own].pid != pid)
        own++;
    if (own == scope->count)
        return ebb__cell_unknown("is never killed: init, or it has no memory");
    scope->tasks[own].adj = adj;
    if (adj <= EBB_OOM_ADJ_MIN)
        return ebb__cell_unknown("-1000: is never killed");
    for (size_t i = 0; i < scope->count; i++)
        ahead += i != own &&
                 ebb__oom_before(&scope->tasks[i], &scope->tasks[own], scope->total_pages, &facts->rules);
    return ebb__cell_number(ahead);
}

static int report(const struct ebb_opt_spec *spec, const struct ebb_oom_options *options,
                  const struct ebb_target *target, const struct ebb_oom_facts *facts, int before, int adj)
{
    size_t index = ebb__oom_facts_find(facts, target->pid);
    struct ebb_oom_scope scope;
    struct ebb_emit emit;
    char unit[EBB_UNIT_BYTES];
    bool of_user = false;
    bool has_unit = ebb__unit_service_read("", target->pid, unit, &of_user);
    struct ebb_cell rank_before;
    struct ebb_cell rank_now;
    int err;

    if (index == facts->count)
        return ebb__target_failed(target, -ESRCH);
    (void)ebb__emit_init(&emit, spec, &options->output); /* it was tried before */
    err = ebb__oom_scope_init(facts, innermost(facts, index), &scope);
    if (err != 0) {
        fprintf(stderr, "ebb oom: %s\n", strerror(-err));
        return EBB_EXIT_FAILED;
    }
    rank_before = rank(facts, &scope, target->pid, before);
    rank_now = rank(facts, &scope, target->pid, adj);
    ebb__emit_begin(&emit);
    ebb__emit_section(&emit, &ADJ);
    ebb__emit_row(
        &emit,
        (const struct ebb_cell[]){
            ebb__cell_number((uint64_t)target->pid), ebb__cell_text(target->name), ebb__cell_signed(before),
            ebb__cell_signed(adj), ebb__cell_signed(ebb__oom_adj_to_old(adj)),
            ebb__cell_text(ebb__oom_scope_name(&scope)), rank_before, rank_now,
            has_unit ? ebb__cell_text(unit) : ebb__cell_unknown("it belongs to no service of systemd")});
    err = ebb__oom_print_order(&emit, facts, &scope, options->top);
    if (options->persist)
        note_unit(&emit, has_unit ? unit : NULL, of_user, adj);
    ebb__emit_end(&emit);
    ebb__oom_scope_fini(&scope);
    return err == 0 ? EBB_EXIT_OK : EBB_EXIT_FAILED;
}

int ebb__oom_adjust(const struct ebb_opt_spec *spec, const struct ebb_oom_options *options,
                    const char *target_text, const char *value)
{
    struct ebb_target target;
    struct ebb_oom_facts facts;
    struct ebb_emit emit;
    int before;
    int adj = 0;
    int err;
    /* Nothing is changed before all of the command line is known to be right. */
    int status = ebb__emit_init(&emit, spec, &options->output);

    if (status == EBB_EXIT_OK && value != NULL)
        status = parse(spec, value, options->old_scale, &adj);
    if (status == EBB_EXIT_OK)
        status = ebb__target_find("oom", "", target_text, &target);
    if (status != EBB_EXIT_OK)
        return status;
    err = ebb__oom_adj_read("", target.pid, &before);
    if (err != 0)
        return ebb__target_failed(&target, err);
    if (value != NULL)
        status = set(&target, before, adj);
    else
        adj = before;
    if (status != EBB_EXIT_OK)
        return status;
    status = ebb__oom_collect(&facts, "");
    if (status != EBB_EXIT_OK)
        return status;
    status = report(spec, options, &target, &facts, before, adj);
    ebb__oom_facts_fini(&facts);
    return status;
}
