/* SPDX-License-Identifier: MIT
 *
 * A small part of jemalloc's control interface, by its names, for servers that look for it.
 *
 * MariaDB, Percona Server, Redis and ClickHouse ask mallctl() for figures and for a purge. The answers are
 * true, and "version" says whose they are. The *allocx functions are not here, so nothing that tests for the
 * whole of jemalloc (folly) takes us for it. A name that is not in the table gives ENOENT, as jemalloc does.
 */
#include <stdio.h>

#include "conf/conf.h"
#include "ebb/malloc.h"
#include "entry/entry.h"

EBB_ENTRY int mallctl(const char *name, void *old, size_t *old_len, void *new_value, size_t new_len);
EBB_ENTRY int mallctlnametomib(const char *name, size_t *mib, size_t *mib_len);
EBB_ENTRY int mallctlbymib(const size_t *mib, size_t mib_len, void *old, size_t *old_len, void *new_value,
                           size_t new_len);
EBB_ENTRY void malloc_stats_print(void (*write_cb)(void *, const char *), void *arg, const char *options);

enum what { TEXT, EPOCH, STAT, FLAG, OPTION, ORDER };

enum order { ORDER_FLUSH, ORDER_PURGE };

struct row {
    const char *name;
    enum what what;
    size_t
        value; /* STAT: offset in ebb_stats; FLAG: its value; OPTION: offset in ebb_conf, 0 or 1; ORDER: which */
};

static const struct row rows[] = {
    {"version", TEXT, 0},
    {"epoch", EPOCH, 0},
    {"stats.allocated", STAT, offsetof(struct ebb_stats, live_bytes)},
    {"stats.active", STAT, offsetof(struct ebb_stats, backed_bytes)},
    {"stats.resident", STAT, offsetof(struct ebb_stats, backed_bytes)},
    {"stats.mapped", STAT, offsetof(struct ebb_stats, committed_bytes)},
    {"stats.retained", STAT, offsetof(struct ebb_stats, dirty_bytes)},
    {"background_thread", OPTION, offsetof(struct ebb_conf, bg)},
    {"config.prof", FLAG, 0},
    {"opt.prof", FLAG, 0},
    {"prof.active", FLAG, 0},
    {"opt.background_thread", OPTION, offsetof(struct ebb_conf, bg)},
    {"thread.tcache.enabled", FLAG, 1},
    {"thread.tcache.flush", ORDER, ORDER_FLUSH},
    {"arena.4096.purge", ORDER, ORDER_PURGE}, /* MALLCTL_ARENAS_ALL */
    {"arena.0.purge", ORDER, ORDER_PURGE},
};

static const struct row *find(const char *name)
{
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(rows); i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

static int answer(const void *value, size_t len, void *old, const size_t *old_len)
{
    if (old == NULL || old_len == NULL)
        return 0;
    if (*old_len != len)
        return EINVAL;
    memcpy(old, value, len);
    return 0;
}

static int control(const struct row *row, void *old, const size_t *old_len, const void *new_value)
{
    static const char version[] = "ebb " EBB_VERSION;
    const char *text = version;
    static uint64_t epoch = 1;
    struct ebb_stats stats = {.size_of_struct = sizeof(stats)};
    bool flag = row->value != 0;
    if (row->what == OPTION) {
        long value;
        memcpy(&value, (const char *)&ebb__conf + row->value, sizeof(value));
        flag = value != 0;
    }
    switch (row->what) {
    case TEXT:
        return new_value != NULL ? EPERM : answer(&text, sizeof(const char *), old, old_len);
    case EPOCH: /* our figures are always fresh */
        return answer(&epoch, sizeof(epoch), old, old_len);
    case STAT:
        if (new_value != NULL)
            return EPERM;
        (void)ebb_stats_get(&stats);
        return answer((const char *)&stats + row->value, sizeof(size_t), old, old_len);
    case FLAG:
    case OPTION:
        if (new_value != NULL && *(const bool *)new_value != flag)
            return EPERM; /* a switch that is not here */
        return answer(&flag, sizeof(flag), old, old_len);
    case ORDER:
        if (row->value == ORDER_FLUSH)
            ebb_thread_flush();
        else
            (void)ebb_trim(0);
        return 0;
    }
    return ENOENT;
}

int mallctl(const char *name, void *old, size_t *old_len, void *new_value, size_t new_len)
{
    const struct row *row = find(name);
    (void)new_len;
    return row != NULL ? control(row, old, old_len, new_value) : ENOENT;
}

/* A name's "MIB" is the position of its row: opaque, one element. */
int mallctlnametomib(const char *name, size_t *mib, size_t *mib_len)
{
    const struct row *row = find(name);
    if (row == NULL || *mib_len == 0)
        return row == NULL ? ENOENT : EINVAL;
    mib[0] = (size_t)(row - rows);
    *mib_len = 1;
    return 0;
}

int mallctlbymib(const size_t *mib, size_t mib_len, void *old, size_t *old_len, void *new_value,
                 size_t new_len)
{
    (void)new_len;
    if (mib_len == 0 || mib[0] >= EBB_ARRAY_COUNT(rows))
        return ENOENT;
    return control(&rows[mib[0]], old, old_len, new_value);
}

void malloc_stats_print(void (*write_cb)(void *, const char *), void *arg, const char *options)
{
    (void)options;
    struct ebb_stats s = {.size_of_struct = sizeof(s)};
    char text[512];
    (void)ebb_stats_get(&s);
    (void)ebb__fmt(
        text, sizeof(text),
        "ebb %s: allocated %lu, active %lu, mapped %lu, cached %lu, dirty %lu bytes; %lu mappings\n",
        EBB_VERSION, (unsigned long)s.live_bytes, (unsigned long)s.backed_bytes,
        (unsigned long)s.committed_bytes, (unsigned long)s.cached_bytes, (unsigned long)s.dirty_bytes,
        (unsigned long)s.mappings);
    if (write_cb != NULL)
        write_cb(arg, text);
    else
        (void)fwrite(text, 1, strlen(text), stderr);
}
