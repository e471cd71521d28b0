/* SPDX-License-Identifier: MIT
 * Door of floor 0: what every other module may use. No malloc, no stdio, no system call but write, futex,
 * abort. */
#ifndef EBB_BASE_H
#define EBB_BASE_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
/* compiler.h first: the others use its attributes */
#include "base/bits.h"
#include "base/check.h"
#include "base/fmt.h"
#include "base/lock.h"

#endif
