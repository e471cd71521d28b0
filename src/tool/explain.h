/* SPDX-License-Identifier: MIT
 *
 * The parts of `ebb explain` for each other: what is collected of a process, and the accounts that are made of it.
 *
 *   collect (explain_facts.c, explain_segment.c) -> accounts (explain_tree.c, explain_books.c, pure) -> sections (cmd_explain.c)
 */
#ifndef EBB_TOOL_EXPLAIN_H
#define EBB_TOOL_EXPLAIN_H

#include "books/books.h"
#include "model/account.h"
#include "model/vma.h"
#include "probe/probe.h"
#include "tool/maps.h"
#include "tool/proc_allocator.h"
#include "tool/target.h"

/* Of memory that nobody knows, so many mappings are named. */
#define EBB_EXPLAIN_UNKNOWN_MAX 3

/* Of PostgreSQL's shared memory so many names are rows of their own, and the one with the WAL buffers. */
#define EBB_EXPLAIN_NAMES_MAX 10

/* Processes of the cgroup that are listed, the largest ones. */
#define EBB_EXPLAIN_OTHERS_MAX 5

struct ebb_explain_mapping {
    uint64_t start;
    uint64_t bytes;
    uint64_t rss_bytes;
};

/* What an allocator says of its own memory; a fact that its books do not have is unknown. */
struct ebb_explain_heap {
    const char *source;        /* who says so; NULL: nobody, because of `why` */
    char why[800];             /* a clause */
    uint64_t classes;          /* the mappings that it speaks of: bit i, enum ebb_vma_class i */
    struct ebb_fact live;      /* held by the program */
    struct ebb_fact cached;    /* free, kept for the next requests of a thread */
    struct ebb_fact whole;     /* free, in whole pages that are resident: a trim gives them back */
    struct ebb_fact fragments; /* free, between what is live */
    struct ebb_fact kept;      /* free, at the ends of heaps that a trim leaves alone */
    struct ebb_fact mapped;    /* live too: in blocks that have mappings of their own, which `live` has not */
    struct ebb_fact
        most;   /* resident, as the allocator sees it that does not know what was touched; else unknown */
    bool apart; /* counted at another moment than the kernel's figures are from */
};

/* A name in PostgreSQL's shared memory, and what of it is resident in the process. */
struct ebb_explain_name {
    const struct ebb_books_item *item;
    struct ebb_fact rss;
};

/* The shared memory of a PostgreSQL server as the process has it mapped. */
struct ebb_explain_segment {
    bool found;
    bool huge_pages; /* of the huge page pool: it counts in no RSS */
    uint64_t start;
    uint64_t bytes;
    struct ebb_fact rss;
    struct ebb_fact pss;
    struct ebb_fact memory; /* in memory or swapped out, whoever has touched it */
    int names_err;          /* -errno: why pages were not counted by name */
    unsigned name_count;
    struct ebb_explain_name names[EBB_EXPLAIN_NAMES_MAX + 1]; /* with a place in it, the largest first */
    struct ebb_fact more_rss;                                 /* of all other names */
    unsigned other_count;                                     /* other mappings of shared memory */
    struct ebb_fact others_rss;
};

/* InnoDB's buffer pool among the large mappings, where MariaDB has it in front of what it reserves for a larger one. */
struct ebb_explain_innodb {
    uint64_t large_start; /* the large mapping that was looked at last */
    uint64_t large_end;
    bool found;
    uint64_t start;
    uint64_t bytes;
    struct ebb_fact rss;
};

struct ebb_explain_process {
    pid_t pid;
    char name[EBB_STATUS_NAME_BYTES];
    uint64_t anon_bytes;
};

struct ebb_explain_cgroup {
    int err; /* why there is none: -errno */
    char path[EBB_CGROUP_PATH_BYTES];
    struct ebb_cgroup facts;
    unsigned process_count;     /* in it and below */
    struct ebb_fact anon_bytes; /* of these together */
    unsigned listed;
    struct ebb_explain_process processes[EBB_EXPLAIN_OTHERS_MAX]; /* the largest, in order */
};

struct ebb_explain_facts {
    const struct ebb_target *target;
    struct ebb_status status;
    struct ebb_proc_allocator *allocator; /* NULL: */
    int allocator_err;
    bool has_pages; /* resident pages of each mapping are known */
    const char *pages_why;
    uint64_t estimate_ms; /* what reading them takes, when that is why they were not */
    struct ebb_maps_sum classes[EBB_VMA_CLASS_COUNT];
    unsigned unknown_count;
    struct ebb_explain_mapping
        unknown[EBB_EXPLAIN_UNKNOWN_MAX]; /* the largest of EBB_VMA_CLASS_ANON, in order */
    struct ebb_explain_heap heap;
    struct ebb_explain_cgroup cgroup;
    struct ebb_books books; /* kind EBB_BOOKS_NONE: of no server, or not asked */
    struct ebb_explain_segment segment;
    struct ebb_explain_innodb innodb;
};

/* What was asked for. */
struct ebb_explain_ask {
    bool deep;       /* read all pages, whatever it takes */
    bool no_sql;     /* ask no server */
    const char *sql; /* where to ask; NULL: find out */
    const char *defaults_file;
};

/* Collects. An exit status, after a line on standard error when it is not EBB_EXIT_OK. */
int ebb__explain_collect(struct ebb_explain_facts *facts, const struct ebb_target *target,
                         const struct ebb_explain_ask *ask);

/* Of that only who serves malloc, and what it says: facts->target is given, and the allocator and the heap are filled. */
void ebb__explain_collect_heap(struct ebb_explain_facts *facts);

void ebb__explain_fini(struct ebb_explain_facts *facts);

/* The account of the process's resident memory. */
void ebb__explain_resident(const struct ebb_explain_facts *facts, struct ebb_account *ret_account);

/* The account of what is live in its heap, by the server's own books. False when one of the two is not known. */
bool ebb__explain_live(const struct ebb_explain_facts *facts, struct ebb_account *ret_account);

/* Looks whether a mapping is the shared memory of the server whose books are known, and counts its pages once all were looked at. */
void ebb__explain_segment_look(struct ebb_explain_facts *facts, const struct ebb_maps_row *row);
void ebb__explain_segment_count(struct ebb_explain_facts *facts);

/* The parts of the row for shared memory; false when it is no server's. */
bool ebb__explain_shared(const struct ebb_explain_facts *facts, struct ebb_account *account);

/* The account of that mapping by the server's names, resident or not. False when there is none. */
bool ebb__explain_segment(const struct ebb_explain_facts *facts, struct ebb_account *ret_account);

/* Looks for InnoDB's buffer pool, mapping by mapping, and counts its pages. */
void ebb__explain_innodb_look(struct ebb_explain_facts *facts, const struct ebb_maps_row *row);
void ebb__explain_innodb_count(struct ebb_explain_facts *facts);

/* What is resident between two addresses, which need not be those of pages: of a page in which one lies, the share counts in bytes. */
struct ebb_fact ebb__explain_resident_in(struct ebb_pages *pages, uint64_t start, uint64_t end);

/* The parts of the row for large anonymous memory, by the server's books; nothing when it is none with such a pool. */
void ebb__explain_pool(const struct ebb_explain_facts *facts, struct ebb_account *account);

/* Where the heap was not walked, and a server has its jemalloc's own figures: takes them. */
void ebb__explain_told(struct ebb_explain_facts *facts);

/* The account of its cgroup's usage. */
void ebb__explain_usage(const struct ebb_explain_facts *facts, struct ebb_account *ret_account);

#endif
