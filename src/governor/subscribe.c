/* SPDX-License-Identifier: MIT
 *
 * Who is told of memory pressure, and of what.
 *
 * The newest note. Posted by the background thread, which must never wait, read by anybody: the last four notes lie in a ring of
 * words, and the number of the newest is stored last. Who reads looks at that number again afterwards; the note that he took is
 * whole as long as fewer than three have come since, which at 20 ms between notes he seldom finds otherwise. So neither
 * waits for the other, not even for one that was interrupted in the middle.
 *
 * Subscriptions. A table of 64. One thread delivers (messenger.c), in rounds: each subscriber is told of the note that is the newest
 * when his turn comes, if it is of his least level, or if he was told of that level before and it says that it is over.
 * What came while he was busy is merged in that way; no note is told twice, and none out of order. The bell is rung for
 * whoever sleeps, after the note is there.
 *
 * `inside` is 0, or the slot whose callback runs, from 1; its highest bit says that somebody sleeps until that is over. It becomes
 * other than 0 only under the lock, while the slot is in use: so who takes a slot out under the lock, and then sees another number,
 * knows that the callback does not run and will not.
 *
 * Invariants (ebb__subs_check)
 *   U1  the count is that of slots in use
 *   U2  who is inside is in use, or leaving
 *   U3  nobody was told of a note that is not there yet
 *
 * Locking: one leaf lock for the table, held for some loads and stores, never while anything of the program's runs. Failure:
 * descriptors of the program's may be closed or become something else; see ebb__subs_deliver(). Fork: the child has no
 * subscriptions and no notes.
 */
#include <limits.h>
#include <linux/futex.h>
#include <time.h>

#include "base/syscall.h"
#include "governor/governor_priv.h"

#define SUBSCRIBERS_MAX 64u
#define RING            4u
#define SOMEBODY_WAITS  (UINT32_C(1) << 31)
#define NAP_NS          100000000L /* a sleep lasts that long at most: a wake that a fork lost is made up for */

/* ---- the newest note ---- */

#define WORDS (sizeof(struct ebb_pressure_note) / sizeof(uint64_t))

EBB_STATIC_ASSERT(sizeof(struct ebb_pressure_note) % sizeof(uint64_t) == 0, "a note is whole words");

static _Atomic uint64_t ring[RING][WORDS];
static _Atomic uint64_t newest; /* its serial */

void ebb__subs_post(const struct ebb_pressure_note *note)
{
    uint64_t words[WORDS], serial = atomic_load_explicit(&newest, memory_order_relaxed) + 1;
    struct ebb_pressure_note copy = *note;
    copy.size_of_struct = sizeof(copy);
    copy.serial = serial;
    memcpy(words, &copy, sizeof(words));
    for (unsigned i = 0; i < WORDS;
         i++) /* release: who sees a word of this note sees the number of the one before */
        atomic_store_explicit(&ring[serial % RING][i], words[i], memory_order_release);
    atomic_store(&newest, serial); /* pairs with the load in ebb__subs_last() */
    ebb__messenger_ring();
}

void ebb__subs_last(struct ebb_pressure_note *ret_note)
{
    uint64_t words[WORDS], serial;
    do {
        serial = atomic_load(&newest);
        for (unsigned i = 0; i < WORDS; i++)
            words[i] = atomic_load_explicit(&ring[serial % RING][i], memory_order_acquire);
    } while (atomic_load(&newest) - serial >= RING - 1);
    memcpy(ret_note, words, sizeof(words));
    if (serial == 0)
        *ret_note = (struct ebb_pressure_note){.size_of_struct = sizeof(*ret_note), .cause = "nothing"};
}

/* ---- the table ---- */

enum use { FREE, USED, LEAVING };

/* Under the lock. */
struct slot {
    enum use use;
    uint32_t generation;
    struct ebb_pressure_subscriber is;
    struct ebb_os_file file; /* that event_fd was when it came */
    uint64_t told;           /* the newest note that was told, or passed over */
    enum ebb_budget_level told_level;
};

static struct slot slots[SUBSCRIBERS_MAX];
static struct ebb_lock table_lock = EBB_LOCK_INIT(EBB_RANK_SUBSCRIBERS);
static _Atomic uint32_t count; /* of slots in use */
static _Atomic uint32_t inside;
static uint32_t
    forks; /* of ancestors: changes in the child, where a callback may return that began in the parent */

uint32_t ebb__subs_count(void)
{
    return atomic_load(&count);
}

bool ebb__subs_is_telling(void)
{
    return atomic_load(&inside) != 0;
}

static int number_of(const struct slot *s)
{
    return (int)(s->generation % ((uint32_t)INT_MAX / SUBSCRIBERS_MAX - 1) * SUBSCRIBERS_MAX +
                 (uint32_t)(s - slots) + 1);
}

static struct slot *of_number(int number)
{
    if (number < 1)
        return NULL;
    struct slot *s = &slots[(uint32_t)(number - 1) % SUBSCRIBERS_MAX];
    return s->use == USED && number_of(s) == number ? s : NULL;
}

static uint32_t mark_of(const struct slot *s)
{
    return (uint32_t)(s - slots) + 1;
}

int ebb__subs_add(const struct ebb_pressure_subscriber *subscriber)
{
    int number = -ENOSPC;
    struct ebb_os_file file = {0};
    struct ebb_pressure_note last;
    if (subscriber->size_of_struct != sizeof(*subscriber) ||
        (unsigned)subscriber->least_level > EBB_LEVEL_RED)
        return -EINVAL;
    if (subscriber->callback == NULL && ebb__os_fd_file(subscriber->event_fd, &file) != 0)
        return -EBADF;
    ebb__subs_last(&last);
    ebb__lock_take(&table_lock);
    for (unsigned i = 0; i < SUBSCRIBERS_MAX && number < 0; i++) {
        struct slot *s = &slots[i];
        if (s->use != FREE)
            continue;
        *s = (struct slot){.use = USED, .generation = s->generation + 1, .is = *subscriber, .file = file};
        s->told = last.level == EBB_LEVEL_GREEN ? last.serial : 0; /* green is no news */
        atomic_fetch_add(&count, 1);
        number = number_of(s);
    }
    ebb__lock_release(&table_lock);
    return number;
}

/* ---- telling ---- */

/* The slot's turn: whether it is to be told of this note. Then *ret_is is who, and he is inside. */
static bool enter(struct slot *s, const struct ebb_pressure_note *note,
                  struct ebb_pressure_subscriber *ret_is, struct ebb_os_file *ret_file)
{
    bool tell = false;
    ebb__lock_take(&table_lock);
    if (s->use == USED && s->told < note->serial) {
        enum ebb_budget_level least = s->is.least_level;
        tell = note->level >= least || s->told_level >= least;
        s->told = note->serial;
        if (tell) {
            s->told_level = note->level;
            *ret_is = s->is;
            *ret_file = s->file;
            atomic_store(&inside, mark_of(s));
        }
    }
    ebb__lock_release(&table_lock);
    return tell;
}

static void leave(void)
{
    if ((atomic_exchange(&inside, 0) & SOMEBODY_WAITS) != 0)
        (void)ebb__syscall(EBB_SYS_futex, (long)&inside, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX, 0, 0, 0);
}

/* A descriptor that is full has been told already. One that was closed, or is another file, tells nobody any more: it is the
 * program's, which may do so, and a wrong file must not be written to. */
void ebb__subs_deliver(void)
{
    uint32_t life = forks;
    for (unsigned i = 0; i < SUBSCRIBERS_MAX && ebb__subs_count() != 0; i++) {
        struct ebb_pressure_subscriber is;
        struct ebb_pressure_note note;
        struct ebb_os_file file;
        ebb__subs_last(&note);
        if (!enter(&slots[i], &note, &is, &file))
            continue;
        if (is.callback != NULL)
            is.callback(&note, is.context);
        else
            (void)ebb__os_fd_ring(is.event_fd, &file);
        if (forks != life)
            return;
        EBB_COUNT(pressure_notes, 1);
        leave();
    }
}

/* ---- leaving ---- */

static void sleep_until_out(uint32_t in)
{
    const struct timespec nap = {.tv_nsec = NAP_NS};
    if ((in & SOMEBODY_WAITS) == 0 && !atomic_compare_exchange_strong(&inside, &in, in | SOMEBODY_WAITS))
        return;
    (void)ebb__syscall(EBB_SYS_futex, (long)&inside, FUTEX_WAIT | FUTEX_PRIVATE_FLAG,
                       (long)(in | SOMEBODY_WAITS), (long)&nap, 0, 0);
}

int ebb__subs_remove(int number)
{
    bool is_messenger = ebb__os_thread_id() == ebb__messenger_thread_id();
    ebb__lock_take(&table_lock);
    struct slot *s = of_number(number);
    bool am_inside = s != NULL && is_messenger && (atomic_load(&inside) & ~SOMEBODY_WAITS) == mark_of(s);
    if (s != NULL && !am_inside)
        s->use = LEAVING;
    ebb__lock_release(&table_lock);
    if (s == NULL || am_inside)
        return s == NULL ? -ENOENT : -EDEADLK;
    for (uint32_t in = atomic_load(&inside); (in & ~SOMEBODY_WAITS) == mark_of(s); in = atomic_load(&inside))
        sleep_until_out(in);
    ebb__lock_take(&table_lock);
    s->use = FREE;
    ebb__lock_release(&table_lock);
    atomic_fetch_sub(&count, 1);
    return 0;
}

/* ---- check and fork ---- */

int ebb__subs_check(void)
{
    uint32_t used = 0, in = atomic_load(&inside) & ~SOMEBODY_WAITS;
    for (unsigned i = 0; i < SUBSCRIBERS_MAX; i++) {
        bool in_use = slots[i].use != FREE;
        used += in_use;
        EBB_HOLDS("U3", !in_use || slots[i].told <= atomic_load(&newest), i, slots[i].told);
    }
    EBB_HOLDS("U1", used == ebb__subs_count(), used, ebb__subs_count());
    EBB_HOLDS("U2", in == 0 || (in <= SUBSCRIBERS_MAX && slots[in - 1].use != FREE), in, used);
    return 0;
}

void ebb__subs_after_fork(void)
{
    ebb__lock_reset(&table_lock);
    for (unsigned i = 0; i < SUBSCRIBERS_MAX; i++)
        slots[i].use = FREE;
    atomic_store(&count, 0);
    atomic_store(&inside, 0);
    atomic_store(&newest, 0);
    forks++;
}
