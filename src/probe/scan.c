/* SPDX-License-Identifier: MIT
 *
 * Numbers and words at the front of a piece of text; see scan.h.
 */
#include "probe/scan.h"

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
