/* SPDX-License-Identifier: MIT
 *
 * Where a character of UTF-8 ends, and whether it is one.
 */
#ifndef EBB_TOOL_UTF8_H
#define EBB_TOOL_UTF8_H

#include <stdbool.h>

/* Bytes of the UTF-8 character at `text`, which ends in a NUL; 0 when there is none. Forms that are too long, surrogates, and
 * what lies beyond the last code point are none. */
static inline unsigned ebb__utf8_len(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    unsigned len = at[0] < 0x80                    ? 1
                   : at[0] >= 0xc2 && at[0] < 0xe0 ? 2
                   : (at[0] & 0xf0) == 0xe0        ? 3
                   : at[0] >= 0xf0 && at[0] < 0xf5 ? 4
                                                   : 0;

    for (unsigned i = 1; i < len; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] >= 0xa0) ||
        (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] >= 0x90))
        return 0;
    return len;
}

/* True for what moves a terminal's cursor or worse: U+0000 to U+001F, U+007F, and U+0080 to U+009F, which are two bytes. `text`
 * stands at a character. */
static inline bool ebb__utf8_is_control(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;

    return at[0] < ' ' || at[0] == 0x7f || (at[0] == 0xc2 && at[1] < 0xa0);
}

#endif
