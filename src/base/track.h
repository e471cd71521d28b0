/* SPDX-License-Identifier: MIT
 * Telling memory checkers which bytes may be touched.
 *
 * Two tools are known: AddressSanitizer, by functions that are there when the program was built with it, and valgrind's
 * memcheck, by client requests: an instruction sequence that does nothing on a processor. Without a tool the question below is
 * one load; whoever asks it need call nothing else. */
#ifndef EBB_BASE_TRACK_H
#define EBB_BASE_TRACK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"

enum ebb_track { EBB_TRACK_UNKNOWN, EBB_TRACK_NOBODY, EBB_TRACK_ASAN, EBB_TRACK_MEMCHECK };

/* Who listens; whoever asks first finds out, and all find the same. */
extern _Atomic int ebb__track_listener;
enum ebb_track ebb__track_find_listener(void);

/* True when somebody listens to the two below. The answer is the same in the whole life of a process. */
EBB_INLINE bool ebb__track_is_on(void)
{
    int who = atomic_load_explicit(&ebb__track_listener, memory_order_relaxed);
    return EBB_UNLIKELY(who != EBB_TRACK_NOBODY) && ebb__track_find_listener() != EBB_TRACK_NOBODY;
}

/* From now on nobody may touch these bytes; and again everybody may, the content is undefined. An allowed range may end
 * anywhere, and begins at a multiple of 8; a forbidden one has both ends there. */
void ebb__track_forbid(const void *p, size_t bytes);
void ebb__track_allow(const void *p, size_t bytes);

#endif
