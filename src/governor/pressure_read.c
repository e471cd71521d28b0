/* SPDX-License-Identifier: MIT
 *
 * The facts of pressure, read.
 *
 * A thread with a table of its own keeps each file open and reads it anew from its start: one system call for a file, no path to
 * walk, and what was opened stays readable when the program changes its root or its user. Without such a table each file is
 * opened and closed again.
 *
 * Limits are read of every cgroup up to the top, the rest only of those that have one: limits come and go while a process runs
 * (a container is resized), and so does the cgroup itself. Whoever reads is told by `stale` that the sources belong to a
 * world that is no more.
 *
 * Costs, Linux 6.18, a file: 1 us; memory.stat 10 to 20 us, more on hosts with many processors, whose counters are summed up.
 */
#include "governor/sources_priv.h"
#include "governor/text_priv.h"

const char *ebb__file_name(uint32_t version, enum ebb_file file)
{
    static const char *const names[2][EBB_FILES] = {
        {
            [EBB_LIMIT] = "/memory.limit_in_bytes",
            [EBB_MEMSW_LIMIT] = "/memory.memsw.limit_in_bytes",
            [EBB_USAGE] = "/memory.usage_in_bytes",
            [EBB_MEMSW_USAGE] = "/memory.memsw.usage_in_bytes",
            [EBB_STAT] = "/memory.stat",
            [EBB_FAILCNT] = "/memory.failcnt",
            [EBB_MEMSW_FAILCNT] = "/memory.memsw.failcnt",
            [EBB_OOM] = "/memory.oom_control",
        },
        {
            [EBB_LIMIT] = "/memory.max",
            [EBB_HIGH] = "/memory.high",
            [EBB_USAGE] = "/memory.current",
            [EBB_STAT] = "/memory.stat",
            [EBB_EVENTS] = "/memory.events",
            [EBB_LOCAL] = "/memory.events.local",
        },
    };
    return version == 0 ? NULL : names[version - 1][file];
}

/* No room for a descriptor or for the text just now: another time there may be. */
static bool is_passing(long error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOMEM;
}

/* Reads a file that is open, or opens it. 0 and the text, which is empty when it cannot be read; -errno then. */
static int read_slot(struct ebb_sources *s, int *slot, const char *path, char *text,
                     struct ebb_text *ret_text)
{
    *ret_text = ebb__text(text, 0);
    if (*slot == EBB_FD_ABSENT)
        return -ENOENT;
    bool was_open = *slot >= 0; /* then it could be read once, and may be opened again */
    int fd = was_open ? *slot : ebb__os_fd_open(path, EBB_OS_READ);
    long n = fd < 0 ? fd : ebb__os_fd_read_file(fd, text, EBB_TEXT_BYTES);
    if (fd >= 0 && (n < 0 || !s->own_table)) {
        ebb__os_fd_close(fd);
        fd = EBB_FD_CLOSED;
    }
    *slot = fd >= 0 ? fd : n < 0 && !was_open && !is_passing(n) ? EBB_FD_ABSENT : EBB_FD_CLOSED;
    if (n == -ENODEV)
        s->stale = true;
    if (n > 0)
        *ret_text = ebb__text(text, (size_t)n);
    return n < 0 ? (int)n : 0;
}

static int read_only_file(struct ebb_sources *s, enum ebb_only which, const char *folder, const char *name,
                          char *text, struct ebb_text *ret_text)
{
    char *path = s->name;
    *ret_text = ebb__text(text, 0);
    if (s->only_fd[which] == EBB_FD_CLOSED) {
        int rc = ebb__place_name(path, s->root, folder, strlen(folder), name);
        if (rc != 0)
            return rc;
    }
    return read_slot(s, &s->only_fd[which], path, text, ret_text);
}

static struct ebb_text read_level(struct ebb_sources *s, uint32_t distance, enum ebb_file file, char *text)
{
    char *path = s->name;
    int *slot = &s->level_fd[distance][file];
    const char *name = ebb__file_name(s->place.version, file);
    struct ebb_text none = ebb__text(text, 0), got;
    if (name == NULL || *slot == EBB_FD_ABSENT)
        return none;
    if (*slot == EBB_FD_CLOSED &&
        ebb__place_name(path, s->root, s->place.path, s->place.path_len[distance], name) != 0)
        return none;
    return read_slot(s, slot, path, text, &got) == 0 ? got : none;
}

/* ---- a level ---- */

static bool is_limited(const struct ebb_pressure_level *level)
{
    return ebb__level_ceiling(level) != EBB_NO_LIMIT ||
           ebb__known_or(level->memsw_limit_bytes, EBB_NO_LIMIT) != EBB_NO_LIMIT;
}

static void read_limits(struct ebb_sources *s, uint32_t distance, struct ebb_pressure_level *ret)
{
    char *text = s->text;
    *ret = (struct ebb_pressure_level){.distance = distance};
    ret->limit_bytes = ebb__text_limit(read_level(s, distance, EBB_LIMIT, text));
    ret->high_bytes = ebb__text_limit(read_level(s, distance, EBB_HIGH, text));
    ret->memsw_limit_bytes = ebb__text_limit(read_level(s, distance, EBB_MEMSW_LIMIT, text));
}

static void read_usage(struct ebb_sources *s, struct ebb_pressure_level *level)
{
    char *text = s->text;
    level->usage_bytes = ebb__text_one_number(read_level(s, level->distance, EBB_USAGE, text));
    level->memsw_usage_bytes = ebb__text_one_number(read_level(s, level->distance, EBB_MEMSW_USAGE, text));
}

static void read_events(struct ebb_sources *s, struct ebb_pressure_level *level)
{
    char *text = s->text;
    const struct ebb_text_row own[] = {
        {"low", &level->low_events},
        {"high", &level->high_events},
        {"max", &level->max_events},
        {"oom", &level->oom_events},
    };
    const struct ebb_text_row kills = {"oom_kill", &level->oom_kills};
    const struct ebb_text_row oom = {"under_oom", &level->under_oom};
    if (s->place.version == 1) {
        /* Where both limits are the same the second is the one that is met; Linux 6.18 forgets to count it. */
        level->max_events = ebb__text_one_number(read_level(s, level->distance, EBB_FAILCNT, text));
        level->max_events.value +=
            ebb__known_or(ebb__text_one_number(read_level(s, level->distance, EBB_MEMSW_FAILCNT, text)), 0);
        struct ebb_text control = read_level(s, level->distance, EBB_OOM, text);
        ebb__text_rows(control, &kills, 1);
        ebb__text_rows(control, &oom, 1);
        return;
    }
    /* memory.events sums up the cgroups below, whose own limits are none of ours. Before Linux 5.2 it did not, and there was
     * no other. */
    ebb__text_rows(read_level(s, level->distance, EBB_LOCAL, text), own, EBB_ARRAY_COUNT(own));
    struct ebb_text all = read_level(s, level->distance, EBB_EVENTS, text);
    if (!level->max_events.known)
        ebb__text_rows(all, own, EBB_ARRAY_COUNT(own));
    ebb__text_rows(all, &kills, 1);
}

/* What of the file cache can go without being written; of version 1 also the lowest limit up to the very top. */
static struct ebb_known read_clean(struct ebb_sources *s, uint32_t distance, struct ebb_known *ret_lowest)
{
    char *text = s->text;
    struct ebb_known inactive = {0}, active = {0}, dirty = {0}, writeback = {0};
    const struct ebb_text_row rows[2][5] = {
        {{"total_inactive_file", &inactive},
         {"total_active_file", &active},
         {"total_dirty", &dirty},
         {"total_writeback", &writeback},
         {"hierarchical_memory_limit", ret_lowest}},
        {{"inactive_file", &inactive},
         {"active_file", &active},
         {"file_dirty", &dirty},
         {"file_writeback", &writeback},
         {"", ret_lowest}},
    };
    ebb__text_rows(read_level(s, distance, EBB_STAT, text), rows[s->place.version - 1], 5);
    if (!inactive.known || !active.known)
        return (struct ebb_known){0};
    uint64_t cache = inactive.value + active.value;
    uint64_t unclean = ebb__known_or(dirty, 0) + ebb__known_or(writeback, 0);
    return ebb__known(cache > unclean ? cache - unclean : 0);
}

static void read_levels(struct ebb_sources *s, struct ebb_pressure_facts *ret)
{
    uint64_t seen = EBB_NO_LIMIT;
    uint32_t limited = 0;
    struct ebb_known lowest = {0}, unused = {0};
    for (uint32_t distance = 0; distance < s->place.depth; distance++) {
        struct ebb_pressure_level *level = &ret->levels[ret->count];
        read_limits(s, distance, level);
        if (distance == 0 && s->place.version == 1)
            level->clean_bytes = read_clean(s, 0, &lowest);
        if (!is_limited(level))
            continue;
        limited |= UINT32_C(1) << distance;
        ret->count++;
        seen = ebb__min(seen, ebb__known_or(level->limit_bytes, EBB_NO_LIMIT));
        read_usage(s, level);
        if (distance != 0 || s->place.version != 1)
            level->clean_bytes = read_clean(s, distance, &unused);
        read_events(s, level);
    }
    if (lowest.known && lowest.value < seen && lowest.value < EBB_V1_NO_LIMIT)
        ret->hidden_limit_bytes = lowest;
    if (s->open && limited != s->limited)
        s->stale = true;
    if (!s->open)
        s->limited = limited;
}

/* ---- process and host ---- */

static void read_stalls(struct ebb_sources *s, struct ebb_pressure_facts *ret)
{
    char *text = s->text;
    struct ebb_text got;
    if (s->place.unified[0] != '\0' &&
        read_only_file(s, EBB_OWN_STALL, s->place.unified, "/memory.pressure", text, &got) == 0)
        ebb__text_stall(got, &ret->own);
    if (read_only_file(s, EBB_HOST_STALL, "/proc/pressure", "/memory", text, &got) == 0)
        ebb__text_stall(got, &ret->host);
}

static void read_memory(struct ebb_sources *s, struct ebb_pressure_facts *ret)
{
    char *text = s->text;
    struct ebb_text got, size;
    uint64_t pages, of_files, page_bytes = ebb__os_page_bytes();
    const struct ebb_text_row rows[] = {
        {"MemTotal", &ret->mem_total_bytes},
        {"MemAvailable", &ret->mem_available_bytes},
        {"SwapFree", &ret->swap_free_bytes},
    };
    if (read_only_file(s, EBB_MEMINFO, "/proc", "/meminfo", text, &got) == 0)
        ebb__text_rows(got, rows, EBB_ARRAY_COUNT(rows));
    /* "size resident shared ...", in the kernel's pages */
    if (read_only_file(s, EBB_STATM, s->process, "/statm", text, &got) == 0 &&
        ebb__text_until(&got, ' ', &size) && ebb__text_number(&got, &pages) &&
        pages <= UINT64_MAX / page_bytes) {
        ret->rss_bytes = ebb__known(pages * page_bytes);
        if (ebb__text_until(&got, ' ', &size) && ebb__text_number(&got, &of_files) && of_files <= pages)
            ret->anon_bytes = ebb__known((pages - of_files) * page_bytes);
    }
}

/* FNV-1a of what names the process's cgroups; 0 when it cannot be read. */
uint64_t ebb__sources_fingerprint(struct ebb_sources *s)
{
    char *text = s->text;
    struct ebb_text got;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    if (read_only_file(s, EBB_CGROUP, s->process, "/cgroup", text, &got) != 0)
        return 0;
    for (; got.at < got.end; got.at++)
        hash = (hash ^ (unsigned char)*got.at) * UINT64_C(0x100000001b3);
    return hash;
}

void ebb__sources_read(struct ebb_sources *s, struct ebb_pressure_facts *ret_facts)
{
    *ret_facts = (struct ebb_pressure_facts){
        .version = s->place.version, .depth = s->place.depth, .tightest = EBB_PRESSURE_NONE};
    if (ebb__sources_fingerprint(s) != s->fingerprint)
        s->stale = true;
    read_levels(s, ret_facts);
    read_stalls(s, ret_facts);
    read_memory(s, ret_facts);
    ret_facts->tightest = ebb__pressure_tightest(ret_facts);
    ret_facts->stale = s->stale;
}
