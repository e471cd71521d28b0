/* SPDX-License-Identifier: MIT
 *
 * Random operations on regions over the fake kernel, against a simple oracle: a stack of what must be there. SEED=n has a run again,
 * MODEL_OPS=n sets its length.
 *
 * usage: region SCENARIO
 */
#include "small_space.h"
#include "support.h"

#include "ebb/budget.h"
#include "ebb/region.h"
#include "os/fake.h"
#include "region/region.h"

#define PIECES   4096
#define MARKS    64
#define REGIONS  6
#define CLEANUPS 256

struct piece {
    unsigned char *at;
    size_t bytes, align;
    uint64_t tag;
};

/* One region, and what is known of it. */
struct oracle {
    struct ebb_region *region;
    size_t granule, limit_bytes;
    struct ebb_budget_account *account; /* NULL: none */
    bool keeps_idle;
    struct piece pieces[PIECES];
    unsigned piece_count;
    uint64_t cleanups[CLEANUPS]; /* their numbers, in the order in which they were added */
    unsigned cleanup_count;
    struct {
        struct ebb_region_mark mark;
        unsigned pieces, cleanups;
    } marks[MARKS];
    unsigned mark_count;
};

static struct support_rng rng;
static struct oracle oracles[REGIONS];
static struct oracle *running; /* whose cleanups run */
static uint64_t next_tag, refused, reclaimed_bytes;

/* A user with a limit and two statements of his, and somebody else; the first two regions are charged to nobody. */
enum { USER, FIRST, SECOND, OTHER, ACCOUNTS };
static struct ebb_budget_account *accounts[ACCOUNTS];
static struct ebb_budget_account **const account_of[REGIONS] = {
    NULL, NULL, &accounts[USER], &accounts[FIRST], &accounts[SECOND], &accounts[OTHER]};

static size_t random_size(void)
{
    switch (support_below(&rng, 20)) {
    case 0:
        return support_below(&rng, EBB_MIB(3));
    case 1:
        return support_below(&rng, EBB_KIB(100));
    case 2:
    case 3:
        return support_below(&rng, 5000);
    default:
        return support_below(&rng, 200);
    }
}

/* ---- the oracle's view ---- */

static void expect_pieces(const struct oracle *o, unsigned from)
{
    for (unsigned i = from; i < o->piece_count; i++) {
        const struct piece *p = &o->pieces[i];
        EXPECT_MSG(p->bytes == 0 || support_kept(p->at, p->bytes, p->bytes, p->tag), "piece %u of %zu bytes",
                   i, p->bytes);
    }
}

static int by_address(const void *a, const void *b)
{
    const struct piece *const *x = a, *const *y = b;
    return (*x)->at < (*y)->at ? -1 : (*x)->at > (*y)->at;
}

/* No two pieces of any regions overlap. */
static void expect_apart(void)
{
    static const struct piece *all[PIECES * REGIONS];
    unsigned n = 0;
    for (unsigned i = 0; i < REGIONS; i++)
        for (unsigned k = 0; oracles[i].region != NULL && k < oracles[i].piece_count; k++)
            if (oracles[i].pieces[k].bytes != 0)
                all[n++] = &oracles[i].pieces[k];
    qsort(all, n, sizeof(all[0]), by_address);
    for (unsigned i = 1; i < n; i++)
        EXPECT(all[i - 1]->at + all[i - 1]->bytes <= all[i]->at);
}

static void expect_figures(const struct oracle *o)
{
    struct ebb_region_stats s = {.size_of_struct = sizeof(s)};
    size_t least = 0;
    EXPECT_EQ(ebb_region_stats_get(o->region, &s), 0);
    for (unsigned i = 0; i < o->piece_count; i++)
        least += ebb__align_up(o->pieces[i].bytes, o->granule);
    EXPECT_MSG(s.used_bytes >= least, "%zu used, %zu in pieces", s.used_bytes, least);
    EXPECT(s.used_bytes <= s.held_bytes && s.kept_bytes <= s.held_bytes && s.held_bytes <= s.peak_bytes);
    EXPECT(o->limit_bytes == 0 || s.held_bytes <= ebb__max(o->limit_bytes, 40000));
    EXPECT_EQ(s.limit_bytes, o->limit_bytes);
    EXPECT_EQ(s.cleanups, o->cleanup_count);
}

/* ---- operations ---- */

static void make(struct oracle *o)
{
    struct ebb_region_options options = {
        .size_of_struct = sizeof(options),
        .first_bytes = support_below(&rng, 3) == 0 ? support_below(&rng, 40000) : 0,
        .block_bytes = support_below(&rng, 3) == 0 ? support_below(&rng, EBB_KIB(64)) : 0,
        .max_block_bytes = support_below(&rng, 3) == 0 ? support_below(&rng, EBB_MIB(4)) : 0,
        .limit_bytes = support_below(&rng, 3) == 0 ? support_between(&rng, 50000, EBB_MIB(8)) : 0,
        .flags = (unsigned)support_below(&rng, 8),
        .account = account_of[o - oracles] != NULL ? *account_of[o - oracles] : NULL,
    };
    o->region = ebb_region_create(&options);
    o->granule = options.flags & EBB_REGION_ALIGN_8 ? 8 : 16;
    o->limit_bytes = options.limit_bytes;
    o->account = options.account;
    o->keeps_idle = (options.flags & EBB_REGION_KEEPS_IDLE) != 0;
    o->piece_count = o->cleanup_count = o->mark_count = 0;
    refused += o->region == NULL;
}

static void allocate(struct oracle *o)
{
    if (o->piece_count == PIECES)
        return;
    struct piece p = {.bytes = random_size(), .align = o->granule, .tag = next_tag++};
    if (support_below(&rng, 8) == 0)
        p.align = (size_t)1 << support_below(&rng, 14);
    errno = 0;
    switch (support_below(&rng, 4)) {
    case 0:
        p.align = o->granule;
        p.at = ebb_region_calloc(o->region, 1, p.bytes);
        EXPECT(p.at == NULL || support_is_zero(p.at, p.bytes));
        break;
    default:
        p.at = p.align == o->granule ? ebb_region_alloc(o->region, p.bytes)
                                     : ebb_region_alloc_aligned(o->region, p.align, p.bytes);
    }
    if (p.at == NULL) {
        EXPECT(errno == ENOMEM && (o->limit_bytes != 0 || o->account != NULL || ebb_fake.failures != 0));
        refused++;
        return;
    }
    EXPECT((uintptr_t)p.at % p.align == 0);
    if (p.bytes != 0)
        support_fill(p.at, p.bytes, p.tag);
    o->pieces[o->piece_count++] = p;
}

/* The last one added comes first, and what it was added with is still there. */
static void on_cleanup(void *arg)
{
    struct oracle *o = running;
    EXPECT(o != NULL && o->cleanup_count != 0);
    EXPECT_EQ(o->cleanups[--o->cleanup_count], (uintptr_t)arg);
    if ((uintptr_t)arg % 16 == 0) /* one that still works in its region */
        (void)ebb_region_strdup(o->region, "undone");
}

static void add_cleanup(struct oracle *o)
{
    uintptr_t tag = (uintptr_t)next_tag++;
    if (o->cleanup_count == CLEANUPS)
        return;
    if (ebb_region_cleanup_add(o->region, on_cleanup, (void *)tag) != 0) {
        refused++;
        return;
    }
    o->cleanups[o->cleanup_count++] = tag;
}

static void cancel_cleanup(struct oracle *o)
{
    if (o->cleanup_count == 0)
        return;
    unsigned i = (unsigned)support_below(&rng, o->cleanup_count);
    EXPECT_EQ(ebb_region_cleanup_cancel(o->region, on_cleanup, (void *)(uintptr_t)o->cleanups[i]), 0);
    memmove(&o->cleanups[i], &o->cleanups[i + 1], (--o->cleanup_count - i) * sizeof(o->cleanups[0]));
    for (unsigned m = 0; m < o->mark_count; m++)
        o->marks[m].cleanups -= o->marks[m].cleanups > i;
}

static void mark(struct oracle *o)
{
    if (o->mark_count == MARKS)
        return;
    o->marks[o->mark_count].mark = ebb_region_mark(o->region);
    o->marks[o->mark_count].pieces = o->piece_count;
    o->marks[o->mark_count++].cleanups = o->cleanup_count;
}

static void roll_back(struct oracle *o)
{
    if (o->mark_count == 0)
        return;
    unsigned i = (unsigned)support_below(&rng, o->mark_count);
    expect_pieces(o, o->marks[i].pieces);
    running = o;
    ebb_region_rollback(o->region, o->marks[i].mark);
    running = NULL;
    EXPECT_EQ(o->cleanup_count, o->marks[i].cleanups);
    o->piece_count = o->marks[i].pieces;
    o->mark_count = i + (unsigned)support_below(&rng, 2); /* the mark itself is good for another time */
}

static void reset(struct oracle *o)
{
    expect_pieces(o, 0);
    running = o;
    ebb_region_reset(o->region, (enum ebb_region_keep)support_below(&rng, 3));
    running = NULL;
    EXPECT_EQ(o->cleanup_count, 0);
    o->piece_count = o->mark_count = 0;
}

static void end(struct oracle *o)
{
    expect_pieces(o, 0);
    running = o;
    ebb_region_destroy(o->region);
    running = NULL;
    EXPECT_EQ(o->cleanup_count, 0);
    o->region = NULL;
}

/* ---- the budget ---- */

static struct ebb_region_stats figures(const struct oracle *o)
{
    struct ebb_region_stats s = {.size_of_struct = sizeof(s)};
    if (o->region != NULL)
        EXPECT_EQ(ebb_region_stats_get(o->region, &s), 0);
    return s;
}

static bool counts_in(const struct oracle *o, const struct ebb_budget_account *account)
{
    return o->region != NULL && o->account != NULL &&
           (o->account == account || (account == accounts[USER] && o->account != accounts[OTHER]));
}

/* An account has what the regions hold that are charged to it and to what is below it. */
static void expect_accounts(void)
{
    for (unsigned a = 0; a < ACCOUNTS; a++) {
        size_t held = 0;
        for (unsigned i = 0; i < REGIONS; i++)
            held += counts_in(&oracles[i], accounts[a]) ? figures(&oracles[i]).held_bytes : 0;
        EXPECT_EQ(ebb_budget_exact(accounts[a]), held);
    }
}

/* For an account: its own regions' kept blocks and nobody's else, as many as are asked for if there are as many, and none below its
 * minimum. For everybody: what the heap is charged less for is what was given. */
static void reclaim(void)
{
    unsigned a = (unsigned)support_below(&rng, ACCOUNTS + 2);
    struct ebb_budget_account *account = a < ACCOUNTS    ? accounts[a]
                                         : a == ACCOUNTS ? ebb_budget_heap()
                                                         : NULL;
    enum ebb_budget_urgency urgency = (enum ebb_budget_urgency)support_below(&rng, 4);
    size_t bytes = support_below(&rng, 4) == 0 ? SIZE_MAX : support_below(&rng, EBB_MIB(2)) + 1, had = 0,
           has = 0;
    struct ebb_region_stats before[REGIONS];
    for (unsigned i = 0; i < REGIONS; i++)
        before[i] = figures(&oracles[i]);
    size_t heap = ebb_budget_exact(ebb_budget_heap());
    size_t given = ebb_budget_reclaim(account, bytes, urgency, 0);
    for (unsigned i = 0; i < REGIONS; i++) {
        const struct oracle *o = &oracles[i];
        struct ebb_region_stats now = figures(o);
        EXPECT(now.kept_bytes == 0 ||
               now.kept_bytes == before[i].kept_bytes); /* all of a region's, or nothing */
        EXPECT_EQ(now.held_bytes, before[i].held_bytes - (before[i].kept_bytes - now.kept_bytes));
        EXPECT_EQ(now.used_bytes, before[i].used_bytes);
        bool may_give = !o->keeps_idle && (a >= ACCOUNTS || counts_in(o, account));
        EXPECT(may_give || now.kept_bytes == before[i].kept_bytes);
        had += may_give ? before[i].kept_bytes : 0;
        has += may_give ? now.kept_bytes : 0;
    }
    if (a < ACCOUNTS)
        EXPECT(given == had - has && ebb_budget_exact(ebb_budget_heap()) == heap);
    else if (ebb_fake.fail_at == 0)
        EXPECT_EQ(ebb_budget_exact(ebb_budget_heap()), heap - given);
    if (urgency == EBB_URGENCY_LAST)
        EXPECT(given >= bytes || has == 0 || a >= ACCOUNTS);
    expect_accounts();
    reclaimed_bytes += given;
}

static void make_accounts(void)
{
    EXPECT_EQ(ebb_budget_create(ebb_budget_heap(), "user", EBB_BUDGET_QUERY, &accounts[USER]), 0);
    EXPECT_EQ(ebb_budget_create(accounts[USER], "first", EBB_BUDGET_QUERY, &accounts[FIRST]), 0);
    EXPECT_EQ(ebb_budget_create(accounts[USER], "second", EBB_BUDGET_QUERY, &accounts[SECOND]), 0);
    EXPECT_EQ(ebb_budget_create(ebb_budget_heap(), "other", EBB_BUDGET_QUERY, &accounts[OTHER]), 0);
    (void)ebb_budget_limit(accounts[USER], EBB_BUDGET_HARD, (int64_t)EBB_MIB(12));
    (void)ebb_budget_limit(accounts[SECOND], EBB_BUDGET_SOFT, (int64_t)EBB_MIB(2));
    (void)ebb_budget_limit(accounts[OTHER], EBB_BUDGET_MIN, (int64_t)EBB_MIB(1));
}

static void end_accounts(void)
{
    ebb_budget_thread_flush();
    for (unsigned a = ACCOUNTS; a-- != 0;) {
        EXPECT_EQ(ebb_budget_exact(accounts[a]), 0);
        if (a != USER)
            EXPECT_EQ(ebb_budget_destroy(accounts[a]), 0);
    }
    EXPECT_EQ(ebb_budget_destroy(accounts[USER]), 0);
    EXPECT_EQ(ebb_budget_check(), 0);
}

static void step(struct oracle *o)
{
    if (o->region == NULL) {
        make(o);
        return;
    }
    switch (support_below(&rng, 400)) {
    case 0:
        end(o);
        break;
    case 1:
    case 2:
        reset(o);
        break;
    case 3 ... 12:
        roll_back(o);
        break;
    case 13 ... 32:
        mark(o);
        break;
    case 33 ... 42:
        add_cleanup(o);
        break;
    case 43 ... 45:
        cancel_cleanup(o);
        break;
    case 46:
        (void)ebb__region_decay();
        break;
    case 47:
        if (o->limit_bytes != 0)
            EXPECT_EQ((size_t)ebb_region_limit(o->region, (int64_t)o->limit_bytes), o->limit_bytes);
        break;
    case 48:
        reclaim();
        break;
    default:
        allocate(o);
    }
}

static void weather(bool bad)
{
    static unsigned spell;
    if (!bad)
        return;
    if (spell != 0 && --spell == 0)
        ebb_fake.fail_at = 0;
    if (spell == 0 && support_below(&rng, 100) == 0) {
        spell = (unsigned)support_between(&rng, 1, 200);
        ebb_fake.fail_forever = support_below(&rng, 2) == 0;
        ebb_fake.fail_at = 1;
    }
}

static void run(bool bad_weather)
{
    size_t ops = support_env_number("MODEL_OPS", 60000);
    rng.state = support_seed("region");
    make_accounts();
    for (size_t op = 0; op < ops; op++) {
        struct oracle *o = &oracles[support_below(&rng, REGIONS)];
        weather(bad_weather);
        step(o);
        if (op % 200 == 0 && o->region != NULL) {
            expect_figures(o);
            EXPECT_EQ(ebb_region_check(o->region), 0);
        }
        if (op % 4000 == 0) {
            expect_apart();
            expect_accounts();
            EXPECT_EQ(ebb_check(), 0);
        }
    }
    ebb_fake.fail_at = 0;
    EXPECT(!bad_weather || (ebb_fake.failures != 0 && refused != 0));
    EXPECT(reclaimed_bytes != 0 || ops < 10000);
    (void)printf("%zu operations, %zu refused, %zu MiB reclaimed\n", ops, (size_t)refused,
                 (size_t)reclaimed_bytes >> 20);
    for (unsigned i = 0; i < REGIONS; i++)
        if (oracles[i].region != NULL)
            end(&oracles[i]);
    end_accounts();
    struct ebb_stats s = {.size_of_struct = sizeof(s)};
    EXPECT_EQ(ebb_check(), 0);
    EXPECT_EQ(ebb_stats_get(&s), 0);
    EXPECT_EQ(s.live_blocks, 0);
}

int main(int argc, char **argv)
{
    const char *scenario = argc == 2 ? argv[1] : "";
    small_reservations();
    if (strcmp(scenario, "kind") == 0)
        run(false);
    else if (strcmp(scenario, "failing_kernel") == 0)
        run(true);
    else
        return 2;
    return 0;
}
