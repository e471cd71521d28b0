/* SPDX-License-Identifier: MIT
 *
 * What wakes the governor: descriptors of the kernel and of whoever manages the process, polled together.
 *
 *     version 1, each cgroup with a limit     event on its usage crossing given bytes      before anything has happened
 *                                             event on reclaim that finds little           while the kernel works
 *                                             event on the kernel being about to kill      too late, but it is known
 *     version 2, each cgroup with a limit     its memory.events.local: high, max, oom      when a limit is met
 *     PSI, of the own cgroup and the host     tasks have waited                            when it already hurts
 *     MEMORY_PRESSURE_WATCH                   whatever its writer means                    watch.c
 *     a call                                  ebb__os_wake(): the thread's work
 *
 * Only version 1 has thresholds on bytes, and only root may set them on most kernels; all others must be looked at from time to
 * time as well (ebb__sources_read), the more often the less room there is.
 *
 * Descriptors. The thread takes an empty table of its own, once; a program cannot see, close or inherit what is in it, and nothing of
 * the program's is held. Where that is refused nothing is opened for longer than a read, and poll is a sleep.
 *
 * The table is for good, so a thread that has one must not be the last of a process: the C library would run the program's
 * exit handlers in it, and what these still have to write would go nowhere. A process whose main thread has ended by
 * pthread_exit() must not be armed, and an armed thread must end, and be gone, before the last other one does.
 *
 * PSI. A trigger is a line written to the file: so many us of waiting in a window. With CAP_SYS_RESOURCE any window from 500 ms
 * on will do; the kernel then watches in a thread of its own. Without it Linux before 6.4 refuses to open the file of the host for
 * writing, and later ones take multiples of 2 s. The shorter window is tried first. A trigger lives as long as its descriptor, and its end
 * waits for a grace period of the kernel, also when it is the process that ends: 5 ms, on a loaded machine 80 ms, by which whoever
 * waits for the process is late. That is nothing to a server and much to a compiler, so stalls are listened to
 * (ebb__sources_listen) only when somebody says so. PSI
 * in a cgroup of version 2 beside a memory controller of version 1 is as good as elsewhere.
 *
 * Invariants
 *   S1  what is not open has no entry in `polls`
 *   S2  the first entry of what is open is the wakes; only it has no cause
 *   S3  every entry has a descriptor, and no two have the same
 *   S4  the level of an entry that belongs to one is a limited one
 *   S5  without a table of its own no file is kept open
 *
 * Ends of things. A cgroup that is removed wakes all its sources once more, with POLLERR; they are closed, and `stale` asks
 * for a new look at the place. The same happens when the process was moved or a limit came or went, which only a read notices.
 *
 * Costs: arming waits for grace periods of the kernel, some ms each; a poll 2 to 5 us. No lock, no allocation. Fork: a child
 * has neither the thread nor its table.
 */
#include "governor/sources_priv.h"
#include "governor/text_priv.h"

#define SOURCE_WAKE 255u /* in the place of a cause */

/* How long to sleep at most when a poll has failed. */
#define DEAF_MS 1000u

/* 7.5 % of the time, a little before systemd's own default of 10 %. */
static const char short_trigger[] = "some 75000 1000000";
static const char long_trigger[] = "some 150000 2000000";

void ebb__sources_init(struct ebb_sources *s, const char *root, const char *process)
{
    *s = (struct ebb_sources){.root = root, .process = process};
    memset(s->level_fd, 0xff, sizeof(s->level_fd)); /* EBB_FD_CLOSED */
    memset(s->only_fd, 0xff, sizeof(s->only_fd));
}

/* ---- entries ---- */

static void add(struct ebb_sources *s, int fd, short events, uint32_t cause, uint32_t level)
{
    EBB_ASSERT(s->count < EBB_SOURCES_MAX);
    s->polls[s->count] = (struct ebb_os_poll){.fd = fd, .events = events};
    s->rows[s->count++] = (struct ebb_source){
        .cause = (uint8_t)(cause == SOURCE_WAKE ? cause : ebb__ctz(cause)), .level = (uint8_t)level};
}

static void drop(struct ebb_sources *s, uint32_t i)
{
    ebb__os_fd_close(s->polls[i].fd);
    s->count--;
    s->polls[i] = s->polls[s->count];
    s->rows[i] = s->rows[s->count];
}

static int open_at(const struct ebb_sources *s, const char *folder, size_t len, const char *name,
                   enum ebb_os_open how)
{
    char path[EBB_PATH_BYTES];
    int rc = ebb__place_name(path, s->root, folder, len, name);
    return rc == 0 ? ebb__os_fd_open(path, how) : rc;
}

static int open_level(const struct ebb_sources *s, uint32_t level, const char *name, enum ebb_os_open how)
{
    return open_at(s, s->place.path, s->place.path_len[level], name, how);
}

/* ---- version 1: events ---- */

/* Asks for an event at a file of the cgroup: "event file arguments". The file may be closed then, the event not. */
static int ask(const struct ebb_sources *s, uint32_t level, int event, const char *name,
               const char *arguments)
{
    char line[64];
    int file = open_level(s, level, name, EBB_OS_READ);
    if (file < 0)
        return file;
    int control = open_level(s, level, "/cgroup.event_control", EBB_OS_WRITE);
    int rc = control;
    if (control >= 0) {
        size_t len = ebb__fmt(line, sizeof(line), "%d %d %s", event, file, arguments);
        rc = ebb__os_fd_write(control, line, len);
        ebb__os_fd_close(control);
    }
    ebb__os_fd_close(file);
    return rc < 0 ? rc : 0;
}

static int add_event(struct ebb_sources *s, uint32_t level, enum ebb_cause cause, const char *name,
                     const char *arguments)
{
    int event = ebb__os_fd_event();
    int rc = event < 0 ? event : ask(s, level, event, name, arguments);
    if (rc == 0)
        add(s, event, EBB_OS_POLL_IN, cause, level);
    else if (event >= 0)
        ebb__os_fd_close(event);
    return rc;
}

/* "local": of this cgroup's own limit. Otherwise those above, which have another, would be told too, as before Linux 4.13, which does
 * not know the word. */
static void arm_v1(struct ebb_sources *s, uint32_t level)
{
    static const char file[] = "/memory.pressure_level";
    if (add_event(s, level, EBB_CAUSE_MEDIUM, file, "medium,local") == -EINVAL)
        (void)add_event(s, level, EBB_CAUSE_MEDIUM, file, "medium");
    if (add_event(s, level, EBB_CAUSE_CRITICAL, file, "critical,local") == -EINVAL)
        (void)add_event(s, level, EBB_CAUSE_CRITICAL, file, "critical");
    (void)add_event(s, level, EBB_CAUSE_OOM, "/memory.oom_control", "");
}

static int ask_thresholds(const struct ebb_sources *s, uint32_t level, int event, const uint64_t *bytes,
                          unsigned count)
{
    int rc = 0;
    for (unsigned i = 0; i < count && rc == 0; i++) {
        char text[24];
        (void)ebb__fmt(text, sizeof(text), "%lu", (unsigned long)bytes[i]);
        rc = ask(s, level, event, "/memory.usage_in_bytes", text);
    }
    return rc;
}

static uint32_t find(const struct ebb_sources *s, enum ebb_cause cause, uint32_t level)
{
    uint32_t i = 0;
    while (i < s->count && (s->rows[i].cause != ebb__ctz(cause) || s->rows[i].level != level))
        i++;
    return i;
}

int ebb__sources_set_thresholds(struct ebb_sources *s, uint32_t distance, const uint64_t *bytes,
                                unsigned count)
{
    if (!s->open || s->place.version != 1 || (s->limited >> distance & 1) == 0)
        return -ENOTSUP;
    int event = ebb__os_fd_event();
    if (event < 0)
        return event;
    int rc = ask_thresholds(s, distance, event, bytes, count);
    if (rc != 0) {
        ebb__os_fd_close(event);
        return rc;
    }
    uint32_t before = find(s, EBB_CAUSE_THRESHOLD, distance);
    if (before < s->count)
        drop(s, before);
    add(s, event, EBB_OS_POLL_IN, EBB_CAUSE_THRESHOLD, distance);
    return 0;
}

/* ---- version 2: counters; PSI; who is named ---- */

/* A file that wakes must have been read since: what rose before that is not told. */
static bool reread(int fd)
{
    char text[256];
    return ebb__os_fd_read_file(fd, text, sizeof(text)) >= 0;
}

static void arm_v2(struct ebb_sources *s, uint32_t level)
{
    int fd = open_level(s, level, ebb__file_name(2, EBB_LOCAL), EBB_OS_READ);
    if (fd < 0)
        fd = open_level(s, level, ebb__file_name(2, EBB_EVENTS), EBB_OS_READ);
    if (fd < 0)
        return;
    if (reread(fd))
        add(s, fd, EBB_OS_POLL_PRI, EBB_CAUSE_EVENT, level);
    else
        ebb__os_fd_close(fd);
}

static void arm_stall(struct ebb_sources *s, const char *folder, const char *name, enum ebb_cause cause)
{
    int fd = open_at(s, folder, strlen(folder), name, EBB_OS_READ_WRITE);
    if (fd < 0)
        return;
    if (ebb__os_fd_write(fd, short_trigger, sizeof(short_trigger)) == 0 ||
        ebb__os_fd_write(fd, long_trigger, sizeof(long_trigger)) == 0)
        add(s, fd, EBB_OS_POLL_PRI, cause, 0);
    else
        ebb__os_fd_close(fd);
}

bool ebb__sources_hear_host(const struct ebb_sources *s)
{
    return find(s, EBB_CAUSE_HOST_STALL, 0) != s->count;
}

/* Who named somebody wants to hear that one, and not the kernel as well; who named /dev/null wants to hear nobody. Limits are
 * watched in any case: they are not a matter of taste. */
void ebb__sources_listen(struct ebb_sources *s)
{
    const struct ebb_watch *watch = ebb__watch();
    bool named = false, seen = false;
    if (!s->open || s->listening)
        return;
    s->listening = true;
    if (watch->wish == EBB_WATCH_OFF)
        return;
    if (watch->wish == EBB_WATCH_PATH) {
        short events;
        uint8_t kind;
        int fd = ebb__watch_open(watch, s->root, &events, &kind, &seen);
        named = fd >= 0;
        if (named) {
            add(s, fd, events, EBB_CAUSE_WATCH, 0);
            s->rows[s->count - 1].kind = kind;
        }
        s->pending |= seen ? EBB_CAUSE_WATCH : 0;
    }
    if (!named && s->place.unified[0] != '\0')
        arm_stall(s, s->place.unified, "/memory.pressure", EBB_CAUSE_STALL);
    arm_stall(s, "/proc/pressure", "/memory", EBB_CAUSE_HOST_STALL);
}

/* ---- opening and closing ---- */

static void close_kept(struct ebb_sources *s)
{
    int *const kept[] = {&s->level_fd[0][0], s->only_fd};
    const size_t counts[] = {EBB_PRESSURE_LEVELS * (size_t)EBB_FILES, EBB_ONLY};
    for (unsigned k = 0; k < 2; k++)
        for (size_t i = 0; i < counts[k]; i++) {
            if (kept[k][i] >= 0)
                ebb__os_fd_close(kept[k][i]);
            kept[k][i] = EBB_FD_CLOSED;
        }
}

void ebb__sources_close(struct ebb_sources *s)
{
    while (s->count != 0)
        drop(s, s->count - 1);
    close_kept(s);
    s->open = s->listening = s->stale = false;
    s->limited = s->pending = 0;
}

void ebb__sources_find(struct ebb_sources *s)
{
    close_kept(s);                                /* what the old place did not have the new one may */
    s->fingerprint = ebb__sources_fingerprint(s); /* before the place: who is moved in between is noticed */
    s->stale = s->fingerprint == 0 || ebb__place_find(s->root, s->process, &s->place) != 0;
    if (s->stale)
        s->place = (struct ebb_place){0};
}

int ebb__sources_open(struct ebb_sources *s)
{
    struct ebb_pressure_facts facts;
    int rc = 0;
    bool listening = s->listening;
    ebb__sources_close(s);
    if (!s->own_table) {
        rc = ebb__os_fd_own_table();
        s->own_table = rc == 0;
    }
    ebb__sources_find(s);
    ebb__sources_read(s, &facts); /* which of them have a limit */
    if (!s->own_table)
        return rc;
    int wakes = ebb__os_fd_wakes();
    if (wakes < 0)
        return wakes;
    add(s, wakes, EBB_OS_POLL_IN, SOURCE_WAKE, 0);
    for (uint32_t i = 0; i < facts.count; i++) {
        if (s->place.version == 1)
            arm_v1(s, facts.levels[i].distance);
        else
            arm_v2(s, facts.levels[i].distance);
    }
    s->open = true;
    if (listening)
        ebb__sources_listen(s);
    return 0;
}

/* ---- polling ---- */

/* True when it was an event; false, and *ret_gone, when nothing more will come of it. */
static bool take(struct ebb_sources *s, uint32_t i, struct ebb_sources_event *event, bool *ret_gone)
{
    int fd = s->polls[i].fd;
    short got = s->polls[i].revents;
    uint64_t count;
    struct ebb_watch_call call;
    *ret_gone = (got & EBB_OS_POLL_NVAL) != 0;
    if (*ret_gone)
        return false;
    switch ((enum ebb_cause)(1U << s->rows[i].cause)) {
    case EBB_CAUSE_EVENT: /* comes with POLLERR always */
        *ret_gone = !reread(fd);
        return !*ret_gone;
    case EBB_CAUSE_STALL:
    case EBB_CAUSE_HOST_STALL:
        *ret_gone = (got & EBB_OS_POLL_ERR) != 0;
        return !*ret_gone;
    case EBB_CAUSE_WATCH:
        if (s->rows[i].kind == EBB_OS_KERNEL_FILE) {
            *ret_gone = (got & EBB_OS_POLL_ERR) != 0;
            return !*ret_gone;
        }
        *ret_gone = !ebb__watch_drain(fd, &call);
        event->call_level = call.level;
        event->call_bytes = call.bytes;
        return call.read_bytes != 0;
    default: /* events of version 1 */
        return ebb__os_fd_read(fd, &count, sizeof(count)) == (long)sizeof(count);
    }
}

/* From the last entry: a dropped one is replaced by the last, which has been looked at. */
static void take_all(struct ebb_sources *s, struct ebb_sources_event *event)
{
    for (uint32_t i = s->count; i-- != 0;) {
        const struct ebb_source row = s->rows[i];
        bool gone;
        if (s->polls[i].revents == 0)
            continue;
        if (row.cause == SOURCE_WAKE) {
            event->called = ebb__os_sleep(0, &event->payload);
            continue;
        }
        if (take(s, i, event, &gone)) {
            event->causes |= UINT32_C(1) << row.cause;
            if (row.cause <= ebb__ctz(EBB_CAUSE_EVENT))
                event->levels |= UINT32_C(1) << row.level;
        }
        if (gone) {
            drop(s, i);
            s->stale = true;
        }
    }
}

bool ebb__sources_poll(struct ebb_sources *s, uint64_t timeout_ms, struct ebb_sources_event *ret_event)
{
    *ret_event = (struct ebb_sources_event){0};
    if (s->pending != 0) {
        ret_event->causes = s->pending;
        s->pending = 0;
        timeout_ms = 0;
    }
    int n = s->open ? ebb__os_fd_poll(s->polls, s->count, timeout_ms) : -ENOTSUP;
    if (n > 0)
        take_all(s, ret_event);
    if (n < 0) /* the sources are deaf now: for a while, not for ever */
        ret_event->called =
            ebb__os_sleep(s->open ? ebb__min(timeout_ms, DEAF_MS) : timeout_ms, &ret_event->payload);
    return ret_event->called || ret_event->causes != 0;
}

int ebb__sources_check(const struct ebb_sources *s)
{
    EBB_HOLDS("S1", s->open ? s->count != 0 : s->count == 0, s->open, s->count);
    for (uint32_t i = 0; i < s->count; i++) {
        EBB_HOLDS("S2", (s->rows[i].cause == SOURCE_WAKE) == (i == 0), s->rows[i].cause, i);
        EBB_HOLDS("S3", s->polls[i].fd >= 0, s->polls[i].fd, i);
        for (uint32_t j = 0; j < i; j++)
            EBB_HOLDS("S3", s->polls[i].fd != s->polls[j].fd, i, j);
        if (i != 0 && s->rows[i].cause <= ebb__ctz(EBB_CAUSE_EVENT))
            EBB_HOLDS("S4", (s->limited >> s->rows[i].level & 1) != 0, s->rows[i].level, s->limited);
    }
    for (uint32_t d = 0; d < EBB_PRESSURE_LEVELS; d++)
        for (uint32_t f = 0; f < EBB_FILES; f++)
            EBB_HOLDS("S5", s->own_table || s->level_fd[d][f] < 0, d, f);
    for (uint32_t f = 0; f < EBB_ONLY; f++)
        EBB_HOLDS("S5", s->own_table || s->only_fd[f] < 0, f, s->only_fd[f]);
    return 0;
}
