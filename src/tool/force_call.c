/* SPDX-License-Identifier: MIT
 *
 * A call in another process; see force_call.h.
 */
#include "tool/force_call.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "probe/probe.h"
#include "tool/force_regs.h"
#include "tool/locate.h"
#include "tool/scope.h"

const struct ebb_force_function ebb__force_functions[] = {
    {"malloc_trim", "glibc", 0},
    {"MallocExtension_ReleaseFreeMemory", "tcmalloc", 0},
    {"mi_collect", "mimalloc", 1},
};

const unsigned ebb__force_function_count = sizeof(ebb__force_functions) / sizeof(ebb__force_functions[0]);

/* Threads that are stopped at once; a server with more is not a case for this. */
#define THREADS_MAX 8192

/* Ranges of code that nobody may be in. */
#define RANGES_MAX 32

/* Between two attempts. */
#define RETRY_US 2000

struct thread {
    pid_t tid;
    bool stopped;
    bool ended;
    int signal; /* that it was about to be given; handed on when it is let go */
};

struct range {
    uint64_t start;
    uint64_t end;
};

struct session {
    pid_t pid;
    uint64_t address; /* of the function */
    struct range ranges[RANGES_MAX];
    unsigned range_count;
    struct thread *threads;
    unsigned count;
    sigset_t before; /* our own signals */
};

const struct ebb_force_function *ebb__force_function_find(const char *name)
{
    for (unsigned i = 0; i < ebb__force_function_count; i++)
        if (strcmp(ebb__force_functions[i].name, name) == 0)
            return &ebb__force_functions[i];
    return NULL;
}

const char *ebb__force_why(int err)
{
    switch (-err) {
    case ENOENT:
        return "the library that serves its malloc has no such function";
    case EBUSY:
        return "some thread was in the allocator whenever we looked, or none waited anywhere; nothing was "
               "called";
    case ENOTSUP:
        return "it is stopped, blocks SIGSEGV, has a shadow stack, or is of another machine; nothing was "
               "called";
    case EPERM:
        return "it may not be traced by us, or somebody else does";
    case ESRCH:
        return "it has ended";
    case EFAULT:
        return "the function crashed; the thread goes on where it was, and what was locked may stay so";
    default:
        return strerror(-err);
    }
}

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void pause_us(long us)
{
    const struct timespec pause = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};

    nanosleep(&pause, NULL);
}

/* ---- what is called, and where nobody may be ---- */

struct place {
    const char *name; /* of the function */
    uint64_t address;
};

static bool take_address(void *context, const struct ebb_map *map, int fd, uint64_t address)
{
    (void)map;
    (void)fd;
    ((struct place *)context)->address = address;
    return true;
}

static bool is_file_of(const struct ebb_map *map, const struct ebb_map *object)
{
    return map->inode != 0 && map->inode == object->inode && map->dev_major == object->dev_major &&
           map->dev_minor == object->dev_minor;
}

/* Code of two objects: the one that serves malloc, and the one that serves what every allocator calls. */
static int find_ranges(struct session *session, const struct ebb_map *allocator, const struct ebb_map *libc)
{
    struct ebb_maps maps;
    struct ebb_map map;
    int got = ebb__maps_open(&maps, "", session->pid);

    if (got != 0)
        return got;
    while ((got = ebb__maps_next(&maps, &map)) > 0) {
        if (!map.executable || (!is_file_of(&map, allocator) && !(libc != NULL && is_file_of(&map, libc))))
            continue;
        if (session->range_count == RANGES_MAX) {
            got = -ENOTSUP;
            break;
        }
        session->ranges[session->range_count++] = (struct range){map.start, map.end};
    }
    ebb__maps_close(&maps);
    return got < 0 ? got : session->range_count == 0 ? -ENOENT : 0;
}

static const struct ebb_map *find_libc(const struct ebb_scope *scope)
{
    for (size_t i = 1; i < scope->count; i++) {
        const char *name = scope->objects[i].name;
        const char *slash = name == NULL ? NULL : strrchr(name, '/');

        if (slash != NULL && strncmp(slash, "/libc.so", 8) == 0)
            return &scope->objects[i].map;
    }
    return NULL;
}

static int find_function(struct session *session, const char *name)
{
    bool wanted[EBB_ALLOC_SYMBOLS_MAX] = {true}; /* malloc is row 0 */
    int owners[EBB_ALLOC_SYMBOLS_MAX];
    struct place place = {.name = name};
    struct ebb_locate locate = {
        .pid = session->pid, .symbol = name, .found = take_address, .context = &place};
    struct ebb_scope scope;
    int err = ebb__scope_read(session->pid, &scope);

    if (err != 0)
        return err;
    err = ebb__scope_owners(&scope, wanted, owners);
    if (err == 0 && owners[0] < 0)
        err = -ENOENT;
    if (err == 0) {
        locate.only_inode = scope.objects[owners[0]].map.inode;
        err = ebb__locate(&locate);
        err = err < 0 ? err : err == 1 ? 0 : -ENOENT;
    }
    if (err == 0)
        err = find_ranges(session, &scope.objects[owners[0]].map, find_libc(&scope));
    ebb__scope_fini(&scope);
    session->address = place.address;
    return err;
}

/* ---- stopping and letting go ---- */

static struct thread *find_thread(struct session *session, pid_t tid)
{
    for (unsigned i = 0; i < session->count; i++)
        if (session->threads[i].tid == tid)
            return &session->threads[i];
    return NULL;
}

/* Waits for a thread to stop, and notes the signal that it was about to be given. */
static int await_stop(struct thread *thread)
{
    int status;
    int event;

    if (waitpid(thread->tid, &status, __WALL) < 0)
        return errno == ECHILD || errno == ESRCH ? -ESRCH : -errno;
    if (!WIFSTOPPED(status)) {
        thread->ended = true;
        return 0;
    }
    thread->stopped = true;
    event = status >> 16;
    if (event == 0)
        thread->signal = WSTOPSIG(status);
    /* A stop of the whole process by SIGSTOP and the like: it would not go on when we let it. */
    return event == PTRACE_EVENT_STOP && WSTOPSIG(status) != SIGTRAP ? -ENOTSUP : 0;
}

/* Seizes threads that are new. 1 when there were some, 0 when there were none. */
static int seize_new(struct session *session)
{
    struct ebb_procs procs;
    pid_t tid;
    int found = 0;
    int err = ebb__procs_open_threads(&procs, "", session->pid);

    if (err != 0)
        return err;
    while (err == 0 && (tid = ebb__procs_next(&procs)) != 0) {
        if (find_thread(session, tid) != NULL)
            continue;
        if (session->count == THREADS_MAX) {
            err = -ENOTSUP;
            break;
        }
        if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) != 0) {
            /* It may have ended since it was listed. */
            err = errno == ESRCH ? 0 : -errno;
            continue;
        }
        session->threads[session->count++] = (struct thread){.tid = tid};
        found = 1;
    }
    ebb__procs_close(&procs);
    return err != 0 ? err : found;
}

static int stop_seized(struct session *session)
{
    int err = 0;

    for (unsigned i = 0; i < session->count; i++) {
        struct thread *thread = &session->threads[i];

        if (!thread->stopped && !thread->ended && ptrace(PTRACE_INTERRUPT, thread->tid, NULL, NULL) != 0)
            thread->ended = true;
    }
    for (unsigned i = 0; i < session->count; i++) {
        struct thread *thread = &session->threads[i];
        int got = thread->stopped || thread->ended ? 0 : await_stop(thread);

        if (got == -ESRCH)
            thread->ended = true;
        else if (err == 0)
            err = got;
    }
    return err;
}

/* Stops all threads. One that still runs may make another, so it is looked again until there is no new one. */
static int stop_all(struct session *session)
{
    int found = 1;

    while (found == 1) {
        int err;

        found = seize_new(session);
        if (found < 0)
            return found;
        err = stop_seized(session);
        if (err != 0)
            return err;
    }
    return 0;
}

static void let_go(struct thread *thread)
{
    if (thread->ended)
        return;
    if (!thread->stopped && ptrace(PTRACE_INTERRUPT, thread->tid, NULL, NULL) == 0)
        (void)await_stop(thread);
    /* The kernel takes the signal's number where others take an address. */
    ptrace(PTRACE_DETACH, thread->tid, NULL, (void *)(intptr_t)thread->signal);
    thread->ended = true;
}

static void let_all_go(struct session *session, const struct thread *but)
{
    for (unsigned i = 0; i < session->count; i++)
        if (&session->threads[i] != but)
            let_go(&session->threads[i]);
}

/* ---- is it safe, and with whom ---- */

static bool is_about_memory(int64_t number)
{
    switch (number) {
    case SYS_brk:
    case SYS_mmap:
    case SYS_munmap:
    case SYS_mremap:
    case SYS_mprotect:
    case SYS_madvise:
    /* Whoever sees its end runs before it is stopped again: a child that shares our memory. */
    case SYS_clone:
#ifdef SYS_vfork
    case SYS_vfork:
#endif
    case SYS_execve:
    case SYS_exit:
    case SYS_exit_group:
    case SYS_rt_sigreturn:
        return true;
    default:
        return false;
    }
}

static bool is_in_ranges(const struct session *session, uint64_t pc)
{
    for (unsigned i = 0; i < session->range_count; i++)
        if (pc >= session->ranges[i].start && pc < session->ranges[i].end)
            return true;
    return false;
}

static int read_general(pid_t tid, struct ebb_force_regs *regs)
{
    size_t bytes = sizeof(regs->general);
    int err = ebb__force_regset(PTRACE_GETREGSET, tid, NT_PRSTATUS, &regs->general, &bytes);

    if (err == 0 && bytes != sizeof(regs->general))
        err = -ENOTSUP; /* a program of 32 bits */
    return err == 0 ? ebb__force_read_syscall(tid, regs) : err;
}

/* SIGSEGV is what the call ends with. The kernel would make its action the default one where it is blocked. */
static bool can_fault(pid_t tid)
{
    struct ebb_status status;

    return ebb__status_read("", tid, &status) == 0 && ebb__status_has(&status, EBB_STATUS_SIGNALS_BLOCKED) &&
           (status.signals_blocked >> (SIGSEGV - 1) & 1) == 0;
}

/* The thread that is to call, or NULL with -errno: -EBUSY when somebody may hold a lock of the allocator. */
static struct thread *choose(struct session *session, struct ebb_force_regs *regs, int *ret_err)
{
    struct thread *chosen = NULL;

    *ret_err = -EBUSY;
    for (unsigned i = 0; i < session->count; i++) {
        struct thread *thread = &session->threads[i];

        if (thread->ended)
            continue;
        *ret_err = read_general(thread->tid, regs);
        if (*ret_err != 0)
            return NULL;
        if (regs->syscall >= 0 ? is_about_memory(regs->syscall)
                               : is_in_ranges(session, ebb__force_pc(regs))) {
            *ret_err = -EBUSY;
            return NULL;
        }
        if (chosen == NULL && regs->syscall >= 0 && thread->signal == 0 && can_fault(thread->tid))
            chosen = thread;
    }
    *ret_err = chosen == NULL ? -EBUSY : 0;
    return chosen;
}

/* Stops all until it is safe. */
static int find_moment(struct session *session, long timeout_ms, struct thread **ret_thread,
                       struct ebb_force_regs *regs, struct ebb_force_report *report, uint64_t *ret_stopped_us)
{
    uint64_t deadline_us = now_us() + (uint64_t)timeout_ms * 1000;

    for (;;) {
        int err;

        *ret_stopped_us = now_us();
        report->attempts++;
        err = stop_all(session);
        if (err == 0)
            *ret_thread = choose(session, regs, &err);
        if (err == 0)
            return 0;
        report->threads = session->count;
        let_all_go(session, NULL);
        session->count = 0;
        if (now_us() - *ret_stopped_us > report->stopped_us)
            report->stopped_us = now_us() - *ret_stopped_us;
        if (err != -EBUSY || now_us() >= deadline_us)
            return err;
        pause_us(RETRY_US);
    }
}

/* ---- the call ---- */

static int write_word(pid_t pid, uint64_t address, uint64_t word)
{
    const struct iovec local = {.iov_base = &word, .iov_len = sizeof(word)};
    const struct iovec remote = {.iov_base = (void *)(uintptr_t)address, .iov_len = sizeof(word)};

    return process_vm_writev(pid, &local, 1, &remote, 1, 0) == (ssize_t)sizeof(word) ? 0 : -errno;
}

static int put_back(const struct thread *thread, struct ebb_force_regs *regs)
{
    size_t bytes = sizeof(regs->general);
    size_t vector_bytes = regs->vector_bytes;
    int err =
        ebb__force_regset(PTRACE_SETREGSET, thread->tid, EBB_FORCE_VECTOR_SET, regs->vector, &vector_bytes);
    int general = ebb__force_regset(PTRACE_SETREGSET, thread->tid, NT_PRSTATUS, &regs->general, &bytes);

    if (err == 0)
        err = general;
    return err == 0 ? ebb__force_return_syscall(thread->tid, regs->syscall) : err;
}

/* Lets the thread run until it has returned to address 0. Signals that come meanwhile are kept for later. */
static int run(struct session *session, struct thread *thread, long pause_ms, struct ebb_force_report *report,
               uint64_t stopped_us)
{
    uint64_t release_us = now_us() + (uint64_t)pause_ms * 1000;
    bool released = false;
    struct user_regs_struct regs;
    size_t bytes = sizeof(regs);

    if (ptrace(PTRACE_CONT, thread->tid, NULL, NULL) != 0)
        return -errno;
    for (;;) {
        int status;
        pid_t got = waitpid(thread->tid, &status, __WALL | (released ? 0 : WNOHANG));

        if (got == 0) {
            if (now_us() >= release_us) {
                let_all_go(session, thread);
                report->stopped_us = now_us() - stopped_us;
                released = true;
            } else {
                pause_us(200);
            }
            continue;
        }
        if (got < 0 || !WIFSTOPPED(status)) {
            thread->ended = true;
            return -ESRCH;
        }
        if (WSTOPSIG(status) == SIGSEGV && status >> 16 == 0) {
            int err = ebb__force_regset(PTRACE_GETREGSET, thread->tid, NT_PRSTATUS, &regs, &bytes);

            if (!released)
                report->stopped_us = now_us() - stopped_us;
            if (err != 0)
                return err;
            report->result = (int64_t)ebb__force_result(&regs);
            return ebb__force_pc_of(&regs) == 0 ? 0 : -EFAULT;
        }
        if (status >> 16 == 0)
            thread->signal = WSTOPSIG(status);
        if (ptrace(PTRACE_CONT, thread->tid, NULL, NULL) != 0)
            return -errno;
    }
}

static int call(struct session *session, struct thread *thread, uint64_t argument, long pause_ms,
                struct ebb_force_regs *regs, struct ebb_force_report *report, uint64_t stopped_us)
{
    struct user_regs_struct there;
    size_t bytes = sizeof(there);
    uint64_t push;
    uint64_t begun_us;
    int put;
    int err = read_general(thread->tid, regs);

    regs->vector_bytes = sizeof(regs->vector);
    if (err == 0)
        err = ebb__force_regset(PTRACE_GETREGSET, thread->tid, EBB_FORCE_VECTOR_SET, regs->vector,
                                &regs->vector_bytes);
    if (err != 0)
        return err;
    ebb__force_prepare(regs, session->address, argument, &there, &push);
    if (push != 0)
        err = write_word(session->pid, push, 0);
    if (err == 0)
        err = ebb__force_leave_syscall(thread->tid);
    if (err == 0)
        err = ebb__force_regset(PTRACE_SETREGSET, thread->tid, NT_PRSTATUS, &there, &bytes);
    begun_us = now_us();
    if (err == 0)
        err = run(session, thread, pause_ms, report, stopped_us);
    report->call_us = now_us() - begun_us;
    put = thread->ended ? 0 : put_back(thread, regs);
    return err != 0 ? err : put;
}

static bool has_shadow_stack(pid_t pid)
{
    char text[16384];
    size_t len;
    const char *line;

    if (ebb__proc_read("", pid, "status", text, sizeof(text) - 1, &len) != 0)
        return false;
    text[len] = '\0';
    line = strstr(text, "\nx86_Thread_features:");
    return line != NULL && strstr(line, "shstk") != NULL;
}

int ebb__force_call(pid_t pid, const struct ebb_force_function *function, long timeout_ms, long pause_ms,
                    struct ebb_force_report *ret_report)
{
    static struct ebb_force_regs regs;
    struct session session = {.pid = pid};
    struct thread *thread = NULL;
    uint64_t stopped_us = 0;
    sigset_t all;
    int err;

    memset(ret_report, 0, sizeof(*ret_report));
    if (has_shadow_stack(pid))
        return -ENOTSUP;
    err = find_function(&session, function->name);
    if (err != 0)
        return err;
    session.threads = calloc(THREADS_MAX, sizeof(*session.threads));
    if (session.threads == NULL)
        return -ENOMEM;
    /* Whoever wants us to end waits: a thread that is left in the call would not return. */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &session.before);
    err = find_moment(&session, timeout_ms, &thread, &regs, ret_report, &stopped_us);
    if (err == 0) {
        ret_report->threads = session.count;
        err = call(&session, thread, function->argument, pause_ms, &regs, ret_report, stopped_us);
        let_all_go(&session, NULL);
    }
    sigprocmask(SIG_SETMASK, &session.before, NULL);
    free(session.threads);
    return err;
}
