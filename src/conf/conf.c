/* SPDX-License-Identifier: MIT
 * The option parser; knows no option by name. */
#include "conf/conf.h"

#define LINE_BYTES 256
#define NAME_SHOWN 40 /* of an unknown name; a hostile environment may hold megabytes */

struct ebb_conf ebb__conf = {
#define OPTION(name, kind, def, min, max, unit, help) .name = (def),
#include "conf/options.def"
#undef OPTION
};

#define KIND_NUMBER false
#define KIND_CHOICE true

static const struct ebb_option rows[] = {
#define OPTION(name, kind, def, min, max, unit, help)                                                        \
    {#name, KIND_##kind, def, min, max, unit, help, &ebb__conf.name},
#include "conf/options.def"
#undef OPTION
};

#define OPTION(name, kind, def, min, max, unit, help)                                                        \
    EBB_STATIC_ASSERT((def) >= (min) && (def) <= (max), #name ": default outside its range");
#include "conf/options.def"
#undef OPTION

const struct ebb_option *ebb__conf_rows(unsigned *ret_count)
{
    *ret_count = EBB_ARRAY_COUNT(rows);
    return rows;
}

/* A piece of the text: [at, at + len). */
struct piece {
    const char *at;
    size_t len;
};

static bool same(struct piece p, const char *word, size_t word_len)
{
    return p.len == word_len && memcmp(p.at, word, word_len) == 0;
}

static const struct ebb_option *find(struct piece name)
{
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(rows); i++)
        if (same(name, rows[i].name, strlen(rows[i].name)))
            return &rows[i];
    return NULL;
}

/* Position of the word in "a|b|c", or -1. */
static long parse_choice(struct piece value, const char *words)
{
    for (long position = 0;; position++) {
        const char *end = strchr(words, '|');
        size_t len = end ? (size_t)(end - words) : strlen(words);
        if (same(value, words, len))
            return position;
        if (end == NULL)
            return -1;
        words = end + 1;
    }
}

/* A decimal number, with K, M or G allowed behind it where the unit is bytes, or -1. */
static long parse_number(struct piece value, bool is_bytes)
{
    static const char suffixes[] = "KMG";
    long n = 0;
    size_t i = 0;
    for (; i < value.len && value.at[i] >= '0' && value.at[i] <= '9'; i++)
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, value.at[i] - '0', &n))
            return -1;
    if (i == 0)
        return -1;
    if (i < value.len) {
        const char *s = value.at[i] != '\0' ? strchr(suffixes, value.at[i]) : NULL;
        if (!is_bytes || s == NULL || i + 1 != value.len)
            return -1;
        for (; s >= suffixes; s--)
            if (__builtin_mul_overflow(n, 1024, &n))
                return -1;
    }
    return n;
}

/* The word at a position of "a|b|c". */
static const char *choice_word(char *buf, const char *words, long position)
{
    while (position-- > 0)
        words = strchr(words, '|') + 1;
    size_t len = 0;
    for (; words[len] != '\0' && words[len] != '|' && len < NAME_SHOWN; len++)
        buf[len] = words[len];
    buf[len] = '\0';
    return buf;
}

/* Copies what can be shown of a piece that the parser does not understand. */
static const char *shown(char *buf, struct piece p)
{
    size_t n = p.len < NAME_SHOWN ? p.len : NAME_SHOWN;
    for (size_t i = 0; i < n; i++)
        buf[i] = p.at[i] >= ' ' && p.at[i] <= '~' ? p.at[i] : '?';
    buf[n] = '\0';
    return buf;
}

static bool apply(struct piece name, bool has_value, struct piece value, void (*complain)(const char *))
{
    char line[LINE_BYTES], what[NAME_SHOWN + 1], word[NAME_SHOWN + 1], chosen[NAME_SHOWN + 1];
    const struct ebb_option *row = find(name);
    if (row == NULL) {
        (void)ebb__fmt(line, sizeof(line),
                       "EBB_MALLOC: unknown option \"%s\"; it is ignored (see ebb-malloc(7))",
                       shown(what, name));
        complain(line);
        return false;
    }
    long n = !has_value       ? -1
             : row->is_choice ? parse_choice(value, row->unit)
                              : parse_number(value, strcmp(row->unit, "bytes") == 0);
    if (n >= row->min && n <= row->max) {
        *row->value = n;
        return true;
    }
    shown(word, has_value ? value : (struct piece){"", 0});
    if (row->is_choice)
        (void)ebb__fmt(line, sizeof(line), "EBB_MALLOC: %s: \"%s\" is not one of %s; %s is used", row->name,
                       word, row->unit, choice_word(chosen, row->unit, *row->value));
    else
        (void)ebb__fmt(line, sizeof(line),
                       "EBB_MALLOC: %s: \"%s\" is not a number from %ld to %ld (%s); %ld is used", row->name,
                       word, row->min, row->max, row->unit, *row->value);
    complain(line);
    return false;
}

unsigned ebb__conf_parse(const char *text, void (*complain)(const char *line))
{
    unsigned bad = 0;
    while (text != NULL && *text != '\0') {
        const char *end = strchr(text, ',');
        size_t len = end ? (size_t)(end - text) : strlen(text);
        const char *colon = memchr(text, ':', len);
        size_t name_len = colon ? (size_t)(colon - text) : len;
        struct piece name = {text, name_len};
        struct piece value = {colon ? colon + 1 : "", colon ? len - name_len - 1 : 0};
        if (len != 0 && !apply(name, colon != NULL, value, complain))
            bad++;
        text = end ? end + 1 : NULL;
    }
    return bad;
}

long ebb__conf_get(const char *name)
{
    const struct ebb_option *row = find((struct piece){name, strlen(name)});
    return row ? *row->value : -ENOENT;
}
