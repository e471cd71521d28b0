/* SPDX-License-Identifier: MIT
 *
 * ebb run: starts a program on the allocator and proves that it serves; or checks a process that runs
 * already.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "probe/probe.h"
#include "tool/child.h"
#include "tool/cmd.h"
#include "tool/image.h"
#include "tool/library.h"
#include "tool/run_limits.h"
#include "tool/run_report.h"
#include "tool/serve.h"
#include "tool/target.h"
#include "tool/why.h"

/* Exit statuses that env(1), nohup(1) and the shells use for a program that could not be started. */
enum { EXIT_NOT_EXECUTABLE = 126, EXIT_NOT_FOUND = 127 };

/* How long a program that is not served may take to end under --require before it is killed. */
#define TERMINATE_GRACE_MS 5000

/* Between two looks at a process that is only checked. */
#define CHECK_INTERVAL_US 50000

/* Delays between looks: short at first, for short-lived programs; then rare, for slow servers. */
static const long LOOK_DELAYS_US[] = {100,  100,  100,  100,  100,   100,   100,   100,
                                      1000, 2000, 5000, 5000, 10000, 20000, 50000, 100000};

static struct {
    const char *library;
    const char *malloc_options;
    struct ebb_run_limits limits;
    struct ebb_run_report_options report;
    long verify_timeout_ms;
    pid_t check_pid;
    bool require;
    bool verbose;
} options = {.verify_timeout_ms = 2000};

static const char *const SYNOPSIS[] = {"[OPTION...] [--] PROGRAM [ARGUMENT...]", "[OPTION...] --check PID",
                                       NULL};

static const struct ebb_opt ROWS[] = {
    {'l', "library", EBB_OPT_FILE, "PATH", "preload this library, not the one installed with ebb",
     &options.library},
    {'m', "malloc", EBB_OPT_TEXT, "OPTIONS", "set EBB_MALLOC, the allocator's options",
     &options.malloc_options},
    {'\0', "limit", EBB_OPT_TEXT, "SIZE", "above this free memory goes back before the program gets more",
     &options.limits.limit},
    {'\0', "hard-limit", EBB_OPT_TEXT, "SIZE", "above this requests for memory fail with ENOMEM",
     &options.limits.hard_limit},
    {'\0', "budget", EBB_OPT_TEXT, "cgroup:PERCENT%",
     "a --limit that follows the memory cgroup: this share of what it has room for", &options.limits.budget},
    {'\0', "report", EBB_OPT_FLAG, NULL,
     "say at the end what it took, which limits it met and what went back", &options.report.show},
    {'\0', "report-file", EBB_OPT_FILE, "FILE", "write the same to a file, as one line of JSON",
     &options.report.file},
    {'r', "require", EBB_OPT_FLAG, NULL, "end the program and fail unless it is served", &options.require},
    {'t', "verify-timeout", EBB_OPT_DURATION, "TIME", "give the proof this long (default 2s)",
     &options.verify_timeout_ms},
    {'v', "verbose", EBB_OPT_FLAG, NULL, "say so when the program is served", &options.verbose},
    {'c', "check", EBB_OPT_PID, "PID", "check a running process; start nothing", &options.check_pid},
    {0},
};

const struct ebb_opt_spec ebb__spec_run = {
    .command = "run",
    .synopsis = SYNOPSIS,
    .rows = ROWS,
    .first_operand_ends = true,
    .completes_commands = true,
};

static long now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

/* ---- starting a program ----------------------------------------------------------------------------- */

enum outcome {
    PENDING,
    PROVEN,
    REFUTED,
    NEVER_SEEN, /* ended before it could be looked at */
};

struct run {
    const char *name; /* of the program, as in messages */
    struct ebb_library library;
    struct ebb_image image; /* of the program file, before it was started */
    struct ebb_child child;
    struct ebb_serve serve;
    struct ebb_run_report_file report;
    enum outcome outcome;
    char why[EBB_WHY_BYTES]; /* not, when it is refuted */
    long deadline_us;
    unsigned looks;
};

static void refute(struct run *run, const char *verdict, const char *why)
{
    run->outcome = REFUTED;
    snprintf(run->why, sizeof(run->why), "%s", why);
    fprintf(stderr, "ebb run: %s (pid %d) %s: %s\n", run->name, (int)run->child.pid, verdict, why);
    if (options.require)
        ebb__child_terminate(&run->child, TERMINATE_GRACE_MS);
}

static void proven(struct run *run)
{
    run->outcome = PROVEN;
    if (options.verbose)
        fprintf(stderr, "ebb run: %s (pid %d) is served by %s, counter %llu\n", run->name,
                (int)run->child.pid, run->serve.library, (unsigned long long)run->serve.count);
    ebb__serve_report_split(&run->serve, stderr, "ebb run: ", options.verbose);
}

/* Draws the conclusion from a look that cannot have another result later, or that was the last in time. */
static void conclude(struct run *run)
{
    struct ebb_image image;
    char why[EBB_WHY_BYTES];

    /* The program that runs by now may be another than the one that we started. */
    if (ebb__image_inspect_process(run->child.pid, &image) != 0)
        image = run->image;
    if (run->serve.state == EBB_SERVE_YES &&
        !ebb__image_obstacle(&image, &run->library.kind, why, sizeof(why))) {
        proven(run);
        return;
    }
    ebb__serve_settle(&run->serve);
    ebb__why_not(&run->serve, &image, &run->library.kind, why);
    /* What was found of a process that ended meanwhile is not worth anything. */
    ebb__child_poll(&run->child);
    if (!run->child.ended)
        refute(run, ebb__why_verdict(&run->serve, &image, &run->library.kind), why);
}

/* One look at the program, called by ebb__child_supervise(). */
static long look(void *context)
{
    struct run *run = context;
    enum ebb_serve_state state = ebb__serve_look(&run->serve);
    unsigned last = sizeof(LOOK_DELAYS_US) / sizeof(LOOK_DELAYS_US[0]) - 1;
    long left_us = run->deadline_us - now_us();
    long delay_us = LOOK_DELAYS_US[run->looks < last ? run->looks : last];
    bool final = state == EBB_SERVE_YES || state == EBB_SERVE_OVERRULED;

    run->looks++;
    if (state == EBB_SERVE_GONE)
        return -1;
    if (state == EBB_SERVE_DENIED)
        final = run->image.raises_privileges;
    if (state == EBB_SERVE_UNMAPPED)
        final = ebb__why_is_secure(run->child.pid);
    if (!final && left_us > 0)
        return delay_us < left_us ? delay_us : left_us;
    conclude(run);
    return -1;
}

/* Deals with what the program file tells before it is started. False when it must not be started. */
static bool decide_before(struct run *run, const char *path, bool *ret_preload)
{
    const char *what = run->library.has_counter ? "cannot be served" : "cannot be verified";
    char why[256];
    bool readable = ebb__image_inspect(path, &run->image) == 0;

    *ret_preload = !(readable && ebb__image_preload_breaks(&run->image));
    if (!readable || !ebb__image_obstacle(&run->image, &run->library.kind, why, sizeof(why))) {
        if (run->library.has_counter)
            return true;
        snprintf(why, sizeof(why),
                 "the library has no symbol " EBB_SERVE_COUNTER ", by which it could be seen to serve");
    }
    run->outcome = REFUTED;
    snprintf(run->why, sizeof(run->why), "%s", why);
    if (readable && run->image.by_script)
        fprintf(stderr, "ebb run: %s, which %s executes, %s: %s%s\n", run->name, run->image.path, what, why,
                *ret_preload ? "" : "; the library is left out");
    else
        fprintf(stderr, "ebb run: %s %s: %s%s\n", run->name, what, why,
                *ret_preload ? "" : "; the library is left out");
    return !options.require;
}

static int report_start_failure(const char *name, int err)
{
    fprintf(stderr, "ebb run: cannot execute %s: %s\n", name,
            err == -ENOENT && strchr(name, '/') == NULL ? "not found in PATH" : strerror(-err));
    return err == -ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}

static int run_program(char **argv)
{
    static struct run run;
    struct ebb_launch launch = {.argv = argv};
    char path[PATH_MAX];
    bool preload = true;
    int err;

    run.name = file_name(argv[0]);
    if (ebb__library_find(options.library, &run.library) != 0)
        return EBB_EXIT_FAILED;
    err = ebb__child_find_program(argv[0], path, sizeof(path));
    if (err != 0)
        return report_start_failure(argv[0], err);
    if (access(path, X_OK) == 0 && !decide_before(&run, path, &preload))
        return EBB_EXIT_FAILED;
    if (ebb__run_report_open(&run.report, &options.report) != EBB_EXIT_OK)
        return EBB_EXIT_FAILED;
    ebb__run_report_launch(&run.report, &launch);
    launch.malloc_options = ebb__run_limits_join(&options.limits, options.malloc_options);
    launch.path = path;
    launch.is_binary = run.image.is_elf && !run.image.by_script;
    launch.library = preload ? run.library.path : NULL;
    err = ebb__child_start(&launch, &run.child);
    if (err != 0)
        return report_start_failure(argv[0], err);
    ebb__run_report_started(&run.report, run.child.pid);

    run.serve.pid = run.child.pid;
    run.serve.library_dev = run.library.dev;
    run.serve.library_ino = run.library.ino;
    run.deadline_us = now_us() + options.verify_timeout_ms * 1000;
    ebb__child_supervise(&run.child, run.outcome == PENDING ? look : NULL, &run);

    if (run.outcome == PENDING) {
        run.outcome = NEVER_SEEN;
        fprintf(stderr, "ebb run: %s (pid %d) ended before it could be verified\n", run.name,
                (int)run.child.pid);
    }
    ebb__run_report_finish(&run.report, &options.report, &ebb__spec_run, run.name, &run.child,
                           run.outcome == REFUTED ? run.why : NULL);
    if (options.require && run.outcome != PROVEN)
        return EBB_EXIT_FAILED;
    return ebb__child_exit_like(&run.child);
}

/* ---- checking a process ----------------------------------------------------------------------------- */

static int report_served(const struct ebb_serve *serve, const char *name)
{
    if (serve->count != serve->first_count)
        printf("%s (pid %d) is served by %s, counter %llu, risen by %llu meanwhile\n", name, (int)serve->pid,
               serve->library, (unsigned long long)serve->count,
               (unsigned long long)(serve->count - serve->first_count));
    else
        printf("%s (pid %d) is served by %s, counter %llu, at rest for %ld ms\n", name, (int)serve->pid,
               serve->library, (unsigned long long)serve->count, options.verify_timeout_ms);
    ebb__serve_report_split(serve, stdout, "", options.verbose);
    return EBB_EXIT_OK;
}

/* Looks until the counter has been seen to rise, or the time is over. */
static void check_looks(struct ebb_serve *serve)
{
    long deadline_us = now_us() + options.verify_timeout_ms * 1000;
    long left_us;

    do {
        enum ebb_serve_state state = ebb__serve_look(serve);

        if (state != EBB_SERVE_YES && state != EBB_SERVE_UNUSED)
            return;
        if (state == EBB_SERVE_YES && serve->count != serve->first_count)
            return;
        left_us = deadline_us - now_us();
        if (left_us > 0)
            usleep((useconds_t)(left_us < CHECK_INTERVAL_US ? left_us : CHECK_INTERVAL_US));
    } while (left_us > 0);
}

static int check_process(void)
{
    static struct ebb_serve serve;
    static struct ebb_image image;
    struct ebb_library library;
    char name[EBB_STATUS_NAME_BYTES];
    char why[EBB_WHY_BYTES];
    bool has_obstacle;

    serve.pid = options.check_pid;
    serve.any_library = options.library == NULL;
    if (!serve.any_library) {
        if (ebb__library_find(options.library, &library) != 0)
            return EBB_EXIT_FAILED;
        serve.library_dev = library.dev;
        serve.library_ino = library.ino;
    }
    if (kill(serve.pid, 0) != 0 && errno == ESRCH) {
        fprintf(stderr, "ebb run: there is no process %d\n", (int)serve.pid);
        return EBB_EXIT_NO_TARGET;
    }
    ebb__target_name("", serve.pid, name, sizeof(name));
    has_obstacle = ebb__image_inspect_process(serve.pid, &image) == 0 &&
                   ebb__image_obstacle(&image, &ebb__image_our_kind, why, sizeof(why));
    if (has_obstacle)
        ebb__serve_look(&serve);
    else
        check_looks(&serve);
    if (serve.state == EBB_SERVE_YES && !has_obstacle)
        return report_served(&serve, name);
    ebb__serve_settle(&serve);
    ebb__why_not(&serve, &image, &ebb__image_our_kind, why);
    printf("%s (pid %d) %s: %s\n", name, (int)serve.pid,
           ebb__why_verdict(&serve, &image, &ebb__image_our_kind), why);
    return EBB_EXIT_FAILED;
}

int ebb__cmd_run(int argc, char **argv)
{
    char why[EBB_WHY_BYTES];
    int first;
    int status;

    if (!ebb__opt_parse(&ebb__spec_run, argc, argv, &first, &status))
        return status;
    if (options.check_pid != 0) {
        if (first != argc)
            return ebb__opt_usage(&ebb__spec_run, "--check starts nothing, so it takes no program");
        if (options.require || options.malloc_options != NULL || options.limits.limit != NULL ||
            options.limits.hard_limit != NULL || options.limits.budget != NULL || options.report.show ||
            options.report.file != NULL)
            return ebb__opt_usage(
                &ebb__spec_run,
                "--check does not go with --require, --malloc, limits and reports: it starts nothing");
        return check_process();
    }
    if (first == argc)
        return ebb__opt_usage(&ebb__spec_run, "which program?");
    if (ebb__run_limits_check(&options.limits, why, sizeof(why)) != NULL)
        return ebb__opt_usage(&ebb__spec_run, "%s", why);
    return run_program(argv + first);
}
