/* SPDX-License-Identifier: MIT
 *
 * The report of ebb run: the memory file, and what is known at the end; see run_report.h.
 */
#include "tool/run_report.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tool/cmd.h"

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- before ---- */

/* Above the standard descriptors, which may be closed and must stay so for the program. */
static int raise_fd(int fd)
{
    int high;

    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    high = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    close(fd);
    return high;
}

/* Since Linux 6.3, where a host may refuse those that could be executed (vm.memfd_noexec). */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

static int make_memory_file(void)
{
    int fd = memfd_create("ebb-report", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

    if (fd < 0 && errno == EINVAL)
        fd = memfd_create("ebb-report", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd;
}

/* Under a limit on the size of files (ulimit -f) that is an error, and none of the program's signals. */
static int give_size(int fd)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction before;
    int err;

    sigaction(SIGXFSZ, &ignore, &before);
    err = ftruncate(fd, (off_t)EBB_REPORT_BYTES) == 0 ? 0 : -errno;
    sigaction(SIGXFSZ, &before, NULL);
    return err;
}

/* Nobody can make it shorter, so that touching it kills nobody. */
static int make_file(struct ebb_run_report_file *report)
{
    struct ebb_report_name name = {.pid = (uint32_t)getpid()};
    struct ebb_report_header header = {.version = 0};
    int err;

    if (getrandom(&name.cookie, sizeof(name.cookie), GRND_NONBLOCK) != sizeof(name.cookie))
        name.cookie = now_ms() << 20 ^ name.pid;
    report->fd = raise_fd(make_memory_file());
    if (report->fd < 0)
        return -errno;
    err = give_size(report->fd);
    if (err != 0)
        return err;
    if (fcntl(report->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        return -errno;
    ebb__wire_report_begin(&header, name.cookie);
    if (pwrite(report->fd, &header, sizeof(header), 0) != sizeof(header))
        return -ENOSPC;
    name.fd = (uint32_t)report->fd;
    ebb__wire_report_name(&name, report->name);
    return 0;
}

int ebb__run_report_open(struct ebb_run_report_file *report, const struct ebb_run_report_options *options)
{
    memset(report, 0, sizeof(*report));
    report->fd = report->out_fd = -1;
    report->wanted = options->show || options->file != NULL;
    if (!report->wanted)
        return EBB_EXIT_OK;
    if (options->file != NULL) {
        report->out_fd =
            raise_fd(open(options->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666));
        if (report->out_fd < 0) {
            fprintf(stderr, "ebb run: cannot write the report to %s: %s\n", options->file, strerror(errno));
            return EBB_EXIT_FAILED;
        }
    }
    report->err = make_file(report);
    return EBB_EXIT_OK;
}

void ebb__run_report_launch(const struct ebb_run_report_file *report, struct ebb_launch *launch)
{
    launch->kept_fds[0] = report->fd;
    launch->kept_fds[1] = report->out_fd;
    launch->report = report->wanted && report->err == 0 ? report->name : NULL;
}

static struct ebb_fact count_kills(const struct ebb_run_report_file *report)
{
    static struct ebb_cgroup cgroup;
    int err = ebb__cgroup_read("", &report->tree, report->cgroup, &cgroup);

    return err == 0 ? cgroup.oom_kills : ebb__fact_unknown(err);
}

void ebb__run_report_started(struct ebb_run_report_file *report, pid_t pid)
{
    struct rusage own;

    if (!report->wanted)
        return;
    report->start_ms = now_ms();
    if (getrusage(RUSAGE_SELF, &own) == 0)
        report->own_peak_bytes = (uint64_t)own.ru_maxrss * 1024;
    if (ebb__cgroup_tree_read("", &report->tree) != 0 || report->tree.version == 0 ||
        ebb__cgroup_path_read("", pid, &report->tree, report->cgroup, sizeof(report->cgroup)) != 0)
        report->cgroup[0] = '\0';
    if (report->cgroup[0] != '\0')
        report->kills_then = count_kills(report);
}

/* ---- after ---- */

/* Why there is nothing of the program's own, as far as can be told from here. */
static const char *why_none(const struct ebb_run_report_file *report, const struct ebb_run_report *all,
                            const char *why_not)
{
    if (report->err != 0)
        return "no memory file could be made for it";
    if (all->own_count != 0)
        return NULL;
    if (why_not != NULL)
        return why_not;
    if (all->damaged != 0)
        return "what it left is damaged";
    if (all->opened == 0)
        return "no library of ebb's took part: it was not loaded, or is an older one, or may not open ours "
               "(another user, raised "
               "privileges, no /proc)";
    return "the program that took part first left nothing";
}

static void collect(const struct ebb_run_report_file *report, const char *why_not,
                    struct ebb_run_ending *ending)
{
    struct ebb_report_view view;
    void *copy = report->err == 0 ? malloc(EBB_REPORT_BYTES) : NULL;

    if (copy != NULL) {
        /* Descendants may still be writing. What is not there yet stays a hole: reading takes no memory for it. */
        ssize_t got = pread(report->fd, copy, EBB_REPORT_BYTES, 0);

        if (got > 0 && ebb__wire_report_decode(copy, (size_t)got, &view) == 0)
            ebb__run_report_order(&view, &ending->all);
        else
            ending->all.damaged = 1;
    }
    ending->why = why_none(report, &ending->all, why_not);
}

static void note_kernel(const struct ebb_run_report_file *report, const struct ebb_child *child,
                        struct ebb_run_ending *ending)
{
    struct ebb_fact kills = report->cgroup[0] != '\0' ? count_kills(report) : ebb__fact_unknown(-ENODATA);

    ending->peak_bytes = (uint64_t)child->usage.ru_maxrss * 1024;
    ending->peak_is_bound = ending->peak_bytes <= report->own_peak_bytes;
    ending->kills_known = kills.known && report->kills_then.known && kills.value >= report->kills_then.value;
    if (ending->kills_known)
        ending->kills = kills.value - report->kills_then.value;
}

static void print_to(FILE *stream, const struct ebb_opt_spec *spec, bool json,
                     const struct ebb_run_ending *ending)
{
    static struct ebb_emit emit;
    const struct ebb_output output = {.json = json};

    if (stream == NULL || ebb__emit_init(&emit, spec, &output) != EBB_EXIT_OK)
        return;
    emit.stream = stream;
    ebb__emit_begin(&emit);
    if (json)
        ebb__run_report_rows(&emit, ending);
    else
        ebb__run_report_show(&emit, ending);
    ebb__emit_end(&emit);
}

/* Says so when the file did not take it: who reads it later finds none. */
static void print_json(int fd, const char *name, const struct ebb_opt_spec *spec,
                       const struct ebb_run_ending *ending)
{
    FILE *stream = fdopen(fd, "w");

    print_to(stream, spec, true, ending);
    if (stream == NULL || ferror(stream) != 0 || fclose(stream) != 0)
        fprintf(stderr, "ebb run: the report was not written to %s: %s\n", name, strerror(errno));
}

void ebb__run_report_finish(struct ebb_run_report_file *report, const struct ebb_run_report_options *options,
                            const struct ebb_opt_spec *spec, const char *program,
                            const struct ebb_child *child, const char *why_not)
{
    static struct ebb_run_ending ending;

    if (!report->wanted)
        return;
    ending.program = program;
    ending.pid = child->pid;
    ending.wait_status = child->wait_status;
    ending.ended_ms = now_ms();
    ending.mount = report->tree.version != 0 ? report->tree.mount : "";
    ending.ran_ms = ending.ended_ms - report->start_ms;
    note_kernel(report, child, &ending);
    collect(report, why_not, &ending);
    if (options->show)
        print_to(stderr, spec, false, &ending);
    if (report->out_fd >= 0)
        print_json(report->out_fd, options->file, spec, &ending);
}
