/* SPDX-License-Identifier: MIT
 *
 * A thread is interrupted in the middle of what it does in the ledger, at every instant that others can see, and meanwhile
 * another one does something that must not depend on that: bytes on their way are somebody's, and nobody is refused because
 * of them. Others see what is written to memory, so it is after each instruction that writes there.
 *
 * For each instruction there is a child with two threads. One stops before the work; this process has it execute so many
 * instructions and then leaves it where it is, as a busy machine would. The other one is told to go. Only when it has been
 * at it for a while without a result does the first one go on.
 */
#include "ledger_test.h"

#include <poll.h>
#include <pthread.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

/* Sanitizers and builds without optimisation have instructions of their own, too many. */
#if defined(__x86_64__) && defined(__OPTIMIZE__) && !SUPPORT_TSAN && !SUPPORT_ASAN
#define CAN_STEP 1
#include <sys/user.h>
#else
#define CAN_STEP 0
#endif

#define LEFT_FOR_MS 2

static struct ebb_budget_account *above, *account, *other;
static size_t before_bytes;

struct scene {
    const char *what;
    void (*prepare)(void); /* by the thread that will be interrupted, as the next */
    void (*work)(void);
    bool (*meanwhile)(void);
};

static void limit_process(size_t bytes)
{
    limited(&ebb__ledger_process, EBB_BUDGET_HARD, bytes);
}

/* ---- credits ---- */

static void have_a_credit(void)
{
    EXPECT_EQ(ebb__ledger_charge_credit(account, 1000), 0);
    limit_process(KIB(64));
}
static bool can_have_what_is_unspent(void)
{
    return ebb__ledger_charge(other, KIB(64) - 1000) == 0;
}

static void have_a_full_credit(void)
{
    EXPECT_EQ(ebb__ledger_charge(account, KIB(512)), 0);
    for (unsigned i = 0; i < 4; i++)
        ebb__ledger_uncharge_credit(account, KIB(64));
    limit_process(KIB(512));
}
static void put_back_more(void)
{
    ebb__ledger_uncharge_credit(account, 1024);
}
static bool can_have_the_full_credit(void)
{
    return ebb__ledger_charge(other, KIB(256)) == 0;
}

static void have_a_block(void)
{
    EXPECT_EQ(ebb__ledger_charge_credit(other, 1), 0);
    ebb__ledger_uncharge_credit(other, 1);
    ebb__ledger_thread_flush();
    limit_process(MIB(4));
}
static void be_granted_a_credit(void)
{
    EXPECT_EQ(ebb__ledger_charge_credit(account, 1000), 0);
}
static bool can_have_what_is_not_granted(void)
{
    return ebb__ledger_charge(other, MIB(4) - 1000) == 0;
}

/* ---- the heap ---- */

static void have_some_room(void)
{
    EXPECT_EQ(ebb__ledger_heap_charge(MIB(1)), 0);
    EXPECT(whole().room_bytes != 0);
    limit_process(MIB(2));
}
static void ask_the_heap_for_too_much(void)
{
    EXPECT_EQ(ebb__ledger_heap_charge(MIB(3)), -ENOMEM);
}
static bool can_have_the_room(void)
{
    return ebb__ledger_charge(other, MIB(1)) == 0;
}

static void have_no_room(void)
{
    limit_process(MIB(64));
}
static void take_a_chunk(void)
{
    EXPECT_EQ(ebb__ledger_heap_charge(1000), 0);
}
static bool can_have_the_chunk(void)
{
    return ebb__ledger_charge(other, MIB(64) - 1000) == 0;
}

static void have_much_room(void)
{
    EXPECT_EQ(ebb__ledger_heap_charge(MIB(64)), 0);
    ebb__ledger_heap_uncharge(KIB(200));
    before_bytes = whole().room_bytes;
    EXPECT(before_bytes > KIB(200));
    limit_process(ledger_get(&ebb__ledger_process.taken));
}
static void uncharge_the_heap(void)
{
    ebb__ledger_heap_uncharge(KIB(100));
}
static bool can_have_the_former_room(void)
{
    return ebb__ledger_charge(other, before_bytes) == 0;
}

/* ---- ends of accounts ---- */

static void have_a_credit_of_nothing(void)
{
    EXPECT_EQ(ebb__ledger_charge_credit(account, 1000), 0);
    ebb__ledger_uncharge_credit(account, 1000);
}
static bool can_end_it_and_make_another(void)
{
    if (ebb__ledger_destroy(account) != 0)
        return false;
    struct ebb_budget_account *again = made(other, "again");
    EXPECT(again == account); /* else this shows little */
    return ebb__ledger_charge(again, 10) == 0;
}

/* ---- half a walk ---- */

static void limit_two_levels(void)
{
    limited(above, EBB_BUDGET_HARD, 1000);
    limited(account, EBB_BUDGET_HARD, 600);
}
static void walk_both_levels(void)
{
    int rc = ebb__ledger_charge(account, 500);
    EXPECT(rc == 0 || rc == -ENOMEM);
}
/* Where the other one has reached the first level alone it is refused at the second, and what it has added counts for nothing. */
static bool can_have_what_it_will_take_back(void)
{
    struct ebb_budget_account *beside = made(above, "beside");
    return ebb__ledger_charge_try(beside, 600) != 0 || ebb__ledger_charge(account, 400) == 0;
}

/* ---- fork ---- */

static bool fork_is_whole(void)
{
    int status;
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        ebb__ledger_after_fork();
        EXPECT_WHOLE();
        EXPECT_EQ(whole().credit_threads, 0);
        int64_t hard = ebb__ledger_limit(account, EBB_BUDGET_HARD, -1);
        EXPECT_EQ(ebb__ledger_charge(account, (size_t)hard), 0);
        EXPECT_EQ(ebb__ledger_charge(account, 1), -ENOMEM);
        _exit(0);
    }
    EXPECT(waitpid(pid, &status, 0) == pid);
    return status == 0;
}
static void have_a_limit(void)
{
    limited(account, EBB_BUDGET_HARD, 5000);
}
static void lower_the_limit(void)
{
    limited(account, EBB_BUDGET_HARD, 1000);
}
static void raise_the_limit(void)
{
    limited(account, EBB_BUDGET_HARD, 9000);
}
static void end_the_credits(void)
{
    ebb__ledger_thread_end();
}
static void have_a_limit_and_a_block(void)
{
    have_a_limit();
    EXPECT_EQ(ebb__ledger_charge_credit(other, 1), 0);
    ebb__ledger_uncharge_credit(other, 1);
}
static void *use_a_credit_and_end(void *unused)
{
    have_a_limit_and_a_block();
    ebb__ledger_thread_end();
    return unused;
}
/* So that there are blocks, and the first is not a matter of thousands of instructions. */
static void have_a_limit_and_blocks(void)
{
    pthread_t thread;
    EXPECT_EQ(pthread_create(&thread, NULL, use_a_credit_and_end, NULL), 0);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
}
static void use_the_first_credit(void)
{
    EXPECT_EQ(ebb__ledger_charge_credit(other, 1), 0);
    ebb__ledger_uncharge_credit(other, 1);
}

static const struct scene SCENES[] = {
    {"a credit goes back", have_a_credit, ebb__ledger_thread_flush, can_have_what_is_unspent},
    {"a full credit goes back", have_a_full_credit, put_back_more, can_have_the_full_credit},
    {"a credit is granted", have_a_block, be_granted_a_credit, can_have_what_is_not_granted},
    {"the heap asks for too much", have_some_room, ask_the_heap_for_too_much, can_have_the_room},
    {"the heap takes a chunk", have_no_room, take_a_chunk, can_have_the_chunk},
    {"the heap gives back", have_much_room, uncharge_the_heap, can_have_the_former_room},
    {"the credit of an account that ends", have_a_credit_of_nothing, ebb__ledger_thread_flush,
     can_end_it_and_make_another},
    {"half a walk", limit_two_levels, walk_both_levels, can_have_what_it_will_take_back},
    {"fork, a limit is lowered", have_a_limit, lower_the_limit, fork_is_whole},
    {"fork, a limit is raised", have_a_limit, raise_the_limit, fork_is_whole},
    {"fork, a thread's first credit", have_a_limit_and_blocks, use_the_first_credit, fork_is_whole},
    {"fork, a thread's end", have_a_limit_and_a_block, end_the_credits, fork_is_whole},
};

/* ---- the child ---- */

static const struct scene *scene;
static int go[2], done[2]; /* pipes: to the child, from the child */

static int armed(void)
{
    return 0;
}

static __attribute__((noinline)) void probe(void)
{
    scene->work();
    __asm__ volatile("" ::: "memory"); /* no tail call: the return is seen here */
}

/* Stopped where it cannot be traced it would stop the whole process. */
static void *be_interrupted(void *arg)
{
    scene->prepare();
    if (arg != NULL) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(77);
        (void)syscall(SYS_tgkill, getpid(), gettid(), SIGSTOP);
    }
    probe();
    return NULL;
}

static void be_the_child(bool is_stepped)
{
    pthread_t thread;
    char word = 0;
    ebb__ledger_arm_end = armed;
    above = made(NULL, "above");
    account = made(above, "account");
    other = made(NULL, "other");
    EXPECT_EQ(pthread_create(&thread, NULL, be_interrupted, is_stepped ? &thread : NULL), 0);
    if (is_stepped)
        EXPECT(read(go[0], &word, 1) == 1);
    else
        EXPECT_EQ(pthread_join(thread, NULL), 0);
    word = scene->meanwhile() ? 'y' : 'n';
    EXPECT(write(done[1], &word, 1) == 1);
    if (is_stepped)
        EXPECT_EQ(pthread_join(thread, NULL), 0);
    EXPECT_WHOLE();
    _exit(0);
}

static pid_t start_child(bool is_stepped)
{
    (void)fflush(NULL);
    EXPECT(pipe(go) == 0 && pipe(done) == 0);
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0)
        be_the_child(is_stepped);
    (void)close(go[0]);
    (void)close(done[1]);
    return pid;
}

/* 'y', 'n', or 0: none within that time. */
static char result_within(int ms)
{
    char word = 0;
    struct pollfd fd = {.fd = done[0], .events = POLLIN};
    return poll(&fd, 1, ms) == 1 && read(done[0], &word, 1) == 1 ? word : 0;
}

static int end_of(pid_t pid)
{
    int status;
    while (waitpid(-1, &status, __WALL) != pid) /* of the traced thread, too */
        ;
    (void)close(go[1]);
    (void)close(done[0]);
    return status;
}

#if CAN_STEP

enum steps { STEPPED, WORK_IS_OVER, FORBIDDEN };

/* Locked instructions, exchanges, and plain stores, by the byte after the prefix that extends registers. */
static bool writes_memory(pid_t thread, unsigned long at)
{
    unsigned long bytes = (unsigned long)ptrace(PTRACE_PEEKTEXT, thread, (void *)at, NULL);
    if (bytes % 256 >= 0x40 && bytes % 256 <= 0x4f)
        bytes >>= 8;
    unsigned long opcode = bytes % 256;
    bool has_memory_operand = bytes / 256 % 256 < 0xc0;
    return opcode == 0xf0 ||
           (has_memory_operand && ((opcode >= 0x86 && opcode <= 0x89) || opcode == 0xc6 || opcode == 0xc7));
}

/* Has the thread execute at least *count instructions of its work, and then on to an instant. *count becomes how many it were. */
static enum steps step(pid_t thread, unsigned *count)
{
    struct user_regs_struct regs = {0};
    unsigned long entry = (unsigned long)(uintptr_t)probe, stack = 0;
    bool is_instant = false;
    int status;
    for (unsigned steps = 0; steps < *count || !is_instant;) {
        is_instant = stack != 0 && writes_memory(thread, regs.rip);
        EXPECT(ptrace(PTRACE_SINGLESTEP, thread, NULL, NULL) == 0 &&
               waitpid(thread, &status, __WALL) == thread && WIFSTOPPED(status));
        EXPECT(ptrace(PTRACE_GETREGS, thread, NULL, &regs) == 0);
        if (regs.rip == entry)
            stack = regs.rsp;
        if (stack != 0 && regs.rsp > stack)
            return WORK_IS_OVER;
        if (stack != 0 && ++steps > *count && is_instant)
            *count = steps;
    }
    return STEPPED;
}

static enum steps interrupt_after(unsigned *count)
{
    int status;
    pid_t pid = start_child(true), thread = waitpid(-1, &status, __WALL);
    EXPECT(thread > 0);
    if (thread == pid) { /* it has ended: with a message, or it may not be traced */
        EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 77);
        return FORBIDDEN;
    }
    enum steps steps = step(thread, count);
    EXPECT(write(go[1], "", 1) == 1);
    char result = result_within(LEFT_FOR_MS);
    EXPECT(ptrace(PTRACE_DETACH, thread, NULL, NULL) == 0);
    if (result == 0)
        result = result_within(-1);
    status = end_of(pid);
    EXPECT_MSG(result == 'y' && status == 0, "%s: interrupted after %u instructions: '%c', 0x%x", scene->what,
               *count, result, (unsigned)status);
    return steps;
}

static void at_each_instant(void)
{
    for (size_t i = 0; i < EBB_ARRAY_COUNT(SCENES); i++) {
        enum steps steps = STEPPED;
        unsigned instants = 0;
        scene = &SCENES[i];
        for (unsigned count = 0; steps == STEPPED; count++, instants++)
            steps = interrupt_after(&count);
        if (steps == FORBIDDEN) {
            print_message("tracing is forbidden here\n");
            return;
        }
        print_message("%-36s %3u instants\n", scene->what, instants);
        EXPECT(instants > 3);
    }
}
#else
static void at_each_instant(void)
{
    for (size_t i = 0; i < EBB_ARRAY_COUNT(SCENES); i++) {
        scene = &SCENES[i];
        pid_t pid = start_child(false);
        EXPECT_MSG(result_within(-1) == 'y', "%s", scene->what);
        EXPECT_EQ(end_of(pid), 0);
    }
    print_message("not interrupted in this build\n");
}
#endif

int main(void)
{
    const struct CMUnitTest cases[] = {CASE(at_each_instant)};
    return RUN_CASES(cases);
}
