/* SPDX-License-Identifier: MIT
 * Taking numbers and texts out of bytes that nobody vouches for, and that need not be aligned. */
#ifndef EBB_WIRE_BYTES_PRIV_H
#define EBB_WIRE_BYTES_PRIV_H

#include "base/base.h"

EBB_INLINE uint32_t ebb__wire_word32(const unsigned char *bytes, size_t at)
{
    uint32_t word;
    memcpy(&word, bytes + at, sizeof(word));
    return word;
}

EBB_INLINE uint64_t ebb__wire_word64(const unsigned char *bytes, size_t at)
{
    uint64_t word;
    memcpy(&word, bytes + at, sizeof(word));
    return word;
}

/* Copies a text that need not end, with '?' for what must not reach a terminal. pre: room for `max` and a NUL */
EBB_INLINE void ebb__wire_text(char *to, const unsigned char *from, size_t max)
{
    size_t n = 0;
    for (; n < max && from[n] != '\0'; n++)
        to[n] = from[n] >= ' ' && from[n] <= '~' ? (char)from[n] : '?';
    to[n] = '\0';
}

#endif
