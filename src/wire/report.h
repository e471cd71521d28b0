/* SPDX-License-Identifier: MIT
 *
 * The report: what processes on ebb leave behind for whoever started them (`ebb run --report`).
 *
 * It is a memory file that `ebb run` makes and keeps open, and that the library maps shared: what was written there is still there
 * when its writer has been killed, by whatever. Its name is told in the environment, as EBB_REPORT=PID:FD:COOKIE, which stands for
 * /proc/PID/fd/FD; the cookie stands in the file too, so that a number of a process that was used again leads nowhere.
 *
 *   +--------+--------+--------+- - -+----------+
 *   | header | slot 0 | slot 1 |     | slot n-1 |       one slot for each program that had something to say
 *   +--------+--------+--------+- - -+----------+
 *
 *     slot:   fixed part | gives | causes | limits | rows | records        tables, whose places the fixed part tells
 *
 * Who gets which slot. The first program that maps the file has slot 0, and nobody else: that is what was asked about. All others,
 * programs that the same process executes later, children, and what these execute, take the next number when they first have
 * something to write. So a shell that forks thousands takes none for them. When the numbers are used up the rest go without, and
 * are counted. The file is sparse: a slot that nobody has touched takes no memory.
 *
 * Who writes. A slot has one writing process, and in it one writer at a time (src/governor/report.c); `sequence` is odd meanwhile. A
 * process may be killed in the middle: then the figures of its last state do not all belong to one instant, but each is right. The
 * header's counters are atomic.
 *
 * Format. As for the stats page (stats_page.h): the machine's byte order, everything at multiples of its size; later versions append
 * fields and entries and never move or remove any; offsets in a slot count from its begin. Names of rows, of what gives, of causes and
 * of limits come along, so a reader needs no list of them. Levels are 0 green, 1 yellow, 2 orange, 3 red. Times are CLOCK_MONOTONIC.
 *
 * Reading. Any process that was given the name may have written anything anywhere: ebb__wire_report_decode() and what follows it trust
 * nothing. Copy the file first, for somebody may still be writing.
 */
#ifndef EBB_WIRE_REPORT_H
#define EBB_WIRE_REPORT_H

#include "wire/stats_page.h"

#define EBB_REPORT_VARIABLE "EBB_REPORT"
#define EBB_REPORT_MAGIC    "EBBREPRT" /* 8 bytes, without the NUL */
#define EBB_REPORT_VERSION  1u

#define EBB_REPORT_SLOTS        256u
#define EBB_REPORT_SLOT_BYTES   12288u /* three pages of 4 KiB: of those only what is used takes memory */
#define EBB_REPORT_SLOTS_OFFSET 4096u
#define EBB_REPORT_BYTES        (EBB_REPORT_SLOTS_OFFSET + (size_t)EBB_REPORT_SLOTS * EBB_REPORT_SLOT_BYTES)

/* What is larger, or has more slots or entries, is taken for damaged. */
#define EBB_REPORT_BYTES_MAX   ((size_t)64 << 20)
#define EBB_REPORT_SLOTS_MAX   65536u
#define EBB_REPORT_ENTRIES_MAX 1024u

#define EBB_REPORT_GIVES   8u /* room for entries; the governor asserts that its own fit */
#define EBB_REPORT_CAUSES  20u
#define EBB_REPORT_LIMITS  8u
#define EBB_REPORT_ROWS    96u
#define EBB_REPORT_RECORDS 64u

#define EBB_REPORT_PROGRAM_BYTES 32u
#define EBB_REPORT_NAME_BYTES    40u
#define EBB_REPORT_GROUP_BYTES   256u

struct ebb_report_header {
    char magic[8];
    uint32_t version;
    uint32_t file_bytes;
    uint32_t header_bytes;
    uint32_t slot_count;
    uint32_t slot_bytes; /* from one to the next */
    uint32_t slots_offset;
    uint64_t cookie;
    _Atomic uint32_t first_pid; /* of the program that mapped it first, as it sees itself; 0: nobody has */
    _Atomic uint32_t opened;    /* programs that have mapped it */
    _Atomic uint32_t taken;     /* numbers given out from slot 1 on; may be more than there are */
    uint32_t unused;
};

enum ebb_report_role {
    EBB_REPORT_OTHER = 0, /* a descendant */
    EBB_REPORT_FIRST,     /* the first program: slot 0 */
    EBB_REPORT_LATER,     /* what the process of the first program executed later */
};

/* Entries of a table of a slot. */
struct ebb_report_table {
    uint32_t offset;
    uint32_t count;
    uint32_t entry_bytes; /* from one to the next */
    uint32_t unused;
};

/* The most that was taken at once, of an account of the ledger. */
struct ebb_report_peak {
    uint64_t bytes;
    uint64_t at_ms; /* 0: it was still so when the slot was last written */
};

struct ebb_report_sum {
    char name[EBB_REPORT_NAME_BYTES]; /* ends with a NUL */
    uint64_t bytes;
};

/* Steps under pressure that had all of it in common. */
struct ebb_report_record {
    uint64_t from_ms, last_ms; /* the first and the last of them */
    uint64_t want_bytes;       /* the most that was wanted */
    uint64_t got_bytes;        /* in all */
    uint32_t took_ms;
    uint32_t steps;
    uint8_t level, need;
    uint8_t cause;   /* index in causes */
    uint8_t limit;   /* index in limits, or beyond them: none */
    uint8_t refused; /* the policy would have refused requests: a hard limit did, a cgroup's never does */
    uint8_t unused[3];
};

enum ebb_report_group_kind {
    EBB_REPORT_NO_GROUP = 0, /* no limit was seen */
    EBB_REPORT_GROUP_MAX,    /* memory.max, or memory.limit_in_bytes */
    EBB_REPORT_GROUP_HIGH    /* memory.high */
};

/* The fixed part of a slot. */
struct ebb_report_slot {
    _Atomic uint32_t sequence; /* 0: never written; odd: being written */
    uint32_t fixed_bytes;      /* of this part, as its writer knows it */
    uint32_t pid;              /* as it sees itself */
    uint32_t role;
    _Atomic uint64_t ended_ms; /* it ended in good order; 0: it has not said so */
    uint64_t start_ms;         /* of the program; of a child that executes nothing its birth */
    uint64_t written_ms;       /* last */
    char program[EBB_REPORT_PROGRAM_BYTES];
    char library[EBB_WIRE_LIBRARY_BYTES];
    struct ebb_report_peak process, heap, untracked;
    uint64_t used_bytes;       /* by the process's account, when last written */
    uint64_t limit_bytes;      /* its own soft limit; 0: none */
    uint64_t hard_limit_bytes; /* 0: none */
    uint32_t budget_percent;   /* of the cgroup's room; 0: all but a little */
    uint32_t level;
    uint32_t group_kind; /* the limit with the least room among its cgroups */
    uint32_t group_distance;
    uint64_t group_limit_bytes;
    uint64_t group_used_bytes;
    uint64_t soft_hits, hard_hits; /* charges of the ledger that met a limit */
    _Atomic uint64_t refusals;     /* blocks that were refused, as the next two by whoever was refused */
    _Atomic uint64_t refused_ms;   /* the last one */
    _Atomic uint64_t refused_bytes;
    uint64_t record_count; /* of all time; the entries are a ring */
    struct ebb_report_table gives, causes, limits, rows, records;
    char group[EBB_REPORT_GROUP_BYTES]; /* its folder, as the process sees it; only the end of a long one */
};

/* A slot as this version writes it. */
struct ebb_report_slot_full {
    struct ebb_report_slot fixed;
    struct ebb_report_sum gives[EBB_REPORT_GIVES];   /* what was given under pressure, by kind */
    struct ebb_report_sum causes[EBB_REPORT_CAUSES]; /* the same, by cause */
    struct ebb_report_sum limits[EBB_REPORT_LIMITS]; /* names alone */
    struct ebb_wire_row rows[EBB_REPORT_ROWS];       /* of the stats page */
    struct ebb_report_record records[EBB_REPORT_RECORDS];
};

EBB_STATIC_ASSERT(sizeof(struct ebb_report_header) == 56 && sizeof(struct ebb_report_slot) == 576 &&
                      sizeof(struct ebb_report_sum) == 48 && sizeof(struct ebb_report_record) == 48,
                  "the format of version 1");
EBB_STATIC_ASSERT(sizeof(struct ebb_report_slot_full) <= EBB_REPORT_SLOT_BYTES, "a slot holds it");

/* ---- the name ---- */

struct ebb_report_name {
    uint32_t pid;
    uint32_t fd;
    uint64_t cookie;
};

#define EBB_REPORT_NAME_TEXT_BYTES 48u

/* "PID:FD:COOKIE", the last in hexadecimal. */
void ebb__wire_report_name(const struct ebb_report_name *name, char ret_text[EBB_REPORT_NAME_TEXT_BYTES]);

/* 0, or -EINVAL: anybody may have set the variable to anything. */
int ebb__wire_report_name_parse(const char *text, struct ebb_report_name *ret_name);

/* ---- writing ---- */

/* The begin of a new file of EBB_REPORT_BYTES, which is zero elsewhere. */
void ebb__wire_report_begin(struct ebb_report_header *header, uint64_t cookie);

/* What a process has found mapped, checked once: nobody's later changes of the file lead outside of it. */
struct ebb_report_map {
    struct ebb_report_header *header;
    unsigned char *slots;
    uint32_t slot_count;
    uint32_t slot_bytes;
};

/* 0; -EPROTO when it is no report or not that of the cookie, -EBADMSG when its sizes make no sense or do not hold a slot of ours. */
int ebb__wire_report_join(void *bytes, size_t n, uint64_t cookie, struct ebb_report_map *ret_map);

/* Says that a program of that pid is here. Its role. */
enum ebb_report_role ebb__wire_report_enrol(const struct ebb_report_map *map, uint32_t pid);

/* A slot for a process that has none yet; NULL: they are used up, and will be. */
struct ebb_report_slot_full *ebb__wire_report_claim(const struct ebb_report_map *map,
                                                    enum ebb_report_role role);

/* Around each change of a slot but that of an atomic field. */
void ebb__wire_report_change_begin(struct ebb_report_slot *slot);
void ebb__wire_report_change_end(struct ebb_report_slot *slot);

/* ---- reading ---- */

struct ebb_report_view {
    const unsigned char *bytes;
    uint32_t version; /* above EBB_REPORT_VERSION: there is more than we understand */
    uint32_t slot_count, slot_bytes, slots_offset;
    uint32_t first_pid;
    uint32_t opened;
    uint32_t turned_away; /* processes that found no slot */
};

/* 0, -EMSGSIZE when n is less than the file has, -EPROTO when it is no report, -EBADMSG when its sizes make no sense. */
int ebb__wire_report_decode(const void *bytes, size_t n, struct ebb_report_view *ret_view);

struct ebb_report_process {
    const unsigned char *bytes; /* of the slot */
    bool torn;                  /* it was being written: its figures may be of two instants */
    uint32_t pid;
    enum ebb_report_role role;
    uint64_t ended_ms, start_ms, written_ms;
    char program[EBB_REPORT_PROGRAM_BYTES + 1]; /* printable, as all texts; never empty */
    char library[EBB_WIRE_LIBRARY_BYTES + 1];
    struct ebb_report_peak process, heap, untracked;
    uint64_t used_bytes, limit_bytes, hard_limit_bytes;
    uint32_t budget_percent;
    uint32_t level;
    enum ebb_report_group_kind group_kind;
    uint32_t group_distance;
    uint64_t group_limit_bytes, group_used_bytes;
    char group[EBB_REPORT_GROUP_BYTES + 1];
    uint64_t soft_hits, hard_hits, refusals, refused_ms, refused_bytes;
    unsigned give_count, cause_count, row_count;
    unsigned record_count;   /* that are there */
    uint64_t records_before; /* older ones that were overwritten */
    struct ebb_report_table gives, causes, limits, rows, records;
    uint64_t record_next; /* in the ring */
};

/* Slot number i. 0, -ENOENT when nobody has written there, -EBADMSG when it is damaged. pre: i < slot_count */
int ebb__wire_report_slot(const struct ebb_report_view *view, unsigned i, struct ebb_report_process *ret);

struct ebb_report_sum_view {
    char name[EBB_REPORT_NAME_BYTES + 1];
    uint64_t bytes;
};

/* Entry number i. pre: i is below the count */
void ebb__wire_report_give(const struct ebb_report_process *process, unsigned i,
                           struct ebb_report_sum_view *ret);
void ebb__wire_report_cause(const struct ebb_report_process *process, unsigned i,
                            struct ebb_report_sum_view *ret);
void ebb__wire_report_row(const struct ebb_report_process *process, unsigned i,
                          struct ebb_wire_row_view *ret);

/* The row of that name, or 0. */
uint64_t ebb__wire_report_value(const struct ebb_report_process *process, const char *name);

struct ebb_report_record_view {
    uint64_t from_ms, last_ms, want_bytes, got_bytes;
    uint32_t took_ms, steps;
    unsigned level, need;
    bool refused;
    char cause[EBB_REPORT_NAME_BYTES + 1];
    char limit[EBB_REPORT_NAME_BYTES + 1]; /* "" when it has to do with none */
};

/* The i-th of those that are there, the oldest first. */
void ebb__wire_report_record(const struct ebb_report_process *process, unsigned i,
                             struct ebb_report_record_view *ret);

#endif
