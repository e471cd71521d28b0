/* SPDX-License-Identifier: MIT
 *
 * ebb vm: free, vmstat and sar -B of the host or of a container, once or again and again.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tool/cmd.h"
#include "tool/vm.h"

/* A terminal is given its headings again before they scroll away. */
#define LINES_PER_HEAD 20

static struct {
    bool full;
    bool stats;
    bool active;
    bool wide;
    const char *cgroup;
    const char *compat;
    struct ebb_output output;
} options;

static const char *const SYNOPSIS[] = {"[-fs] [--cgroup PATH|TARGET] [DELAY [COUNT]]",
                                       "--compat free|vmstat|sar-B [-asw] [DELAY [COUNT]]", NULL};

static const struct ebb_opt ROWS[] = {
    {'f', "full", EBB_OPT_FLAG, NULL, "with a delay: the whole screen each time, not a line", &options.full},
    {'s', "stats", EBB_OPT_FLAG, NULL, "also the counters since boot", &options.stats},
    {'g', "cgroup", EBB_OPT_TEXT, "PATH|TARGET", "what a memory cgroup has left, given as /PATH or TARGET",
     &options.cgroup},
    {'\0', "compat", EBB_OPT_TEXT, "TOOL", "print as free, vmstat or sar-B do, for scripts", &options.compat},
    {'a', "active", EBB_OPT_FLAG, NULL, "with --compat vmstat: active and inactive, as vmstat -a",
     &options.active},
    {'w', "wide", EBB_OPT_FLAG, NULL, "with --compat free or vmstat: as with their -w", &options.wide},
    EBB_OUTPUT_ROWS(options.output),
    {0},
};

const struct ebb_opt_spec ebb__spec_vm = {
    .command = "vm",
    .synopsis = SYNOPSIS,
    .rows = ROWS,
};

/* What the command line asks for. */
struct ask {
    long delay_ms; /* 0: once */
    long count;    /* of looks; LONG_MAX: until ^C */
    bool has_compat;
    struct ebb_vm_compat compat;
};

static volatile sig_atomic_t interrupted;

static void note_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

/* ---- what is asked for ---- */

static int parse_times(int argc, char **argv, struct ask *ask)
{
    char *end;

    ask->count = LONG_MAX;
    if (argc == 0)
        return EBB_EXIT_OK;
    if (argc > 2)
        return ebb__opt_usage(&ebb__spec_vm, "'%s' is one argument too many", argv[2]);
    if (ebb__opt_duration(argv[0], &ask->delay_ms) != 0 || ask->delay_ms == 0)
        return ebb__opt_usage(&ebb__spec_vm, "'%s' is not a delay such as 500ms, 2s, 0.5 or 1m", argv[0]);
    if (argc == 2) {
        errno = 0;
        ask->count = strtol(argv[1], &end, 10);
        if (argv[1][0] < '1' || argv[1][0] > '9' || *end != '\0' || errno != 0)
            return ebb__opt_usage(&ebb__spec_vm, "'%s' is not a number of looks", argv[1]);
    }
    if (options.output.root != NULL)
        return ebb__opt_usage(&ebb__spec_vm, "a captured tree does not change: --root takes no delay");
    return EBB_EXIT_OK;
}

static int parse_unit(struct ebb_vm_compat *compat)
{
    const char *unit = options.output.unit;

    compat->unit = 'K';
    if (unit == NULL)
        return EBB_EXIT_OK;
    if (strlen(unit) != 1 || strchr(compat->kind == EBB_VM_FREE ? "BKMGh" : "BKM", unit[0]) == NULL)
        return ebb__opt_usage(&ebb__spec_vm, "--unit: '%s' is none of %s", unit,
                              compat->kind == EBB_VM_FREE ? "B, K, M, G and h" : "B, K and M");
    compat->unit = unit[0];
    return EBB_EXIT_OK;
}

static int parse_compat(struct ask *ask)
{
    struct ebb_vm_compat *compat = &ask->compat;

    ask->has_compat = options.compat != NULL;
    if (!ask->has_compat && (options.active || options.wide))
        return ebb__opt_usage(&ebb__spec_vm, "--%s goes with --compat: the screen always has it",
                              options.active ? "active" : "wide");
    if (!ask->has_compat)
        return EBB_EXIT_OK;
    compat->wide = options.wide;
    compat->active = options.active;
    compat->header = !options.output.no_header;
    if (strcmp(options.compat, "free") == 0)
        compat->kind = EBB_VM_FREE;
    else if (strcmp(options.compat, "vmstat") == 0)
        compat->kind = options.stats ? EBB_VM_VMSTAT_STATS : EBB_VM_VMSTAT;
    else if (strcmp(options.compat, "sar-B") == 0)
        compat->kind = EBB_VM_SAR;
    else
        return ebb__opt_usage(&ebb__spec_vm, "--compat: '%s' is none of free, vmstat and sar-B",
                              options.compat);
    if (options.output.json || options.output.format != NULL || options.full)
        return ebb__opt_usage(&ebb__spec_vm, "--compat and --%s exclude each other",
                              options.full ? "full" : "format");
    if ((options.active && compat->kind != EBB_VM_VMSTAT) || (options.wide && compat->kind == EBB_VM_SAR) ||
        (options.stats && compat->kind != EBB_VM_VMSTAT_STATS))
        return ebb__opt_usage(&ebb__spec_vm, "%s has no such option", options.compat);
    if (options.cgroup != NULL && compat->kind != EBB_VM_FREE)
        return ebb__opt_usage(&ebb__spec_vm, "--compat %s knows no cgroups; free does", options.compat);
    return parse_unit(compat);
}

/* ---- looking ---- */

/* Two looks and the first one; each is large. */
static struct ebb_vm_look looks[3];
static struct ebb_vm_source source;

static void add(struct ebb_vm_means *means, const struct ebb_vm_look *look)
{
    const struct ebb_free *free = source.has_cgroup ? &look->cgroup_free : &look->free;

    means->count++;
    means->free_bytes += (double)ebb__fact_or(free->free_bytes, 0);
    means->available_bytes += (double)ebb__fact_or(free->available_bytes, 0);
    means->running += (double)ebb__fact_or(look->cpu.running, 0);
    means->blocked += (double)ebb__fact_or(look->cpu.blocked, 0);
}

static void show(struct ebb_emit *emit, const struct ask *ask, const struct ebb_vm_span *span,
                 const struct ebb_vm_means *means)
{
    if (ask->has_compat)
        ebb__vm_compat_look(&ask->compat, &source, span);
    else if (ask->delay_ms == 0 || options.full || !ebb__emit_is_human(emit))
        ebb__vm_screen(emit, &source, span, options.stats);
    else
        ebb__vm_line(emit, &source, span, means);
}

/* Sleeps until the time, which moves on by the delay; false when ^C came. */
static bool sleep_until(struct timespec *next, long delay_ms)
{
    next->tv_sec += delay_ms / 1000;
    next->tv_nsec += delay_ms % 1000 * 1000000;
    if (next->tv_nsec >= 1000000000) {
        next->tv_nsec -= 1000000000;
        next->tv_sec++;
    }
    while (!interrupted)
        if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, next, NULL) != EINTR)
            break;
    return !interrupted;
}

static void name_interval(const struct ebb_vm_look *before, const struct ebb_vm_look *after, char name[32])
{
    double seconds = (double)(after->at_ns - before->at_ns) / 1e9;

    snprintf(name, 32, seconds < 99.95 ? "%.1f s" : "%.0f s", seconds);
}

/* True when headings should be shown once more before this line. */
static bool needs_head(const struct ask *ask, long lines)
{
    return lines % LINES_PER_HEAD == 0 && isatty(STDOUT_FILENO) == 1 && !options.output.no_header &&
           (!ask->has_compat || ask->compat.kind == EBB_VM_VMSTAT);
}

/* Looks until the count is reached or ^C comes, and ends with the averages. */
static void watch(struct ebb_emit *emit, const struct ask *ask)
{
    struct ebb_vm_look *first = &looks[0];
    struct ebb_vm_look *before = first;
    struct ebb_vm_means means = {0};
    struct ebb_vm_span span;
    struct timespec next;
    bool averages = !ask->has_compat || ask->compat.kind == EBB_VM_SAR;
    /* vmstat counts its first line, sar's first line is an interval. */
    bool starts_with_boot = !ask->has_compat || ask->compat.kind != EBB_VM_SAR;
    long done = 0;
    char name[32];

    clock_gettime(CLOCK_MONOTONIC, &next);
    ebb__vm_look(&source, first);
    ebb__vm_span_init(&span, "boot", NULL, first);
    if (starts_with_boot) {
        show(emit, ask, &span, NULL);
        done++;
    }
    while (done < ask->count && sleep_until(&next, ask->delay_ms)) {
        struct ebb_vm_look *after = before == &looks[1] ? &looks[2] : &looks[1];

        ebb__vm_look(&source, after);
        name_interval(before, after, name);
        ebb__vm_span_init(&span, name, before, after);
        if (needs_head(ask, done)) {
            emit->headed = NULL;
            if (ask->has_compat)
                ebb__vm_compat_head(&ask->compat, &source);
        }
        if (ask->has_compat && ask->compat.kind == EBB_VM_FREE)
            putchar('\n');
        show(emit, ask, &span, NULL);
        add(&means, after);
        before = after;
        done++;
    }
    if (before == first && interrupted) { /* not one interval was whole: what there was of it */
        before = &looks[1];
        ebb__vm_look(&source, before);
        add(&means, before);
    }
    if (before == first || !averages)
        return;
    ebb__vm_span_init(&span, "average", first, before);
    show(emit, ask, &span, &means);
}

static void catch_interrupt(void)
{
    struct sigaction action = {.sa_handler = note_interrupt};

    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

int ebb__cmd_vm(int argc, char **argv)
{
    struct ask ask = {0};
    struct ebb_emit emit;
    struct ebb_vm_span span;
    const char *root;
    int first;
    int status;

    if (!ebb__opt_parse(&ebb__spec_vm, argc, argv, &first, &status))
        return status;
    status = parse_times(argc - first, argv + first, &ask);
    if (status == EBB_EXIT_OK)
        status = parse_compat(&ask);
    if (status == EBB_EXIT_OK && ask.has_compat)
        options.output.unit = NULL; /* it is the compatible view's, which has other ones */
    if (status == EBB_EXIT_OK)
        status = ebb__emit_init(&emit, &ebb__spec_vm, &options.output);
    if (status == EBB_EXIT_OK)
        status = ebb__output_root(&ebb__spec_vm, &options.output, &root);
    if (status == EBB_EXIT_OK)
        status = ebb__vm_source_init(&source, root, options.cgroup);
    if (status != EBB_EXIT_OK)
        return status;
    if (ask.has_compat)
        ebb__vm_compat_head(&ask.compat, &source);
    if (ask.delay_ms != 0 && (!ask.has_compat || ask.compat.kind != EBB_VM_VMSTAT_STATS)) {
        catch_interrupt();
        watch(&emit, &ask);
        return EBB_EXIT_OK;
    }
    ebb__vm_look(&source, &looks[0]);
    ebb__vm_span_init(&span, "boot", NULL, &looks[0]);
    show(&emit, &ask, &span, NULL);
    if (!looks[0].info.mem_total_bytes.known) {
        fprintf(stderr, "ebb vm: %s/proc/meminfo: %s\n", root, ebb__fact_why(looks[0].info.mem_total_bytes));
        return EBB_EXIT_FAILED;
    }
    return EBB_EXIT_OK;
}
