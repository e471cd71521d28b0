/* SPDX-License-Identifier: MIT
 *
 * Words and bitmaps against loops over single bits.
 */
#include "support.h"

#include "base/base.h"

#define BITS 512u

static uint64_t map[BITS / 64];
static struct support_rng rng;

static bool bit(unsigned i)
{
    return (map[i / 64] >> (i % 64)) & 1;
}

/* ---- the naive loops ---- */

static unsigned naive_next(unsigned nbits, unsigned pos, bool wanted)
{
    while (pos < nbits && bit(pos) != wanted)
        pos++;
    return pos < nbits ? pos : nbits;
}

static unsigned naive_count(unsigned from, unsigned n)
{
    unsigned sum = 0;
    for (unsigned i = from; i < from + n; i++)
        sum += bit(i);
    return sum;
}

static unsigned naive_run_at(unsigned nbits, unsigned pos)
{
    unsigned begin = pos, end = pos;
    while (begin > 0 && bit(begin - 1))
        begin--;
    while (end < nbits && bit(end))
        end++;
    return bit(pos) ? end - begin : 0;
}

static unsigned naive_find_run(unsigned nbits, unsigned n, unsigned align)
{
    for (unsigned start = 0; start + n <= nbits; start += align)
        if (naive_count(start, n) == n)
            return start;
    return nbits;
}

static unsigned naive_longest_run(unsigned nbits)
{
    unsigned best = 0, run = 0;
    for (unsigned i = 0; i < nbits; i++) {
        run = bit(i) ? run + 1 : 0;
        best = run > best ? run : best;
    }
    return best;
}

/* ---- bitmaps that are worth it ---- */

static void random_map(unsigned style)
{
    for (unsigned i = 0; i < BITS / 64; i++)
        switch (style % 6) {
        case 0:
            map[i] = support_next(&rng);
            break;
        case 1: /* sparse */
            map[i] = support_next(&rng) & support_next(&rng) & support_next(&rng) & support_next(&rng);
            break;
        case 2: /* dense */
            map[i] = support_next(&rng) | support_next(&rng) | support_next(&rng) | support_next(&rng);
            break;
        case 3: /* whole words */
            map[i] = support_below(&rng, 2) != 0 ? ~UINT64_C(0) : 0;
            break;
        default:
            map[i] = 0;
        }
    if (style % 6 == 4 || style % 6 == 5) { /* few long runs, some across words */
        for (unsigned k = 0; k < 4; k++) {
            unsigned from = (unsigned)support_below(&rng, BITS),
                     n = (unsigned)support_between(&rng, 1, BITS - from);
            for (unsigned i = from; i < from + n; i++)
                map[i / 64] |= UINT64_C(1) << (i % 64);
        }
        if (style % 6 == 5)
            for (unsigned i = 0; i < BITS / 64; i++)
                map[i] = ~map[i];
    }
}

static void compare_all(unsigned nbits)
{
    if (nbits % 64 == 0)
        EXPECT_EQ(ebb__bitmap_longest_run(map, nbits), naive_longest_run(nbits));
    for (unsigned pos = 0; pos <= nbits; pos += nbits > 70 ? 7 : 1) {
        EXPECT_EQ(ebb__bitmap_next_set(map, nbits, pos), naive_next(nbits, pos, true));
        EXPECT_EQ(ebb__bitmap_next_clear(map, nbits, pos), naive_next(nbits, pos, false));
        unsigned n = (unsigned)support_below(&rng, nbits - pos + 1);
        EXPECT_EQ(ebb__bitmap_count(map, pos, n), naive_count(pos, n));
    }
    for (unsigned i = 0; i < nbits; i++) {
        EXPECT_EQ(ebb__bitmap_test(map, i), bit(i));
        EXPECT_EQ(ebb__bitmap_run_at(map, nbits, i), naive_run_at(nbits, i));
    }
    for (unsigned align = 1; align <= 512; align *= 2)
        for (unsigned k = 0; k < 6; k++) {
            unsigned n =
                k == 0 ? naive_longest_run(nbits) : (unsigned)support_between(&rng, 1, k < 4 ? 20 : nbits);
            n = n != 0 ? n : 1;
            unsigned found = ebb__bitmap_find_run(map, nbits, n, align),
                     want = naive_find_run(nbits, n, align);
            EXPECT_MSG(found == want, "%u of %u aligned to %u: %u, wanted %u", n, nbits, align, found, want);
        }
}

static void random_bitmaps(void)
{
    size_t rounds = support_env_number("MODEL_OPS", 3000);
    rng = (struct support_rng){support_seed("random_bitmaps")};
    for (size_t i = 0; i < rounds; i++) {
        random_map((unsigned)i);
        compare_all(i % 3 == 0 ? BITS : (unsigned)support_between(&rng, 1, BITS));
    }
}

static void edge_bitmaps(void)
{
    static const unsigned sizes[] = {1, 2, 63, 64, 65, 127, 128, 129, 511, 512};
    rng = (struct support_rng){1};
    for (size_t s = 0; s < EBB_ARRAY_COUNT(sizes); s++) {
        memset(map, 0, sizeof(map));
        compare_all(sizes[s]);
        memset(map, 0xff, sizeof(map)); /* bits past the end are set: they must not count */
        compare_all(sizes[s]);
        for (unsigned hole = 0; hole < sizes[s]; hole += 13) {
            memset(map, 0xff, sizeof(map));
            map[hole / 64] &= ~(UINT64_C(1) << (hole % 64));
            compare_all(sizes[s]);
            memset(map, 0, sizeof(map));
            map[hole / 64] |= UINT64_C(1) << (hole % 64);
            compare_all(sizes[s]);
        }
    }
}

/* Every 16-bit map at each place of two words, every length and alignment. */
static void all_small_bitmaps(void)
{
    for (unsigned bits = 0; bits < 65536; bits++) {
        map[0] = bits | ~UINT64_C(0xffff);
        for (unsigned n = 1; n <= 16; n += 1 + n / 4)
            for (unsigned align = 1; align <= 8; align *= 2)
                EXPECT_EQ(ebb__bitmap_find_run(map, 16, n, align), naive_find_run(16, n, align));
        for (unsigned shift = 0; shift <= 112; shift += 7) {
            map[0] = shift < 64 ? (uint64_t)bits << shift : 0;
            map[1] = shift >= 64 ? (uint64_t)bits << (shift - 64) : shift > 48 ? bits >> (64 - shift) : 0;
            EXPECT_EQ(ebb__bitmap_longest_run(map, 128), naive_longest_run(128));
        }
    }
}

/* Every range of a map: set and clear touch it and nothing else. */
static void every_range(void)
{
    for (unsigned from = 0; from < 200; from++)
        for (unsigned n = 0; n <= 200 - from; n += n < 3 || n > 60 ? 1 : 5) {
            memset(map, 0, sizeof(map));
            ebb__bitmap_set(map, from, n);
            for (unsigned i = 0; i < 256; i++)
                EXPECT_EQ(bit(i), i >= from && i < from + n);
            memset(map, 0xff, sizeof(map));
            ebb__bitmap_clear(map, from, n);
            for (unsigned i = 0; i < 256; i++)
                EXPECT_EQ(bit(i), i < from || i >= from + n);
        }
    for (unsigned from = 0; from < 64; from++)
        for (unsigned n = 1; n <= 64 - from; n++) {
            uint64_t m = ebb__mask(from, n);
            EXPECT(ebb__popcount(m) == n && ebb__ctz(m) == from && ebb__log2(m) == from + n - 1);
        }
}

static void words_and_numbers(void)
{
    for (unsigned b = 0; b < 64; b++) {
        uint64_t w = UINT64_C(1) << b;
        EXPECT(ebb__ctz(w) == b && ebb__log2(w) == b && ebb__popcount(w) == 1 && ebb__is_pow2(w));
        EXPECT(ebb__ctz(~UINT64_C(0) << b) == b && ebb__log2(~UINT64_C(0) >> b) == 63 - b);
        EXPECT(!ebb__is_pow2(w | 1) || b == 0);
    }
    EXPECT(!ebb__is_pow2(0));
    for (size_t n = 0; n < 5000; n++)
        for (size_t p = 1; p <= 4096; p *= 8) {
            EXPECT(ebb__align_down(n, p) % p == 0 && n - ebb__align_down(n, p) < p);
            EXPECT(ebb__align_up(n, p) % p == 0 && ebb__align_up(n, p) - n < p);
            EXPECT_EQ(ebb__div_up(n, p), (n + p - 1) / p);
        }
    EXPECT_EQ(ebb__div_up(SIZE_MAX, 2), SIZE_MAX / 2 + 1); /* does not overflow */
    EXPECT(ebb__min(3, 5) == 3 && ebb__min(5, 3) == 3 && ebb__max(3, 5) == 5 && ebb__max(5, 3) == 5);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(random_bitmaps), CASE(edge_bitmaps),      CASE(all_small_bitmaps),
        CASE(every_range),    CASE(words_and_numbers),
    };
    return RUN_CASES(cases);
}
