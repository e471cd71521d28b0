/* SPDX-License-Identifier: MIT
 * The heap's own account over the fake kernel: its room, limits far and near. */
#include "ledger_test.h"

#include "os/fake.h"

static size_t heap_used(void)
{
    return ebb__ledger_exact(&ebb__ledger_heap);
}

static void charging_is_exact_when_asked(void)
{
    size_t sum = 0;
    for (unsigned i = 1; i < 2000; i++) {
        EXPECT_EQ(ebb__ledger_heap_charge(i * 4096), 0);
        sum += i * 4096;
        EXPECT_EQ(heap_used(), sum);
        EXPECT_EQ(ebb__ledger_exact(&ebb__ledger_process), sum);
        EXPECT(ebb__ledger_used(&ebb__ledger_heap) - sum <=
               MIB(32)); /* what is taken in advance is bounded */
    }
    EXPECT_WHOLE();
    for (unsigned i = 1; i < 2000; i++) {
        ebb__ledger_heap_uncharge(i * 4096);
        sum -= i * 4096;
        EXPECT_EQ(heap_used(), sum);
    }
    EXPECT(ebb__ledger_used(&ebb__ledger_heap) <= MIB(32));
    EXPECT_WHOLE();
    size_t room = whole().room_bytes;
    EXPECT(room != 0);
    EXPECT_EQ(ebb__ledger_recall(), room);
    EXPECT_EQ(ebb__ledger_used(&ebb__ledger_process), 0);
    EXPECT_WHOLE();
}

static void limits_hold_to_the_byte(struct ebb_budget_account *limited_one)
{
    EXPECT_EQ(ebb__ledger_heap_charge(MIB(1)), 0); /* room is there before the limit is */
    limited(limited_one, EBB_BUDGET_HARD, MIB(10));
    size_t sum = MIB(1);
    while (ebb__ledger_heap_charge(4096) == 0)
        sum += 4096;
    EXPECT_EQ(sum, MIB(10));
    EXPECT_EQ(heap_used(), MIB(10));
    EXPECT_EQ(ledger_get(&limited_one->taken), MIB(10));
    EXPECT_EQ(ebb__ledger_heap_try(1), -ENOMEM);
    EXPECT_EQ(stats_of(limited_one).refusals, 1);
    ebb__ledger_heap_uncharge(4096);
    EXPECT_EQ(ebb__ledger_heap_charge(4097), -ENOMEM);
    EXPECT_EQ(ebb__ledger_heap_try(4096), 0);
    ebb__ledger_heap_force(MIB(2)); /* what is there already is counted */
    EXPECT_EQ(heap_used(), MIB(12));
    EXPECT_EQ(ebb__ledger_heap_charge(1), -ENOMEM);
    ebb__ledger_heap_uncharge(MIB(3));
    EXPECT_EQ(ebb__ledger_heap_charge(MIB(1)), 0);
    EXPECT_EQ(ebb__ledger_heap_charge(1), -ENOMEM);
    limited(limited_one, EBB_BUDGET_HARD, (size_t)EBB_BUDGET_UNLIMITED);
    EXPECT_EQ(ebb__ledger_heap_charge(MIB(100)), 0);
    EXPECT_EQ(heap_used(), MIB(110));
    EXPECT_WHOLE();
}

static void the_heap_has_a_limit(void)
{
    limits_hold_to_the_byte(&ebb__ledger_heap);
}

static void the_process_has_a_limit(void)
{
    limits_hold_to_the_byte(&ebb__ledger_process);
}

static void a_limit_below_what_is_used_stops_at_once(void)
{
    EXPECT_EQ(ebb__ledger_heap_charge(MIB(100)), 0);
    EXPECT(whole().room_bytes >= KIB(256));
    limited(&ebb__ledger_process, EBB_BUDGET_HARD, MIB(50));
    EXPECT_EQ(whole().room_bytes, 0);
    EXPECT_EQ(ebb__ledger_heap_charge(1), -ENOMEM);
    ebb__ledger_heap_uncharge(MIB(50));
    EXPECT_EQ(heap_used(), MIB(50));
    EXPECT_EQ(ebb__ledger_heap_charge(1), -ENOMEM);
    ebb__ledger_heap_uncharge(1);
    EXPECT_EQ(ebb__ledger_heap_charge(1), 0);
    EXPECT_WHOLE();
}

static void others_may_use_what_the_heap_has_not_spent(void)
{
    struct ebb_budget_account *pool = made(NULL, "pool");
    EXPECT_EQ(ebb__ledger_heap_charge(MIB(64)), 0);
    size_t room = whole().room_bytes;
    EXPECT(room >= KIB(256));
    limited(&ebb__ledger_process, EBB_BUDGET_HARD, MIB(70));
    EXPECT_EQ(ebb__ledger_charge(pool, MIB(6) + 1), -ENOMEM);
    EXPECT_EQ(ebb__ledger_charge(pool, MIB(6)), 0);
    EXPECT_EQ(whole().room_bytes, 0);
    EXPECT_EQ(ebb__ledger_heap_charge(1), -ENOMEM);
    EXPECT_WHOLE();
}

static void the_heap_is_asked_at_its_limit(void)
{
    struct giver giver = {.part = 100};
    limited(&ebb__ledger_process, EBB_BUDGET_HARD, MIB(10));
    const struct ebb_budget_shrinker shrinker = {.size_of_struct = sizeof(shrinker),
                                                 .account = &ebb__ledger_heap,
                                                 .name = "free memory",
                                                 .estimate = giver_estimate,
                                                 .shrink = giver_shrink,
                                                 .context = &giver};
    giver.account = made(NULL, "pool");
    giver.has = MIB(4);
    EXPECT_EQ(ebb__ledger_charge(giver.account, MIB(4)), 0);
    EXPECT(ebb__ledger_shrinker_add(&shrinker) > 0);
    for (unsigned i = 0; i < 10; i++)
        EXPECT_EQ(ebb__ledger_heap_charge(MIB(1)), 0);
    EXPECT_EQ(ebb__ledger_heap_charge(1), -ENOMEM);
    EXPECT(giver.asked != 0 && giver.has == 0);
    EXPECT_EQ(giver.urgency, EBB_URGENCY_HARD);
    EXPECT_EQ(stats_of(&ebb__ledger_process).reclaimed_bytes, MIB(4));
    EXPECT_WHOLE();
}

static void a_recount_is_believed(void)
{
    EXPECT_EQ(ebb__ledger_heap_charge(MIB(3)), 0);
    ebb__ledger_heap_recount(MIB(5));
    EXPECT_EQ(heap_used(), MIB(5));
    EXPECT_EQ(ebb__ledger_exact(&ebb__ledger_process), MIB(5));
    EXPECT_EQ(whole().room_bytes, 0);
    EXPECT_WHOLE();
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(charging_is_exact_when_asked),
        CASE(the_heap_has_a_limit),
        CASE(the_process_has_a_limit),
        CASE(a_limit_below_what_is_used_stops_at_once),
        CASE(others_may_use_what_the_heap_has_not_spent),
        CASE(the_heap_is_asked_at_its_limit),
        CASE(a_recount_is_believed),
    };
    return RUN_CASES(cases);
}
