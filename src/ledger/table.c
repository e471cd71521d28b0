/* SPDX-License-Identifier: MIT
 *
 * Where accounts and threads' credits lie: chunks of 64 KiB of one reservation, and their free lists.
 *
 *     base   | 256 hot parts | 256 cold parts | 256 threads | 256 hot ... | not committed
 *            `------- chunk of accounts ------'-- chunk of --'
 *                                               threads
 *
 * The committed part grows by chunks and never shrinks, so a pointer to an account or a block leads to an account or a
 * block for ever: readers that come late see a dead one, not a fault. Failure: without the reservation or the next chunk
 * there is none to be had; everything that is there goes on. The reservation is tried again each time.
 */
#include "ledger/ledger_priv.h"

#define CHUNK_BYTES          EBB_KIB(64)
#define CHUNK_ENTRIES        256u
#define HOT_BYTES            (CHUNK_ENTRIES * sizeof(struct ebb_budget_account))
#define RESERVED_BYTES       EBB_MIB(32)
#define RESERVED_BYTES_SMALL EBB_MIB(2)
#define CHUNKS_MAX           (RESERVED_BYTES / CHUNK_BYTES)
#define RESERVED_ALIGN       EBB_MIB(2) /* the least that the kernel's door takes */
#define STATIC_ACCOUNTS      3u
#define STATIC_COLD          (STATIC_ACCOUNTS + 1u) /* and the dead's, whom only misuse charges */
EBB_STATIC_ASSERT(HOT_BYTES + CHUNK_ENTRIES * sizeof(struct ledger_cold) == CHUNK_BYTES,
                  "accounts fill their chunk");
EBB_STATIC_ASSERT(CHUNK_ENTRIES * sizeof(struct ledger_thread) == CHUNK_BYTES, "threads fill their chunk");

struct ebb_lock ebb__ledger_lock = EBB_LOCK_INIT(EBB_RANK_LEDGER);

static _Atomic(char *) base;       /* NULL: nothing is reserved */
static size_t reserved, committed; /* chunks, under the lock */

/* Chunks of each kind, in the order in which they were committed. Written under the lock; release, pairs with the acquire of
 * readers: the chunk is there before its number is. */
struct kind {
    uint16_t chunks[CHUNKS_MAX];
    _Atomic uint32_t count;
};
static struct kind accounts, threads;

static struct ebb_budget_account *free_accounts;
static struct ledger_thread *free_threads;

static struct ebb_budget_account *const fixed[STATIC_COLD] = {&ebb__ledger_process, &ebb__ledger_heap,
                                                              &ebb__ledger_untracked, &ebb__ledger_dead};
static struct ledger_cold cold_of_static[STATIC_COLD] = {
    {.name = "process", .soft = EBB_BUDGET_UNLIMITED, .children = 2, .account_class = EBB_BUDGET_QUERY},
    {.name = "heap", .soft = EBB_BUDGET_UNLIMITED, .depth = 1, .account_class = EBB_BUDGET_SLACK},
    {.name = "untracked", .soft = EBB_BUDGET_UNLIMITED, .depth = 1},
};

static int index_of_static(const struct ebb_budget_account *account)
{
    for (int i = 0; i < (int)STATIC_COLD; i++)
        if (account == fixed[i])
            return i;
    return -1;
}

/* What lies in the table has its cold part in the same chunk: chunks are aligned to their size. */
struct ledger_cold *ebb__ledger_cold(const struct ebb_budget_account *account)
{
    int fixed_index = index_of_static(account);
    if (fixed_index >= 0)
        return &cold_of_static[fixed_index];
    size_t at = (uintptr_t)account % CHUNK_BYTES;
    char *chunk = atomic_load_explicit(&base, memory_order_relaxed);
    chunk += (size_t)((const char *)account - chunk) - at;
    return (struct ledger_cold *)(void *)(chunk + HOT_BYTES) + at / sizeof(*account);
}

/* ---- growth; under the lock ---- */

/* Where address space is short (RLIMIT_AS), a small table is better than none. */
static char *reserve(void)
{
    void *got;
    size_t bytes = RESERVED_BYTES;
    int rc = ebb__os_reserve(bytes, RESERVED_ALIGN, &got);
    if (rc != 0)
        rc = ebb__os_reserve(bytes = RESERVED_BYTES_SMALL, RESERVED_ALIGN, &got);
    if (rc != 0)
        return NULL;
    reserved = bytes / CHUNK_BYTES;
    atomic_store_explicit(&base, got, memory_order_release);
    return got;
}

static char *new_chunk(struct kind *kind)
{
    char *start = atomic_load_explicit(&base, memory_order_relaxed);
    if (start == NULL && (start = reserve()) == NULL)
        return NULL;
    if (committed == reserved)
        return NULL;
    char *chunk = start + committed * CHUNK_BYTES;
    if (ebb__os_commit(chunk, CHUNK_BYTES) != 0)
        return NULL;
    kind->chunks[atomic_load_explicit(&kind->count, memory_order_relaxed)] = (uint16_t)committed++;
    return chunk;
}

/* What is in the chunk can be seen from now on. */
static void publish(struct kind *kind)
{
    (void)atomic_fetch_add_explicit(&kind->count, 1, memory_order_release);
}

/* All of a new chunk, the lowest first on the list. Of accounts both parts are touched, of threads one line each. */
static void add_accounts(char *chunk)
{
    struct ebb_budget_account *all = (struct ebb_budget_account *)(void *)chunk;
    for (unsigned i = CHUNK_ENTRIES; i-- != 0;)
        ebb__ledger_table_free_account(&all[i]);
    publish(&accounts);
}

static void add_threads(char *chunk)
{
    struct ledger_thread *all = (struct ledger_thread *)(void *)chunk;
    for (unsigned i = CHUNK_ENTRIES; i-- != 0;) {
        all[i].lock.rank = EBB_RANK_CREDIT;
        ebb__ledger_table_free_thread(&all[i]);
    }
    publish(&threads);
}

struct ebb_budget_account *ebb__ledger_table_account(void)
{
    if (free_accounts == NULL) {
        char *chunk = new_chunk(&accounts);
        if (chunk == NULL)
            return NULL;
        add_accounts(chunk);
    }
    struct ebb_budget_account *account = free_accounts;
    free_accounts = ebb__ledger_cold(account)->next_free;
    return account;
}

struct ledger_thread *ebb__ledger_table_thread(void)
{
    if (free_threads == NULL) {
        char *chunk = new_chunk(&threads);
        if (chunk == NULL)
            return NULL;
        add_threads(chunk);
    }
    struct ledger_thread *thread = free_threads;
    free_threads = thread->next_free;
    return thread;
}

void ebb__ledger_table_free_account(struct ebb_budget_account *account)
{
    atomic_store_explicit(&account->parent, &ebb__ledger_dead, memory_order_relaxed);
    ebb__ledger_cold(account)->next_free = free_accounts;
    free_accounts = account;
}

void ebb__ledger_table_free_thread(struct ledger_thread *thread)
{
    atomic_store_explicit(&thread->in_use, 0, memory_order_relaxed);
    thread->next_free = free_threads;
    free_threads = thread;
}

/* ---- looking; without the lock ---- */

static char *entry_at(const struct kind *kind, size_t i, size_t bytes)
{
    if (i / CHUNK_ENTRIES >= atomic_load_explicit(&kind->count, memory_order_acquire))
        return NULL;
    return atomic_load_explicit(&base, memory_order_relaxed) + kind->chunks[i / CHUNK_ENTRIES] * CHUNK_BYTES +
           i % CHUNK_ENTRIES * bytes;
}

struct ebb_budget_account *ebb__ledger_account_at(size_t i)
{
    if (i < STATIC_ACCOUNTS)
        return fixed[i];
    return (struct ebb_budget_account *)(void *)entry_at(&accounts, i - STATIC_ACCOUNTS,
                                                         sizeof(struct ebb_budget_account));
}

struct ledger_thread *ebb__ledger_thread_at(size_t i)
{
    return (struct ledger_thread *)(void *)entry_at(&threads, i, sizeof(struct ledger_thread));
}

size_t ebb__ledger_table_bytes(void)
{
    return ((size_t)atomic_load_explicit(&accounts.count, memory_order_relaxed) +
            atomic_load_explicit(&threads.count, memory_order_relaxed)) *
           CHUNK_BYTES;
}

/* A chunk that was being made is lost; whoever is not alive goes back on a list. */
void ebb__ledger_table_rebuild(void)
{
    struct ebb_budget_account *account;
    struct ledger_thread *thread;
    free_accounts = NULL;
    free_threads = NULL;
    for (size_t i = STATIC_ACCOUNTS; (account = ebb__ledger_account_at(i)) != NULL; i++)
        if (ledger_parent(account) == &ebb__ledger_dead)
            ebb__ledger_table_free_account(account);
    for (size_t i = 0; (thread = ebb__ledger_thread_at(i)) != NULL; i++)
        if (atomic_load(&thread->in_use) == 0)
            ebb__ledger_table_free_thread(thread);
}
