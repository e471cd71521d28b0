/* SPDX-License-Identifier: MIT
 *
 * The option parser: every row of the table, and every kind of text that a hostile environment may hold.
 */
#include "support.h"

#include <limits.h>

#include "conf/conf.h"

static char said[8][256];
static unsigned said_count;

static void complain(const char *line)
{
    EXPECT(strlen(line) < 256 && strchr(line, '\n') == NULL);
    if (said_count < 8)
        (void)snprintf(said[said_count], sizeof(said[0]), "%s", line);
    said_count++;
}

static unsigned parse(const char *text)
{
    said_count = 0;
    unsigned bad = ebb__conf_parse(text, complain);
    EXPECT_EQ(bad, said_count); /* exactly one line for each bad piece */
    return bad;
}

static void expect_defaults(void)
{
    unsigned count;
    const struct ebb_option *rows = ebb__conf_rows(&count);
    for (unsigned i = 0; i < count; i++)
        EXPECT_MSG(*rows[i].value == rows[i].def, "%s is %ld", rows[i].name, *rows[i].value);
}

static void rows_are_sound(void)
{
    unsigned count;
    const struct ebb_option *rows = ebb__conf_rows(&count);
    EXPECT(count >= 5);
    for (unsigned i = 0; i < count; i++) {
        const struct ebb_option *row = &rows[i];
        EXPECT(row->def >= row->min && row->def <= row->max && row->min >= 0);
        EXPECT(row->help != NULL && strlen(row->help) > 10 && row->unit != NULL && *row->unit != '\0');
        EXPECT(strspn(row->name, "abcdefghijklmnopqrstuvwxyz_0123456789") == strlen(row->name));
        EXPECT_EQ(ebb__conf_get(row->name), row->def);
        for (unsigned k = 0; k < i; k++)
            EXPECT(strcmp(rows[k].name, row->name) != 0 && rows[k].value != row->value);
        if (row->is_choice) {
            long words = 1;
            for (const char *w = row->unit; (w = strchr(w, '|')) != NULL; w++)
                words++;
            EXPECT(row->min == 0 && row->max == words - 1);
        }
    }
    EXPECT_EQ(ebb__conf_get("no_such_option"), -ENOENT);
    EXPECT_EQ(ebb__conf_get(""), -ENOENT);
}

static void each_number_takes_its_range(void)
{
    unsigned count;
    const struct ebb_option *rows = ebb__conf_rows(&count);
    for (unsigned i = 0; i < count; i++) {
        const struct ebb_option *row = &rows[i];
        char text[100];
        if (row->is_choice)
            continue;
        const long good[] = {row->min, row->max, row->min + (row->max - row->min) / 2};
        for (unsigned k = 0; k < 3; k++) {
            (void)snprintf(text, sizeof(text), "%s:%ld", row->name, good[k]);
            EXPECT_EQ(parse(text), 0);
            EXPECT_EQ(*row->value, good[k]);
            EXPECT_EQ(ebb__conf_get(row->name), good[k]);
        }
        const long bad[] = {row->max + 1, row->min - 1, LONG_MAX, LONG_MIN};
        for (unsigned k = 0; k < 4; k++) {
            (void)snprintf(text, sizeof(text), "%s:%ld", row->name, bad[k]);
            EXPECT_EQ(parse(text), 1);
            EXPECT_EQ(*row->value, good[2]);
            char wanted[40];
            (void)snprintf(wanted, sizeof(wanted), "%ld to %ld", row->min, row->max);
            EXPECT_MSG(strstr(said[0], row->name) != NULL && strstr(said[0], wanted) != NULL, "%s", said[0]);
            (void)snprintf(wanted, sizeof(wanted), "%ld is used", good[2]);
            EXPECT_MSG(strstr(said[0], wanted) != NULL, "%s", said[0]);
        }
    }
}

static void each_choice_takes_its_words(void)
{
    unsigned count, choices = 0;
    const struct ebb_option *rows = ebb__conf_rows(&count);
    for (unsigned i = 0; i < count; i++) {
        const struct ebb_option *row = &rows[i];
        char words[200], text[100];
        long position = 0;
        if (!row->is_choice)
            continue;
        choices++;
        (void)snprintf(words, sizeof(words), "%s", row->unit);
        char *rest = words;
        for (char *word; (word = strsep(&rest, "|")) != NULL; position++) {
            (void)snprintf(text, sizeof(text), "%s:%s", row->name, word);
            EXPECT_EQ(parse(text), 0);
            EXPECT_EQ(*row->value, position);
            (void)snprintf(text, sizeof(text), "%s:%.*s", row->name, (int)strlen(word) - 1, word);
            EXPECT_EQ(parse(text), 1);
            (void)snprintf(text, sizeof(text), "%s:%sx", row->name, word);
            EXPECT_EQ(parse(text), 1);
            EXPECT_EQ(*row->value, position);
            EXPECT_MSG(strstr(said[0], row->unit) != NULL && strstr(said[0], " is used") != NULL, "%s",
                       said[0]);
        }
        (void)snprintf(text, sizeof(text), "%s:%s", row->name, row->unit);
        EXPECT_EQ(parse(text), 1);
        (void)snprintf(text, sizeof(text), "%s:0", row->name);
        EXPECT_EQ(parse(text), 1);
    }
    EXPECT(choices >= 1);
}

static void suffixes(void)
{
    static const struct {
        const char *text;
        long value; /* -1: bad */
    } rows[] = {
        {"depot_bytes:0", 0},
        {"depot_bytes:1K", 1024},
        {"depot_bytes:3M", 3 << 20},
        {"depot_bytes:64M", 64 << 20},
        {"caches_bytes:1G", 1L << 30},
        {"depot_bytes:1G", -1}, /* above its range */
        {"depot_bytes:1k", -1},
        {"depot_bytes:1KB", -1},
        {"depot_bytes:1KK", -1},
        {"depot_bytes:K", -1},
        {"depot_bytes:1T", -1},
        {"depot_bytes:1.5M", -1},
        {"depot_bytes: 1", -1},
        {"depot_bytes:1 ", -1},
        {"depot_bytes:+1", -1},
        {"depot_bytes:-1", -1},
        {"depot_bytes:0x10", -1},
        {"depot_bytes:00000000000000000000000000000000000007", 7},
        {"depot_bytes:9223372036854775807", -1},
        {"depot_bytes:9223372036854775808", -1},
        {"depot_bytes:18446744073709551616", -1},
        {"depot_bytes:99999999999999999999999999999999999999999999", -1},
        {"depot_bytes:9007199254740993K", -1}, /* times 1024 overflows to a small number */
        {"depot_bytes:18014398509481985K", -1},
        {"depot_bytes:17592186044417M", -1},
        {"depot_bytes:17179869185G", -1},
        {"depot_bytes:", -1},
        {"depot_bytes", -1},
        {"depot_bytes::1", -1},
        {"depot_bytes:1:", -1},
        {"depot_bytes:1:2", -1},
    };
    for (size_t i = 0; i < EBB_ARRAY_COUNT(rows); i++) {
        long before = ebb__conf.depot_bytes;
        unsigned bad = parse(rows[i].text);
        EXPECT_MSG(bad == (rows[i].value < 0), "%s: %u bad", rows[i].text, bad);
        if (rows[i].value < 0)
            EXPECT_EQ(ebb__conf.depot_bytes, before);
        else
            EXPECT_EQ(rows[i].text[0] == 'd' ? ebb__conf.depot_bytes : ebb__conf.caches_bytes, rows[i].value);
    }
    /* A suffix stands for bytes; other units have none. */
    EXPECT_EQ(parse("lane:0K"), 1);
    EXPECT_EQ(ebb__conf.lane, 256);
}

static void pieces(void)
{
    EXPECT_EQ(parse(NULL), 0);
    EXPECT_EQ(parse(""), 0);
    EXPECT_EQ(parse(","), 0);
    EXPECT_EQ(parse(",,,,"), 0);
    expect_defaults();
    EXPECT_EQ(parse(",lane:1,,check:1,"), 0);
    EXPECT(ebb__conf.lane == 1 && ebb__conf.check == 1);
    EXPECT_EQ(parse("lane:2,lane:3"), 0); /* the last one wins */
    EXPECT_EQ(ebb__conf.lane, 3);
    EXPECT_EQ(parse("lane:4,lane:999"), 1);
    EXPECT_EQ(ebb__conf.lane, 4);
    EXPECT_EQ(parse("nonsense,lane:5,more:nonsense,check:0,:,:1"), 4);
    EXPECT(ebb__conf.lane == 5 && ebb__conf.check == 0);
    EXPECT_MSG(strstr(said[0], "\"nonsense\"") != NULL && strstr(said[1], "\"more\"") != NULL, "%s / %s",
               said[0], said[1]);
    EXPECT_EQ(parse("LANE:1"), 1);
    EXPECT_EQ(parse("lan:1"), 1);
    EXPECT_EQ(parse("lanes:1"), 1);
    EXPECT_EQ(parse("lane=1"), 1);
    EXPECT_EQ(parse(" lane:1"), 1);
    EXPECT_EQ(parse("lane:1;check:1"), 1);
    EXPECT_EQ(ebb__conf.lane, 5);
}

/* What is shown of garbage is printable and short. */
static void unprintable_pieces(void)
{
    char text[300];
    for (unsigned c = 1; c < 256; c++) {
        if (c == ',' || c == ':' || c == '0')
            continue;
        memset(text, (int)c, sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        EXPECT_EQ(parse(text), 1);
        for (const char *s = said[0]; *s != '\0'; s++)
            EXPECT_MSG(*s >= ' ' && *s <= '~', "byte %u shown as %u", c, (unsigned char)*s);
        (void)memcpy(text, "lane:", 5);
        EXPECT_EQ(parse(text), 1);
        for (const char *s = said[0]; *s != '\0'; s++)
            EXPECT(*s >= ' ' && *s <= '~');
    }
    expect_defaults();
}

static void a_megabyte_of_garbage(void)
{
    struct support_rng rng = {support_seed("a_megabyte_of_garbage")};
    size_t bytes = 1 << 20;
    char *text = malloc(bytes + 1);
    EXPECT(text != NULL);
    memset(text, 'x', bytes);
    text[bytes] = '\0';
    EXPECT_EQ(parse(text), 1);
    memset(text, '9', bytes);
    (void)memcpy(text, "lane:", 5);
    EXPECT_EQ(parse(text), 1);
    for (unsigned round = 0; round < 4; round++) {
        unsigned wanted = 0, len = 0;
        for (size_t i = 0; i < bytes; i++) {
            text[i] = (char)(1 + support_below(&rng, 255));
            if (support_below(&rng, 40) == 0)
                text[i] = ',';
            wanted += text[i] == ',' && len != 0;
            len = text[i] == ',' ? 0 : len + 1;
        }
        EXPECT_EQ(parse(text), wanted + (len != 0));
    }
    expect_defaults();
    free(text);
}

/* Random texts made of the parser's own words: it may say anything but must not leave a range. */
static void random_words(void)
{
    static const char *const words[] = {"lane", "check", "foreign", "cache_bytes", "depot_bytes", ":",  ":",
                                        ":",    ",",     ",",       "1",           "0",           "64", "K",
                                        "M",    "G",     "forward", "abort",       "|",           "-",  " "};
    struct support_rng rng = {support_seed("random_words")};
    unsigned count;
    const struct ebb_option *rows = ebb__conf_rows(&count);
    for (unsigned i = 0; i < 50000; i++) {
        char text[256] = "";
        size_t len = 0;
        for (size_t n = support_below(&rng, 14); n > 0; n--)
            len += (size_t)snprintf(text + len, sizeof(text) - len, "%s",
                                    words[support_below(&rng, EBB_ARRAY_COUNT(words))]);
        (void)parse(text);
        for (unsigned k = 0; k < count; k++)
            EXPECT_MSG(*rows[k].value >= rows[k].min && *rows[k].value <= rows[k].max, "%s: %s is %ld", text,
                       rows[k].name, *rows[k].value);
    }
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(rows_are_sound),
        CASE(each_number_takes_its_range),
        CASE(each_choice_takes_its_words),
        CASE(suffixes),
        CASE(pieces),
        CASE(unprintable_pieces),
        CASE(a_megabyte_of_garbage),
        CASE(random_words),
    };
    return RUN_CASES(cases);
}
