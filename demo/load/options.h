/* SPDX-License-Identifier: MIT
 *
 * Command line of ebb-load.
 */
#ifndef EBB_LOAD_OPTIONS_H
#define EBB_LOAD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct options {
    int64_t live_bytes;
    unsigned threads;
    uint64_t seconds; /* length of the steady phase, when ops is 0 */
    uint64_t ops;     /* steps of the steady phase, all lanes together; 0 for a phase by time */
    uint64_t idle_ms;
    uint64_t seed;
    int report_fd; /* -1: no JSON */
};

/* Fills *ret_options. Returns 0, 1 when help was printed, or 2 after a message about a usage error. */
int options_parse(int argc, char **argv, struct options *ret_options);

#endif
