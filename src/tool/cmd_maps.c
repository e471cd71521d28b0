/* SPDX-License-Identifier: MIT
 *
 * ebb maps: the mappings of a process, one by one, by what they are for, and against their limit.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/units.h"
#include "probe/scan.h"
#include "tool/cmd.h"
#include "tool/maps.h"

static struct {
    bool extended;
    bool group;
    bool budget;
    bool show_path;
    bool deep;
    const char *sort;
    const char *range;
    long between_ms;
    long watch_ms;
    struct ebb_output output;
} options = {.between_ms = -1, .watch_ms = -1};

static const char *const SYNOPSIS[] = {
    "[-pX] [--deep] [--range LOW,HIGH] [--sort KEY] TARGET...",
    "--group [--deep] TARGET...",
    "--budget [--between TIME | --watch TIME] TARGET...",
    NULL,
};

static const struct ebb_opt ROWS[] = {
    {'X', "extended", EBB_OPT_FLAG, NULL, "the columns of pmap -X, and the class of each mapping",
     &options.extended},
    {'g', "group", EBB_OPT_FLAG, NULL, "sums for each class instead of mappings", &options.group},
    {'b', "budget", EBB_OPT_FLAG, NULL, "how many mappings there are, why, and what fails first",
     &options.budget},
    {'p', "show-path", EBB_OPT_FLAG, NULL, "whole paths", &options.show_path},
    {'A', "range", EBB_OPT_TEXT, "LOW,HIGH",
     "only mappings between two addresses, without reading the others' pages", &options.range},
    {'s', "sort", EBB_OPT_TEXT, "KEY", "largest first: size, rss, pss, dirty, swap; or address",
     &options.sort},
    {'\0', "deep", EBB_OPT_FLAG, NULL, "read the pages of large processes too, which takes long",
     &options.deep},
    {'\0', "between", EBB_OPT_DURATION, "TIME",
     "with --budget: look twice, this long apart, and tell when the limit is hit", &options.between_ms},
    {'w', "watch", EBB_OPT_DURATION, "TIME", "with --budget: look again and again", &options.watch_ms},
    EBB_OUTPUT_ROWS(options.output),
    {0},
};

const struct ebb_opt_spec ebb__spec_maps = {
    .command = "maps",
    .synopsis = SYNOPSIS,
    .rows = ROWS,
};

/* ---- what the parts have in common ---- */

int ebb__maps_worse(int a, int b)
{
    if (a == EBB_EXIT_NO_TARGET || b == EBB_EXIT_NO_TARGET)
        return EBB_EXIT_NO_TARGET;
    return a != EBB_EXIT_OK ? a : b;
}

int ebb__maps_start(const struct ebb_maps_ask *ask, const struct ebb_target *target,
                    struct ebb_maps_walk *walk)
{
    char rss[EBB_UNITS_BYTES];
    char time[EBB_UNITS_BYTES];
    int err = ebb__maps_walk_open(walk, target, &ask->want);

    if (err != 0)
        return ebb__target_failed(target, err);
    if (walk->estimate_ms > EBB_MAPS_BUDGET_MS && target->root[0] == '\0' && !ask->want.range) {
        ebb__units_bytes(walk->survey.rss_bytes, rss);
        ebb__units_ms(walk->estimate_ms, time);
        fprintf(stderr,
                "ebb maps: reading the pages of %s (pid %d, %s resident) takes about %s, in which it may "
                "have to wait"
                " for its memory%s\n",
                target->name, (int)target->pid, rss, time,
                ask->want.deep ? "" : "; they are left out (--deep reads them, --range a part)");
    }
    return EBB_EXIT_OK;
}

int ebb__maps_finish(struct ebb_maps_walk *walk, int got, uint64_t row_count)
{
    const struct ebb_target *target = walk->target;
    struct ebb_status status;
    bool ended = got == -ESRCH || got == -ENOENT;

    ebb__maps_walk_close(walk);
    if (got < 0 && !ended)
        return ebb__target_failed(target, got);
    if (row_count == 0 && !walk->want.range)
        return ebb__target_failed(target, -ESRCH);
    if (!ended && target->root[0] == '\0')
        ended = ebb__status_read("", target->pid, &status) != 0 ||
                (ebb__status_has(&status, EBB_STATUS_STATE) && strchr("ZX", status.state) != NULL);
    if (!ended)
        return EBB_EXIT_OK;
    fprintf(stderr, "ebb maps: %s (pid %d) has ended while it was looked at; mappings may be missing\n",
            target->name, (int)target->pid);
    return EBB_EXIT_NO_TARGET;
}

void ebb__maps_title(const struct ebb_target *target, char ret_title[EBB_MAPS_TITLE_BYTES])
{
    char line[EBB_MAPS_TITLE_BYTES - 32];
    size_t len = 0;
    int fd = ebb__proc_open(target->root, target->pid, "cmdline");
    int err = fd < 0 ? fd : ebb__file_read_fd(fd, line, sizeof(line) - 1, &len);

    /* A longer command line fills the buffer and is cut. */
    if (err == -EMSGSIZE)
        len = sizeof(line) - 1;
    if (fd >= 0)
        close(fd);
    while (len > 0 && line[len - 1] == '\0')
        len--;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f) /* the NULs between arguments too */
            line[i] = ' ';
    line[len] = '\0';
    snprintf(ret_title, EBB_MAPS_TITLE_BYTES, "%d:   %s", (int)target->pid, len == 0 ? target->name : line);
}

static struct ebb_fact plus(struct ebb_fact a, struct ebb_fact b)
{
    if (!a.known || !b.known)
        return a.known ? b : a;
    return ebb__fact(a.value + b.value);
}

void ebb__maps_sum_add(struct ebb_maps_sum *sum, const struct ebb_fact facts[EBB_SMAPS_FIELD_COUNT])
{
    for (unsigned i = 0; i < EBB_SMAPS_FIELD_COUNT; i++)
        sum->facts[i] = sum->count == 0 ? facts[i] : plus(sum->facts[i], facts[i]);
    sum->count++;
}

/* ---- what was asked for ---- */

static int take_sort(struct ebb_maps_ask *ask)
{
    static const struct {
        const char *key;
        int field;
    } KEYS[] = {
        {"address", EBB_MAPS_SORT_ADDRESS},
        {"size", EBB_SMAPS_SIZE},
        {"rss", EBB_SMAPS_RSS},
        {"pss", EBB_SMAPS_PSS},
        {"dirty", EBB_MAPS_SORT_DIRTY},
        {"swap", EBB_SMAPS_SWAP},
    };

    ask->sort = EBB_MAPS_SORT_ADDRESS;
    for (unsigned i = 0; options.sort != NULL && i < sizeof(KEYS) / sizeof(KEYS[0]); i++)
        if (strcmp(options.sort, KEYS[i].key) == 0) {
            ask->sort = KEYS[i].field;
            return EBB_EXIT_OK;
        }
    if (options.sort == NULL)
        return EBB_EXIT_OK;
    return ebb__opt_usage(&ebb__spec_maps, "--sort: '%s' is none of address, size, rss, pss, dirty and swap",
                          options.sort);
}

/* Two hexadecimal addresses, with or without 0x. */
static int take_range(struct ebb_maps_ask *ask)
{
    struct ebb_scan scan;

    if (options.range == NULL)
        return EBB_EXIT_OK;
    scan = (struct ebb_scan){.at = options.range, .end = options.range + strlen(options.range)};
    ebb__scan_word(&scan, "0x");
    ask->want.range =
        ebb__scan_hex(&scan, &ask->want.low) && (ebb__scan_char(&scan, ',') || ebb__scan_char(&scan, '-'));
    ebb__scan_word(&scan, "0x");
    if (ask->want.range && ebb__scan_hex(&scan, &ask->want.high) && scan.at == scan.end &&
        ask->want.low < ask->want.high)
        return EBB_EXIT_OK;
    return ebb__opt_usage(&ebb__spec_maps,
                          "--range: '%s' is not two hexadecimal addresses, the lower one first",
                          options.range);
}

static int check_options(struct ebb_maps_ask *ask)
{
    int status;

    if (options.group + options.budget + options.extended > 1)
        return ebb__opt_usage(&ebb__spec_maps, "--extended, --group and --budget exclude each other");
    if (!options.budget && (options.between_ms >= 0 || options.watch_ms >= 0))
        return ebb__opt_usage(&ebb__spec_maps, "--between and --watch need --budget");
    if (options.between_ms >= 0 && options.watch_ms >= 0)
        return ebb__opt_usage(&ebb__spec_maps, "--between and --watch exclude each other");
    if (options.between_ms == 0 || options.watch_ms == 0)
        return ebb__opt_usage(&ebb__spec_maps, "--between and --watch need a time above 0");
    if ((options.group || options.budget) && (options.sort != NULL || options.range != NULL))
        return ebb__opt_usage(&ebb__spec_maps, "--sort and --range are for the table of mappings");
    status = take_sort(ask);
    return status == EBB_EXIT_OK ? take_range(ask) : status;
}

int ebb__cmd_maps(int argc, char **argv)
{
    static struct ebb_emit emit;
    struct ebb_maps_ask ask = {.emit = &emit};
    struct ebb_target *targets;
    const char *root;
    int status = EBB_EXIT_OK;
    int first;

    if (!ebb__opt_parse(&ebb__spec_maps, argc, argv, &first, &status))
        return status;
    if (first == argc)
        return ebb__opt_usage(&ebb__spec_maps, "which process?");
    if (check_options(&ask) != EBB_EXIT_OK)
        return EBB_EXIT_USAGE;
    /* pmap's tables are in KiB, and so are ours. */
    if (options.output.unit == NULL && !options.group && !options.budget)
        options.output.unit = "K";
    if (ebb__emit_init(&emit, &ebb__spec_maps, &options.output) != EBB_EXIT_OK)
        return EBB_EXIT_USAGE;
    status = ebb__output_root(&ebb__spec_maps, &options.output, &root);
    if (status != EBB_EXIT_OK)
        return status;
    targets = calloc((size_t)(argc - first), sizeof(*targets));
    if (targets == NULL) {
        fprintf(stderr, "ebb maps: %s\n", strerror(ENOMEM));
        return EBB_EXIT_FAILED;
    }
    for (int i = first; i < argc; i++) {
        int found = ebb__target_find("maps", root, argv[i], &targets[ask.target_count]);

        if (found == EBB_EXIT_OK)
            ask.target_count++;
        status = ebb__maps_worse(status, found);
    }
    ask.targets = targets;
    ask.want.deep = options.deep;
    ask.extended = options.extended;
    ask.show_path = options.show_path;
    ask.between_ms = options.between_ms;
    ask.watch_ms = options.watch_ms;
    if (ask.target_count != 0)
        status = ebb__maps_worse(status, options.budget  ? ebb__maps_budget(&ask)
                                         : options.group ? ebb__maps_groups(&ask)
                                                         : ebb__maps_table(&ask));
    free(targets);
    return status;
}
