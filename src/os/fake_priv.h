/* SPDX-License-Identifier: MIT
 * What the files of the fake kernel share among themselves. */
#ifndef EBB_OS_FAKE_PRIV_H
#define EBB_OS_FAKE_PRIV_H

#include "os/fake.h"

#include <pthread.h>

/* Ends the test with the name of the caller's mistake. */
__attribute__((noreturn)) void ebb_fake_broken(const char *function, const char *precondition);

#define REQUIRE_OF(function, e) ((e) ? (void)0 : ebb_fake_broken(function, #e))
#define REQUIRE(e)              REQUIRE_OF(__func__, e)

/* Held around every change of ebb_fake: stress tests share the fake among threads. */
extern pthread_mutex_t ebb_fake_mutex;

/* Counts a call that can fail, and says whether the test wants this one to. Called with the mutex. */
bool ebb_fake_must_fail(void);

/* Forgets what fake_thread.c remembers beside ebb_fake. */
void ebb_fake_thread_reset(void);

/* Closes what fake_descriptor.c holds. */
void ebb_fake_descriptor_reset(void);

/* Unmaps what fake_shared.c holds. */
void ebb_fake_shared_reset(void);

/* Wakes that wait for a sleep. */
unsigned ebb_fake_wakes_waiting(void);

#endif
