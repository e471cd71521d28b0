/* SPDX-License-Identifier: MIT
 * Texts of the kernel, taken apart; see text_priv.h. */
#include "governor/text_priv.h"

bool ebb__text_is(struct ebb_text text, const char *word)
{
    size_t len = strlen(word);
    return ebb__text_len(text) == len && memcmp(text.at, word, len) == 0;
}

bool ebb__text_until(struct ebb_text *rest, char c, struct ebb_text *ret_part)
{
    if (rest->at == rest->end)
        return false;
    const char *hit = memchr(rest->at, c, ebb__text_len(*rest));
    *ret_part = (struct ebb_text){rest->at, hit == NULL ? rest->end : hit};
    rest->at = hit == NULL ? rest->end : hit + 1;
    return true;
}

bool ebb__text_number(struct ebb_text *rest, uint64_t *ret_value)
{
    const char *at = rest->at;
    uint64_t value = 0;
    for (; at < rest->end && *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
            return false;
    if (at == rest->at)
        return false;
    rest->at = at;
    *ret_value = value;
    return true;
}

struct ebb_known ebb__text_one_number(struct ebb_text text)
{
    struct ebb_known fact = {0};
    fact.known = ebb__text_number(&text, &fact.value) && (text.at == text.end || *text.at == '\n');
    return fact;
}

struct ebb_known ebb__text_limit(struct ebb_text text)
{
    if (ebb__text_is(text, "max\n") || ebb__text_is(text, "max"))
        return ebb__known(EBB_NO_LIMIT);
    struct ebb_known fact = ebb__text_one_number(text);
    if (fact.known && fact.value >= EBB_V1_NO_LIMIT)
        fact.value = EBB_NO_LIMIT;
    return fact;
}

/* ---- lines with a name and a number ---- */

static bool row_line(struct ebb_text line, struct ebb_text *ret_name, uint64_t *ret_value)
{
    const char *at = line.at;
    while (at < line.end && *at != ' ' && *at != ':' && *at != '\t')
        at++;
    *ret_name = (struct ebb_text){line.at, at};
    while (at < line.end && (*at == ' ' || *at == ':' || *at == '\t'))
        at++;
    line.at = at;
    if (!ebb__text_number(&line, ret_value))
        return false;
    return !ebb__text_is(line, " kB") || !__builtin_mul_overflow(*ret_value, UINT64_C(1024), ret_value);
}

void ebb__text_rows(struct ebb_text text, const struct ebb_text_row *rows, unsigned count)
{
    struct ebb_text line, name;
    uint64_t value;
    while (ebb__text_until(&text, '\n', &line)) {
        if (!row_line(line, &name, &value))
            continue;
        for (unsigned i = 0; i < count; i++)
            if (!rows[i].ret_value->known && ebb__text_is(name, rows[i].name)) {
                *rows[i].ret_value = ebb__known(value);
                break;
            }
    }
}

/* ---- stalls ---- */

/* "0.12" as 12 */
static struct ebb_known hundredths(struct ebb_text text)
{
    uint64_t whole, part, value;
    if (!ebb__text_number(&text, &whole) || ebb__text_len(text) != 3 || *text.at++ != '.' ||
        !ebb__text_number(&text, &part) || text.at != text.end)
        return (struct ebb_known){0};
    if (__builtin_mul_overflow(whole, UINT64_C(100), &value) || __builtin_add_overflow(value, part, &value))
        return (struct ebb_known){0};
    return ebb__known(value);
}

static void stall_line(struct ebb_text words, struct ebb_known *ret_avg10, struct ebb_known *ret_total)
{
    struct ebb_text word, name;
    while (ebb__text_until(&words, ' ', &word)) {
        if (!ebb__text_until(&word, '=', &name))
            continue;
        if (ebb__text_is(name, "avg10"))
            *ret_avg10 = hundredths(word);
        else if (ebb__text_is(name, "total"))
            *ret_total = ebb__text_one_number(word);
    }
}

void ebb__text_stall(struct ebb_text text, struct ebb_stall *ret_stall)
{
    struct ebb_text line, name;
    *ret_stall = (struct ebb_stall){0};
    while (ebb__text_until(&text, '\n', &line)) {
        if (!ebb__text_until(&line, ' ', &name))
            continue;
        if (ebb__text_is(name, "some"))
            stall_line(line, &ret_stall->some_avg10_hundredths, &ret_stall->some_total_us);
        else if (ebb__text_is(name, "full"))
            stall_line(line, &ret_stall->full_avg10_hundredths, &ret_stall->full_total_us);
    }
}

/* ---- where cgroups are ---- */

/* "36 31 0:33 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory" */
bool ebb__text_mount(struct ebb_text line, struct ebb_text_mount *ret_mount)
{
    struct ebb_text word;
    for (unsigned i = 0; i < 3; i++)
        if (!ebb__text_until(&line, ' ', &word))
            return false;
    if (!ebb__text_until(&line, ' ', &ret_mount->root) || !ebb__text_until(&line, ' ', &ret_mount->point))
        return false;
    do {
        if (!ebb__text_until(&line, ' ', &word))
            return false;
    } while (!ebb__text_is(word, "-"));
    return ebb__text_until(&line, ' ', &ret_mount->kind) && ebb__text_until(&line, ' ', &word) &&
           ebb__text_until(&line, ' ', &ret_mount->options) && ebb__text_len(ret_mount->root) != 0 &&
           *ret_mount->root.at == '/' && ebb__text_len(ret_mount->point) != 0 && *ret_mount->point.at == '/';
}

bool ebb__text_lists(struct ebb_text list, const char *name)
{
    struct ebb_text word;
    while (ebb__text_until(&list, ',', &word))
        if (ebb__text_is(word, name))
            return true;
    return false;
}

static bool is_octal(const char *at)
{
    return at[0] >= '0' && at[0] <= '3' && at[1] >= '0' && at[1] <= '7' && at[2] >= '0' && at[2] <= '7';
}

long ebb__text_unescape(struct ebb_text text, char *ret_name, size_t bytes)
{
    size_t len = 0;
    while (text.at < text.end) {
        int c = (unsigned char)*text.at++;
        if (c == '\\' && ebb__text_len(text) >= 3 && is_octal(text.at)) {
            c = (text.at[0] - '0') * 64 + (text.at[1] - '0') * 8 + (text.at[2] - '0');
            text.at += 3;
        }
        if (c == 0)
            return -EINVAL;
        if (len + 1 >= bytes)
            return -ENAMETOOLONG;
        ret_name[len++] = (char)c;
    }
    ret_name[len] = '\0';
    return (long)len;
}

bool ebb__text_cgroup(struct ebb_text line, struct ebb_text_cgroup *ret_cgroup)
{
    struct ebb_text number;
    if (!ebb__text_until(&line, ':', &number) || !ebb__text_until(&line, ':', &ret_cgroup->controllers))
        return false;
    ret_cgroup->path = line; /* a path may have colons of its own */
    return line.at != line.end && *line.at == '/';
}

/* ---- calls ---- */

/* Bytes, or KiB, MiB, GiB by a letter behind the number. */
static bool size_of(struct ebb_text text, uint64_t *ret_bytes)
{
    static const char letters[] = "KMG";
    if (!ebb__text_number(&text, ret_bytes))
        return false;
    if (text.at == text.end)
        return true;
    const char *letter = memchr(letters, *text.at, sizeof(letters) - 1);
    uint64_t unit = letter == NULL ? 0 : UINT64_C(1) << 10 * (letter - letters + 1);
    return unit != 0 && ebb__text_len(text) == 1 && !__builtin_mul_overflow(*ret_bytes, unit, ret_bytes);
}

bool ebb__text_call(struct ebb_text line, uint32_t *ret_level, uint64_t *ret_bytes)
{
    static const char *const names[] = {"yellow", "orange", "red"};
    struct ebb_text name;
    uint64_t bytes = 0;
    if (!ebb__text_until(&line, ' ', &name) || (line.at != line.end && !size_of(line, &bytes)))
        return false;
    for (uint32_t i = 0; i < EBB_ARRAY_COUNT(names); i++)
        if (ebb__text_is(name, names[i])) {
            *ret_level = i + 1;
            *ret_bytes = bytes;
            return true;
        }
    return false;
}

/* ---- Base64 ---- */

static int digit_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

long ebb__text_base64(struct ebb_text text, unsigned char *ret_bytes, size_t bytes)
{
    uint32_t bits = 0, digits = 0, pads = 0;
    size_t len = 0;
    for (; text.at < text.end; text.at++) {
        char c = *text.at;
        if (c == ' ' || c == '\n' || c == '\t' || c == '\r')
            continue;
        int digit = digit_of(c);
        if (c == '=')
            pads++;
        else if (digit < 0 || pads != 0)
            return -EINVAL;
        else
            digits++;
        if (c == '=')
            continue;
        bits = bits << 6 | (uint32_t)digit;
        if (digits % 4 == 1)
            continue;
        if (len == bytes)
            return -EMSGSIZE;
        ret_bytes[len++] = (unsigned char)(bits >> (2 * (4 - (digits % 4 == 0 ? 4 : digits % 4))));
    }
    bool padded = pads == 0 || (digits + pads) % 4 == 0;
    return digits % 4 == 1 || !padded || pads > 2 ? -EINVAL : (long)len;
}
