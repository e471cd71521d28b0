/* SPDX-License-Identifier: MIT
 * What the files of src/entry share: every symbol here is exported by libebb-malloc.so under the C library's
 * own name. */
#ifndef EBB_ENTRY_ENTRY_H
#define EBB_ENTRY_ENTRY_H

#include "api/api.h"

/* Exported, and kept by the linker even where a C library header marks the name otherwise. */
#define EBB_ENTRY EBB_EXPORT __attribute__((used))

#endif
