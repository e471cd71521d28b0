/* SPDX-License-Identifier: MIT
 * The heap's own account over the fake kernel: its room, limits far and near, and what a charge costs in instructions. */
#include "ledger_test.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "os/fake.h"

#define INSTRUCTIONS_MAX 10

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

/* ---- instructions, by stepping through them ---- */

#if defined(__x86_64__) && !SUPPORT_TSAN && !SUPPORT_ASAN
#include <sys/user.h>

static int result;

/* What the heap's slow path would be compiled to: a call of this costs what the inline form costs, and a return. */
static __attribute__((noinline, noclone)) void probe_charge(size_t bytes)
{
    result = ebb__ledger_heap_charge(bytes);
}
static __attribute__((noinline, noclone)) void probe_uncharge(size_t bytes)
{
    ebb__ledger_heap_uncharge(bytes);
}
/* The same without the form in it. */
static __attribute__((noinline, noclone)) void probe_nothing(size_t bytes)
{
    __asm__ volatile("" ::"r"(bytes));
    result = 0;
}
static __attribute__((noinline, noclone)) void probe_empty(size_t bytes)
{
    __asm__ volatile("" ::"r"(bytes));
}

static pid_t step_child(void (*probe)(size_t))
{
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid != 0)
        return pid;
    EXPECT_EQ(ebb__ledger_heap_charge(MIB(64)), 0);
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(77);
    (void)raise(SIGSTOP);
    probe(4096);
    _exit(result != 0);
}

/* Instructions between the entry of the probe and its return, both included; 0: tracing is forbidden here. */
static unsigned count_instructions(void (*probe)(size_t))
{
    struct user_regs_struct regs;
    unsigned long entry = (unsigned long)(uintptr_t)probe, stack = 0;
    unsigned count = 0;
    int status;
    pid_t pid = step_child(probe);
    EXPECT(waitpid(pid, &status, 0) == pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        return 0;
    for (unsigned steps = 0; steps < 100000; steps++) {
        EXPECT(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == 0 && waitpid(pid, &status, 0) == pid);
        EXPECT_MSG(WIFSTOPPED(status), "the child ended (0x%x)", (unsigned)status);
        EXPECT(ptrace(PTRACE_GETREGS, pid, NULL, &regs) == 0);
        if (regs.rip == entry)
            stack = regs.rsp;
        else if (stack == 0)
            continue;
        if (regs.rsp > stack)
            break;
        count++;
    }
    EXPECT(stack != 0 && ptrace(PTRACE_KILL, pid, NULL, NULL) == 0 && waitpid(pid, &status, 0) == pid);
    return count;
}

static void a_charge_takes_ten_instructions_at_most(void)
{
    unsigned charge = count_instructions(probe_charge), uncharge = count_instructions(probe_uncharge);
    unsigned nothing = count_instructions(probe_nothing), empty = count_instructions(probe_empty);
    if (charge == 0) {
        print_message("tracing is forbidden here\n");
        return;
    }
    print_message("charge %u, uncharge %u instructions\n", charge - nothing, uncharge - empty);
    EXPECT(charge > nothing && charge - nothing <= INSTRUCTIONS_MAX);
    EXPECT(uncharge > empty && uncharge - empty <= INSTRUCTIONS_MAX);
}
#else
static void a_charge_takes_ten_instructions_at_most(void)
{
    print_message("not counted in this build\n");
}
#endif

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
        CASE(a_charge_takes_ten_instructions_at_most),
    };
    return RUN_CASES(cases);
}
