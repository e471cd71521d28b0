/* SPDX-License-Identifier: MIT
 *
 * ebb heap: what the heap of a process holds, from outside: by the stats page of one on ebb, by the lists of one on glibc.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tool/cmd.h"
#include "tool/heap_facts.h"
#include "tool/heap_glibc.h"
#include "tool/image.h"
#include "tool/proc_allocator.h"
#include "tool/serve.h"
#include "tool/target.h"
#include "tool/why.h"

static struct {
    bool classes;
    bool counters;
    long watch_ms;
    struct ebb_output output;
} options = {.watch_ms = -1};

static const char *const SYNOPSIS[] = {"[OPTION...] TARGET", NULL};

static const struct ebb_opt ROWS[] = {
    {'c', "classes", EBB_OPT_FLAG, NULL, "on ebb: also show the blocks of each size class", &options.classes},
    {'n', "counters", EBB_OPT_FLAG, NULL, "on ebb: also show the library's counters", &options.counters},
    {'w', "watch", EBB_OPT_DURATION, "TIME", "look again and again, this long apart", &options.watch_ms},
    EBB_OUTPUT_ROWS(options.output),
    {0},
};

const struct ebb_opt_spec ebb__spec_heap = {
    .command = "heap",
    .synopsis = SYNOPSIS,
    .rows = ROWS,
};

static bool wants_json(void)
{
    return options.output.json ||
           (options.output.format != NULL && strcmp(options.output.format, "json") == 0);
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Says of a process without a page who serves it instead. */
static int report_other(const struct ebb_target *target)
{
    static struct ebb_serve serve;
    static struct ebb_image image;
    char why[EBB_WHY_BYTES];

    serve.pid = target->pid;
    serve.any_library = true;
    switch (ebb__serve_look(&serve)) {
    case EBB_SERVE_GONE:
        return ebb__target_failed(target, -ESRCH);
    case EBB_SERVE_DENIED:
        return ebb__target_failed(target, serve.error);
    case EBB_SERVE_UNMAPPED:
        break;
    default:
        fprintf(stderr, "ebb heap: %s (pid %d) has an ebb without a stats page, %s\n", target->name,
                (int)target->pid, serve.library);
        return EBB_EXIT_FAILED;
    }
    ebb__serve_settle(&serve);
    if (ebb__image_inspect_process(target->pid, &image) != 0)
        memset(&image, 0, sizeof(image));
    ebb__why_not(&serve, &image, &ebb__image_our_kind, why);
    fprintf(stderr, "ebb heap: %s (pid %d) is not on ebb: %s\n", target->name, (int)target->pid, why);
    return EBB_EXIT_FAILED;
}

/* A page shows that the library is there, not that the program's malloc leads to it. */
static void warn_if_overruled(const struct ebb_target *target)
{
    static struct ebb_serve serve;

    serve.pid = target->pid;
    serve.any_library = true;
    ebb__serve_look(&serve);
    ebb__serve_settle(&serve);
    if (serve.state == EBB_SERVE_OVERRULED)
        fprintf(
            stderr,
            "ebb heap: %s (pid %d) has its malloc from %s; the figures are only of what it asks ebb for\n",
            target->name, (int)target->pid, serve.owner);
}

static int show(const struct ebb_target *target, const struct ebb_page *page)
{
    struct ebb_heap_facts facts;
    int err = ebb__heap_facts(target, page, now_ms(), &facts);

    if (err != 0)
        return ebb__target_failed(target, err);
    if (wants_json())
        ebb__heap_print_json(&facts);
    else
        ebb__heap_print_text(&facts, (struct ebb_heap_parts){options.classes, options.counters});
    return EBB_EXIT_OK;
}

/* Shows the page again and again until the process has ended, which is then no failure. */
static int watch(const struct ebb_target *target, struct ebb_page *page)
{
    const struct timespec pause = {.tv_sec = options.watch_ms / 1000,
                                   .tv_nsec = options.watch_ms % 1000 * 1000000};

    for (;;) {
        int err;

        if (fflush(stdout) != 0 || ferror(stdout))
            return EBB_EXIT_OK; /* main() says so */
        nanosleep(&pause, NULL);
        err = ebb__page_read(page);
        if (err == -EFAULT) {
            fprintf(stderr, "ebb heap: %s (pid %d) executes another program now\n", target->name,
                    (int)target->pid);
            return EBB_EXIT_OK;
        }
        if (err != 0)
            return ebb__target_failed(target, err) == EBB_EXIT_NO_TARGET ? EBB_EXIT_OK : EBB_EXIT_FAILED;
        if (!wants_json())
            fputs(isatty(STDOUT_FILENO) ? "\033[H\033[2J" : "\n", stdout);
        if (show(target, page) != EBB_EXIT_OK)
            return EBB_EXIT_OK;
    }
}

/* ---- on ebb ---- */

static int report_page(const struct ebb_target *target, struct ebb_page *page)
{
    int status;

    if (!wants_json() && options.output.format != NULL && strcmp(options.output.format, "human") != 0) {
        fprintf(stderr, "ebb heap: %s (pid %d) is on ebb, whose page is shown for people or as json only\n",
                target->name, (int)target->pid);
        return EBB_EXIT_USAGE;
    }
    warn_if_overruled(target);
    status = show(target, page);
    if (status == EBB_EXIT_OK && options.watch_ms > 0)
        status = watch(target, page);
    return status;
}

/* ---- on glibc ---- */

/* So many looks are kept: a verdict compares with the oldest of them. */
#define LOOKS_KEPT 60

static void pause_ms(long ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    nanosleep(&pause, NULL);
}

static int look_again_and_again(struct ebb_emit *emit, struct ebb_heap_glibc *heap)
{
    static struct ebb_heap_before looks[LOOKS_KEPT];
    unsigned count = 0;

    for (;;) {
        struct ebb_heap_before before = {.known = false};
        struct ebb_heap_before *now = &looks[count % LOOKS_KEPT];
        int err = ebb__heap_glibc_look(heap);

        if (count != 0 && (err == -ESRCH || err == -EFAULT)) {
            fprintf(stderr, "ebb heap: %s (pid %d) %s\n", heap->target->name, (int)heap->target->pid,
                    err == -ESRCH ? "has ended" : "executes another program now");
            return EBB_EXIT_OK;
        }
        if (err != 0)
            return ebb__target_failed(heap->target, err);
        if (count != 0)
            before = count < LOOKS_KEPT ? looks[0] : *now; /* about to be overwritten: the oldest */
        ebb__heap_glibc_print(emit, heap, &before);
        /* Looks that do not tell enough are left out. */
        if (ebb__heap_glibc_verdict_look(heap, &now->look)) {
            now->known = true;
            now->at_ms = heap->at_ms;
            count++;
        }
        if (options.watch_ms <= 0 || ferror(stdout))
            return EBB_EXIT_OK;
        pause_ms(options.watch_ms);
    }
}

static int report_glibc(struct ebb_emit *emit, const struct ebb_target *target, const char *inner)
{
    static struct ebb_heap_glibc heap;
    int status;
    int err;

    if (options.classes || options.counters) {
        fprintf(stderr, "ebb heap: %s (pid %d) is on glibc, which has neither --classes nor --counters\n",
                target->name, (int)target->pid);
        return EBB_EXIT_USAGE;
    }
    err = ebb__heap_glibc_open(&heap, target);
    heap.inner = inner;
    if (err == 0) {
        status = look_again_and_again(emit, &heap);
    } else if (err == -EOPNOTSUPP) {
        fprintf(stderr, "ebb heap: %s (pid %d) is on glibc, %s\n", target->name, (int)target->pid, heap.why);
        status = EBB_EXIT_FAILED;
    } else {
        status = ebb__target_failed(target, err);
    }
    ebb__heap_glibc_close(&heap);
    return status;
}

/* ---- whichever it is ---- */

static int report_without_page(struct ebb_emit *emit, const struct ebb_target *target)
{
    struct ebb_proc_allocator *allocator;
    int status;

    if (ebb__proc_allocator_find(target->pid, &allocator) != 0)
        return report_other(target);
    if (strcmp(allocator->name, "glibc") == 0)
        status = report_glibc(emit, target, allocator->inner);
    else if (ebb__heap_other_knows(allocator->name))
        status = ebb__heap_other(emit, target, allocator->name, allocator->evidence);
    else
        status = report_other(target);
    free(allocator);
    return status;
}

static int report(struct ebb_emit *emit, const struct ebb_target *target)
{
    struct ebb_page page;
    int status;
    int err = ebb__page_find(target->pid, &page);

    if (err == 0) {
        status = report_page(target, &page);
        ebb__page_fini(&page);
        return status;
    }
    if (err == -ENOENT)
        return report_without_page(emit, target);
    if (err == -EBADMSG) {
        fprintf(stderr, "ebb heap: the stats page of %s (pid %d) is damaged\n", target->name,
                (int)target->pid);
        return EBB_EXIT_FAILED;
    }
    return ebb__target_failed(target, err);
}

int ebb__cmd_heap(int argc, char **argv)
{
    static struct ebb_emit emit;
    struct ebb_target target;
    int first;
    int status;

    if (!ebb__opt_parse(&ebb__spec_heap, argc, argv, &first, &status))
        return status;
    if (argc - first != 1)
        return ebb__opt_usage(&ebb__spec_heap, "which process? a pid, a name, or pidfile:PATH");
    if (options.watch_ms == 0)
        return ebb__opt_usage(&ebb__spec_heap, "--watch needs some time between two looks");
    if (ebb__emit_init(&emit, &ebb__spec_heap, &options.output) != EBB_EXIT_OK)
        return EBB_EXIT_USAGE;
    if (options.output.root != NULL)
        return ebb__opt_usage(&ebb__spec_heap, "--root: a captured tree has no memory to look into");
    status = ebb__target_find("heap", "", argv[first], &target);
    return status == EBB_EXIT_OK ? report(&emit, &target) : status;
}
