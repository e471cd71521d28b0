/* SPDX-License-Identifier: MIT
 *
 * Asking one kind of server at one place. Each fills the books, whose kind is set, with what it gets, and says in `why` what it
 * did not.
 */
#ifndef EBB_BOOKS_ASK_PRIV_H
#define EBB_BOOKS_ASK_PRIV_H

#include "books/books.h"
#include "books/deadline_priv.h"
#include "books/endpoint_priv.h"

/* Until when: another place may be left to try, but who answers has all of the time. */
struct ebb_ask_times {
    struct ebb_deadline connect;
    struct ebb_deadline end;
};

/* 0 when the server answered at all, or -errno with the reason in books->why. */
int ebb__ask_mysql(struct ebb_books *books, const struct ebb_endpoint *endpoint,
                   const struct ebb_books_options *options, struct ebb_ask_times times);
int ebb__ask_postgres(struct ebb_books *books, const struct ebb_endpoint *endpoint,
                      const struct ebb_books_options *options, struct ebb_ask_times times);
int ebb__ask_redis(struct ebb_books *books, const struct ebb_endpoint *endpoint,
                   const struct ebb_books_options *options, struct ebb_ask_times times);

/* Changes it, and says in `acted` what came of that. 0 when the server let us in, whatever came then: it is not tried elsewhere. */
int ebb__act_mysql(struct ebb_books *books, const struct ebb_endpoint *endpoint,
                   const struct ebb_books_options *options, struct ebb_ask_times times,
                   const struct ebb_books_act *act, struct ebb_books_acted *acted);

#endif
