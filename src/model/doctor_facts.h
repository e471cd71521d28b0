/* SPDX-License-Identifier: MIT
 *
 * What the rules of ebb doctor may look at: a host, the scopes within which memory can run out, and one process.
 *
 * Everything may be unknown. A struct ebb_fact says why; a text that is not known is NULL, with its reason beside it. Texts and counters are
 * borrowed from whoever collected them. A text from outside, such as the path of a cgroup, may hold any byte.
 */
#ifndef EBB_MODEL_DOCTOR_FACTS_H
#define EBB_MODEL_DOCTOR_FACTS_H

#include <stdbool.h>
#include <stdint.h>

#include "model/forecast.h"
#include "model/oom.h"
#include "model/rates.h"
#include "model/vma.h"
#include "model/vma_budget.h"
#include "probe/cgroup.h"
#include "probe/meminfo.h"
#include "probe/pressure.h"
#include "probe/status.h"
#include "probe/vmstat.h"

#define EBB_DOCTOR_SCOPES_MAX  17 /* the host, and as many cgroups above each other as anybody has */
#define EBB_DOCTOR_NODES_MAX   64
#define EBB_DOCTOR_KILLERS_MAX 4
#define EBB_DOCTOR_DRIVERS_MAX 8

enum ebb_doctor_thp { EBB_THP_NEVER, EBB_THP_MADVISE, EBB_THP_ALWAYS };

struct ebb_doctor_node {
    unsigned number;
    uint64_t total_bytes;
    uint64_t free_bytes;
};

/* A program that kills before the kernel does. What is unknown it was not told, or tells nobody. */
struct ebb_doctor_killer {
    const char *name;
    int pid;
    bool by_score; /* whom: who has the highest oom_score; else it has a choice of its own */
    struct ebb_fact memory_hundredths; /* when: available memory at most, in hundredths of a percent, */
    struct ebb_fact swap_hundredths;   /* and free swap, where there is any */
};

struct ebb_doctor_host {
    struct ebb_meminfo memory;
    struct ebb_vmstat vm;
    /* What the counters rose by, in the look, or since boot where there was one look only. */
    bool since_boot;
    struct ebb_fact span_ms;
    struct ebb_reclaim_rates reclaim;
    struct ebb_fact hurries; /* kswapd went to sleep too early */
    struct ebb_fact refault_anon;
    struct ebb_pressure pressure;
    struct ebb_fact page_bytes;
    struct ebb_fact processors;
    /* /proc/sys/vm */
    struct ebb_fact swappiness;
    struct ebb_fact overcommit;
    struct ebb_fact panic_on_oom;
    struct ebb_fact zone_reclaim_mode;
    struct ebb_fact max_map_count;
    struct ebb_fact watermark_scale_factor;
    struct ebb_fact dirty_ratio;
    struct ebb_fact dirty_bytes;
    struct ebb_fact dirty_background_ratio;
    struct ebb_fact dirty_background_bytes;
    struct ebb_fact nr_hugepages;
    struct ebb_fact thp; /* an enum ebb_doctor_thp */
    struct ebb_fact thp_page_bytes;
    unsigned node_count;
    struct ebb_doctor_node nodes[EBB_DOCTOR_NODES_MAX];
    unsigned cgroup_version; /* where the memory controller is; 0: nowhere */
    /* Who kills beside the kernel. */
    struct ebb_fact min_ttl_ms;
    unsigned killer_count;
    struct ebb_doctor_killer killers[EBB_DOCTOR_KILLERS_MAX];
    const char *score_name; /* who has the highest oom_score; NULL: not known */
    int score_pid;
    /* Who may have what meminfo does not name. */
    struct ebb_fact arc_bytes;  /* ZFS */
    struct ebb_fact zram_bytes; /* with what it compressed */
    unsigned driver_count;
    const char *drivers[EBB_DOCTOR_DRIVERS_MAX]; /* loaded, and known to take pages for themselves */
};

/* Where memory can run out: the host, or a memory cgroup with a limit. */
struct ebb_doctor_scope {
    const char *name; /* "host", or the cgroup's path */
    bool is_host;
    struct ebb_fact limit_bytes;
    struct ebb_fact used_bytes;
    bool has_room;
    struct ebb_oom_room room;
    struct ebb_fact held_bytes; /* anonymous and shared memory, with what of it is swapped out */
    struct ebb_fact swap_bytes; /* that it may use, in all */
    struct ebb_fact swappiness; /* of a cgroup of version 1 */
    struct ebb_fact limit_hits; /* since it was made; of a cgroup, as the following */
    struct ebb_fact limit_hits_rise;
    struct ebb_fact high_hits_rise;
    struct ebb_fact oom_kills;
    struct ebb_pressure pressure;
    struct ebb_fact dirty_bytes; /* of a cgroup: not written yet, and being written */
    struct ebb_fact writeback_bytes;
    struct ebb_forecast growth; /* of what reclaim cannot take back, over the looks */
    struct ebb_fact held_rise;  /* of held_bytes, from the first to the last of them; a fall is 0 */
    /* Whom the kernel would kill. */
    uint64_t total_pages;
    bool target_dies;
    bool has_second;
    int second_pid;
    const char *second_name;
    uint64_t second_bytes;
    int64_t second_points;
    uint64_t margin_bytes;
    uint64_t error_pages;
};

struct ebb_doctor_class {
    uint64_t count;
    uint64_t size_bytes;
    uint64_t writable_bytes; /* of mappings that may be written */
    struct ebb_fact rss_bytes;
};

/* What an allocator says of its heap, or what was read in it. */
struct ebb_doctor_heap {
    const char *source; /* NULL: nobody says anything, because of `why` */
    const char *why;
    struct ebb_fact live_bytes;
    struct ebb_fact system_bytes; /* what the allocator has from the kernel */
    struct ebb_fact whole_bytes;  /* free, resident, in whole pages */
    struct ebb_fact fragment_bytes;
    struct ebb_fact trim_bytes; /* what a trim would give back */
    struct ebb_fact live_rise;  /* between two looks, `span_ms` apart; a fall is 0 */
    struct ebb_fact system_rise;
    uint64_t span_ms;
    /* glibc */
    struct ebb_fact arenas;
    struct ebb_fact mmap_threshold_bytes;
    struct ebb_fact threshold_is_dynamic; /* 0 or 1 */
};

/* What a server's own books say. */
struct ebb_doctor_books {
    const char *source; /* as above */
    const char *why;
    struct ebb_fact pool_bytes;
    struct ebb_fact pool_data_bytes;
    struct ebb_fact uptime_s;
    struct ebb_fact memory_instruments; /* how many of the performance schema are on */
    struct ebb_fact copied_bytes;       /* by writes during the last save or rewrite, the larger one */
};

enum ebb_doctor_server { EBB_SERVER_NONE, EBB_SERVER_MYSQL, EBB_SERVER_REDIS, EBB_SERVER_OTHER };

struct ebb_doctor_process {
    int pid;
    const char *name; /* printable */
    const char *unit; /* of systemd; NULL */
    enum ebb_doctor_server server;
    struct ebb_status status;
    bool has_adj;
    int adj;
    struct ebb_fact held_bytes; /* resident, seen by a thread that outlived the first one */
    bool is_killed;             /* and that thread was sent SIGKILL, but has not ended */
    struct ebb_fact uptime_s;
    struct ebb_fact rss_rise; /* between two looks; a fall is 0 */
    struct ebb_fact anon_rise;
    /* A child that runs the same program, has not replaced its memory, and shares most of it: a save by fork. */
    int fork_pid; /* 0: there is none */
    uint64_t fork_bytes;
    /* mappings */
    struct ebb_fact mappings; /* the reason of all that follows up to accounted_bytes */
    struct ebb_vma_budget budget;
    uint64_t mappings_grown; /* between two looks, `span_ms` apart */
    uint64_t span_ms;
    struct ebb_doctor_class classes[EBB_VMA_CLASS_COUNT];
    struct ebb_fact anon_huge_bytes;
    uint64_t accounted_bytes; /* private and writable: what strict overcommit counts */
    uint8_t mapped_allocators;
    const char *deleted; /* an executable file that was replaced since, the first; NULL */
    unsigned deleted_count;
    /* who serves malloc */
    const char *allocator; /* NULL: not known, because of: */
    int allocator_err;
    const char *allocator_evidence;
    const char *
        inner_allocator; /* another one that is part of the program and serves what asks for it by its own names; NULL */
    const char *
        jemalloc_version; /* "5.3.0-0", of the jemalloc that is one of the two; NULL: none, or not known, because of: */
    const char *jemalloc_version_why;
    /* the environment at the start; NULL: not set */
    int environment_err;
    const char *preload;
    const char *preload_allocator; /* which allocator that is */
    const char *malloc_conf;
    const char *tunables;
    const char *arena_max;
    struct ebb_doctor_heap heap;
    struct ebb_doctor_books books;
};

struct ebb_doctor_facts {
    bool has_host;    /* rules about the host are asked */
    bool has_process; /* those about the process are */
    bool live;        /* not a captured tree, which lacks environments and heaps */
    struct ebb_doctor_host host;
    unsigned scope_count; /* from the innermost out */
    struct ebb_doctor_scope scopes[EBB_DOCTOR_SCOPES_MAX];
    struct ebb_doctor_process process;
};

#endif
