/* SPDX-License-Identifier: MIT
 *
 * What `ebb oom` looks at: every process with what the kernel's choice is made from, and every scope within which memory can run out.
 *
 * Collected once, then changed by what-ifs, then judged scope by scope with src/model/oom.h. A scope is the host, or a memory cgroup
 * with a limit; its members are the processes of the cgroup and of those below it. Processes whose cgroup cannot be told belong to the
 * host alone. Everything is allocated, and freed by ebb__oom_facts_fini().
 */
#ifndef EBB_TOOL_OOM_FACTS_H
#define EBB_TOOL_OOM_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "model/oom.h"
#include "probe/probe.h"

struct ebb_oom_process {
    char name[EBB_STATUS_NAME_BYTES];
    char *cgroup; /* NULL: not known */
    uint64_t rss_bytes;
    uint64_t hugetlb_bytes;
    struct ebb_fact score; /* as the kernel tells it */
    uint64_t own_score;    /* recomputed */
    uint64_t grow_bytes;   /* a what-if's */
};

struct ebb_oom_group {
    char *path;
    struct ebb_cgroup facts;
};

struct ebb_oom_facts {
    const char *root;
    uint64_t page_bytes;
    struct ebb_host host;
    struct ebb_meminfo memory;
    struct ebb_oom_rules rules;
    struct ebb_fact panic_on_oom;
    struct ebb_fact allocating_task;
    struct ebb_fact min_ttl_ms; /* of the multi-generational LRU */
    struct ebb_cgroup_tree tree;
    int tree_error;

    struct ebb_oom_process *processes; /* of the same index: */
    struct ebb_oom_task *tasks;
    size_t count;
    size_t capacity;
    const char *failed; /* what could not be read, when collecting has failed */
    size_t unreadable;  /* processes that could not be looked at */
    bool
        contained; /* no thread of the kernel is to be seen: a container, whose process 1 is not the host's init */
    size_t score_count; /* processes whose oom_score was compared */
    size_t score_differs;

    struct ebb_oom_group *groups;
    size_t group_count;
    size_t group_capacity;
};

/* 0, or -errno when processes or memory cannot be listed at all. */
int ebb__oom_facts_collect(struct ebb_oom_facts *ret_facts, const char *root);
void ebb__oom_facts_fini(struct ebb_oom_facts *facts);

/* The index of a process, or `count`. */
size_t ebb__oom_facts_find(const struct ebb_oom_facts *facts, pid_t pid);

/* The memory cgroup of that path, or NULL. */
struct ebb_oom_group *ebb__oom_facts_group(const struct ebb_oom_facts *facts, const char *path);

/* True when the process is in the cgroup or below it. */
bool ebb__oom_is_in(const struct ebb_oom_process *process, const char *path);

/* A scope, judged. */
struct ebb_oom_scope {
    const struct ebb_oom_group *group; /* NULL: the host */
    struct ebb_fact limit_bytes;
    struct ebb_fact used_bytes;
    bool has_room;
    struct ebb_oom_room room;
    uint64_t total_pages;
    size_t *members; /* indices of facts->processes */
    struct ebb_oom_task *tasks;
    size_t count;
    struct ebb_oom_choice choice; /* indices of members */
    const char *kill_group;       /* whose memory.oom.group kills more than the victim; NULL: none */
    uint64_t kill_count;
};

/* Judges a scope; `group` NULL is the host. 0, or -ENOMEM. */
int ebb__oom_scope_init(const struct ebb_oom_facts *facts, const struct ebb_oom_group *group,
                        struct ebb_oom_scope *ret_scope);
void ebb__oom_scope_fini(struct ebb_oom_scope *scope);

/* True when memory can run out in it. */
bool ebb__oom_group_is_scope(const struct ebb_oom_group *group);

const char *ebb__oom_scope_name(const struct ebb_oom_scope *scope);

/* Reads oom_score_adj of a process. 0, or -errno. */
int ebb__oom_adj_read(const char *root, pid_t pid, int *ret_adj);

#endif
