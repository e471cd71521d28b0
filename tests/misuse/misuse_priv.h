/* SPDX-License-Identifier: MIT
 *
 * The functions named in misuse.def, and what the files of this program share.
 */
#ifndef MISUSE_PRIV_H
#define MISUSE_PRIV_H

#define MISUSE(function, settings, when, pattern) void function(void);
#include "misuse.def"
#undef MISUSE

/* Announces a pointer on standard output and hides it from the compiler, which would warn of or optimise on
 * what it can see. */
void *misuse_announce(void *pointer);

/* A block whose beginning was written; ends the program when there is no memory. */
char *misuse_block(unsigned long size_bytes);

#endif
