/* SPDX-License-Identifier: MIT
 * The formatter behind the library's one-line messages. */
#include "base/fmt.h"

#include <stdbool.h>
#include <stdint.h>

struct sink {
    char *buf;
    size_t cap;
    size_t len;
};

static void put(struct sink *s, char c)
{
    if (s->len + 1 < s->cap)
        s->buf[s->len++] = c;
}

static void put_str(struct sink *s, const char *text)
{
    for (text = text ? text : "(null)"; *text; text++)
        put(s, *text);
}

static void put_number(struct sink *s, uint64_t value, unsigned base)
{
    char digits[20];
    unsigned n = 0;
    do {
        digits[n++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    while (n != 0)
        put(s, digits[--n]);
}

static void put_signed(struct sink *s, int64_t value)
{
    if (value < 0)
        put(s, '-');
    put_number(s, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 10);
}

size_t ebb__vfmt(char *buf, size_t cap, const char *format, va_list args)
{
    struct sink s = {buf, cap, 0};
    for (const char *f = format; *f; f++) {
        if (*f != '%') {
            put(&s, *f);
            continue;
        }
        bool is_long = false;
        for (f++; *f == 'l' || *f == 'z'; f++)
            is_long = true;
        switch (*f) {
        case 's':
            put_str(&s, va_arg(args, const char *));
            break;
        case 'c':
            put(&s, (char)va_arg(args, int));
            break;
        case 'd':
            put_signed(&s, is_long ? va_arg(args, long) : va_arg(args, int));
            break;
        case 'u':
            put_number(&s, is_long ? va_arg(args, unsigned long) : va_arg(args, unsigned), 10);
            break;
        case 'x':
            put_number(&s, is_long ? va_arg(args, unsigned long) : va_arg(args, unsigned), 16);
            break;
        case 'p':
            put_str(&s, "0x");
            put_number(&s, (uintptr_t)va_arg(args, void *), 16);
            break;
        case '\0':
            f--; /* a lone '%' at the end */
            break;
        default:
            put(&s, *f);
        }
    }
    if (cap != 0)
        buf[s.len] = '\0';
    return s.len;
}

size_t ebb__fmt(char *buf, size_t cap, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t len = ebb__vfmt(buf, cap, format, args);
    va_end(args);
    return len;
}
