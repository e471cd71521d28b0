/* SPDX-License-Identifier: MIT
 *
 * The policy by itself: scripted processes in, actions out.
 */
#include "script.h"

/* ---- quiet ---- */

static void quiet_after_half_a_second(void)
{
    struct script s;
    begin(&s, MB(100));
    s.obeys = false;
    s.facts.dirty_bytes = MB(50);
    for (unsigned i = 0; i < 8; i++) {
        stir(&s);
        tick(&s, EBB_TICK_MS);
        EXPECT(!is_quiet(&s));
        EXPECT(!s.actions.tidy && !s.actions.settled);
        EXPECT_EQ(s.actions.idle_ms, 1000);
        EXPECT_EQ(s.actions.cpu_permille, 20);
        EXPECT_EQ(s.actions.sleep_ms, EBB_TICK_MS);
    }
    tick(&s, 250);
    EXPECT(!is_quiet(&s));
    tick(&s, 249);
    EXPECT(!is_quiet(&s));
    tick(&s, 1);
    EXPECT(is_quiet(&s) && s.actions.tidy && !s.actions.settled);
    EXPECT_EQ(s.actions.keep_bytes, FLOOR);
    EXPECT_EQ(s.actions.cpu_permille, 250);
    stir(&s);
    tick(&s, EBB_TICK_MS);
    EXPECT(!is_quiet(&s));
}

/* A new policy waits half a second before it calls the process quiet. */
static void quiet_after_a_reset(void)
{
    struct script s;
    begin(&s, 0);
    tick(&s, 0);
    EXPECT(!is_quiet(&s));
    tick(&s, 499);
    EXPECT(!is_quiet(&s) && !s.actions.settled);
    tick(&s, 1);
    EXPECT(is_quiet(&s) && s.actions.settled);
}

static void what_counts_as_quiet(void)
{
    static const struct {
        size_t dirty, retaken;
        bool quiet;
    } rows[] = {
        {0, 0, true},
        {0, EBB_KIB(256), true},
        {0, EBB_KIB(256) + 1, false},
        {MB(16), EBB_KIB(256) + 1, false},
        {MB(64), EBB_KIB(256) + 1, true},
        {MB(64), MB(1), true},
        {MB(64), MB(1) + 1, false},
        {MB(6400), MB(100), true},
        {MB(6400), MB(101), false},
    };
    for (size_t i = 0; i < EBB_ARRAY_COUNT(rows); i++) {
        struct script s;
        begin(&s, MB(10));
        s.obeys = false;
        s.facts.dirty_bytes = rows[i].dirty;
        for (unsigned k = 0; k < 4; k++) {
            s.facts.retaken_bytes += rows[i].retaken;
            tick(&s, EBB_TICK_MS);
        }
        EXPECT_MSG(is_quiet(&s) == rows[i].quiet, "row %zu", i);
    }
}

/* ---- demand ---- */

static void a_fresh_ramp_needs_nothing(void)
{
    struct script s;
    begin(&s, MB(10));
    for (size_t used = 10; used <= 1000; used += 25) {
        use(&s, MB(used));
        tick(&s, EBB_TICK_MS);
        EXPECT_EQ(s.actions.keep_bytes, FLOOR);
    }
    use(&s, MB(10));
    EXPECT_EQ(s.facts.dirty_bytes, MB(975));
    stir(&s); /* not quiet, and still */
    tick(&s, EBB_TICK_MS);
    EXPECT(!is_quiet(&s));
    EXPECT(s.actions.keep_bytes <= MB(17)); /* what was taken again, and no more */
}

/* Rises by 25 MB in each of eight ticks, and falls at once. */
static void sawtooth(struct script *s, unsigned teeth, size_t *ret_least_kept, size_t *ret_fresh)
{
    *ret_least_kept = SIZE_MAX;
    *ret_fresh = 0;
    for (unsigned t = 0; t < teeth; t++) {
        for (size_t i = 1; i <= 8; i++) {
            *ret_fresh += use(s, MB(100 + 25 * i));
            if (i == 8)
                use(s, MB(100));
            tick(s, EBB_TICK_MS);
            *ret_least_kept = ebb__min(*ret_least_kept, s->actions.keep_bytes);
        }
    }
}

static void a_sawtooth_keeps_its_height(void)
{
    struct script s;
    size_t least, fresh;
    begin(&s, MB(100));
    s.obeys = false;
    sawtooth(&s, 2, &least, &fresh); /* the first tooth is fresh, the second takes it again */
    s.obeys = true;
    sawtooth(&s, 10, &least, &fresh);
    EXPECT_MSG(least == MB(200), "%zu", least >> 20);
    EXPECT_EQ(fresh, 0);
    tick(&s, EBB_TICK_MS);
    tick(&s, EBB_TICK_MS);
    EXPECT(is_quiet(&s));
    EXPECT_EQ(s.actions.keep_bytes, FLOOR);
    EXPECT(s.facts.dirty_bytes <= FLOOR);
}

/* It finds its height also when it obeys from the beginning: each tooth may keep what the last ones took again. */
static void a_sawtooth_that_obeys_from_the_start(void)
{
    struct script s;
    size_t least, fresh;
    begin(&s, MB(100));
    sawtooth(&s, 40, &least, &fresh);
    sawtooth(&s, 5, &least, &fresh);
    EXPECT_MSG(least >= MB(200) || fresh <= 5 * MB(200), "least %zu, fresh %zu", least >> 20, fresh >> 20);
}

/* With a pause of half a second in each tooth the process is quiet there, and all goes: so the header says. */
static void a_pause_ends_what_is_kept(void)
{
    struct script s;
    begin(&s, MB(100));
    s.obeys = false;
    for (unsigned t = 0; t < 5; t++) {
        use(&s, MB(300));
        tick(&s, EBB_TICK_MS);
        use(&s, MB(100));
        tick(&s, EBB_TICK_MS);
    }
    EXPECT_EQ(s.actions.keep_bytes, MB(200));
    tick(&s, EBB_TICK_MS);
    EXPECT_EQ(s.actions.keep_bytes, FLOOR);
    EXPECT_EQ(ebb__policy_demand(&s.policy, s.facts.now_ms), MB(200));
}

static void a_peak_is_forgotten_after_ten_seconds(void)
{
    struct script s;
    begin(&s, MB(100));
    s.obeys = false;
    s.facts.dirty_bytes = MB(500);
    use(&s, MB(600)); /* takes all of it again, once */
    tick(&s, EBB_TICK_MS);
    use(&s, MB(100));
    unsigned kept = 0;
    for (unsigned i = 0; i < 60; i++) {
        s.facts.retaken_bytes += MB(10); /* works, without a rise of its own */
        tick(&s, EBB_TICK_MS);
        EXPECT(!is_quiet(&s));
        EXPECT(s.actions.keep_bytes == FLOOR || s.actions.keep_bytes >= MB(400));
        EXPECT(s.actions.keep_bytes == FLOOR || kept == i); /* once forgotten, for good */
        kept += s.actions.keep_bytes != FLOOR;
    }
    /* In the tick of the fall the peak is still seen; the ring has 40 ticks. */
    EXPECT_MSG(kept >= 38 && kept <= 41, "for %u ticks", kept);
}

/* With longer sleeps the ring reaches further back than the window. */
static void old_ticks_do_not_count(void)
{
    struct script s;
    begin(&s, MB(100));
    s.obeys = false;
    s.facts.dirty_bytes = MB(500);
    use(&s, MB(600));
    tick(&s, EBB_TICK_MS);
    use(&s, MB(100));
    EXPECT_EQ(ebb__policy_demand(&s.policy, s.facts.now_ms + 10000), MB(500));
    EXPECT_EQ(ebb__policy_demand(&s.policy, s.facts.now_ms + 10001), 0);
}

static void a_slow_decay_needs_only_its_churn(void)
{
    struct script s;
    begin(&s, MB(1000));
    s.obeys = false;
    for (size_t i = 0; i < 80; i++) {
        use(&s, MB(1000 - 10 * i - 10)); /* 10 MB less each time, */
        use(&s, MB(1000 - 10 * i + 20)); /* with 30 MB to and fro */
        use(&s, MB(1000 - 10 * i - 10));
        tick(&s, EBB_TICK_MS);
    }
    EXPECT(!is_quiet(&s));
    EXPECT_MSG(s.actions.keep_bytes <= MB(40), "%zu MB", s.actions.keep_bytes >> 20);
    EXPECT(s.actions.keep_bytes >= MB(30));
}

/* A rise counts from any low before it, not from a low that comes later. */
static void a_fall_is_no_rise(void)
{
    struct script s;
    begin(&s, MB(800));
    s.obeys = false;
    s.facts.dirty_bytes = MB(900);
    for (unsigned i = 0; i < 8; i++) {
        use(&s, MB(800 - 100 * i));
        s.facts.retaken_bytes += MB(20);
        s.facts.used_low_bytes = s.facts.used_peak_bytes = s.used;
        tick(&s, EBB_TICK_MS);
    }
    EXPECT_EQ(ebb__policy_demand(&s.policy, s.facts.now_ms), 0);
    use(&s, MB(250));
    tick(&s, EBB_TICK_MS);
    EXPECT_EQ(ebb__policy_demand(&s.policy, s.facts.now_ms), MB(150));
}

/* ---- slabs ---- */

static void sweeps(void)
{
    struct script s;
    begin(&s, MB(100));
    s.facts.dirty_bytes = MB(50);
    s.obeys = false;
    unsigned swept = 0;
    for (unsigned i = 1; i <= 60; i++) {
        s.facts.stirred = true;
        stir(&s);
        tick(&s, EBB_TICK_MS);
        EXPECT(s.actions.sweep == (i % 20 == 0)); /* every 5 s while the process works */
        swept += s.actions.sweep;
    }
    EXPECT_EQ(swept, 3);
    tick(&s, EBB_TICK_MS);
    for (unsigned i = 0; i < 5; i++) {
        tick(&s, EBB_TICK_MS);
        EXPECT(is_quiet(&s) && s.actions.sweep);
    }
    s.facts.stirred = false;
    tick(&s, EBB_TICK_MS);
    EXPECT(!s.actions.sweep);
    stir(&s);
    tick(&s, EBB_TICK_MS);
    s.facts.stirred = true;
    stir(&s);
    tick(&s, EBB_TICK_MS);
    EXPECT(!s.actions.sweep); /* the last one was a moment ago */
}

/* ---- caches ---- */

static void caches_of_a_quiet_process(void)
{
    struct script s;
    begin(&s, MB(1));
    s.facts.cached_bytes = EBB_KIB(64);
    s.facts.caches = 3;
    tick(&s, 250);
    EXPECT(!s.actions.revoke && !s.actions.drain && !s.actions.depot);
    tick(&s, 250);
    EXPECT(is_quiet(&s) && s.actions.revoke && !s.actions.drain && !s.actions.settled);
    tick(&s, 250);
    EXPECT(!s.actions.revoke && !s.actions.drain && !s.actions.settled);
    s.facts.cached_bytes = EBB_KIB(64) - 1; /* no longer worth it: what was begun is finished */
    tick(&s, 249);
    EXPECT(!s.actions.revoke && !s.actions.drain && !s.actions.settled);
    tick(&s, 1);
    EXPECT(s.actions.drain && !s.actions.revoke && !s.actions.depot && s.actions.settled);
    tick(&s, 250);
    EXPECT(!s.actions.revoke && !s.actions.drain && s.actions.settled);
}

static void caches_that_do_not_get_empty(void)
{
    struct script s;
    begin(&s, MB(1));
    s.facts.cached_bytes = MB(2);
    s.facts.caches = 3;
    tick(&s, 500);
    EXPECT(s.actions.revoke && !s.actions.drain);
    tick(&s, 500);
    EXPECT(s.actions.drain && s.actions.revoke && s.actions.depot && !s.actions.settled);
    s.facts.caches = 0;
    tick(&s, 500);
    EXPECT(s.actions.drain && s.actions.depot && !s.actions.revoke);
    tick(&s, 250);
    EXPECT(!s.actions.drain && s.actions.depot && !s.actions.revoke && !s.actions.settled);
    s.facts.cached_bytes = 0;
    tick(&s, 250);
    EXPECT(s.actions.settled && !s.actions.depot);
}

static void caches_of_a_busy_process(void)
{
    struct script s;
    begin(&s, MB(100));
    s.facts.caches = 8;
    s.facts.cached_bytes = MB(4);
    unsigned revocations = 0, drains = 0;
    uint64_t revoked_ms = 0;
    for (unsigned i = 0; i < 80; i++) {
        stir(&s);
        tick(&s, EBB_TICK_MS);
        EXPECT(!is_quiet(&s));
        if (s.actions.drain)
            EXPECT(s.facts.now_ms - revoked_ms >= 500);
        if (s.actions.revoke)
            revoked_ms = s.facts.now_ms;
        revocations += s.actions.revoke;
        drains += s.actions.drain;
    }
    EXPECT_MSG(revocations >= 18 && revocations <= 40, "%u in 20 s", revocations);
    EXPECT(drains == revocations || drains + 1 == revocations);
    begin(&s, MB(100));
    s.facts.caches = 8;
    s.facts.cached_bytes = EBB_KIB(63);
    for (unsigned i = 0; i < 20; i++) {
        stir(&s);
        tick(&s, EBB_TICK_MS);
        EXPECT(!s.actions.drain && !s.actions.revoke && !s.actions.depot);
    }
}

/* Where they cannot be drained, a quiet process makes them older a few times and then goes to sleep. */
static void caches_that_cannot_be_drained(void)
{
    struct script s;
    begin(&s, MB(1));
    s.facts.drains = false;
    s.facts.cached_bytes = MB(2);
    s.facts.caches = 3;
    unsigned revocations = 0, ticks = 0;
    do {
        tick(&s, EBB_TICK_MS);
        revocations += s.actions.revoke;
        ticks++;
    } while (!s.actions.settled && ticks < 100);
    EXPECT_EQ(revocations, 3);
    EXPECT_MSG(ticks <= 12, "%u ticks", ticks);
}

/* ---- rest ---- */

static void settled_only_when_nothing_is_left(void)
{
    static const struct {
        size_t dirty, cached;
        bool stirred, regions, settled;
    } rows[] = {
        {0, 0, false, false, true},
        {FLOOR, EBB_KIB(64) - 1, false, false, true},
        {FLOOR + 4096, 0, false, false, false},
        {0, EBB_KIB(64), false, false, false},
        {0, 0, true, false, false},
        {0, 0, false, true, false},
    };
    for (size_t i = 0; i < EBB_ARRAY_COUNT(rows); i++) {
        struct script s;
        begin(&s, MB(10));
        s.obeys = false;
        s.facts.dirty_bytes = rows[i].dirty;
        s.facts.cached_bytes = rows[i].cached;
        s.facts.caches = 1;
        s.facts.stirred = rows[i].stirred;
        s.facts.regions = rows[i].regions;
        tick(&s, 250);
        EXPECT(!s.actions.settled);
        tick(&s, 250);
        EXPECT(is_quiet(&s));
        EXPECT_MSG(s.actions.settled == rows[i].settled, "row %zu", i);
    }
}

/* What regions keep grows older twice a second, whether the process works or not, and at no other time. */
static void regions_grow_older_twice_a_second(void)
{
    for (unsigned busy = 0; busy < 2; busy++) {
        struct script s;
        unsigned decays = 0;
        begin(&s, MB(100));
        for (unsigned i = 0; i < 40; i++) {
            if (busy != 0)
                stir(&s);
            s.facts.regions = i >= 20;
            tick(&s, 250);
            EXPECT(i >= 20 || !s.actions.decay);
            decays += s.actions.decay;
        }
        EXPECT_EQ(decays, 10);
    }
}

static void sleep_lengthens_when_there_is_nothing_to_do(void)
{
    struct script s;
    begin(&s, MB(100));
    for (unsigned i = 1; i <= 30; i++) {
        s.facts.retaken_bytes += MB(2); /* works, within what it has */
        tick(&s, EBB_TICK_MS);
        EXPECT(!is_quiet(&s) && !s.actions.settled);
        EXPECT_EQ(s.actions.sleep_ms, i < 16 ? EBB_TICK_MS : 2000);
    }
    s.facts.dirty_bytes = MB(500);
    s.obeys = false;
    stir(&s);
    tick(&s, 2000);
    EXPECT_EQ(s.actions.sleep_ms, EBB_TICK_MS);
}

/* What cannot go is not tried for ever, and tried again when there is more. */
static void what_is_stuck_does_not_keep_it_awake(void)
{
    struct script s;
    begin(&s, MB(100));
    s.obeys = false;
    s.facts.dirty_bytes = MB(30);
    unsigned ticks = 0;
    do {
        tick(&s, EBB_TICK_MS);
        ticks++;
    } while (!s.actions.settled && ticks < 100);
    EXPECT_MSG(ticks >= 8 && ticks <= 12, "%u ticks", ticks);
    EXPECT_EQ(ebb__policy_floor(&s.policy), MB(30));
    s.facts.dirty_bytes += FLOOR;
    tick(&s, EBB_TICK_MS);
    EXPECT(s.actions.settled);
    s.facts.dirty_bytes += 4096;
    tick(&s, EBB_TICK_MS);
    EXPECT(!s.actions.settled);
    EXPECT_EQ(s.actions.keep_bytes, FLOOR);
    EXPECT_EQ(ebb__policy_floor(&s.policy), FLOOR);
}

/* Memory that becomes free while something else cannot go is tried as often as any other. */
static void what_comes_late_is_not_stuck(void)
{
    for (unsigned late = 0; late < 16; late++) {
        struct script s;
        begin(&s, MB(300));
        s.obeys = false;
        s.facts.dirty_bytes = MB(30);
        s.facts.stirred = true; /* keeps it awake */
        tick(&s, 500);
        for (unsigned i = 0; i < late; i++)
            tick(&s, EBB_TICK_MS);
        use(&s, MB(200));
        for (unsigned i = 0; i < 8; i++) {
            tick(&s, EBB_TICK_MS);
            EXPECT_MSG(s.actions.keep_bytes == FLOOR, "kept in tick %u although it has come %u ticks late", i,
                       late);
        }
    }
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(quiet_after_half_a_second),
        CASE(quiet_after_a_reset),
        CASE(what_counts_as_quiet),
        CASE(a_fresh_ramp_needs_nothing),
        CASE(a_sawtooth_keeps_its_height),
        CASE(a_sawtooth_that_obeys_from_the_start),
        CASE(a_pause_ends_what_is_kept),
        CASE(a_peak_is_forgotten_after_ten_seconds),
        CASE(old_ticks_do_not_count),
        CASE(a_slow_decay_needs_only_its_churn),
        CASE(a_fall_is_no_rise),
        CASE(sweeps),
        CASE(caches_of_a_quiet_process),
        CASE(caches_that_do_not_get_empty),
        CASE(caches_of_a_busy_process),
        CASE(caches_that_cannot_be_drained),
        CASE(settled_only_when_nothing_is_left),
        CASE(regions_grow_older_twice_a_second),
        CASE(sleep_lengthens_when_there_is_nothing_to_do),
        CASE(what_is_stuck_does_not_keep_it_awake),
        CASE(what_comes_late_is_not_stuck),
    };
    return RUN_CASES(cases);
}
