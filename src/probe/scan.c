/* SPDX-License-Identifier: MIT
 *
 * Numbers and words at the front of a piece of text; see scan.h.
 */
#include "probe/scan.h"

#include <errno.h>
#include <string.h>

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return 16;
}

static bool scan_number(struct ebb_scan *scan, unsigned base, uint64_t *ret_value)
{
    const char *at = scan->at;
    uint64_t value = 0;

    while (at < scan->end) {
        unsigned digit = (unsigned)digit_of(*at);

        if (digit >= base)
            break;
        if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
            __builtin_add_overflow(value, (uint64_t)digit, &value))
            return false;
        at++;
    }
    if (at == scan->at)
        return false;
    scan->at = at;
    *ret_value = value;
    return true;
}

bool ebb__scan_dec(struct ebb_scan *scan, uint64_t *ret_value)
{
    return scan_number(scan, 10, ret_value);
}

bool ebb__scan_hex(struct ebb_scan *scan, uint64_t *ret_value)
{
    return scan_number(scan, 16, ret_value);
}

bool ebb__scan_hundredths(struct ebb_scan *scan, uint64_t *ret_value)
{
    struct ebb_scan rest = *scan;
    uint64_t whole;
    uint64_t part;
    const char *point;

    if (!ebb__scan_dec(&rest, &whole) || !ebb__scan_char(&rest, '.'))
        return false;
    point = rest.at;
    if (!ebb__scan_dec(&rest, &part) || rest.at - point != 2)
        return false;
    if (__builtin_mul_overflow(whole, UINT64_C(100), &whole) || __builtin_add_overflow(whole, part, &whole))
        return false;
    *scan = rest;
    *ret_value = whole;
    return true;
}

bool ebb__scan_char(struct ebb_scan *scan, char c)
{
    if (scan->at == scan->end || *scan->at != c)
        return false;
    scan->at++;
    return true;
}

bool ebb__scan_word(struct ebb_scan *scan, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(scan->end - scan->at) < len || memcmp(scan->at, word, len) != 0)
        return false;
    scan->at += len;
    return true;
}

void ebb__scan_blanks(struct ebb_scan *scan)
{
    while (scan->at < scan->end && (*scan->at == ' ' || *scan->at == '\t'))
        scan->at++;
}

static bool is_octal(char c)
{
    return c >= '0' && c <= '7';
}

/* The kernel writes blank, tab, newline and backslash as a backslash with three octal digits. */
int ebb__scan_unescape(const char *text, size_t len, char *ret_name, size_t name_bytes)
{
    size_t used = 0;

    for (size_t i = 0; i < len; i++) {
        const char *at = text + i;
        unsigned char byte = (unsigned char)*at;

        if (*at == '\\' && len - i > 3 && is_octal(at[1]) && is_octal(at[2]) && is_octal(at[3])) {
            byte = (unsigned char)(((at[1] - '0') * 64 + (at[2] - '0') * 8 + (at[3] - '0')) & 0xff);
            i += 3;
        }
        if (byte == 0)
            return -EBADMSG;
        if (used + 1 >= name_bytes)
            return -ENAMETOOLONG;
        ret_name[used++] = (char)byte;
    }
    ret_name[used] = '\0';
    return 0;
}
