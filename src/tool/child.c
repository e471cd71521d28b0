/* SPDX-License-Identifier: MIT
 *
 * Starting a program and standing between it and whoever started us, without being noticed.
 *
 * What
 *  The program gets our standard input, output and error, our descriptors, signal mask and dispositions,
 * process group and terminal, as if we had executed it ourselves. We give up our own copies of all
 * descriptors but standard error, so that an end of file which the program causes by closing one is seen at
 * the other end.
 *
 * Signals
 *  All signals that can be forwarded are blocked here and taken one at a time with sigtimedwait(); nothing
 * runs in a handler. A signal that the kernel sent for the terminal (SI_KERNEL: interrupt, quit, hang-up,
 * window size, stop) went to the whole process group, so the program has it already; anything else was meant
 * for the program, and is passed on. Only a hang-up that we got as leader of the session went to us alone.
 *
 * Job control
 *  When the program is stopped we stop ourselves in the same way, so that the shell, which knows only us,
 * takes the terminal back. Without a controlling terminal nobody would continue us: then we go on waiting.
 */
#include "tool/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "wire/report.h"

/* Signals that are left alone: those that cannot be blocked, those that say that we ourselves are broken, and
 * those that stop a background process at the terminal, which must stop us together with the program. */
static const int NOT_WATCHED[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS,  SIGFPE, SIGILL,
                                  SIGTRAP, SIGABRT, SIGSYS,  SIGTTIN, SIGTTOU};

static long now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- starting --------------------------------------------------------------------------------------- */

static void set_environment(const struct ebb_launch *launch)
{
    const char *preload = getenv("LD_PRELOAD");

    if (launch->malloc_options != NULL)
        setenv("EBB_MALLOC", launch->malloc_options, 1);
    if (launch->report != NULL)
        setenv(EBB_REPORT_VARIABLE, launch->report, 1);
    if (launch->library == NULL)
        return;
    if (preload != NULL && preload[0] != '\0') {
        size_t bytes = strlen(launch->library) + strlen(preload) + 2;
        char *both = malloc(bytes);

        if (both == NULL)
            return;
        snprintf(both, bytes, "%s:%s", launch->library, preload);
        setenv("LD_PRELOAD", both, 1);
        free(both);
    } else {
        setenv("LD_PRELOAD", launch->library, 1);
    }
}

/* Never returns: executes the program, or writes errno to `report_fd` and exits. */
static void become_program(const struct ebb_launch *launch, const struct ebb_child *child, int report_fd)
{
    int err;

    set_environment(launch);
    sigaction(SIGCHLD, &child->old_chld, NULL);
    sigprocmask(SIG_SETMASK, &child->old_mask, NULL);
    execv(launch->path, launch->argv);
    if (errno == ENOEXEC && !launch->is_binary) {
        /* A script without a first line that names its interpreter: the shell's, as execvp() does it. */
        size_t count = 0;
        char **argv;

        while (launch->argv[count] != NULL)
            count++;
        argv = calloc(count + 2, sizeof(*argv));
        if (argv != NULL) {
            argv[0] = launch->argv[0];
            argv[1] = strdup(launch->path);
            for (size_t i = 1; i < count; i++)
                argv[i + 1] = launch->argv[i];
            execv("/bin/sh", argv);
        }
    }
    err = errno;
    if (write(report_fd, &err, sizeof(err)) != sizeof(err))
        _exit(126);
    _exit(127);
}

/* Our copies of the program's descriptors: a pipe must end when the program closes it, not when we do. */
static void give_up_descriptors(const struct ebb_launch *launch, int report_fd)
{
    const int kept[] = {report_fd, launch->kept_fds[0], launch->kept_fds[1]};
    unsigned from = 3;
    int null_fd;

    for (;;) {
        unsigned next = ~0U;

        for (unsigned i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
            if (kept[i] >= (int)from && (unsigned)kept[i] < next)
                next = (unsigned)kept[i];
        if (next > from)
            close_range(from, next == ~0U ? next : next - 1, 0);
        if (next == ~0U)
            break;
        from = next + 1;
    }
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0)
        return;
    dup2(null_fd, STDIN_FILENO);
    dup2(null_fd, STDOUT_FILENO);
    if (fcntl(STDERR_FILENO, F_GETFD) < 0)
        dup2(null_fd, STDERR_FILENO);
    if (null_fd > STDERR_FILENO)
        close(null_fd);
}

/* A pipe whose ends are above the standard descriptors, which may be closed and must stay so for the program.
 */
static int make_report_pipe(int fds[2])
{
    if (pipe2(fds, O_CLOEXEC) != 0)
        return -errno;
    for (int i = 0; i < 2; i++) {
        int high = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);

        if (high < 0)
            return -errno;
        close(fds[i]);
        fds[i] = high;
    }
    return 0;
}

static void take_signals(struct ebb_child *child)
{
    struct sigaction chld = {.sa_handler = SIG_DFL};

    sigfillset(&child->watched);
    for (unsigned i = 0; i < sizeof(NOT_WATCHED) / sizeof(NOT_WATCHED[0]); i++)
        sigdelset(&child->watched, NOT_WATCHED[i]);
    sigprocmask(SIG_BLOCK, &child->watched, &child->old_mask);
    /* Where SIGCHLD is ignored the kernel keeps no exit status. */
    sigaction(SIGCHLD, &chld, &child->old_chld);
}

int ebb__child_start(const struct ebb_launch *launch, struct ebb_child *ret_child)
{
    struct ebb_child child = {0};
    int fds[2];
    int failure = 0;
    int err = make_report_pipe(fds);
    ssize_t got;

    if (err != 0)
        return err;
    fflush(NULL);
    take_signals(&child);
    child.pid = fork();
    if (child.pid < 0)
        return -errno;
    if (child.pid == 0)
        become_program(launch, &child, fds[1]);

    close(fds[1]);
    give_up_descriptors(launch, fds[0]);
    /* The pipe ends without a word when execve() closes the other end. */
    do {
        got = read(fds[0], &failure, sizeof(failure));
    } while (got < 0 && errno == EINTR);
    close(fds[0]);
    if (got == sizeof(failure)) {
        while (waitpid(child.pid, &child.wait_status, 0) < 0 && errno == EINTR)
            ;
        return -failure;
    }
    *ret_child = child;
    return 0;
}

/* ---- supervising ------------------------------------------------------------------------------------ */

void ebb__child_poll(struct ebb_child *child)
{
    struct rusage usage;
    int status;
    pid_t pid;

    /* Any child: as a container's first process we inherit the orphans, and must not leave them as zombies.
     */
    while ((pid = wait4(-1, &status, WNOHANG | WUNTRACED | WCONTINUED, &usage)) > 0) {
        if (pid != child->pid)
            continue;
        if (WIFSTOPPED(status) || WIFCONTINUED(status)) {
            child->stopped = WIFSTOPPED(status);
            child->wait_status = status;
            continue;
        }
        child->ended = true;
        child->stopped = false;
        child->wait_status = status;
        child->usage = usage;
    }
}

/* True when stopping ourselves will be noticed by somebody who can continue us. */
static bool should_follow_stop(int stop_signal)
{
    int tty = open("/dev/tty", O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    bool foreground;

    if (tty < 0)
        return false;
    foreground = tcgetpgrp(tty) == getpgrp();
    close(tty);
    /* SIGSTOP is also what debuggers and administrators send, who know the program and not us. */
    return stop_signal != SIGSTOP || foreground;
}

static void stop_like(int stop_signal)
{
    const struct timespec at_once = {0};
    sigset_t one;
    sigset_t before;

    if (!should_follow_stop(stop_signal))
        return;
    sigemptyset(&one);
    sigaddset(&one, stop_signal);
    /* The terminal sent us the same signal as the program. Left pending, it would stop us before our own
     * does, and ours once more after we have been continued. */
    if (stop_signal != SIGSTOP)
        sigtimedwait(&one, NULL, &at_once);
    sigprocmask(SIG_UNBLOCK, &one, &before);
    raise(stop_signal);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

static void forward(const struct ebb_child *child, const siginfo_t *info)
{
    int signo = info->si_signo;

    if (signo == SIGCHLD || signo == SIGPIPE || info->si_pid == getpid())
        return;
    if (info->si_code == SI_KERNEL && !(signo == SIGHUP && getsid(0) == getpid()))
        return;
    /* The shell continues the whole group; the program needs ours only when it was left out. */
    if (signo == SIGCONT && !child->stopped)
        return;
    if (info->si_code == SI_QUEUE)
        sigqueue(child->pid, signo, info->si_value);
    else
        kill(child->pid, signo);
}

/* Waits up to `timeout_us` (-1: for ever) for one signal and deals with it. */
static void wait_once(struct ebb_child *child, long timeout_us)
{
    struct timespec timeout = {.tv_sec = timeout_us / 1000000, .tv_nsec = timeout_us % 1000000 * 1000};
    bool was_stopped = child->stopped;
    siginfo_t info = {0};
    int signo = sigtimedwait(&child->watched, &info, timeout_us < 0 ? NULL : &timeout);

    ebb__child_poll(child);
    if (child->ended)
        return;
    if (signo > 0)
        forward(child, &info);
    if (child->stopped && !was_stopped)
        stop_like(WSTOPSIG(child->wait_status));
}

void ebb__child_supervise(struct ebb_child *child, ebb_child_tick tick, void *context)
{
    long next_us = now_us();
    bool ticking = tick != NULL;

    while (!child->ended) {
        long left_us = ticking ? next_us - now_us() : -1;

        if (ticking && left_us <= 0) {
            left_us = tick(context);
            ticking = left_us >= 0;
            next_us = now_us() + left_us;
        }
        if (!child->ended)
            wait_once(child, left_us);
    }
}

void ebb__child_terminate(struct ebb_child *child, long grace_ms)
{
    long deadline_us = now_us() + grace_ms * 1000;

    ebb__child_poll(child);
    if (child->ended)
        return;
    kill(child->pid, SIGTERM);
    kill(child->pid, SIGCONT);
    while (!child->ended) {
        long left_us = deadline_us - now_us();

        if (left_us <= 0) {
            kill(child->pid, SIGKILL);
            left_us = -1;
        }
        wait_once(child, left_us);
    }
}

int ebb__child_exit_like(const struct ebb_child *child)
{
    int signo;
    sigset_t one;

    if (WIFEXITED(child->wait_status))
        return WEXITSTATUS(child->wait_status);
    signo = WTERMSIG(child->wait_status);
    /* The program's core is the one that is wanted; ours would overwrite it. */
    prctl(PR_SET_DUMPABLE, 0);
    signal(signo, SIG_DFL);
    sigemptyset(&one);
    sigaddset(&one, signo);
    sigprocmask(SIG_UNBLOCK, &one, NULL);
    raise(signo);
    return 128 + signo;
}

/* ---- finding the program ---------------------------------------------------------------------------- */

int ebb__child_find_program(const char *name, char *ret_path, size_t path_bytes)
{
    const char *at = getenv("PATH");
    int err = -ENOENT;

    if (strchr(name, '/') != NULL) {
        /* execve() itself says what is wrong with it. */
        return snprintf(ret_path, path_bytes, "%s", name) < (int)path_bytes ? 0 : -ENAMETOOLONG;
    }
    if (name[0] == '\0')
        return -ENOENT;
    if (at == NULL)
        at = "/bin:/usr/bin";
    for (;;) {
        size_t len = strcspn(at, ":");
        struct stat st;
        int written = len == 0 ? snprintf(ret_path, path_bytes, "./%s", name)
                               : snprintf(ret_path, path_bytes, "%.*s/%s", (int)len, at, name);

        if (written > 0 && (size_t)written < path_bytes && stat(ret_path, &st) == 0 && S_ISREG(st.st_mode)) {
            if (faccessat(AT_FDCWD, ret_path, X_OK, AT_EACCESS) == 0)
                return 0;
            err = -EACCES;
        }
        if (at[len] == '\0')
            return err;
        at += len + 1;
    }
}
