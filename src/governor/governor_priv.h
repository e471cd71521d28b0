/* SPDX-License-Identifier: MIT
 * The rooms of the governor and what they share.
 *
 *   governor.c  the thread: when it starts, sleeps, is called, ends
 *   upkeep.c    what it does in a tick; what others do without it
 *   policy.c    what is to be done (pure)
 *   limits.c    what the process may hold, and what goes back before it holds more
 *   request.c   what the tool asks for
 *   caller.c    whose code called malloc */
#ifndef EBB_GOVERNOR_PRIV_H
#define EBB_GOVERNOR_PRIV_H

#include "cache/cache.h"
#include "conf/conf.h"
#include "governor/governor.h"
#include "governor/policy.h"
#include "ledger/ledger.h"
#include "os/os.h"
#include "region/region.h"
#include "stats/stats.h"
#include "wire/control.h"

/* ---- upkeep.c: by the background thread ---- */

void ebb__upkeep_reset(void);

/* One tick. Returns how long to sleep; 0 when nothing is left to do. */
uint32_t ebb__upkeep_tick(void);

/* Looks at what caches hold, now. */
void ebb__upkeep_look(void);

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

/* In a fork child. */
void ebb__limits_after_fork(void);

/* ---- caller.c ---- */

void ebb__caller_init(void);

/* False in the dynamic linker, the C library and this library: they may hold locks that starting a thread needs. */
bool ebb__caller_may_wait(const void *code);

#endif
