/* SPDX-License-Identifier: MIT
 *
 * Numbers as people read and write them.
 */
#ifndef EBB_MODEL_UNITS_H
#define EBB_MODEL_UNITS_H

#include <stddef.h>
#include <stdint.h>

#define EBB_UNITS_BYTES 24 /* room for any number with its unit */

/* "512 B", "1.5 KiB", "812.4 MiB", in units of 1024. Returns `buf`. */
const char *ebb__units_bytes(uint64_t bytes, char buf[EBB_UNITS_BYTES]);

/* The same in few characters, for tables: "512", "1.5K", "812M", "19.4G". */
const char *ebb__units_short(uint64_t bytes, char buf[EBB_UNITS_BYTES]);

/* The same with a sign for the change from one to the other. */
const char *ebb__units_change(uint64_t from, uint64_t to, char buf[EBB_UNITS_BYTES]);

/* "320 ms", "4.2 s", "3 min", "5 h", "12 d". */
const char *ebb__units_ms(uint64_t ms, char buf[EBB_UNITS_BYTES]);

/* A decimal number with K, M, G or T behind it or without: 0, or -EINVAL. */
int ebb__units_parse_bytes(const char *text, uint64_t *ret_bytes);

#endif
