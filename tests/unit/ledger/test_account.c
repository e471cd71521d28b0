/* SPDX-License-Identifier: MIT
 * The tree of accounts over the fake kernel: making and ending, charging, limits, reservations, peaks, and the walker. */
#include "ledger_test.h"

#include "os/fake.h"

#define THE_TABLE_FITS 100000u

static void a_tree_adds_up(void)
{
    struct ebb_budget_account *pool = made(NULL, "pool"), *part = made(pool, "part");
    EXPECT_EQ(ebb__ledger_charge(part, 1000), 0);
    EXPECT_EQ(ebb__ledger_charge(pool, 500), 0);
    EXPECT_EQ(ebb__ledger_charge(&ebb__ledger_process, 7), 0);
    EXPECT_EQ(ebb__ledger_used(part), 1000);
    EXPECT_EQ(ebb__ledger_used(pool), 1500);
    EXPECT_EQ(ebb__ledger_used(&ebb__ledger_process), 1507);
    EXPECT_EQ(ebb__ledger_set_untracked(MIB(3)), 0);
    EXPECT_EQ(ebb__ledger_used(&ebb__ledger_process), MIB(3) + 1507);
    EXPECT_EQ(ebb__ledger_set_untracked(MIB(1)), MIB(3));
    EXPECT_EQ(ebb__ledger_exact(&ebb__ledger_process), MIB(1) + 1507);
    EXPECT_WHOLE();
    ebb__ledger_uncharge(part, 1000);
    ebb__ledger_uncharge(pool, 500);
    ebb__ledger_uncharge(&ebb__ledger_process, 7);
    EXPECT_EQ(ebb__ledger_used(&ebb__ledger_process), MIB(1));
    EXPECT_EQ(stats_of(pool).children, 1);
    EXPECT_EQ(stats_of(part).depth, 2);
    EXPECT_WHOLE();
}

static void what_lies_in_the_heap_stops_below_it(void)
{
    struct ebb_budget_account *connection = made(&ebb__ledger_heap, "connection"),
                              *sort = made(connection, "sort");
    limited(connection, EBB_BUDGET_HARD, KIB(100));
    EXPECT_EQ(ebb__ledger_charge(sort, KIB(60)), 0);
    EXPECT_EQ(ebb__ledger_used(connection), KIB(60));
    EXPECT_EQ(ebb__ledger_used(&ebb__ledger_heap), 0);
    EXPECT_EQ(ebb__ledger_used(&ebb__ledger_process), 0);
    EXPECT_EQ(ebb__ledger_charge(sort, KIB(60)), -ENOMEM);
    EXPECT_EQ(ebb__ledger_headroom(sort), KIB(40));
    EXPECT_WHOLE();
}

static void errors_are_values(void)
{
    struct ebb_budget_account *account = NULL, *deep = NULL;
    EXPECT_EQ(ebb__ledger_create(&ebb__ledger_untracked, "x", EBB_BUDGET_QUERY, &account), -EINVAL);
    EXPECT_EQ(ebb__ledger_create(NULL, "x", (enum ebb_budget_class)4, &account), -EINVAL);
    EXPECT(account == NULL);
    EXPECT_EQ(ebb__ledger_charge(&ebb__ledger_heap, 1), -EINVAL);
    EXPECT_EQ(ebb__ledger_charge(&ebb__ledger_untracked, 1), -EINVAL);
    EXPECT_EQ(ebb__ledger_charge_try(&ebb__ledger_heap, 1), -EINVAL);
    EXPECT_EQ(ebb__ledger_charge_credit(&ebb__ledger_heap, 1), -EINVAL);
    EXPECT_EQ(ebb__ledger_reserve(&ebb__ledger_heap, 1), -EINVAL);
    EXPECT_EQ(ebb__ledger_limit(&ebb__ledger_untracked, EBB_BUDGET_HARD, 1), -EINVAL);
    EXPECT_EQ(ebb__ledger_limit(&ebb__ledger_process, (enum ebb_budget_limit)3, 1), -EINVAL);
    EXPECT_EQ(ebb__ledger_destroy(NULL), 0);
    EXPECT_EQ(ebb__ledger_destroy(&ebb__ledger_process), -EINVAL);
    EXPECT_EQ(ebb__ledger_destroy(&ebb__ledger_heap), -EINVAL);
    EXPECT_EQ(ebb__ledger_destroy(&ebb__ledger_untracked), -EINVAL);
    for (unsigned depth = 1; depth <= LEDGER_DEPTH_MAX; depth++)
        deep = made(deep, "deep");
    EXPECT_EQ(ebb__ledger_create(deep, "x", EBB_BUDGET_QUERY, &account), -E2BIG);
    EXPECT_EQ(ebb__ledger_charge(deep, 5), 0);
    EXPECT_EQ(ebb__ledger_used(&ebb__ledger_process), 5);
    EXPECT_EQ(ebb__ledger_charge(deep, (size_t)PTRDIFF_MAX + 1), -ENOMEM);
    EXPECT_EQ(ebb__ledger_charge(deep, SIZE_MAX), -ENOMEM);
    EXPECT_EQ(ebb__ledger_charge(deep, EBB_BUDGET_CHARGE_MAX + 1), -ENOMEM);
    EXPECT_EQ(ebb__ledger_charge_try(deep, EBB_BUDGET_CHARGE_MAX + 1), -ENOMEM);
    EXPECT_EQ(ebb__ledger_charge_credit(deep, EBB_BUDGET_CHARGE_MAX + 1), -ENOMEM);
    EXPECT_EQ(ebb__ledger_reserve(deep, EBB_BUDGET_CHARGE_MAX + 1), -ENOMEM);
    for (size_t sum = 5; sum < (size_t)INT64_MAX - 9; sum += EBB_BUDGET_CHARGE_MAX)
        EXPECT_EQ(ebb__ledger_charge(deep, ebb__min(EBB_BUDGET_CHARGE_MAX, INT64_MAX - 5 - sum)), 0);
    EXPECT_EQ(ebb__ledger_charge(deep, 6), -ENOMEM); /* the sum is all that it can hold but 5 */
    EXPECT_EQ(ebb__ledger_charge(deep, EBB_BUDGET_CHARGE_MAX), -ENOMEM);
    EXPECT_EQ(ebb__ledger_charge(deep, 5), 0);
    EXPECT_EQ(ebb__ledger_charge(deep, 0), 0);
    struct ebb_budget_stats stats = {.size_of_struct = 8};
    EXPECT_EQ(ebb__ledger_account_stats(deep, &stats), -EINVAL);
    EXPECT_WHOLE();
}

static void an_account_ends_when_nothing_is_left(void)
{
    struct ebb_budget_account *parent = made(NULL, "parent"), *child = made(parent, "child");
    struct giver giver;
    EXPECT_EQ(ebb__ledger_destroy(parent), -EBUSY);
    EXPECT_EQ(ebb__ledger_charge(child, 1), 0);
    EXPECT_EQ(ebb__ledger_destroy(child), -EBUSY);
    ebb__ledger_uncharge(child, 1);
    EXPECT_EQ(ebb__ledger_reserve(child, 10), 0);
    EXPECT_EQ(ebb__ledger_destroy(child), -EBUSY);
    EXPECT_EQ(ebb__ledger_release(child, 100), 10);
    give_from(&giver, child, 0, 1);
    EXPECT_EQ(ebb__ledger_destroy(child), -EBUSY);
    EXPECT_EQ(ebb__ledger_shrinker_remove(giver.number), 0);
    EXPECT_EQ(whole().accounts, 2);
    EXPECT_EQ(ebb__ledger_destroy(child), 0);
    EXPECT_EQ(ebb__ledger_destroy(parent), 0);
    EXPECT_EQ(whole().accounts, 0);
    EXPECT_WHOLE();
    EXPECT(made(NULL, "again") == parent); /* the last that was ended is the first to be used again */
    EXPECT_EQ(stats_of(parent).children, 0);
    EXPECT(strcmp(stats_of(parent).name, "again") == 0);
}

static void names_are_copied_and_cut(void)
{
    char name[] = "a name that is longer than thirty-one bytes";
    struct ebb_budget_account *account = made(NULL, name), *none = made(NULL, NULL);
    memset(name, 'x', sizeof(name) - 1);
    EXPECT(strcmp(stats_of(account).name, "a name that is longer than thir") == 0);
    EXPECT(strcmp(stats_of(none).name, "") == 0);
    EXPECT(strcmp(stats_of(&ebb__ledger_heap).name, "heap") == 0);
}

static void limits_return_the_one_before(void)
{
    struct ebb_budget_account *account = made(NULL, "a");
    EXPECT_EQ(ebb__ledger_limit(account, EBB_BUDGET_SOFT, -1), EBB_BUDGET_UNLIMITED);
    EXPECT_EQ(ebb__ledger_limit(account, EBB_BUDGET_HARD, 100), EBB_BUDGET_UNLIMITED);
    EXPECT_EQ(ebb__ledger_limit(account, EBB_BUDGET_HARD, -1), 100);
    EXPECT_EQ(ebb__ledger_limit(account, EBB_BUDGET_HARD, 50), 100);
    EXPECT_EQ(ebb__ledger_limit(account, EBB_BUDGET_MIN, 7), 0);
    EXPECT_EQ(ebb__ledger_limit(account, EBB_BUDGET_MIN, INT64_MIN), 7);
    EXPECT_EQ(ebb__ledger_limit(account, EBB_BUDGET_SOFT, 70), EBB_BUDGET_UNLIMITED);
    EXPECT_EQ(ledger_get(&account->gate), 50);
    EXPECT_EQ(ebb__ledger_limit(account, EBB_BUDGET_HARD, EBB_BUDGET_UNLIMITED), 50);
    EXPECT_EQ(ledger_get(&account->gate), 70);
    EXPECT_EQ(ebb__ledger_set_level(EBB_LEVEL_RED), EBB_LEVEL_GREEN);
    EXPECT_EQ(ebb__ledger_set_level(-1), EBB_LEVEL_RED);
    EXPECT_EQ(ebb__ledger_set_level(4), -EINVAL);
    EXPECT_EQ(ebb__ledger_level(), EBB_LEVEL_RED);
}

static void a_hard_limit_refuses_exactly(void)
{
    struct ebb_budget_account *parent = made(NULL, "parent"), *a = made(parent, "a"), *b = made(parent, "b");
    limited(parent, EBB_BUDGET_HARD, 1000);
    limited(a, EBB_BUDGET_HARD, 600);
    EXPECT_EQ(ebb__ledger_charge(a, 601), -ENOMEM);
    EXPECT_EQ(ebb__ledger_charge(a, 600), 0);
    EXPECT_EQ(ebb__ledger_charge(a, 1), -ENOMEM);
    EXPECT_EQ(ebb__ledger_charge(b, 401), -ENOMEM);
    EXPECT_EQ(ebb__ledger_charge(b, 400), 0);
    EXPECT_EQ(ebb__ledger_charge(&ebb__ledger_process, 1), 0);
    EXPECT_EQ(ebb__ledger_charge_try(b, 1), -ENOMEM);
    EXPECT_EQ(ebb__ledger_used(b), 400);
    EXPECT_EQ(stats_of(a).refusals, 2);
    EXPECT_EQ(stats_of(parent).refusals, 1);
    EXPECT_EQ(stats_of(b).refusals, 0);
    EXPECT_EQ(whole().refusals, 3);
    EXPECT_EQ(whole().hard_hits, 3);
    /* Lowered below what is used, it takes nothing away. */
    limited(parent, EBB_BUDGET_HARD, 10);
    EXPECT_EQ(ebb__ledger_used(parent), 1000);
    EXPECT_EQ(ebb__ledger_headroom(b), 0);
    ebb__ledger_uncharge(a, 600);
    EXPECT_EQ(ebb__ledger_charge(a, 1), -ENOMEM);
    limited(parent, EBB_BUDGET_HARD, 401);
    EXPECT_EQ(ebb__ledger_charge(a, 1), 0);
    EXPECT_WHOLE();
}

static void a_soft_limit_allows(void)
{
    struct ebb_budget_account *account = made(NULL, "a");
    limited(account, EBB_BUDGET_SOFT, 1000);
    EXPECT_EQ(ebb__ledger_charge(account, 1000), 0);
    EXPECT_EQ(stats_of(account).soft_hits, 0);
    EXPECT_EQ(ebb__ledger_charge(account, 1), 0);
    EXPECT_EQ(stats_of(account).soft_hits, 1);
    EXPECT_EQ(ebb__ledger_charge(account, 500), 0); /* nobody gave: it rests, and is not even counted */
    EXPECT_EQ(stats_of(account).soft_hits, 1);
    ebb_fake.now_ms += 101;
    EXPECT_EQ(ebb__ledger_charge(account, 500), 0);
    EXPECT_EQ(stats_of(account).soft_hits, 2);
    EXPECT_EQ(stats_of(account).hard_hits, 0);
    EXPECT_EQ(ebb__ledger_charge_try(account, 1), 0);
    EXPECT_WHOLE();
}

static void reservations_are_drawn_on_first(void)
{
    struct ebb_budget_account *parent = made(NULL, "parent"), *a = made(parent, "a"), *b = made(parent, "b");
    limited(parent, EBB_BUDGET_HARD, 1000);
    EXPECT_EQ(ebb__ledger_reserve(a, 700), 0);
    EXPECT_EQ(ebb__ledger_used(parent), 0);
    EXPECT_EQ(stats_of(parent).reserved_bytes, 700);
    EXPECT_EQ(ebb__ledger_reserve(b, 301), -ENOMEM);
    EXPECT_EQ(ebb__ledger_charge(b, 300), 0);
    EXPECT_EQ(ebb__ledger_charge(a, 500), 0);
    EXPECT_EQ(ebb__ledger_used(a), 500);
    EXPECT_EQ(stats_of(a).reserved_bytes, 200);
    EXPECT_EQ(ebb__ledger_charge(a, 201), -ENOMEM); /* 200 of it would have been drawn: they are back */
    EXPECT_EQ(stats_of(a).reserved_bytes, 200);
    EXPECT_EQ(ebb__ledger_charge_try(a, 201), -ENOMEM);
    EXPECT_EQ(ebb__ledger_charge_credit(a, 150), 0);
    EXPECT_EQ(ebb__ledger_charge_try(a, 50), 0);
    EXPECT_EQ(stats_of(parent).reserved_bytes, 0);
    EXPECT_EQ(ebb__ledger_used(parent), 1000);
    EXPECT_EQ(ebb__ledger_release(a, 1), 0);
    ebb__ledger_uncharge(a, 700); /* what was drawn does not come back as a reservation */
    EXPECT_EQ(ebb__ledger_charge(b, 700), 0);
    EXPECT_WHOLE();
    ebb__ledger_uncharge(b, 600);
    EXPECT_EQ(ebb__ledger_reserve(a, 100), 0);
    EXPECT_EQ(ebb__ledger_reserve(a, 100), 0);
    EXPECT_EQ(ebb__ledger_release(a, 150), 150);
    EXPECT_EQ(stats_of(parent).reserved_bytes, 50);
    EXPECT_EQ(ebb__ledger_reserve(a, SIZE_MAX), -ENOMEM);
    EXPECT_WHOLE();
}

static void a_peak_has_its_time(void)
{
    struct ebb_budget_account *parent = made(NULL, "parent"), *a = made(parent, "a");
    ebb_fake.now_ms = 1000;
    EXPECT_EQ(ebb__ledger_charge(a, 500), 0);
    EXPECT_EQ(stats_of(a).peak_bytes, 500);
    EXPECT_EQ(stats_of(a).peak_ms, 0); /* it is now */
    ebb_fake.now_ms = 2000;
    ebb__ledger_uncharge(a, 100);
    ebb_fake.now_ms = 3000;
    ebb__ledger_uncharge(a, 100);
    EXPECT_EQ(stats_of(a).peak_bytes, 500);
    EXPECT_EQ(stats_of(a).peak_ms, 2000);
    EXPECT_EQ(stats_of(parent).peak_ms, 2000);
    EXPECT_EQ(ebb__ledger_charge(parent, 300), 0);
    EXPECT_EQ(stats_of(parent).peak_bytes, 600);
    EXPECT_EQ(stats_of(parent).peak_ms, 0);
    EXPECT_EQ(stats_of(a).peak_ms, 2000);
    limited(a, EBB_BUDGET_HARD, 10);
    EXPECT_EQ(ebb__ledger_charge(a, 1000), -ENOMEM);
    EXPECT_EQ(stats_of(a).peak_bytes, 500); /* what was refused was never taken */
}

static void the_table_is_one_reservation(void)
{
    static struct ebb_budget_account *all[THE_TABLE_FITS];
    EXPECT_EQ(ebb_fake.reserved_bytes, 0);
    for (unsigned i = 0; i < THE_TABLE_FITS; i++) {
        all[i] = made(i % 7 == 0 || i == 0 ? NULL : all[i / 7 * 7], "one of many");
        EXPECT_EQ((uintptr_t)all[i] % 64, 0);
        EXPECT_EQ(ebb__ledger_charge(all[i], i + 1), 0);
    }
    EXPECT_EQ(ebb_fake.reserved_bytes, MIB(32));
    EXPECT(ebb_fake.mappings <= 2);
    EXPECT_EQ(whole().accounts, THE_TABLE_FITS);
    EXPECT_EQ(whole().committed_bytes, ebb_fake.committed_bytes);
    EXPECT_EQ(ebb__ledger_used(&ebb__ledger_process), (size_t)THE_TABLE_FITS * (THE_TABLE_FITS + 1) / 2);
    EXPECT_WHOLE();
    for (unsigned i = THE_TABLE_FITS; i-- != 0;) {
        ebb__ledger_uncharge(all[i], i + 1);
        EXPECT_EQ(ebb__ledger_destroy(all[i]), 0);
    }
    EXPECT_WHOLE();
    size_t committed = ebb_fake.committed_bytes;
    for (unsigned i = 0; i < THE_TABLE_FITS; i++)
        all[i] = made(NULL, "again");
    EXPECT_EQ(ebb_fake.committed_bytes, committed);
}

static void a_full_table_refuses(void)
{
    struct ebb_budget_account *account;
    unsigned count = 0;
    while (ebb__ledger_create(NULL, "x", EBB_BUDGET_SLACK, &account) == 0)
        count++;
    EXPECT_EQ(count, MIB(32) / KIB(64) * 256);
    EXPECT_EQ(ebb__ledger_charge_credit(account, 100),
              0); /* no room for the thread's credits: it goes without */
    EXPECT_EQ(ebb__ledger_used(account), 100);
    EXPECT_EQ(whole().credit_threads, 0);
    EXPECT_EQ(ebb__ledger_destroy(account), -EBUSY);
    EXPECT_WHOLE();
}

static void the_kernel_may_refuse(void)
{
    struct ebb_budget_account *account = NULL, *last = NULL;
    ebb_fake.fail_at = 1; /* the reservation, the large and the small one */
    ebb_fake.fail_forever = true;
    EXPECT_EQ(ebb__ledger_create(NULL, "x", EBB_BUDGET_SLACK, &account), -ENOMEM);
    EXPECT_EQ(ebb_fake.failures, 2);
    ebb_fake.fail_at = 2; /* the first chunk */
    ebb_fake.fail_forever = false;
    EXPECT_EQ(ebb__ledger_create(NULL, "x", EBB_BUDGET_SLACK, &account), -ENOMEM);
    EXPECT_EQ(ebb_fake.failures, 3);
    EXPECT(account == NULL);
    EXPECT_WHOLE();
    EXPECT_EQ(ebb__ledger_heap_charge(1000), 0); /* what is always there needs no table */
    EXPECT_EQ(ebb__ledger_charge(&ebb__ledger_process, 5), 0);
    for (unsigned i = 0; i < 256; i++)
        last = made(NULL, "x");
    EXPECT_EQ(ebb__ledger_charge(last, 9), 0);
    ebb_fake.fail_at = 1;
    ebb_fake.fail_forever = true;
    EXPECT_EQ(ebb__ledger_create(NULL, "x", EBB_BUDGET_SLACK, &account), -ENOMEM);
    EXPECT_EQ(ebb__ledger_charge_credit(last, 100), 0); /* the same for the chunk of threads */
    EXPECT_EQ(ebb__ledger_used(last), 109);
    EXPECT_EQ(whole().credit_threads, 0);
    ebb_fake.fail_at = 0;
    ebb_fake.fail_forever = false;
    EXPECT(made(NULL, "x") != NULL);
    EXPECT_WHOLE();
}

static void little_address_space_gives_a_small_table(void)
{
    struct ebb_budget_account *account;
    unsigned count = 0;
    ebb_fake.as_bytes = MIB(31);
    while (ebb__ledger_create(NULL, "x", EBB_BUDGET_SLACK, &account) == 0)
        count++;
    EXPECT_EQ(count, MIB(2) / KIB(64) * 256);
    EXPECT_EQ(ebb_fake.reserved_bytes, MIB(2));
    EXPECT_WHOLE();
}

static int note(const struct ebb_budget_account *account, void *context)
{
    unsigned *depth = context;
    EXPECT(stats_of(account).depth >= *depth);
    *depth = stats_of(account).depth;
    return *depth == 3 ? 77 : 0;
}

static void each_goes_from_the_top(void)
{
    unsigned depth = 0;
    EXPECT_EQ(ebb__ledger_each(note, &depth), 0);
    EXPECT_EQ(depth, 1);
    (void)made(made(made(NULL, "1"), "2"), "3");
    depth = 0;
    EXPECT_EQ(ebb__ledger_each(note, &depth), 77);
}

/* ---- the walker sees what is broken ---- */

static struct ebb_budget_account *broken;

static void break_sum(void)
{
    ledger_add(&ebb__ledger_process.taken, 1);
}
static void break_reserved(void)
{
    ledger_add(&broken->reserved, 1);
}
static void break_gate(void)
{
    atomic_store(&broken->gate, 5);
}
static void break_room(void)
{
    __atomic_store_n(&ebb__ledger_room.room, 1, __ATOMIC_RELAXED);
}
static void break_sign(void)
{
    ledger_sub(&broken->own, 1);
}
static void break_children(void)
{
    atomic_fetch_add(&ebb__ledger_cold(broken)->children, 1);
}
static void break_unspent(void)
{
    EXPECT_EQ(ebb__ledger_charge_credit(broken, 100), 0);
    ledger_add(&ebb__ledger_thread_at(0)->slots[0].unspent, 101);
}

static const struct {
    void (*breaks)(void);
    const char *names;
} BREAKS[] = {{break_sum, "L1"},  {break_reserved, "L2"}, {break_gate, "L3"},   {break_room, "L4"},
              {break_sign, "L5"}, {break_children, "L6"}, {break_unspent, "L4"}};

static void check_broken(void *arg)
{
    const size_t i = *(const size_t *)arg;
    broken = made(NULL, "broken");
    EXPECT_WHOLE();
    BREAKS[i].breaks();
    _exit(ebb__ledger_check() == -EUCLEAN ? 42 : 1);
}

static void the_walker_names_the_invariant(void)
{
    for (size_t i = 0; i < EBB_ARRAY_COUNT(BREAKS); i++) {
        struct support_outcome out = support_capture(check_broken, &i);
        EXPECT_MSG(WIFEXITED(out.status) && WEXITSTATUS(out.status) == 42 && out.lines == 1, "%zu: %s", i,
                   out.text);
        EXPECT_MSG(strstr(out.text, BREAKS[i].names) != NULL, "no %s in %s", BREAKS[i].names, out.text);
    }
}

/* ---- misuse ---- */

static void uncharge_too_much(void *arg)
{
    struct ebb_budget_account *account = made(NULL, "mine"), *child = made(account, "child");
    (void)arg;
    EXPECT_EQ(ebb__ledger_charge(account, 10), 0);
    EXPECT_EQ(ebb__ledger_charge(child, 10), 0); /* which is not the account's own */
    ebb__ledger_uncharge(account, 11);
}
static void use_a_dead_one(void *arg)
{
    struct ebb_budget_account *account = made(NULL, "mine");
    (void)arg;
    EXPECT_EQ(ebb__ledger_destroy(account), 0);
    (void)ebb__ledger_charge(account, 1);
}
static void give_to_a_dead_one(void *arg)
{
    struct ebb_budget_account *account = made(NULL, "mine");
    (void)arg;
    EXPECT_EQ(ebb__ledger_destroy(account), 0);
    ebb__ledger_uncharge(account, 1);
}
static void end_twice(void *arg)
{
    struct ebb_budget_account *account = made(NULL, "mine");
    (void)arg;
    EXPECT_EQ(ebb__ledger_destroy(account), 0);
    (void)ebb__ledger_destroy(account);
}
static void below_a_dead_one(void *arg)
{
    struct ebb_budget_account *account = made(NULL, "mine"), *child;
    (void)arg;
    EXPECT_EQ(ebb__ledger_destroy(account), 0);
    (void)ebb__ledger_create(account, "child", EBB_BUDGET_QUERY, &child);
}
static void credit_too_much(void *arg)
{
    struct ebb_budget_account *account = made(NULL, "mine");
    (void)arg;
    EXPECT_EQ(ebb__ledger_charge_credit(account, 10), 0);
    ebb__ledger_uncharge_credit(account, 11);
    ebb__ledger_thread_flush(); /* here it is seen */
}
static void heap_too_much(void *arg)
{
    (void)arg;
    EXPECT_EQ(ebb__ledger_heap_charge(1000), 0);
    ebb__ledger_heap_uncharge(MIB(100));
}

static void misuse_dies(void)
{
    EXPECT_DIES(uncharge_too_much, NULL,
                "ebb_budget_uncharge: account \"mine\" was charged for 10 bytes, not for 11");
    EXPECT_DIES(use_a_dead_one, NULL, "ebb_budget_charge: account 0x");
    EXPECT_DIES(give_to_a_dead_one, NULL, "ebb_budget_uncharge: account 0x");
    EXPECT_DIES(end_twice, NULL, "ebb_budget_destroy: account 0x");
    EXPECT_DIES(below_a_dead_one, NULL, "was destroyed");
    EXPECT_DIES(credit_too_much, NULL, "ebb_budget_uncharge_credit: account \"mine\" was charged for");
    EXPECT_DIES(heap_too_much, NULL, "ebb__ledger_heap_uncharge: account \"heap\" was charged for");
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(a_tree_adds_up),
        CASE(what_lies_in_the_heap_stops_below_it),
        CASE(errors_are_values),
        CASE(an_account_ends_when_nothing_is_left),
        CASE(names_are_copied_and_cut),
        CASE(limits_return_the_one_before),
        CASE(a_hard_limit_refuses_exactly),
        CASE(a_soft_limit_allows),
        CASE(reservations_are_drawn_on_first),
        CASE(a_peak_has_its_time),
        CASE(the_table_is_one_reservation),
        CASE(a_full_table_refuses),
        CASE(the_kernel_may_refuse),
        CASE(little_address_space_gives_a_small_table),
        CASE(each_goes_from_the_top),
        CASE(the_walker_names_the_invariant),
        CASE(misuse_dies),
    };
    return RUN_CASES(cases);
}
