/* SPDX-License-Identifier: MIT
 *
 * Loading a client library when it is needed, into a struct of pointers to its functions.
 */
#ifndef EBB_BOOKS_LOAD_PRIV_H
#define EBB_BOOKS_LOAD_PRIV_H

#include <stddef.h>

struct ebb_load_row {
    const char *name;
    size_t at; /* of the pointer in the struct */
};

/* Fills `functions`. 0, -ENOENT when the host has no such library, or -ENOSYS when it lacks a function. A library that was loaded
 * stays. */
int ebb__load(const char *library, const struct ebb_load_row *rows, size_t row_count, void *functions);

#endif
