/* SPDX-License-Identifier: MIT
 *
 * A connection to PostgreSQL that keeps a deadline, by libpq.
 */
#ifndef EBB_BOOKS_POSTGRES_CLIENT_PRIV_H
#define EBB_BOOKS_POSTGRES_CLIENT_PRIV_H

#include <stdbool.h>

#include "books/books.h"
#include "books/deadline_priv.h"
#include "books/endpoint_priv.h"

struct ebb_postgres;

/* As mysql_client_priv.h has them. options->pid is the process that listens. */
int ebb__postgres_open(const struct ebb_endpoint *endpoint, const struct ebb_books_options *options,
                       struct ebb_deadline deadline, struct ebb_postgres **ret_postgres,
                       char ret_why[EBB_BOOKS_WHY_BYTES]);
void ebb__postgres_extend(struct ebb_postgres *postgres, struct ebb_deadline deadline);
void ebb__postgres_close(struct ebb_postgres *postgres);

const char *ebb__postgres_version(const struct ebb_postgres *postgres);

/* Each row of the answer goes to `take`: texts, or NULL. -EPERM: the server refused; -EACCES: it is a privilege that lacks. */
#define EBB_POSTGRES_COLUMNS_MAX 4
typedef bool (*ebb_postgres_take)(void *context, char **cells);
int ebb__postgres_ask(struct ebb_postgres *postgres, const char *statement, int columns,
                      ebb_postgres_take take, void *context, char ret_why[EBB_BOOKS_WHY_BYTES]);

#endif
