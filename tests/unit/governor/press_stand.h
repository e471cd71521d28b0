/* SPDX-License-Identifier: MIT
 *
 * The policy under pressure on a test stand: facts are set by hand, time passes in steps, and after each of them holds what must
 * always hold.
 */
#ifndef EBB_TESTS_UNIT_GOVERNOR_PRESS_STAND_H
#define EBB_TESTS_UNIT_GOVERNOR_PRESS_STAND_H

#include "support.h"

#include "governor/pressure.h"

#define MB(n) ((uint64_t)(n) << 20)
#define GB(n) ((uint64_t)(n) << 30)

#define GREEN  EBB_PRESS_GREEN
#define YELLOW EBB_PRESS_YELLOW
#define ORANGE EBB_PRESS_ORANGE
#define RED    EBB_PRESS_RED

#define SOFT EBB_PRESS_LIMIT_SOFT
#define HARD EBB_PRESS_LIMIT_HARD
#define HIGH EBB_PRESS_LIMIT_HIGH
#define MAX  EBB_PRESS_LIMIT_MAX
#define HOST EBB_PRESS_LIMIT_HOST

struct stand {
    struct ebb_press press;
    struct ebb_press_facts facts; /* of the step that comes; events and what was got are cleared after it */
    struct ebb_press_actions actions;
    unsigned changes;
    uint64_t rose_ms; /* when the level last rose; 0: never */
};

static inline void begin(struct stand *s)
{
    *s = (struct stand){.facts = {.now_ms = 1000000}};
    ebb__press_reset(&s->press, s->facts.now_ms);
}

static inline uint64_t asked(const struct ebb_press_actions *a)
{
    uint64_t bytes = 0;
    for (unsigned give = 0; give < EBB_PRESS_GIVES; give++)
        bytes += a->ask_bytes[give];
    return bytes;
}

static inline enum ebb_press_level gives_from(unsigned give)
{
    return give == EBB_PRESS_GIVE_COLD || give == EBB_PRESS_GIVE_DIRTY ? ORANGE : YELLOW;
}

/* What holds whatever the facts are. */
static inline void always(const struct stand *s)
{
    const struct ebb_press_actions *a = &s->actions;
    EXPECT_MSG(ebb__press_check(&s->press) == 0, "invariant %u", ebb__press_check(&s->press));
    EXPECT(a->level == s->press.level && a->need == s->press.need && a->need <= a->level);
    EXPECT((a->cause == EBB_PRESS_NOTHING) == (a->need == GREEN));
    EXPECT(a->need != GREEN || (a->want_bytes == 0 && a->urgency == 0 && !a->refuse && a->within_ms == 0));
    EXPECT(a->need == RED || !a->refuse);
    EXPECT((a->urgency != 0) == (a->want_bytes != 0) && a->urgency <= a->need);
    EXPECT((a->cpu_permille == EBB_PRESS_CPU_ALL) == (a->need == RED));
    EXPECT(asked(a) <= a->want_bytes && a->short_bytes <= a->want_bytes);
    for (unsigned give = 0; give < EBB_PRESS_GIVES; give++) {
        EXPECT(a->ask_bytes[give] <= s->facts.can_bytes[give]);
        EXPECT(a->ask_bytes[give] == 0 || (a->need >= gives_from(give) && give < a->reach));
        for (unsigned cheap = 0; cheap < give; cheap++) /* all of it, or no less than who is dearer */
            EXPECT(a->ask_bytes[cheap] == s->facts.can_bytes[cheap] ||
                   a->ask_bytes[cheap] >= a->ask_bytes[give]);
    }
    EXPECT(a->reach == 0 || a->ask_bytes[a->reach - 1] != 0);
    EXPECT(!a->may_grow || (a->level == GREEN && a->want_bytes == 0));
    EXPECT(a->may_grow == (a->grow_bytes != 0));
    EXPECT(a->look_ms != 0 && (a->need == GREEN || a->look_ms <= 250));
}

/* ms pass, and the policy looks. */
static inline void step(struct stand *s, uint64_t ms)
{
    enum ebb_press_level before = s->press.level;
    s->facts.now_ms += ms;
    memset(&s->actions, 0xff, sizeof(s->actions));
    ebb__press_decide(&s->press, &s->facts, &s->actions);
    always(s);
    EXPECT(s->actions.changed == (s->actions.level != before));
    if (s->actions.level < before)
        EXPECT_MSG(s->facts.now_ms - s->rose_ms >= 10000, "reversed after %" PRIu64 " ms",
                   s->facts.now_ms - s->rose_ms);
    if (s->actions.level > before)
        s->rose_ms = s->facts.now_ms;
    s->changes += s->actions.changed;
    s->facts.high_hits = s->facts.max_hits = s->facts.oom_hits = s->facts.notices = s->facts.calls = 0;
    s->facts.call_bytes = 0;
    s->facts.call_level = GREEN;
    memset(s->facts.got_bytes, 0, sizeof(s->facts.got_bytes));
}

/* So much room is left below a limit of that size. */
static inline void room(struct stand *s, unsigned kind, uint64_t limit, int64_t bytes)
{
    s->facts.limits[kind] = (struct ebb_press_limit){
        .known = true, .limit_bytes = limit, .used_bytes = (uint64_t)((int64_t)limit - bytes)};
}

#endif
