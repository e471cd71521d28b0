/* SPDX-License-Identifier: MIT
 *
 * Small reservations for tests over the fake kernel: an emulator such as qemu-user keeps a note for every page
 * of address space, so the 64 GiB that the heap would take cost it seconds and hundreds of megabytes in each
 * process.
 */
#ifndef EBB_TESTS_SMALL_SPACE_H
#define EBB_TESTS_SMALL_SPACE_H

#include "os/fake.h"

/* Reservations of 2 GiB each, as with a limit on locked memory of four times that. */
static inline void small_reservations(void)
{
    ebb_fake.memlock_bytes = EBB_GIB(8);
}

#endif
