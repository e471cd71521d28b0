/* SPDX-License-Identifier: MIT
 *
 * Start and fork.
 *
 * Two phases. The first allocation may come from the dynamic linker, before any constructor, when the C
 * library has no environment yet: then the heap makes its reservation and serves with the default options;
 * nothing else is touched. The constructor, first among constructors, applies EBB_MALLOC and registers the
 * fork handler. Whatever was allocated before stays valid: no option changes the layout of the heap.
 *
 * Fork. Nothing happens in the parent. In the child each module resets its locks and, where one was held,
 * rebuilds what it guards (heap/rebuild.c says why that is sound). A child that skipped the handlers (_Fork,
 * raw clone) is noticed by a waiter on a lock that nobody can release: it asks for the process id, finds
 * another one, and does the same.
 *
 * What the child loses: blocks in the caches of threads that it does not have, and blocks that such a thread
 * was handing over at the instant of the fork.
 */
#include "api/api.h"
#include "conf/conf.h"
#include "governor/governor.h"
#include "ledger/ledger.h"
#include "os/os.h"
#include "region/region.h"
#include "stats/stats.h"

static _Atomic uint32_t process;
static _Atomic bool started;

static void complain(const char *line)
{
    ebb__complain("%s", line);
}

static void after_fork(void)
{
    ebb__ledger_after_fork();
    ebb__heap_after_fork();
    ebb__cache_after_fork();
    ebb__region_after_fork();
    ebb__stats_after_fork(ebb__os_pid());
    ebb__governor_fork_child();
    atomic_store(&process, ebb__os_pid());
}

/* In the child of a fork that ran the handlers: what its thread took before is still its own. */
static void in_child(void)
{
    ebb__governor_fork_parent();
    after_fork();
}

static bool stuck(void)
{
    if (!atomic_load(&started) || atomic_load(&process) == ebb__os_pid())
        return false;
    after_fork();
    return true;
}

bool ebb__api_is_started(void)
{
    return atomic_load(&started);
}

__attribute__((destructor(101))) static void end(void)
{
    ebb__governor_end();
}

__attribute__((constructor(101))) static void start(void)
{
    if (atomic_exchange(&started, true))
        return;
    atomic_store(&process, ebb__os_pid());
    ebb__stats_start(ebb__os_pid(), ebb__os_now_ms());
    (void)ebb__conf_parse(ebb__os_env("EBB_MALLOC"), complain);
    ebb__cache_configure();
    ebb__api_region_start();
    ebb__lock_stuck = stuck;
    (void)ebb__os_on_fork(ebb__governor_fork_prepare, ebb__governor_fork_parent, in_child);
    ebb__governor_start();
}
