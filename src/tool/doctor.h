/* SPDX-License-Identifier: MIT
 *
 * The parts of ebb doctor for each other: what is collected, the cases that the rules make of it, and how they are told.
 *
 *   two looks (doctor_facts.c, doctor_process.c, doctor_killers.c), and glances between them (doctor_growth.c) -> rules
 *   (model/doctor.h) -> cases -> report, script, or one line (doctor_print.c, doctor_script.c)
 */
#ifndef EBB_TOOL_DOCTOR_H
#define EBB_TOOL_DOCTOR_H

#include "model/doctor.h"
#include "tool/alloc_version.h"
#include "tool/emit.h"
#include "tool/oom_facts.h"
#include "tool/proc_allocator.h"
#include "tool/target.h"

#define EBB_DOCTOR_ENVIRONMENT_BYTES ((size_t)128 << 10)

/* What cannot be reclaimed of a scope, over several glances. */
struct ebb_doctor_growth {
    unsigned count;
    struct ebb_forecast_look looks[EBB_FORECAST_LOOKS_MAX];
    struct ebb_fact first_held; /* anonymous and shared memory at the first of them, */
    struct ebb_fact last_held;  /* and at the last */
};

/* The first look at one process: what may rise until the second. */
struct ebb_doctor_first {
    uint64_t at_ms;
    struct ebb_fact mappings;
    struct ebb_fact rss;
    struct ebb_fact anon;
    uint64_t heap_at_ms;
    struct ebb_fact live;   /* in its heap */
    struct ebb_fact system; /* what its allocator had from the kernel */
    unsigned level_count;   /* of its cgroup and those above it */
    struct {
        size_t path_len; /* tells which, among those above each other */
        struct ebb_fact limit_hits;
        struct ebb_fact high_hits;
        struct ebb_doctor_growth growth;
    } levels[EBB_DOCTOR_SCOPES_MAX];
};

/* The first look at the host, and all of the second. */
struct ebb_doctor_run {
    const char *root;
    bool live;
    bool deep;
    bool no_sql; /* ask no server */
    struct ebb_cgroup_tree tree;
    bool has_tree;
    bool has_before; /* there were two looks */
    uint64_t before_ms;
    uint64_t after_ms;
    struct ebb_vmstat before;
    struct ebb_doctor_growth growth;
    struct ebb_doctor_host host;
    struct ebb_oom_facts oom;
};

/* What the rules said about one process, or about the host, whose pid is 0. */
struct ebb_doctor_case {
    struct ebb_target target;
    char about[512]; /* a line for people */
    unsigned count;
    struct ebb_finding *findings;
    unsigned unknown_count;
    struct ebb_finding *unknown;
    bool unsure; /* of the unknown ones, one could have been more than INFO */
};

struct ebb_doctor_report {
    unsigned case_count;
    struct ebb_doctor_case *cases;
    unsigned rules_suppressed;
};

/* ---- doctor_facts.c ---- */

uint64_t ebb__doctor_now_ms(void);

/* The first look, then the second, which reads everything of the host. 0, or -errno. */
void ebb__doctor_first_look(struct ebb_doctor_run *run);
int ebb__doctor_second_look(struct ebb_doctor_run *run);
void ebb__doctor_run_fini(struct ebb_doctor_run *run);

/* Anonymous and shared memory, and what else is held for good, of which the last two may be unknown. */
struct ebb_fact ebb__doctor_held(struct ebb_fact anon, struct ebb_fact shared, struct ebb_fact other);

/* Fills the scopes that a process is in, or the host alone when `pid` is 0. 0, or -ENOMEM. */
int ebb__doctor_scopes(const struct ebb_doctor_run *run, pid_t pid, const struct ebb_doctor_first *first,
                       struct ebb_doctor_facts *facts);

/* ---- doctor_growth.c ---- */

/* Waits so long, and looks now and then at the host and the cgroups of these processes. */
void ebb__doctor_watch(struct ebb_doctor_run *run, const struct ebb_target *targets,
                       struct ebb_doctor_first *firsts, unsigned count, uint64_t between_ms);

/* What was seen, for the rules. */
void ebb__doctor_growth_tell(const struct ebb_doctor_growth *growth, struct ebb_doctor_scope *scope);

/* ---- doctor_killers.c ---- */

/* Who kills beside the kernel, and who may hold memory that the kernel does not name. After the processes were listed. */
void ebb__doctor_beside(const struct ebb_doctor_run *run, struct ebb_doctor_host *host);

/* ---- doctor_heap.c ---- */

/* What the facts of a heap borrow their texts from. The allocator is to be freed. */
struct ebb_doctor_heap_texts {
    struct ebb_proc_allocator *allocator;
    char version[EBB_ALLOC_VERSION_BYTES];
};

/* What it rose by; 0 when it fell. */
struct ebb_fact ebb__doctor_rise(struct ebb_fact before, struct ebb_fact now);

/* The first look at the heap, in which what cannot be seen stays unknown, and the second, which says why. */
void ebb__doctor_heap_first(const struct ebb_target *target, struct ebb_doctor_first *first);
void ebb__doctor_heap_read(const struct ebb_target *target, const struct ebb_doctor_first *first,
                           struct ebb_doctor_process *process, struct ebb_doctor_heap_texts *texts);

/* What a server that ebb can ask says of itself, when it answers in time. */
void ebb__doctor_books_read(const struct ebb_target *target, struct ebb_doctor_process *process);

/* ---- doctor_process.c ---- */

void ebb__doctor_process_first(const struct ebb_doctor_run *run, const struct ebb_target *target,
                               struct ebb_doctor_first *ret_first);

/* Collects, asks the rules, and fills the case. `with_host`: rules about the host are asked as well; `target` NULL: these alone. 0, or
 * -errno: -ESRCH when the process has ended. */
int ebb__doctor_judge(const struct ebb_doctor_run *run, const struct ebb_target *target,
                      const struct ebb_doctor_first *first, bool with_host, uint64_t suppressed,
                      struct ebb_doctor_case *ret_case);
void ebb__doctor_case_fini(struct ebb_doctor_case *the_case);

/* Which server a process of that name is. */
enum ebb_doctor_server ebb__doctor_server(const char *name);

/* ---- doctor_print.c ---- */

void ebb__doctor_print(struct ebb_emit *emit, const struct ebb_doctor_report *report);
void ebb__doctor_list(struct ebb_emit *emit);
void ebb__doctor_explain(struct ebb_emit *emit, enum ebb_rule_id id);

/* ---- doctor_script.c ---- */

/* Prints a script for sh that does what was advised, of all findings. */
void ebb__doctor_script(const struct ebb_doctor_report *report);

/* Prints one line as monitoring plugins do, and returns their exit status: 0, 1, 2 or 3. */
int ebb__doctor_nagios(const struct ebb_doctor_report *report);

struct ebb_doctor_counts {
    unsigned of[EBB_SEVERITY_CRITICAL + 1]; /* findings, R33 set aside */
    bool unsure;
};

void ebb__doctor_count(const struct ebb_doctor_report *report, struct ebb_doctor_counts *ret_counts);

#endif
