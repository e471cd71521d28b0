/* SPDX-License-Identifier: MIT
 *
 * A process's day, compressed: phases of work, a random walk with bursts on top, and phases of rest. While it works, little
 * may be given back that is needed again within ten seconds; when it rests, all goes, soon, and the policy comes to rest.
 */
#include "script.h"

#define STEP_MS    25u
#define WINDOW_MS  10000u
#define PHASES     40u
#define BASE_BYTES MB(400)
#define PURGES_MAX 64u

/* Of what is taken again while the process works, so much may have been given back in the ten seconds before. By design it is what
 * a rise needs beyond every rise of the last ten seconds: new peaks, and the first after a rest. */
#define REFAULT_PERMILLE_MAX 100u

struct day {
    struct script script;
    struct support_rng rng;
    struct {
        uint64_t at_ms;
        size_t bytes;
    } purges[PURGES_MAX]; /* the youngest last */
    unsigned purge_count;
    uint64_t now_ms, tick_ms;
    size_t walk;         /* what the process uses, without its burst */
    size_t burst, rest;  /* what the burst adds, and has still to add */
    unsigned hold_steps; /* before it falls */
    size_t taken, refaulted;
    unsigned late_ms; /* the longest that it took to the floor */
};

static void note_purge(struct day *d, size_t bytes)
{
    if (bytes == 0)
        return;
    if (d->purge_count == PURGES_MAX)
        memmove(d->purges, d->purges + 1, --d->purge_count * sizeof(d->purges[0]));
    d->purges[d->purge_count].at_ms = d->now_ms;
    d->purges[d->purge_count++].bytes = bytes;
}

/* Fresh memory was needed that lately was there: the youngest first. */
static void note_fresh(struct day *d, size_t fresh)
{
    while (fresh != 0 && d->purge_count != 0) {
        size_t *bytes = &d->purges[d->purge_count - 1].bytes;
        if (d->now_ms - d->purges[d->purge_count - 1].at_ms > WINDOW_MS)
            return;
        size_t n = ebb__min(*bytes, fresh);
        d->refaulted += n;
        fresh -= n;
        *bytes -= n;
        d->purge_count -= *bytes == 0;
    }
}

static void change(struct day *d, size_t used)
{
    struct script *s = &d->script;
    if (used > s->used)
        d->taken += used - s->used;
    note_fresh(d, use(s, used));
}

static void step(struct day *d, bool works)
{
    struct script *s = &d->script;
    d->now_ms += STEP_MS;
    if (works) {
        size_t up = support_below(&d->rng, MB(24));
        d->walk = ebb__max(d->walk + up, MB(112)) - MB(12);
        d->walk = ebb__min(d->walk, MB(1500));
        if (d->burst == 0 && d->rest == 0 && support_below(&d->rng, 80) == 0) {
            d->rest = support_between(&d->rng, MB(50), MB(300));
            d->hold_steps = (unsigned)support_between(&d->rng, 1, 40);
        }
        size_t piece = ebb__min(d->rest, MB(15));
        d->burst += piece;
        d->rest -= piece;
        if (d->rest == 0 && d->burst != 0 && d->hold_steps-- == 0)
            d->burst = 0;
        change(d, d->walk + d->burst);
    }
    if (d->now_ms >= d->tick_ms) {
        note_purge(d, tick(s, (uint32_t)(d->now_ms - s->facts.now_ms)));
        d->tick_ms = d->now_ms + s->actions.sleep_ms;
    }
}

static void work(struct day *d, size_t ms)
{
    for (size_t i = 0; i < ms / STEP_MS; i++)
        step(d, true);
}

/* The work ends, and from then on nothing is held for long. The policy may have been sleeping for two seconds by then, and once
 * more, for at the first look there was work in between. */
#define LATE_MS  4000u
#define FLOOR_MS (LATE_MS + EBB_TICK_MS)
#define REST_MS  (LATE_MS + 4 * EBB_TICK_MS)

static void rest(struct day *d)
{
    struct script *s = &d->script;
    d->burst = d->rest = 0;
    d->walk = ebb__min(d->walk, BASE_BYTES);
    change(d, d->walk);
    unsigned floor_ms = 0, settled_ms = 0;
    for (unsigned ms = STEP_MS; ms <= 2 * REST_MS && settled_ms == 0; ms += STEP_MS) {
        step(d, false);
        if (floor_ms == 0 && s->facts.dirty_bytes <= FLOOR)
            floor_ms = ms;
        if (s->actions.settled)
            settled_ms = ms;
    }
    EXPECT_MSG(floor_ms != 0 && floor_ms <= FLOOR_MS, "%zu MB held after %u ms", s->facts.dirty_bytes >> 20,
               floor_ms);
    EXPECT_MSG(settled_ms != 0 && settled_ms <= REST_MS, "at rest after %u ms", settled_ms);
    d->late_ms = (unsigned)ebb__max(d->late_ms, floor_ms);
    ebb__policy_reset(&s->policy, d->now_ms); /* called by the next who works */
    s->policy.retaken_bytes = s->facts.retaken_bytes;
    d->tick_ms = d->now_ms + EBB_TICK_MS;
}

static void a_day(void)
{
    struct day d = {.rng = {support_seed("a_day")}, .walk = BASE_BYTES};
    begin(&d.script, BASE_BYTES);
    d.now_ms = d.script.facts.now_ms;
    for (unsigned i = 0; i < PHASES; i++) {
        work(&d, support_between(&d.rng, 5000, 60000));
        rest(&d);
    }
    size_t permille = d.refaulted / (d.taken / 1000);
    (void)printf("%zu MB taken, %zu MB of it given back too soon: %zu in a thousand; %u ms to the floor\n",
                 d.taken >> 20, d.refaulted >> 20, permille, d.late_ms);
    EXPECT(d.taken > MB(10000));
    EXPECT_MSG(permille <= REFAULT_PERMILLE_MAX, "%zu in a thousand", permille);
}

int main(void)
{
    const struct CMUnitTest cases[] = {CASE(a_day)};
    return RUN_CASES(cases);
}
