/* SPDX-License-Identifier: MIT
 *
 * One reply in Redis's protocol, as far as INFO needs it: a text with its length before it, a line, or an error.
 */
#ifndef EBB_BOOKS_RESP_PRIV_H
#define EBB_BOOKS_RESP_PRIV_H

#include <stdbool.h>
#include <stddef.h>

/* The longest reply that is taken. INFO has some 6 KB, and a line for each database and module. */
#define EBB_RESP_BYTES_MAX (1U << 20)

struct ebb_resp {
    bool error;       /* the server refused: `text` says why */
    const char *text; /* points into what was parsed; not NUL-terminated */
    size_t len;
};

/* 0; -EAGAIN: more must come; -EBADMSG: this is no such reply, and never will be. */
int ebb__resp_parse(const char *data, size_t len, struct ebb_resp *ret_reply);

#endif
