/* SPDX-License-Identifier: MIT
 * The rooms of the governor and what they share.
 *
 *   governor.c  the thread: when it starts, sleeps, is called, ends
 *   upkeep.c    what it does in a tick; what others do without it
 *   policy.c    what is to be done (pure)
 *   limits.c    what the process may hold, and what goes back before it holds more
 *   pressure_act.c, pressure_look.c, pressure_carry.c   memory pressure, seen and acted on
 *   pressure_tell.c   what of a step is news to subscribers
 *   subscribe.c   who is told, and the newest note
 *   messenger.c   the thread that tells
 *   request.c   what the tool asks for
 *   report.c    what the process leaves behind for whoever started it
 *   caller.c    whose code called malloc */
#ifndef EBB_GOVERNOR_PRIV_H
#define EBB_GOVERNOR_PRIV_H

#include "cache/cache.h"
#include "conf/conf.h"
#include "governor/governor.h"
#include "governor/policy.h"
#include "governor/pressure_facts.h"
#include "ledger/ledger.h"
#include "os/os.h"
#include "region/region.h"
#include "stats/stats.h"
#include "wire/control.h"

/* ---- governor.c: for the messenger, and by it ---- */

/* The main thread has ended, and no thread is left but ours. */
bool ebb__governor_is_last(void);

/* How long one of our threads may sleep, because threads must be counted. */
uint64_t ebb__governor_count_ms(uint64_t sleep_ms);

/* Somebody has subscribed: has the background thread look whether there is something to heed, and starts it where there is none.
 * 0; -ENOTSUP: option bg:0; -EAGAIN: the system gives none, the constructor has not run, or the process is ending */
int ebb__governor_want(void);

/* Starts one where the one before had to end. By the messenger alone. */
void ebb__governor_keep(void);

/* ---- upkeep.c: by the background thread ---- */

void ebb__upkeep_reset(void);

/* One tick. Returns how long to sleep; 0 when nothing is left to do. */
uint32_t ebb__upkeep_tick(void);

/* Looks at what caches hold, now. */
void ebb__upkeep_look(void);

/* What they held at the last look. */
size_t ebb__upkeep_cached_bytes(void);

/* Writes the summary of the stats page, as of the last look. */
void ebb__upkeep_publish(void);

/* Carries out what the tool asked for (wire/control.h) and answers on the stats page. */
void ebb__upkeep_request(uint64_t payload);

/* True when there is still nothing to do, looked at anew. */
bool ebb__upkeep_is_settled(void);

/* By any thread, where there is no background thread: a bounded piece of the work, at most ten times a second. */
void ebb__upkeep_piece(void);

/* In a fork child. */
void ebb__upkeep_after_fork(void);

/* Whoever may drain caches, before it does: registers the process for the barrier, once. May wait some milliseconds. */
void ebb__upkeep_ready_barrier(void);

/* ---- limits.c ---- */

/* From the constructor. */
void ebb__limits_start(void);

/* From a tick: looks how far the limits are. */
void ebb__limits_tick(void);

/* By the background thread, with sources of its own: the same, and what was read. */
struct ebb_sources;
void ebb__limits_look(struct ebb_sources *from, struct ebb_pressure_facts *ret_facts);

/* Takes or releases what whoever looks holds: for finding cgroups, which shares its buffers. */
void ebb__limits_hold(bool hold);

/* There was a limit at the last look. */
bool ebb__limits_are_seen(void);

/* The number of the heap's own shrinker; 0: there was no room for it. */
int ebb__limits_shrinker(void);

/* Empties the caches of threads that are not in the middle of an operation, at most every 50 ms. */
void ebb__limits_drain(void);

/* In a fork child. */
void ebb__limits_after_fork(void);

/* ---- pressure_act.c ---- */

#define EBB_ACT_MIN_BYTES                                                                                    \
    EBB_MIB(32) /* of heap: nothing worth giving below that, unless a limit is the process's own */

extern EBB_HIDDEN const char *ebb__act_root; /* of all paths: "" but in tests */

/* From the constructor: copies what the environment says. */
void ebb__act_start(void);

/* By any thread that has looked how far limits are, with no lock held: has the background thread look too, if it would not soon. */
void ebb__act_hint(void);

/* Whether the background thread has descriptors of its own, or is about to: then the process must not end in it. */
bool ebb__act_has_table(void);

/* By the background thread, before a tick: arms when there is something to heed, disarms when there is nothing any more. It takes a
 * table of descriptors only when may_take() says so after ebb__act_has_table() has become true, and goes without otherwise. */
void ebb__act_attend(bool (*may_take)(void));

/* attend() would do something. */
bool ebb__act_is_missed(void);

/* In the place of ebb__os_sleep(). Heeds pressure meanwhile, once armed. */
bool ebb__act_sleep(uint64_t timeout_ms, uint64_t *ret_payload);

/* The background thread ends. */
void ebb__act_end(void);

/* In a fork child. */
void ebb__act_after_fork(void);

/* ---- subscribe.c ---- */

/* The newest note for all to read. Never waits. pre: no other thread posts */
void ebb__subs_post(const struct ebb_pressure_note *note);

/* That note; serial 0: there was none. */
void ebb__subs_last(struct ebb_pressure_note *ret_note);

/* As ebb_pressure_subscribe() and ebb_pressure_unsubscribe(), without a thread. */
int ebb__subs_add(const struct ebb_pressure_subscriber *subscriber);
int ebb__subs_remove(int number);

uint32_t ebb__subs_count(void);

/* A callback runs. */
bool ebb__subs_is_telling(void);

/* Tells whoever has not heard of the newest note. By the messenger alone. */
void ebb__subs_deliver(void);

/* -EUCLEAN and a line when an invariant of subscribe.c is broken. pre: nobody subscribes or is told */
int ebb__subs_check(void);

/* In a fork child. */
void ebb__subs_after_fork(void);

/* ---- messenger.c ---- */

/* There is news. Never waits. */
void ebb__messenger_ring(void);

/* Its id in the kernel; 0: there is none. */
uint32_t ebb__messenger_thread_id(void);

/* There is one, and it is not in a callback, where it is a thread of the program. */
bool ebb__messenger_is_idle(void);

/* In a fork child. */
void ebb__messenger_after_fork(void);

/* ---- report.c; each does nothing unless a report was asked for ---- */

struct ebb_place;
struct ebb_press_actions;
struct ebb_press_ring;

/* From the constructor, after the options are known; and when all has started. */
void ebb__report_start(void);
void ebb__report_started(void);

/* Writes what there is to be told. By any thread, with no lock of ours above EBB_RANK_LIMITS held; keeps errno. */
void ebb__report_write(void);

/* By the background thread, after a step: what it has given, by kind, and the ring of records. */
void ebb__report_step(const struct ebb_press_ring *ring, const struct ebb_press_actions *actions,
                      const uint64_t *got_bytes);

/* Somebody was refused a block of that size. */
void ebb__report_refused(size_t block_bytes);

/* Which cgroup's limit is the nearest, as seen now. */
void ebb__report_group(const struct ebb_place *place, const struct ebb_pressure_facts *facts);

/* The process ends in good order. */
void ebb__report_end(void);

/* In a fork child. */
void ebb__report_after_fork(void);

/* ---- caller.c ---- */

void ebb__caller_init(void);

/* False in the dynamic linker, the C library and this library: they may hold locks that starting a thread needs. */
bool ebb__caller_may_wait(const void *code);

#endif
