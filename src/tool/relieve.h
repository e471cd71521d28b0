/* SPDX-License-Identifier: MIT
 *
 * The parts of `ebb relieve` for each other: what can be had from where, and having it.
 *
 * Each action first says what it would bring; nothing is done without --yes. What became of the prediction is measured afterwards.
 */
#ifndef EBB_TOOL_RELIEVE_H
#define EBB_TOOL_RELIEVE_H

#include "books/books.h"
#include "model/pool.h"
#include "probe/probe.h"
#include "tool/force_call.h"
#include "tool/page.h"
#include "tool/proc_allocator.h"
#include "tool/target.h"

enum ebb_relieve_id {
#define EBB_RELIEVE(id, key, of, title, hazard) EBB_RELIEVE_##id,
#include "tool/relieve.def"
#undef EBB_RELIEVE
    EBB_RELIEVE_COUNT
};

enum ebb_relieve_of { EBB_RELIEVE_OF_RSS, EBB_RELIEVE_OF_USAGE, EBB_RELIEVE_OF_HEAP };

struct ebb_relieve_row {
    const char *key;
    enum ebb_relieve_of of;
    const char *title;
    const char *hazard;
};

extern const struct ebb_relieve_row ebb__relieve_rows[EBB_RELIEVE_COUNT];

#define EBB_RELIEVE_WORDS 256

struct ebb_relieve_action {
    bool possible;
    char why[EBB_RELIEVE_WORDS]; /* when not */
    struct ebb_fact predicted_bytes;
    const char *predicted_why; /* when that is not known */
    char how[EBB_RELIEVE_WORDS];
    bool chosen;
    bool done;
    char said[EBB_RELIEVE_WORDS];     /* what came of it, in words */
    struct ebb_fact before_bytes;     /* of RSS, usage or the heap */
    struct ebb_fact after_bytes;      /* 1 s later */
    struct ebb_fact rss_before_bytes; /* of HEAP: what is resident besides */
    struct ebb_fact rss_after_bytes;
};

/* What was asked for. */
struct ebb_relieve_ask {
    const struct ebb_force_function *force; /* NULL: none */
    long pause_ms;
    const char *left_out; /* why the server is not asked, a clause; NULL: it is */
    const char *sql;      /* where; NULL: found from the process */
    const char *defaults_file;
    uint64_t pool_bytes; /* 0: no resize */
    long pool_wait_ms;
    bool flush;
};

struct ebb_relieve {
    const struct ebb_target *target;
    struct ebb_proc_allocator *allocator; /* NULL: not known */
    int allocator_err;
    const struct ebb_relieve_ask *ask;
    struct ebb_books books;  /* of a server; kind EBB_BOOKS_NONE: of none, or not asked */
    uint64_t new_pool_bytes; /* what the server would make of ask->pool_bytes */
    struct ebb_cgroup_tree tree;
    int cgroup_err;
    char cgroup[EBB_CGROUP_PATH_BYTES];
    struct ebb_cgroup facts;
    struct ebb_fact swap_free_bytes;
    bool has_page;
    struct ebb_page page; /* of a process on ebb */
    struct ebb_relieve_action actions[EBB_RELIEVE_COUNT];
};

/* Looks at the target and at what each action would bring. An exit status. */
int ebb__relieve_look(struct ebb_relieve *relieve, const struct ebb_target *target,
                      const struct ebb_relieve_ask *ask);
void ebb__relieve_fini(struct ebb_relieve *relieve);

/* Does it. False when it failed; `said` says why. */
bool ebb__relieve_act(struct ebb_relieve *relieve, enum ebb_relieve_id id);

struct ebb_fact ebb__relieve_rss(const struct ebb_relieve *relieve);
struct ebb_fact ebb__relieve_usage(const struct ebb_relieve *relieve);

/* Puts down why an action is not possible; false. */
bool ebb__relieve_refuse(struct ebb_relieve_action *action, const char *why);

/* ---- through the server's own SQL: relieve_sql.c ---- */

void ebb__relieve_ask_server(struct ebb_relieve *relieve);
bool ebb__relieve_look_at_pool(struct ebb_relieve *relieve, struct ebb_relieve_action *action);
bool ebb__relieve_pool(struct ebb_relieve *relieve, struct ebb_relieve_action *action);
bool ebb__relieve_look_at_flush(struct ebb_relieve *relieve, struct ebb_relieve_action *action);
bool ebb__relieve_flush(struct ebb_relieve *relieve, struct ebb_relieve_action *action);

/* What the server's books count for tables that are open, asked anew. */
struct ebb_fact ebb__relieve_heap(const struct ebb_relieve *relieve);

/* What of the buffer pool is resident when it ends after `new_bytes`: relieve_pool.c. 0, or -errno with a reason in words. */
int ebb__relieve_backing(const struct ebb_relieve *relieve, const struct ebb_pool *pool, uint64_t new_bytes,
                         struct ebb_pool_backing *ret_backing, const char **ret_why);

#endif
