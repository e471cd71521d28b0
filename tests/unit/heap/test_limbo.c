/* SPDX-License-Identifier: MIT
 *
 * Real forks at the instants when a thread holds no lock of the heap but is in the middle of something: units
 * taken that nothing living covers yet, units dead that are not given back yet.
 *
 * The linker leads every call of ebb__extent_take, ebb__extent_give, ebb__chain_take and ebb__chain_give
 * through this file, and so every unmap and purge. The forked child repairs the heap as the fork handler would; then all invariants must
 * hold in it.
 */
#include "heap_test.h"

void *__real_ebb__extent_take(enum ebb_kind kind, unsigned n, unsigned align, enum ebb_room room,
                              uint64_t *ret_backed);
void *__wrap_ebb__extent_take(enum ebb_kind kind, unsigned n, unsigned align, enum ebb_room room,
                              uint64_t *ret_backed);
void __real_ebb__extent_give(void *start, unsigned n);
void __wrap_ebb__extent_give(void *start, unsigned n);
void *__real_ebb__chain_take(size_t units, unsigned align_extents, enum ebb_room room, bool *ret_clean);
void *__wrap_ebb__chain_take(size_t units, unsigned align_extents, enum ebb_room room, bool *ret_clean);
void __real_ebb__chain_give(void *start, size_t units, size_t clean_from, size_t clean_to);
void __wrap_ebb__chain_give(void *start, size_t units, size_t clean_from, size_t clean_to);
void __real_ebb__os_unmap(void *addr, size_t bytes);
void __wrap_ebb__os_unmap(void *addr, size_t bytes);
int __real_ebb__os_purge(void *addr, size_t bytes);
int __wrap_ebb__os_purge(void *addr, size_t bytes);

static bool armed;
static bool goes_on; /* the child has the thread that forks, as from a signal handler, not another one's */
static char *keeper; /* a block that must be whole in the child */

/* In the child of a thread that vanished: repair, check, use, check. */
static int child(void)
{
    ebb__heap_after_fork();
    if (atomic_load(&ebb__heap_leaving_bytes) != 0)
        return 5; /* so much less room, for ever */
    if (ebb__heap_check() != 0 || !support_kept(keeper, UNITS(70), UNITS(70), 5))
        return 1;
    for (unsigned i = 0; i < 200; i++) {
        void *p;
        if (ebb__heap_take(1 + i % EBB_USER_CLASSES, &p, 1) != 1)
            return 2;
        char *q = ebb__heap_span_alloc(UNITS(1 + i * 5), EBB_UNIT_BYTES, true);
        if (q == NULL || q[0] != 0 || q[UNITS(i * 5)] != 0)
            return 3;
    }
    return ebb__heap_check() != 0 ? 4 : 0;
}

static void fork_here(const char *where)
{
    int status;
    if (!armed)
        return;
    armed = false;
    (void)fflush(NULL);
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0 && goes_on) {
        ebb__heap_after_fork();
        return;
    }
    if (pid == 0)
        _exit(child());
    goes_on = false;
    EXPECT(waitpid(pid, &status, 0) == pid);
    EXPECT_MSG(status == 0, "fork %s: the child says 0x%x", where, (unsigned)status);
}

void *__wrap_ebb__extent_take(enum ebb_kind kind, unsigned n, unsigned align, enum ebb_room room,
                              uint64_t *ret_backed)
{
    void *p = __real_ebb__extent_take(kind, n, align, room, ret_backed);
    fork_here("after units were taken");
    return p;
}

void __wrap_ebb__extent_give(void *start, unsigned n)
{
    fork_here("before units are given");
    __real_ebb__extent_give(start, n);
}

void *__wrap_ebb__chain_take(size_t units, unsigned align_extents, enum ebb_room room, bool *ret_clean)
{
    void *p = __real_ebb__chain_take(units, align_extents, room, ret_clean);
    fork_here("after a chain was taken");
    return p;
}

void __wrap_ebb__chain_give(void *start, size_t units, size_t clean_from, size_t clean_to)
{
    fork_here("before a chain is given");
    __real_ebb__chain_give(start, units, clean_from, clean_to);
}

void __wrap_ebb__os_unmap(void *addr, size_t bytes)
{
    fork_here("before a mapping goes");
    __real_ebb__os_unmap(addr, bytes);
}

int __wrap_ebb__os_purge(void *addr, size_t bytes)
{
    fork_here("before pages go");
    return __real_ebb__os_purge(addr, bytes);
}

static void set_up(void)
{
    keeper = span(UNITS(70));
    support_fill(keeper, UNITS(70), 5);
    armed = true;
}

static void expect_forked(void)
{
    EXPECT_MSG(!armed, "the scenario did not come by a fork");
    EXPECT_HEAP_OK();
}

static void while_a_slab_is_made(void)
{
    set_up();
    (void)block(20);
    expect_forked();
}

static void while_a_slab_is_given_back(void)
{
    void *blocks[64];
    EXPECT_EQ(ebb__heap_take(ebb__class_of(1024), blocks, 32), 32);
    EXPECT_EQ(ebb__heap_take(ebb__class_of(1024), blocks + 32, 32), 32);
    set_up();
    ebb__heap_give(ebb__class_of(1024), blocks, 64, "test");
    expect_forked();
}

static void while_a_span_is_made(void)
{
    set_up();
    (void)span(UNITS(20));
    expect_forked();
}

static void while_a_span_is_given_back(void)
{
    char *p = span(UNITS(20));
    set_up();
    ebb__heap_large_free(p);
    expect_forked();
}

static void while_a_chain_is_made(void)
{
    set_up();
    (void)span(EXTENTS(5));
    expect_forked();
}

static void while_a_chain_is_given_back(void)
{
    char *p = span(EXTENTS(5));
    set_up();
    ebb__heap_large_free(p);
    expect_forked();
}

static void while_a_long_chain_is_made(void)
{
    set_up();
    (void)span(EBB_MIB(300));
    expect_forked();
}

static void while_a_long_chain_is_given_back(void)
{
    char *p = span(EBB_MIB(300));
    support_fill(p, EBB_MIB(300), 1);
    set_up();
    ebb__heap_large_free(p);
    expect_forked();
}

/* What is on its way to the kernel counts until it is there; in the child it never comes there. */
static void while_much_goes_back(bool lane, bool from_handler)
{
    char *p = lane ? ebb__heap_lane_alloc(EBB_MIB(64)) : span(EBB_MIB(64));
    EXPECT(p != NULL);
    set_up();
    goes_on = from_handler;
    ebb__heap_large_free(p);
    EXPECT_EQ(atomic_load(&ebb__heap_leaving_bytes), 0); /* in the child of a handler too */
    expect_forked();
}

static void while_a_mapping_goes(void)
{
    while_much_goes_back(true, false);
}

static void while_a_large_span_goes(void)
{
    while_much_goes_back(false, false);
}

static void in_a_handler_while_a_mapping_goes(void)
{
    while_much_goes_back(true, true);
}

static void in_a_handler_while_a_large_span_goes(void)
{
    while_much_goes_back(false, true);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(while_a_slab_is_made),
        CASE(while_a_slab_is_given_back),
        CASE(while_a_span_is_made),
        CASE(while_a_span_is_given_back),
        CASE(while_a_chain_is_made),
        CASE(while_a_chain_is_given_back),
        CASE(while_a_long_chain_is_made),
        CASE(while_a_long_chain_is_given_back),
        CASE(while_a_mapping_goes),
        CASE(while_a_large_span_goes),
        CASE(in_a_handler_while_a_mapping_goes),
        CASE(in_a_handler_while_a_large_span_goes),
    };
    small_reservations();
    return RUN_CASES(cases);
}
