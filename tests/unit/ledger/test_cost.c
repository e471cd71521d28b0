/* SPDX-License-Identifier: MIT
 *
 * What charging costs, in instructions, counted by stepping through them: the same on every run, however busy the machine is.
 *
 * A child makes the state, stops, and calls a probe; the parent has it execute one instruction after the other and counts those
 * between the probe's entry and its return. What the same probe takes with nothing in it is subtracted.
 */
#include "ledger_test.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

/* Sanitizers and builds without optimisation have instructions of their own. */
#if defined(__x86_64__) && defined(__OPTIMIZE__) && !SUPPORT_TSAN && !SUPPORT_ASAN
#define CAN_COUNT 1
#include <sys/user.h>
#else
#define CAN_COUNT 0
#endif

#define HEAP_MAX   10u  /* what the heap's slow path was promised */
#define CREDIT_MAX 40u  /* 29 by gcc 12, 37 by clang 14 */
#define CHARGE_MAX 180u /* two levels: 135 by gcc 12, 169 by clang 14 when it was 145 */
#define LEVEL_MAX  50u  /* more for each further one */

static struct ebb_budget_account *shallow, *deep;
static int result;

#define PROBE static __attribute__((noinline)) void

PROBE nothing(size_t bytes)
{
    __asm__ volatile("" ::"r"(bytes));
}
PROBE heap_charge(size_t bytes)
{
    result = ebb__ledger_heap_charge(bytes);
}
PROBE heap_uncharge(size_t bytes)
{
    ebb__ledger_heap_uncharge(bytes);
}
PROBE spend(size_t bytes)
{
    result = ebb__ledger_charge_credit(shallow, bytes);
}
PROBE put_back(size_t bytes)
{
    ebb__ledger_uncharge_credit(shallow, bytes);
}
PROBE charge_shallow(size_t bytes)
{
    result = ebb__ledger_charge(shallow, bytes);
}
PROBE charge_deep(size_t bytes)
{
    result = ebb__ledger_charge(deep, bytes);
}

#if CAN_COUNT
static void be_traced(void (*probe)(size_t))
{
    shallow = made(NULL, "shallow");
    deep = made(shallow, "deep");
    limited(&ebb__ledger_process, EBB_BUDGET_HARD, MIB(4096)); /* there are limits, and they are far */
    limited(shallow, EBB_BUDGET_HARD, MIB(1024));
    EXPECT_EQ(ebb__ledger_heap_charge(MIB(64)), 0);
    EXPECT_EQ(ebb__ledger_charge_credit(shallow, 1000), 0);
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(77);
    (void)raise(SIGSTOP);
    probe(512);
    _exit(result != 0);
}

/* 0: tracing is forbidden here. */
static unsigned count(void (*probe)(size_t))
{
    struct user_regs_struct regs;
    unsigned long entry = (unsigned long)(uintptr_t)probe, stack = 0;
    unsigned steps = 0;
    int status;
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0)
        be_traced(probe);
    EXPECT(waitpid(pid, &status, 0) == pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        return 0;
    for (;;) {
        EXPECT(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == 0 && waitpid(pid, &status, 0) == pid);
        EXPECT_MSG(WIFSTOPPED(status), "the child ended (0x%x)", (unsigned)status);
        EXPECT(ptrace(PTRACE_GETREGS, pid, NULL, &regs) == 0);
        if (regs.rip == entry)
            stack = regs.rsp;
        if (stack != 0 && regs.rsp > stack)
            break;
        steps += stack != 0;
    }
    EXPECT(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
    return steps;
}

static void charging_takes_few_instructions(void)
{
    static const struct {
        const char *what;
        void (*probe)(size_t);
        unsigned most;
    } rows[] = {
        {"heap, charge", heap_charge, HEAP_MAX},
        {"heap, uncharge", heap_uncharge, HEAP_MAX},
        {"credit, spend", spend, CREDIT_MAX},
        {"credit, put back", put_back, CREDIT_MAX},
        {"account below the process, charge", charge_shallow, CHARGE_MAX},
        {"account one level deeper, charge", charge_deep, CHARGE_MAX + LEVEL_MAX},
    };
    unsigned empty = count(nothing);
    if (empty == 0) {
        print_message("tracing is forbidden here\n");
        return;
    }
    for (size_t i = 0; i < EBB_ARRAY_COUNT(rows); i++) {
        unsigned steps = count(rows[i].probe);
        EXPECT(steps > empty);
        print_message("%-36s %3u instructions\n", rows[i].what, steps - empty);
        EXPECT_MSG(steps - empty <= rows[i].most, "%s: %u", rows[i].what, steps - empty);
    }
}
#else
static void charging_takes_few_instructions(void)
{
    void (*const probes[])(size_t) = {nothing,  heap_charge,    heap_uncharge, spend,
                                      put_back, charge_shallow, charge_deep};
    shallow = made(NULL, "shallow");
    deep = made(shallow, "deep");
    EXPECT_EQ(ebb__ledger_charge_credit(shallow, 1000), 0);
    for (size_t i = 0; i < EBB_ARRAY_COUNT(probes); i++) {
        probes[i](512);
        EXPECT_EQ(result, 0);
    }
    print_message("not counted in this build\n");
}
#endif

int main(void)
{
    const struct CMUnitTest cases[] = {CASE(charging_takes_few_instructions)};
    return RUN_CASES(cases);
}
