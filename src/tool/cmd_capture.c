/* SPDX-License-Identifier: MIT
 *
 * ebb capture: writes the facts of this host into a tree that every command reads with --root.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "model/units.h"
#include "probe/probe.h"
#include "tool/capture.h"
#include "tool/cmd.h"
#include "tool/target.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* More would not be written on a command line. */
#define PIDS_MAX 256

/* Reading smaps_rollup walks all pages of a process, some 20 ms for each GiB: above this it is left out without --deep. */
#define PAGES_MAX_BYTES (UINT64_C(8) << 30)
#define MS_FOR_EACH_GIB 21

#define KTHREADD_PID 2

enum when { ALWAYS, PAGES, DEEP, CMDLINE };

static const char *const FILES[] = {
#define EBB_CAPTURE_FILE(path) path,
#include "tool/capture.def"
#undef EBB_CAPTURE_FILE
};

static const char *const FOLDERS[] = {
#define EBB_CAPTURE_FOLDER(path) path,
#include "tool/capture.def"
#undef EBB_CAPTURE_FOLDER
};

static const struct {
    const char *folder;
    const char *name;
    const char *file;
} EACHES[] = {
#define EBB_CAPTURE_EACH(folder, name, file) {folder, name, file},
#include "tool/capture.def"
#undef EBB_CAPTURE_EACH
};

static const struct {
    const char *file;
    enum when when;
} OF_PROCESSES[] = {
#define EBB_CAPTURE_PROCESS(file, when) {file, when},
#include "tool/capture.def"
#undef EBB_CAPTURE_PROCESS
};

static const char *const OF_CGROUPS[] = {
#define EBB_CAPTURE_CGROUP(file) file,
#include "tool/capture.def"
#undef EBB_CAPTURE_CGROUP
};

/* Files of /proc/sys/vm that do something when they are read, or hold nothing. */
static const char *const NOT_READ[] = {"stat_refresh", "compact_memory", "drop_caches"};

static struct {
    const char *pids;
    bool deep;
    bool cmdline;
} options;

static const char *const SYNOPSIS[] = {"[--cmdline] [--deep] [--pid PID[,PID...]] DIR [TARGET...]", NULL};

static const struct ebb_opt ROWS[] = {
    {'p', "pid", EBB_OPT_TEXT, "PID[,PID...]", "only these processes, and those that are named after DIR",
     &options.pids},
    {'\0', "deep", EBB_OPT_FLAG, NULL, "also smaps, which takes long for large processes", &options.deep},
    {'\0', "cmdline", EBB_OPT_FLAG, NULL, "also command lines, which may hold passwords", &options.cmdline},
    {0},
};

const struct ebb_opt_spec ebb__spec_capture = {
    .command = "capture",
    .synopsis = SYNOPSIS,
    .rows = ROWS,
};

static struct ebb_capture capture = {.folder = -1};
static struct ebb_cgroup_tree tree;

static volatile sig_atomic_t interrupted;

static void note_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

/* ---- progress ---- */

static struct timespec started;
static long shown_s;

/* After the first second, a line each second. */
static void show_progress(const char *what, uint64_t done)
{
    struct timespec now;
    long passed_s;

    clock_gettime(CLOCK_MONOTONIC, &now);
    passed_s = now.tv_sec - started.tv_sec - (now.tv_nsec < started.tv_nsec);
    if (passed_s <= shown_s)
        return;
    shown_s = passed_s;
    fprintf(stderr, "ebb capture: %" PRIu64 " %s, %" PRIu64 " files so far\n", done, what,
            capture.file_count);
}

/* ---- the host ---- */

static bool never(int err)
{
    (void)err;
    return false;
}

/* What ends while we look, and what other kernels do not have. */
static bool is_gone(int err)
{
    return err == -ENOENT || err == -ESRCH || err == -ENODEV;
}

static bool is_read(const char *name)
{
    for (unsigned i = 0; i < COUNT(NOT_READ); i++)
        if (strcmp(name, NOT_READ[i]) == 0)
            return false;
    return true;
}

/* Copies each regular file of a folder that is there to be read. */
static int copy_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    int err = 0;

    if (dir == NULL) {
        ebb__capture_leave_out(&capture, folder, -errno);
        return 0;
    }
    while (err == 0 && (entry = readdir(dir)) != NULL) {
        char path[EBB_PROC_PATH_BYTES];
        struct stat st;

        if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode) ||
            (st.st_mode & S_IRUSR) == 0 || !is_read(entry->d_name))
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        err = ebb__capture_file(&capture, path, never);
    }
    closedir(dir);
    return err;
}

/* Copies FOLDER/NAME.../FILE. */
static int copy_each(const char *folder, const char *name, const char *file)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    int err = 0;

    if (dir == NULL)
        return 0;
    while (err == 0 && (entry = readdir(dir)) != NULL) {
        char path[EBB_PROC_PATH_BYTES];
        const char *number = entry->d_name + strlen(name);

        if (strncmp(entry->d_name, name, strlen(name)) != 0 || *number < '0' || *number > '9')
            continue;
        snprintf(path, sizeof(path), "%s/%s/%s", folder, entry->d_name, file);
        err = ebb__capture_file(&capture, path, is_gone);
    }
    closedir(dir);
    return err;
}

static int copy_host(void)
{
    int err = 0;

    for (unsigned i = 0; i < COUNT(FILES) && err == 0; i++)
        err = ebb__capture_file(&capture, FILES[i], never);
    for (unsigned i = 0; i < COUNT(FOLDERS) && err == 0; i++)
        err = copy_folder(FOLDERS[i]);
    for (unsigned i = 0; i < COUNT(EACHES) && err == 0; i++)
        err = copy_each(EACHES[i].folder, EACHES[i].name, EACHES[i].file);
    return err;
}

/* ---- memory cgroups ---- */

static int copy_cgroup(const char *path, void *context)
{
    uint64_t *count = context;
    char file[EBB_PROC_PATH_BYTES];
    struct stat st;
    int err = 0;

    for (unsigned i = 0; i < COUNT(OF_CGROUPS) && err == 0; i++) {
        if (ebb__cgroup_file(&tree, path, OF_CGROUPS[i], file, sizeof(file)) != 0)
            continue;
        /* With some processes only, they share most of their parents. */
        if (fstatat(capture.folder, file + 1, &st, 0) == 0)
            continue;
        err = ebb__capture_file(&capture, file, is_gone);
    }
    show_progress("cgroups", ++*count);
    return err != 0 ? err : interrupted ? -EINTR : 0;
}

/* The cgroup of a process and all above it. */
static int copy_cgroups_of(pid_t pid, uint64_t *count)
{
    char path[EBB_CGROUP_PATH_BYTES];
    int err = ebb__cgroup_path_read("", pid, &tree, path, sizeof(path));

    if (err != 0)
        return 0;
    do
        err = copy_cgroup(path, count);
    while (err == 0 && ebb__cgroup_parent(path));
    return err;
}

static int copy_cgroups(const pid_t *pids, unsigned pid_count)
{
    uint64_t count = 0;
    int err = ebb__cgroup_tree_read("", &tree);

    if (err != 0 || tree.version == 0) {
        ebb__capture_leave_out(&capture, "/sys/fs/cgroup", err != 0 ? err : -ENODATA);
        return 0;
    }
    if (tree.unified[0] != '\0') {
        char path[EBB_PROC_PATH_BYTES];

        /* Whoever reads the tree must see here that version 2 has no memory controller. */
        snprintf(path, sizeof(path), "%s/cgroup.controllers", tree.unified);
        err = ebb__capture_file(&capture, path, is_gone);
        if (err != 0)
            return err;
    }
    if (pid_count == 0) {
        err = ebb__cgroup_walk("", &tree, copy_cgroup, &count);
        return is_gone(err) ? 0 : err;
    }
    for (unsigned i = 0; i < pid_count && err == 0; i++)
        err = copy_cgroups_of(pids[i], &count);
    return err;
}

/* ---- processes ---- */

static uint64_t rss_of(pid_t pid)
{
    struct ebb_status status;

    if (ebb__status_read("", pid, &status) != 0 || !ebb__status_has(&status, EBB_STATUS_VM_RSS))
        return 0;
    return status.vm_rss_bytes;
}

static int copy_process(pid_t pid)
{
    uint64_t rss_bytes = rss_of(pid);
    int err = 0;

    for (unsigned i = 0; i < COUNT(OF_PROCESSES) && err == 0; i++) {
        char path[64];
        enum when when = OF_PROCESSES[i].when;

        if ((when == DEEP && !options.deep) || (when == CMDLINE && !options.cmdline))
            continue;
        snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, OF_PROCESSES[i].file);
        if (when == PAGES && !options.deep && rss_bytes > PAGES_MAX_BYTES)
            ebb__capture_leave_out(&capture, path, -EINPROGRESS);
        else
            err = ebb__capture_file(&capture, path, is_gone);
    }
    return err;
}

/* The kernel's own first thread, which nobody names: by it a reader tells a host from a container, which has none. */
static int copy_kthreadd(void)
{
    struct ebb_stat stat;

    if (ebb__stat_read("", KTHREADD_PID, &stat) != 0 || (stat.flags & EBB_STAT_KTHREAD) == 0)
        return 0;
    return copy_process(KTHREADD_PID);
}

static int copy_processes(const pid_t *pids, unsigned pid_count)
{
    struct ebb_procs procs;
    uint64_t done = 0;
    pid_t pid;
    int err = 0;

    for (unsigned i = 0; i < pid_count && err == 0; i++)
        err = interrupted ? -EINTR : copy_process(pids[i]);
    if (pid_count != 0 && err == 0)
        err = copy_kthreadd();
    if (pid_count != 0 || err != 0)
        return err;
    err = ebb__procs_open(&procs, "");
    if (err != 0)
        return err;
    while (err == 0 && (pid = ebb__procs_next(&procs)) != 0) {
        err = interrupted ? -EINTR : copy_process(pid);
        show_progress("processes", ++done);
    }
    ebb__procs_close(&procs);
    return err;
}

/* Says beforehand how long --deep will take. */
static void estimate(const pid_t *pids, unsigned pid_count)
{
    struct ebb_procs procs;
    uint64_t rss_bytes = 0;
    char size[EBB_UNITS_BYTES];
    char time[EBB_UNITS_BYTES];
    pid_t pid;

    for (unsigned i = 0; i < pid_count; i++)
        rss_bytes += rss_of(pids[i]);
    if (pid_count == 0 && ebb__procs_open(&procs, "") == 0) {
        while ((pid = ebb__procs_next(&procs)) != 0)
            rss_bytes += rss_of(pid);
        ebb__procs_close(&procs);
    }
    /* smaps and smaps_rollup: twice. */
    fprintf(stderr, "ebb capture: reading the pages of %s, %s, takes about %s\n",
            pid_count == 0 ? "all processes" : "the chosen processes", ebb__units_bytes(rss_bytes, size),
            ebb__units_ms(2 * MS_FOR_EACH_GIB * (rss_bytes >> 20) / 1024 + 1, time));
}

/* ---- the kernel's log ---- */

/* Larger than the kernel's buffer is in practice; memory is taken as it is used. */
#define LOG_BYTES ((size_t)64 << 20)

static int log_error;

/* The whole log may hold what programs have written there: only what tells of kills is copied. */
static int copy_log(void)
{
    char *text = malloc(LOG_BYTES);
    size_t len = 0;
    int err = 0;

    if (text == NULL)
        return -ENOMEM;
    log_error = ebb__oom_log_read("", text, LOG_BYTES, &len);
    if (log_error == -EMSGSIZE)
        log_error = 0; /* the end is missing; what fits has kills too */
    if (log_error == 0) {
        len = ebb__oom_log_keep_kills(text, len);
        err = ebb__capture_text(&capture, "/dev/kmsg", text, len);
        capture.file_count++;
        capture.bytes += len;
    }
    free(text);
    return err;
}

static void put_log_of_manifest(FILE *stream)
{
    if (log_error == -EPERM || log_error == -EACCES)
        fputs("left out: dev/kmsg: the kernel's log may not be read: it needs CAP_SYSLOG\n", stream);
    else if (log_error != 0)
        fprintf(stream, "left out: dev/kmsg: %s\n", ebb__fact_why(ebb__fact_unknown(log_error)));
    else
        fputs("dev/kmsg: only what tells of kills for memory\n", stream);
}

/* ---- the manifest ---- */

static int write_manifest(void)
{
    struct ebb_host host;
    char *text = NULL;
    size_t len = 0;
    FILE *stream = open_memstream(&text, &len);
    char time_text[32];
    time_t now = time(NULL);
    struct tm utc;
    int err;

    if (stream == NULL)
        return -errno;
    ebb__host_read("", &host);
    gmtime_r(&now, &utc);
    strftime(time_text, sizeof(time_text), "%Y-%m-%dT%H:%M:%SZ", &utc);
    fprintf(stream, "ebb capture 1\ntime: %s\nhost: %s\nkernel: %s\nmachine: %s\n", time_text, host.name,
            host.release, host.machine);
    fprintf(stream, "page_bytes: %" PRIu64 "\nclock_ticks: %" PRIu64 "\nprocessors: %" PRIu64 "\n",
            host.page_bytes.value, host.clock_ticks.value, host.processors.value);
    fprintf(stream, "ebb: %s\nuser: %u\n", EBB_VERSION, (unsigned)geteuid());
    if (!options.cmdline)
        fputs("left out: command lines, which may hold passwords (--cmdline)\n", stream);
    if (!options.deep)
        fputs("left out: smaps of processes (--deep)\n", stream);
    put_log_of_manifest(stream);
    if (capture.left_out_stream != NULL) {
        fflush(capture.left_out_stream);
        fwrite(capture.left_out, 1, capture.left_out_bytes, stream);
    }
    err = fclose(stream) == 0 ? ebb__capture_text(&capture, EBB_HOST_MANIFEST, text, len) : -ENOMEM;
    free(text);
    return err;
}

/* ---- the command ---- */

/* The folder's name without slashes at its end, and that of what becomes it. */
struct place {
    char path[4096];
    char growing[4096 + 8];
};

static int fail(const char *path, const char *why)
{
    fprintf(stderr, "ebb capture: %s: %s\n", path, why);
    return EBB_EXIT_FAILED;
}

/* A folder that is there must be empty: nothing is overwritten. */
static int check_place(const char *text, struct place *place)
{
    size_t len = strlen(text);
    DIR *dir;
    unsigned count = 0;

    while (len > 1 && text[len - 1] == '/')
        len--;
    if (len == 0 || len >= sizeof(place->path))
        return ebb__opt_usage(&ebb__spec_capture, "'%s' is not a folder's name", text);
    snprintf(place->path, sizeof(place->path), "%.*s", (int)len, text);
    snprintf(place->growing, sizeof(place->growing), "%s.tmp", place->path);
    dir = opendir(place->path);
    if (dir == NULL)
        return errno == ENOENT ? EBB_EXIT_OK : fail(place->path, strerror(errno));
    while (count <= 2 && readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count <= 2 ? EBB_EXIT_OK
                      : fail(place->path, "is there already, and not empty; nothing was written");
}

static bool is_taken(const pid_t *pids, unsigned count, pid_t pid)
{
    for (unsigned i = 0; i < count; i++)
        if (pids[i] == pid)
            return true;
    return false;
}

/* Adds the processes that a target names, each once. */
static int add_target(const char *text, pid_t *pids, unsigned *count)
{
    struct ebb_target_list list;
    int status = ebb__target_find_all("capture", "", text, &list);

    if (status != EBB_EXIT_OK)
        return status;
    for (size_t i = 0; i < list.count && status == EBB_EXIT_OK; i++) {
        if (is_taken(pids, *count, list.pids[i]))
            continue;
        if (*count == PIDS_MAX)
            status = ebb__opt_usage(&ebb__spec_capture, "more than %d processes: leave them out for all",
                                    PIDS_MAX);
        else
            pids[(*count)++] = list.pids[i];
    }
    free(list.pids);
    return status;
}

/* From --pid 1,2 and what follows DIR. */
static int take_pids(int argc, char **argv, pid_t *pids, unsigned *count)
{
    const char *at = options.pids;
    int status = EBB_EXIT_OK;

    while (at != NULL && status == EBB_EXIT_OK) {
        char word[32];
        size_t len = strcspn(at, ",");

        if (len == 0 || len >= sizeof(word) || strspn(at, "0123456789") != len)
            return ebb__opt_usage(&ebb__spec_capture, "--pid: '%s' is not a list of process ids",
                                  options.pids);
        snprintf(word, sizeof(word), "%.*s", (int)len, at);
        status = add_target(word, pids, count);
        at = at[len] == ',' ? at + len + 1 : NULL;
    }
    for (int i = 0; i < argc && status == EBB_EXIT_OK; i++)
        status = add_target(argv[i], pids, count);
    return status;
}

static int copy_all(const pid_t *pids, unsigned pid_count)
{
    int err = copy_host();

    if (err == 0)
        err = copy_cgroups(pids, pid_count);
    if (err == 0)
        err = copy_processes(pids, pid_count);
    if (err == 0)
        err = copy_log();
    if (err == 0)
        err = write_manifest();
    if (capture.left_out_stream != NULL)
        fclose(capture.left_out_stream);
    free(capture.left_out);
    return err == 0 && interrupted ? -EINTR : err;
}

static int carry_out(const struct place *place, const pid_t *pids, unsigned pid_count)
{
    char size[EBB_UNITS_BYTES];
    int err;

    if (mkdir(place->growing, 0700) != 0)
        return fail(place->growing, errno == EEXIST
                                        ? "is there already, from a capture that runs or was ended; remove it"
                                        : strerror(errno));
    capture.folder = open(place->growing, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    err = capture.folder < 0 ? -errno : copy_all(pids, pid_count);
    if (capture.folder >= 0)
        close(capture.folder);
    if (err == 0 && rename(place->growing, place->path) != 0)
        err = -errno;
    if (err != 0) {
        ebb__capture_remove(place->growing);
        return fail(place->path, err == -EINTR ? "interrupted; nothing was left behind" : strerror(-err));
    }
    printf("%s: %" PRIu64 " files, %s", place->path, capture.file_count,
           ebb__units_bytes(capture.bytes, size));
    if (capture.left_out_count != 0)
        printf("; %" PRIu64 " could not be read (see its MANIFEST)", capture.left_out_count);
    putchar('\n');
    return EBB_EXIT_OK;
}

int ebb__cmd_capture(int argc, char **argv)
{
    static pid_t pids[PIDS_MAX];
    struct sigaction action = {.sa_handler = note_interrupt};
    struct place place;
    unsigned pid_count = 0;
    int first;
    int status;

    if (!ebb__opt_parse(&ebb__spec_capture, argc, argv, &first, &status))
        return status;
    if (first == argc)
        return ebb__opt_usage(&ebb__spec_capture, "into which folder?");
    status = check_place(argv[first], &place);
    if (status == EBB_EXIT_OK)
        status = take_pids(argc - first - 1, argv + first + 1, pids, &pid_count);
    if (status != EBB_EXIT_OK)
        return status;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    clock_gettime(CLOCK_MONOTONIC, &started);
    umask(077);
    if (options.deep)
        estimate(pids, pid_count);
    return carry_out(&place, pids, pid_count);
}
