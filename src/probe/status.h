/* SPDX-License-Identifier: MIT
 *
 * /proc/PID/status: sizes, threads and name of a process.
 */
#ifndef EBB_PROBE_STATUS_H
#define EBB_PROBE_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The kernel keeps 15 bytes of a program's name, and up to 63 of a kernel worker's. */
#define EBB_STATUS_NAME_BYTES 64

enum ebb_status_field {
#define EBB_STATUS_KB(id, field, key)     EBB_STATUS_##id,
#define EBB_STATUS_NUMBER(id, field, key) EBB_STATUS_##id,
#include "probe/status.def"
#undef EBB_STATUS_KB
#undef EBB_STATUS_NUMBER
    EBB_STATUS_NAME,
    EBB_STATUS_STATE,
    EBB_STATUS_NS_PID,
    EBB_STATUS_SIGNALS_BLOCKED,
    EBB_STATUS_FIELD_COUNT
};

struct ebb_status {
    uint64_t
        present; /* bit f: the field of enum ebb_status_field f was there; else its value means nothing */
#define EBB_STATUS_KB(id, field, key)     uint64_t field;
#define EBB_STATUS_NUMBER(id, field, key) uint64_t field;
#include "probe/status.def"
#undef EBB_STATUS_KB
#undef EBB_STATUS_NUMBER
    char name[EBB_STATUS_NAME_BYTES]; /* with the kernel's escapes undone: may hold any byte but NUL */
    char state;                       /* 'R', 'S', 'D', 'T', 'Z', ... */
    uint64_t ns_pid;                  /* as the process or thread knows itself, in the innermost namespace */
    uint64_t signals_blocked;         /* by this thread; bit n - 1: signal n */
};

/* 0, or -EBADMSG when no known field is there. A field that is missing, damaged, cut off, or too large for 64
 * bits is absent; of a field that comes twice the first counts. */
int ebb__status_parse(const char *text, size_t len, struct ebb_status *ret_status);

/* As above, from ROOT/proc/PID/status, in constant memory. (The line Groups alone can take 700 KB.) */
int ebb__status_read(const char *root, pid_t pid, struct ebb_status *ret_status);

/* True when the field was there. */
bool ebb__status_has(const struct ebb_status *status, enum ebb_status_field field);

#endif
