/* SPDX-License-Identifier: MIT
 *
 * Actions of ebb relieve: what each would bring, and carrying it out; see relieve.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/units.h"
#include "tool/cmd.h"
#include "tool/heap_glibc.h"
#include "tool/relieve.h"
#include "tool/request.h"

/* For the background thread's answer, and for a moment in which nobody is in the allocator. */
#define ANSWER_MS 10000
#define MOMENT_MS 2000

#define EBB_RELIEVE_OF(of) EBB_RELIEVE_OF_##of

const struct ebb_relieve_row ebb__relieve_rows[EBB_RELIEVE_COUNT] = {
#define EBB_RELIEVE(id, key, of, title, hazard) [EBB_RELIEVE_##id] = {key, EBB_RELIEVE_OF(of), title, hazard},
#include "tool/relieve.def"
#undef EBB_RELIEVE
};

struct ebb_fact ebb__relieve_rss(const struct ebb_relieve *relieve)
{
    struct ebb_status status;
    int err = ebb__status_read("", relieve->target->pid, &status);

    if (err != 0)
        return ebb__fact_unknown(err);
    return ebb__status_has(&status, EBB_STATUS_VM_RSS) ? ebb__fact(status.vm_rss_bytes)
                                                       : ebb__fact_unknown(-ENODATA);
}

struct ebb_fact ebb__relieve_usage(const struct ebb_relieve *relieve)
{
    struct ebb_cgroup facts;
    int err = relieve->cgroup_err;

    if (err == 0)
        err = ebb__cgroup_read("", &relieve->tree, relieve->cgroup, &facts);
    return err == 0 ? facts.usage_bytes : ebb__fact_unknown(err);
}

bool ebb__relieve_refuse(struct ebb_relieve_action *action, const char *why)
{
    snprintf(action->why, sizeof(action->why), "%s", why);
    return false;
}

/* ---- page cache of the cgroup ---- */

/* What can be dropped without writing: the lists of file pages hold no shared memory. */
static struct ebb_fact clean_bytes(const struct ebb_cgroup *facts)
{
    uint64_t file;
    uint64_t dirty;

    if (!facts->inactive_file_bytes.known || !facts->active_file_bytes.known)
        return facts->inactive_file_bytes.known ? facts->active_file_bytes : facts->inactive_file_bytes;
    file = facts->inactive_file_bytes.value + facts->active_file_bytes.value;
    dirty = ebb__fact_or(facts->dirty_bytes, 0) + ebb__fact_or(facts->writeback_bytes, 0);
    return ebb__fact(file > dirty ? file - dirty : 0);
}

static bool cgroup_file(const struct ebb_relieve *relieve, const char *file, char path[EBB_PROC_PATH_BYTES])
{
    return ebb__cgroup_file(&relieve->tree, relieve->cgroup, file, path, EBB_PROC_PATH_BYTES) == 0;
}

static bool look_at_cache(struct ebb_relieve *relieve, struct ebb_relieve_action *action)
{
    bool v1 = relieve->tree.version == 1;
    char path[EBB_PROC_PATH_BYTES];

    if (relieve->cgroup_err != 0)
        return ebb__relieve_refuse(action, "its memory cgroup cannot be looked at");
    if (strcmp(relieve->cgroup, "/") == 0)
        return ebb__relieve_refuse(action, "it is in the top cgroup, whose cache is that of the whole host");
    if (!cgroup_file(relieve, v1 ? "memory.force_empty" : "memory.reclaim", path) || access(path, F_OK) != 0)
        return ebb__relieve_refuse(action, v1 ? "this kernel has no memory.force_empty"
                                              : "this kernel has no memory.reclaim (Linux 5.19)");
    if (access(path, W_OK) != 0)
        return ebb__relieve_refuse(action, "the files of its cgroup may be written by root");
    action->predicted_bytes = clean_bytes(&relieve->facts);
    action->predicted_why = "memory.stat does not tell";
    if (v1)
        snprintf(action->how, sizeof(action->how),
                 "memory.swappiness of the cgroup 0 for the time, so that nothing is swapped, and "
                 "memory.force_empty");
    else
        snprintf(action->how, sizeof(action->how), "memory.reclaim of the cgroup, with swappiness=0");
    return true;
}

static int write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    int err = 0;

    if (fd < 0)
        return -errno;
    if (write(fd, text, strlen(text)) < 0)
        err = -errno;
    close(fd);
    return err;
}

/* -EAGAIN and -EBUSY: less than all could be had, which was to be expected. */
static int fill_in(int err)
{
    return err == -EAGAIN || err == -EBUSY ? 0 : err;
}

static int drop_cache_v1(const struct ebb_relieve *relieve)
{
    char empty[EBB_PROC_PATH_BYTES];
    char swappiness[EBB_PROC_PATH_BYTES];
    char before[32];
    int err = 0;
    int back;

    if (!cgroup_file(relieve, "memory.force_empty", empty) ||
        !cgroup_file(relieve, "memory.swappiness", swappiness))
        return -ENAMETOOLONG;
    if (!relieve->facts.swappiness.known)
        return -ENODATA;
    snprintf(before, sizeof(before), "%" PRIu64, relieve->facts.swappiness.value);
    err = write_text(swappiness, "0");
    if (err != 0)
        return err;
    err = fill_in(write_text(empty, "0"));
    back = write_text(swappiness, before);
    return err != 0 ? err : back;
}

static int drop_cache_v2(const struct ebb_relieve *relieve, uint64_t bytes)
{
    char path[EBB_PROC_PATH_BYTES];
    char text[64];
    int err;

    if (!cgroup_file(relieve, "memory.reclaim", path))
        return -ENAMETOOLONG;
    snprintf(text, sizeof(text), "%" PRIu64 " swappiness=0", bytes);
    err = fill_in(write_text(path, text));
    if (err != -EINVAL)
        return err;
    /* Before Linux 6.8 it takes no swappiness. Where there is no swap none is needed. */
    if (ebb__fact_or(relieve->swap_free_bytes, 1) != 0)
        return -EOPNOTSUPP;
    snprintf(text, sizeof(text), "%" PRIu64, bytes);
    return fill_in(write_text(path, text));
}

static bool drop_cache(struct ebb_relieve *relieve, struct ebb_relieve_action *action)
{
    int err = relieve->tree.version == 1 ? drop_cache_v1(relieve)
                                         : drop_cache_v2(relieve, ebb__fact_or(action->predicted_bytes, 0));

    snprintf(action->said, sizeof(action->said), "%s",
             err == 0             ? "the kernel has reclaimed"
             : err == -EOPNOTSUPP ? "this kernel might swap while it does; nothing was done"
                                  : strerror(-err));
    return err == 0;
}

/* ---- our own allocator ---- */

static bool look_at_trim(struct ebb_relieve *relieve, struct ebb_relieve_action *action)
{
    struct ebb_wire_row_view row;

    if (relieve->allocator == NULL)
        return ebb__relieve_refuse(action, ebb__fact_why(ebb__fact_unknown(relieve->allocator_err)));
    if (strcmp(relieve->allocator->name, "ebb") != 0) {
        snprintf(action->why, sizeof(action->why),
                 "its malloc is served by %s, which takes no requests from outside",
                 relieve->allocator->name);
        return false;
    }
    if (!relieve->has_page)
        return ebb__relieve_refuse(action, "its library has no stats page");
    /* Free memory that is backed, and what threads and the depot keep: a trim empties them first. */
    action->predicted_why = "the library has written no summary yet";
    if (relieve->page.view.summary.updated_ms != 0 &&
        ebb__wire_find(&relieve->page.view, "dirty_bytes", &row))
        action->predicted_bytes = ebb__fact(row.value + relieve->page.view.summary.cached_bytes);
    snprintf(action->how, sizeof(action->how), "ebb control %d trim", (int)relieve->target->pid);
    return true;
}

static bool trim(struct ebb_relieve *relieve, struct ebb_relieve_action *action)
{
    const struct ebb_wire_request request = {.op = EBB_WIRE_TRIM};
    struct ebb_request_answer answer;
    char bytes[EBB_UNITS_BYTES];
    char time[EBB_UNITS_BYTES];

    if (ebb__request(relieve->target, &relieve->page, &request, ANSWER_MS, &answer) != EBB_EXIT_OK)
        return false;
    if (answer.result < 0) {
        snprintf(action->said, sizeof(action->said), "the library refused: %s",
                 strerror((int)-answer.result));
        return false;
    }
    snprintf(action->said, sizeof(action->said), "the library says: %s given back, after %s",
             ebb__units_bytes((uint64_t)answer.result, bytes), ebb__units_ms(answer.took_us / 1000, time));
    return true;
}

/* ---- a call by force ---- */

/* What malloc_trim(0) would return can be told to the page. */
static void predict_force(const struct ebb_relieve *relieve, const struct ebb_force_function *function,
                          struct ebb_relieve_action *action)
{
    static struct ebb_heap_glibc glibc;
    int err;

    action->predicted_why = "only the allocator itself knows";
    if (strcmp(function->name, "malloc_trim") != 0)
        return;
    err = ebb__heap_glibc_open(&glibc, relieve->target);
    if (err == 0)
        err = ebb__heap_glibc_look(&glibc);
    if (err == 0)
        err = glibc.sum.unknown_count != 0 ? glibc.sum.err : glibc.pages_err;
    if (err == 0)
        action->predicted_bytes = ebb__fact(glibc.sum.pages[EBB_GLIBC_TRIM_BLOCKS].resident_bytes +
                                            glibc.sum.pages[EBB_GLIBC_TRIM_TOP].resident_bytes);
    else
        action->predicted_why =
            err == -EAGAIN ? "an arena changes all the time" : ebb__fact_why(ebb__fact_unknown(err));
    ebb__heap_glibc_close(&glibc);
}

static bool look_at_force(struct ebb_relieve *relieve, struct ebb_relieve_action *action)
{
    const char *name = relieve->allocator == NULL ? "" : relieve->allocator->name;
    const struct ebb_force_function *function = relieve->ask->force;

    for (unsigned i = 0; function == NULL && i < ebb__force_function_count; i++)
        if (strcmp(ebb__force_functions[i].allocator, name) == 0)
            function = &ebb__force_functions[i];
    if (relieve->allocator == NULL)
        return ebb__relieve_refuse(action, ebb__fact_why(ebb__fact_unknown(relieve->allocator_err)));
    if (function == NULL || strcmp(function->allocator, name) != 0) {
        snprintf(action->why, sizeof(action->why), "its malloc is served by %s, %s", name,
                 function == NULL ? "of which no function is known that may be called"
                                  : "which is not whose function that is");
        return false;
    }
    predict_force(relieve, function, action);
    snprintf(action->how, sizeof(action->how), "--force-call %s: ptrace(2)", function->name);
    if (relieve->ask->force == NULL) {
        snprintf(action->why, sizeof(action->why), "it is done only when asked for: --force-call %s",
                 function->name);
        return false;
    }
    return true;
}

static bool force(struct ebb_relieve *relieve, struct ebb_relieve_action *action)
{
    struct ebb_force_report report;
    int err = ebb__force_call(relieve->target->pid, relieve->ask->force, MOMENT_MS, relieve->ask->pause_ms,
                              &report);

    if (err != 0) {
        snprintf(action->said, sizeof(action->said), "%s", ebb__force_why(err));
        return false;
    }
    snprintf(
        action->said, sizeof(action->said),
        "%s(%" PRIu64 ") returned %" PRIi64 " after %.1f ms; %u threads stood still for %.1f ms; attempt %u",
        relieve->ask->force->name, relieve->ask->force->argument, report.result,
        (double)report.call_us / 1000, report.threads, (double)report.stopped_us / 1000, report.attempts);
    return true;
}

/* ---- all of them ---- */

static const struct {
    bool (*look)(struct ebb_relieve *, struct ebb_relieve_action *);
    bool (*act)(struct ebb_relieve *, struct ebb_relieve_action *);
} HANDS[EBB_RELIEVE_COUNT] = {
    [EBB_RELIEVE_CACHE] = {look_at_cache, drop_cache},
    [EBB_RELIEVE_TRIM] = {look_at_trim, trim},
    [EBB_RELIEVE_FLUSH] = {ebb__relieve_look_at_flush, ebb__relieve_flush},
    [EBB_RELIEVE_POOL] = {ebb__relieve_look_at_pool, ebb__relieve_pool},
    [EBB_RELIEVE_FORCE] = {look_at_force, force},
};

static int look_at_cgroup(struct ebb_relieve *relieve)
{
    int err = ebb__cgroup_tree_read("", &relieve->tree);

    if (err != 0)
        return err;
    if (relieve->tree.version == 0)
        return -ENODEV;
    err = ebb__cgroup_path_read("", relieve->target->pid, &relieve->tree, relieve->cgroup,
                                sizeof(relieve->cgroup));
    return err == 0 ? ebb__cgroup_read("", &relieve->tree, relieve->cgroup, &relieve->facts) : err;
}

int ebb__relieve_look(struct ebb_relieve *relieve, const struct ebb_target *target,
                      const struct ebb_relieve_ask *ask)
{
    struct ebb_meminfo info;
    struct ebb_fact rss;

    memset(relieve, 0, sizeof(*relieve));
    relieve->target = target;
    relieve->ask = ask;
    rss = ebb__relieve_rss(relieve);
    /* Threads of the kernel and who has ended have none. */
    if (!rss.known)
        return ebb__target_failed(target, rss.err == -ENODATA ? -ESRCH : rss.err);
    relieve->allocator_err = ebb__proc_allocator_find(target->pid, &relieve->allocator);
    if (relieve->allocator != NULL && strcmp(relieve->allocator->name, "ebb") == 0)
        relieve->has_page = ebb__page_find(target->pid, &relieve->page) == 0;
    relieve->cgroup_err = look_at_cgroup(relieve);
    (void)ebb__meminfo_read("", &info);
    relieve->swap_free_bytes = info.swap_free_bytes;
    ebb__relieve_ask_server(relieve);
    for (unsigned i = 0; i < EBB_RELIEVE_COUNT; i++)
        relieve->actions[i].possible = HANDS[i].look(relieve, &relieve->actions[i]);
    return EBB_EXIT_OK;
}

void ebb__relieve_fini(struct ebb_relieve *relieve)
{
    if (relieve->has_page)
        ebb__page_fini(&relieve->page);
    free(relieve->allocator);
    ebb__books_fini(&relieve->books);
}

bool ebb__relieve_act(struct ebb_relieve *relieve, enum ebb_relieve_id id)
{
    relieve->actions[id].done = HANDS[id].act(relieve, &relieve->actions[id]);
    return relieve->actions[id].done;
}
