/* SPDX-License-Identifier: MIT
 *
 * <ebb/pressure.h>: hearing that memory is short, in time to give some back.
 *
 * A program with a cache of its own is told how near the process is to its end by memory, how many bytes are wanted of it and by
 * when: by a callback, or through an eventfd in its own loop.
 *
 *     static void give_way(const struct ebb_pressure_note *note, void *cache)
 *     {
 *         drop_oldest(cache, note->want_bytes);
 *     }
 *
 *     struct ebb_pressure_subscriber me = {.size_of_struct = sizeof(me), .least_level = EBB_LEVEL_ORANGE,
 *                                          .callback = give_way, .context = cache};
 *     int number = ebb_pressure_subscribe(&me);
 *
 * A shrinker (<ebb/budget.h>) is the sharper tool: it has a price, it is asked in its turn, and also by the very thread that needs
 * memory. But it is called in any thread, may not wait, and may use no descriptor. What cannot live with that subscribes.
 *
 * Caveats first
 *  - A callback runs in a thread of the library's, not in one of yours. That thread has all signals blocked, a stack of 1 MiB and
 *    the program's descriptors, and holds no lock. A callback may allocate and free, take locks, do I/O, and subscribe and
 *    unsubscribe others. It must return: no pthread_exit(), no longjmp(), no exception out of it.
 *  - Callbacks are called one after the other. One that takes long holds up other subscribers, but neither malloc() nor what the
 *    library itself gives back. What happens meanwhile is merged: it is told of the newest note next, and `serial` shows how
 *    many it has missed.
 *  - A note replaces those before it. want_bytes is what is missing now, not what is missing besides. While something is
 *    wanted a note comes each second, and sooner when it is more, or more urgent; when nothing is wanted any more there is one
 *    that says 0.
 *  - Blocks that are freed go back to the kernel by the library's next step, some 50 to 250 ms later. So free about want_bytes and
 *    wait for the next note; do not empty the cache because usage has not fallen yet.
 *  - A subscription makes the library look, whatever the size of the process: with option pressure (ebb-malloc(7)) at its memory
 *    cgroups, the host's memory and stalls, without it at limits of the process's own only. It starts two threads: that
 *    which looks, and that which tells. Both end when the last subscription has ended, or with the process; neither keeps
 *    alive a process whose main thread has ended by pthread_exit().
 *  - fork(): the child has no subscriptions. In a callback, too: when that returns in the child, the child's thread ends.
 *  - exit() does not wait for a callback. Unsubscribe before you take away what it uses.
 *
 * Thread safety: every function may be called by any thread at any time, also in a callback. Not async-signal-safe. Nothing here
 * allocates from the heap but what the C library needs to start a thread.
 */
#ifndef EBB_PRESSURE_H
#define EBB_PRESSURE_H

#include <ebb/budget.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What is told. Grows at its end in later versions. */
struct ebb_pressure_note {
    size_t size_of_struct;
    uint64_t serial; /* of the note, from 1; 0: there was none yet */
    /* Held for 10 s or more after it was last needed, so that it does not flutter. */
    enum ebb_budget_level level;
    enum ebb_budget_urgency urgency; /* of want_bytes; EBB_URGENCY_EARLY when that is 0 */
    /* To be given back by whoever hears it, all subscribers together: what the heap, caches and shrinkers will not bring in time. 0:
     * nothing is wanted; the level alone says not to grow. */
    uint64_t want_bytes;
    uint64_t deadline_ns; /* when it must be back, on CLOCK_MONOTONIC; 0 when nothing is wanted */
    const char *cause;    /* in a few words, as "little room"; never NULL, never freed */
    const char *limit;    /* that is near, as "memory.max"; NULL when the cause is none */
};

/* Who is told. Copied by ebb_pressure_subscribe(), except what the pointer leads to. */
struct ebb_pressure_subscriber {
    size_t size_of_struct; /* sizeof(struct ebb_pressure_subscriber) */
    /* Notes of lower levels are not delivered, except one: that which says the level has fallen below. EBB_LEVEL_GREEN: all are. What can
     * be had again, as a cache, subscribes from orange on, what nobody misses from yellow on. */
    enum ebb_budget_level least_level;
    void (*callback)(const struct ebb_pressure_note *note, void *context); /* or NULL: by event_fd */
    void *context;
    /* An eventfd(2) of the program's, of which the value rises by 1 for each note; ebb_pressure_last() tells what it was. Not looked at
     * when there is a callback. Once it was closed, or is another file by now, it is not written to any more; the
     * subscription stays until it is ended. */
    int event_fd;
};

/* Subscribes. When the level is there already, it is told at once. Returns the subscription's number, 1 or more; -EINVAL
 * (size_of_struct, level), -EBADF (event_fd is not open), -ENOSPC (there are 64), -ENOTSUP (option bg:0: there is no thread to look),
 * -EAGAIN (the system gives no thread, or the library has not started, or the process is ending), -EDEADLK (called in a
 * shrinker by the library's own thread). */
EBB_API int ebb_pressure_subscribe(const struct ebb_pressure_subscriber *subscriber);

/* Ends a subscription and waits until its callback is not running: after that its context may go. 0, -ENOENT (no such number),
 * -EDEADLK (called inside that callback). Do not call it with a lock held that the callback may wait for. */
EBB_API int ebb_pressure_unsubscribe(int number);

/* The newest note, whoever was told: with size_of_struct = sizeof(struct ebb_pressure_note) set before the call. 0, or -EINVAL
 * when size_of_struct is unknown. Takes no lock; some 20 loads. */
EBB_API int ebb_pressure_last(struct ebb_pressure_note *ret_note);

#ifdef __cplusplus
}
#endif

#endif
