/* SPDX-License-Identifier: MIT
 *
 * Door of floor 5: who looks after the heap, and when.
 *
 * A background thread, started when there is something for it to do: never before the constructor ran, never on behalf of
 * the dynamic linker or the C library, not in a small process with one thread. It ticks while there is work and sleeps for
 * good when there is none. Floors below set a bit in ebb__heap_upkeep; floor 6 calls serve() on its way out of a slow path.
 * Without the thread (option bg:0, or the system refuses one) slow paths do a bounded piece of the work themselves.
 *
 * Thread safety: any thread. errno is kept.
 */
#ifndef EBB_GOVERNOR_H
#define EBB_GOVERNOR_H

#include "base/base.h"
#include "ebb/pressure.h"
#include "heap/heap.h"

/* From the constructor, after the options are known. */
void ebb__governor_start(void);

/* From the destructor: the process ends in good order. */
void ebb__governor_end(void);

/* Around fork: before; after, in the parent, and in the child first of all; in a child also when fork's handlers were not run. */
void ebb__governor_fork_prepare(void);
void ebb__governor_fork_parent(void);
void ebb__governor_fork_child(void);

/* Gives back all that is free, in every thread's cache too, down to keep_bytes. Returns the bytes of pages given back. */
size_t ebb__governor_trim(size_t keep_bytes);

/* A block was refused: has the calling thread's own cache emptied, which nobody else can reach while it works. True: ask again.
 * pre: outside of every operation on a cache */
bool ebb__governor_rescue(void);

/* The thread's id in the kernel; 0 when there is none. */
uint32_t ebb__governor_thread_id(void);

/* There may be something new to heed, as a limit that a program has set: has the thread look. One that does not exist yet is started
 * by whoever comes by next, if it is worth one. Cost: a few loads; a system call when the thread sleeps for good. */
void ebb__governor_nudge(void);

/* <ebb/pressure.h> */
int ebb__governor_subscribe(const struct ebb_pressure_subscriber *subscriber);
int ebb__governor_unsubscribe(int number);
void ebb__governor_last_note(struct ebb_pressure_note *ret_note);

/* Slow half of serve(). `caller` is an address in the code that called malloc or free. */
void ebb__governor_attend(const void *caller);

extern _Atomic uint32_t ebb__governor_awake; /* 1 while the thread needs no call */

/* On the way out of a slow path, with no lock held. Cost: one or two loads. */
EBB_INLINE void ebb__governor_serve(const void *caller)
{
    if (EBB_UNLIKELY(atomic_load_explicit(&ebb__heap_upkeep, memory_order_relaxed) != 0) &&
        atomic_load_explicit(&ebb__governor_awake, memory_order_relaxed) == 0)
        ebb__governor_attend(caller);
}

#endif
