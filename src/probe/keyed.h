/* SPDX-License-Identifier: MIT
 *
 * Texts of the kernel with a name and a number on each line: meminfo, vmstat, memory.stat, memory.events.
 *
 * Both forms are taken, "MemFree:  123 kB" and "nr_free_pages 123". Which names a kernel has, and in which order, is up to
 * it: lines are found by name, unknown ones are passed over, and what is missing stays unknown (-ENODATA).
 */
#ifndef EBB_PROBE_KEYED_H
#define EBB_PROBE_KEYED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probe/fact.h"
#include "probe/scan.h"

struct ebb_keyed_line {
    const char *key; /* points into the text; not NUL-terminated */
    size_t key_len;
    uint64_t value; /* in bytes where the text says kB */
    bool kb;
};

/* The next line that has a name and a number; others are passed over. False at the end, and for a last line without a newline,
 * which may be half of one. */
bool ebb__keyed_next(struct ebb_scan *text, struct ebb_keyed_line *ret_line);

/* Where the number of a name belongs in a struct of facts. */
struct ebb_keyed_row {
    const char *key;
    size_t at; /* offset of a struct ebb_fact */
};

/* Fills the facts of all rows: known, or -ENODATA. Of a name that comes twice the first counts. 0, or -EBADMSG when no row
 * was found at all. */
int ebb__keyed_parse(const char *text, size_t len, const struct ebb_keyed_row *rows, size_t row_count,
                     void *ret_facts);

/* Makes all rows unknown, for one reason. */
void ebb__keyed_unknown(int err, const struct ebb_keyed_row *rows, size_t row_count, void *ret_facts);

#endif
