/* SPDX-License-Identifier: MIT
 *
 * The process that a command is about; see target.h.
 */
#include "tool/target.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probe/scan.h"
#include "tool/cmd.h"
#include "tool/target_group.h"
#include "tool/utf8.h"

/* The kernel keeps 15 bytes of a name. */
#define COMM_LEN 15

/* Of the processes with the same name that a message lists. */
#define LISTED_MAX 8

static const char PIDFILE[] = "pidfile:";

/* In place: a text never grows by it. */
static void make_printable(char *text)
{
    char *to = text;

    while (*text != '\0') {
        bool shown;
        unsigned len = ebb__utf8_step(text, &shown);

        if (shown)
            memmove(to, text, len);
        else
            *to = '?';
        to += shown ? len : 1;
        text += len;
    }
    *to = '\0';
}

void ebb__target_print(const char *text)
{
    while (*text != '\0') {
        bool shown;
        unsigned len = ebb__utf8_step(text, &shown);

        if (shown)
            fwrite(text, 1, len, stderr);
        else
            fputc('?', stderr);
        text += len;
    }
}

void ebb__target_name(const char *root, pid_t pid, char *ret_name, size_t name_bytes)
{
    struct ebb_status status;

    if (ebb__status_read(root, pid, &status) == 0 && ebb__status_has(&status, EBB_STATUS_NAME))
        snprintf(ret_name, name_bytes, "%s", status.name);
    else
        snprintf(ret_name, name_bytes, "process");
    make_printable(ret_name);
}

/* True for what is left of a process. One whose first thread alone has ended still has its memory. */
static bool has_ended(const struct ebb_status *status)
{
    bool more = ebb__status_has(status, EBB_STATUS_THREADS) && status->threads > 1;

    return ebb__status_has(status, EBB_STATUS_STATE) && strchr("ZX", status->state) != NULL && !more;
}

/* ---- by number ---- */

/* A number that may be a process's, alone in a text. */
static bool parse_pid(const char *text, const char *end, pid_t *ret_pid)
{
    struct ebb_scan scan = {.at = text, .end = end};
    uint64_t value;

    if (!ebb__scan_dec(&scan, &value) || scan.at != scan.end || value == 0 || value > INT_MAX)
        return false;
    *ret_pid = (pid_t)value;
    return true;
}

/* A zombie: ps(1) lists it, so it must not be denied. */
static int report_zombie(const struct ebb_target *target, pid_t pid, const struct ebb_status *status)
{
    char name[EBB_STATUS_NAME_BYTES];

    ebb__target_name(target->root, pid, name, sizeof(name));
    fprintf(stderr, "ebb %s: process %d (%s) has ended and waits for its parent", target->command, (int)pid,
            name);
    if (ebb__status_has(status, EBB_STATUS_PPID))
        fprintf(stderr, " %" PRIu64, status->ppid);
    fputc('\n', stderr);
    return EBB_EXIT_NO_TARGET;
}

static int take_pid(struct ebb_target *target, pid_t pid, bool zombie_too)
{
    struct ebb_status status;
    int err = ebb__status_read(target->root, pid, &status);

    if (err != 0) {
        fprintf(stderr, "ebb %s: there is no process %d\n", target->command, (int)pid);
        return EBB_EXIT_NO_TARGET;
    }
    if (has_ended(&status) && !zombie_too)
        return report_zombie(target, pid, &status);
    target->pid = ebb__status_has(&status, EBB_STATUS_TGID) ? (pid_t)status.tgid : pid;
    ebb__target_name(target->root, target->pid, target->name, sizeof(target->name));
    return EBB_EXIT_OK;
}

static int take_pidfile(struct ebb_target *target, const char *path, bool zombie_too)
{
    char text[64];
    char *end;
    ssize_t got;
    pid_t pid;
    int err;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    err = errno;
    if (fd >= 0)
        close(fd);
    if (got < 0) {
        fprintf(stderr, "ebb %s: cannot read %s: %s\n", target->command, path, strerror(err));
        return EBB_EXIT_FAILED;
    }
    text[got] = '\0';
    end = text + strcspn(text, " \t\r\n");
    if (!parse_pid(text, end, &pid)) {
        fprintf(stderr, "ebb %s: %s does not begin with a process id\n", target->command, path);
        return EBB_EXIT_FAILED;
    }
    return take_pid(target, pid, zombie_too);
}

/* ---- by name ---- */

/* The file name of a process's first argument, as pidof(8) sees it. */
static bool first_argument_is(const char *root, pid_t pid, const char *name)
{
    char text[PATH_MAX];
    const char *slash;
    ssize_t got;
    int fd = ebb__proc_open(root, pid, "cmdline");

    if (fd < 0)
        return false;
    got = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (got <= 0)
        return false;
    text[got] = '\0';
    slash = strrchr(text, '/');
    return strcmp(slash == NULL ? text : slash + 1, name) == 0;
}

/* How processes are compared with a name, in the order in which it is tried. */
enum look {
    BY_NAME,     /* what the kernel calls it */
    BY_ARGUMENT, /* the first argument, which takes the address space lock of the process and can wait for it */
    ZOMBIES,     /* those that have ended keep their name, and no argument */
};

static bool has_name(const char *root, pid_t pid, const char *name, enum look how)
{
    struct ebb_status status;

    if ((root[0] == '\0' && pid == getpid()) || ebb__status_read(root, pid, &status) != 0 ||
        !ebb__status_has(&status, EBB_STATUS_NAME) || !ebb__status_has(&status, EBB_STATUS_STATE) ||
        has_ended(&status) != (how == ZOMBIES))
        return false;
    if (how == ZOMBIES)
        return strncmp(status.name, name, COMM_LEN) == 0;
    if (how == BY_ARGUMENT)
        return first_argument_is(root, pid, name);
    if (strlen(name) > COMM_LEN)
        return strncmp(status.name, name, COMM_LEN) == 0 && first_argument_is(root, pid, name);
    return strcmp(status.name, name) == 0;
}

struct found {
    pid_t pids[LISTED_MAX];
    unsigned count;
};

static int search(const char *root, const char *name, enum look how, struct found *found)
{
    struct ebb_procs procs;
    pid_t pid;
    int err = ebb__procs_open(&procs, root);

    if (err != 0)
        return err;
    while ((pid = ebb__procs_next(&procs)) != 0) {
        if (!has_name(root, pid, name, how))
            continue;
        if (found->count < LISTED_MAX)
            found->pids[found->count] = pid;
        found->count++;
    }
    ebb__procs_close(&procs);
    return 0;
}

static int take_name(struct ebb_target *target, const char *name, bool zombie_too)
{
    struct found found = {.count = 0};
    int err = 0;

    /* Programs may have given themselves another name. */
    for (enum look how = BY_NAME; how <= ZOMBIES && err == 0 && found.count == 0; how++)
        err = search(target->root, name, how, &found);
    if (err != 0) {
        fprintf(stderr, "ebb %s: cannot read /proc: %s\n", target->command, strerror(-err));
        return EBB_EXIT_FAILED;
    }
    if (found.count == 1)
        return take_pid(target, found.pids[0], zombie_too);
    if (found.count == 0) {
        fprintf(stderr, "ebb %s: there is no process with the name '%s'\n", target->command, name);
        return EBB_EXIT_NO_TARGET;
    }
    fprintf(stderr, "ebb %s: %u processes have the name '%s'; give the number of one:", target->command,
            found.count, name);
    for (unsigned i = 0; i < found.count && i < LISTED_MAX; i++)
        fprintf(stderr, " %d", (int)found.pids[i]);
    fprintf(stderr, "%s\n", found.count > LISTED_MAX ? " ..." : "");
    return EBB_EXIT_FAILED;
}

/* ---- by unit or cgroup ---- */

static int take_group(struct ebb_target *target, const char *text)
{
    struct ebb_target_group group;
    pid_t pid = 0;
    int status = ebb__target_group_find(target->command, target->root, text, &group);

    if (status != EBB_EXIT_OK)
        return status;
    status = ebb__target_group_main(&group, &pid);
    ebb__target_group_fini(&group);
    return status == EBB_EXIT_OK ? take_pid(target, pid, false) : status;
}

static int find(const char *command, const char *root, const char *text, bool zombie_too,
                struct ebb_target *ret_target)
{
    struct ebb_target target = {.command = command, .root = root};
    pid_t pid;
    int status;

    if (strncmp(text, PIDFILE, sizeof(PIDFILE) - 1) == 0)
        status = take_pidfile(&target, text + sizeof(PIDFILE) - 1, zombie_too);
    else if (ebb__target_is_group(text))
        status = take_group(&target, text);
    else if (parse_pid(text, text + strlen(text), &pid))
        status = take_pid(&target, pid, zombie_too);
    else
        status = take_name(&target, text, zombie_too);
    if (status == EBB_EXIT_OK)
        *ret_target = target;
    return status;
}

int ebb__target_find(const char *command, const char *root, const char *text, struct ebb_target *ret_target)
{
    return find(command, root, text, false, ret_target);
}

int ebb__target_find_all(const char *command, const char *root, const char *text,
                         struct ebb_target_list *ret_list)
{
    struct ebb_target_list list = {.of_group = ebb__target_is_group(text)};
    struct ebb_target_group group = {.count = 1};
    struct ebb_target target;
    int status = list.of_group ? ebb__target_group_find(command, root, text, &group)
                               : find(command, root, text, true, &target);

    if (status != EBB_EXIT_OK)
        return status;
    list.pids = calloc(group.count, sizeof(*list.pids));
    if (list.pids == NULL) {
        fprintf(stderr, "ebb %s: %s\n", command, strerror(ENOMEM));
        status = EBB_EXIT_FAILED;
    } else if (list.of_group) {
        for (; list.count < group.count; list.count++)
            list.pids[list.count] = group.members[list.count].pid;
    } else {
        list.pids[list.count++] = target.pid;
    }
    if (list.of_group)
        ebb__target_group_fini(&group);
    if (status == EBB_EXIT_OK)
        *ret_list = list;
    return status;
}

static int cgroup_of_unit(const char *command, const char *root, const char *text,
                          const struct ebb_cgroup_tree *tree, char ret_path[EBB_CGROUP_PATH_BYTES])
{
    struct ebb_target_group group;
    int status = ebb__target_group_find(command, root, text, &group);

    if (status != EBB_EXIT_OK)
        return status;
    status = ebb__target_group_of_unit(&group, tree, ret_path);
    ebb__target_group_fini(&group);
    return status;
}

static int cgroup_of_process(const char *command, const char *root, const char *text,
                             const struct ebb_cgroup_tree *tree, char ret_path[EBB_CGROUP_PATH_BYTES])
{
    struct ebb_target target;
    int status = ebb__target_find(command, root, text, &target);
    int err;

    if (status != EBB_EXIT_OK)
        return status;
    err = ebb__cgroup_path_read(root, target.pid, tree, ret_path, EBB_CGROUP_PATH_BYTES);
    if (err == 0)
        return EBB_EXIT_OK;
    fprintf(stderr, "ebb %s: %s (pid %d): %s\n", command, target.name, (int)target.pid,
            err == -ESRCH    ? "has ended"
            : err == -EXDEV  ? "its memory cgroup lies outside of what is mounted here"
            : err == -ENOENT ? "its memory cgroup cannot be told"
                             : strerror(-err));
    return err == -ESRCH ? EBB_EXIT_NO_TARGET : EBB_EXIT_FAILED;
}

int ebb__target_find_cgroup(const char *command, const char *root, const char *text,
                            struct ebb_cgroup_tree *ret_tree, char ret_path[EBB_CGROUP_PATH_BYTES])
{
    int status = ebb__target_group_tree(command, root, text, ret_tree);

    if (status != EBB_EXIT_OK)
        return status;
    if (text[0] == '/' || strncmp(text, "cgroup:", 7) == 0)
        return ebb__target_group_path(command, root, text, ret_tree, ret_path);
    if (ebb__target_is_group(text))
        return cgroup_of_unit(command, root, text, ret_tree, ret_path);
    return cgroup_of_process(command, root, text, ret_tree, ret_path);
}

/* ---- what can go wrong with it ---- */

/* The first number in a file of /proc/sys, or -1. */
static long sysctl_number(const char *path)
{
    char text[32];
    struct ebb_scan scan = {.at = text};
    uint64_t value;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text));

    if (fd >= 0)
        close(fd);
    scan.end = text + (got > 0 ? got : 0);
    return ebb__scan_dec(&scan, &value) && value <= LONG_MAX ? (long)value : -1;
}

/* Why we may not look, and what would help. */
static void remedy(const struct ebb_target *target, char *ret_text, size_t text_bytes)
{
    struct ebb_status status;
    long scope = sysctl_number("/proc/sys/kernel/yama/ptrace_scope");
    bool known = ebb__status_read(target->root, target->pid, &status) == 0 &&
                 ebb__status_has(&status, EBB_STATUS_UID_REAL);

    if (scope == 3)
        snprintf(ret_text, text_bytes,
                 "kernel.yama.ptrace_scope is 3, which forbids it to everybody until the next boot");
    else if (geteuid() == 0)
        snprintf(
            ret_text, text_bytes,
            "root needs the capability CAP_SYS_PTRACE for it, which containers often take away: try on the "
            "host");
    else if (known && (uid_t)status.uid_real != geteuid()) {
        const struct passwd *owner = getpwuid((uid_t)status.uid_real);

        snprintf(ret_text, text_bytes, "it belongs to %s; try: sudo ebb %s %d",
                 owner == NULL ? "another user" : owner->pw_name, target->command, (int)target->pid);
    } else if (scope > 0)
        snprintf(ret_text, text_bytes,
                 "kernel.yama.ptrace_scope is %ld, which keeps users from their own processes; try: sudo ebb "
                 "%s %d",
                 scope, target->command, (int)target->pid);
    else
        snprintf(ret_text, text_bytes,
                 "it has raised privileges, or has given some up since its start; try: sudo ebb %s %d",
                 target->command, (int)target->pid);
}

/* A process that ends gives its memory back before its state says so: it is told from a thread of the kernel by the flags in stat, or,
 * in a tree without that file, not at all. */
static bool is_kernel_thread(const struct ebb_target *target)
{
    struct ebb_status status;
    struct ebb_stat stat;

    if (ebb__status_read(target->root, target->pid, &status) != 0 ||
        !ebb__status_has(&status, EBB_STATUS_STATE) || has_ended(&status) ||
        ebb__status_has(&status, EBB_STATUS_VM_SIZE))
        return false;
    return ebb__stat_read(target->root, target->pid, &stat) != 0 || (stat.flags & EBB_STAT_KTHREAD) != 0;
}

int ebb__target_failed(const struct ebb_target *target, int err)
{
    char text[256];

    if (err == -ESRCH || err == -ENOENT) {
        if (is_kernel_thread(target)) {
            fprintf(stderr, "ebb %s: %s (pid %d) is a thread of the kernel and has no memory of its own\n",
                    target->command, target->name, (int)target->pid);
            return EBB_EXIT_FAILED;
        }
        fprintf(stderr, "ebb %s: %s (pid %d) has ended\n", target->command, target->name, (int)target->pid);
        return EBB_EXIT_NO_TARGET;
    }
    if (err == -EPERM || err == -EACCES) {
        remedy(target, text, sizeof(text));
        fprintf(stderr, "ebb %s: the memory of %s (pid %d) may not be read: %s\n", target->command,
                target->name, (int)target->pid, text);
    } else {
        fprintf(stderr, "ebb %s: the memory of %s (pid %d) cannot be read: %s\n", target->command,
                target->name, (int)target->pid, strerror(-err));
    }
    return EBB_EXIT_FAILED;
}

/* ---- its threads ---- */

static bool is_thread(pid_t pid, pid_t tid, uint64_t inner, struct ebb_status *ret_status)
{
    if (ebb__status_read("", tid, ret_status) != 0 || !ebb__status_has(ret_status, EBB_STATUS_TGID) ||
        ret_status->tgid != (uint64_t)pid)
        return false;
    /* A kernel without namespaces has no such line: then everybody has one number. */
    return (ebb__status_has(ret_status, EBB_STATUS_NS_PID) ? ret_status->ns_pid : (uint64_t)tid) == inner;
}

int ebb__target_thread(pid_t pid, uint64_t inner, pid_t *ret_tid, struct ebb_status *ret_status)
{
    struct ebb_procs threads;
    pid_t tid;
    bool found = false;
    int err;

    if (inner == 0 || inner > INT_MAX)
        return -ESRCH;
    /* In most cases both see the same numbers; only for a container all threads must be asked. */
    if (is_thread(pid, (pid_t)inner, inner, ret_status)) {
        *ret_tid = (pid_t)inner;
        return 0;
    }
    err = ebb__procs_open_threads(&threads, "", pid);
    if (err != 0)
        return err;
    while (!found && (tid = ebb__procs_next(&threads)) != 0)
        found = is_thread(pid, tid, inner, ret_status);
    ebb__procs_close(&threads);
    if (found)
        *ret_tid = tid;
    return found ? 0 : -ESRCH;
}
