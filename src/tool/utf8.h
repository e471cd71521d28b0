/* SPDX-License-Identifier: MIT
 *
 * Where a character of UTF-8 ends, whether it is one, and what of it a terminal may be shown.
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

/* True for what makes a terminal write backwards, over what stands there: U+202A to U+202E, and U+2066 to U+2069. */
static inline bool ebb__utf8_is_bidi(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;

    return at[0] == 0xe2 && ((at[1] == 0x80 && at[2] >= 0xaa && at[2] <= 0xae) ||
                             (at[1] == 0x81 && at[2] >= 0xa6 && at[2] <= 0xa9));
}

/* Bytes of what comes next in a text that somebody else has made, before its NUL, and whether a terminal may be shown it; instead
 * of the rest it gets one '?'. Everything that people read goes through here. */
static inline unsigned ebb__utf8_step(const char *text, bool *ret_shown)
{
    unsigned len = ebb__utf8_len(text);

    *ret_shown = len != 0 && !ebb__utf8_is_control(text) && !ebb__utf8_is_bidi(text);
    return len == 0 ? 1 : len;
}

#endif
