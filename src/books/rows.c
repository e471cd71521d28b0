/* SPDX-License-Identifier: MIT
 *
 * From what a server answers to the facts of the books; see rows_priv.h.
 */
#include "books/rows_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "probe/scan.h"

#define EBB_BOOKS_ROW_OF(part, field, source_id, key_text, unit_id, where_id)                                \
    {                                                                                                        \
        .name = #field, .at = offsetof(struct ebb_books, part.field), .key = (key_text),                     \
        .source = EBB_BOOKS_##source_id, .unit = EBB_BOOKS_##unit_id, .where = EBB_BOOKS_IN_##where_id       \
    }

static const struct ebb_books_row MYSQL[] = {
#define EBB_BOOKS_ROW(field, source, key, unit, where)                                                       \
    EBB_BOOKS_ROW_OF(mysql, field, source, key, unit, where),
#include "books/mysql.def"
#undef EBB_BOOKS_ROW
};

static const struct ebb_books_row POSTGRES[] = {
#define EBB_BOOKS_ROW(field, source, key, unit, where)                                                       \
    EBB_BOOKS_ROW_OF(postgres, field, source, key, unit, where),
#include "books/postgres.def"
#undef EBB_BOOKS_ROW
};

static const struct ebb_books_row REDIS[] = {
#define EBB_BOOKS_ROW(field, source, key, unit, where)                                                       \
    EBB_BOOKS_ROW_OF(redis, field, source, key, unit, where),
#include "books/redis.def"
#undef EBB_BOOKS_ROW
};

/* What is no number, by the server's name for it. */
static const struct {
    enum ebb_books_source source;
    const char *key;
    size_t at;
} TEXTS[] = {
    {EBB_BOOKS_VARIABLE, "version", offsetof(struct ebb_books, version)},
    {EBB_BOOKS_VARIABLE, "version_comment", offsetof(struct ebb_books, product)},
    {EBB_BOOKS_VARIABLE, "version_malloc_library", offsetof(struct ebb_books, malloc_library)},
    {EBB_BOOKS_STATUS, "Innodb_buffer_pool_resize_status", offsetof(struct ebb_books, state)},
    {EBB_BOOKS_SETTING, "server_version", offsetof(struct ebb_books, version)},
    {EBB_BOOKS_INFO, "redis_version", offsetof(struct ebb_books, version)},
    /* Valkey says both, the one that it is compatible with first. */
    {EBB_BOOKS_INFO, "valkey_version", offsetof(struct ebb_books, version)},
    {EBB_BOOKS_INFO, "server_name", offsetof(struct ebb_books, product)},
    {EBB_BOOKS_INFO, "mem_allocator", offsetof(struct ebb_books, malloc_library)},
};

#define TEXT_COUNT (sizeof(TEXTS) / sizeof(TEXTS[0]))

const struct ebb_books_row *ebb__books_rows(enum ebb_books_kind kind, size_t *ret_count)
{
    switch (kind) {
    case EBB_BOOKS_MYSQL:
    case EBB_BOOKS_MARIADB:
        *ret_count = sizeof(MYSQL) / sizeof(MYSQL[0]);
        return MYSQL;
    case EBB_BOOKS_POSTGRES:
        *ret_count = sizeof(POSTGRES) / sizeof(POSTGRES[0]);
        return POSTGRES;
    case EBB_BOOKS_REDIS:
        *ret_count = sizeof(REDIS) / sizeof(REDIS[0]);
        return REDIS;
    default:
        *ret_count = 0;
        return NULL;
    }
}

static struct ebb_fact *fact_at(struct ebb_books *books, const struct ebb_books_row *row)
{
    return (struct ebb_fact *)(void *)((char *)books + row->at);
}

struct ebb_fact ebb__books_fact(const struct ebb_books *books, const struct ebb_books_row *row)
{
    struct ebb_fact fact;

    memcpy(&fact, (const char *)books + row->at, sizeof(fact));
    return fact;
}

void ebb__rows_init(struct ebb_books *books)
{
    static const enum ebb_books_kind KINDS[] = {EBB_BOOKS_MYSQL, EBB_BOOKS_POSTGRES, EBB_BOOKS_REDIS};

    memset(books, 0, sizeof(*books));
    for (size_t k = 0; k < sizeof(KINDS) / sizeof(KINDS[0]); k++) {
        size_t count;
        const struct ebb_books_row *rows = ebb__books_rows(KINDS[k], &count);

        for (size_t i = 0; i < count; i++)
            *fact_at(books, &rows[i]) = ebb__fact_unknown(-ENOTCONN);
    }
    books->items.instruments = ebb__fact_unknown(-ENOTCONN);
    books->items.instruments_on = ebb__fact_unknown(-ENOTCONN);
    books->rights.may_set = ebb__fact_unknown(-ENOTCONN);
    books->rights.may_flush = ebb__fact_unknown(-ENOTCONN);
    books->rights.tables_in_use = ebb__fact_unknown(-ENOTCONN);
}

void ebb__rows_mark(struct ebb_books *books, enum ebb_books_source source, int err)
{
    size_t count;
    const struct ebb_books_row *rows = ebb__books_rows(books->kind, &count);

    for (size_t i = 0; i < count; i++)
        if (rows[i].source == source && !fact_at(books, &rows[i])->known &&
            fact_at(books, &rows[i])->err == -ENOTCONN)
            *fact_at(books, &rows[i]) = ebb__fact_unknown(err);
}

void ebb__rows_text(const char *from, char *ret_text, size_t text_bytes)
{
    ebb__rows_text_of(from, strnlen(from, text_bytes), ret_text, text_bytes);
}

void ebb__rows_text_of(const char *from, size_t len, char *ret_text, size_t text_bytes)
{
    if (len >= text_bytes) {
        len = text_bytes - 1;
        while (len > 0 && ((unsigned char)from[len] & 0xc0) == 0x80)
            len--;
    }
    while (len > 0 && (unsigned char)from[len - 1] <= ' ')
        len--;
    for (size_t i = 0; i < len; i++)
        ret_text[i] = (unsigned char)from[i] < ' ' ? ' ' : from[i];
    ret_text[len] = '\0';
}

bool ebb__rows_signed(const char *text, int64_t *ret_value)
{
    struct ebb_scan scan = {.at = text, .end = text != NULL ? text + strlen(text) : NULL};
    bool negative = text != NULL && ebb__scan_char(&scan, '-');
    uint64_t value;

    if (text == NULL || !ebb__scan_dec(&scan, &value) || scan.at != scan.end || value > INT64_MAX)
        return false;
    *ret_value = negative ? -(int64_t)value : (int64_t)value;
    return true;
}

/* What a unit of pg_settings is worth, in bytes or seconds: "8kB" is 8 KiB, "MB", "s". */
static bool factor_of(const char *unit, uint64_t *ret_factor)
{
    struct ebb_scan scan = {.at = unit, .end = unit + strlen(unit)};
    uint64_t many = 1, each;

    ebb__scan_dec(&scan, &many);
    if (ebb__scan_word(&scan, "kB"))
        each = 1024;
    else if (ebb__scan_word(&scan, "MB"))
        each = UINT64_C(1) << 20;
    else if (ebb__scan_char(&scan, 'B') || ebb__scan_char(&scan, 's'))
        each = 1;
    else
        return false;
    return scan.at == scan.end && !__builtin_mul_overflow(many, each, ret_factor);
}

struct ebb_fact ebb__rows_value(enum ebb_books_unit kind, const char *value, const char *unit)
{
    struct ebb_scan scan = {.at = value, .end = value + strlen(value)};
    uint64_t number, factor = 1;

    if (kind == EBB_BOOKS_BOOL) {
        if (strcasecmp(value, "ON") == 0 || strcasecmp(value, "YES") == 0 || strcmp(value, "1") == 0)
            return ebb__fact(1);
        if (strcasecmp(value, "OFF") == 0 || strcasecmp(value, "NO") == 0 || strcmp(value, "0") == 0)
            return ebb__fact(0);
        return ebb__fact_unknown(-EBADMSG);
    }
    if (value[0] == '-')
        return ebb__fact_unknown(-ERANGE);
    if (unit != NULL && unit[0] != '\0' && !factor_of(unit, &factor))
        return ebb__fact_unknown(-EBADMSG);
    if (!ebb__scan_dec(&scan, &number) || scan.at != scan.end ||
        __builtin_mul_overflow(number, factor, &number))
        return ebb__fact_unknown(-EBADMSG);
    return ebb__fact(number);
}

void ebb__rows_take(struct ebb_books *books, enum ebb_books_source source, const char *name,
                    const char *value, const char *unit)
{
    size_t count;
    const struct ebb_books_row *rows = ebb__books_rows(books->kind, &count);

    if (name == NULL || value == NULL)
        return;
    for (size_t i = 0; i < TEXT_COUNT; i++)
        if (TEXTS[i].source == source && strcmp(TEXTS[i].key, name) == 0)
            ebb__rows_text(value, (char *)books + TEXTS[i].at, EBB_BOOKS_TEXT_BYTES);
    for (size_t i = 0; i < count; i++) {
        /* Some names differ between MariaDB and MySQL, and between their versions, by case alone. */
        const char *own = source == EBB_BOOKS_VALUE ? rows[i].name : rows[i].key;

        if (rows[i].source != source || strcasecmp(own, name) != 0)
            continue;
        if (!fact_at(books, &rows[i])->known)
            *fact_at(books, &rows[i]) = ebb__rows_value(rows[i].unit, value, unit);
    }
}

void ebb__rows_sum(struct ebb_books *books, const struct ebb_books_row *row, uint64_t number)
{
    struct ebb_fact *fact = fact_at(books, row);
    uint64_t sum;

    if (__builtin_add_overflow(ebb__fact_or(*fact, 0), number, &sum))
        *fact = ebb__fact_unknown(-ERANGE);
    else if (fact->known || fact->err == -ENOTCONN)
        *fact = ebb__fact(sum);
}

/* Appends 'name' and a comma before it when it is not the first; false when it does not fit. */
static bool append_name(const char *name, char *text, size_t text_bytes, size_t *used)
{
    size_t len = strlen(name);

    if (*used + len + 4 > text_bytes)
        return false;
    if (*used != 0)
        text[(*used)++] = ',';
    text[(*used)++] = '\'';
    memcpy(text + *used, name, len);
    *used += len;
    text[(*used)++] = '\'';
    text[*used] = '\0';
    return true;
}

bool ebb__rows_names(enum ebb_books_kind kind, enum ebb_books_source source, char *ret_text,
                     size_t text_bytes)
{
    size_t count, used = 0;
    const struct ebb_books_row *rows = ebb__books_rows(kind, &count);
    bool fits = true;

    for (size_t i = 0; i < TEXT_COUNT; i++)
        if (TEXTS[i].source == source)
            fits = fits && append_name(TEXTS[i].key, ret_text, text_bytes, &used);
    for (size_t i = 0; i < count; i++)
        if (rows[i].source == source)
            fits = fits && append_name(rows[i].key, ret_text, text_bytes, &used);
    return fits && used != 0;
}

/* Makes room for one more, doubling; false when memory is short. */
static bool grow(void **array, size_t count, size_t each_bytes)
{
    void *larger;

    if (count < 16 ? count != 0 : (count & (count - 1)) != 0)
        return true;
    larger = realloc(*array, (count < 16 ? 16 : 2 * count) * each_bytes);
    if (larger == NULL)
        return false;
    *array = larger;
    return true;
}

/* A server that sends nonsense must not make us overflow. */
static void add(int64_t *sum, int64_t value)
{
    if (__builtin_add_overflow(*sum, value, sum))
        *sum = value < 0 ? INT64_MIN : INT64_MAX;
}

bool ebb__rows_add_item(struct ebb_books_items *list, const struct ebb_books_item *item)
{
    list->total_count++;
    add(&list->total_bytes, item->bytes);
    if (list->count == EBB_BOOKS_ITEMS_MAX)
        return true;
    if (!grow((void **)&list->items, list->count, sizeof(*item)))
        return false;
    list->items[list->count++] = *item;
    return true;
}

bool ebb__rows_add_session(struct ebb_books_sessions *list, const struct ebb_books_session *session)
{
    list->total_count++;
    if (session->bytes_known)
        add(&list->total_bytes, session->bytes);
    if (list->count == EBB_BOOKS_SESSIONS_MAX)
        return true;
    if (!grow((void **)&list->sessions, list->count, sizeof(*session)))
        return false;
    list->sessions[list->count++] = *session;
    return true;
}

/* Both of a negated and of an absolute value INT64_MIN has none. */
static uint64_t size_of(int64_t bytes)
{
    return bytes < 0 ? (uint64_t)0 - (uint64_t)bytes : (uint64_t)bytes;
}

static int compare_items(const void *left, const void *right)
{
    const struct ebb_books_item *a = left, *b = right;

    if (size_of(a->bytes) != size_of(b->bytes))
        return size_of(a->bytes) > size_of(b->bytes) ? -1 : 1;
    return strcmp(a->name, b->name);
}

static int compare_sessions(const void *left, const void *right)
{
    const struct ebb_books_session *a = left, *b = right;

    if (a->bytes != b->bytes)
        return a->bytes > b->bytes ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

void ebb__rows_sort(struct ebb_books *books)
{
    if (books->items.count != 0)
        qsort(books->items.items, books->items.count, sizeof(books->items.items[0]), compare_items);
    if (books->sessions.count != 0)
        qsort(books->sessions.sessions, books->sessions.count, sizeof(books->sessions.sessions[0]),
              compare_sessions);
}

/* "name:value\r\n", and headings that begin with '#'. */
int ebb__rows_info(struct ebb_books *books, const char *text, size_t len)
{
    const char *end = text + len;
    struct ebb_books taken = *books;

    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *colon = newline != NULL ? memchr(text, ':', (size_t)(newline - text)) : NULL;
        char name[64], value[EBB_BOOKS_TEXT_BYTES];

        if (newline == NULL)
            break;
        if (colon != NULL && text[0] != '#' && (size_t)(colon - text) < sizeof(name)) {
            size_t value_len = (size_t)(newline - colon - 1);

            if (value_len > 0 && newline[-1] == '\r')
                value_len--;
            if (value_len < sizeof(value)) {
                memcpy(name, text, (size_t)(colon - text));
                name[colon - text] = '\0';
                memcpy(value, colon + 1, value_len);
                value[value_len] = '\0';
                ebb__rows_take(&taken, EBB_BOOKS_INFO, name, value, NULL);
            }
        }
        text = newline + 1;
    }
    if (taken.version[0] == '\0')
        return -EBADMSG;
    ebb__rows_mark(&taken, EBB_BOOKS_INFO, -ENODATA);
    *books = taken;
    return 0;
}
