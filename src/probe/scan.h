/* SPDX-License-Identifier: MIT
 *
 * Numbers and words at the front of a piece of text that need not end in a NUL.
 */
#ifndef EBB_PROBE_SCAN_H
#define EBB_PROBE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A piece of text that is being consumed from the left. */
struct ebb_scan {
    const char *at;
    const char *end;
};

/* Consumes a number in base 10 or 16, without sign or prefix. False, and nothing consumed, when there is no
 * digit or when the number does not fit 64 bits: a number that we cannot hold is not a smaller number. */
bool ebb__scan_dec(struct ebb_scan *scan, uint64_t *ret_value);
bool ebb__scan_hex(struct ebb_scan *scan, uint64_t *ret_value);

/* Consumes a number with two digits behind the point, "24.59", as 2459. False, and nothing consumed, for any other form. */
bool ebb__scan_hundredths(struct ebb_scan *scan, uint64_t *ret_value);

/* Consumes `c`, or returns false. */
bool ebb__scan_char(struct ebb_scan *scan, char c);

/* Consumes the bytes of `word`, or nothing. */
bool ebb__scan_word(struct ebb_scan *scan, const char *word);

/* Consumes blanks and tabs, as many as there are. */
void ebb__scan_blanks(struct ebb_scan *scan);

/* Writes a name as the kernel escapes it in mountinfo and swaps, where a blank is "\040", as what it means. 0,
 * -ENAMETOOLONG, or -EBADMSG when a NUL would be in it. */
int ebb__scan_unescape(const char *text, size_t len, char *ret_name, size_t name_bytes);

#endif
