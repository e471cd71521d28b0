/* SPDX-License-Identifier: MIT
 *
 * The policy under pressure over recordings of real servers in a cgroup (tests/fixtures/pressure). What was recorded does not obey, so the
 * question is what the policy sees in it: nothing where there is nothing, and all of it in time where there is.
 */
#include "press_stand.h"

struct recording {
    FILE *file;
    struct stand stand;
    uint64_t begin_ms, ms; /* of the test's clock; of the recording */
    uint64_t look_ms;      /* when the policy looks next */
    uint64_t last[3];      /* totals of hits at the last sample */
    bool any;
};

static void open_recording(struct recording *r, const char *name)
{
    char line[256], path[512];
    (void)snprintf(path, sizeof(path), FIXTURES "/pressure/%s", name);
    *r = (struct recording){.file = fopen(path, "r")};
    EXPECT_MSG(r->file != NULL, "%s", path);
    EXPECT(fgets(line, sizeof(line), r->file) != NULL);
    EXPECT_MSG(strcmp(line, "ms,limit,used,clean,some_us,full_us,high,max,oom\n") == 0, "%s", line);
    begin(&r->stand);
    r->stand.facts.wakes = true;
    r->begin_ms = r->stand.facts.now_ms;
}

/* The next sample; false at the end. */
static bool next_sample(struct recording *r)
{
    char line[256];
    uint64_t v[9];
    if (fgets(line, sizeof(line), r->file) == NULL)
        return false;
    char *at = line;
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(v); i++) {
        char *end;
        v[i] = strtoull(at, &end, 10);
        EXPECT_MSG(end != at && *end == (i + 1 == EBB_ARRAY_COUNT(v) ? '\n' : ','), "%s", line);
        at = end + 1;
    }
    struct ebb_press_facts *f = &r->stand.facts;
    r->ms = v[0];
    f->limits[MAX] =
        (struct ebb_press_limit){.known = true, .limit_bytes = v[1], .used_bytes = v[2], .clean_bytes = v[3]};
    f->stalls_known = true;
    f->some_us = v[4];
    f->full_us = v[5];
    uint32_t *hits[] = {&f->high_hits, &f->max_hits, &f->oom_hits};
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(hits); i++) {
        *hits[i] += r->any ? (uint32_t)(v[6 + i] - r->last[i]) : 0;
        r->last[i] = v[6 + i];
    }
    r->any = true;
    return true;
}

/* Plays it up to there. The policy looks when it wants to, and when room falls below the begin of yellow. */
static void play(struct recording *r, uint64_t until_ms)
{
    while (r->ms < until_ms && next_sample(r)) {
        const struct ebb_press_limit *l = &r->stand.facts.limits[MAX];
        uint64_t now_ms = r->begin_ms + r->ms,
                 enter = ebb__press_enter_bytes(EBB_PRESS_OF_GROUP, YELLOW, l->limit_bytes);
        bool near = l->used_bytes - l->clean_bytes / 2 + enter > l->limit_bytes;
        if (now_ms < r->look_ms && !(near && r->stand.actions.need == GREEN))
            continue;
        enum ebb_press_level need = r->stand.press.need;
        step(&r->stand, now_ms - r->stand.facts.now_ms);
        const struct ebb_press_actions *a = &r->stand.actions;
        if (a->changed || a->need != need)
            (void)printf("%5" PRIu64 ".%" PRIu64 " s: level %u, need %u (%s), %" PRIu64 " MiB of %" PRIu64
                         " used, %" PRIu64 " file cache, wants %" PRIu64 "\n",
                         r->ms / 1000, r->ms / 100 % 10, a->level, a->need, ebb__press_cause_name(a->cause),
                         l->used_bytes >> 20, l->limit_bytes >> 20, l->clean_bytes >> 20,
                         a->want_bytes >> 20);
        r->look_ms = a->look_ms == EBB_PRESS_NO_LOOK ? UINT64_MAX : now_ms + a->look_ms;
    }
}

/* When it first looked like this, in ms of the recording; UINT64_MAX: never. */
struct seen {
    uint64_t need_ms[EBB_PRESS_LEVELS];
    int64_t room_then[EBB_PRESS_LEVELS];
};

static struct seen play_and_see(struct recording *r, uint64_t until_ms)
{
    struct seen seen = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}, {0}};
    while (r->ms < until_ms && !feof(r->file)) {
        play(r, r->ms + 1);
        enum ebb_press_level need = r->stand.press.need;
        const struct ebb_press_limit *l = &r->stand.facts.limits[MAX];
        if (seen.need_ms[need] == UINT64_MAX) {
            seen.need_ms[need] = r->ms;
            seen.room_then[need] = (int64_t)(l->limit_bytes + l->clean_bytes / 2 - l->used_bytes);
        }
    }
    return seen;
}

/* tests/fixtures/README.md says what happened when. */
static void mariadbd_and_a_hog(void)
{
    struct recording r;
    open_recording(&r, "mariadbd-hog.csv");
    /* A server at work. The stalls at the begin are the host's, because this cgroup has none of its own: slack, no more. */
    struct seen seen = play_and_see(&r, 60000);
    EXPECT(seen.need_ms[ORANGE] == UINT64_MAX && seen.need_ms[RED] == UINT64_MAX);
    EXPECT(r.stand.press.need == GREEN);
    /* The hog takes 10 MiB/s from 60 s on. The limit is hit at 98 s, with file cache to drop until 100 s. */
    seen = play_and_see(&r, 113000);
    EXPECT_MSG(seen.need_ms[YELLOW] < 78000, "yellow at %" PRIu64, seen.need_ms[YELLOW]);
    EXPECT(seen.room_then[YELLOW] > (int64_t)MB(215)); /* before its threshold: it was foreseen */
    EXPECT_MSG(seen.need_ms[ORANGE] < 93000, "orange at %" PRIu64, seen.need_ms[ORANGE]);
    EXPECT(seen.need_ms[RED] < 99000 && seen.need_ms[RED] > seen.need_ms[ORANGE] + 5000);
    EXPECT(r.stand.press.level == RED);
    /* It ends, and files are read: file cache fills the cgroup twice. */
    (void)play_and_see(&r, 116000);
    seen = play_and_see(&r, UINT64_MAX);
    EXPECT(seen.need_ms[ORANGE] == UINT64_MAX && seen.need_ms[RED] == UINT64_MAX);
    EXPECT_EQ(r.stand.press.level, YELLOW);
    EXPECT_MSG(r.stand.changes <= 7, "%u changes", r.stand.changes);
    EXPECT(r.ms >= 179000);
    (void)fclose(r.file);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(mariadbd_and_a_hog),
    };
    return RUN_CASES(cases);
}
