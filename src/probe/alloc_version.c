/* SPDX-License-Identifier: MIT
 *
 * Which version of an allocator stands in a piece of memory; see alloc_version.h.
 */
#include "probe/alloc_version.h"

#include <stdio.h>
#include <string.h>

#include "probe/scan.h"

#define DIGITS_MAX 4 /* of a part of a version: more is something else */
#define COMMIT_MIN 1 /* hexadecimal digits behind the 'g'; a release that was built without git has "g0" */

/* Consumes one to DIGITS_MAX digits. */
static bool take_number(struct ebb_scan *scan)
{
    const char *first = scan->at;

    while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9' && scan->at - first <= DIGITS_MAX)
        scan->at++;
    return scan->at > first && scan->at - first <= DIGITS_MAX;
}

static bool take_hex(struct ebb_scan *scan)
{
    const char *first = scan->at;

    while (scan->at < scan->end &&
           ((*scan->at >= '0' && *scan->at <= '9') || (*scan->at >= 'a' && *scan->at <= 'f')))
        scan->at++;
    return scan->at - first >= COMMIT_MIN;
}

/* "5.3.0-0-g54ea", then a NUL. Returns the length without the commit, or 0. */
static size_t take_jemalloc(const char *bytes, size_t len)
{
    struct ebb_scan scan = {.at = bytes, .end = bytes + len};
    const char *dash;

    if (!take_number(&scan) || !ebb__scan_char(&scan, '.') || !take_number(&scan) ||
        !ebb__scan_char(&scan, '.') || !take_number(&scan) || !ebb__scan_char(&scan, '-') ||
        !take_number(&scan))
        return 0;
    dash = scan.at;
    if (!ebb__scan_word(&scan, "-g") || !take_hex(&scan) || !ebb__scan_char(&scan, '\0'))
        return 0;
    return (size_t)(dash - bytes);
}

/* "2.10" or "2.9.1", then a NUL. */
static size_t take_gperftools(const char *bytes, size_t len)
{
    struct ebb_scan scan = {.at = bytes, .end = bytes + len};
    const char *end;

    if (!take_number(&scan) || !ebb__scan_char(&scan, '.') || !take_number(&scan))
        return 0;
    if (ebb__scan_char(&scan, '.') && !take_number(&scan))
        return 0;
    end = scan.at;
    return ebb__scan_char(&scan, '\0') ? (size_t)(end - bytes) : 0;
}

/* Where to go on after a byte that a version may follow: a NUL, or the words before it. */
static const char *next_start(enum ebb_alloc_version_form form, const char *at, const char *end)
{
    static const char WORDS[] = "gperftools ";
    const char *found;

    if (form == EBB_ALLOC_VERSION_GPERFTOOLS) {
        found = memmem(at, (size_t)(end - at), WORDS, sizeof(WORDS) - 1);
        return found == NULL ? NULL : found + sizeof(WORDS) - 1;
    }
    found = memchr(at, '\0', (size_t)(end - at));
    return found == NULL ? NULL : found + 1;
}

bool ebb__alloc_version_find(enum ebb_alloc_version_form form, const char *bytes, size_t len,
                             char ret_version[EBB_ALLOC_VERSION_BYTES])
{
    const char *end = bytes + len;
    const char *at = bytes;

    while (at < end && (at = next_start(form, at, end)) != NULL) {
        size_t found = form == EBB_ALLOC_VERSION_JEMALLOC ? take_jemalloc(at, (size_t)(end - at))
                                                          : take_gperftools(at, (size_t)(end - at));

        if (found == 0)
            continue;
        snprintf(ret_version, EBB_ALLOC_VERSION_BYTES, "%.*s", (int)found, at);
        return true;
    }
    return false;
}

/* endbr64; mov eax, N; ret */
static bool take_x86(const unsigned char *code, size_t len, uint32_t *ret_number)
{
    static const unsigned char ENDBR64[] = {0xf3, 0x0f, 0x1e, 0xfa};

    if (len > sizeof(ENDBR64) && memcmp(code, ENDBR64, sizeof(ENDBR64)) == 0) {
        code += sizeof(ENDBR64);
        len -= sizeof(ENDBR64);
    }
    if (len < 6 || code[0] != 0xb8 || code[5] != 0xc3)
        return false;
    *ret_number =
        (uint32_t)code[1] | (uint32_t)code[2] << 8 | (uint32_t)code[3] << 16 | (uint32_t)code[4] << 24;
    return true;
}

static uint32_t word_at(const unsigned char *code)
{
    return (uint32_t)code[0] | (uint32_t)code[1] << 8 | (uint32_t)code[2] << 16 | (uint32_t)code[3] << 24;
}

/* bti c; mov w0, #N; ret */
static bool take_arm64(const unsigned char *code, size_t len, uint32_t *ret_number)
{
    if (len >= 4 && word_at(code) == UINT32_C(0xd503245f)) {
        code += 4;
        len -= 4;
    }
    if (len < 8 || (word_at(code) & UINT32_C(0xffe0001f)) != UINT32_C(0x52800000) ||
        word_at(code + 4) != UINT32_C(0xd65f03c0))
        return false;
    *ret_number = word_at(code) >> 5 & 0xffff;
    return true;
}

bool ebb__alloc_version_code(const unsigned char *code, size_t len, uint32_t *ret_number)
{
    return take_x86(code, len, ret_number) || take_arm64(code, len, ret_number);
}

void ebb__alloc_version_mimalloc(uint32_t number, char ret_version[EBB_ALLOC_VERSION_BYTES])
{
    if (number >= 100 && number < 1000)
        snprintf(ret_version, EBB_ALLOC_VERSION_BYTES, "%u.%u.%u", (unsigned)(number / 100),
                 (unsigned)(number / 10 % 10), (unsigned)(number % 10));
    else
        snprintf(ret_version, EBB_ALLOC_VERSION_BYTES, "%u", (unsigned)number);
}

bool ebb__alloc_version_compare(const char *version, unsigned major, unsigned minor, unsigned patch,
                                int *ret_order)
{
    const unsigned wanted[] = {major, minor, patch};
    struct ebb_scan scan = {.at = version, .end = version + strlen(version)};

    *ret_order = 0;
    for (unsigned i = 0; i < 3; i++) {
        uint64_t number;

        if ((i != 0 && !ebb__scan_char(&scan, '.')) || !ebb__scan_dec(&scan, &number))
            return false;
        if (*ret_order == 0)
            *ret_order = number < wanted[i] ? -1 : number > wanted[i] ? 1 : 0;
    }
    return true;
}
