/* SPDX-License-Identifier: MIT
 *
 * Where the governor's facts come from, and what wakes it. Rooms:
 *
 *   text.c           texts of the kernel, taken apart (pure)
 *   pressure_facts.c what facts add up to (pure)
 *   place.c          which cgroups the process is in, and where they are mounted
 *   pressure_read.c  the facts, read
 *   sources.c        the descriptors that wake: armed, polled, closed
 *   watch.c          systemd's protocol: who wants to tell us of pressure
 *
 * All paths begin at a root, "" on a live host, so that trees made for tests are read in the same way. Everything but
 * ebb__watch_note() is called by the background thread alone: there is no lock.
 */
#ifndef EBB_GOVERNOR_SOURCES_PRIV_H
#define EBB_GOVERNOR_SOURCES_PRIV_H

#include "governor/pressure_facts.h"
#include "os/os.h"

#define EBB_PATH_BYTES 4096u
#define EBB_TEXT_BYTES 8192u /* memory.stat has 1,500 to 3,000 bytes, meminfo 1,600 */

/* ---- place.c ---- */

struct ebb_place {
    uint32_t version;                       /* of the memory controller; 0: none is seen from here */
    uint32_t depth;                         /* cgroups from the process's own to the top of what is mounted */
    uint16_t path_len[EBB_PRESSURE_LEVELS]; /* of each level's folder in `path`, own first */
    char path[EBB_PATH_BYTES]; /* the own folder: "/sys/fs/cgroup/memory/a/b", without the root */
    char unified
        [EBB_PATH_BYTES]; /* the own folder in version 2, for its memory.pressure; "": none, or the top,
                                             whose figures are the host's */
};

/* `process` is "/proc/self", or "/proc/PID" of a tree. 0 also when there is no controller; -errno when it cannot be told. Opens
 * descriptors, one at a time. */
int ebb__place_find(const char *root, const char *process, struct ebb_place *ret_place);

/* Writes the strings one behind the other, `len` bytes of the folder. 0, -ENAMETOOLONG. */
int ebb__place_name(char ret_path[EBB_PATH_BYTES], const char *root, const char *folder, size_t len,
                    const char *name);

/* ---- pressure_read.c ---- */

/* Files of a cgroup. */
enum ebb_file {
    EBB_LIMIT,
    EBB_HIGH,
    EBB_MEMSW_LIMIT,
    EBB_USAGE,
    EBB_MEMSW_USAGE,
    EBB_STAT,
    EBB_EVENTS,
    EBB_LOCAL,
    EBB_FAILCNT,
    EBB_MEMSW_FAILCNT,
    EBB_OOM,
    EBB_FILES
};

/* And files of which there is one. */
enum ebb_only { EBB_MEMINFO, EBB_STATM, EBB_CGROUP, EBB_HOST_STALL, EBB_OWN_STALL, EBB_ONLY };

/* Its name in this version of the controller; NULL when there is none. */
const char *ebb__file_name(uint32_t version, enum ebb_file file);

struct ebb_sources;

/* A number for the text of /proc/PID/cgroup: another one when the process was moved. 0 when it cannot be read. */
uint64_t ebb__sources_fingerprint(struct ebb_sources *s);

/* ---- sources.c ---- */

/* Why a poll has ended: bits. */
enum ebb_cause {
    EBB_CAUSE_THRESHOLD = 1 << 0, /* version 1: the usage has crossed a threshold, upwards or downwards */
    EBB_CAUSE_MEDIUM = 1 << 1,    /* version 1: reclaim finds less than 40 % of what it looks at */
    EBB_CAUSE_CRITICAL = 1 << 2,  /* version 1: less than 5 % */
    EBB_CAUSE_OOM = 1 << 3,       /* version 1: the kernel is about to kill */
    EBB_CAUSE_EVENT = 1 << 4,     /* version 2: a counter of memory.events has risen */
    EBB_CAUSE_STALL = 1 << 5,     /* tasks of the process's cgroup wait for memory */
    EBB_CAUSE_HOST_STALL = 1 << 6,
    EBB_CAUSE_WATCH = 1 << 7, /* who is named by MEMORY_PRESSURE_WATCH says so */
};

struct ebb_sources_event {
    bool called;      /* by ebb__os_wake() */
    uint64_t payload; /* then: what the waker said */
    uint32_t causes;
    uint32_t levels;     /* bit n: the cgroup at distance n, for the causes that belong to one */
    uint32_t call_level; /* who is named says so: 1 yellow, 2 orange, 3 red, the highest; 0: he did not say */
    uint64_t call_bytes; /* in all that he wants back; 0: he did not say */
};

struct ebb_source {
    uint8_t cause; /* number of the bit; EBB_SOURCE_WAKE for the wakes */
    uint8_t level; /* distance */
    uint8_t kind;  /* of the file behind EBB_CAUSE_WATCH */
};

#define EBB_SOURCES_MAX (EBB_PRESSURE_LEVELS * 4 + 4)

struct ebb_sources {
    const char *root, *process;
    bool own_table;       /* the thread has a table of descriptors of its own; for good */
    bool open;            /* there is something to poll */
    bool listening;       /* to stalls */
    bool stale;           /* noted since the last open */
    uint32_t limited;     /* bit n: the cgroup at distance n had a limit when the sources were opened */
    uint32_t pending;     /* causes that were seen while arming */
    uint64_t fingerprint; /* of /proc/PID/cgroup then */
    struct ebb_place place;
    int level_fd[EBB_PRESSURE_LEVELS][EBB_FILES]; /* or one of the two below */
    int only_fd[EBB_ONLY];
    uint32_t count; /* of the two arrays, which belong together */
    struct ebb_os_poll polls[EBB_SOURCES_MAX];
    struct ebb_source rows[EBB_SOURCES_MAX];
    /* For one file at a time. Not on the stack: who reads may be in the middle of malloc, in a thread with a small one. */
    char name[EBB_PATH_BYTES];
    char text[EBB_TEXT_BYTES];
};

#define EBB_FD_CLOSED (-1) /* not opened yet */
#define EBB_FD_ABSENT (-2) /* there is no such file, or we may not read it: not tried again */

/* Before all others. The strings are borrowed. */
void ebb__sources_init(struct ebb_sources *s, const char *root, const char *process);

/* Finds the cgroups, and opens nothing for longer than a read; `stale` when they cannot be found now. Part of the next one. */
void ebb__sources_find(struct ebb_sources *s);

/* Arms: takes a table of descriptors of its own, finds the cgroups, opens what wakes when a limit is near. Closes what was open
 * before, thresholds too.
 * 0; -errno when there is nothing to poll (no table of its own, no wakes): the sources work all the same, by sleeping, and facts
 * are read by opening each file for a moment, which the program can see.
 * pre: as ebb__os_fd_own_table(). Cost: some ms, most of it waits for grace periods of the kernel. */
int ebb__sources_open(struct ebb_sources *s);

/* Listens to stalls as well, of the own cgroup and the host, or to whoever the environment names; ebb__sources_open() goes on with it.
 * Cost: some ms now, and 5 to 80 ms more at the end of the process (2026-12, Linux 6.18, idle and with ten others at work):
 * for a process that has lived for a while, or is near its limit. */
void ebb__sources_listen(struct ebb_sources *s);

/* Whether stalls of the host would wake: the kernel, or its owner, may not allow that. */
bool ebb__sources_hear_host(const struct ebb_sources *s);

/* Closes all descriptors; the table stays the thread's own. Cost: some ms. */
void ebb__sources_close(struct ebb_sources *s);

/* Version 1: wakes when the usage of a limited cgroup crosses one of these; replaces those before. 0, -ENOTSUP (version 2 knows no
 * such thing: poll), -EACCES (only root may) and others: what was there stays. Cost: a grace period of the kernel (some
 * ms) for each. */
int ebb__sources_set_thresholds(struct ebb_sources *s, uint32_t distance, const uint64_t *bytes,
                                unsigned count);

/* Sleeps until something happens, for timeout_ms or EBB_OS_FOREVER. True when something has; *ret_event is written always. In the
 * place of ebb__os_sleep(), also when nothing is armed. */
bool ebb__sources_poll(struct ebb_sources *s, uint64_t timeout_ms, struct ebb_sources_event *ret_event);

/* Reads all facts. Cost: 20 to 100 us; 1 KiB of stack. */
void ebb__sources_read(struct ebb_sources *s, struct ebb_pressure_facts *ret_facts);

/* -EUCLEAN and a line when an invariant of sources.c is broken. */
int ebb__sources_check(const struct ebb_sources *s);

/* ---- watch.c ---- */

/* What the environment says about pressure, copied: programs move and overwrite it. By the constructor, before a second thread. */
void ebb__watch_note(void);

enum ebb_watch_wish {
    EBB_WATCH_UNSAID = 0, /* nothing, or nothing that can be understood */
    EBB_WATCH_OFF,        /* no notification of pressure is wanted */
    EBB_WATCH_PATH,
};
struct ebb_watch {
    enum ebb_watch_wish wish;
    uint16_t write_bytes;
    unsigned char write[256]; /* the kernel takes 32, a server of pressure what it likes */
    char path[EBB_PATH_BYTES];
};
const struct ebb_watch *ebb__watch(void);

/* Opens what it names, below the root, and writes what it wants. A descriptor, with the events to poll for and the kind of what
 * is behind it. *ret_seen: others had something to say already. */
int ebb__watch_open(const struct ebb_watch *watch, const char *root, short *ret_events, uint8_t *ret_kind,
                    bool *ret_seen);

/* Reads what there is. False when nothing more will come. */
struct ebb_watch_call {
    size_t read_bytes; /* 0: nobody has called */
    uint32_t level;    /* as in ebb_sources_event, as the next */
    uint64_t bytes;
};
bool ebb__watch_drain(int fd, struct ebb_watch_call *ret_call);

#endif
