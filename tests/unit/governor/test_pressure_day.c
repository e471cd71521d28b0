/* SPDX-License-Identifier: MIT
 *
 * The policy under pressure over a day of a database server in a cgroup of 8 GiB, in steps of a second, and over what was recorded of real ones.
 *
 * The day is made by a generator (no real day was recorded), and all of it follows from the seed:
 *     the server's own memory   1.2 GiB, and up to 0.8 GiB more by the time of day (a cosine, most at 14:00)
 *     noise                     a first order process: each second 2 % back to the mean, and a step of up to 8 MiB either way
 *     queries                   one in 120 s on average takes 50 to 250 MiB for 5 to 60 s
 *     a batch                   each hour at :07, for ten minutes: 900 MiB, within a minute; with half a minute of luck in its start
 *     a dump                    at 02:00 for 40 minutes: 200 MiB of another process, and file cache at 100 MiB/s, up to the limit
 *     a pool                    of 4 GiB, a quarter of it dirty; it grows back when it may
 *     stalls                    5 ms for each second in which the limit is hit; and at 16:00 for half a minute 15 % that are none of ours
 * The process's free memory goes by 5 % a second by itself, as policy.h does in quiet times.
 */
#include "press_world.h"

#define FREE  EBB_PRESS_GIVE_FREE
#define COLD  EBB_PRESS_GIVE_COLD
#define DIRTY EBB_PRESS_GIVE_DIRTY

#define DAY_S       86400u
#define CHANGES_MAX 20u
#define BURSTS_MAX  16u

struct day {
    struct world w;
    struct support_rng rng;
    int64_t noise;
    uint64_t wanted; /* what the server holds, by the generator */
    struct {
        unsigned until_s;
        uint64_t bytes;
    } bursts[BURSTS_MAX];
    unsigned batch_s; /* when this hour's begins */
    unsigned per_level_s[EBB_PRESS_LEVELS];
};

/* A cosine by its parabolas: 0 at 02:00, 1000 at 14:00. */
static uint64_t daylight_permille(unsigned second)
{
    int64_t x = (int64_t)((second + DAY_S - 7200) % DAY_S) * 2000 / DAY_S; /* 0 to 2000, from 02:00 on */
    x = x > 1000 ? 2000 - x : x;
    return (uint64_t)(x < 500 ? x * x / 500 : 1000 - (1000 - x) * (1000 - x) / 500);
}

static uint64_t bursts(struct day *d, unsigned second)
{
    uint64_t bytes = 0;
    bool begins = support_below(&d->rng, 120) == 0;
    for (unsigned i = 0; i < BURSTS_MAX; i++) {
        if (d->bursts[i].until_s <= second) {
            d->bursts[i].bytes = 0;
            if (begins) {
                d->bursts[i].until_s = second + (unsigned)support_between(&d->rng, 5, 60);
                d->bursts[i].bytes = support_between(&d->rng, MB(50), MB(250));
                begins = false;
            }
        }
        bytes += d->bursts[i].bytes;
    }
    return bytes;
}

static uint64_t batch(struct day *d, unsigned second)
{
    if (second % 3600 == 0)
        d->batch_s = second + 7 * 60 + (unsigned)support_below(&d->rng, 30);
    if (second < d->batch_s || second >= d->batch_s + 600)
        return 0;
    return MB(15) * ebb__min(second - d->batch_s + 1, 60);
}

static void second_of_the_day(struct day *d, unsigned second, uint64_t now_ms)
{
    struct world *w = &d->w;
    struct ebb_press_facts *f = &w->stand.facts;
    d->noise += (int64_t)support_between(&d->rng, 0, MB(16)) - (int64_t)MB(8) - d->noise / 50;
    uint64_t wanted = (uint64_t)((int64_t)(MB(1229) + MB(819) / 1000 * daylight_permille(second)) + d->noise);
    wanted += bursts(d, second) + batch(d, second);
    bool dumps = second >= 7200 && second < 7200 + 2400;
    w->hog = dumps ? MB(200) : 0;
    if (dumps)
        w->clean += MB(100);
    if (wanted > d->wanted && take(w, wanted - d->wanted))
        d->wanted = wanted;
    else if (wanted < d->wanted) {
        give_free(w, d->wanted - wanted);
        d->wanted = wanted;
    }
    w->piles[FREE].bytes -= w->piles[FREE].bytes / 20;
    uint64_t pool = w->piles[COLD].bytes + w->piles[DIRTY].bytes,
             spoilt = pool / 4 - ebb__min(pool / 4, w->piles[DIRTY].bytes);
    spoilt = ebb__min(spoilt, MB(20)); /* a second's writes */
    w->piles[COLD].bytes -= spoilt;
    w->piles[DIRTY].bytes += spoilt;
    f->stalls_known = true;
    f->some_us += f->max_hits != 0 ? 5000 : 0;
    f->some_us += second >= 57600 && second < 57630 ? 150000 : 0;
    tick(w, now_ms);
    d->per_level_s[w->stand.press.level]++;
}

static void begin_day(struct day *d, uint64_t seed)
{
    *d = (struct day){.rng = {seed}};
    create(&d->w, GB(8), 1000);
    d->w.piles[COLD].bytes = GB(3);
    d->w.piles[DIRTY].bytes = GB(1);
    d->wanted = d->w.firm = MB(1229);
}

static void print_day(const struct day *d)
{
    const struct world *w = &d->w;
    (void)printf("%u changes; green %u s, yellow %u s, orange %u s, red %u s; peak %" PRIu64 " MiB; %" PRIu64
                 " looks; frames given %" PRIu64 " MiB, grown again %" PRIu64 " MiB\n",
                 w->stand.changes, d->per_level_s[GREEN], d->per_level_s[YELLOW], d->per_level_s[ORANGE],
                 d->per_level_s[RED], w->peak >> 20, w->looks,
                 (w->piles[COLD].given_bytes + w->piles[DIRTY].given_bytes) >> 20, w->grown >> 20);
}

/* Days are data: they are always the same, unless SEED asks for another. */
static void a_day(size_t nth)
{
    struct day d;
    begin_day(&d, support_env_number("SEED", nth));
    for (unsigned second = 0; second < DAY_S; second++)
        second_of_the_day(&d, second, 1000000 + (uint64_t)second * 1000);
    print_day(&d);
    EXPECT(d.w.over_ms == 0 && d.w.refusals == 0);
    EXPECT_MSG(d.w.stand.changes <= CHANGES_MAX, "%u changes", d.w.stand.changes);
    EXPECT(d.w.stand.changes >= 2); /* it is a day with some pressure */
}

static void the_first_day(void)
{
    a_day(1);
}

static void the_second_day(void)
{
    a_day(2);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(the_first_day),
        CASE(the_second_day),
    };
    return RUN_CASES(cases);
}
