/* SPDX-License-Identifier: MIT
 *
 * <ebb/budget.h>: one budget over all memory of a process: accounts with limits, and who gives way when one is met.
 *
 * An account is a byte counter with limits. Accounts form a tree; what an account holds counts in all accounts above it:
 *
 *     process ------ heap ........ (what is made of blocks of ebb_malloc: a connection, a region)
 *             |----- untracked     (measured, not charged: stacks, libraries, mappings that nobody charges)
 *             `----- yours         (what you map yourself: a pool, a shared segment)
 *
 * Caveats first
 *  - The ledger counts what it is told. Charge before you take memory, uncharge after you have given it back.
 *  - An account made below ebb_budget_heap() counts what lies in blocks of ebb's heap. The heap has charged itself for these
 *    bytes already, so such charges stop below it: they meet the limits of the account and of those between it and the heap,
 *    and change neither the heap's sum nor the process's. Everything else belongs below ebb_budget_process().
 *  - Meeting a limit calls shrinkers, in the thread that charges. So call ebb_budget_charge() and its like with no lock held
 *    that a shrinker may want. That goes for ebb_malloc() and its like too, and for malloc() where libebb-malloc.so serves: a
 *    block may need memory that the heap is not charged for yet. Freeing never calls one. Inside a shrinker, and in every other
 *    function here, nothing is ever reclaimed.
 *  - A shrinker may be called by the library's background thread, whose table of descriptors is not the program's: there, a descriptor
 *    of yours is closed, or another file. So no I/O by descriptor in a shrinker: drop what is clean, and hand what must be written
 *    first to a thread of your own. What cannot live with that subscribes instead (<ebb/pressure.h>).
 *  - Charges by credit (ebb_budget_charge_credit()) leave up to 256 KiB for each thread and account unspent; that counts as
 *    used in the limits until it is used, given back, or recalled, which happens by itself before anybody is refused.
 *  - Uncharging more than was charged ends the process with one line on standard error, "ebb: ebb_budget_uncharge: ...", as
 *    does the use of an account that was destroyed, where it is seen. Everything else that can go wrong is a return value.
 *    The library never logs and never exits.
 *  - fork(): the child has the same accounts, limits and shrinkers, and bytes in them: it holds a copy of that memory. It
 *    gives back the unspent credits of threads that it does not have.
 *
 * Thread safety: every function may be called by any thread at any time; an account must not be destroyed while others use
 * it. Not async-signal-safe. No function here allocates from the heap; making the first account reserves 32 MiB of address
 * space, of which 64 KiB are taken for each 256 accounts.
 *
 * Sizes are in bytes, times in milliseconds or nanoseconds of CLOCK_MONOTONIC. Functions that return int return 0 or -errno.
 */
#ifndef EBB_BUDGET_H
#define EBB_BUDGET_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef EBB_API
#if defined(__GNUC__)
#define EBB_API __attribute__((visibility("default")))
#else
#define EBB_API
#endif
#endif

struct ebb_budget_account;

/* ---- accounts ---- */

/* The three that are always there. Never NULL, never destroyed; usable before main(). */
EBB_API struct ebb_budget_account *ebb_budget_process(void);
EBB_API struct ebb_budget_account *ebb_budget_heap(void);
EBB_API struct ebb_budget_account *ebb_budget_untracked(void);

/* What an account's memory is for. Of two shrinkers with one price, slack gives first and essential last; below
 * EBB_URGENCY_HARD essential is not asked. */
enum ebb_budget_class { EBB_BUDGET_ESSENTIAL = 0, EBB_BUDGET_QUERY, EBB_BUDGET_CACHE, EBB_BUDGET_SLACK };

/* An account without limits below `parent` (NULL: the process). The name is copied, its first 31 bytes; NULL is "".
 * -EINVAL (class; `parent` is untracked), -E2BIG (the 17th level below the process), -ENOMEM (no memory for the table, or the
 * table is full: room for more than 100,000, or for 8,000 where address
 * space is short). Cost: a lock; a system call for each 256 accounts. */
EBB_API int ebb_budget_create(struct ebb_budget_account *parent, const char *name,
                              enum ebb_budget_class account_class, struct ebb_budget_account **ret_account);

/* Ends an account. NULL is allowed. -EBUSY while it has accounts below it, bytes, a reservation or a shrinker; -EINVAL for
 * the three that are always there. Unspent credits are recalled, they do not count; where a thread is just giving some back
 * that is waited for, up to 0.1 s. Nobody else may be using the account. */
EBB_API int ebb_budget_destroy(struct ebb_budget_account *account);

/* ---- charging ---- */

/* No charge is larger: 4 PiB, more than the memory of any machine. What is, is refused at once (-ENOMEM). A sum holds up to
 * INT64_MAX. */
#define EBB_BUDGET_CHARGE_MAX ((size_t)1 << 52)

/* Takes room for `bytes`, in the account and all above it. Over a soft limit: memory is reclaimed first, for at most 2 ms (and
 * the time that the kernel needs to take back the heap's free memory), then the charge is allowed. Over a hard limit: unspent
 * credits are recalled, memory is reclaimed, for at most 100 ms, and when that was not enough, -ENOMEM, and nothing was charged.
 * Nobody is asked for what can never fit: more than EBB_BUDGET_CHARGE_MAX, or than a hard limit on the way, is refused at once.
 * Before any other refusal, bytes that a thread was interrupted with on their way back are waited for, up to 0.1 s. What the
 * account has reserved is drawn on first. -EINVAL (the
 * heap and untracked, which nobody charges from outside). Cost: one atomic operation for each level up to the process and
 * one more, some 140 instructions. Many threads that charge small sizes should charge by credit. */
EBB_API int ebb_budget_charge(struct ebb_budget_account *account, size_t bytes);

/* Gives room back. Never fails, never reclaims, takes no lock. Dies when the account itself was charged for less. */
EBB_API void ebb_budget_uncharge(struct ebb_budget_account *account, size_t bytes);

/* The same by the calling thread's credit: it takes 64 to 256 KiB from the account at a time and spends that. Any thread
 * may uncharge what another one charged, and both ways may be mixed. Cost: some 30 instructions and one atomic operation on
 * a line of memory that no other thread touches; on what is left of the way, as above. A thread keeps credits for 8
 * accounts, those that it used last, and gives them back when it ends. Close to a limit there are no credits, and this is
 * the same as above. Uncharging too much is seen when the credit goes back to the account. */
EBB_API int ebb_budget_charge_credit(struct ebb_budget_account *account, size_t bytes);
EBB_API void ebb_budget_uncharge_credit(struct ebb_budget_account *account, size_t bytes);

/* Gives all unspent credits of the calling thread back, for a thread that will sleep long. */
EBB_API void ebb_budget_thread_flush(void);

/* Takes room under all limits without using it, so that later charges of this account (not of accounts below it) cannot be
 * refused until it is drawn; a charge that is larger holds none of it while it waits. Errors and cost as
 * ebb_budget_charge(). Several reservations of one account add up. */
EBB_API int ebb_budget_reserve(struct ebb_budget_account *account, size_t bytes);

/* Gives back what is left of the reservation, at most `bytes`. Returns how much that was. */
EBB_API size_t ebb_budget_release(struct ebb_budget_account *account, size_t bytes);

/* ---- limits ---- */

#define EBB_BUDGET_UNLIMITED INT64_MAX

enum ebb_budget_limit {
    EBB_BUDGET_MIN = 0, /* down to this nothing is reclaimed, below EBB_URGENCY_LAST; 0 at first */
    EBB_BUDGET_SOFT,    /* above it: reclaim, then allow; EBB_BUDGET_UNLIMITED at first */
    EBB_BUDGET_HARD     /* above it: reclaim, then refuse; EBB_BUDGET_UNLIMITED at first */
};

/* Sets a limit and returns the one before; a negative value asks only. -EINVAL (kind; untracked has none).
 * A limit below what is used takes nothing away: it refuses from now on. A charge that is under way in the same instant may
 * still go by the limit before. */
EBB_API int64_t ebb_budget_limit(struct ebb_budget_account *account, enum ebb_budget_limit kind,
                                 int64_t bytes);

/* ---- looking ---- */

/* What the account and those below it use, to within the unspent credits. Cost: one or two loads. */
EBB_API size_t ebb_budget_used(const struct ebb_budget_account *account);

/* The same without unspent credits: exact when nobody charges meanwhile. Cost: looks at each thread's credits. */
EBB_API size_t ebb_budget_exact(const struct ebb_budget_account *account);

/* The least room below a hard limit on the way from the account to the process; SIZE_MAX when there is none. To within
 * credits. */
EBB_API size_t ebb_budget_room(const struct ebb_budget_account *account);

/* Grows at its end in later versions: set size_of_struct = sizeof(struct ebb_budget_stats) before the call. */
struct ebb_budget_stats {
    size_t size_of_struct;
    size_t used_bytes;     /* as ebb_budget_exact() */
    size_t unspent_bytes;  /* credits of threads, not spent; the heap's own credit */
    size_t reserved_bytes; /* reserved and not drawn, accounts below included */
    size_t peak_bytes;     /* the most that was taken at once: used, unspent and reserved together */
    uint64_t peak_ms;      /* when that was, or when it was last so; 0: now */
    int64_t min_bytes;     /* the limits */
    int64_t soft_bytes;
    int64_t hard_bytes;
    uint64_t
        soft_hits; /* charges that met this account's soft limit; for 0.1 s after nobody gave none does */
    uint64_t hard_hits;       /* charges that met this account's hard limit */
    uint64_t refusals;        /* of those, refused */
    uint64_t reclaimed_bytes; /* that shrinkers gave because of this account's limits */
    unsigned children;        /* accounts directly below; a count */
    unsigned depth;           /* 0: the process */
    enum ebb_budget_class account_class;
    char name[32];
};

/* Fills *ret_stats. 0, or -EINVAL when size_of_struct is unknown. Takes no lock. */
EBB_API int ebb_budget_stats(const struct ebb_budget_account *account, struct ebb_budget_stats *ret_stats);

/* Walks the whole ledger and checks every invariant. 0, or -EUCLEAN after one line on standard error that names the broken
 * one. Stops nobody: call it when nobody charges. */
EBB_API int ebb_budget_check(void);

/* ---- giving way ---- */

enum ebb_budget_urgency {
    EBB_URGENCY_EARLY = 0, /* nobody waits for it */
    EBB_URGENCY_SOFT, /* a charge met a soft limit: what is cheap and fast. Up to the deadline a shrinker that is busy is waited for */
    EBB_URGENCY_HARD, /* a charge will be refused otherwise. A shrinker that is busy is waited for as well */
    EBB_URGENCY_LAST /* the process will be killed otherwise: minima do not hold any more, and nobody is waited for */
};

/* Somebody who can give memory back. Copied by ebb_budget_shrinker_add(), except what the pointers lead to. */
struct ebb_budget_shrinker {
    size_t size_of_struct; /* sizeof(struct ebb_budget_shrinker) */
    struct ebb_budget_account *
        account; /* whose memory it is; NULL: the process. Asked for the limits of this account and those above */
    const char *name; /* must stay; for statistics */
    unsigned
        price; /* cheapest first. 0 free memory of the heap and 100 idle regions are the library's own; 200 clean cold frames, 300 dirty ones */
    /* About how many bytes it could give now; 0: it is not asked. Must be quick and must not block. */
    size_t (*estimate)(void *context);
    /* Gives back about `bytes`, less when CLOCK_MONOTONIC reaches `deadline_ns`, and uncharges them. Returns what it gave,
     * 0 when it cannot. Called by any thread that charges or allocates, and by the library's own, which has none of the program's
     * descriptors; never by two at once and never from inside itself. May charge, uncharge, allocate and free; none of that reclaims. It
     * must return: a thread that ends, is cancelled or jumps out inside (of this or of estimate) keeps it busy for ever, and
     * ebb_budget_shrinker_remove() then waits for ever. Must not wait for a lock that a thread may hold while it charges: try
     * it, and give less. */
    size_t (*shrink)(void *context, size_t bytes, enum ebb_budget_urgency urgency, uint64_t deadline_ns);
    void *context;
};

/* Returns the shrinker's number, 1 or more; -EINVAL (size_of_struct, no functions, untracked), -ENOSPC (64 are registered,
 * our own two included). */
EBB_API int ebb_budget_shrinker_add(const struct ebb_budget_shrinker *shrinker);

/* Takes it out and waits until nobody is inside: after that its context may go. -ENOENT (no such number), -EDEADLK (called from
 * inside itself). Do not call it with a lock held that the shrinker may wait for. */
EBB_API int ebb_budget_shrinker_remove(int number);

/* Sets the price and returns the one before; a negative value asks. -ENOENT (no such number), -EINVAL (above UINT32_MAX). */
EBB_API int64_t ebb_budget_shrinker_price(int number, int64_t price);

/* Asks the shrinkers of `account` (NULL: the process) and of accounts below it, cheapest first, until `bytes` have been
 * given or CLOCK_MONOTONIC has reached `deadline_ns` (0: each is asked once and none is waited for). Returns what was
 * given; 0 inside a shrinker. */
EBB_API size_t ebb_budget_reclaim(struct ebb_budget_account *account, size_t bytes,
                                  enum ebb_budget_urgency urgency, uint64_t deadline_ns);

/* How near the process is to its end by memory, by whoever watches that (the governor). Cost: one load. */
enum ebb_budget_level { EBB_LEVEL_GREEN = 0, EBB_LEVEL_YELLOW, EBB_LEVEL_ORANGE, EBB_LEVEL_RED };
EBB_API enum ebb_budget_level ebb_budget_level(void);

#ifdef __cplusplus
}
#endif

#endif
