/* SPDX-License-Identifier: MIT
 * A printf subset that is async-signal-safe: no locale, no floating point, no allocation. */
#ifndef EBB_BASE_FMT_H
#define EBB_BASE_FMT_H

#include <stdarg.h>
#include <stddef.h>

#include "base/compiler.h"

/* Formats into buf (always terminated when cap > 0) and returns the length that was stored.
 * Understands %s %c %d %u %x %p %% and the length marks l, ll and z; nothing else. Text that does not fit is
 * cut. */
size_t ebb__fmt(char *buf, size_t cap, const char *format, ...) EBB_PRINTF(3);
size_t ebb__vfmt(char *buf, size_t cap, const char *format, va_list args);

#endif
