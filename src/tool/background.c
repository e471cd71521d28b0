/* SPDX-License-Identifier: MIT
 *
 * The background thread of a process on ebb; see background.h.
 *
 * The page is another process's word. A signal goes out only after the kernel has confirmed that the thread is one of
 * that process and either has the signal blocked or waits for it at that moment, so that neither a stale nor a hostile
 * page can make us end anything. (While a thread is in rt_sigtimedwait(), the kernel shows the signals that it waits for
 * as not blocked.)
 */
#include "tool/background.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "probe/scan.h"
#include "tool/target.h"
#include "wire/control.h"

/* How often a thread is looked at that is found running: between the two looks it may have begun or ended to wait. */
#define LOOKS_MAX     10
#define LOOK_PAUSE_NS 1000000

#define SIGNAL_BIT (UINT64_C(1) << (EBB_WIRE_SIGNAL - 1))

/* True when the thread is in rt_sigtimedwait() with our signal in the set. */
static bool waits(pid_t pid, pid_t tid)
{
    char text[256]; /* "NUMBER 0xARGUMENT ...", or "running" */
    struct ebb_scan scan = {.at = text};
    uint64_t number;
    uint64_t set_addr;
    uint64_t set;
    size_t len;

    if (ebb__proc_read("", tid, "syscall", text, sizeof(text), &len) != 0)
        return false;
    scan.end = text + len;
    return ebb__scan_dec(&scan, &number) && number == SYS_rt_sigtimedwait && ebb__scan_word(&scan, " 0x") &&
           ebb__scan_hex(&scan, &set_addr) && ebb__peek(pid, set_addr, &set, sizeof(set)) == 0 &&
           (set & SIGNAL_BIT) != 0;
}

static bool listens(pid_t pid, pid_t tid, const struct ebb_status *first)
{
    static const struct timespec PAUSE = {.tv_nsec = LOOK_PAUSE_NS};
    struct ebb_status status = *first;

    for (unsigned i = 0; i < LOOKS_MAX; i++) {
        if (!ebb__status_has(&status, EBB_STATUS_SIGNALS_BLOCKED))
            return false;
        if ((status.signals_blocked & SIGNAL_BIT) != 0 || waits(pid, tid))
            return true;
        nanosleep(&PAUSE, NULL);
        if (ebb__status_read("", tid, &status) != 0)
            return false;
    }
    return false;
}

int ebb__background_look(const struct ebb_page *page, struct ebb_background *ret_background)
{
    const struct ebb_wire_view *view = &page->view;
    struct ebb_status status;
    uint64_t own_pid;
    pid_t tid;
    int err = ebb__status_read("", page->pid, &status);

    if (err != 0)
        return err == -ENOENT ? -ESRCH : err;
    own_pid = ebb__status_has(&status, EBB_STATUS_NS_PID) ? status.ns_pid : (uint64_t)page->pid;
    *ret_background = (struct ebb_background){.state = EBB_BACKGROUND_NONE, .activity = '?'};
    /* Before the library's constructor there is neither. */
    if (view->pid != 0 && view->pid != own_pid) {
        ret_background->state = EBB_BACKGROUND_PARENT;
        return 0;
    }
    if (view->thread_id == 0)
        return 0;
    err = ebb__target_thread(page->pid, view->thread_id, &tid, &status);
    if (err == -ESRCH) {
        ret_background->state = EBB_BACKGROUND_GONE;
        return 0;
    }
    if (err != 0)
        return err;
    ret_background->tid = tid;
    if (ebb__status_has(&status, EBB_STATUS_STATE))
        ret_background->activity = status.state;
    ret_background->state = listens(page->pid, tid, &status) ? EBB_BACKGROUND_LISTENS : EBB_BACKGROUND_DEAF;
    return 0;
}

const char *ebb__background_why(enum ebb_background_state state)
{
    switch (state) {
    case EBB_BACKGROUND_LISTENS:
        return "it takes requests";
    case EBB_BACKGROUND_NONE:
        return "it has no background thread: processes that are small or have one thread start none, nor do "
               "those "
               "with EBB_MALLOC=bg:0";
    case EBB_BACKGROUND_PARENT:
        return "it was forked without the C library's handlers, and has no background thread of its own";
    case EBB_BACKGROUND_GONE:
        return "its background thread is gone";
    case EBB_BACKGROUND_DEAF:
        return "the thread that it names does not wait for requests, and a signal would end the process";
    }
    return "";
}

int ebb__background_send(pid_t pid, pid_t tid, uint64_t payload)
{
    siginfo_t info = {.si_signo = EBB_WIRE_SIGNAL, .si_code = SI_QUEUE};

    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_ptr = (void *)(uintptr_t)ebb__wire_sigval(payload);
    return syscall(SYS_rt_tgsigqueueinfo, pid, tid, EBB_WIRE_SIGNAL, &info) == 0 ? 0 : -errno;
}
