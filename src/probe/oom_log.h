/* SPDX-License-Identifier: MIT
 *
 * What the kernel says when it kills for memory, as Linux 4.18 to 6.18 put it.
 *
 * A report begins with "X invoked oom-killer", goes on with the limit that was hit, a table of the candidates and who was chosen,
 * and ends with "Killed process". It is one text of many lines among others: those of the reaper, which may belong to the
 * report before, of other processors, and of other programs where the journal is read. The report may be absent as a whole (the
 * kernel prints ten of them in five seconds at most; the line of the kill always comes) and may have lost lines.
 *
 * The text is a whole log in memory. Kills point into it for their table, which is parsed again whenever it is walked
 * over: nothing is copied, and a host with 10,000 processes costs nothing. Each line may stand as a record of /dev/kmsg
 * ("6,871,19115228245,-;text"), with the stamp of dmesg ("[19115.228245] text", also "[Tue Nov 24 16:25:34 2026] text", and with the
 * caller "[ T416] text" behind it), behind what a journal or syslog writes ("Nov 24 16:25:34 db1 kernel: text"), or bare.
 *
 * Names of processes may hold anything, also pieces of these messages: what the kernel writes behind a name is looked for
 * from the right.
 */
#ifndef EBB_PROBE_OOM_LOG_H
#define EBB_PROBE_OOM_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "probe/fact.h"

#define EBB_OOM_NAME_BYTES  64
#define EBB_OOM_PATH_BYTES  512
#define EBB_OOM_STAMP_BYTES 48

/* When a line was written. */
struct ebb_oom_stamp {
    char text[EBB_OOM_STAMP_BYTES]; /* as it stood there; "" when it did not */
    struct ebb_fact boot_us;        /* since boot: kmsg, dmesg */
    struct ebb_fact sequence;       /* of a record of kmsg */
};

/* A line without what stands before the kernel's own words. */
struct ebb_oom_text {
    const char *at;
    const char *end;
    struct ebb_oom_stamp stamp;
};

/* Takes the front off one line, which has no newline. False when it belongs to no message of the kernel: the continuation of
 * a record, another program's line in a journal. */
bool ebb__oom_log_strip(const char *line, size_t len, struct ebb_oom_text *ret_text);

/* One line of the table of candidates. Sizes in pages of the host that wrote them, but for page tables. */
struct ebb_oom_row {
    pid_t pid;
    pid_t tgid;
    uint64_t uid;
    uint64_t total_vm_pages;
    uint64_t rss_pages;
    uint64_t swap_pages;
    struct ebb_fact table_bytes; /* since 4.15 */
    struct ebb_fact table_pages; /* before: nr_ptes and nr_pmds */
    struct ebb_fact anon_pages;  /* since 6.9, about */
    struct ebb_fact file_pages;
    struct ebb_fact shmem_pages;
    int adj;
    char name[EBB_OOM_NAME_BYTES];
};

enum ebb_oom_reaper {
    EBB_OOM_REAPER_SILENT,
    EBB_OOM_REAPED,
    EBB_OOM_UNREAPABLE, /* the reaper could not get hold of its address space */
};

struct ebb_oom_kill {
    struct ebb_oom_stamp stamp;
    pid_t pid;
    char name[EBB_OOM_NAME_BYTES];
    struct ebb_fact total_vm_bytes;
    struct ebb_fact anon_bytes;
    struct ebb_fact file_bytes;
    struct ebb_fact shmem_bytes;
    struct ebb_fact uid;         /* since 5.3, and of some before */
    struct ebb_fact table_bytes; /* since 5.3, as adj */
    bool has_adj;
    int adj;
    bool memcg;            /* "Memory cgroup out of memory", or a report of a cgroup */
    bool allocating;       /* who asked for memory was killed, because of vm.oom_kill_allocating_task */
    bool in_group;         /* killed with another one, because of memory.oom.group */
    struct ebb_fact score; /* up to 5.0: of 1000 */

    bool has_report; /* the rest is from the report before it */
    char invoker[EBB_OOM_NAME_BYTES];
    int invoker_adj;
    uint64_t order;      /* 2^order pages in one piece were wanted */
    char gfp[128];       /* "GFP_KERNEL|__GFP_ACCOUNT"; "" when only the number is there */
    char constraint[32]; /* "MEMCG", "NONE", "CPUSET", "MEMORY_POLICY"; "" when it is not said */
    char oom_memcg[EBB_OOM_PATH_BYTES];  /* whose limit; "" for the host's, or when it is not said */
    char task_memcg[EBB_OOM_PATH_BYTES]; /* where the victim was */
    char group[EBB_OOM_PATH_BYTES];      /* whose memory.oom.group killed all; "" for none */
    struct ebb_fact usage_bytes;
    struct ebb_fact limit_bytes;
    struct ebb_fact swap_limit_bytes;  /* version 2: of swap alone */
    struct ebb_fact memsw_limit_bytes; /* version 1: of memory and swap */
    struct ebb_fact ram_pages;         /* of a report of the host */
    struct ebb_fact reserved_pages;
    struct ebb_fact swap_total_bytes;

    const char *table; /* the line of the headings; NULL when there is none */
    const char *table_end;
    size_t row_count;
    bool truncated; /* the table is not whole, or the victim is not in it */
    const char *truncated_why;

    enum ebb_oom_reaper reaper;
    struct ebb_fact left_anon_bytes; /* what the reaper left */
    struct ebb_fact left_file_bytes;
    struct ebb_fact left_shmem_bytes;
};

/* A log that is walked over. */
struct ebb_oom_log {
    const char *at;
    const char *end;
    uint64_t no_victim_count;   /* "no killable processes" */
    uint64_t panic_count;       /* panic_on_oom */
    uint64_t suppressed;        /* messages that the rate limit held back */
    uint64_t kernel_count;      /* lines that have a stamp of the kernel's, or tell of a kill */
    struct ebb_oom_kill report; /* the open one, or the last one for the kills of its group */
    bool open;
    bool grouped; /* the last report goes on with the members of a group */
    pid_t last_pid;
    struct ebb_fact last_sequence;
    bool gap; /* records are missing within the open report */
};

void ebb__oom_log_init(struct ebb_oom_log *log, const char *text, size_t len);

/* The next kill, in the order of the log; false at the end. */
bool ebb__oom_log_next(struct ebb_oom_log *log, struct ebb_oom_kill *ret_kill);

/* Walks over the table of a kill. */
struct ebb_oom_rows {
    const char *at;
    const char *end;
    unsigned char columns[32];
    unsigned column_count;
};

void ebb__oom_rows_init(const struct ebb_oom_kill *kill, struct ebb_oom_rows *ret_rows);
bool ebb__oom_rows_next(struct ebb_oom_rows *rows, struct ebb_oom_row *ret_row);

/* The page size of the host that wrote the log, from the two sizes that it gives of the victim; unknown without a table. */
struct ebb_fact ebb__oom_kill_page_bytes(const struct ebb_oom_kill *kill);

/* Reads the kernel's buffer, ROOT/dev/kmsg, from its oldest record: one line for each, without what continues it. Others who read it lose
 * nothing. A file of a captured tree is read as it is. Of what does not fit the buffer the end is missing (-EMSGSIZE, with what fits).
 * 0, or -errno: -EPERM means that kernel.dmesg_restrict wants CAP_SYSLOG. */
int ebb__oom_log_read(const char *root, char *buf, size_t buf_bytes, size_t *ret_len);

/* Keeps, in place, of a log in the form of /dev/kmsg what tells of kills. Of other records within a report, such as registers and
 * what programs have written meanwhile, the fronts stay, so that none seems to be missing. Returns the new length. */
size_t ebb__oom_log_keep_kills(char *text, size_t len);

#endif
