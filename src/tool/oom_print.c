/* SPDX-License-Identifier: MIT
 *
 * ebb oom: whom the kernel would kill next, in each scope, and why.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/units.h"
#include "tool/cmd.h"
#include "tool/oom.h"
#include "tool/target.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Scopes stand last: paths of cgroups have any length. */
static const struct ebb_column VICTIM_COLUMNS[] = {
    {"pid", "PID", EBB_AS_NUMBER, 8, .help = "the process that would be killed"},
    {"victim", "VICTIM", EBB_AS_TEXT, -15, .label = true, .help = "its name"},
    {"points_pages", "POINTS", EBB_AS_NUMBER, 10, .help = "its points, in pages"},
    {"margin_bytes", "MARGIN", EBB_AS_BYTES, 7, .help = "how far it is ahead of the second"},
    {"error_bytes", "ERROR", EBB_AS_BYTES, 6, .help = "how far the kernel's sums may differ from ours"},
    {"tie", "TIE", EBB_AS_BOOL, 3, .help = "the second may be killed instead"},
    {"second_pid", "2ND PID", EBB_AS_NUMBER, 8, .help = "the second"},
    {"second", "SECOND", EBB_AS_TEXT, -15, .help = "its name"},
    {"flip_adj", "FLIP", EBB_AS_NUMBER, 5,
     .help = "the victim's oom_score_adj that lets the second die instead"},
    {"kill_count", "KILLS", EBB_AS_NUMBER, 5, .help = "processes that die"},
    {"scope", "SCOPE", EBB_AS_TEXT, 0, .label = true,
     .help = "host, or the memory cgroup whose limit is hit"},
};
static const struct ebb_section VICTIMS = {"victims", NULL, false, VICTIM_COLUMNS, COUNT(VICTIM_COLUMNS)};

static const struct ebb_column SCOPE_COLUMNS[] = {
    {"limit_bytes", "LIMIT", EBB_AS_BYTES, 7, .help = "its limit"},
    {"used_bytes", "USED", EBB_AS_BYTES, 7, .help = "in use"},
    {"free_bytes", "FREE", EBB_AS_BYTES, 7, .help = "left without any reclaim"},
    {"likely_bytes", "LIKELY", EBB_AS_BYTES, 7, .help = "left with what reclaim will likely give"},
    {"possible_bytes", "POSSIBLE", EBB_AS_BYTES, 8, .help = "left with swap as well"},
    {"total_pages", "PAGES", EBB_AS_NUMBER, 10, .help = "by which oom_score_adj is weighed"},
    {"process_count", "PROCS", EBB_AS_NUMBER, 6, .help = "processes in it"},
    {"scope", "SCOPE", EBB_AS_TEXT, 0, .label = true, .help = "host, or a memory cgroup with a limit"},
};
static const struct ebb_section SCOPES = {"scopes", NULL, false, SCOPE_COLUMNS, COUNT(SCOPE_COLUMNS)};

static const struct ebb_column ORDER_COLUMNS[] = {
    {"rank", "RANK", EBB_AS_NUMBER, 4, .help = "1 dies first"},
    {"pid", "PID", EBB_AS_NUMBER, 8, .label = true, .help = "process"},
    {"name", "NAME", EBB_AS_TEXT, -15, .label = true, .help = "its name"},
    {"points_pages", "POINTS", EBB_AS_NUMBER, 10, .help = "points within this scope, in pages"},
    {"adj", "ADJ", EBB_AS_NUMBER, 5, .help = "oom_score_adj"},
    {"score", "SCORE", EBB_AS_NUMBER, 5, .help = "oom_score, which is of the host"},
    {"rss_bytes", "RSS", EBB_AS_BYTES, 6, .help = "resident"},
    {"swap_bytes", "SWAP", EBB_AS_BYTES, 6, .help = "swapped out"},
    {"table_bytes", "TABLES", EBB_AS_BYTES, 6, .help = "page tables"},
    {"hugetlb_bytes", "HUGETLB", EBB_AS_BYTES, 7, .help = "huge pages, which do not count"},
    {"cgroup", "CGROUP", EBB_AS_TEXT, 0, .help = "memory cgroup"},
};
static const struct ebb_section ORDER = {"order", NULL, false, ORDER_COLUMNS, COUNT(ORDER_COLUMNS)};

static const struct ebb_column SETTING_COLUMNS[] = {
    {"panic_on_oom", "vm.panic_on_oom", EBB_AS_NUMBER, 0, .help = "0: kill"},
    {"oom_kill_allocating_task", "vm.oom_kill_allocating_task", EBB_AS_NUMBER, 0,
     .help = "0: choose by points"},
    {"min_ttl_ms", "lru_gen/min_ttl_ms", EBB_AS_MS, 0, .help = "a younger working set is not evicted: kill"},
    {"unkillable_bytes", "unkillable", EBB_AS_BYTES, 0, .help = "resident memory of processes with -1000"},
    {"hugetlb_bytes", "hugetlb, not counted", EBB_AS_BYTES, 0, .help = "huge pages of processes"},
    {"score_count", "oom_score compared", EBB_AS_NUMBER, 0,
     .help = "processes whose oom_score was recomputed"},
    {"score_differs", "of these different", EBB_AS_NUMBER, 0, .help = "where the kernel says something else"},
};
static const struct ebb_section SETTINGS = {"settings", NULL, true, SETTING_COLUMNS, COUNT(SETTING_COLUMNS)};

int ebb__oom_collect(struct ebb_oom_facts *ret_facts, const char *root)
{
    int err = ebb__oom_facts_collect(ret_facts, root);

    if (err == 0)
        return EBB_EXIT_OK;
    fprintf(stderr, "ebb oom: cannot read %s%s: %s\n", root, ret_facts->failed, strerror(-err));
    return EBB_EXIT_FAILED;
}

/* ---- the order ---- */

struct ranked {
    const struct ebb_oom_facts *facts;
    const struct ebb_oom_scope *scope;
};

static int compare(const void *a, const void *b, void *context)
{
    const struct ranked *ranked = context;
    const struct ebb_oom_task *x = &ranked->scope->tasks[*(const size_t *)a];
    const struct ebb_oom_task *y = &ranked->scope->tasks[*(const size_t *)b];

    if (ebb__oom_before(x, y, ranked->scope->total_pages, &ranked->facts->rules))
        return -1;
    return ebb__oom_before(y, x, ranked->scope->total_pages, &ranked->facts->rules) ? 1 : 0;
}

int ebb__oom_print_order(struct ebb_emit *emit, const struct ebb_oom_facts *facts,
                         const struct ebb_oom_scope *scope, unsigned top)
{
    struct ranked ranked = {facts, scope};
    size_t *order = calloc(scope->count + 1, sizeof(*order));

    if (order == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < scope->count; i++)
        order[i] = i;
    qsort_r(order, scope->count, sizeof(*order), compare, &ranked);
    ebb__emit_section(emit, &ORDER);
    for (size_t i = 0; i < scope->count && i < top; i++) {
        const struct ebb_oom_task *task = &scope->tasks[order[i]];
        const struct ebb_oom_process *process = &facts->processes[scope->members[order[i]]];
        int64_t points = ebb__oom_points(task, scope->total_pages, &facts->rules);
        const struct ebb_cell cells[] = {
            ebb__cell_number(i + 1),
            ebb__cell_number((uint64_t)task->pid),
            ebb__cell_text(process->name),
            points == EBB_OOM_POINTS_NONE ? ebb__cell_unknown("-1000: is never killed")
                                          : ebb__cell_signed(points),
            ebb__cell_signed(task->adj),
            ebb__cell_fact(process->score),
            ebb__cell_number(task->rss_pages * facts->page_bytes),
            ebb__cell_number(task->swap_pages * facts->page_bytes),
            ebb__cell_number(task->table_pages * facts->page_bytes),
            ebb__cell_number(process->hugetlb_bytes),
            process->cgroup == NULL ? ebb__cell_unknown("its memory cgroup is not to be seen from here")
                                    : ebb__cell_text(process->cgroup),
        };

        ebb__emit_row(emit, cells);
    }
    free(order);
    return 0;
}

/* ---- victims ---- */

static void print_victim(struct ebb_emit *emit, const struct ebb_oom_facts *facts,
                         const struct ebb_oom_scope *scope)
{
    static const char NOBODY[] = "nobody can be killed there";
    static const char ALONE[] = "there is no second";
    const struct ebb_oom_choice *choice = &scope->choice;
    bool any = choice->victim < scope->count;
    bool two = choice->second < scope->count;
    const struct ebb_oom_task *victim = any ? &scope->tasks[choice->victim] : NULL;
    int flip;
    bool flips = any && two && ebb__oom_adj_below(victim, choice->second_points, scope->total_pages, &flip);
    const struct ebb_cell cells[] = {
        any ? ebb__cell_number((uint64_t)victim->pid) : ebb__cell_unknown(NOBODY),
        any ? ebb__cell_text(facts->processes[scope->members[choice->victim]].name)
            : ebb__cell_unknown(NOBODY),
        any ? ebb__cell_signed(choice->victim_points) : ebb__cell_unknown(NOBODY),
        two ? ebb__cell_number(choice->margin_pages * facts->page_bytes)
            : ebb__cell_unknown(any ? ALONE : NOBODY),
        two ? ebb__cell_number(choice->error_pages * facts->page_bytes)
            : ebb__cell_unknown(any ? ALONE : NOBODY),
        two ? ebb__cell_bool(choice->tie) : ebb__cell_unknown(any ? ALONE : NOBODY),
        two ? ebb__cell_number((uint64_t)scope->tasks[choice->second].pid)
            : ebb__cell_unknown(any ? ALONE : NOBODY),
        two ? ebb__cell_text(facts->processes[scope->members[choice->second]].name)
            : ebb__cell_unknown(any ? ALONE : NOBODY),
        flips ? ebb__cell_signed(flip)
              : ebb__cell_unknown(two   ? "no value does"
                                  : any ? ALONE
                                        : NOBODY),
        any ? ebb__cell_number(scope->kill_count) : ebb__cell_unknown(NOBODY),
        ebb__cell_text(ebb__oom_scope_name(scope)),
    };

    ebb__emit_row(emit, cells);
}

static void print_scope(struct ebb_emit *emit, const struct ebb_oom_scope *scope)
{
    static const char WHY[] = "its usage is not known";
    const struct ebb_oom_room *room = &scope->room;
    const struct ebb_cell cells[] = {
        ebb__cell_fact(scope->limit_bytes),
        ebb__cell_fact(scope->used_bytes),
        scope->has_room ? ebb__cell_number(room->hard_bytes) : ebb__cell_unknown(WHY),
        scope->has_room ? ebb__cell_number(room->likely_bytes) : ebb__cell_unknown(WHY),
        scope->has_room ? ebb__cell_number(room->possible_bytes) : ebb__cell_unknown(WHY),
        ebb__cell_number(scope->total_pages),
        ebb__cell_number(scope->count),
        ebb__cell_text(ebb__oom_scope_name(scope)),
    };

    ebb__emit_row(emit, cells);
}

/* What a row of a scope cannot say. */
static void note_scope(struct ebb_emit *emit, const struct ebb_oom_facts *facts,
                       const struct ebb_oom_scope *scope)
{
    const struct ebb_oom_choice *choice = &scope->choice;
    const char *name = ebb__oom_scope_name(scope);
    char bytes[EBB_UNITS_BYTES];

    if (choice->victim == scope->count) {
        if (scope->group == NULL)
            ebb__emit_note(emit, "nobody", "host: nobody can be killed: the kernel would panic.");
        else if (scope->count != 0)
            ebb__emit_note(
                emit, "nobody",
                "%s: all of its processes have oom_score_adj -1000: allocations there fail instead.", name);
        return;
    }
    if (choice->tie)
        ebb__emit_note(emit, "tie",
                       "%s: %u other%s within the error of the kernel's own sums, which %s keep in parts: "
                       "any of them may die instead. Of equals the %s dies.",
                       name, choice->near, choice->near == 1 ? " is" : "s are",
                       facts->rules.thread_caches ? "threads" : "processors",
                       facts->rules.earlier_wins ? "older" : "younger");
    if (choice->largest != choice->victim && choice->largest < scope->count) {
        const struct ebb_oom_task *largest = &scope->tasks[choice->largest];

        ebb__emit_note(
            emit, "largest",
            "%s: the largest process, %s (pid %d, %s), is not the victim: its oom_score_adj is %d.", name,
            facts->processes[scope->members[choice->largest]].name, largest->pid,
            ebb__units_bytes(largest->rss_pages * facts->page_bytes, bytes), largest->adj);
    }
    if (scope->kill_group != NULL)
        ebb__emit_note(emit, "group",
                       "%s: memory.oom.group of %s is set: %" PRIu64 " processes die together.", name,
                       scope->kill_group, scope->kill_count);
    if (scope->group != NULL && ebb__fact_or(scope->group->facts.oom_kill_disable, 0) == 1)
        ebb__emit_note(emit, "disabled",
                       "%s: memory.oom_control disables the killer: its processes wait for memory instead.",
                       name);
}

/* ---- the host ---- */

static void print_settings(struct ebb_emit *emit, const struct ebb_oom_facts *facts)
{
    uint64_t unkillable = 0;
    uint64_t hugetlb = 0;

    for (size_t i = 0; i < facts->count; i++) {
        if (facts->tasks[i].adj == EBB_OOM_ADJ_MIN)
            unkillable += facts->processes[i].rss_bytes;
        hugetlb += facts->processes[i].hugetlb_bytes;
    }
    ebb__emit_section(emit, &SETTINGS);
    ebb__emit_row(emit, (const struct ebb_cell[]){
                            ebb__cell_fact(facts->panic_on_oom), ebb__cell_fact(facts->allocating_task),
                            ebb__cell_fact(facts->min_ttl_ms), ebb__cell_number(unkillable),
                            ebb__cell_number(hugetlb), ebb__cell_number(facts->score_count),
                            ebb__cell_number(facts->score_differs)});
}

/* Programs that kill before the kernel does. */
static void note_killers(struct ebb_emit *emit, const struct ebb_oom_facts *facts)
{
    static const char *const NAMES[] = {"systemd-oomd", "earlyoom", "nohang", "oomd"};

    for (size_t i = 0; i < facts->count; i++)
        for (size_t n = 0; n < COUNT(NAMES); n++)
            if (strcmp(facts->processes[i].name, NAMES[n]) == 0)
                ebb__emit_note(emit, "killer",
                               "%s (pid %d) runs: it kills by rules of its own, before the kernel has to.",
                               NAMES[n], facts->tasks[i].pid);
}

static void note_host(struct ebb_emit *emit, const struct ebb_oom_facts *facts)
{
    uint64_t panic = ebb__fact_or(facts->panic_on_oom, 0);

    if (panic != 0)
        ebb__emit_note(emit, "panic", "vm.panic_on_oom is %" PRIu64 ": the kernel panics instead%s.", panic,
                       panic == 1 ? " when the host as a whole is out of memory"
                                  : ", for a cgroup's limit too");
    if (ebb__fact_or(facts->allocating_task, 0) != 0)
        ebb__emit_note(
            emit, "allocating",
            "vm.oom_kill_allocating_task is set: on the host dies who asks for memory last, whatever its "
            "points.");
    if (ebb__fact_or(facts->min_ttl_ms, 0) != 0)
        ebb__emit_note(emit, "min_ttl",
                       "lru_gen/min_ttl_ms is %" PRIu64
                       ": the kernel kills rather than evict a younger working set.",
                       facts->min_ttl_ms.value);
    note_killers(emit, facts);
    if (facts->score_differs != 0)
        ebb__emit_note(emit, "formula",
                       "%zu of %zu processes have another oom_score than the known formula gives: memory "
                       "changed while we "
                       "looked, or this kernel chooses in another way.",
                       facts->score_differs, facts->score_count);
    if (facts->contained)
        ebb__emit_note(
            emit, "container",
            "Only the processes of this container are to be seen; the host may kill others first.");
    if (facts->unreadable != 0)
        ebb__emit_note(emit, "unreadable", "%zu processes could not be looked at.", facts->unreadable);
    if (facts->tree_error != 0)
        ebb__emit_note(emit, "cgroups", "Memory cgroups could not all be read: %s.",
                       ebb__fact_why(ebb__fact_unknown(facts->tree_error)));
    else if (facts->tree.version == 0)
        ebb__emit_note(emit, "cgroups",
                       "There is no memory controller of cgroups here: only the host can run out.");
    if (!facts->host.page_bytes.known)
        ebb__emit_note(emit, "pages", "The size of pages is not known; 4 KiB are assumed.");
    for (size_t i = 0; i < facts->count; i++)
        if (facts->processes[i].hugetlb_bytes > facts->processes[i].rss_bytes) {
            char bytes[EBB_UNITS_BYTES];

            ebb__emit_note(
                emit, "hugetlb",
                "%s (pid %d) has %s in huge pages, which do not count: others are killed before it.",
                facts->processes[i].name, facts->tasks[i].pid,
                ebb__units_bytes(facts->processes[i].hugetlb_bytes, bytes));
        }
}

/* ---- all of it ---- */

static int emit_scopes(struct ebb_emit *emit, const struct ebb_oom_facts *facts, struct ebb_oom_scope *scopes,
                       size_t count, unsigned top)
{
    int err = 0;

    ebb__emit_begin(emit);
    ebb__emit_section(emit, &VICTIMS);
    for (size_t i = 0; i < count; i++)
        print_victim(emit, facts, &scopes[i]);
    ebb__emit_section(emit, &SCOPES);
    for (size_t i = 0; i < count; i++)
        print_scope(emit, &scopes[i]);
    if (count != 0)
        err = ebb__oom_print_order(emit, facts, &scopes[0], top);
    print_settings(emit, facts);
    for (size_t i = 0; i < count; i++)
        note_scope(emit, facts, &scopes[i]);
    note_host(emit, facts);
    ebb__emit_end(emit);
    return err;
}

static int predict(const struct ebb_opt_spec *spec, const struct ebb_oom_options *options,
                   const struct ebb_oom_facts *facts)
{
    struct ebb_oom_scope *scopes = calloc(facts->group_count + 1, sizeof(*scopes));
    struct ebb_emit emit;
    size_t count = 0;
    int err = scopes == NULL ? -ENOMEM : 0;
    int status = ebb__emit_init(&emit, spec, &options->output);

    if (status != EBB_EXIT_OK) {
        free(scopes);
        return status;
    }
    if (err == 0 && (options->scope == NULL || strcmp(options->scope, "host") == 0)) {
        err = ebb__oom_scope_init(facts, NULL, &scopes[count]);
        count += err == 0;
    }
    for (size_t i = 0; err == 0 && i < facts->group_count; i++) {
        const struct ebb_oom_group *group = &facts->groups[i];

        if (!ebb__oom_group_is_scope(group) ||
            (options->scope != NULL && strcmp(options->scope, group->path) != 0))
            continue;
        err = ebb__oom_scope_init(facts, group, &scopes[count]);
        count += err == 0;
    }
    if (err == 0 && count == 0) {
        fprintf(stderr, "ebb oom: there is no memory cgroup '%s' with a limit\n", options->scope);
        status = EBB_EXIT_NO_TARGET;
    } else if (err == 0) {
        err = emit_scopes(&emit, facts, scopes, count, options->top);
    }
    if (err != 0) {
        fprintf(stderr, "ebb oom: %s\n", strerror(-err));
        status = EBB_EXIT_FAILED;
    }
    while (count > 0)
        ebb__oom_scope_fini(&scopes[--count]);
    free(scopes);
    return status;
}

int ebb__oom_predict(const struct ebb_opt_spec *spec, const struct ebb_oom_options *options, const char *root)
{
    struct ebb_oom_options found = *options;
    struct ebb_oom_facts facts;
    struct ebb_cgroup_tree tree;
    char path[EBB_CGROUP_PATH_BYTES];
    int status = EBB_EXIT_OK;

    if (options->scope != NULL && (options->scope[0] == '/' || ebb__target_is_group(options->scope))) {
        status = ebb__target_find_cgroup("oom", root, options->scope, &tree, path);
        found.scope = path;
    }
    if (status == EBB_EXIT_OK)
        status = ebb__oom_collect(&facts, root);
    if (status != EBB_EXIT_OK)
        return status;
    status = ebb__oom_what_if(spec, &options->what_if, &facts);
    if (status == EBB_EXIT_OK)
        status = predict(spec, &found, &facts);
    ebb__oom_facts_fini(&facts);
    return status;
}
