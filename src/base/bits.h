/* SPDX-License-Identifier: MIT
 * Arithmetic on words and on small bitmaps whose bit 0 is the lowest address. */
#ifndef EBB_BASE_BITS_H
#define EBB_BASE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

EBB_INLINE size_t ebb__align_up(size_t n, size_t power_of_two)
{
    return (n + power_of_two - 1) & ~(power_of_two - 1);
}

EBB_INLINE size_t ebb__align_down(size_t n, size_t power_of_two)
{
    return n & ~(power_of_two - 1);
}

EBB_INLINE bool ebb__is_pow2(size_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

EBB_INLINE size_t ebb__div_up(size_t n, size_t d)
{
    return n / d + (n % d != 0);
}

EBB_INLINE size_t ebb__min(size_t a, size_t b)
{
    return a < b ? a : b;
}

EBB_INLINE size_t ebb__max(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Index of the lowest set bit. pre: w != 0 */
EBB_INLINE unsigned ebb__ctz(uint64_t w)
{
    return (unsigned)__builtin_ctzll(w);
}

/* Index of the highest set bit. pre: w != 0 */
EBB_INLINE unsigned ebb__log2(uint64_t w)
{
    return 63u - (unsigned)__builtin_clzll(w);
}

/* By adding neighbours: the baseline of x86-64 has no instruction for it, and the compiler's own is a call. */
EBB_INLINE unsigned ebb__popcount(uint64_t w)
{
    w -= w >> 1 & UINT64_C(0x5555555555555555);
    w = (w & UINT64_C(0x3333333333333333)) + (w >> 2 & UINT64_C(0x3333333333333333));
    w = (w + (w >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (unsigned)(w * UINT64_C(0x0101010101010101) >> 56);
}

/* n set bits from bit `from` on, within one word. pre: from < 64, 1 <= n <= 64 - from */
EBB_INLINE uint64_t ebb__mask(unsigned from, unsigned n)
{
    return (n == 64 ? ~UINT64_C(0) : (UINT64_C(1) << n) - 1) << from;
}

/* First set bit at or after `pos`, or nbits. */
static inline unsigned ebb__bitmap_next_set(const uint64_t *map, unsigned nbits, unsigned pos)
{
    while (pos < nbits) {
        uint64_t w = map[pos / 64] >> (pos % 64);
        if (w != 0) {
            unsigned hit = pos + ebb__ctz(w);
            return hit < nbits ? hit : nbits;
        }
        pos = (pos / 64 + 1) * 64;
    }
    return nbits;
}

/* First clear bit at or after `pos`, or nbits. */
static inline unsigned ebb__bitmap_next_clear(const uint64_t *map, unsigned nbits, unsigned pos)
{
    while (pos < nbits) {
        uint64_t w = ~map[pos / 64] >> (pos % 64);
        if (w != 0) {
            unsigned hit = pos + ebb__ctz(w);
            return hit < nbits ? hit : nbits;
        }
        pos = (pos / 64 + 1) * 64;
    }
    return nbits;
}

static inline void ebb__bitmap_set(uint64_t *map, unsigned from, unsigned n)
{
    while (n != 0) {
        unsigned in_word = 64 - from % 64;
        unsigned k = n < in_word ? n : in_word;
        map[from / 64] |= ebb__mask(from % 64, k);
        from += k;
        n -= k;
    }
}

static inline void ebb__bitmap_clear(uint64_t *map, unsigned from, unsigned n)
{
    while (n != 0) {
        unsigned in_word = 64 - from % 64;
        unsigned k = n < in_word ? n : in_word;
        map[from / 64] &= ~ebb__mask(from % 64, k);
        from += k;
        n -= k;
    }
}

/* Number of set bits in [from, from + n). */
static inline unsigned ebb__bitmap_count(const uint64_t *map, unsigned from, unsigned n)
{
    unsigned sum = 0;
    while (n != 0) {
        unsigned in_word = 64 - from % 64;
        unsigned k = n < in_word ? n : in_word;
        sum += ebb__popcount(map[from / 64] & ebb__mask(from % 64, k));
        from += k;
        n -= k;
    }
    return sum;
}

static inline bool ebb__bitmap_test(const uint64_t *map, unsigned bit)
{
    return (map[bit / 64] >> (bit % 64)) & 1;
}

/* Lowest start of a run of n set bits that is a multiple of align (a power of two), or nbits. */
static inline unsigned ebb__bitmap_find_run(const uint64_t *map, unsigned nbits, unsigned n, unsigned align)
{
    unsigned pos = 0;
    while ((pos = ebb__bitmap_next_set(map, nbits, pos)) < nbits) {
        unsigned end = ebb__bitmap_next_clear(map, nbits, pos);
        unsigned start = (pos + align - 1) & ~(align - 1);
        if (start + n <= end)
            return start;
        pos = end;
    }
    return nbits;
}

/* Length of the run of set bits that covers `pos`, 0 when it is clear. */
static inline unsigned ebb__bitmap_run_at(const uint64_t *map, unsigned nbits, unsigned pos)
{
    unsigned word = pos / 64;
    if (!ebb__bitmap_test(map, pos))
        return 0;
    /* The highest clear bit below pos ends the run downwards. */
    uint64_t clear = ~map[word] & ((UINT64_C(1) << (pos % 64)) - 1);
    while (clear == 0 && word != 0)
        clear = ~map[--word];
    unsigned begin = clear != 0 ? word * 64 + ebb__log2(clear) + 1 : 0;
    return ebb__bitmap_next_clear(map, nbits, pos) - begin;
}

/* The bits of w at which a run of `n` set bits ends. pre: 1 <= n <= 64 */
static inline uint64_t ebb__word_run_ends(uint64_t w, unsigned n)
{
    for (unsigned have = 1; have < n && w != 0;) {
        unsigned more = have < n - have ? have : n - have;
        w &= w << more;
        have += more;
    }
    return w;
}

/* Length of the longest run of set bits. pre: nbits is a multiple of 64
 * Runs that cross words are followed through their ends; the inside of a word is searched only for a run longer
 * than the best so far. */
static inline unsigned ebb__bitmap_longest_run(const uint64_t *map, unsigned nbits)
{
    unsigned best = 0, open = 0; /* length of the run that reaches the end of the word before */
    for (unsigned i = 0; i < nbits / 64; i++) {
        uint64_t w = map[i];
        if (w == 0) {
            best = open > best ? open : best;
            open = 0;
            continue;
        }
        if (w == ~UINT64_C(0)) {
            open += 64;
            continue;
        }
        unsigned low = ebb__ctz(~w);
        best = open + low > best ? open + low : best;
        open = (unsigned)__builtin_clzll(~w);
        if (best < 63)
            for (w = ebb__word_run_ends(w, best + 1); w != 0; best++)
                w &= w << 1;
    }
    return open > best ? open : best;
}

#endif
