/* SPDX-License-Identifier: MIT
 *
 * A library with an IFUNC, and with constructors that allocate while the process is being loaded.
 */
#ifndef EARLY_LIB_H
#define EARLY_LIB_H

#include <stdbool.h>

__attribute__((visibility("default"))) int early_own_pick(void);
__attribute__((visibility("default"))) int early_lib_pick(void);

/* Checks and frees what the constructor allocated. */
__attribute__((visibility("default"))) bool early_lib_is_sound(void);

#endif
