/* SPDX-License-Identifier: MIT
 *
 * /proc/PID/auxv: what the kernel told a program at its start (page size, entry point, secure execution).
 */
#ifndef EBB_PROBE_AUXV_H
#define EBB_PROBE_AUXV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Entries with a type below this are kept; Linux has used types up to 51 by 2025. */
#define EBB_AUXV_TYPES 64

struct ebb_auxv {
    uint64_t present; /* bit t: values[t] was there */
    uint64_t values[EBB_AUXV_TYPES];
};

/* `word_bytes` is the size of a long in the process, 8, or 4 for a 32-bit process; words have our byte order.
 * 0, -ENODATA when empty (a kernel thread, or a process that has gone), -EINVAL for another word size, or
 * -EBADMSG when the list was cut off before its AT_NULL. */
int ebb__auxv_parse(const void *data, size_t len, size_t word_bytes, struct ebb_auxv *ret_auxv);

/* As above, from ROOT/proc/PID/auxv. Needs the permission to trace the process. */
int ebb__auxv_read(const char *root, pid_t pid, size_t word_bytes, struct ebb_auxv *ret_auxv);

/* The value of an AT_ type from <elf.h>; false when it is absent. The first of several entries counts. */
bool ebb__auxv_get(const struct ebb_auxv *auxv, unsigned type, uint64_t *ret_value);

#endif
