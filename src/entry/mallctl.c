/* SPDX-License-Identifier: MIT
 *
 * A small part of jemalloc's control interface, by its names, for servers that look for it.
 *
 * MariaDB, Percona Server, Redis and ClickHouse ask mallctl() for figures and for a purge. The answers are
 * true, and "version" says whose they are. The *allocx functions are not here, so nothing that tests for the
 * whole of jemalloc (folly) takes us for it. A name that is not in the table gives ENOENT, as jemalloc does.
 *
 * The names that begin with "ebb." are <ebb/pressure.h> for programs that are not linked with us and find mallctl() by dlsym().
 */
#include <stdio.h>

#include "conf/conf.h"
#include "ebb/malloc.h"
#include "ebb/pressure.h"
#include "entry/entry.h"

EBB_ENTRY int mallctl(const char *name, void *old, size_t *old_len, void *new_value, size_t new_len);
EBB_ENTRY int mallctlnametomib(const char *name, size_t *mib, size_t *mib_len);
EBB_ENTRY int mallctlbymib(const size_t *mib, size_t mib_len, void *old, size_t *old_len, void *new_value,
                           size_t new_len);
EBB_ENTRY void malloc_stats_print(void (*write_cb)(void *, const char *), void *arg, const char *options);

enum what { TEXT, EPOCH, STAT, FLAG, OPTION, ORDER, LEVEL, NOTE, SUBSCRIBE, UNSUBSCRIBE };

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
    {"ebb.pressure.level", LEVEL, 0},
    {"ebb.pressure.note", NOTE, 0},
    {"ebb.pressure.subscribe", SUBSCRIBE, 0},
    {"ebb.pressure.unsubscribe", UNSUBSCRIBE, 0},
};

static const struct row *find(const char *name)
{
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(rows); i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

/* What the caller hands over: room for the old value, and a new one. */
struct values {
    void *old;
    const size_t *old_len;
    const void *new_value;
    size_t new_len;
};

static int answer(const void *value, size_t len, const struct values *v)
{
    if (v->old == NULL || v->old_len == NULL)
        return 0;
    if (*v->old_len != len)
        return EINVAL;
    memcpy(v->old, value, len);
    return 0;
}

static int answer_only(const void *value, size_t len, const struct values *v)
{
    return v->new_value != NULL ? EPERM : answer(value, len, v);
}

/* A switch that is not here: it may be set to what it is. */
static int answer_flag(bool flag, const struct values *v)
{
    if (v->new_value != NULL && *(const bool *)v->new_value != flag)
        return EPERM;
    return answer(&flag, sizeof(flag), v);
}

static bool option_flag(size_t offset)
{
    long value;
    memcpy(&value, (const char *)&ebb__conf + offset, sizeof(value));
    return value != 0;
}

/* Both are needed, and looked at first: nobody must be subscribed whose number is lost. */
static int subscribe(const struct values *v)
{
    if (v->new_value == NULL || v->new_len != sizeof(struct ebb_pressure_subscriber) || v->old == NULL ||
        v->old_len == NULL || *v->old_len != sizeof(int))
        return EINVAL;
    int number = ebb_pressure_subscribe(v->new_value);
    return number < 0 ? -number : answer(&number, sizeof(number), v);
}

static int unsubscribe(const struct values *v)
{
    int number;
    if (v->new_value == NULL || v->new_len != sizeof(number))
        return EINVAL;
    memcpy(&number, v->new_value, sizeof(number));
    return -ebb_pressure_unsubscribe(number);
}

static int control(const struct row *row, const struct values *v)
{
    static const char version[] = "ebb " EBB_VERSION;
    const char *text = version;
    static uint64_t epoch = 1;
    struct ebb_stats stats = {.size_of_struct = sizeof(stats)};
    struct ebb_pressure_note note = {.size_of_struct = sizeof(note)};
    unsigned level = ebb_budget_level();
    switch (row->what) {
    case TEXT:
        return answer_only(&text, sizeof(const char *), v);
    case EPOCH: /* our figures are always fresh */
        return answer(&epoch, sizeof(epoch), v);
    case STAT:
        if (v->new_value != NULL)
            return EPERM;
        (void)ebb_stats_get(&stats);
        return answer((const char *)&stats + row->value, sizeof(size_t), v);
    case FLAG:
        return answer_flag(row->value != 0, v);
    case OPTION:
        return answer_flag(option_flag(row->value), v);
    case ORDER:
        if (row->value == ORDER_FLUSH)
            ebb_thread_flush();
        else
            (void)ebb_trim(0);
        return 0;
    case LEVEL:
        return answer_only(&level, sizeof(level), v);
    case NOTE:
        (void)ebb_pressure_last(&note);
        return answer_only(&note, sizeof(note), v);
    case SUBSCRIBE:
        return subscribe(v);
    case UNSUBSCRIBE:
        return unsubscribe(v);
    }
    return ENOENT;
}

int mallctl(const char *name, void *old, size_t *old_len, void *new_value, size_t new_len)
{
    const struct row *row = find(name);
    const struct values values = {old, old_len, new_value, new_len};
    return row != NULL ? control(row, &values) : ENOENT;
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
    const struct values values = {old, old_len, new_value, new_len};
    if (mib_len == 0 || mib[0] >= EBB_ARRAY_COUNT(rows))
        return ENOENT;
    return control(&rows[mib[0]], &values);
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
