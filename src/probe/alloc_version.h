/* SPDX-License-Identifier: MIT
 *
 * Which version of an allocator a piece of a library or a program is from, by what stands in it.
 *
 *   jemalloc   has "5.3.0-0-g54eaed1d8b56b1aa528be3bdd1877e59c56fa90c" among its constants, for malloc_stats_print(); so has a copy that is
 *              linked into a program
 *   tcmalloc   of gperftools has "gperftools 2.10"
 *   mimalloc   has no text, but a function that returns its version: mi_version() is one instruction and a return
 *
 * Pure functions over memory that may hold anything. A version that is not wholly inside is not there: pieces that follow each
 * other must overlap by EBB_ALLOC_VERSION_OVERLAP bytes.
 */
#ifndef EBB_PROBE_ALLOC_VERSION_H
#define EBB_PROBE_ALLOC_VERSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EBB_ALLOC_VERSION_BYTES   32 /* with a NUL; "5.3.0-0" */
#define EBB_ALLOC_VERSION_OVERLAP 64

enum ebb_alloc_version_form { EBB_ALLOC_VERSION_JEMALLOC, EBB_ALLOC_VERSION_GPERFTOOLS };

/* The first version of that form. False when there is none. */
bool ebb__alloc_version_find(enum ebb_alloc_version_form form, const char *bytes, size_t len,
                             char ret_version[EBB_ALLOC_VERSION_BYTES]);

/* The number that a function returns which does nothing else, of x86-64 or of arm64. False when it does anything else. */
bool ebb__alloc_version_code(const unsigned char *code, size_t len, uint32_t *ret_number);

/* mimalloc's number as people write it: 209 is "2.0.9". */
void ebb__alloc_version_mimalloc(uint32_t number, char ret_version[EBB_ALLOC_VERSION_BYTES]);

/* Compares the first three numbers of a version with these: below 0, 0, or above. False when it has not three. */
bool ebb__alloc_version_compare(const char *version, unsigned major, unsigned minor, unsigned patch,
                                int *ret_order);

#endif
