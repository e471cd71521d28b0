/* SPDX-License-Identifier: MIT
 *
 * Replies in Redis's protocol, as far as INFO and MEMORY STATS need them: a text with its length before it, a line or an error; and
 * an array of names and values.
 */
#ifndef EBB_BOOKS_RESP_PRIV_H
#define EBB_BOOKS_RESP_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest reply that is taken. INFO has some 6 KB, and a line for each database and module. */
#define EBB_RESP_BYTES_MAX (1U << 20)

struct ebb_resp {
    bool error;       /* the server refused: `text` says why */
    const char *text; /* points into what was parsed; not NUL-terminated */
    size_t len;
    size_t bytes; /* all of it: behind them the next reply begins */
};

/* 0; -EAGAIN: more must come; -EBADMSG: this is no such reply, and never will be. */
int ebb__resp_parse(const char *data, size_t len, struct ebb_resp *ret_reply);

/* A name with a number behind it, which is all that is taken of an array; `name` is not NUL-terminated. */
typedef void (*ebb_resp_take)(void *context, const char *name, size_t len, uint64_t number);

/* A reply that is an array; names and numbers of arrays in it are taken like its own. 0 once it is whole, and then `take` has had
 * all; else as above, and it has had none. */
int ebb__resp_pairs(const char *data, size_t len, ebb_resp_take take, void *context);

#endif
