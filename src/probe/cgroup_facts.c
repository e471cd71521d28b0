/* SPDX-License-Identifier: MIT
 *
 * What a memory cgroup says: the files of version 1 and 2, as one struct; see cgroup.h.
 */
#include "probe/cgroup.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "probe/file.h"
#include "probe/keyed.h"
#include "probe/proc.h"

/* "No limit" of version 1 is LONG_MAX rounded down to the page size, which is 64 KiB at most. */
#define V1_NO_LIMIT UINT64_C(0x7fffffffffff0000)

/* A file that holds one number. */
struct number_row {
    const char *file;
    size_t at;
};

#define AT(field)   offsetof(struct ebb_cgroup, field)
#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const struct number_row V1_NUMBERS[] = {
    {"memory.usage_in_bytes", AT(usage_bytes)},
    {"memory.limit_in_bytes", AT(limit_bytes)},
    {"memory.max_usage_in_bytes", AT(peak_bytes)},
    {"memory.memsw.limit_in_bytes", AT(swap_limit_bytes)},
    {"memory.swappiness", AT(swappiness)},
    {"memory.failcnt", AT(limit_hits)},
    {"memory.kmem.usage_in_bytes", AT(kernel_bytes)},
};

static const struct number_row V2_NUMBERS[] = {
    {"memory.current", AT(usage_bytes)},     {"memory.max", AT(limit_bytes)},
    {"memory.high", AT(high_bytes)},         {"memory.low", AT(low_bytes)},
    {"memory.min", AT(min_bytes)},           {"memory.peak", AT(peak_bytes)},
    {"memory.swap.current", AT(swap_bytes)}, {"memory.swap.max", AT(swap_limit_bytes)},
    {"memory.oom.group", AT(oom_group)},
};

static const struct ebb_keyed_row V1_OOM[] = {
    {"oom_kill_disable", AT(oom_kill_disable)},
    {"under_oom", AT(under_oom)},
    {"oom_kill", AT(oom_kills)},
};

static const struct ebb_keyed_row V2_EVENTS[] = {
    {"high", AT(high_hits)},
    {"max", AT(limit_hits)},
    {"oom", AT(oom_events)},
    {"oom_kill", AT(oom_kills)},
};

static const struct ebb_keyed_row V1_STAT[] = {
    {"total_rss", AT(anon_bytes)},
    {"total_cache", AT(file_bytes)},
    {"total_shmem", AT(shmem_bytes)},
    {"total_swap", AT(swap_bytes)},
    {"total_inactive_anon", AT(inactive_anon_bytes)},
    {"total_active_anon", AT(active_anon_bytes)},
    {"total_inactive_file", AT(inactive_file_bytes)},
    {"total_active_file", AT(active_file_bytes)},
    {"total_unevictable", AT(unevictable_bytes)},
    {"total_dirty", AT(dirty_bytes)},
    {"total_writeback", AT(writeback_bytes)},
    {"total_workingset_refault_anon", AT(refault_anon)},
    {"total_workingset_refault_file", AT(refault_file)},
    {"total_pgfault", AT(pgfault)},
    {"total_pgmajfault", AT(pgmajfault)},
};

static const struct ebb_keyed_row V2_STAT[] = {
    {"anon", AT(anon_bytes)},
    {"file", AT(file_bytes)},
    {"shmem", AT(shmem_bytes)},
    {"kernel", AT(kernel_bytes)},
    {"inactive_anon", AT(inactive_anon_bytes)},
    {"active_anon", AT(active_anon_bytes)},
    {"inactive_file", AT(inactive_file_bytes)},
    {"active_file", AT(active_file_bytes)},
    {"unevictable", AT(unevictable_bytes)},
    {"slab_reclaimable", AT(slab_reclaimable_bytes)},
    {"slab_unreclaimable", AT(slab_unreclaimable_bytes)},
    {"file_dirty", AT(dirty_bytes)},
    {"file_writeback", AT(writeback_bytes)},
    {"pgscan", AT(pgscan)},
    {"pgsteal", AT(pgsteal)},
    {"pgscan_kswapd", AT(pgscan_kswapd)},
    {"pgscan_direct", AT(pgscan_direct)},
    {"workingset_refault_anon", AT(refault_anon)},
    {"workingset_refault_file", AT(refault_file)},
    {"pgfault", AT(pgfault)},
    {"pgmajfault", AT(pgmajfault)},
};

/* Where a cgroup's files are, for the readers below. */
struct place {
    const char *root;
    const struct ebb_cgroup_tree *tree;
    const char *path;
};

static void read_numbers(const struct place *place, const struct number_row *rows, size_t row_count,
                         struct ebb_cgroup *cgroup)
{
    char path[EBB_PROC_PATH_BYTES];

    for (size_t i = 0; i < row_count; i++) {
        int err = ebb__cgroup_file(place->tree, place->path, rows[i].file, path, sizeof(path));
        struct ebb_fact *fact = (struct ebb_fact *)(void *)((char *)cgroup + rows[i].at);

        *fact = err == 0 ? ebb__file_number(place->root, path) : ebb__fact_unknown(err);
    }
}

static void read_keyed(const struct place *place, const char *file, const struct ebb_keyed_row *rows,
                       size_t row_count, struct ebb_cgroup *cgroup)
{
    char path[EBB_PROC_PATH_BYTES];
    char text[16384]; /* memory.stat has about 2,000 bytes */
    size_t len;
    int err = ebb__cgroup_file(place->tree, place->path, file, path, sizeof(path));

    if (err == 0)
        err = ebb__file_read(place->root, path, text, sizeof(text), &len);
    if (err == 0)
        err = ebb__keyed_parse(text, len, rows, row_count, cgroup);
    if (err != 0)
        ebb__keyed_unknown(err, rows, row_count, cgroup);
}

static bool is_no_limit(struct ebb_fact fact)
{
    return fact.known && fact.value >= V1_NO_LIMIT;
}

/* Version 1 says "no limit" with a large number, and limits memory and swap together. */
static void settle_v1(struct ebb_cgroup *cgroup)
{
    struct ebb_fact *swap = &cgroup->swap_limit_bytes;

    if (is_no_limit(cgroup->limit_bytes))
        cgroup->limit_bytes.value = UINT64_MAX;
    if (is_no_limit(*swap))
        swap->value = UINT64_MAX;
    else if (swap->known && !cgroup->limit_bytes.known)
        *swap = ebb__fact_unknown(cgroup->limit_bytes.err);
    else if (swap->known)
        swap->value -= swap->value < cgroup->limit_bytes.value ? swap->value : cgroup->limit_bytes.value;
}

int ebb__cgroup_check(const char *root, const struct ebb_cgroup_tree *tree, const char *path)
{
    char directory[EBB_PROC_PATH_BYTES];
    int fd;
    int err;

    if (tree->version == 0)
        return -ENOENT;
    err = ebb__cgroup_file(tree, path, "", directory, sizeof(directory));
    if (err != 0)
        return err;
    /* The name ends in a slash, so what is no directory is refused. */
    fd = ebb__file_open(root, directory);
    if (fd < 0)
        return fd == -ENOTDIR ? -ENOENT : fd;
    close(fd);
    return 0;
}

int ebb__cgroup_read(const char *root, const struct ebb_cgroup_tree *tree, const char *path,
                     struct ebb_cgroup *ret_cgroup)
{
    const struct place place = {.root = root, .tree = tree, .path = path};
    int err = ebb__cgroup_check(root, tree, path);

    if (err != 0)
        return err;
    /* What this version has no file for stays "the kernel does not have it". */
    for (struct ebb_fact *fact = &ret_cgroup->usage_bytes; fact <= &ret_cgroup->pgmajfault; fact++)
        *fact = ebb__fact_unknown(-ENODATA);
    ret_cgroup->version = tree->version;
    if (tree->version == 1) {
        read_numbers(&place, V1_NUMBERS, COUNT(V1_NUMBERS), ret_cgroup);
        read_keyed(&place, "memory.oom_control", V1_OOM, COUNT(V1_OOM), ret_cgroup);
        read_keyed(&place, "memory.stat", V1_STAT, COUNT(V1_STAT), ret_cgroup);
        settle_v1(ret_cgroup);
    } else {
        read_numbers(&place, V2_NUMBERS, COUNT(V2_NUMBERS), ret_cgroup);
        read_keyed(&place, "memory.events", V2_EVENTS, COUNT(V2_EVENTS), ret_cgroup);
        read_keyed(&place, "memory.stat", V2_STAT, COUNT(V2_STAT), ret_cgroup);
    }
    /* Both versions count shmem among the page cache. */
    if (ret_cgroup->file_bytes.known && ret_cgroup->shmem_bytes.known) {
        uint64_t shmem = ret_cgroup->shmem_bytes.value;

        ret_cgroup->file_bytes.value -=
            shmem < ret_cgroup->file_bytes.value ? shmem : ret_cgroup->file_bytes.value;
    }
    return 0;
}
